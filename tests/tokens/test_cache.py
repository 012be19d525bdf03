"""What is remembered of verified tokens, and what goes first."""

import pytest

from resource_server.tokens.cache import Remembered, TokenCache
from tests.tokens.doubles import Forge


@pytest.fixture
def entry(forge: Forge) -> Remembered:
    """A verified token with the keys that it was verified with."""
    keys = forge.server.warm_store(forge.kid)
    return forge.verifier().verify(forge.token()), keys, keys.find(forge.kid)[0]


def name(number: int) -> bytes:
    """Return what stands for the digest of a token."""
    return number.to_bytes(32)


def test_what_was_put_is_found_until_it_is_dropped(entry: Remembered) -> None:
    """Whichever of the two generations it is in; what is not there may be dropped, too."""
    cache = TokenCache(4)
    for number in range(4):
        cache.put(name(number), entry)
    assert len(cache) == 4
    assert cache.get(name(3)) is entry
    for number in range(4):
        cache.drop(name(number))
        cache.drop(name(number))
        assert cache.get(name(number)) is None
    assert len(cache) == 0


@pytest.mark.parametrize(("size", "most"), [(0, 0), (1, 2), (2, 2), (9, 10), (10, 10)])
def test_there_are_never_more_than_size_rounded_up_to_even(
    entry: Remembered, size: int, most: int
) -> None:
    """However many were put in; and as many are reached."""
    cache = TokenCache(size)
    sizes = []
    for number in range(5 * most + 5):
        cache.put(name(number), entry)
        sizes.append(len(cache))
    assert max(sizes) == most


def test_what_was_used_within_half_of_the_size_is_there(entry: Remembered) -> None:
    """A client in use is not verified anew because many others come."""
    cache = TokenCache(10)
    cache.put(name(0), entry)
    for number in range(1, 200):
        cache.put(name(number), entry)
        if number % 5 == 0:
            assert cache.get(name(0)) is entry
    for number in range(200, 211):
        cache.put(name(number), entry)
    assert cache.get(name(0)) is None
