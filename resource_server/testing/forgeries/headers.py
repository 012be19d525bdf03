"""Headers: keys that a token brings along, ids of keys that are none, extensions."""

import base64
import zlib

from cryptography.hazmat.primitives.serialization import Encoding

from resource_server.testing.forgeries import attacker
from resource_server.testing.forgeries.draft import (
    ABSENT,
    Draft,
    encoded,
    hs,
    rs256,
    written,
)
from resource_server.testing.forgeries.forgery import Forgery, Severity

_SECRET = b"known-to-all"
_BROUGHT = "It verifies with a key that the token itself brought along."
_FETCHED = (
    "It fetches a key from where the token says: anybody's will do, and the server can be sent "
    "anywhere."
)
_KEY_ID = "It takes a token whose `kid` names no key of the pool, or stumbles over it."
_KEY_ID_RULE = "RFC 7515 section 4.1.4; RFC 8725 section 3.10"


def _x5c() -> list[str]:
    der = attacker.certificate().public_bytes(Encoding.DER)
    return [base64.b64encode(der).decode()]  # standard base64 here: RFC 7515 §4.1.6


def _brought(name: str, source: str, flaw: str = _BROUGHT, **header: object) -> Forgery:
    def write(draft: Draft) -> str:
        given = {k: v() if callable(v) else v for k, v in header.items()}
        return draft.token(draft.header(**given), sign=attacker.sign)

    return Forgery(name, Severity.CRITICAL, flaw, source, write)


def _key_id(name: str, kid: object) -> Forgery:
    return _brought(name, _KEY_ID_RULE, _KEY_ID, kid=kid)


def _unencoded(draft: Draft) -> str:
    """Write an unencoded payload, signed as it is; it must hold no dot (RFC 7797 §5.2)."""
    payload = written(draft.claims).replace(b".", rb"\u002e")
    header = encoded(written(draft.header(b64=False, crit=["b64"])))
    signature = rs256(draft.pool.keys.access)(header.encode() + b"." + payload)
    return f"{header}.{payload.decode()}.{encoded(signature)}"


def _other_kid(draft: Draft) -> str:
    return next(str(k["kid"]) for k in draft.pool.jwks()["keys"] if k["kid"] != draft.kid)


HEADERS = [
    _brought("jwk", "RFC 7515 section 4.1.3", kid=attacker.kid, jwk=attacker.jwk),
    _brought("jwk-under-the-pools-kid", "RFC 7515 section 4.1.3", jwk=attacker.jwk),
    _brought("jku", "RFC 8725 section 3.10", _FETCHED, kid=attacker.kid, jku=attacker.JWKS_URI),
    _brought("x5c", "RFC 7515 section 4.1.6", kid=attacker.kid, x5c=_x5c),
    _brought(
        "x5u", "RFC 8725 section 3.10", _FETCHED, kid=attacker.kid, x5u=attacker.CERTIFICATE_URI
    ),
    Forgery(
        "jwk-symmetric",
        Severity.CRITICAL,
        _BROUGHT,
        "RFC 7515 section 4.1.3; RFC 8725 section 3.1",
        lambda d: d.token(
            d.header(alg="HS256", jwk={"kty": "oct", "k": encoded(_SECRET)}), sign=hs(_SECRET)
        ),
    ),
    _key_id("kid-missing", ABSENT),
    _key_id("kid-null", None),
    _key_id("kid-empty", ""),
    _key_id("kid-number", 1),
    _key_id("kid-true", True),
    _key_id("kid-list", ["a"]),
    _key_id("kid-object", {"a": 1}),
    _key_id("kid-long", "k" * 4000),
    _key_id("kid-is-an-address", attacker.JWKS_URI),
    Forgery(
        "kid-path-traversal",
        Severity.CRITICAL,
        "It reads the key from a file that the token names: an empty one is an empty secret.",
        "RFC 8725 section 3.10",
        lambda d: d.token(d.header(alg="HS256", kid="../../../../../../dev/null"), sign=hs(b"")),
    ),
    Forgery(
        "kid-sql",
        Severity.CRITICAL,
        "It looks the key up with a query that the token writes.",
        "RFC 8725 section 3.10",
        lambda d: d.token(
            d.header(alg="HS256", kid=f"' UNION SELECT '{_SECRET.decode()}' --"), sign=hs(_SECRET)
        ),
    ),
    Forgery(
        "crit-unknown",
        Severity.LOW,
        "It ignores an extension that the token declares critical.",
        "RFC 7515 section 4.1.11",
        lambda d: d.token(d.header(crit=["unknown"], unknown=1)),
    ),
    Forgery(
        "crit-empty",
        Severity.LOW,
        "It takes a list of critical extensions that is none.",
        "RFC 7515 section 4.1.11",
        lambda d: d.token(d.header(crit=[])),
    ),
    Forgery(
        "b64-false",
        Severity.LOW,
        "It verifies an unencoded payload, which JSON web tokens must not have.",
        "RFC 7797 sections 5 and 7",
        _unencoded,
    ),
    Forgery(
        "b64-ignored",
        Severity.LOW,
        "It ignores that the token declares its payload unencoded.",
        "RFC 7797 sections 3 and 6",
        lambda d: d.token(d.header(b64=False, crit=["b64"])),
    ),
    Forgery(
        "typ-other",
        Severity.LOW,
        "It takes a token of another kind than an access token.",
        "RFC 8725 sections 3.11 and 3.12",
        lambda d: d.token(d.header(typ="logout+jwt")),
    ),
    Forgery(
        "typ-number",
        Severity.LOW,
        "It takes a type that is no text, or stumbles over it.",
        "RFC 7515 section 4.1.9",
        lambda d: d.token(d.header(typ=1)),
    ),
    Forgery(
        "zip",
        Severity.LOW,
        "It inflates what is signed: a few bytes become as many as the sender likes.",
        "RFC 7516 section 4.1.3; RFC 8725 section 3.6",
        lambda d: d.token(d.header(zip="DEF"), zlib.compress(written(d.claims), wbits=-15)),
    ),
    Forgery(
        "kid-left-out",
        Severity.LOW,
        "It tries any key on a token that names none.",
        "Cognito guide, verifying JSON web tokens",
        lambda d: d.token(d.header(kid=ABSENT)),
    ),
    Forgery(
        "kid-of-the-other-key",
        Severity.LOW,
        "It tries other keys than the one that the token names.",
        "Cognito guide, verifying JSON web tokens",
        lambda d: d.token(d.header(kid=_other_kid(d))),
    ),
]
