"""The pool's signing keys: read from its JWKS, kept in the process, fetched when needed.

`KeyStore` is handed its clock and its fetcher, so that no test sleeps and a Lambda can bring keys
of its own. Every download runs in a thread of its own: whoever needs keys waits for it no longer
than the deadline, and any number of threads that need keys at once share one download.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from resource_server.tokens.clocks import elapsed, is_within
from resource_server.tokens.download import download
from resource_server.tokens.errors import KeysUnavailable, MalformedToken, UnknownKey
from resource_server.tokens.flight import SingleFlight, WaitLimit, back_off
from resource_server.tokens.parsing import base64url_decode
from resource_server.tokens.rsa import weakness

logger = logging.getLogger(__name__)

MAX_JWKS_BYTES = 1024 * 1024
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Fetch = Callable[[str, float], bytes]
"""(address, seconds allowed in all) -> the JWKS document, or an OSError or ValueError."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one JWKS, by `kid`."""

    keys: Mapping[str, RSAPublicKey]

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Read a JWKS (RFC 7517 §5). One bad key among good ones is passed over.

        Raises ValueError if it is no JWKS, holds no usable key, or two under one id: such a set
        never replaces a good one.
        """
        try:
            members = json.loads(document)["keys"]
            keys = [(member["kid"], _public_key(member)) for member in members if _usable(member)]
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("not a JWKS") from error
        good: dict[str, RSAPublicKey] = {}
        for kid, key in keys:
            if key is None:
                continue
            if kid in good and good[kid].public_numbers() != key.public_numbers():
                raise ValueError("the JWKS has two keys with one id")
            good[kid] = key
        if not good:
            raise ValueError("the JWKS has no usable RS256 key")
        return cls(good)

    def same_as(self, other: "KeySet") -> bool:
        """Tell whether both hold the same keys under the same ids."""
        return {kid: key.public_numbers() for kid, key in self.keys.items()} == {
            kid: key.public_numbers() for kid, key in other.keys.items()
        }


def _usable(member: Any) -> bool:
    """Tell whether a key was published for checking RS256 signatures (RFC 7517 §4)."""
    return (
        isinstance(member, dict)
        and member.get("kty") == "RSA"
        and isinstance(member.get("kid"), str)
        and member["kid"] != ""
        and member.get("use", "sig") == "sig"
        and member.get("alg", "RS256") == "RS256"
        and isinstance(member.get("key_ops", []), list)
        and "verify" in member.get("key_ops", ["verify"])
        # A private key in a public document is everybody's: nothing it signed means anything.
        and "d" not in member
    )


def _public_key(member: dict[str, Any]) -> RSAPublicKey | None:
    try:
        numbers = RSAPublicNumbers(
            e=int.from_bytes(base64url_decode(member["e"].encode())),
            n=int.from_bytes(base64url_decode(member["n"].encode())),
        )
        key = numbers.public_key()
    except (KeyError, AttributeError, ValueError, MalformedToken):
        return None
    if (reason := weakness(numbers.n, numbers.e)) is not None:
        logger.warning("A key of the key set (JWKS) is not used: %s.", reason)
        return None
    return key


def is_safe_address(uri: str) -> bool:
    """Return whether others can neither read nor change what is sent: by https, or on loopback."""
    address = urlsplit(uri)
    return address.scheme == "https" or address.hostname in LOOPBACK


def require_https(uri: str) -> None:
    """Raise ValueError unless an address is https, or http on loopback.

    A user name or a password in it is rejected: addresses are logged.
    """
    if not is_safe_address(uri):
        raise ValueError("the address must be https")
    address = urlsplit(uri)
    if address.username is not None or address.password is not None:
        raise ValueError("the address must hold no user name and no password")


def fetch_jwks(uri: str, timeout: float, *, allow_http: bool = False) -> bytes:
    """Download a JWKS: `timeout` seconds in all, 1 MiB at most, no redirects.

    `download` says what is sent, and which proxies and certificates count.

    Raises OSError (requests' errors are) or ValueError. The address must be https, unless its host
    is loopback, or `allow_http` says that an emulator's keys come over another network.
    """
    if not allow_http:
        require_https(uri)
    return download(uri, timeout=timeout, max_bytes=MAX_JWKS_BYTES)


@dataclass(frozen=True, slots=True)
class KeyStats:
    """What happened to one pool's keys since the process began, for operators."""

    age: float | None
    """Seconds since the last successful download; None if there was none."""
    downloads: int
    failed_downloads: int
    stale_serves: int
    """How often keys past their soft age were used."""


_PATIENCE_SECONDS = 0.5
_FOREGROUND_SECONDS = 1.0
DOWNLOADS_AWAITED = WaitLimit(2)
"""The threads of this process that may wait for slow downloads, of all pools together."""


class KeyStore:
    """One pool's keys in this process.

    Past `refresh` seconds one download runs in the background while requests go on with the keys
    at hand. After one that failed, the request that starts the next waits for it, a second at most.
    Past `max_age` seconds without a success there are no keys. Tokens with an unknown `kid` cause
    one download per `cooldown` seconds, however many they are. Failures back off, as long as there
    are keys. All durations are in seconds, on `clock`.

    A slow download holds two threads of a process (`DOWNLOADS_AWAITED`), and takes their places in
    `crowd`, never all threads. Others that need it get KeysUnavailable at once. Only in the first
    half second of the first download do all of them wait: without keys no token can be verified.
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
        clock: Callable[[], float] = elapsed,
        crowd: WaitLimit | None = None,
    ) -> None:
        self._uri = uri
        self._fetch = fetch
        self._timeout = timeout
        self._cooldown = cooldown
        self._refresh = refresh
        self._max_age = max_age
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = self._started_at = self._looked_at = -math.inf
        self._stale_serves = 0
        self._flight = SingleFlight(
            self._download,
            name=f"download of {uri}",
            timeout=timeout,
            clock=clock,
            back_off=self._back_off,
            patience=_PATIENCE_SECONDS,
            waiting=DOWNLOADS_AWAITED,
            crowd=crowd,
        )

    def find(self, kid: str) -> tuple[KeySet, RSAPublicKey]:
        """Return the key with this id, and the set it is in.

        Raises UnknownKey if the keys at hand have none with this id and looking again did not help
        or may not be done yet. Raises KeysUnavailable if there are no keys, or if a download may
        bring this one and too many threads wait for it already.
        """
        keys = self.current()
        if keys is not None and kid in keys.keys:
            return keys, keys.keys[kid]
        seen = self._flight.ended
        keys = self.current()  # once more: a download may have ended before `seen` was read
        if keys is None or kid not in keys.keys:
            keys = self._look_again(seen, keys)
        try:
            return keys, keys.keys[kid]
        except KeyError:
            # The download just made for it counts as the one that an unknown key may cause.
            self._looked_at = max(self._looked_at, self._fetched_at)
            raise UnknownKey from None

    def current(self) -> KeySet | None:
        """Return the keys at hand if they are young enough, and start a refresh when it is due."""
        now = self._clock()
        if 0 <= now - self._fetched_at < self._refresh:  # is_within, for each request
            return self._keys
        if self._keys is None:
            return None
        if not is_within(self._max_age, self._fetched_at, now):
            self._flight.start()
            return None
        self._flight.start_or_wait(_FOREGROUND_SECONDS)
        if not is_within(self._refresh, self._fetched_at, now):
            self._stale_serves += 1
        return self._keys

    def ready(self) -> bool:
        """Tell whether keys are at hand; if not, start fetching them and do not wait."""
        if self.current() is not None:
            return True
        self._flight.start()
        return False

    def stats(self) -> KeyStats:
        """Return the counters of this process."""
        age = None if self._keys is None else self._clock() - self._fetched_at
        return KeyStats(
            age=age,
            downloads=self._flight.successes,
            failed_downloads=self._flight.failures,
            stale_serves=self._stale_serves,
        )

    def _look_again(self, seen: int, keys: KeySet | None) -> KeySet:
        """Download the keys if that may be done now, and return those then at hand.

        Raises KeysUnavailable.
        """
        if keys is None:
            has_waited = self._flight.wait(seen=seen)
        else:
            has_waited = self._flight.wait(seen=seen, allowed=self._has_cooled, patient=False)
        keys = self.current()
        if keys is None or not has_waited:
            raise KeysUnavailable(self._flight.retry_after)
        return keys

    def _has_cooled(self, now: float) -> bool:
        """Return whether an unknown key may cause a download. If so, the next pause begins."""
        if is_within(self._cooldown, self._looked_at, now):
            return False
        self._looked_at = now
        return True

    def _back_off(self, failures: int) -> float:
        """Wait longer after each failure; but a process without keys tries every second."""
        has_keys = is_within(self._max_age, self._fetched_at, self._clock())
        return back_off(failures) if has_keys else 1

    def _download(self) -> None:
        started = self._flight.began
        keys = KeySet.parse(self._fetch(self._uri, self._timeout))
        if started < self._started_at <= self._clock():
            return  # it hung, and one that began later was quicker: that one knows better
        self._started_at = started
        if self._keys is not None and keys.same_as(self._keys):
            keys = self._keys  # what was verified with them stays verified
        self._keys = keys
        self._fetched_at = started
