"""Malformed tokens: what two parsers could read differently is refused, and no key is fetched."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resource_server.tokens import CognitoVerifier, errors
from resource_server.tokens.parsing import (
    MAX_TOKEN_CHARACTERS,
    base64url_decode,
    read_object,
    unverified_claims,
)
from tests.tokens.doubles import JwksServer, encoded, refuse

HEADER = b'{"kid":"k","alg":"RS256"}'
PAYLOAD = b'{"sub":"s"}'


def token(header: bytes = HEADER, payload: bytes = PAYLOAD, signature: bytes = b"s") -> str:
    """Write a token that nobody signed."""
    return f"{encoded(header)}.{encoded(payload)}.{encoded(signature)}"


H, P, S = token().split(".")


def refuse_before_keys(text: Any) -> errors.InvalidToken:
    """Return how a verifier refuses a token, and see that it asked for no key."""
    server = JwksServer(OSError("nobody is to be asked"))
    verifier = CognitoVerifier("eu-west-2_a", client_ids=None, keys=server.store())
    error = refuse(verifier, text)
    assert server.fetches == 0
    return error


@pytest.mark.parametrize(
    "text",
    [
        # RFC 7515 section 3.1 and 7.1: three parts, joined by full stops
        pytest.param("", id="rfc7515-3.1-empty"),
        pytest.param("x", id="rfc7515-3.1-one-part"),
        pytest.param(".", id="rfc7515-3.1-one-full-stop"),
        pytest.param(f"{H}.{P}", id="rfc7515-3.1-signature-and-its-dot-missing"),
        pytest.param(f"{H}.{S}", id="rfc7515-3.1-payload-and-its-dot-missing"),
        pytest.param(f"{P}.{S}", id="rfc7515-3.1-header-and-its-dot-missing"),
        pytest.param(P, id="rfc7515-3.1-payload-alone"),
        pytest.param(f"{H}.{P}.{S}.", id="rfc7515-3.1-four-parts-the-last-empty"),
        pytest.param(f".{H}.{P}.{S}", id="rfc7515-3.1-four-parts-the-first-empty"),
        pytest.param(f"{H}..{P}.{S}", id="rfc7515-3.1-four-parts-one-empty"),
        pytest.param(f"{H}.{P}.{S}.{S}.{S}", id="rfc7516-3.1-five-parts-of-a-jwe"),
        pytest.param("..", id="rfc7515-3.1-three-empty-parts"),
        pytest.param(f".{P}.{S}", id="rfc7515-3.1-header-empty"),
        pytest.param(f".{P}.", id="rfc7515-3.1-header-and-signature-empty"),
        pytest.param("." * 30_000, id="rfc7515-3.1-full-stops-alone"),
        pytest.param(
            json.dumps({"protected": H, "payload": P, "signature": S}),
            id="rfc7515-7.2.2-flattened-json-serialisation",
        ),
        pytest.param(
            json.dumps({"payload": P, "signatures": [{"protected": H, "signature": S}]}),
            id="rfc7515-7.2.1-general-json-serialisation",
        ),
        # RFC 7515 section 2: base64url without padding, line breaks or anything else
        pytest.param(f"{H}=.{P}.{S}", id="rfc7515-2-padding-one"),
        pytest.param(f"{H}==.{P}.{S}", id="rfc7515-2-padding-two"),
        pytest.param(f"{encoded(HEADER + b' ')}=.{P}.{S}", id="rfc7515-2-padding-where-it-fits"),
        pytest.param(f"={H}.{P}.{S}", id="rfc7515-2-padding-in-front"),
        pytest.param(f"{H[:4]}={H[4:]}.{P}.{S}", id="rfc7515-2-padding-within"),
        pytest.param(f" {H}.{P}.{S}", id="rfc7515-2-space-before"),
        pytest.param(f"{H} .{P}.{S}", id="rfc7515-2-space-after-header"),
        pytest.param(f"{H[:8]} {H[8:]}.{P}.{S}", id="rfc7515-2-space-within"),
        pytest.param(f"\n{H}.{P}.{S}", id="rfc7515-2-newline-before"),
        pytest.param(f"{H[:8]}\n{H[8:]}.{P}.{S}", id="rfc7515-2-newline-within"),
        pytest.param(f"{H[:8]}\r\n{H[8:]}.{P}.{S}", id="rfc7515-2-line-break-within"),
        pytest.param(f"{H[:8]}\t{H[8:]}.{P}.{S}", id="rfc7515-2-tab-within"),
        pytest.param(f"{H[:8]}\0{H[8:]}.{P}.{S}", id="rfc7515-2-nul-within"),
        # RFC 4648 section 3.3, 3.5 and 5: alphabet and stray bits
        pytest.param(f"!{H}.{P}.{S}", id="rfc4648-3.3-foreign-character-in-front"),
        pytest.param(f"{H[:8]}!!!!{H[8:]}.{P}.{S}", id="rfc4648-3.3-four-foreign-characters"),
        pytest.param(f"{H[:8]}%2e{H[8:]}.{P}.{S}", id="rfc4648-3.3-percent-encoding"),
        pytest.param(f"{H[:8]}\u00fc{H[8:]}.{P}.{S}", id="rfc4648-3.3-beyond-ascii"),
        pytest.param(f"{H[:8]}\uff21{H[8:]}.{P}.{S}", id="rfc4648-3.3-full-width-letter"),
        pytest.param(f"\ufeff{H}.{P}.{S}", id="rfc4648-3.3-bom-before-the-token"),
        pytest.param(f"{H}\ud800.{P}.{S}", id="rfc4648-3.3-lone-surrogate"),
        pytest.param(f"{H[:-1]}R.{P}.{S}", id="rfc4648-3.5-one-stray-bit"),
        pytest.param(f"{H[:-1]}f.{P}.{S}", id="rfc4648-3.5-all-stray-bits"),
        pytest.param(f"{H}AAA.{P}.{S}", id="rfc4648-4-one-character-too-many"),
        pytest.param(f"A.{P}.{S}", id="rfc4648-4-one-character-alone"),
    ],
)
def test_text_that_is_no_compact_serialisation_is_malformed(text: str) -> None:
    """Three parts of canonical base64url, nothing between them or around them."""
    assert type(refuse_before_keys(text)) is errors.MalformedToken


def test_the_stray_bits_above_are_stray() -> None:
    """A tolerant decoder reads the same header from those rows, so they test what they say."""
    assert H[-1] == "Q"
    for last in "Rf":
        assert base64.urlsafe_b64decode(H[:-1] + last + "==") == HEADER


def test_both_alphabets_do_not_mix() -> None:
    """Base64url has - and _ (RFC 4648 section 5); + and / mean nothing, though they could."""
    assert base64url_decode(b"-_-_") == b"\xfb\xff\xbf"
    for foreign in (b"+_-_", b"-/-_", b"+/+/"):
        with pytest.raises(errors.MalformedToken):
            base64url_decode(foreign)


NOT_STRICT_JSON = [
    # RFC 8259 section 8.1: UTF-8 without a byte order mark
    pytest.param(b'{"a":"\xff"}', id="rfc8259-8.1-not-utf-8"),
    pytest.param(b'{"a":"\xc3"}', id="rfc8259-8.1-utf-8-cut-short"),
    pytest.param(b'{"a":"\xc0\xaf"}', id="rfc8259-8.1-utf-8-overlong"),
    pytest.param(b'{"a":"\xed\xa0\x80"}', id="rfc8259-8.1-utf-8-surrogate"),
    pytest.param('{"a":"\u00fc"}'.encode("latin-1"), id="rfc8259-8.1-latin-1"),
    pytest.param('{"a":1}'.encode("utf-16"), id="rfc8259-8.1-utf-16-with-bom"),
    pytest.param('{"a":1}'.encode("utf-16-le"), id="rfc8259-8.1-utf-16-little-endian"),
    pytest.param('{"a":1}'.encode("utf-16-be"), id="rfc8259-8.1-utf-16-big-endian"),
    pytest.param('{"a":1}'.encode("utf-32"), id="rfc8259-8.1-utf-32"),
    pytest.param(b'\xef\xbb\xbf{"a":1}', id="rfc8259-8.1-bom"),
    pytest.param(rb'{"a":"\ud800"}', id="rfc8259-8.2-lone-surrogate-escaped"),
    # RFC 7515 section 4, RFC 7519 section 4: each member once
    pytest.param(b'{"a":1,"a":1}', id="rfc7515-4-member-twice-alike"),
    pytest.param(b'{"a":1,"b":2,"a":3}', id="rfc7515-4-member-twice"),
    pytest.param(b'{ "a" : 1 , "a" : 2 }', id="rfc7515-4-member-twice-spaced"),
    pytest.param(rb'{"a":1,"\u0061":2}', id="rfc7515-4-member-twice-once-escaped"),
    pytest.param(rb'{"a/":1,"a\/":2}', id="rfc7515-4-member-twice-once-with-escaped-slash"),
    pytest.param(b'{"":1,"":2}', id="rfc7515-4-empty-name-twice"),
    pytest.param(b'{"a":{"b":1,"b":2}}', id="rfc7515-4-nested-member-twice"),
    pytest.param(b'{"a":[[{"b":1,"b":2}]]}', id="rfc7515-4-member-twice-in-a-list"),
    # RFC 8259 section 6: numbers
    pytest.param(b'{"a":NaN}', id="rfc8259-6-nan"),
    pytest.param(b'{"a":Infinity}', id="rfc8259-6-infinity"),
    pytest.param(b'{"a":-Infinity}', id="rfc8259-6-minus-infinity"),
    pytest.param(b'{"a":[{"b":NaN}]}', id="rfc8259-6-nested-nan"),
    pytest.param(b'{"a":1e400}', id="rfc8259-6-exponent-beyond-a-double"),
    pytest.param(b'{"a":' + b"9" * 400 + b"}", id="rfc8259-6-integer-of-400-digits"),
    pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="rfc8259-6-integer-of-5000-digits"),
    pytest.param(b'{"a":01}', id="rfc8259-6-leading-zero"),
    pytest.param(b'{"a":+1}', id="rfc8259-6-plus-sign"),
    pytest.param(b'{"a":0x1}', id="rfc8259-6-hexadecimal"),
    pytest.param(b'{"a":1.}', id="rfc8259-6-no-digit-after-the-point"),
    # RFC 8259 section 2 and 9: one value, and nothing after it
    pytest.param(b"", id="rfc8259-2-empty"),
    pytest.param(b" ", id="rfc8259-2-space"),
    pytest.param(b"x", id="rfc8259-2-no-json"),
    pytest.param(b'{"a":1', id="rfc8259-2-cut-short"),
    pytest.param(b'{"a":1}{}', id="rfc8259-2-second-object"),
    pytest.param(b'{"a":1}x', id="rfc8259-2-trailing-byte"),
    pytest.param(b'{"a":1}\0', id="rfc8259-2-trailing-nul"),
    pytest.param(b'{"a":1}\x0c', id="rfc8259-2-trailing-form-feed"),
    pytest.param(b'{"a":1,}', id="rfc8259-4-trailing-comma"),
    pytest.param(b"{'a':1}", id="rfc8259-7-single-quotes"),
    pytest.param(b"{a:1}", id="rfc8259-4-bare-name"),
    pytest.param(b'{"a":1}//x', id="rfc8259-2-comment"),
    pytest.param(b'{"a":"\n"}', id="rfc8259-7-raw-newline-in-text"),
    pytest.param(b'{"a":True}', id="rfc8259-3-python-literal"),
    # RFC 7515 section 4 and RFC 7519 section 7.2: an object
    pytest.param(b"null", id="rfc7519-7.2-null"),
    pytest.param(b"true", id="rfc7519-7.2-true"),
    pytest.param(b"7", id="rfc7519-7.2-number"),
    pytest.param(b'"a"', id="rfc7519-7.2-text"),
    pytest.param(b"[]", id="rfc7519-7.2-list"),
    pytest.param(b'[{"a":1}]', id="rfc7519-7.2-list-of-an-object"),
    pytest.param(b'[["a",1]]', id="rfc7519-7.2-list-of-pairs"),
    # RFC 8259 section 9: depth
    pytest.param(b"[" * 5000 + b"]" * 5000, id="rfc8259-9-lists-5000-deep"),
    pytest.param(b'{"a":' * 3000 + b"1" + b"}" * 3000, id="rfc8259-9-objects-3000-deep"),
    pytest.param(b"[" * 20_000, id="rfc8259-9-never-closed"),
]


@pytest.mark.parametrize("document", NOT_STRICT_JSON)
def test_a_header_that_is_no_strict_json_object_is_malformed(document: bytes) -> None:
    """An unsigned header is refused by its form, before a key is looked for."""
    assert type(refuse_before_keys(token(header=document))) is errors.MalformedToken


@pytest.mark.parametrize("document", NOT_STRICT_JSON)
def test_a_payload_that_is_no_strict_json_object_is_malformed(document: bytes) -> None:
    """Even claims that are only shown come out of strict JSON."""
    with pytest.raises(errors.MalformedToken):
        unverified_claims(token(payload=document))


@pytest.mark.parametrize("depth", [100, 253, 254, 500, 1023, 1024])
@pytest.mark.parametrize("written", ["compact", "spaced"])
def test_nesting_of_any_depth_is_read_or_refused(depth: int, written: str) -> None:
    """Each JSON library has limits of its own; none of them becomes another exception."""
    space = b" " if written == "spaced" else b""
    document = b'{"a":' + space + b"[" * depth + b"]" * depth + b"}"
    try:
        assert list(read_object(document)) == ["a"]
    except errors.MalformedToken:
        assert depth > 200


@pytest.mark.parametrize(
    ("size", "error"), [(512, errors.UnsupportedAlgorithm), (513, errors.MalformedToken)]
)
def test_a_header_has_512_bytes_at_most(size: int, error: type[errors.InvalidToken]) -> None:
    """Up to there it is read, and its `alg` judged; beyond, whatever is in it, it is not."""
    header = b'{"alg":"HS256","x":"' + b"x" * (size - 22) + b'"}'
    assert len(header) == size
    assert type(refuse_before_keys(token(header=header))) is error


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"[" * 256 + b"]" * 256, id="256-lists"),
        pytest.param(b'{"":' + b"[" * 253 + b"]" * 253 + b"}", id="253-lists-in-an-object"),
        pytest.param(b'{"alg":"RS256","":' + b"[" * 246 + b"]" * 246 + b"}", id="after-alg"),
    ],
)
def test_a_header_of_512_bytes_may_nest_as_it_likes(header: bytes) -> None:
    """What anybody can send, signed by nobody, is an InvalidToken and never a crash."""
    assert len(header) <= 512
    assert isinstance(refuse_before_keys(token(header=header)), errors.InvalidToken)


def test_32768_characters_pass_the_size_check() -> None:
    """The largest token that is read at all is then judged by its form."""
    text = "a" * 32_768
    assert len(text) == MAX_TOKEN_CHARACTERS
    assert type(refuse_before_keys(text)) is errors.MalformedToken


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a" * 32_769, id="one-too-many"),
        pytest.param(token() + "A" * 32_768, id="a-token-and-more"),
        pytest.param("." * 32_769, id="full-stops"),
        pytest.param("\u00fc" * 32_769, id="beyond-ascii"),
        pytest.param("a.b." * 1_000_000, id="four-megabytes"),
    ],
)
def test_32769_characters_are_refused_unread(text: str) -> None:
    """The size is looked at first, whatever else is wrong."""
    assert type(refuse_before_keys(text)) is errors.TokenTooLarge
    with pytest.raises(errors.TokenTooLarge):
        unverified_claims(text)


@pytest.mark.parametrize(
    "anything",
    [
        None,
        7,
        1.5,
        True,
        token().encode(),
        bytearray(token().encode()),
        [token()],
        (H, P, S),
        {"token": token()},
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_text_is_malformed(anything: Any) -> None:
    """A caller's slip is a refused token, not a crash."""
    assert type(refuse_before_keys(anything)) is errors.MalformedToken


