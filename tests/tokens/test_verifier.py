"""The verifier with real RSA: what Cognito signs is accepted, each forgery refused by name."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet as JoseKeySet

from resource_server.emulator.keys import PoolKeys
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import AccessToken, CognitoVerifier, TrustedPool, UserPool, errors
from resource_server.tokens.errors import (
    BadSignature,
    InvalidToken,
    MalformedToken,
    MissingKeyId,
    UnknownKey,
    UnsupportedAlgorithm,
    UnsupportedHeader,
)
from tests.tokens.doubles import (
    ABSENT,
    CLIENT,
    NOW,
    URI,
    Forge,
    JwksServer,
    encoded,
    hs256,
    private_key,
    published,
    refuse,
    rs256,
)


def public_key(forge: Forge, encoding: Encoding) -> bytes:
    """Return the pool's public key as everybody can have it."""
    public = private_key(forge.keys.access).public_key()
    return public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def public_jwk(forge: Forge) -> dict[str, Any]:
    """Return the same as the pool publishes it."""
    return dict(forge.keys.access.as_dict(private=False))


# What is accepted

GOOD: list[Any] = [
    pytest.param(lambda f: f.token(), id="as-cognito-writes-it"),
    pytest.param(
        lambda f: f.token(b'{"kid":"' + f.kid.encode() + b'","alg":"RS256"}'),
        id="header-without-spaces",
    ),
    pytest.param(lambda f: f.token(f.header(typ="JWT")), id="typ-JWT-as-moto"),
    pytest.param(lambda f: f.token(f.header(typ="jwt")), id="typ-jwt"),
    pytest.param(lambda f: f.token(f.header(typ="at+jwt")), id="typ-at+jwt"),
    pytest.param(lambda f: f.token(f.header(typ="AT+JWT")), id="typ-AT+JWT"),
    pytest.param(lambda f: f.token(f.header(cty="x", x=[{}])), id="unknown-header-members"),
    pytest.param(
        lambda f: f.token(f.header(kid=f.keys.id.kid), sign=rs256(f.keys.id)),
        id="signed-with-the-pools-other-key",
    ),
    pytest.param(lambda f: f.claiming(iss=f.pool.user_pool.issuers[1]), id="second-issuer"),
    pytest.param(lambda f: f.token(claims=f.claims().replace(b"/", b"\\/")), id="escaped-slashes"),
    pytest.param(
        lambda f: f.token(claims=b" \n" + f.claims().replace(b",", b" ,\r\n\t") + b"\n"),
        id="spaced-claims",
    ),
    pytest.param(
        lambda f: f.pool.access_token(iat=NOW, exp=NOW + 60, groups=["a"]), id="the-test-pools"
    ),
    pytest.param(
        lambda f: f.token(
            f.header(typ="JWT"), f.claims(jti="j", origin_jti=ABSENT, username="ü@example.com")
        ),
        id="moto-like",
    ),
]


@pytest.mark.parametrize("write", GOOD)
def test_a_good_token_is_accepted(forge: Forge, write: Callable[[Forge], str]) -> None:
    """What Cognito or an emulator of it sends gets in, and again, at the price of one download."""
    verifier = forge.verifier()
    text = write(forge)
    token = verifier.verify(text)
    assert type(token) is AccessToken
    assert token.client_id == CLIENT
    assert verifier.verify(text) is token
    assert forge.server.fetches == 1


def test_a_token_of_exactly_32768_characters_is_accepted(forge: Forge) -> None:
    """The limit is for what is read, and a user in many groups comes near it."""
    left = 32_768 - len(encoded(forge.header())) - len(encoded(bytes(256))) - 2
    filler = left * 3 // 4 - len(forge.claims(filler=""))
    text = forge.claiming(filler="x" * filler)
    assert len(text) == 32_768
    assert forge.verifier().verify(text).sub


# What is refused before or by the signature

