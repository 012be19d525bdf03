"""Refusals that follow from what a view demands, so that no view declares them."""

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, RequestHeaderFieldsTooLarge

from resource_server import bodies
from resource_server.auth import (
    NOT_AUTHENTICATED,
    NOT_ENOUGH,
    SIGN_IN_TOO_OLD,
    TokenRequirement,
)
from resource_server.problems import faults, sentence
from resource_server.refusals import ACCOUNT_DISABLED, DATABASE_AWAY, Problem
from resource_server.tokens import errors as tokens

_NO_HOST = Problem(400, bodies.NO_HOST)
_OTHER_HOST = Problem(421, bodies.OTHER_HOST)
_NOT_JSON = Problem(400, bodies.NOT_JSON.format(reason=bodies.NOT_UTF8))
HEADERS_TOO_LARGE = Problem(431, sentence(RequestHeaderFieldsTooLarge()))
_TOO_LARGE = Problem(413, sentence(RequestEntityTooLarge()))


def of_host(is_for_any: bool) -> Iterator[Problem]:
    """Yield what the Host header may be rejected for."""
    yield _NO_HOST
    if not is_for_any:
        yield _OTHER_HOST


def of_token(needed: TokenRequirement | None) -> Iterator[Problem]:
    """Yield what a token may be refused for, and what comes with the account behind it."""
    if needed is None:
        return
    if not needed.optional:
        yield Problem(401, NOT_AUTHENTICATED)
    for error in (tokens.ExpiredToken, tokens.RevokedToken):
        yield Problem(401, error.description)
    if needed.max_age is not None:
        yield Problem(401, SIGN_IN_TOO_OLD)
    if needed.scope or needed.groups or needed.check:
        yield Problem(403, NOT_ENOUGH)
    if needed.scopes:  # whatever a scope opens is a user's, and theirs while the account is active
        yield ACCOUNT_DISABLED
    yield Problem(503, tokens.KeysUnavailable.description, retry_after=1)
    yield DATABASE_AWAY


def of_body(location: str | None) -> Iterator[Problem]:
    """Yield what a JSON body or a form may be refused for before its schema sees it."""
    if location is None:
        return
    is_form = location == "form"
    yield Problem(400, bodies.TWICE) if is_form else _NOT_JSON
    yield _TOO_LARGE
    yield Problem(415, bodies.NOT_LABELLED_FORM if is_form else bodies.NOT_LABELLED_JSON)


def fault_of(schema: type[BaseModel], location: str) -> list[dict[str, object]]:
    """Return what a schema says of a request that lacks what it needs, or has it wrong."""
    wrong = {next(iter(schema.model_fields)): [""]}
    for sent in ({}, wrong):
        try:
            schema.model_validate(sent)
        except ValidationError as error:
            return faults(error, location)[:1]
    raise ValueError(f"{schema.__qualname__} takes anything")
