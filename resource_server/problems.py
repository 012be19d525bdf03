"""Errors become HTTP answers here: `{"detail": …}`, with the headers that belong to each.

On token endpoints (RFC 6749 §5.2) `error` and `error_description` are added. An answer never holds
text of an exception that somebody else wrote.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from apiflask import APIFlask, HTTPError
from flask import Response, current_app, jsonify, request
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from resource_server.auth import challenge
from resource_server.identity import errors as identity

logger = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])

_UNAUTHORIZED, _SERVER_ERROR = 401, 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: its status, the sentence for people, the code for OAuth clients."""

    status: int
    detail: str
    error: str = "invalid_request"
    retry_after: int | None = None


_IDENTITY_PROBLEMS: dict[type[identity.IdentityError], Problem] = {
    identity.BadCredentials: Problem(401, "Incorrect username or password", "invalid_grant"),
    identity.NotConfirmed: Problem(403, "The account is not confirmed yet", "invalid_grant"),
    identity.PasswordResetRequired: Problem(403, "The password must be reset", "invalid_grant"),
    identity.UsernameTaken: Problem(409, "The username is taken"),
    identity.PasswordRejected: Problem(400, "The password does not meet the password policy"),
    identity.InvalidRequest: Problem(400, "The user directory does not accept these values"),
    identity.BadCode: Problem(400, "The code is wrong or was used already"),
    identity.ExpiredCode: Problem(400, "The code has expired, ask for a new one"),
    identity.BadRefreshToken: Problem(
        401, "The refresh token is invalid or has expired", "invalid_grant"
    ),
    identity.WrongPassword: Problem(400, "The previous password is wrong"),
    identity.SignInExpired: Problem(
        401, "The sign-in has expired or was answered already: sign in anew", "invalid_grant"
    ),
    identity.AccountGone: Problem(401, "The session has ended", "invalid_token"),
    identity.SessionEnded: Problem(401, "The session has ended", "invalid_token"),
    identity.NoSuchUser: Problem(404, "There is no such user"),
    identity.DirectoryForbidden: Problem(
        503, "This service may not do that in the user directory", "temporarily_unavailable", 60
    ),
    identity.IdentityUnavailable: Problem(
        503, "The user directory is unavailable", "temporarily_unavailable", 10
    ),
}
_DATABASE_PROBLEM = Problem(503, "The database is unavailable", "temporarily_unavailable", 5)
_LOCATIONS = {"json": "body", "form": "body", "query": "query"}


def token_endpoint(view: View) -> View:
    """Mark a view as a token endpoint, whose errors speak RFC 6749 §5.2 as well."""
    view.token_endpoint = True  # type: ignore[attr-defined]
    return view


def register(app: APIFlask) -> None:
    """Answer every error of this app as JSON."""
    app.error_processor(_invalid_input)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(identity.IdentityError, _identity_error)
    app.register_error_handler(IntegrityError, _conflict)
    for error in (OperationalError, InterfaceError, PoolTimeoutError):
        app.register_error_handler(error, _database_error)


def invalid_body(message: str) -> Response:
    """Answer 422 for a body whose fault shows only with what is stored."""
    detail = [{"loc": ["body"], "msg": message, "type": "value_error"}]
    return _rendered(422, detail, "invalid_request")


def answer(problem: Problem) -> Response:
    """Render a refusal."""
    response = _rendered(problem.status, problem.detail, problem.error)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _rendered(status: int, detail: object, error: str) -> Response:
    body: dict[str, object] = {"detail": detail}
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "token_endpoint", False):
        body["error"] = error
        body["error_description"] = detail if isinstance(detail, str) else "Invalid parameters"
    response = jsonify(body)
    response.status_code = status
    if status == _UNAUTHORIZED:
        # RFC 9110 §15.5.2 wants a challenge with every 401.
        attributes = {}
        if error == "invalid_token":
            attributes = {"error": error, "error_description": str(detail)}
        response.headers["WWW-Authenticate"] = challenge(**attributes)
    return response


def _invalid_input(error: HTTPError) -> Response:
    """Answer 422 for what a schema refused; inputs are not repeated, they may be passwords."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return _rendered(error.status_code, error.message, "invalid_request")
    place = _LOCATIONS[next(iter(error.detail))]
    faults = cause.errors(include_url=False, include_context=False, include_input=False)
    detail = [
        {"loc": [place, *fault["loc"]], "msg": fault["msg"], "type": fault["type"]}
        for fault in faults
    ]
    return _rendered(error.status_code, detail, "invalid_request")


def _http_error(error: HTTPException) -> Response:
    """Keep Flask's own refusals and their headers (Allow, Retry-After), as JSON."""
    status = error.code or _SERVER_ERROR
    if status >= _SERVER_ERROR:
        response = _rendered(status, "Internal server error", "server_error")
    else:
        standard = type(error).description
        own_sentence = error.description if error.description != standard else None
        response = _rendered(status, own_sentence or error.name.capitalize(), "invalid_request")
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _identity_error(error: identity.IdentityError) -> Response:
    if isinstance(error, identity.TooManyRequests):
        return answer(
            Problem(429, "Too many requests", "temporarily_unavailable", error.retry_after)
        )
    return answer(_IDENTITY_PROBLEMS[type(error)])


def _conflict(_error: IntegrityError) -> Response:
    # The account was deleted while something was made for it.
    return answer(Problem(409, "The request conflicts with another one"))


def _database_error(error: Exception) -> Response:
    # The class alone: the text repeats the statement and its parameters.
    logger.error("the database is unavailable: %s", type(error).__name__)
    return answer(_DATABASE_PROBLEM)
