"""Tokens that must be refused, each by its own error: forgeries, confusions, malformed text.

Covered, in code of our own: of aws-jwt-verify's unit tests the groups "parse errors" (17 cases),
"expiry" (5), "not before" (4), "kid errors" (2, and no `kid`) and the Cognito verifier's (ID token,
token use missing, client, pool id, several pools), while those on keys (7 for RSA) are in
test_keys.py; of Wycheproof's JWS vectors the 12 that take an RS256 token's parts away or change
them, the none algorithm (4), and the family of 213 with a modified PKCS #1 v1.5 padding, as
`test_a_padding_that_is_not_exact_is_refused`; and the flaws of the advisories on Authlib, PyJWT,
joserfc and python-jose that concern RS256.
"""

# ruff: noqa: E501 - the table has a row a case
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet as JoseKeySet

from resource_server.testing.pool import CognitoPool
from resource_server.tokens import AccessToken, CognitoVerifier, KeyStore, TrustedPool, errors
from resource_server.tokens.parsing import MAX_TOKEN_CHARACTERS

NOW = 1_800_000_000
POOL = CognitoPool()
STRANGER = CognitoPool()  # the same pool id, other keys


def _store(pool: CognitoPool) -> KeyStore:
    document = json.dumps(pool.jwks()).encode()
    return KeyStore(pool.jwks_uri, fetch=lambda _uri, _timeout: document)


def _verifier(**options: Any) -> CognitoVerifier:
    usual: dict[str, Any] = {"client_ids": {POOL.client_id}, "keys": _store(POOL)}
    return CognitoVerifier(POOL.user_pool, **usual | {"now": lambda: NOW} | options)


VERIFIER = _verifier()


def b64(data: bytes) -> str:
    """Encode as a part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(**claims: Any) -> str:
    """Mint a token that is good at NOW, but for what is given."""
    return POOL.access_token(**{"iat": NOW, "exp": NOW + 60, "auth_time": NOW} | claims)


def parts() -> list[str]:
    """Take a good token apart."""
    return token().split(".")


def signed(
    header: bytes | None = None,
    payload: bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """Build a token of any header and payload, signed with the pool's key or otherwise."""
    kid = POOL.keys.access.kid
    head = b64(json.dumps({"kid": kid, "alg": "RS256"}).encode() if header is None else header)
    body = b64(_claims() if payload is None else payload)
    return f"{head}.{body}.{b64((sign or rs256)(f'{head}.{body}'.encode()))}"


def _claims(**changes: Any) -> bytes:
    claims = json.loads(base64.urlsafe_b64decode(parts()[1] + "==="))
    return json.dumps(claims | changes).encode()


def _private_key(pool: CognitoPool = POOL) -> rsa.RSAPrivateKey:
    key = pool.keys.access.private_key
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def rs256(data: bytes) -> bytes:
    """Sign as the pool does."""
    return _private_key().sign(data, padding.PKCS1v15(), SHA256())


def header(**members: Any) -> bytes:
    """Write a header with the pool's `kid`; a member that is None is left out."""
    named = {"kid": POOL.keys.access.kid, "alg": "RS256", **members}
    return json.dumps({k: v for k, v in named.items() if v is not None}).encode()


def hs256(key: bytes) -> Callable[[bytes], bytes]:
    """Sign with a shared secret that is no secret."""
    return lambda data: hmac.digest(key, data, hashlib.sha256)


PEM = (
    _private_key()
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)
DER = (
    _private_key()
    .public_key()
    .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)
JWK = json.dumps(POOL.jwks()["keys"][1]).encode()
E = errors