BY_ALGORITHM: list[Any] = [
    # RFC 8725 section 3.1 and 2.1; RFC 7518 section 3.6
    pytest.param(lambda f: f"{encoded(f.header(alg='none'))}.{f.parts()[1]}.", id="none-unsigned"),
    pytest.param(
        lambda f: ".".join([encoded(f.header(alg="none")), *f.parts()[1:]]),
        id="none-with-a-signature",
    ),
    pytest.param(lambda f: f.token(f.header(alg="none")), id="none-signed-over"),
    pytest.param(lambda f: f"{encoded(f.header(alg='None'))}.{f.parts()[1]}.", id="None"),
    pytest.param(lambda f: f"{encoded(f.header(alg='nOnE'))}.{f.parts()[1]}.", id="nOnE"),
    pytest.param(
        lambda f: f"{encoded(f.header(alg='none', kid=ABSENT))}.{f.parts()[1]}.",
        id="none-without-kid",
    ),
    pytest.param(
        lambda f: f"{encoded(f.header(alg='NONE', kid=ABSENT))}.{f.parts()[1]}.",
        id="NONE-without-kid",
    ),
    pytest.param(
        lambda f: f"{encoded(f.header(alg='none', kid='none'))}.{f.parts()[1]}.",
        id="none-with-kid-none",
    ),
    pytest.param(
        lambda f: f.token(f.header(alg="HS256"), sign=hs256(public_key(f, Encoding.PEM))),
        id="HS256-with-pem",
    ),
    pytest.param(
        lambda f: f.token(f.header(alg="HS256"), sign=hs256(public_key(f, Encoding.PEM).strip())),
        id="HS256-with-pem-stripped",
    ),
    pytest.param(
        lambda f: f.token(f.header(alg="HS256"), sign=hs256(public_key(f, Encoding.DER))),
        id="HS256-with-der",
    ),
    pytest.param(
        lambda f: f.token(f.header(alg="HS256"), sign=hs256(json.dumps(public_jwk(f)).encode())),
        id="HS256-with-jwk-text",
    ),
    pytest.param(
        lambda f: f.token(f.header(alg="HS256"), sign=hs256(public_jwk(f)["n"].encode())),
        id="HS256-with-modulus",
    ),
    pytest.param(lambda f: f.token(f.header(alg="HS256"), sign=hs256(b"")), id="HS256-empty-key"),
    pytest.param(
        lambda f: f.token(
            f.header(alg="RS384"),
            sign=lambda d: private_key(f.keys.access).sign(d, PKCS1v15(), SHA384()),
        ),
        id="RS384",
    ),
    pytest.param(
        lambda f: f.token(
            f.header(alg="RS512"),
            sign=lambda d: private_key(f.keys.access).sign(d, PKCS1v15(), SHA512()),
        ),
        id="RS512",
    ),
    pytest.param(
        lambda f: f.token(
            f.header(alg="PS256"),
            sign=lambda d: private_key(f.keys.access).sign(d, PSS(MGF1(SHA256()), 32), SHA256()),
        ),
        id="PS256",
    ),
    pytest.param(lambda f: f.token(f.header(alg="ES256")), id="ES256"),
    pytest.param(lambda f: f.token(f.header(alg="EdDSA")), id="EdDSA"),
    pytest.param(lambda f: f.token(f.header(alg="RSA-OAEP", enc="A256GCM")), id="RSA-OAEP"),
    pytest.param(lambda f: f.token(f.header(alg=ABSENT)), id="missing"),
    pytest.param(lambda f: f.token(f.header(alg="")), id="empty"),
    pytest.param(lambda f: f.token(f.header(alg="rs256")), id="lower-case"),
    pytest.param(lambda f: f.token(f.header(alg="RS256 ")), id="trailing-space"),
    pytest.param(lambda f: f.token(f.header(alg="RS256\0")), id="trailing-nul"),
    pytest.param(lambda f: f.token(f.header(alg=["RS256"])), id="list"),
    pytest.param(lambda f: f.token(f.header(alg={"RS256": 1})), id="object"),
    pytest.param(lambda f: f.token(f.header(alg=256)), id="number"),
    pytest.param(lambda f: f.token(f.header(alg=True)), id="true"),
    pytest.param(lambda f: f.token(f.header(alg=None)), id="null"),
    pytest.param(lambda f: f.token(f.header(alg=ABSENT, Alg="RS256")), id="name-in-capitals"),
]


@pytest.mark.parametrize("write", BY_ALGORITHM)
def test_any_algorithm_but_rs256_is_refused(forge: Forge, write: Callable[[Forge], str]) -> None:
    """`alg` is exactly RS256, whoever signed, and no key is fetched for anything else."""
    assert type(refuse(forge.verifier(), write(forge))) is UnsupportedAlgorithm
    assert forge.server.fetches == 0


