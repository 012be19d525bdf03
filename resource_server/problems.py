"""Errors become HTTP responses here: `{"detail": …}`, with the headers that belong to each.

On token endpoints (RFC 6749 §5.2) `error` and `error_description` are added. A response never has
the text of a foreign exception. The one exception is what a trigger of the user pool says to its
users (identity/cognito_errors.py limits it).
"""

import logging
import re
import traceback
from dataclasses import replace

from apiflask import APIFlask, HTTPError
from flask import Response, current_app, jsonify, request
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, SecurityError

from resource_server import sqlstates
from resource_server.auth import challenge, note_refusal, token_requirement
from resource_server.bodies import Schema
from resource_server.identity import errors as identity
from resource_server.rate_limits import RateLimited
from resource_server.refusals import (
    CONFLICT,
    DATABASE_AWAY,
    IDENTITY_PROBLEMS,
    INTERNAL_ERROR,
    NOT_MIGRATED,
    TOO_MANY,
    Problem,
    error_body,
    is_token_endpoint,
)
from resource_server.tokens.claims import SIGN_IN_SCOPE

logger = logging.getLogger(__name__)

_UNAUTHORIZED, _SERVER_ERROR = 401, 500
_INSUFFICIENT_SCOPE = "insufficient_scope"
_REASONS = {
    error: re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower() for error in IDENTITY_PROBLEMS
}
"""What logs and counters call the directory's errors: bad_credentials, username_taken …"""
_LOCATIONS = {"json": "body", "form": "body", "query": "query"}


def register(app: APIFlask) -> None:
    """Answer every error of this app as JSON."""
    app.error_processor(_invalid_input)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(identity.IdentityError, _identity_error)
    app.register_error_handler(RateLimited, _rate_limited)
    app.register_error_handler(IntegrityError, _conflict)
    for error in (DBAPIError, PoolTimeoutError):
        app.register_error_handler(error, _database_error)


def answer(problem: Problem) -> Response:
    """Render a refusal."""
    response = _rendered(problem.status, problem.detail, problem.error)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def faults(error: ValidationError, location: str) -> list[dict[str, object]]:
    """List what a schema found wrong (422); inputs are not repeated, they may be passwords.

    `location` is APIFlask's word for where the schema looked: json, form, query. Of a place, keys
    that the client chose are left out.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    names = _field_names(Schema)
    return [
        {
            "loc": [
                _LOCATIONS[location],
                *(part for part in fault["loc"] if isinstance(part, int) or part in names),
            ],
            "msg": fault["msg"],
            "type": fault["type"],
        }
        for fault in found
    ]


def _field_names(schema: type[Schema]) -> set[str]:
    """Return the names of all fields of a schema and of those that derive from it."""
    return set(schema.model_fields).union(*map(_field_names, schema.__subclasses__()))


def sentence(error: HTTPException) -> str:
    """Return our own sentence for one of Flask's errors, else the name of its status.

    The description of a SecurityError is werkzeug's, and repeats the Host header.
    """
    if isinstance(error, SecurityError):
        return error.name.capitalize()
    standard = type(error).description
    own_sentence = error.description if error.description != standard else None
    return own_sentence or error.name.capitalize()


def _rendered(status: int, detail: object, error: str) -> Response:
    view = current_app.view_functions.get(request.endpoint or "")
    response = jsonify(error_body(detail, error, oauth=is_token_endpoint(view)))
    response.status_code = status
    if status == _UNAUTHORIZED:
        # RFC 9110 §15.5.2 wants a challenge with every 401.
        attributes = {}
        if error == "invalid_token":
            attributes = {"error": error, "error_description": str(detail)}
        response.headers["WWW-Authenticate"] = challenge(**attributes)
    if error == _INSUFFICIENT_SCOPE:
        needed = token_requirement(view) if view is not None else None
        scopes = [*(needed.scopes if needed else ()), SIGN_IN_SCOPE]
        # RFC 6750 §3: all that the view needs, and what the directory needs beyond it.
        response.headers["WWW-Authenticate"] = challenge(
            error=error, error_description=str(detail), scope=" ".join(dict.fromkeys(scopes))
        )
    return response


def _invalid_input(error: HTTPError) -> Response:
    """Answer 422 for what a schema refused."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return _rendered(error.status_code, error.message, "invalid_request")
    detail = faults(cause, next(iter(error.detail)))
    return _rendered(error.status_code, detail, "invalid_request")


def _http_error(error: HTTPException) -> Response:
    """Keep Flask's own refusals and their headers (Allow, Retry-After), as JSON."""
    status = error.code or _SERVER_ERROR
    if status >= _SERVER_ERROR:
        response = _rendered(status, INTERNAL_ERROR.sentence, INTERNAL_ERROR.error)
    else:
        response = _rendered(status, sentence(error), "invalid_request")
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _identity_error(error: identity.IdentityError) -> Response:
    problem = IDENTITY_PROBLEMS[type(error)]
    note_refusal(_REASONS[type(error)])
    if isinstance(error, identity.TooManyRequests):
        problem = replace(problem, retry_after=error.retry_after)
    elif isinstance(error, (identity.InvalidRequest, identity.TriggerRejected)) and error.message:
        problem = replace(problem, sentence=error.message)
    return answer(problem)


def _rate_limited(error: RateLimited) -> Response:
    note_refusal("rate_limited")
    return answer(replace(TOO_MANY, retry_after=error.retry_after))


def _conflict(_error: IntegrityError) -> Response:
    # The account was deleted while something was made for it.
    note_refusal("conflict")
    return answer(CONFLICT)


def _database_error(error: Exception) -> Response:
    """Respond with 503 if the database or its set-up caused the error, else with 500."""
    fault = sqlstates.fault_of(error)
    cause = getattr(error, "orig", None)
    # Only the class and the SQLSTATE: the text repeats values.
    fields = {"error": type(error).__name__, "sqlstate": sqlstates.code_of(cause)}
    fields = {name: value for name, value in fields.items() if value is not None}
    if fault is None:
        trace = "".join(traceback.format_tb(error.__traceback__))
        fields["exception"] = f"Traceback (most recent call last):\n{trace}{type(error).__name__}"
        logger.error("a statement failed", extra={"fields": fields})
        return answer(INTERNAL_ERROR)
    logger.error("the database is unavailable: %s", fault.message, extra={"fields": fields})
    note_refusal("not_migrated" if fault.is_unmigrated else "database_unavailable")
    if fault.is_unmigrated:
        return answer(NOT_MIGRATED)
    return answer(DATABASE_AWAY if fault.passes else replace(DATABASE_AWAY, retry_after=None))