def test_strict_json_is_read_as_it_is() -> None:
    """Spaces, escapes and names beyond ASCII are all JSON, in whatever way they are written."""
    document = b' { "a" : [ 1.50, -0, true, null, {"a":{}} ],\r\n\t"\xc3\xbc":"\\u00fc\\/" } '
    assert read_object(document) == {
        "a": [1.5, 0, True, None, {"a": {}}],
        "\u00fc": "\u00fc/",
    }
    assert read_object(b"{}") == {}


def test_names_that_only_look_alike_are_two_members() -> None:
    """JSON compares names by code point (RFC 8259 section 8.3): nothing is normalised."""
    document = '{"a":1,"A":2,"\u00e9":3,"e\u0301":4}'.encode()
    assert len(read_object(document)) == 4


def test_unverified_claims_are_those_of_the_payload() -> None:
    """They are read without any key, and whatever the header says."""
    assert unverified_claims(token(header=b"x", payload=b'{"sub":"s","n":1}')) == {
        "sub": "s",
        "n": 1,
    }


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.text("AQgw-_+/= \n.!", max_size=12).map(str.encode))
def test_base64url_has_one_spelling(text: bytes) -> None:
    """What is decoded is encoded to the very same text again; anything else is malformed."""
    assert base64url_decode(encoded(text).encode()) == text
    try:
        decoded = base64url_decode(text)
    except errors.MalformedToken:
        return
    assert encoded(decoded).encode() == text


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
OBJECTS = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_any_json_object_is_read(
    value: dict[str, Any], ascii_alone: bool, indent: int | None
) -> None:
    """Strictness costs no proper document, however it is spelled."""
    written = json.dumps(value, ensure_ascii=ascii_alone, indent=indent)
    assert read_object(written.encode()) == value


@settings(max_examples=200, deadline=None)
@given(OBJECTS, NAMES, LEAVES, LEAVES)
def test_any_member_that_occurs_twice_is_refused(
    value: dict[str, Any], name: str, first: Any, second: Any
) -> None:
    """Wherever it stands, however it is spelled, and whether the values differ or not."""
    value.pop(name, None)
    member = json.dumps({name: first})[1:-1]
    again = json.dumps({name: second}, ensure_ascii=False, separators=(",", ":"))[1:-1]
    others = json.dumps(value)[1:-1]
    document = "{" + ",".join(filter(None, (member, others, again))) + "}"
    with pytest.raises(errors.MalformedToken):
        read_object(document.encode())
