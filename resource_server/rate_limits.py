"""How often an address, and whoever knows a user's name, may ask: counted in memory or in Redis.

The counting is that of `limits`, the library inside Flask-Limiter. The extension itself keeps its
state outside the app, so that two apps would share it; it picks its keys before a body is checked;
and it logs under a name of its own.
"""

import hashlib
import importlib
import ipaddress
import logging
import math
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage
from limits.strategies import FixedWindowRateLimiter

logger = logging.getLogger(__name__)

IN_MEMORY = "memory://"
_PAUSE_SECONDS = 5
_IPV6_PREFIX = 64  # what a provider gives to one customer
_NAME_CHARACTERS = 32


class RateLimited(Exception):
    """There were too many; wait `retry_after` whole seconds before trying again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Asking(Enum):
    """What is counted together."""

    SIGN_IN = "sign-in"
    """Whatever a guess can be tried with: passwords and codes."""
    MESSAGE = "message"
    """Whatever makes Cognito send a message, at our cost and to somebody's annoyance."""
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Rule:
    """How often, as `limits` writes it: "10/minute;100/hour". Without a text there is no limit."""

    per_address: str = ""
    per_name: str = ""


def _monotonic() -> float:
    return time.monotonic()


class RateLimits:
    """Counts requests in windows that begin with the first of them.

    `storage` is `memory://`, each process for itself, or `redis://…`, all processes together.
    While Redis is away each process counts in memory and asks for it again every five seconds,
    one request at a time; the log says so once. `realm` keeps apart what shares a Redis. `clock`
    is monotonic, in seconds.
    """

    def __init__(
        self,
        storage: str,
        rules: Mapping[Asking, Rule],
        *,
        realm: str = "",
        clock: Callable[[], float] = _monotonic,
    ) -> None:
        self._rules = {
            asking: (_parsed(rule.per_address), _parsed(rule.per_name))
            for asking, rule in rules.items()
        }
        self._realm = realm
        self._clock = clock
        self._memory = FixedWindowRateLimiter(MemoryStorage())
        self._shared = None if storage == IN_MEMORY else FixedWindowRateLimiter(_connected(storage))
        self._lock = threading.Lock()
        self._is_away = False
        self._ask_again_at = 0.0

    def count(self, asking: Asking, *, address: str | None, name: str | None = None) -> None:
        """Count a request of an address, and of those who know a name.

        Beyond a limit of the address nothing is counted for the name: one address cannot use up
        what the name's owner has. An address that is not known (a Unix socket) has no limit.

        Raises RateLimited.
        """
        per_address, per_name = self._rules[asking]
        if address:
            self._count(per_address, asking.value, "address", _network(address))
        if name:
            self._count(per_name, asking.value, "name", _hashed(name))

    def _count(self, items: list[RateLimitItem], *key: str) -> None:
        for item in items:
            wait = self._hit(item, self._realm, *key)
            if wait is not None:
                raise RateLimited(max(1, math.ceil(wait)))

    def _hit(self, item: RateLimitItem, *key: str) -> float | None:
        if self._shared is not None and self._may_ask():
            try:
                wait = _hit(self._shared, item, *key)
            except StorageError as error:
                self._lose(error.storage_error)
            else:
                self._find()
                return wait
        return _hit(self._memory, item, *key)

    def _may_ask(self) -> bool:
        """Tell whether to ask Redis; while it is away, one request in a while finds out."""
        if not self._is_away:
            return True
        with self._lock:
            if self._clock() < self._ask_again_at:
                return False
            self._ask_again_at = self._clock() + _PAUSE_SECONDS
            return True

    def _lose(self, error: Exception) -> None:
        with self._lock:
            was_away, self._is_away = self._is_away, True
            self._ask_again_at = self._clock() + _PAUSE_SECONDS
        if not was_away:
            # The class alone: the text may repeat the address with its password.
            reason = type(error).__name__
            logger.warning("Redis is away, rate limits hold for each process alone: %s", reason)

    def _find(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.warning("Redis is back: rate limits hold for all processes together")


def is_rate(text: str) -> bool:
    """Tell whether a text says how often, as in "10/minute;100/hour"."""
    try:
        items = _parsed(text)
    except ValueError:
        return False
    return bool(items) and all(item.amount and item.multiples for item in items)


def _parsed(text: str) -> list[RateLimitItem]:
    return parse_many(text) if text else []


def _connected(uri: str) -> Storage:
    """Return Redis; its client takes 12 MB and a tenth of a second, so only who has it loads it."""
    found: Storage = importlib.import_module("resource_server.redis_storage").connect(uri)
    return found


def _hit(limiter: FixedWindowRateLimiter, item: RateLimitItem, *key: str) -> float | None:
    """Count one; return how long to wait, in seconds, if it is one too many."""
    if limiter.hit(item, *key):
        return None
    return limiter.get_window_stats(item, *key).reset_time - time.time()


def _network(address: str) -> str:
    """Return what one customer of a provider has: an IPv4 address, or an IPv6 network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # whatever a proxy may write there
        return _hashed(address)
    if found.version == 4:  # noqa: PLR2004 - of the Internet Protocol
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    network = ipaddress.IPv6Network((int(found), _IPV6_PREFIX), strict=False)
    return str(network.network_address)


def _hashed(name: str) -> str:
    """Return a key for a name, one for all its spellings. Redis need not know the name.

    Pools may ignore case, and what people type comes in several Unicode forms. All that looks alike
    under NFKC and case folding counts together, as do spaces around it (RFC 8265 §3.3).
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return hashlib.sha256(folded.strip().encode()).hexdigest()[:_NAME_CHARACTERS]
