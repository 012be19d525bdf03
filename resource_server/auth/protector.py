"""`require_scope`: Authlib's resource protector with the answers that RFC 6750 asks for."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import MissingAuthorizationError, UnsupportedTokenTypeError
from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError
from flask import current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from resource_server.auth import principal
from resource_server.auth.validator import CognitoTokenValidator
from resource_server.problems import REALM
from resource_server.tokens import KeysUnavailable

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ScopeRequirement:
    """What a view demands of a token: every one of these scopes."""

    scopes: tuple[str, ...]


class CognitoResourceProtector(ResourceProtector):  # type: ignore[misc]  # Authlib is untyped
    """Checks the Authorization header of the current request; holds no configuration.

    Authlib reads the header and drives the validator. Overridden is what it answers: no error code
    where there were no credentials (RFC 6750 §3.1), a challenge with every 403, 503 without keys.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_token_validator(CognitoTokenValidator(realm=REALM))

    def check(self, scopes: tuple[str, ...]) -> None:
        """Refuse the current request, or remember who is asking.

        Raises HTTPException with the whole answer.
        """
        principal.forget()
        needed = " ".join(scopes)
        try:
            _, token = self.parse_request_authorization(request)
            # Authlib reads a list of scopes as alternatives; one text needs all of its words.
            verified = self.validate_request([needed] if needed else None, request)
        except (MissingAuthorizationError, UnsupportedTokenTypeError):
            _refuse(401, "Not authenticated")
        except InvalidTokenError as error:
            _refuse(401, error.description, error="invalid_token")
        except InsufficientScopeError:
            _refuse(403, "Not enough permissions", error="insufficient_scope", scope=needed)
        except OAuth2Error:
            _refuse(401, "Not authenticated")
        except KeysUnavailable as error:
            _unavailable(error)
        principal.remember(verified, token)


_protector = CognitoResourceProtector()


def require_scope(scope: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Guard a view: the token must carry every scope of a space-separated list.

    Without a scope any valid access token will do. Put it below the route and above
    `@blueprint.input`, so that a stranger's body is not even read::

        @blueprint.get("/randoms")
        @require_scope("me randoms")
        def list_randoms(): ...

    Refusals are those of RFC 6750 §3: 401 without a challenge's error code when there are no
    credentials, 401 `invalid_token`, 403 `insufficient_scope` with `scope`, 503 without keys.
    """
    scopes = tuple(scope.split())
    if not all(_SCOPE.fullmatch(name) for name in scopes):
        raise ValueError(f"{scope!r} is no list of scopes (RFC 6749 section 3.3)")
    requirement = ScopeRequirement(scopes)

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            _protector.check(requirement.scopes)
            return cast("R", current_app.ensure_sync(view)(*args, **kwargs))

        guarded.scope_requirement = requirement  # type: ignore[attr-defined]
        return guarded

    return decorate


def scope_requirement(view: Callable[..., Any]) -> ScopeRequirement | None:
    """Return what `require_scope` demands for a view; None for a view it does not guard."""
    return getattr(view, "scope_requirement", None)


def _refuse(status: int, detail: str, **attributes: str) -> NoReturn:
    """Answer with a challenge (RFC 6750 §3)."""
    if "error" in attributes:
        attributes = {
            "error": attributes.pop("error"),
            "error_description": detail,
            **attributes,
        }
    challenge = ", ".join(
        f'{name}="{value}"' for name, value in {"realm": REALM, **attributes}.items()
    )
    _stop(status, detail, "WWW-Authenticate", f"Bearer {challenge}")


def _unavailable(error: KeysUnavailable) -> NoReturn:
    _stop(503, error.description, "Retry-After", str(error.retry_after))


def _stop(status: int, detail: str, header: str, value: str) -> NoReturn:
    response = jsonify({"detail": detail})
    response.status_code = status
    response.headers[header] = value
    # An HTTPException without a code: Flask and APIFlask send its response as it is, where an
    # error handler for HTTPException would build another one and lose the challenge.
    raise HTTPException(response=response)
