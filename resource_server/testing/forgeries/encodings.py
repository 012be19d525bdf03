"""Encodings: what is no token at all, and other spellings of what is one."""

import itertools
import json
import string
from collections.abc import Callable

from resource_server.testing.forgeries import attacker
from resource_server.testing.forgeries.draft import Draft, written
from resource_server.testing.forgeries.forgery import MALFORMED, Forgery, Severity

_NO_TOKEN = "It takes what is no JSON web token, or stumbles over it."  # noqa: S105 - a sentence
_COMPACT = "RFC 7515 section 3.1; RFC 7519 section 7.2"
_JSON = "RFC 7515 sections 4 and 5.2"
_BASE64 = "RFC 7515 section 2; RFC 4648 sections 3.3 and 3.5"
_SPELLING = "It takes many spellings of one token: a list of those revoked, by text, is evaded."
_TWO_READINGS = "It reads JSON that another parser reads differently, or not at all."
# Deep enough for parsers that recurse, and still within the 8 kB that servers take as one header.
_NESTED = b"[" * 2500 + b"]" * 2500
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def _shape(name: str, write: Callable[[Draft], str], flaw: str = _NO_TOKEN) -> Forgery:
    return Forgery(name, Severity.MEDIUM, flaw, _COMPACT, write, statuses=MALFORMED)


def _header(name: str, header: Callable[[Draft], bytes]) -> Forgery:
    """Put such a header before a payload that the attacker signed."""
    return Forgery(
        name,
        Severity.MEDIUM,
        _NO_TOKEN,
        _JSON,
        lambda d: d.token(header(d), sign=attacker.sign),
        statuses=MALFORMED,
    )


def _payload(name: str, payload: bytes) -> Forgery:
    """Let the attacker sign such a payload, under the pool's `kid`."""
    return Forgery(
        name,
        Severity.MEDIUM,
        _NO_TOKEN,
        _JSON,
        lambda d: d.token(claims=payload, sign=attacker.sign),
        statuses=MALFORMED,
    )


def _spelling(name: str, write: Callable[[Draft], str], source: str = _BASE64) -> Forgery:
    return Forgery(name, Severity.LOW, _SPELLING, source, write, statuses=MALFORMED)


def _reading(
    name: str, payload: Callable[[bytes], bytes], statuses: frozenset[int] = MALFORMED
) -> Forgery:
    """Let the pool sign such a payload."""
    return Forgery(
        name,
        Severity.LOW,
        _TWO_READINGS,
        _JSON,
        lambda d: d.token(claims=payload(written(d.claims))),
        statuses=statuses,
    )


def _flattened(draft: Draft) -> str:
    names = ("protected", "payload", "signature")
    return json.dumps(dict(zip(names, draft.parts, strict=True)))


def _standard_alphabet(draft: Draft) -> str:
    """Find a signature whose spelling in the standard alphabet is another one."""
    for number in itertools.count():
        token = draft.claiming(event_id=str(number))
        head, signature = token.rsplit(".", 1)
        if "-" in signature or "_" in signature:
            return f"{head}.{signature.replace('-', '+').replace('_', '/')}"
    raise AssertionError  # never: count() has no end


def _stray_bits(draft: Draft) -> str:
    """Set bits of the last character that decoders drop; 256 bytes leave four of them."""
    last = _ALPHABET.index(draft.genuine[-1])
    return draft.genuine[:-1] + _ALPHABET[last ^ 1]


ENCODINGS = [
    _shape("one-part", lambda d: d.parts[0]),
    _shape("two-parts", lambda d: ".".join(d.parts[:2])),
    _shape("four-parts", lambda d: f"{d.genuine}.{d.parts[2]}"),
    _shape("five-parts", lambda d: ".".join((d.parts[0], "", "", *d.parts[1:]))),
    _shape("trailing-dot", lambda d: f"{d.genuine}."),
    _shape("leading-dot", lambda d: f".{d.genuine}"),
    _shape("parts-empty", lambda _: ".."),
    _shape("header-empty", lambda d: "." + d.genuine.partition(".")[2]),
    _shape("payload-empty", lambda d: f"{d.parts[0]}..{d.parts[2]}"),
    _shape("header-no-base64", lambda d: ".".join(("!", *d.parts[1:]))),
    _shape("payload-no-base64", lambda d: f"{d.parts[0]}.!.{d.parts[2]}"),
    _shape("not-ascii", lambda d: f"{d.genuine}\xe9"),
    _shape("json-serialization", _flattened),
    Forgery(
        "huge",
        Severity.MEDIUM,
        "It stumbles over a token of a million characters.",
        "RFC 6750 section 3.1",
        lambda d: d.genuine + "A" * 1_000_000,
        statuses=MALFORMED | {413, 431},
    ),
    _header("header-not-json", lambda _: b"{"),
    _header(
        "header-not-utf-8", lambda d: b'{"alg":"RS256","kid":"%s","x":"\xff"}' % d.kid.encode()
    ),
    _header("header-list", lambda _: b'["RS256"]'),
    _header("header-null", lambda _: b"null"),
    _header("header-text", lambda _: b'"alg"'),
    _header("header-number", lambda _: b"1"),
    _header("header-empty-object", lambda _: b"{}"),
    _header(
        "header-deeply-nested",
        lambda d: b'{"alg":"RS256","kid":"%s","x":%s}' % (d.kid.encode(), _NESTED),
    ),
    _header(
        "header-long-number",
        lambda d: b'{"alg":"RS256","kid":"%s","x":1%s}' % (d.kid.encode(), b"0" * 5000),
    ),
    _payload("payload-not-json", b"{"),
    _payload("payload-not-utf-8", b'{"iss":"\xff"}'),
    _payload("payload-list", b"[]"),
    _payload("payload-null", b"null"),
    _payload("payload-number", b"1"),
    _payload("payload-deeply-nested", b'{"iss":%s}' % _NESTED),
    _spelling("padded", lambda d: d.genuine + "=" * (-len(d.parts[2]) % 4)),
    _spelling("standard-alphabet", _standard_alphabet),
    _spelling("stray-characters", lambda d: f"{d.genuine[:-4]}!!!!{d.genuine[-4:]}"),
    _spelling("stray-bits", _stray_bits),
    _reading("claims-twice", lambda claims: b'{"sub":"somebody-else",' + claims[1:]),
    _reading("payload-with-more-behind", lambda claims: claims + b"x"),
    _reading("payload-with-bom", lambda claims: b"\xef\xbb\xbf" + claims),
    _reading("payload-in-utf-16", lambda claims: claims.decode().encode("utf-16")),
    _reading("payload-with-bad-utf-8", lambda claims: claims[:-1] + b',"x":"\xff"}'),
    _reading("payload-in-a-list", lambda claims: b"[%s]" % claims),
    Forgery(
        "header-with-more-behind",
        Severity.LOW,
        _TWO_READINGS,
        _JSON,
        lambda d: d.token(written(d.header()) + b"x"),
        statuses=MALFORMED,
    ),
    Forgery(
        "header-twice",
        Severity.LOW,
        _TWO_READINGS,
        _JSON,
        lambda d: d.token(b'{"kid":"other",' + written(d.header())[1:]),
        statuses=MALFORMED,
    ),
]
