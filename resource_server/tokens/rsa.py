"""Whether an RSA public key may be trusted: its size, its exponent, and signs of bad generation."""

import functools
import math

MIN_RSA_BITS = 2048  # RFC 7518 §3.3
MAX_RSA_BITS = 8192  # a verification takes 16 times as long as with 2048
_MIN_EXPONENT, _MAX_EXPONENT_BITS = 65_537, 256  # FIPS 186-5 §A.1.1
_SMALL_FACTORS_BELOW = 10_000
_FERMAT_ROUNDS = 100


def _primes(below: int) -> list[int]:
    sieve = bytearray([1]) * below
    sieve[:2] = b"\0\0"
    for number in range(2, math.isqrt(below) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(sieve[number * number :: number]))
    return [number for number, is_prime in enumerate(sieve) if is_prime]


# CVE-2017-15361: a modulus of the flawed generator is a power of 65537 modulo each of these primes
# (Nemec et al., "The Return of Coppersmith's Attack", 2017, section 3). By chance one modulus in
# 2^27 or fewer is, too.
_ROCA_RESIDUES = {
    prime: frozenset(pow(65_537, power, prime) for power in range(prime - 1))
    for prime in _primes(168)[1:]
}


@functools.cache
def _small_primes() -> int:
    return math.prod(_primes(_SMALL_FACTORS_BELOW))


@functools.lru_cache(maxsize=64)
def weakness(modulus: int, exponent: int) -> str | None:
    """Return what is wrong with a public key, as a sentence, or None for a key that may serve.

    It takes some milliseconds for a key of 2048 bits, once for each key.
    """
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        return f"its modulus has not {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
    if not (
        exponent % 2 and exponent >= _MIN_EXPONENT and exponent.bit_length() <= _MAX_EXPONENT_BITS
    ):
        return "its exponent is even, less than 65537 or longer than 256 bits"
    if all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES.items()):
        return "its primes come from a flawed generator (CVE-2017-15361)"
    if math.gcd(modulus, _small_primes()) != 1:
        return "its modulus has a small factor"
    if _has_close_factors(modulus):
        return "its primes are close to each other"
    return None


def _has_close_factors(modulus: int) -> bool:
    """Return whether some rounds of Fermat's method find two factors. They may be equal."""
    root = math.isqrt(modulus - 1) + 1
    for middle in range(root, root + _FERMAT_ROUNDS):
        rest = middle * middle - modulus
        if math.isqrt(rest) ** 2 == rest:
            return True
    return False
