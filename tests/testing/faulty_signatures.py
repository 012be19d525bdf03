"""Signature checks, each right but for one thing."""

import base64
import json
import sqlite3
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, RSAKey

from resource_server.testing.forgeries import attackers_documents
from tests.testing.verifiers import (
    Unverified,
    Verifier,
    decoded,
    is_signed,
    public_keys,
    signed_by_the_pool,
)


def believed(verifier: Verifier, token: Unverified) -> bool:
    """Take the header's word that there is no signature."""
    if token.header.get("alg") not in ("RS256", "ES256", "HS256", "HS384", "HS512"):
        return not token.signature
    return signed_by_the_pool(verifier, token)


def _is_hmac(secret: bytes, token: Unverified) -> bool:
    hashes = {"HS256": SHA256(), "HS384": SHA384(), "HS512": SHA512()}
    hashed: HashAlgorithm | None = hashes.get(token.header.get("alg", ""))
    if hashed is None:
        return False
    check = hmac.HMAC(secret, hashed)
    check.update(token.signed)
    try:
        check.verify(token.signature)
    except InvalidSignature:
        return False
    return True


def secrets_of(verifier: Verifier, kid: str) -> list[bytes]:
    """List what a program may take the pool's public key for."""
    key, jwk = verifier.keys[kid], next(k for k in verifier.pool.jwks()["keys"] if k["kid"] == kid)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return [
        pem,
        pem.strip(),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        key.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        json.dumps(jwk).encode(),
        jwk["n"].encode(),
        decoded(jwk["n"]),
        b"",
        kid.encode(),
        verifier.pool.client_id.encode(),
    ]


def confused(verifier: Verifier, token: Unverified) -> bool:
    """Take the public key for an HMAC's secret."""
    if str(token.header.get("alg")).startswith("HS") and token.header.get("kid") in verifier.keys:
        return any(_is_hmac(s, token) for s in secrets_of(verifier, token.header["kid"]))
    return signed_by_the_pool(verifier, token)


def any_of_rsa(verifier: Verifier, token: Unverified) -> bool:
    """Let the header choose among RSA's algorithms."""
    algorithms: dict[str, tuple[padding.AsymmetricPadding, HashAlgorithm]] = {
        "RS384": (padding.PKCS1v15(), SHA384()),
        "RS512": (padding.PKCS1v15(), SHA512()),
        "PS256": (padding.PSS(padding.MGF1(SHA256()), 32), SHA256()),
    }
    if token.header.get("alg") not in algorithms:
        return signed_by_the_pool(verifier, token)
    try:
        verifier.keys[token.header["kid"]].verify(
            token.signature, token.signed, *algorithms[token.header["alg"]]
        )
    except InvalidSignature:
        return False
    return True


def brought_along(verifier: Verifier, token: Unverified) -> bool:
    """Verify with the `jwk` of the header, whatever its type."""
    jwk = token.header.get("jwk")
    if jwk is None:
        return signed_by_the_pool(verifier, token)
    if jwk["kty"] == "oct":
        return _is_hmac(decoded(jwk["k"]), token)
    if jwk["kty"] == "EC":
        r, s = (int.from_bytes(half) for half in (token.signature[:32], token.signature[32:]))
        key = ECKey.import_key(jwk).public_key
        key.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(SHA256()))
        return True
    return is_signed(RSAKey.import_key(jwk).public_key, token)


def _certified(certificate: x509.Certificate, token: Unverified) -> bool:
    key = certificate.public_key()
    assert isinstance(key, RSAPublicKey)
    return is_signed(key, token)


def certificate_brought_along(verifier: Verifier, token: Unverified) -> bool:
    """Verify with the certificate of the header, whoever gave it."""
    if "x5c" in token.header:
        der = base64.b64decode(token.header["x5c"][0])
        return _certified(x509.load_der_x509_certificate(der), token)
    return signed_by_the_pool(verifier, token)


def fetched(verifier: Verifier, token: Unverified) -> bool:
    """Fetch keys from wherever the token says: `jku`, `x5u`, or the issuer it claims."""
    served = {at: write() for at, write in attackers_documents(verifier.pool).items()}
    if "x5u" in token.header:
        pem = served[token.header["x5u"]]
        return _certified(x509.load_pem_x509_certificate(pem), token)
    uri = token.header.get("jku", f"{token.claims.get('iss')}/.well-known/jwks.json")
    keys = verifier.keys | public_keys(json.loads(served.get(uri, b'{"keys":[]}')))
    kid = token.header.get("kid")
    return token.header.get("alg") == "RS256" and kid in keys and is_signed(keys[kid], token)


def from_a_file(verifier: Verifier, token: Unverified) -> bool:
    """Read the key from a file called `kid`."""
    kid = token.header.get("kid")
    if token.header.get("alg") == "HS256" and isinstance(kid, str) and len(kid) < 100:
        file = Path(__file__).parent / kid
        return file.exists() and _is_hmac(file.read_bytes(), token)
    return signed_by_the_pool(verifier, token)


def from_a_database(verifier: Verifier, token: Unverified) -> bool:
    """Look the key up with a query put together from `kid`."""
    kid = token.header.get("kid")
    if token.header.get("alg") != "HS256" or not isinstance(kid, str):
        return signed_by_the_pool(verifier, token)
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE TABLE keys (id TEXT, secret TEXT)")
        row = database.execute(f"SELECT secret FROM keys WHERE id = '{kid}'").fetchone()  # noqa: S608 - the flaw
    except sqlite3.Error:
        return False
    finally:
        database.close()
    return row is not None and _is_hmac(row[0].encode(), token)
