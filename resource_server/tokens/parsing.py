"""Strict reading of a JWS in compact serialisation (RFC 7515 §3.1, §5.2).

Stricter than the libraries: what two parsers could read differently is refused. That is duplicate
members (RFC 7515 §4), base64url with padding, foreign characters or stray bits (RFC 4648 §3.5),
bytes after the JSON, NaN and Infinity, text that is not UTF-8, and JSON nested too deeply to read.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple, NoReturn

from resource_server.tokens.errors import MalformedToken, TokenTooLarge

# A user in a hundred groups has some 24,000 characters.
MAX_TOKEN_CHARACTERS = 32_768
_PARTS = 3


class UnverifiedToken(NamedTuple):
    """A token taken apart, nothing of it verified."""

    unverified_header: dict[str, Any]
    unverified_payload: str
    """Still encoded: claims are read only after the signature."""
    signing_input: bytes
    signature: bytes


def split(token: str) -> UnverifiedToken:
    """Take a token apart and read its header.

    Raises TokenTooLarge or MalformedToken.
    """
    if not isinstance(token, str):
        raise MalformedToken
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenTooLarge
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise MalformedToken
    header, payload, signature = parts
    return UnverifiedToken(
        unverified_header=read_object(header),
        unverified_payload=payload,
        signing_input=token[: len(header) + 1 + len(payload)].encode("ascii", "replace"),
        signature=base64url_decode(signature),
    )


def unverified_claims(token: str) -> dict[str, Any]:
    """Claims of a token nobody verified: to show, never to decide by.

    Raises TokenTooLarge or MalformedToken.
    """
    return read_object(split(token).unverified_payload)


def base64url_decode(text: str) -> bytes:
    """Decode canonical, unpadded base64url (RFC 7515 §2).

    Raises MalformedToken if encoding the result anew would give another text.
    """
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError as error:
        raise MalformedToken from error
    # The decoder skips foreign characters and ignores unused bits; encoding anew tells.
    if urlsafe_b64encode(data).rstrip(b"=") != text.encode("ascii"):
        raise MalformedToken
    return data


def read_object(part: str) -> dict[str, Any]:
    """Read one encoded part as a JSON object.

    Raises MalformedToken.
    """
    try:
        # Decoded here, since json.loads would guess at UTF-16 and UTF-32.
        value = json.loads(
            base64url_decode(part).decode("utf-8"),
            object_pairs_hook=_unique_members,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        raise MalformedToken from error
    if not isinstance(value, dict):
        raise MalformedToken
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")
