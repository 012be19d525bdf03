"""Attributes: which a pool has and requires, what an app client may write, and in what form."""

import re
from collections.abc import Iterable, Mapping
from datetime import date

from moto.cognitoidp.models import (
    CognitoIdpUserPool,
    CognitoIdpUserPoolAttribute,
    CognitoIdpUserPoolClient,
)
from moto.core.exceptions import JsonRESTError

from resource_server.emulator.gaps.directory import not_authorized, refusal

_STANDARD = frozenset(CognitoIdpUserPoolAttribute.STANDARD_SCHEMA)
# Cognito's own to set, or an administrator's.
_NEVER = frozenset({"sub", "email_verified", "phone_number_verified", "identities"})
_PHONE, _EMAIL = re.compile(r"\+[0-9]+"), re.compile(r"[^\s@<>]+@[^\s@<>]+")
_LONGEST = 2048


def require_writable(
    pool: CognitoIdpUserPool, client: CognitoIdpUserPoolClient, names: Iterable[str]
) -> None:
    """Reject attributes that an app client may not write.

    Without WriteAttributes it may write the standard ones (API reference, CreateUserPoolClient).
    """
    known = _STANDARD | set(pool.schema_attributes)
    writable = set(client.extended_config.get("WriteAttributes") or _STANDARD)
    for name in names:
        if name not in known:
            raise _nonconforming(f"Type for attribute {{{name}}} could not be determined")
        if name in _NEVER or name not in writable:
            raise not_authorized("A client attempted to write unauthorized attribute")


def require_mutable(pool: CognitoIdpUserPool, names: Iterable[str]) -> None:
    """Reject a change of attributes that are set once."""
    for name in names:
        own = pool.schema_attributes.get(name)
        if own is not None and own.custom and not own.mutable:
            raise refusal(
                "InvalidParameterException", f"user.{name}: Attribute cannot be updated.\n"
            )


def require_conforming(attributes: Mapping[str, str]) -> None:
    """Check the form of values (guide, "Attributes": phone numbers, dates, 2,048 characters)."""
    for name, value in attributes.items():
        if len(value) > _LONGEST:
            raise _nonconforming(f"{name}: String must be no longer than {_LONGEST} characters")
        if name == "phone_number" and value and not _PHONE.fullmatch(value):
            raise refusal("InvalidParameterException", "Invalid phone number format.")
        if name == "email" and value and not _EMAIL.fullmatch(value):
            raise refusal("InvalidParameterException", "Invalid email address format.")
        if name == "birthdate" and value and not _is_date(value):
            raise _nonconforming("birthdate: Birthdate must be a date of the form YYYY-MM-DD")


def missing(pool: CognitoIdpUserPool, attributes: Mapping[str, str]) -> list[str]:
    """List the attributes that the pool requires and that are not there."""
    return [
        name
        for name, own in pool.schema_attributes.items()
        if own.required and name != "sub" and not attributes.get(name)
    ]


def require_all(pool: CognitoIdpUserPool, attributes: Mapping[str, str]) -> None:
    """Reject a sign-up without what the pool requires."""
    for name in missing(pool, attributes):
        raise _nonconforming(f"{name}: The attribute {name} is required")


def _nonconforming(reason: str) -> JsonRESTError:
    return refusal(
        "InvalidParameterException", f"Attributes did not conform to the schema: {reason}"
    )


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
