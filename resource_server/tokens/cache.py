"""Verified tokens, remembered: a client sends the same one for an hour."""

import math
from sys import getsizeof

from resource_server.tokens.claims import AccessToken
from resource_server.tokens.keys import KeySet, KeyStore

Remembered = tuple[AccessToken, KeyStore, KeySet]
"""A verified token, and the key set it was verified with."""

_ENTRY_BYTES = 350  # the digest, the tuple around the token, and their places in a dict


def size_of(token: AccessToken) -> int:
    """Return about how many bytes of memory a cached token takes.

    Most of it are the payload and the groups of its user, up to 60,000 bytes.
    """
    return _ENTRY_BYTES + sum(map(getsizeof, token)) + sum(map(getsizeof, token.groups))


class TokenCache:
    """From a token's SHA-256 to what it verified to; the token itself is not kept.

    Two generations instead of a list in the order of use: a token that is used moves to the young
    one, and when that holds half of `size` tokens or half of `max_bytes` it becomes the old one,
    whose unused entries go. So whatever was used within the last `size / 2` different tokens is
    there, as long as they are small, and there are never more than `size` (rounded up to an even
    number). It takes a third of OrderedDict's time, and no lock, which a fork could leave locked:
    each step is one operation of a dict, and any order of two threads' steps is sound. Two threads
    can miss one of two sizes, until the next generation.
    """

    def __init__(self, size: int, *, max_bytes: float = math.inf) -> None:
        self._half = (size + 1) // 2
        self._half_bytes = max_bytes / 2
        self._young: dict[bytes, Remembered] = {}
        self._old: dict[bytes, Remembered] = {}
        self._young_bytes = self._old_bytes = 0

    def __len__(self) -> int:
        return len({*self._young, *self._old})

    @property
    def bytes_used(self) -> int:
        """About how much memory the tokens take. One in both generations counts twice."""
        return self._young_bytes + self._old_bytes

    def get(self, digest: bytes) -> Remembered | None:
        """Return an entry and count it as used just now."""
        entry = self._young.get(digest)
        if entry is None:
            entry = self._old.get(digest)
            if entry is not None:
                self.put(digest, entry)
        return entry

    def put(self, digest: bytes, entry: Remembered) -> None:
        """Cache a token, unless it takes more than half of the memory by itself."""
        size = size_of(entry[0])
        if self._half == 0 or size > self._half_bytes:
            return
        if len(self._young) >= self._half or self._young_bytes + size > self._half_bytes:
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0
        self._young[digest] = entry
        self._young_bytes += size

    def drop(self, digest: bytes) -> None:
        """Forget a token. Its memory counts until its generation goes."""
        self._young.pop(digest, None)
        self._old.pop(digest, None)
