"""The pool's signing keys: read from its JWKS, kept in the process, fetched when needed.

`KeyStore` is handed its clock and its fetcher, so that no test sleeps and a Lambda can bring keys
of its own. Every download runs in a thread of its own: whoever needs keys waits for it no longer
than the deadline, and any number of threads that need keys at once share one download.
"""

import json
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from resource_server.tokens.errors import KeysUnavailable, MalformedToken, UnknownKey
from resource_server.tokens.parsing import base64url_decode

logger = logging.getLogger(__name__)

MIN_RSA_BITS = 2048
MAX_JWKS_BYTES = 1024 * 1024
_CHUNK_BYTES = 16 * 1024
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_BACK_OFF_SECONDS = (1, 2, 4, 8, 16, 30)

Fetch = Callable[[str, float], bytes]
"""(address, seconds allowed in all) -> the JWKS document, or an OSError or ValueError."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one JWKS, by `kid`."""

    keys: Mapping[str, RSAPublicKey]

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Read a JWKS (RFC 7517 §5). One bad key among good ones is passed over.

        Raises ValueError if it is no JWKS or holds no usable key: an empty set never replaces a
        good one.
        """
        try:
            members = json.loads(document)["keys"]
            keys = [(member["kid"], _public_key(member)) for member in members if _usable(member)]
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("not a JWKS") from error
        good = {kid: key for kid, key in keys if key is not None}
        if not good:
            raise ValueError("the JWKS has no usable RS256 key")
        return cls(good)


def _usable(member: Any) -> bool:
    """Tell whether a key was published for checking RS256 signatures (RFC 7517 §4)."""
    return (
        isinstance(member, dict)
        and member.get("kty") == "RSA"
        and isinstance(member.get("kid"), str)
        and member["kid"] != ""
        and member.get("use", "sig") == "sig"
        and member.get("alg", "RS256") == "RS256"
        and "verify" in member.get("key_ops", ["verify"])
        # A private key in a public document is everybody's: nothing it signed means anything.
        and "d" not in member
    )


def _public_key(member: dict[str, Any]) -> RSAPublicKey | None:
    try:
        numbers = RSAPublicNumbers(
            e=int.from_bytes(base64url_decode(member["e"])),
            n=int.from_bytes(base64url_decode(member["n"])),
        )
        key = numbers.public_key()
    except (KeyError, AttributeError, ValueError, MalformedToken):
        return None
    return key if key.key_size >= MIN_RSA_BITS else None


def fetch_jwks(uri: str, timeout: float) -> bytes:
    """Download a JWKS: `timeout` seconds in all, 1 MiB at most, no redirects.

    Raises OSError (requests' errors are) or ValueError. The address must be https, unless its host
    is loopback.
    """
    address = urlsplit(uri)
    if address.scheme != "https" and address.hostname not in _LOOPBACK:
        raise ValueError("the address of the JWKS must be https")
    deadline = time.monotonic() + timeout
    with requests.Session() as session:
        response = session.get(uri, timeout=timeout, stream=True, allow_redirects=False)
        if response.status_code != requests.codes.ok:
            raise ValueError(f"the JWKS server answered {response.status_code}")
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_JWKS_BYTES:
                raise ValueError("the JWKS is larger than 1 MiB")
            if time.monotonic() > deadline:
                raise TimeoutError("the JWKS took too long to arrive")
    return bytes(body)


class _Download:
    """One download under way; whoever needs keys waits for `done` until `deadline`, no longer."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.done = threading.Event()


class KeyStore:
    """One pool's keys in this process.

    Past `refresh` seconds one download runs in the background while requests go on with the keys
    at hand; past `max_age` seconds without a success there are none. Tokens with an unknown `kid`
    cause one download per `cooldown` seconds, however many they are. Failures back off. All
    durations are in seconds, on the monotonic `clock`.
    """

    def __init__(
        self,
        uri: str,
        *,
        fetch: Fetch = fetch_jwks,
        timeout: float = 3,
        cooldown: float = 30,
        refresh: float = 3600,
        max_age: float = 86_400,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uri = uri
        self._fetch = fetch
        self._timeout = timeout
        self._cooldown = cooldown
        self._refresh = refresh
        self._max_age = max_age
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._failures = 0
        self._failing_until = -math.inf
        self._cooling_until = -math.inf
        self._reset_download()
        if hasattr(os, "register_at_fork"):
            # A forked child has no download thread, and may have got a lock that is held: renew.
            reset = weakref.WeakMethod(self._reset_download)
            os.register_at_fork(after_in_child=lambda: (method := reset()) and method())

    def _reset_download(self) -> None:
        self._lock = threading.Lock()
        self._download: _Download | None = None

    def key(self, kid: str) -> RSAPublicKey:
        """Return the key with this id.

        Raises UnknownKey if the pool has none, KeysUnavailable if that cannot be known now.
        """
        keys = self._current()
        if keys is None:
            self._wait_for(self._start_download())
            keys = self._current()
        elif kid not in keys.keys:
            self._wait_for(self._look_again())
            keys = self._current()
        if keys is None:
            raise KeysUnavailable(max(1, math.ceil(self._failing_until - self._clock())))
        try:
            return keys.keys[kid]
        except KeyError:
            self._cooling_until = max(self._cooling_until, self._fetched_at + self._cooldown)
            raise UnknownKey from None

    def ready(self) -> bool:
        """Tell whether keys are at hand; if not, start fetching them and do not wait."""
        if self._current() is not None:
            return True
        self._start_download()
        return False

    def _current(self) -> KeySet | None:
        """Return the keys at hand if they are young enough, and start a refresh when it is due."""
        if self._keys is None:
            return None
        age = self._clock() - self._fetched_at
        if age >= self._refresh:
            self._start_download()
        return self._keys if age < self._max_age else None

    def _look_again(self) -> _Download | None:
        """Join the download under way, or start one unless unknown keys caused one just now."""
        with self._lock:
            if self._download is None:
                if self._clock() < self._cooling_until:
                    return None
                self._cooling_until = self._clock() + self._cooldown
        return self._start_download()

    def _start_download(self) -> _Download | None:
        """Join the download under way, or start one unless failures forbid it for now."""
        with self._lock:
            now = self._clock()
            if self._download is not None and now >= self._download.deadline:
                # It hangs where no timeout reaches it; should it still succeed, its keys count.
                self._download = None
                self._note_failure()
            if self._download is None and now >= self._failing_until:
                self._download = _Download(deadline=now + self._timeout)
                threading.Thread(
                    target=self._run, args=(self._download,), name="jwks-download", daemon=True
                ).start()
            return self._download

    def _wait_for(self, download: _Download | None) -> None:
        if download is not None:
            download.done.wait(max(0.0, download.deadline - self._clock()))

    def _run(self, download: _Download) -> None:
        try:
            keys = KeySet.parse(self._fetch(self._uri, self._timeout))
        except Exception as error:  # noqa: BLE001 - a fetcher may be anybody's; the thread must tell
            with self._lock:
                self._note_failure()
            logger.warning("keys not refreshed from %s: %s", self._uri, error)
        else:
            with self._lock:
                self._keys, self._fetched_at = keys, self._clock()
                self._failures, self._failing_until = 0, -math.inf
        with self._lock:
            if self._download is download:
                self._download = None
        download.done.set()

    def _note_failure(self) -> None:
        step = min(self._failures, len(_BACK_OFF_SECONDS) - 1)
        self._failures += 1
        self._failing_until = self._clock() + _BACK_OFF_SECONDS[step]
