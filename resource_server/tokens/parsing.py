"""Strict reading of a JWS in compact serialisation (RFC 7515 §3.1, §5.2).

Stricter than the libraries: what two parsers could read differently is refused. That is duplicate
members (RFC 7515 §4), base64url with padding, foreign characters or stray bits (RFC 4648 §3.5),
anything after the JSON, NaN and Infinity, text that is not UTF-8, and JSON nested too deeply.
"""

import json
from typing import Any

import orjson
from pybase64 import b64decode

from resource_server.tokens.errors import MalformedToken, TokenTooLarge

# A user in a hundred groups has some 24,000 characters.
MAX_TOKEN_CHARACTERS = 32_768
MAX_HEADER_BYTES = 512
_DOT, _PLUS, _SLASH, _PAD = b".+/="
# By the number of characters beyond a multiple of four: the padding to add, and which last
# characters leave no stray bits (RFC 4648 §3.5).
_ENDINGS = (None, (b"", b""), (b"==", b"AQgw"), (b"=", b"AEIMQUYcgkosw048"))


def token_bytes(token: str) -> bytes:
    """Return a token's characters as bytes.

    Raises TokenTooLarge, or MalformedToken for what is no ASCII text.
    """
    if not isinstance(token, str):
        raise MalformedToken
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenTooLarge
    try:
        return token.encode("ascii")
    except UnicodeEncodeError:
        raise MalformedToken from None


def split(token: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Take a token apart: what is signed, and header, payload and signature, still encoded.

    Raises MalformedToken.
    """
    signed, _, signature = token.rpartition(b".")
    header, dot, payload = signed.partition(b".")
    if not dot or _DOT in payload:
        raise MalformedToken
    return signed, header, payload, signature


def unverified_claims(token: str) -> dict[str, Any]:
    """Claims of a token nobody verified: to show, never to decide by.

    Raises TokenTooLarge or MalformedToken.
    """
    _, _, payload, _ = split(token_bytes(token))
    return read_object(base64url_decode(payload))


def base64url_decode(encoded: bytes) -> bytes:
    """Decode canonical, unpadded base64url (RFC 7515 §2).

    Raises MalformedToken for what would not be encoded to the same text again.
    """
    # The decoder would take padding, and the standard alphabet beside this one.
    if _PLUS in encoded or _SLASH in encoded or _PAD in encoded:
        raise MalformedToken
    if ending := _ENDINGS[len(encoded) & 3]:
        padding, last = ending
        if encoded[-1] not in last:
            raise MalformedToken
        encoded += padding
    try:
        return b64decode(encoded, b"-_", True)  # by position: names cost as much as the decoding
    except ValueError as error:
        raise MalformedToken from error


def read_object(data: bytes) -> dict[str, Any]:
    """Read strict JSON as an object.

    Raises MalformedToken.
    """
    try:
        value = orjson.loads(data)
        # orjson takes the last of two members with one name. What is written again as it was read
        # had no such pair (some issuers, Cognito among them, write a slash as \\/); of anything
        # else every object is looked at.
        written = orjson.dumps(value)
        if written != data and written != data.replace(b"\\/", b"/"):
            json.loads(data, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError, orjson.JSONEncodeError) as error:
        raise MalformedToken from error  # the last: orjson reads deeper nesting than it writes
    if not isinstance(value, dict):
        raise MalformedToken
    return value


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a member occurs twice")