BY_HEADER: list[Any] = [
    # RFC 7515 section 4.1.11: all of crit is to be understood, and we understand none
    *(
        pytest.param({"crit": value}, UnsupportedHeader, id=f"rfc7515-4.1.11-crit-{name}")
        for name, value in {
            "known": ["exp"],
            "unknown": ["https://example.com/x"],
            "alg": ["alg"],
            "empty": [],
            "text": "exp",
            "empty-text": "",
            "number": 0,
            "false": False,
            "object": {},
            "list-of-null": [None],
            "null": None,
        }.items()
    ),
    pytest.param(
        {"crit": ["b64"], "b64": False}, UnsupportedHeader, id="rfc7797-6-payload-not-encoded"
    ),
    pytest.param({"b64": False}, UnsupportedHeader, id="rfc7797-6-not-encoded-and-not-critical"),
    # RFC 8725 section 3.11: tokens of another kind
    *(
        pytest.param({"typ": value}, UnsupportedHeader, id=f"rfc8725-3.11-typ-{name}")
        for name, value in {
            "id-token": "id+jwt",
            "logout-token": "logout+jwt",
            "dpop": "dpop+jwt",
            "jose": "JOSE",
            "empty": "",
            "space": "JWT ",
            "long": "at+jwt+x",
            "number": 1,
            "false": False,
            "list": ["JWT"],
            "object": {"JWT": 1},
            "null": None,
        }.items()
    ),
    # RFC 7515 section 4.1.4, and Cognito always sets it
    *(
        pytest.param({"kid": value}, MissingKeyId, id=f"rfc7515-4.1.4-kid-{name}")
        for name, value in {
            "missing": ABSENT,
            "null": None,
            "empty": "",
            "number": 1,
            "zero": 0,
            "true": True,
            "list": ["k"],
            "object": {"k": "k"},
        }.items()
    ),
]


@pytest.mark.parametrize(("changes", "error"), BY_HEADER)
def test_a_header_that_is_not_understood_is_refused(
    forge: Forge, changes: dict[str, Any], error: type[InvalidToken]
) -> None:
    """The pool's own signature does not excuse it, and no key is fetched."""
    assert type(refuse(forge.verifier(), forge.token(forge.header(**changes)))) is error
    assert forge.server.fetches == 0


@pytest.mark.parametrize(
    "kid",
    ["unknown", "../../etc/passwd", "' OR 1=1 --", "\0", "K" * 400, " ", "kid\n", "\U0001f511"],
    ids=["word", "path", "sql", "nul", "long", "space", "newline", "emoji"],
)
def test_a_key_id_of_nobody_is_unknown(forge: Forge, kid: str) -> None:
    """It is compared with those of the pool, and nothing else is done with it."""
    assert type(refuse(forge.verifier(), forge.token(forge.header(kid=kid)))) is UnknownKey


def test_key_ids_are_compared_exactly(forge: Forge) -> None:
    """Neither other case, nor a prefix, nor a space around it."""
    verifier = forge.verifier()
    for kid in (forge.kid.swapcase(), forge.kid[:-1], forge.kid + " ", " " + forge.kid):
        assert type(refuse(verifier, forge.token(forge.header(kid=kid)))) is UnknownKey


BROUGHT_KEYS: list[Any] = [
    # RFC 7515 section 4.1.2, 4.1.3, 4.1.5, 4.1.6: keys in the token
    pytest.param(lambda _: {"jku": "https://evil.example/jwks.json"}, id="jku"),
    pytest.param(
        lambda f: {"jwk": {"kty": "RSA", "e": "AQAB", "n": f.attacker.access["n"][:40]}}, id="jwk"
    ),
    pytest.param(lambda _: {"x5u": "https://evil.example/cert.pem"}, id="x5u"),
    pytest.param(lambda _: {"x5c": ["MIIB"]}, id="x5c"),
    pytest.param(lambda _: {"x5t": "x", "x5t#S256": "x"}, id="x5t"),
    pytest.param(lambda f: {"iss": f.pool.issuer, "keys": f.kid}, id="invented"),
]


@pytest.mark.parametrize("brought", BROUGHT_KEYS)
@pytest.mark.parametrize(
    ("kid", "error"),
    [
        pytest.param("pool", BadSignature, id="under-the-pools-kid"),
        pytest.param("attacker", UnknownKey, id="under-its-own-kid"),
    ],
)
def test_keys_that_a_token_brings_along_are_never_looked_at(
    forge: Forge, brought: Callable[[Forge], dict[str, Any]], kid: str, error: type[InvalidToken]
) -> None:
    """Neither does one count, nor is an address in a token ever asked."""
    kid = forge.kid if kid == "pool" else str(forge.attacker.access.kid)
    text = forge.token(forge.header(kid=kid, **brought(forge)), sign=rs256(forge.attacker.access))
    verifier = forge.verifier()
    with responses.RequestsMock() as mock:
        assert type(refuse(verifier, text)) is error
        assert verifier.verify(forge.token(forge.header(**brought(forge))))
        assert len(mock.calls) == 0
    assert set(forge.server.uris) == {URI}


