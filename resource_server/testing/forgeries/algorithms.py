"""Algorithms: none, the public key as a secret, and any that the pool does not use."""

import json

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from resource_server.testing.forgeries import attacker
from resource_server.testing.forgeries.draft import (
    ABSENT,
    Draft,
    encoded,
    hs,
    private_key,
    public_key,
    unsigned,
)
from resource_server.testing.forgeries.forgery import Forgery, Severity

_ANY = "It lets the token's header say that there is no signature."
_NONE_RULE = "RFC 8725 section 3.2; RFC 7518 section 3.6"
_CONFUSED = (
    "It lets the header say that the signature is an HMAC, whose secret then is the public key."
)
_RULE = "RFC 8725 section 3.1"
_NOT_THE_POOLS = "It takes an algorithm that the pool does not use."


def _none(name: str, **header: object) -> Forgery:
    return Forgery(
        name,
        Severity.CRITICAL,
        _ANY,
        _NONE_RULE,
        lambda d: d.token(d.header(**header), sign=unsigned),
    )


def _text(draft: Draft, encoding: Encoding, form: PublicFormat) -> bytes:
    return public_key(draft.pool).public_bytes(encoding, form)


def _pem(draft: Draft) -> bytes:
    return _text(draft, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _jwk(draft: Draft) -> dict[str, str]:
    return {name: str(v) for name, v in draft.pool.keys.access.as_dict(private=False).items()}


def _modulus(draft: Draft) -> bytes:
    number = public_key(draft.pool).public_numbers().n
    return number.to_bytes((number.bit_length() + 7) // 8)


_SECRETS = {
    "hs256-with-public-key": _pem,
    "hs256-with-public-key-stripped": lambda d: _pem(d).strip(),
    "hs256-with-public-key-der": lambda d: _text(
        d, Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ),
    "hs256-with-public-key-pkcs1": lambda d: _text(d, Encoding.PEM, PublicFormat.PKCS1),
    "hs256-with-public-key-pkcs1-der": lambda d: _text(d, Encoding.DER, PublicFormat.PKCS1),
    "hs256-with-jwk": lambda d: json.dumps(_jwk(d)).encode(),
    "hs256-with-modulus": lambda d: _jwk(d)["n"].encode(),
    "hs256-with-modulus-bytes": _modulus,
    "hs256-with-empty-secret": lambda _: b"",
    "hs256-with-key-id": lambda d: d.kid.encode(),
    "hs256-with-client-id": lambda d: d.pool.client_id.encode(),
}


ALGORITHMS = [
    _none("alg-none", alg="none"),
    _none("alg-none-capitalised", alg="None"),
    _none("alg-none-upper-case", alg="NONE"),
    _none("alg-none-mixed-case", alg="nOnE"),
    _none("alg-none-with-space", alg="none "),
    _none("alg-none-without-kid", alg="none", kid=ABSENT),
    _none("alg-empty", alg=""),
    _none("alg-null", alg=None),
    _none("alg-missing", alg=ABSENT),
    _none("alg-list", alg=["none"]),
    _none("alg-number", alg=0),
    _none("alg-unknown", alg="RS257"),
    Forgery(
        "alg-none-with-signature",
        Severity.CRITICAL,
        _ANY,
        _NONE_RULE,
        lambda d: ".".join((encoded(b'{"alg":"none"}'), *d.parts[1:])),
    ),
    Forgery(
        "alg-twice",
        Severity.CRITICAL,
        "It checks one `alg` of the header and goes by another one.",
        "RFC 7515 section 4; RFC 8725 section 3.1",
        lambda d: d.token(
            b'{"alg":"RS256","kid":"%s","alg":"none"}' % d.kid.encode(), sign=unsigned
        ),
    ),
    *(
        Forgery(
            name,
            Severity.CRITICAL,
            _CONFUSED,
            _RULE,
            lambda d, secret=secret: d.token(d.header(alg="HS256"), sign=hs(secret(d))),  # type: ignore[misc]
        )
        for name, secret in _SECRETS.items()
    ),
    *(
        Forgery(
            f"hs{bits}-with-public-key",
            Severity.CRITICAL,
            _CONFUSED,
            _RULE,
            lambda d, bits=bits: d.token(d.header(alg=f"HS{bits}"), sign=hs(_pem(d), bits)),  # type: ignore[misc]
        )
        for bits in (384, 512)
    ),
    Forgery(
        "es256-zero-signature",
        Severity.CRITICAL,
        "It takes an elliptic curve's signature, and one that is no pair of numbers in range.",
        "RFC 8725 sections 3.1 and 3.4",
        lambda d: d.token(d.header(alg="ES256"), sign=lambda _: bytes(64)),
    ),
    Forgery(
        "es256-with-jwk",
        Severity.CRITICAL,
        "It takes an algorithm that the pool does not use, with a key that the token brought.",
        "RFC 8725 section 3.1; RFC 7515 section 4.1.3",
        lambda d: d.token(d.header(alg="ES256", jwk=attacker.ec_jwk()), sign=attacker.sign_es256),
    ),
    *(
        Forgery(
            f"rs{hashed.digest_size * 8}",
            Severity.MEDIUM,
            _NOT_THE_POOLS,
            _RULE,
            lambda d, hashed=hashed: d.token(  # type: ignore[misc]
                d.header(alg=f"RS{hashed.digest_size * 8}"),
                sign=lambda data: private_key(d.pool.keys.access).sign(data, PKCS1v15(), hashed),
            ),
        )
        for hashed in (SHA384(), SHA512())
    ),
    Forgery(
        "ps256",
        Severity.MEDIUM,
        _NOT_THE_POOLS,
        _RULE,
        lambda d: d.token(
            d.header(alg="PS256"),
            sign=lambda data: private_key(d.pool.keys.access).sign(
                data, PSS(MGF1(SHA256()), SHA256.digest_size), SHA256()
            ),
        ),
    ),
    Forgery(
        "alg-lower-case",
        Severity.LOW,
        "It compares `alg`, which is case-sensitive, in another way.",
        "RFC 7515 section 4.1.1",
        lambda d: d.token(d.header(alg="rs256")),
    ),
]
