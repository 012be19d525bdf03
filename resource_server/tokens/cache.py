"""Verified tokens, remembered: a client sends the same one for an hour."""

import contextlib
from collections import OrderedDict
from typing import NamedTuple

from resource_server.tokens.claims import AccessToken
from resource_server.tokens.keys import KeySet, KeyStore


class Remembered(NamedTuple):
    """A verified token, and the key set it was verified with."""

    token: AccessToken
    store: KeyStore
    keys: KeySet


class TokenCache:
    """A bounded LRU from a token's SHA-256 to what it verified to; the token itself is not kept.

    It has no lock, which a fork could leave locked: each step is one operation of OrderedDict,
    which CPython does in one piece, and every order of two threads' steps leaves the cache sound.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes) -> Remembered | None:
        """Return an entry and count it as used just now."""
        entry = self._entries.get(digest)
        if entry is not None:
            with contextlib.suppress(KeyError):  # another thread needed its place
                self._entries.move_to_end(digest)
        return entry

    def put(self, digest: bytes, entry: Remembered) -> None:
        """Remember a token; the one unused for longest makes room."""
        if self._size == 0:
            return
        self._entries[digest] = entry
        if len(self._entries) > self._size:
            with contextlib.suppress(KeyError):  # another thread did
                self._entries.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        """Forget a token."""
        self._entries.pop(digest, None)