def test_a_whole_key_in_the_header_is_never_looked_at(forge: Forge) -> None:
    """A 2048-bit `jwk` makes a header longer than Cognito's ever is: refused unread."""
    jwk = forge.attacker.access.as_dict(private=False)
    for kid in (forge.kid, str(forge.attacker.access.kid)):
        text = forge.token(forge.header(kid=kid, jwk=jwk), sign=rs256(forge.attacker.access))
        assert type(refuse(forge.verifier(), text)) is MalformedToken
    assert forge.server.fetches == 0


BY_SIGNATURE: list[Any] = [
    pytest.param(
        lambda f: f.token(sign=rs256(f.attacker.access)), id="another-key-under-the-known-kid"
    ),
    pytest.param(
        lambda f: f.token(sign=rs256(f.keys.id)), id="the-pools-other-key-under-the-known-kid"
    ),
    pytest.param(lambda f: ".".join([*f.parts()[:2], ""]), id="empty"),
    pytest.param(lambda f: f.token(sign=lambda d: rs256(f.keys.access)(d)[:-1]), id="truncated"),
    pytest.param(lambda f: f.token(sign=lambda d: rs256(f.keys.access)(d)[1:]), id="beheaded"),
    pytest.param(lambda f: f.token(sign=lambda d: rs256(f.keys.access)(d)[:1]), id="one-byte"),
    pytest.param(lambda f: f.token(sign=lambda d: rs256(f.keys.access)(d) + b"\0"), id="longer"),
    pytest.param(lambda f: f.token(sign=lambda d: b"\0" + rs256(f.keys.access)(d)), id="led-by-0"),
    pytest.param(lambda f: f.token(sign=lambda d: rs256(f.keys.access)(d) * 2), id="twice"),
    pytest.param(lambda f: f.token(sign=lambda _: bytes(256)), id="zeros"),
    pytest.param(lambda f: f.token(sign=lambda _: b"\xff" * 256), id="ones"),
    pytest.param(lambda f: f.token(sign=lambda _: bytes(255) + b"\1"), id="number-one"),
    pytest.param(
        lambda f: ".".join([*f.parts()[:2], f.claiming(jti="x").split(".")[2]]),
        id="of-another-token",
    ),
    pytest.param(
        lambda f: ".".join([f.parts()[0], encoded(f.claims(sub="root")), f.parts()[2]]),
        id="payload-swapped",
    ),
    pytest.param(
        lambda f: ".".join([f.parts()[0], encoded(b" " + f.claims()), f.parts()[2]]),
        id="payload-same-claims-other-bytes",
    ),
    pytest.param(lambda f: ".".join([f.parts()[0], "", f.parts()[2]]), id="payload-emptied"),
    pytest.param(
        lambda f: ".".join([encoded(f.header(typ="JWT")), *f.parts()[1:]]), id="header-swapped"
    ),
    pytest.param(
        lambda f: f.token(sign=hs256(public_key(f, Encoding.PEM))), id="hmac-called-RS256"
    ),
    pytest.param(
        lambda f: f.token(sign=lambda d: private_key(f.keys.access).sign(d, PKCS1v15(), SHA512())),
        id="RS512-called-RS256",
    ),
    pytest.param(
        lambda f: f.token(
            sign=lambda d: private_key(f.keys.access).sign(d, PSS(MGF1(SHA256()), 32), SHA256())
        ),
        id="PS256-called-RS256",
    ),
    pytest.param(
        lambda f: f.token(
            sign=lambda d: rs256(f.keys.access)(base64.urlsafe_b64decode(d.split(b".")[1] + b"=="))
        ),
        id="over-the-payload-alone",
    ),
]


@pytest.mark.parametrize("write", BY_SIGNATURE)
def test_a_signature_that_is_not_the_pools_is_refused(
    forge: Forge, write: Callable[[Forge], str]
) -> None:
    """One over these very bytes by the key that the header names, or none."""
    assert type(refuse(forge.verifier(), write(forge))) is BadSignature


def test_every_single_bit_counts(forge: Forge) -> None:
    """A bit of the signature, wherever it is turned, spoils it."""
    verifier = forge.verifier()
    for position in range(0, 256, 15):

        def flip(data: bytes, position: int = position) -> bytes:
            signature = bytearray(rs256(forge.keys.access)(data))
            signature[position] ^= 1 << position % 8
            return bytes(signature)

        with pytest.raises(BadSignature):
            verifier.verify(forge.token(sign=flip))


