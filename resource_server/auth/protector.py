"""`require_scope`: Authlib's resource protector with the answers that RFC 6750 asks for."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2.rfc6749 import MissingAuthorizationError, UnsupportedTokenTypeError
from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError
from flask import Request, current_app, jsonify, request

from resource_server.auth import principal
from resource_server.auth.errors import AuthError
from resource_server.auth.extension import challenge
from resource_server.auth.requirement import (
    NOT_AUTHENTICATED,
    NOT_ENOUGH,
    SIGN_IN_TOO_OLD,
    Check,
    TokenRequirement,
    words,
)
from resource_server.auth.validator import CognitoTokenValidator, SignedInTooLongAgo
from resource_server.tokens import VerificationUnavailable

P = ParamSpec("P")
R = TypeVar("R")


class CognitoResourceProtector(ResourceProtector):  # type: ignore[misc]  # Authlib is untyped
    """Checks the Authorization header of the current request; holds no configuration.

    Authlib reads the header and drives the validator. What is ours is the answer: no error code
    where there were no credentials (RFC 6750 §3.1), a challenge with every refusal, 503 without
    keys.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_token_validator(CognitoTokenValidator())

    def check(self, asked: Request, requirement: TokenRequirement) -> None:
        """Reject the current request, or set its principal.

        Raises AuthError with the whole response.
        """
        principal.forget(asked.environ)
        if requirement.optional and "Authorization" not in asked.headers:
            return
        try:
            verified = self.validate_request(requirement.scopes, asked, requirement=requirement)
        except (MissingAuthorizationError, UnsupportedTokenTypeError):
            principal.note_refusal("no_token")
            _refuse(401, NOT_AUTHENTICATED)
        except InvalidTokenError as error:
            _refuse(401, error.description, error="invalid_token")
        except InsufficientScopeError as error:
            principal.note_refusal(error.error)
            scope = {"scope": requirement.scope} if requirement.scope else {}
            _refuse(403, NOT_ENOUGH, error="insufficient_scope", **scope)
        except SignedInTooLongAgo as error:
            principal.note_refusal(error.error)
            max_age = str(requirement.max_age)
            _refuse(401, SIGN_IN_TOO_OLD, error=error.error, max_age=max_age)
        except VerificationUnavailable as error:
            principal.note_refusal(error.reason)
            _stop(503, error.description, {"Retry-After": str(error.retry_after)})
        principal.remember(asked.environ, verified)


_protector = CognitoResourceProtector()


def require_scope(
    scope: str = "",
    *,
    any_of: str | Iterable[str] = (),
    groups: str | Iterable[str] = (),
    max_age: int | None = None,
    optional: bool = False,
    check: Check | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Guard a view: the token must carry every scope of a space-separated list.

    Without a scope any valid access token will do. Further demands add to it:

    - `any_of`: at least one of these scopes
    - `groups`: at least one of these Cognito groups (one name, or several)
    - `max_age`: the user signed in at most so many seconds ago (RFC 9470)
    - `check`: a function of the AccessToken that says whether it will do
    - `optional`: without an Authorization header the view is called for nobody
      (`principal_or_none()` is None); bad credentials are refused all the same

    Put it below the route and above `@blueprint.input`, so that a stranger's body is not even
    read. Async views are welcome. OPTIONS is answered without credentials, which a CORS preflight
    does not have, and without calling the view::

        @blueprint.get("/randoms")
        @require_scope("me randoms")
        def list_randoms(): ...

    Refusals are those of RFC 6750 §3: 401 without a challenge's error code when there are no
    credentials, 401 `invalid_token`, 403 `insufficient_scope` with `scope`, 401
    `insufficient_user_authentication` with `max_age`, 503 when keys or deny list are away.

    Raises ValueError where a scope is none.
    """
    requirement = TokenRequirement(
        scopes=words(scope),
        any_of=words(any_of),
        groups=(groups,) if isinstance(groups, str) else tuple(groups),
        max_age=max_age,
        optional=optional,
        check=check,
    )

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        is_async = inspect.iscoroutinefunction(view)

        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            asked = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - once
            if asked.method == "OPTIONS":
                return cast("R", current_app.make_default_options_response())
            _protector.check(asked, requirement)
            if is_async:
                return cast("R", current_app.ensure_sync(view)(*args, **kwargs))
            return view(*args, **kwargs)

        guarded.token_requirement = requirement  # type: ignore[attr-defined]
        return guarded

    # A decorator of all methods of a class adds its scopes to the metadata.
    decorate.token_requirement = requirement  # type: ignore[attr-defined]
    return decorate


def token_requirement(view: Callable[..., Any]) -> TokenRequirement | None:
    """Return what `require_scope` demands for a view; None for a view it does not guard."""
    return getattr(view, "token_requirement", None)


def _refuse(status: int, detail: str, **attributes: str) -> NoReturn:
    """Answer with a challenge (RFC 6750 §3)."""
    if "error" in attributes:
        attributes = {"error": attributes["error"], "error_description": detail, **attributes}
    _stop(status, detail, {"WWW-Authenticate": challenge(**attributes)})


def _stop(status: int, detail: str, headers: dict[str, str]) -> NoReturn:
    response = jsonify({"detail": detail})
    response.status_code = status
    response.headers.update(headers)
    raise AuthError(response, detail)
