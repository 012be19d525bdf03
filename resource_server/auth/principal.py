"""Who is asking: the verified token of the current request.

It is kept in the request's environ, not on `flask.g`: `g` lives as long as the app context, and
where a test pushes one around several requests, one request's principal would leak into the next.
"""

from typing import Any, cast

from flask import request
from werkzeug.local import LocalProxy

from resource_server.tokens import AccessToken

_PRINCIPAL = "resource_server.principal"
_REFUSAL = "resource_server.refusal"


def remember(environ: dict[str, Any], principal: AccessToken) -> None:
    """Note who is asking, once every check is passed."""
    environ[_PRINCIPAL] = principal


def forget(environ: dict[str, Any]) -> None:
    """Begin a check with nobody."""
    environ.pop(_PRINCIPAL, None)


def note_refusal(reason: str) -> None:
    """Note why the current request is refused, for logs and counters: a word of a closed set."""
    request.environ[_REFUSAL] = reason


def outcome(environ: dict[str, Any]) -> tuple[AccessToken | None, str | None]:
    """Return who asked, if anybody, and why a request was refused, if somebody noted it."""
    return environ.get(_PRINCIPAL), environ.get(_REFUSAL)


def presented_token() -> str:
    """Return the text of the verified token, to hand on to Cognito; never log it.

    Raises RuntimeError in a view that no `require_scope` guards.
    """
    _principal()
    return request.headers["Authorization"].split(None, 1)[1]  # as Authlib reads it


def principal_or_none() -> AccessToken | None:
    """Return the verified token of the current request; None for nobody (`optional=True`)."""
    principal = request.environ.get(_PRINCIPAL)
    return principal if isinstance(principal, AccessToken) else None


def _principal() -> AccessToken:
    principal = principal_or_none()
    if principal is None:
        raise RuntimeError("no verified token here: guard the view with @require_scope(...)")
    return principal


current_principal = cast("AccessToken", LocalProxy(_principal))
"""The verified `AccessToken` of the current request; a RuntimeError where none is required."""