@pytest.mark.parametrize(
    "respell",
    [
        pytest.param(lambda s: s + "==", id="rfc7515-2-padding"),
        pytest.param(lambda s: s + "\n", id="rfc7515-2-newline-after"),
        pytest.param(lambda s: s[:80] + "\n" + s[80:], id="rfc7515-2-newline-within"),
        pytest.param(lambda s: s + " ", id="rfc7515-2-space-after"),
        pytest.param(lambda s: s + ",", id="rfc4648-3.3-comma-after"),
        pytest.param(lambda s: s + "\0", id="rfc4648-3.3-nul-after"),
        pytest.param(lambda s: s[:80] + "!" + s[80:], id="rfc4648-3.3-foreign-character"),
        pytest.param(lambda s: s[:-1] + chr(ord(s[-1]) + 1), id="rfc4648-3.5-stray-bit"),
        pytest.param(lambda s: s[:-1], id="rfc4648-4-last-character-cut"),
        pytest.param(lambda s: s + "AAA", id="rfc4648-4-stray-character"),
    ],
)
def test_a_signature_has_one_spelling(forge: Forge, respell: Callable[[str], str]) -> None:
    """A token that reads otherwise is another token, and would pass by a list of those denied."""
    head, payload, signature = forge.parts()
    verifier = forge.verifier()
    assert verifier.verify(f"{head}.{payload}.{signature}")
    text = f"{head}.{payload}.{respell(signature)}"
    assert type(refuse(verifier, text)) is MalformedToken


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no json", id="no-json"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"\xff\xfe", id="not-utf-8"),
        pytest.param(b'{"sub":1,"sub":2}', id="member-twice"),
        pytest.param(b"[" * 9000, id="nested"),
        pytest.param(b"[" * 500 + b"]" * 500, id="nested-beyond-what-is-written"),
        pytest.param(b"{}", id="no-claims"),
    ],
)
def test_nothing_of_the_payload_is_read_before_the_signature(forge: Forge, payload: bytes) -> None:
    """The same payload is BadSignature with a bad one, and judged by itself with a good one."""
    bad = forge.token(claims=payload, sign=rs256(forge.attacker.access))
    assert type(refuse(forge.verifier(), bad)) is BadSignature
    good = refuse(forge.verifier(), forge.token(claims=payload))
    assert type(good) is (errors.InvalidClaim if payload == b"{}" else MalformedToken)


@pytest.mark.parametrize("spelling", ["!", "e30=", "e31", "e30\n", "a", "e 30"])
def test_not_even_the_payloads_encoding_is_read_before_the_signature(
    forge: Forge, spelling: str
) -> None:
    """A payload that is no base64url is BadSignature, or malformed if the pool signed it."""
    signed = f"{encoded(forge.header())}.{spelling}"
    for key, error in (
        (forge.attacker.access, BadSignature),
        (forge.keys.access, MalformedToken),
    ):
        text = f"{signed}.{encoded(rs256(key)(signed.encode()))}"
        assert type(refuse(forge.verifier(), text)) is error


# What is refused although the pool signed it


def test_an_id_token_is_refused_as_one(forge: Forge) -> None:
    """Cognito's ID token, signed with the pool's other key and with no `client_id`, has its reason.

    That reason is what tells a client's author that the wrong one of two tokens was sent.
    """
    text = forge.pool.id_token(iat=NOW, exp=NOW + 60)
    assert type(refuse(forge.verifier(), text)) is errors.WrongTokenUse


def test_a_token_of_another_client_or_pool_is_refused(forge: Forge) -> None:
    """Both are compared exactly, however well the token is signed."""
    verifier = forge.verifier()
    other_client = forge.claiming(client_id="other")
    assert type(refuse(verifier, other_client)) is errors.WrongClient
    other_pool = CognitoPool("eu-west-2_Other", CLIENT, forge.keys)
    text = other_pool.access_token(iat=NOW, exp=NOW + 60)
    assert type(refuse(verifier, text)) is errors.WrongIssuer
    with_own_keys = CognitoPool("eu-west-2_Other", CLIENT, forge.attacker)
    assert type(refuse(verifier, with_own_keys.access_token(iat=NOW, exp=NOW + 60))) is UnknownKey


