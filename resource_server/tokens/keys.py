"""The pool's signing keys: read from its JWKS, kept in the process, fetched when needed.

`KeyStore` is handed its clock and its fetcher, so that no test sleeps and a Lambda can bring keys
of its own. Every download runs in a thread of its own: whoever needs keys waits for it no longer
than the deadline, and any number of threads that need keys at once share one download.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from resource_server.tokens.download import download
from resource_server.tokens.errors import KeysUnavailable, MalformedToken, UnknownKey
from resource_server.tokens.flight import SingleFlight, back_off
from resource_server.tokens.parsing import base64url_decode

MIN_RSA_BITS = 2048
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
    return key if key.key_size >= MIN_RSA_BITS else None


def require_https(uri: str) -> None:
    """Raise ValueError unless an address is https, or http on loopback.

    A user name or a password in it is refused: addresses are logged.
    """
    address = urlsplit(uri)
    if address.scheme != "https" and address.hostname not in LOOPBACK:
        raise ValueError("the address must be https")
    if address.username is not None or address.password is not None:
        raise ValueError("the address must hold no user name and no password")


def fetch_jwks(uri: str, timeout: float) -> bytes:
    """Download a JWKS: `timeout` seconds in all, 1 MiB at most, no redirects.

    `download` says what is sent, and which proxies and certificates count.

    Raises OSError (requests' errors are) or ValueError. The address must be https, unless its host
    is loopback.
    """
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


class KeyStore:
    """One pool's keys in this process.

    Past `refresh` seconds one download runs in the background while requests go on with the keys
    at hand; past `max_age` seconds without a success there are none. Tokens with an unknown `kid`
    cause one download per `cooldown` seconds, however many they are. Failures back off, as long
    as there are keys. All durations are in seconds, on the monotonic `clock`.
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
        self._fetched_at = self._started_at = -math.inf
        self._cooling_until = -math.inf
        self._stale_serves = 0
        self._flight = SingleFlight(
            self._download,
            name=f"download of {uri}",
            timeout=timeout,
            clock=clock,
            back_off=self._back_off,
        )

    def find(self, kid: str) -> tuple[KeySet, RSAPublicKey]:
        """Return the key with this id, and the set it is in.

        Raises UnknownKey if the keys at hand have none with this id and looking again did not help
        or may not be done yet, KeysUnavailable if there are no keys.
        """
        keys = self.current()
        if keys is not None and kid in keys.keys:
            return keys, keys.keys[kid]
        if keys is None or self._may_look_again():
            self._flight.wait()
            keys = self.current()
        if keys is None:
            raise KeysUnavailable(self._flight.retry_after)
        try:
            return keys, keys.keys[kid]
        except KeyError:
            # The download just made for it counts as the one that an unknown key may cause.
            self._cooling_until = max(self._cooling_until, self._fetched_at + self._cooldown)
            raise UnknownKey from None

    def current(self) -> KeySet | None:
        """Return the keys at hand if they are young enough, and start a refresh when it is due."""
        age = self._clock() - self._fetched_at
        if age < self._refresh:
            return self._keys
        if self._keys is None:
            return None
        self._flight.start()
        if age >= self._max_age:
            return None
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

    def _may_look_again(self) -> bool:
        """Tell whether an unknown key may cause a download, or wait for the one under way."""
        with self._flight.lock:
            if self._flight.under_way:
                return True
            now = self._clock()
            if now < self._cooling_until:
                return False
            self._cooling_until = now + self._cooldown
            return True

    def _back_off(self, failures: int) -> float:
        """Wait longer after each failure; but a process without keys tries every second."""
        has_keys = self._clock() - self._fetched_at < self._max_age
        return back_off(failures) if has_keys else 1

    def _download(self) -> None:
        started = self._clock()
        keys = KeySet.parse(self._fetch(self._uri, self._timeout))
        if started < self._started_at:
            return  # it hung, and one that began later was quicker: that one knows better
        self._started_at = started
        if self._keys is not None and keys.same_as(self._keys):
            keys = self._keys  # what was verified with them stays verified
        self._keys = keys
        self._fetched_at = self._clock()
