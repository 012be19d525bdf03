"""Verified tokens, remembered: a client sends the same one for an hour."""

from resource_server.tokens.claims import AccessToken
from resource_server.tokens.keys import KeySet, KeyStore

Remembered = tuple[AccessToken, KeyStore, KeySet]
"""A verified token, and the key set it was verified with."""


class TokenCache:
    """From a token's SHA-256 to what it verified to; the token itself is not kept.

    Two generations instead of a list in the order of use: a token that is used moves to the young
    one, and when that holds half of `size` it becomes the old one, whose unused entries go. So
    whatever was used within the last `size / 2` different tokens is there, and there are never more
    than `size` (rounded up to an even number). It takes a third of OrderedDict's time, and no lock,
    which a fork could leave locked: each step is one operation of a dict, and any order of two
    threads' steps is sound.
    """

    def __init__(self, size: int) -> None:
        self._half = (size + 1) // 2
        self._young: dict[bytes, Remembered] = {}
        self._old: dict[bytes, Remembered] = {}

    def __len__(self) -> int:
        return len({*self._young, *self._old})

    def get(self, digest: bytes) -> Remembered | None:
        """Return an entry and count it as used just now."""
        entry = self._young.get(digest)
        if entry is None:
            entry = self._old.get(digest)
            if entry is not None:
                self.put(digest, entry)
        return entry

    def put(self, digest: bytes, entry: Remembered) -> None:
        """Remember a token."""
        young = self._young
        if len(young) >= self._half:
            if self._half == 0:
                return
            self._old, self._young = young, {}
            young = self._young
        young[digest] = entry

    def drop(self, digest: bytes) -> None:
        """Forget a token."""
        self._young.pop(digest, None)
        self._old.pop(digest, None)