FAULTS: list[tuple[str, dict[str, Any], type[InvalidToken]]] = [
    ("issuer", {"iss": "https://evil.example"}, errors.WrongIssuer),
    ("token_use", {"token_use": "id"}, errors.WrongTokenUse),
    ("client", {"client_id": "other"}, errors.WrongClient),
    ("audience", {"aud": "other"}, errors.WrongAudience),
    ("times", {"exp": NOW - 3600}, errors.ExpiredToken),
]


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[fault[0] for fault in FAULTS])
def test_the_first_fault_in_the_order_of_checks_decides(forge: Forge, first: int) -> None:
    """A token that is wrong in this and in everything after it is refused for this."""
    changes = {name: value for fault in FAULTS[first:] for name, value in fault[1].items()}
    text = forge.claiming(**changes)
    assert type(refuse(forge.verifier(), text)) is FAULTS[first][2]


def test_header_comes_before_key_before_signature_before_claims(forge: Forge) -> None:
    """Each check hides all that come after it."""
    verifier = forge.verifier()
    claims = forge.claims(exp=1, iss="https://evil.example", sub=[])
    attacker = rs256(forge.attacker.access)
    wrong = {
        "algorithm": (forge.header(alg="HS256", crit=[], kid=""), UnsupportedAlgorithm),
        "header": (forge.header(crit=[], kid=""), UnsupportedHeader),
        "kid": (forge.header(kid=""), MissingKeyId),
        "key": (forge.header(kid="unknown"), UnknownKey),
        "signature": (forge.header(), BadSignature),
    }
    for header, error in wrong.values():
        assert type(refuse(verifier, forge.token(header, claims, attacker))) is error
    assert type(refuse(verifier, forge.token(claims=claims))) is errors.InvalidClaim


def test_a_bad_signature_on_an_expired_token_is_a_bad_signature(forge: Forge) -> None:
    """An attacker is not told what his claims would have been worth."""
    claims = forge.claims(exp=NOW - 3600)
    assert type(refuse(forge.verifier(), forge.token(claims=claims))) is errors.ExpiredToken
    text = forge.token(claims=claims, sign=rs256(forge.attacker.access))
    assert type(refuse(forge.verifier(), text)) is BadSignature


def test_errors_hold_no_text_of_the_token(forge: Forge) -> None:
    """Whatever is refused, its error may be shown and logged."""
    marked = forge.claims(sub=["secret-sub"], iss="secret-iss", aud="secret-aud")
    verifier = forge.verifier()
    for text in (
        forge.token(claims=marked),
        forge.token(forge.header(kid="secret-kid")),
        forge.token(forge.header(alg="secret-alg")),
        forge.claiming(iss="secret-iss"),
        forge.token(claims=b"secret-payload"),
    ):
        error = refuse(verifier, text)
        for shown in (str(error), repr(error), error.reason, str(error.args)):
            assert "secret" not in shown


# Settings


def test_clients_must_be_written_down(forge: Forge) -> None:
    """Left out or one text is a TypeError, an empty list a ValueError; None accepts all."""
    pool = forge.pool.user_pool
    with pytest.raises(TypeError, match="client_ids"):
        CognitoVerifier(pool)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="client_ids"):
        CognitoVerifier(pool, client_ids=CLIENT)
    empties: list[Any] = [[], (), set(), frozenset(), {}]
    for empty in empties:
        with pytest.raises(ValueError, match="client_ids is empty"):
            CognitoVerifier(pool, client_ids=empty)
    text = forge.claiming(client_id="any")
    assert forge.verifier(client_ids=None).verify(text).client_id == "any"


def test_the_allow_list_is_the_verifiers_own(forge: Forge) -> None:
    """What a caller does to its list afterwards allows nobody."""
    allowed = [CLIENT]
    verifier = forge.verifier(client_ids=allowed)
    allowed.append("other")
    text = forge.claiming(client_id="other")
    assert type(refuse(verifier, text)) is errors.WrongClient


@pytest.mark.parametrize(
    "payload",
    [b"", b"x", b"[]", b"null", b'{"iss":1}', b'{"iss":[]}', b"{}", b'{"iss":"a","iss":"b"}']
    + [b"[" * depth + b"]" * depth for depth in (254, 500, 1023, 1024, 5000)],
    ids=lambda payload: f"{len(payload)}-bytes-{payload[:9].decode()}",
)
def test_with_several_pools_an_unsigned_payload_is_read_and_never_crashes(
    forge: Forge, payload: bytes
) -> None:
    """Only then is `iss` read before the signature, and only to choose whose keys decide."""
    server = JwksServer(published(forge.attacker))
    other = TrustedPool("us-east-1_Other", client_ids=None, keys=server.store())
    verifier = forge.verifier(also_trust=[other])
    text = forge.token(claims=payload, sign=lambda _: b"")
    assert type(refuse(verifier, text)) in {MalformedToken, errors.InvalidClaim}
    assert (forge.server.fetches, server.fetches) == (0, 0)


