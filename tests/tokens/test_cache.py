"""What is remembered of verified tokens, and what goes first."""

import tracemalloc

import pytest

from resource_server.tokens.cache import Remembered, TokenCache, size_of
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


def large(forge: Forge, number: int, groups: int) -> Remembered:
    """Verify a token of a user in so many groups."""
    names = [f"group-{number}-{index}-{'x' * 100}" for index in range(groups)]
    keys = forge.server.store()
    text = forge.claiming(cognito__groups=names, jti=str(number))
    return forge.verifier(keys=keys).verify(text), keys, keys.find(forge.kid)[0]


def test_tokens_take_no_more_memory_than_they_may(forge: Forge) -> None:
    """Those of users in many groups make room earlier, and one in use stays."""
    entries = [large(forge, number, 100) for number in range(20)]
    size = max(size_of(entry[0]) for entry in entries)
    cache = TokenCache(10_000, max_bytes=8 * size)
    for number, entry in enumerate(entries):
        cache.put(name(number), entry)
        assert cache.get(name(0)) is entries[0]
        assert cache.bytes_used <= 8 * size
    assert 4 <= len(cache) <= 8


def test_a_token_that_takes_half_of_the_memory_is_not_kept(forge: Forge) -> None:
    """It would drive out all others."""
    entry = large(forge, 0, 100)
    cache = TokenCache(10_000, max_bytes=size_of(entry[0]) * 2 - 2)
    cache.put(name(0), entry)
    assert (len(cache), cache.bytes_used) == (0, 0)


@pytest.mark.parametrize("groups", [0, 1, 10, 100])
def test_the_size_of_a_token_is_honest(forge: Forge, groups: int) -> None:
    """It is what the interpreter takes, and at most twice as much."""
    verifier = forge.verifier()
    names = [f"group-{index}-{'x' * 100}" for index in range(groups)]
    tokens = [forge.claiming(cognito__groups=names, jti=str(index)) for index in range(201)]
    verifier.verify(tokens.pop())
    tracemalloc.start()
    for text in tokens:
        verifier.verify(text)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted = verifier.stats().cached_bytes * 200 / 201
    assert taken <= counted <= 2 * taken


def test_a_verifier_bounds_the_memory_of_its_tokens(forge: Forge) -> None:
    """By the number and by the bytes, whichever is reached first."""
    verifier = forge.verifier(cache_bytes=100_000)
    for number in range(40):
        verifier.verify(forge.claiming(cognito__groups=["g" * 100] * 50, jti=str(number)))
    assert 0 < verifier.stats().cached_bytes <= 100_000
    assert verifier.stats().cached < 20