FORGERIES: list[tuple[str, Callable[[], Any], type[Exception]]] = [
    # Somebody else's signature (RFC 7515 section 5.2)
    ("another key under the pool's kid", lambda: signed(sign=lambda d: _private_key(STRANGER).sign(d, padding.PKCS1v15(), SHA256())), E.BadSignature),
    ("another pool's key and kid", STRANGER.access_token, E.UnknownKey),
    ("signature of another token", lambda: ".".join([*parts()[:2], token(jti="x").split(".")[2]]), E.BadSignature),
    ("signature empty", lambda: ".".join([*parts()[:2], ""]), E.BadSignature),
    ("signature cut short", lambda: signed(sign=lambda d: rs256(d)[:-1]), E.BadSignature),
    ("signature of zeros", lambda: signed(sign=lambda _: bytes(256)), E.BadSignature),
    ("signature longer than the key", lambda: signed(sign=lambda d: rs256(d) + b"\0"), E.BadSignature),
    ("payload altered", lambda: ".".join([parts()[0], b64(_claims(sub="other")), parts()[2]]), E.BadSignature),
    ("header altered", lambda: ".".join([b64(header(typ="JWT")), *parts()[1:]]), E.BadSignature),
    ("payload no JSON, badly signed", lambda: signed(payload=b"x", sign=bytes), E.BadSignature),
    ("expired and badly signed", lambda: signed(payload=_claims(exp=1), sign=lambda _: bytes(256)), E.BadSignature),
    ("the pool's other key under this kid", lambda: POOL.keys.sign("id", {}).replace(POOL.keys.sign("id", {}).split(".")[0], b64(header())), E.BadSignature),
    # Another algorithm (RFC 8725 section 3.1)
    ("alg none, no signature", lambda: f"{b64(header(alg='none'))}.{parts()[1]}.", E.UnsupportedAlgorithm),
    ("alg None", lambda: signed(header(alg="None")), E.UnsupportedAlgorithm),
    ("alg nOnE with the good signature", lambda: ".".join([b64(header(alg="nOnE")), *parts()[1:]]), E.UnsupportedAlgorithm),
    ("alg missing", lambda: signed(header(alg=None)), E.UnsupportedAlgorithm),
    ("alg lower case", lambda: signed(header(alg="rs256")), E.UnsupportedAlgorithm),
    ("alg empty", lambda: signed(header(alg="")), E.UnsupportedAlgorithm),
    ("alg a list", lambda: signed(header(alg=["RS256"])), E.UnsupportedAlgorithm),
    ("alg a number", lambda: signed(header(alg=256)), E.UnsupportedAlgorithm),
    ("HS256 with the public key as PEM", lambda: signed(header(alg="HS256"), sign=hs256(PEM)), E.UnsupportedAlgorithm),
    ("HS256 with the public key as DER", lambda: signed(header(alg="HS256"), sign=hs256(DER)), E.UnsupportedAlgorithm),
    ("HS256 with the JWK's text", lambda: signed(header(alg="HS256"), sign=hs256(JWK)), E.UnsupportedAlgorithm),
    ("HS256 with an empty key", lambda: signed(header(alg="HS256"), sign=hs256(b"")), E.UnsupportedAlgorithm),
    ("RS512 by the pool's key", lambda: signed(header(alg="RS512"), sign=lambda d: _private_key().sign(d, padding.PKCS1v15(), SHA512())), E.UnsupportedAlgorithm),
    ("RS512's signature called RS256", lambda: signed(sign=lambda d: _private_key().sign(d, padding.PKCS1v15(), SHA512())), E.BadSignature),
    ("PSS's signature called RS256", lambda: signed(sign=lambda d: _private_key().sign(d, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())), E.BadSignature),
    ("ES256", lambda: signed(header(alg="ES256")), E.UnsupportedAlgorithm),
    ("encrypted: RSA-OAEP", lambda: signed(header(alg="RSA-OAEP", enc="A256GCM", zip="DEF")), E.UnsupportedAlgorithm),
    # Header parameters (RFC 7515 section 4.1, RFC 7797)
    ("crit with a known member", lambda: signed(header(crit=["exp"], exp=1)), E.UnsupportedHeader),
    ("crit empty", lambda: signed(header(crit=[])), E.UnsupportedHeader),
    ("crit null", lambda: signed(b'{"alg":"RS256","kid":"k","crit":null}'), E.UnsupportedHeader),
    ("crit a text", lambda: signed(header(crit="b64")), E.UnsupportedHeader),
    ("b64 false", lambda: signed(header(crit=["b64"], b64=False)), E.UnsupportedHeader),
    ("typ of an ID token", lambda: signed(header(typ="id+jwt")), E.UnsupportedHeader),
    ("typ a list", lambda: signed(header(typ=["JWT"])), E.UnsupportedHeader),
    ("typ a number", lambda: signed(header(typ=1)), E.UnsupportedHeader),
    ("kid missing", lambda: signed(header(kid=None)), E.MissingKeyId),
    ("kid empty", lambda: signed(header(kid="")), E.MissingKeyId),
    ("kid a number", lambda: signed(header(kid=1)), E.MissingKeyId),
    ("kid a list", lambda: signed(header(kid=[POOL.keys.access.kid])), E.MissingKeyId),
    ("kid of nobody", lambda: signed(header(kid="../../etc/passwd")), E.UnknownKey),
    ("attacker's jwk in the header", lambda: signed(header(kid="mine", jwk=STRANGER.jwks()["keys"][1])), E.UnknownKey),
    ("jku to the attacker", lambda: signed(header(kid="mine", jku="https://evil.example/jwks.json")), E.UnknownKey),
    ("x5u and x5c of the attacker", lambda: signed(header(kid="mine", x5u="https://evil.example/", x5c=["x"])), E.UnknownKey),
    ("attacker's jwk under the pool's kid", lambda: signed(header(jwk={"kty": "RSA", "e": "AQAB", "n": "AQ"}), sign=lambda d: _private_key(STRANGER).sign(d, padding.PKCS1v15(), SHA256())), E.BadSignature),
    # Text (RFC 7515 sections 2, 3.1, 4; RFC 4648 section 3.5; RFC 8259)
    ("empty", str, E.MalformedToken),
    ("a dot", lambda: ".", E.MalformedToken),
    ("two dots", lambda: "..", E.MalformedToken),
    ("signature and its dot missing", lambda: token().rpartition(".")[0], E.MalformedToken),
    ("payload missing", lambda: f"{parts()[0]}..{parts()[2]}", E.BadSignature),
    ("payload and its dot missing", lambda: f"{parts()[0]}.{parts()[2]}", E.MalformedToken),
    ("header missing", lambda: f".{parts()[1]}.{parts()[2]}", E.MalformedToken),
    ("header and its dot missing", lambda: f"{parts()[1]}.{parts()[2]}", E.MalformedToken),
    ("header and signature missing", lambda: f".{parts()[1]}.", E.MalformedToken),
    ("the payload alone", lambda: parts()[1], E.MalformedToken),
    ("two parts", lambda: ".".join(parts()[:2]), E.MalformedToken),
    ("four parts", lambda: token() + ".x", E.MalformedToken),
    ("five parts, as encrypted", lambda: "a.b.c.d.e", E.MalformedToken),
    ("JSON serialisation", lambda: json.dumps({"payload": parts()[1], "signatures": []}), E.MalformedToken),
    ("space in front", lambda: " " + token(), E.MalformedToken),
    ("newline at the end", lambda: token() + "\n", E.MalformedToken),
    ("newline within", lambda: token()[:50] + "\n" + token()[50:], E.MalformedToken),
    ("padding", lambda: ".".join([parts()[0] + "=", *parts()[1:]]), E.MalformedToken),
    ("padding of the signature", lambda: token() + "==", E.MalformedToken),
    ("standard base64", lambda: signed(sign=lambda _: b"\xfb\xff" * 128).replace("-", "+").replace("_", "/"), E.MalformedToken),
    ("stray bits in the signature", lambda: _with_stray_bits(token()), E.MalformedToken),
    ("foreign character", lambda: ".".join(["!" + parts()[0], *parts()[1:]]), E.MalformedToken),
    ("not ASCII", lambda: "ü" + token(), E.MalformedToken),
    ("lone surrogate", lambda: "\ud800" + token(), E.MalformedToken),
    ("NUL", lambda: token() + "\0", E.MalformedToken),
    ("bytes", lambda: token().encode(), E.MalformedToken),
    ("None", lambda: None, E.MalformedToken),
    ("a number", lambda: 7, E.MalformedToken),
    ("header no JSON", lambda: signed(b"x"), E.MalformedToken),
    ("header a list", lambda: signed(b"[]"), E.MalformedToken),
    ("header empty", lambda: signed(b""), E.MalformedToken),
    ("header UTF-16", lambda: signed(header().decode().encode("utf-16")), E.MalformedToken),
    ("header with a BOM", lambda: signed(b"\xef\xbb\xbf" + header()), E.MalformedToken),
    ("header twice", lambda: signed(header() + header()), E.MalformedToken),
    ("alg twice, good one last", lambda: signed(b'{"alg":"none",' + header()[1:]), E.MalformedToken),
    ("alg twice, good one first", lambda: signed(header()[:-1] + b',"alg":"none"}'), E.MalformedToken),
    ("alg twice, spaced and escaped", lambda: signed(header()[:-1] + b', "\\u0061lg" : "none"}'), E.MalformedToken),
    ("a member of a member twice", lambda: signed(header()[:-1] + b',"x":{"a":1,"a":2}}'), E.MalformedToken),
    ("header NaN", lambda: signed(header()[:-1] + b',"x":NaN}'), E.MalformedToken),
    ("header with a trailing comma", lambda: signed(header()[:-1] + b",}"), E.MalformedToken),
    ("header nested deeply", lambda: signed(b'{"a":' + b"[" * 200 + b"]" * 200 + b"}"), E.UnsupportedAlgorithm),
    ("header over 512 bytes", lambda: signed(header(x="y" * 512)), E.MalformedToken),
    ("payload no JSON", lambda: signed(payload=b"x"), E.MalformedToken),
    ("payload a text", lambda: signed(payload=b'"x"'), E.MalformedToken),
    ("payload a list of claims", lambda: signed(payload=b"[" + _claims() + b"]"), E.MalformedToken),
    ("payload not UTF-8", lambda: signed(payload=_claims()[:-1] + b',"x":"\xff"}'), E.MalformedToken),
    ("payload with bytes after it", lambda: signed(payload=_claims() + b"{}"), E.MalformedToken),
    ("sub twice", lambda: signed(payload=_claims()[:-1] + b',"sub":"other"}'), E.MalformedToken),
    ("sub twice, spaced", lambda: signed(payload=_claims()[:-1] + b',"sub" : "other"}'), E.MalformedToken),
    ("payload Infinity", lambda: signed(payload=_claims()[:-1] + b',"x":Infinity}'), E.MalformedToken),
    ("payload nested deeply", lambda: signed(payload=b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}"), E.MalformedToken),
    ("exp of 400 digits", lambda: signed(payload=_claims().replace(b'"exp": ', b'"exp": ' + b"9" * 400)), E.MalformedToken),
    ("exp of 5000 digits", lambda: signed(payload=_claims().replace(b'"exp": ', b'"exp": ' + b"9" * 5000)), E.MalformedToken),
    ("too large by one", lambda: "a" * (MAX_TOKEN_CHARACTERS + 1), E.TokenTooLarge),
    ("a megabyte", lambda: "a.b." * 250_000, E.TokenTooLarge),
    # Whose it is (Cognito guide; RFC 9068 section 4; RFC 7519 section 4.1)
    ("another pool", lambda: token(iss="https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_Other"), E.WrongIssuer),
    ("issuer with a slash", lambda: token(iss=POOL.issuer + "/"), E.WrongIssuer),
    ("issuer a prefix", lambda: token(iss=POOL.issuer[:-1]), E.WrongIssuer),
    ("issuer in capitals", lambda: token(iss=POOL.issuer.upper()), E.WrongIssuer),
    ("issuer a list", lambda: token(iss=[POOL.issuer]), E.InvalidClaim),
    ("issuer missing", lambda: token(iss=None), E.InvalidClaim),
    ("an ID token", lambda: POOL.id_token(iat=NOW, exp=NOW + 60, client_id=POOL.client_id), E.WrongTokenUse),
    ("an ID token as it is", lambda: POOL.id_token(iat=NOW, exp=NOW + 60), E.WrongTokenUse),
    ("token_use a list", lambda: token(token_use=["access"]), E.InvalidClaim),
    ("token_use missing", lambda: token(token_use=None), E.InvalidClaim),
    ("token_use Access", lambda: token(token_use="Access"), E.WrongTokenUse),
    ("another client", lambda: token(client_id="other"), E.WrongClient),
    ("client empty", lambda: token(client_id=""), E.InvalidClaim),
    ("client a list", lambda: token(client_id=[POOL.client_id]), E.InvalidClaim),
    ("client missing", lambda: token(client_id=None), E.InvalidClaim),
    ("another audience", lambda: token(aud="https://other.example"), E.WrongAudience),
    ("other audiences", lambda: token(aud=["a", "b"]), E.WrongAudience),
    ("audience empty", lambda: token(aud=[]), E.InvalidClaim),
    ("audience a number", lambda: token(aud=1), E.InvalidClaim),
    ("audience mixed", lambda: token(aud=[POOL.client_id, 1]), E.InvalidClaim),
    # When (RFC 7519 section 4.1.4 and 4.1.5)
    ("expired just now", lambda: token(exp=NOW - 10), E.ExpiredToken),
    ("expired by a fraction", lambda: token(exp=NOW - 10.5), E.ExpiredToken),
    ("exp missing", lambda: token(exp=None), E.InvalidClaim),
    ("exp a text", lambda: token(exp=str(NOW + 60)), E.InvalidClaim),
    ("exp true", lambda: token(exp=True), E.InvalidClaim),
    ("exp a list", lambda: token(exp=[NOW + 60]), E.InvalidClaim),
    ("exp an object", lambda: token(exp={"a": 1}), E.InvalidClaim),
    ("iat missing", lambda: token(iat=None), E.InvalidClaim),
    ("iat a text", lambda: token(iat="now"), E.InvalidClaim),
    ("iat in the future", lambda: token(iat=NOW + 11), E.TokenNotYetValid),
    ("nbf in the future", lambda: token(nbf=NOW + 11), E.TokenNotYetValid),
    ("nbf a text", lambda: token(nbf="now"), E.InvalidClaim),
    ("nbf false", lambda: token(nbf=False), E.InvalidClaim),
    ("auth_time a text", lambda: token(auth_time="now"), E.InvalidClaim),
    # Types that other libraries answer with a 500
    ("sub missing", lambda: POOL.sign("access", json.loads(_claims(sub=None))), E.InvalidClaim),
    ("sub empty", lambda: signed(payload=_claims(sub="")), E.InvalidClaim),
    ("sub a list", lambda: signed(payload=_claims(sub=["a"])), E.InvalidClaim),
    ("sub a number", lambda: signed(payload=_claims(sub=7)), E.InvalidClaim),
    ("sub of 129 characters", lambda: token(sub="s" * 129), E.InvalidClaim),
    ("sub with NUL", lambda: token(sub="a\0b"), E.InvalidClaim),
    ("username of 129 characters", lambda: token(username="u" * 129), E.InvalidClaim),
    ("username with NUL", lambda: token(username="\0"), E.InvalidClaim),
    ("jti of 257 characters", lambda: token(jti="j" * 257), E.InvalidClaim),
    ("origin_jti with NUL", lambda: token(origin_jti="\0"), E.InvalidClaim),
    ("sub a lone surrogate", lambda: token(sub="\ud800"), E.MalformedToken),
    ("header of 256 lists", lambda: signed(b"[" * 256 + b"]" * 256), E.MalformedToken),
    ("payload of 300 lists", lambda: signed(payload=b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"), E.MalformedToken),
    ("scope a list", lambda: token(scope=["me"]), E.InvalidClaim),
    ("scope a number", lambda: token(scope=1), E.InvalidClaim),
    ("scope null", lambda: signed(payload=_claims(scope=None)), E.InvalidClaim),
    ("groups a text", lambda: token(groups="admins"), E.InvalidClaim),
    ("groups mixed", lambda: token(groups=["admins", 1]), E.InvalidClaim),
    ("groups null", lambda: signed(payload=_claims(**{"cognito:groups": None})), E.InvalidClaim),
    ("username a number", lambda: token(username=1), E.InvalidClaim),
    ("jti a number", lambda: token(jti=1), E.InvalidClaim),
    ("origin_jti an object", lambda: token(origin_jti={}), E.InvalidClaim),
]  # fmt: skip


def _with_stray_bits(text: str) -> str:
    """Change the bits of the last character that decoding ignores."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


@pytest.mark.parametrize(
    ("forge", "error"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES]
)
def test_each_forgery_is_refused_for_its_own_reason(
    forge: Callable[[], Any], error: type[errors.InvalidToken]
) -> None:
    """The class tells which check failed, and neither it nor its text holds any of the token."""
    forged = forge()
    with pytest.raises(error) as caught:
        VERIFIER.verify(forged)
    assert type(caught.value) is error
    assert str(caught.value) == error.description


# The DigestInfo of RFC 8017 section 9.2: SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING }.
SHA256_OID = bytes.fromhex("608648016503040201")


def tlv(tag: int, value: bytes, length: bytes | None = None) -> bytes:
    """Encode one element, with a length that may be a lie or not the shortest."""
    return bytes([tag]) + (bytes([len(value)]) if length is None else length) + value


def mutations(tag: int, value: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield ways to write an element that a lenient reader takes for the same."""
    size = len(value)
    for name, length in {
        "long form": bytes([0x81, size]),
        "leading zero in the length": bytes([0x82, 0, size]),
        "length one more": bytes([size + 1]),
        "length one less": bytes([max(0, size - 1)]),
        "length of 2^32 and more": b"\x85\x01" + size.to_bytes(4),
        "length of 2^64 and more": b"\x89\x01" + size.to_bytes(8),
        "length of 2^31 - 1": b"\x84\x7f\xff\xff\xff",
        "length of 2^64 - 1": b"\x88" + b"\xff" * 8,
        "indefinite length, not ended": b"\x80",
    }.items():
        yield name, tlv(tag, value, length)
    yield "indefinite length", tlv(tag, value + b"\0\0", b"\x80")
    yield "missing", b""
    yield "tag alone", bytes([tag])
    yield "no value", tlv(tag, b"")
    yield "zeros within, at the end", tlv(tag, value + b"\0\0")
    yield "zeros within, in front", tlv(tag, b"\0\0" + value)
    yield "zeros after it", tlv(tag, value) + b"\0\0"
    yield "NULL within", tlv(tag, value + b"\x05\0")
    yield "garbage within, in front", tlv(tag, b"\x49\x81\x77" + value)
    yield "garbage after it", tlv(tag, value) + b"\xde\xad\xbe\xef"
    yield "undefined tag after it", tlv(tag, value) + b"\xbf\x7f\0"
    yield "an empty one after it", tlv(tag, value) + tlv(tag, b"")
    yield "twice", tlv(tag, value) * 2
    yield "in itself", tlv(tag, tlv(tag, value))
    yield "as NULL", b"\x05\0"
    yield "cut short", tlv(tag, value)[:-1]
    yield "cut in front", tlv(tag, value[1:])
    yield "first byte changed", tlv(tag, bytes([value[0] ^ 1]) + value[1:] if value else b"\1")
    yield "last byte changed", tlv(tag, value[:-1] + bytes([value[-1] ^ 1]) if value else b"\2")
    for other in (0x00, 0x01, 0x03, 0x2E, 0x32, 0x80, 0xFF):
        if other != tag:
            yield f"tag {other:#04x}", tlv(other, value)


def digest_infos(digest: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every DigestInfo with one element mutated."""
    oid, null, octets = tlv(6, SHA256_OID), tlv(5, b""), tlv(4, digest)
    for name, element in mutations(6, SHA256_OID):
        yield f"OID: {name}", tlv(0x30, tlv(0x30, element + null) + octets)
    for name, element in mutations(5, b""):
        yield f"NULL: {name}", tlv(0x30, tlv(0x30, oid + element) + octets)
    for name, element in mutations(0x30, oid + null):
        yield f"algorithm: {name}", tlv(0x30, element + octets)
    for name, element in mutations(4, digest):
        yield f"digest: {name}", tlv(0x30, tlv(0x30, oid + null) + element)
    for name, element in mutations(0x30, tlv(0x30, oid + null) + octets):
        yield f"whole: {name}", element


def test_a_padding_that_is_not_exact_is_refused() -> None:
    """Signed with the pool's own key, but for the DigestInfo or its padding: never accepted."""
    numbers = _private_key().private_numbers()
    modulus, size = numbers.public_numbers.n, 256
    head, body, _ = parts()
    digest = hashlib.sha256(f"{head}.{body}".encode()).digest()
    good = tlv(0x30, tlv(0x30, tlv(6, SHA256_OID) + tlv(5, b"")) + tlv(4, digest))

    def sign(message: bytes) -> str:
        signature = pow(int.from_bytes(message) % modulus, numbers.d, modulus)
        return f"{head}.{body}.{b64(signature.to_bytes(size))}"

    def padded(info: bytes, start: bytes = b"\0\1", filler: int = 0xFF) -> bytes:
        return start + bytes([filler]) * (size - len(start) - 1 - len(info)) + b"\0" + info

    assert VERIFIER.verify(sign(padded(good))), "the way of signing is right"
    messages = {name: padded(info) for name, info in digest_infos(digest) if info != good}
    messages |= {
        "padding of zeros": padded(good, filler=0),
        "block type 0": padded(good, start=b"\0\0"),
        "block type 2": padded(good, start=b"\0\2"),
        "first byte 1": padded(good, start=b"\1\1"),
        "no zero before the digest": b"\0\1" + b"\xff" * (size - 2 - len(good)) + good,
        "short padding, garbage behind": (b"\0\1" + b"\xff" * 8 + b"\0" + good).ljust(size, b"\0"),
        "digest alone": padded(digest),
        "zero": bytes(size),
        "one": bytes(size - 1) + b"\1",
    }
    assert len(messages) > 150
    accepted = []
    for name, message in messages.items():
        try:
            VERIFIER.verify(sign(message))
        except errors.BadSignature:
            continue
        accepted.append(name)
    assert accepted == []


ACCEPTED: list[tuple[str, Callable[[], str]]] = [
    ("as Cognito writes it", token),
    ("typ JWT", lambda: signed(header(typ="JWT"))),
    ("typ at+jwt", lambda: signed(header(typ="at+JWT"))),
    ("unknown members in the header", lambda: signed(header(x=1, jku="https://evil.example/"))),
    ("the other issuer of the pool", lambda: token(iss=POOL.user_pool.issuers[1])),
    ("spaced JSON", lambda: signed(payload=json.dumps(json.loads(_claims()), indent=2).encode())),
    ("escaped slashes", lambda: signed(payload=_claims().replace(b"/", b"\\/"))),
    ("no scope", lambda: token(scope=None)),
    ("no groups, no jti", lambda: token(jti=None, origin_jti=None)),
    ("aud of an allowed client", lambda: token(aud=POOL.client_id)),
    ("aud with an allowed client", lambda: token(aud=["x", POOL.client_id])),
    ("expired within the leeway", lambda: token(exp=NOW - 9)),
    ("issued within the leeway", lambda: token(iat=NOW + 10)),
    ("nbf within the leeway", lambda: token(nbf=NOW + 10)),
    ("fractions of seconds", lambda: token(exp=NOW + 0.5, iat=NOW - 0.5)),
    ("the longest names", lambda: token(sub="s" * 128, username="u" * 128, jti="j" * 256)),
    ("a long token", lambda: token(groups=["g" * 100] * 200)),
]


@pytest.mark.parametrize("make", [row[1] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_a_good_token_is_accepted(make: Callable[[], str]) -> None:
    """What Cognito may send is let in, the first time and again."""
    text = make()
    assert VERIFIER.verify(text) is VERIFIER.verify(text)


def test_a_verified_token_is_typed_and_cannot_be_made_or_changed() -> None:
    """Only the verifier makes one; its repr shows no claims."""
    verified = VERIFIER.verify(
        token(scope="a b", groups=["g"], sub="s", jti="j", origin_jti="o", tenant="t")
    )
    assert (verified.sub, verified.username, verified.client_id) == ("s", "ada", POOL.client_id)
    assert (verified.scopes, verified.groups) == (frozenset({"a", "b"}), ("g",))
    assert (verified.jti, verified.origin_jti, verified.issuer) == ("j", "o", POOL.issuer)
    assert (verified.issued_at, verified.expires_at, verified.auth_time) == (NOW, NOW + 60, NOW)
    assert verified.claims["tenant"] == "t"
    assert "tenant" not in repr(verified)
    with pytest.raises(TypeError, match="verify"):
        AccessToken(*verified)
    with pytest.raises(AttributeError):
        verified.sub = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        verified.claims["sub"] = "other"


def test_checks_are_skipped_only_where_it_is_written() -> None:
    """`client_ids=None` accepts every client; an empty list, or one text, is a slip."""
    assert _verifier(client_ids=None).verify(token(client_id="any", aud="any"))
    for slip, error in (([], ValueError), ("abc", TypeError)):
        with pytest.raises(error, match="client_ids"):
            _verifier(client_ids=slip)
    with pytest.raises(TypeError):
        CognitoVerifier(POOL.user_pool)  # type: ignore[call-arg]


def test_several_pools_each_decide_about_their_own() -> None:
    """A pool's keys and clients count for its issuer alone."""
    other = CognitoPool("us-east-1_Other", "other-client")
    trusted = TrustedPool("us-east-1_Other", client_ids={"other-client"}, keys=_store(other))
    verifier = _verifier(also_trust=[trusted])
    times: dict[str, Any] = {"iat": NOW, "exp": NOW + 60}
    assert verifier.verify(token()).issuer == POOL.issuer
    assert verifier.verify(other.access_token(**times)).issuer == other.issuer

    crossed = {
        "its client, our pool": (token(client_id="other-client"), errors.WrongClient),
        "our client, its pool": (
            other.access_token(client_id=POOL.client_id, **times),
            errors.WrongClient,
        ),
        "its key, our issuer": (
            other.access_token(iss=POOL.issuer, client_id=POOL.client_id, **times),
            errors.UnknownKey,
        ),
        "nobody's issuer": (token(iss="https://evil.example"), errors.WrongIssuer),
        "no issuer": (token(iss=None), errors.InvalidClaim),
    }
    for text, error in crossed.values():
        with pytest.raises(error):
            verifier.verify(text)
    with pytest.raises(ValueError, match="twice"):
        _verifier(also_trust=[TrustedPool(POOL.user_pool, client_ids=None)])


def test_every_error_has_a_reason_and_a_sentence_fit_for_a_challenge() -> None:
    """Reasons are distinct; sentences keep to the characters of RFC 6750 section 3."""
    classes = errors.InvalidToken.__subclasses__() + errors.VerificationUnavailable.__subclasses__()
    assert len({cls.reason for cls in classes}) == len(classes)
    for cls in classes:
        assert cls.description
        assert all(c in " !" or "#" <= c <= "[" or "]" <= c <= "~" for c in cls.description)


ANYTHING = st.text(max_size=200) | st.binary(max_size=200) | st.none() | st.integers()
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 2000), st.text(max_size=3), st.integers(0, 4)), min_size=1, max_size=4
)
GOOD = token()


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_no_input_raises_anything_but_our_errors(anything: Any) -> None:
    """Text, bytes, nothing: InvalidToken."""
    with pytest.raises(errors.InvalidToken):
        VERIFIER.verify(anything)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MUTATIONS)
def test_what_joserfc_refuses_we_refuse(mutations: list[tuple[int, str, int]]) -> None:
    """A mutated token that a strict joserfc does not take is not taken here, nor ever a crash."""
    text = GOOD
    for position, inserted, removed in mutations:
        at = position % (len(text) + 1)
        text = text[:at] + inserted + text[at + removed :]
    try:
        keys = JoseKeySet.import_key_set(POOL.jwks())  # type: ignore[arg-type]
        jws.deserialize_compact(text, keys, algorithms=["RS256"])
        joserfc_takes_it = True
    except (JoseError, ValueError, TypeError):
        joserfc_takes_it = False
    try:
        VERIFIER.verify(text)
        we_take_it = True
    except errors.InvalidToken:
        we_take_it = False
    assert joserfc_takes_it or not we_take_it