def test_a_pool_decides_about_its_own_tokens_alone(forge: Forge) -> None:
    """One trusted pool cannot sign for another."""
    other = CognitoPool("us-east-1_Other", "other", forge.attacker)
    keys = JwksServer(published(forge.attacker)).store()
    trusted = TrustedPool(other.user_pool, client_ids={"other"}, keys=keys)
    verifier = forge.verifier(also_trust=[trusted])
    times: dict[str, Any] = {"iat": NOW, "exp": NOW + 60}
    assert verifier.verify(forge.token()).issuer == forge.pool.issuer
    assert verifier.verify(other.access_token(**times)).issuer == other.issuer
    crossed = [
        (other.access_token(iss=forge.pool.issuer, **times), UnknownKey),
        (
            forge.token(claims=forge.claims(iss=forge.pool.issuer), sign=rs256(other.keys.access)),
            BadSignature,
        ),
        (other.access_token(client_id=CLIENT, **times), errors.WrongClient),
        (forge.claiming(client_id="other"), errors.WrongClient),
        (forge.claiming(iss="https://evil.example"), errors.WrongIssuer),
    ]
    for text, error in crossed:
        assert type(refuse(verifier, text)) is error


def test_a_pool_is_trusted_once(forge: Forge) -> None:
    """Of two lists of clients for one issuer nobody could tell which one counts."""
    with pytest.raises(ValueError, match="twice"):
        forge.verifier(also_trust=[TrustedPool(forge.pool.user_pool, client_ids=None)])
    again = UserPool.parse(forge.pool.pool_id, issuer="https://issuer.example")
    with pytest.raises(ValueError, match="twice"):
        forge.verifier(also_trust=[TrustedPool(again, client_ids=None)])


def test_both_issuers_of_a_pool_have_one_pool_id(forge: Forge) -> None:
    """A deny list can distinguish pools, and does not take one pool for two."""
    pool = forge.pool.user_pool
    verifier = forge.verifier()
    tokens = [verifier.verify(forge.claiming(iss=issuer)) for issuer in pool.issuers]
    assert [token.issuer for token in tokens] == list(pool.issuers)
    assert {token.pool_id for token in tokens} == {pool.id}


# What is remembered and counted


def test_a_remembered_token_is_asked_for_its_times_all_the_same(forge: Forge) -> None:
    """It expires, and where the clock is set back it is not yet valid."""
    verifier = forge.verifier()
    text = forge.token()
    verifier.verify(text)
    for forge.now in (NOW - 10, NOW + 3609.9):
        assert verifier.verify(text)
    assert verifier.stats().cache_hits == 2
    forge.now = NOW + 3610
    assert type(refuse(verifier, text)) is errors.ExpiredToken
    forge.now = NOW - 10.1
    assert type(refuse(verifier, text)) is errors.TokenNotYetValid


def test_a_token_in_use_is_remembered_and_others_make_room(forge: Forge) -> None:
    """However many there are, no more are kept than may be."""
    verifier = forge.verifier(cache_size=10)
    tokens = [forge.claiming(jti=str(index)) for index in range(40)]
    for text in tokens:
        verifier.verify(text)
        verifier.verify(tokens[0])
    stats = verifier.stats()
    assert (stats.verified, stats.cache_hits) == (40, 40)
    assert 5 <= stats.cached <= 10


def test_with_size_0_nothing_is_remembered(forge: Forge) -> None:
    """Every request then costs a verification."""
    verifier = forge.verifier(cache_size=0)
    text = forge.token()
    assert verifier.verify(text) is not verifier.verify(text)
    stats = verifier.stats()
    assert (stats.verified, stats.cache_hits, stats.cached) == (2, 0, 0)


def test_a_denied_token_is_revoked_and_forgotten(forge: Forge) -> None:
    """The deny list is asked each time, the first one included."""
    denied: set[str | None] = {"the-token"}

    class Denials:
        def denies(self, token: AccessToken) -> bool:
            return token.jti in denied

    verifier = forge.verifier(deny_list=Denials())
    assert type(refuse(verifier, forge.token())) is errors.RevokedToken
    assert verifier.stats().cached == 0
    denied.clear()
    assert verifier.verify(forge.token()).jti == "the-token"
    denied.add("the-token")
    assert type(refuse(verifier, forge.token())) is errors.RevokedToken
    assert verifier.stats().refused == {"revoked": 4}


