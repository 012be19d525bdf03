"""The attacker: keys of his own, and the documents he serves.

Made once per process and only when needed: a key takes a tenth of a second.
"""

import datetime as dt
import functools
import json
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import RSAKey

from resource_server.testing.forgeries.draft import encoded, private_key, rs256
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import UserPool

# RFC 2606 §2: nobody ever has this name.
JWKS_URI = "https://attacker.example/.well-known/jwks.json"
CERTIFICATE_URI = "https://attacker.example/certificate.pem"
_COORDINATE = 32  # bytes of a P-256 coordinate


@functools.cache
def key() -> RSAKey:
    """Return the attacker's RSA key."""
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


def sign(data: bytes) -> bytes:
    """Sign as the attacker, with RS256."""
    return rs256(key())(data)


def kid() -> str:
    """Return the id of his key, which no pool has."""
    return str(key().kid)


def jwk() -> dict[str, object]:
    """Return his public key."""
    return dict(key().as_dict(private=False))


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """Return his key on the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def ec_jwk() -> dict[str, object]:
    """Return its public half (RFC 7518 §6.2.1)."""
    point = ec_key().public_key().public_numbers()
    x, y = (encoded(number.to_bytes(_COORDINATE)) for number in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def sign_es256(data: bytes) -> bytes:
    """Sign as the attacker, with ES256 (RFC 7518 §3.4)."""
    numbers = decode_dss_signature(ec_key().sign(data, ec.ECDSA(SHA256())))
    return b"".join(number.to_bytes(_COORDINATE) for number in numbers)


@functools.cache
def certificate() -> x509.Certificate:
    """Return a certificate that he gave himself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cognito-idp.amazonaws.com")])
    now = dt.datetime.now(dt.UTC)
    private = private_key(key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(private, SHA256())
    )


def other_pool(pool: CognitoPool) -> UserPool:
    """Return a pool of the attacker's in the same region: anybody with an AWS account has one."""
    return UserPool.parse(f"{pool.pool_id.partition('_')[0]}_Attacker1")


def documents(pool: CognitoPool) -> dict[str, Callable[[], bytes]]:
    """Return what the attacker serves, by address.

    The fixture `cognito_pool` serves it beside the pool's keys: a verifier that follows `jku`,
    `x5u` or the `iss` of the token then finds the attacker's key there, and is found out.
    """
    return {
        JWKS_URI: _jwks,
        other_pool(pool).jwks_uri: _jwks,
        CERTIFICATE_URI: lambda: certificate().public_bytes(Encoding.PEM),
    }


def _jwks() -> bytes:
    return json.dumps({"keys": [jwk()]}).encode()
