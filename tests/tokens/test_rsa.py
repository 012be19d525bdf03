"""Which RSA keys may serve: their size and exponent, and signs of bad generation."""

import logging
import math
import random
from typing import Any

import pytest

from resource_server.emulator.keys import PoolKeys
from resource_server.tokens import KeySet
from resource_server.tokens.rsa import weakness
from tests.tokens.doubles import document, encoded, private_key

RANDOM = random.Random(2017)  # noqa: S311 - the same numbers in each run
PRIMES = [n for n in range(3, 168, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2))]


@pytest.fixture(scope="session")
def good(cognito_keys: PoolKeys) -> int:
    """The modulus of a key that may serve."""
    return private_key(cognito_keys.access).public_key().public_numbers().n


def odd(bits: int) -> int:
    """Return a random odd number whose two highest bits are set."""
    return RANDOM.getrandbits(bits) | 3 << (bits - 2) | 1


def without_small_factors(number: int) -> int:
    """Return the next number that no prime below 10,000 divides."""
    while any(number % divisor == 0 for divisor in range(2, 10_000)):
        number += 1
    return number


def of_the_flawed_generator() -> int:
    """Return a number with the fingerprint of CVE-2017-15361: a power of 65537 modulo primes."""
    product = math.prod(PRIMES)
    return pow(65_537, 12_345, product) + product * odd(2048 - product.bit_length())


@pytest.mark.parametrize("exponent", [65_537, 65_539, 2**255 + 1])
def test_a_sound_key_has_no_weakness(good: int, exponent: int) -> None:
    """Cognito's exponent is 65537. FIPS 186-5 allows odd ones of up to 256 bits."""
    assert weakness(good, exponent) is None


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 17, 257, 65_535, 65_536, 65_538, 2**256 + 1])
def test_a_bad_exponent_is_a_weakness(good: int, exponent: int) -> None:
    """FIPS 186-5 section A.1.1: odd, more than 2^16, less than 2^256."""
    assert "exponent" in (weakness(good, exponent) or "")


WEAK: list[Any] = [
    pytest.param(lambda _: 2**2046 + 1, "8192 bits", id="rfc7518-3.3-2047-bits"),
    pytest.param(lambda _: 2**8192 + 1, "8192 bits", id="8193-bits"),
    pytest.param(lambda _: of_the_flawed_generator(), "CVE-2017-15361", id="cve-2017-15361"),
    pytest.param(lambda n: n - 1, "small factor", id="even"),
    pytest.param(lambda n: n - n % 3, "small factor", id="divisible-by-3"),
    pytest.param(lambda n: n - n % 9973, "small factor", id="divisible-by-9973"),
    pytest.param(
        lambda _: without_small_factors(odd(1024)) ** 2, "close to each other", id="a-square"
    ),
    pytest.param(
        lambda _: (
            (near := without_small_factors(odd(1024))) * without_small_factors(near + 2 * 10**150)
        ),
        "close to each other",
        id="close-primes",
    ),
]


@pytest.mark.parametrize(("make", "reason"), WEAK)
def test_a_badly_made_modulus_is_a_weakness(good: int, make: Any, reason: str) -> None:
    """Anyone who finds the private key can sign tokens."""
    assert reason in (weakness(make(good), 65_537) or "")


@pytest.mark.parametrize(("make", "reason"), WEAK)
def test_one_weak_key_does_not_break_the_set(
    caplog: pytest.LogCaptureFixture, cognito_keys: PoolKeys, good: int, make: Any, reason: str
) -> None:
    """It is passed over, and the log says why. The others serve."""
    jwk = dict(cognito_keys.access.as_dict(private=False))
    modulus = make(good)
    weak = jwk | {"kid": "weak", "n": encoded(modulus.to_bytes((modulus.bit_length() + 7) // 8))}
    with caplog.at_level(logging.WARNING):
        keys = KeySet.parse(document(weak, jwk)).keys
    assert list(keys) == [jwk["kid"]]
    assert reason in caplog.text
    with pytest.raises(ValueError, match="no usable"):
        KeySet.parse(document(weak))