def test_counters_tell_what_happened(forge: Forge) -> None:
    """Verifications, hits, refusals by reason, downloads by outcome, and the age of the keys."""
    verifier = forge.verifier()
    assert verifier.stats().keys[forge.pool.pool_id].age is None
    text = forge.token()
    for _ in range(3):
        verifier.verify(text)
    id_token = forge.pool.id_token(iat=NOW, exp=NOW + 60)
    for bad in (id_token, id_token, forge.claiming(exp=NOW - 60), "x"):
        with pytest.raises(InvalidToken):
            verifier.verify(bad)
    forge.server.seconds = 7
    stats = verifier.stats()
    assert (stats.verified, stats.cache_hits, stats.cached) == (1, 2, 1)
    assert stats.refused == {"token_use": 2, "expired": 1, "malformed": 1}
    keys = stats.keys[forge.pool.pool_id]
    assert (keys.age, keys.downloads, keys.failed_downloads, keys.stale_serves) == (7, 1, 0, 0)


# Properties


@pytest.fixture(scope="session")
def steady(cognito_keys: PoolKeys, other_keys: PoolKeys) -> tuple[CognitoVerifier, str, JoseKeySet]:
    """A verifier, a token it accepts, and joserfc's view of the same keys."""
    forge = Forge(cognito_keys, other_keys)
    keys = JoseKeySet.import_key_set(cognito_keys.jwks())  # type: ignore[arg-type]
    return forge.verifier(), forge.token(), keys


Edit = tuple[int, str, int]
EDITS = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.text("AQgwz09-_.=+/ \n{}\u00fc", max_size=3) | st.text(max_size=2),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=3,
)
JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["alg", "kid", "typ", "crit", "iss", "exp"]), inner, max_size=4
        )
    ),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())
NESTED = st.integers(0, 300).map(lambda depth: b"[" * depth + b"]" * depth)
COMPACT = st.tuples(
    *[(JSON_TEXTS | NESTED | st.binary(max_size=20)).map(encoded)] * 2,
    st.binary(max_size=260).map(encoded),
).map(".".join)


def edited(text: str, edits: list[Edit]) -> str:
    """Insert and remove some characters."""
    for position, inserted, removed in edits:
        at = position % (len(text) + 1)
        text = text[:at] + inserted + text[at + removed :]
    return text


@settings(max_examples=200, deadline=None)
@given(st.text() | COMPACT | st.binary() | st.none() | st.integers())
@example(encoded(b"[" * 256 + b"]" * 256) + "..")
@example("\ud800.e30.e30")
def test_anything_is_refused_as_an_invalid_token(
    steady: tuple[CognitoVerifier, str, JoseKeySet], anything: Any
) -> None:
    """No input of anybody's raises anything else."""
    with pytest.raises(InvalidToken):
        steady[0].verify(anything)


@settings(max_examples=500, deadline=None)
@given(EDITS)
def test_an_edited_token_is_refused_or_was_not_changed(
    steady: tuple[CognitoVerifier, str, JoseKeySet], edits: list[Edit]
) -> None:
    """There is one spelling of a token; all others raise an InvalidToken."""
    verifier, good, _ = steady
    text = edited(good, edits)
    if text == good:
        assert verifier.verify(text)
        return
    with pytest.raises(InvalidToken):
        verifier.verify(text)


def joserfc_takes(text: str, keys: JoseKeySet) -> bool:
    """Tell whether joserfc accepts structure and signature, both ways that it has."""
    try:
        jws.deserialize_compact(text, keys, algorithms=["RS256"])
        jwt.decode(text, keys, algorithms=["RS256"])
    except (JoseError, ValueError, TypeError):
        return False
    return True


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "rs256", "none", "HS256", "RS512", "PS256", "", 1, None]),
        "kid": st.sampled_from(["pool", "unknown", "", 1, None]),
        "typ": st.sampled_from(["JWT", "at+jwt", "id+jwt", 1, None]),
        "crit": st.sampled_from([["exp"], [], "b64", ["b64"], None]),
    },
)


@settings(max_examples=200, deadline=None)
@given(HEADERS)
def test_what_joserfc_refuses_of_well_signed_headers_is_refused(
    cognito_keys: PoolKeys,
    other_keys: PoolKeys,
    steady: tuple[CognitoVerifier, str, JoseKeySet],
    members: dict[str, Any],
) -> None:
    """A second opinion on headers of every kind, well signed: we are never the more lenient one."""
    verifier, good, keys = steady
    assert joserfc_takes(good, keys)
    forge = Forge(cognito_keys, other_keys)
    if members.get("kid") == "pool":
        members = members | {"kid": forge.kid}
    text = forge.token(json.dumps(members).encode())
    if not joserfc_takes(text, keys):
        with pytest.raises(InvalidToken):
            verifier.verify(text)
