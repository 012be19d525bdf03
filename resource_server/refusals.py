"""What a view may answer besides its `@output`, declared at the view.

The same objects are answered by problems.py and described by openapi/: an example in the document
is what a client gets. What follows from other decorators (a token, a body, a query) is not declared
again; see openapi/derived.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from resource_server import sqlstates
from resource_server.identity import errors as identity
from resource_server.tokens.claims import SIGN_IN_SCOPE

View = TypeVar("View", bound=Callable[..., Any])
UNPROCESSABLE = 422


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: its status, the sentence for people, the code for OAuth clients."""

    status: int
    sentence: str
    error: str = "invalid_request"
    retry_after: int | None = None

    @property
    def detail(self) -> str | list[dict[str, object]]:
        """The sentence; with 422 it stands in a list, as for a schema's faults."""
        if self.status != UNPROCESSABLE:
            return self.sentence
        return [{"loc": ["body"], "msg": self.sentence, "type": "value_error"}]


TOO_MANY = Problem(429, "Too many requests", "temporarily_unavailable", retry_after=5)
IDENTITY_PROBLEMS: dict[type[identity.IdentityError], Problem] = {
    identity.BadCredentials: Problem(401, "Incorrect username or password", "invalid_grant"),
    identity.NotConfirmed: Problem(403, "The account is not confirmed yet", "invalid_grant"),
    identity.PasswordResetRequired: Problem(403, "The password must be reset", "invalid_grant"),
    identity.UsernameTaken: Problem(409, "The username is taken"),
    identity.PasswordRejected: Problem(400, "The password does not meet the password policy"),
    identity.SignUpClosed: Problem(403, "Only administrators create accounts here"),
    identity.TriggerRejected: Problem(400, "A rule of the user directory rejected the request"),
    identity.SignInRejected: Problem(
        403, "A rule of the user directory rejected the sign-in", "invalid_grant"
    ),
    identity.InvalidRequest: Problem(400, "The user directory does not accept these values"),
    identity.BadCode: Problem(400, "The code is wrong, has expired or was used already"),
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
    identity.InsufficientScope: Problem(
        403, f"The access token lacks the scope {SIGN_IN_SCOPE}", "insufficient_scope"
    ),
    identity.RequestBlocked: Problem(
        403, "A firewall rule of the user directory blocked the request"
    ),
    identity.ConcurrentChange: Problem(409, "Another request is changing this: try again"),
    identity.NoSuchUser: Problem(404, "There is no such user"),
    identity.DirectoryForbidden: Problem(
        503, "This service may not do that in the user directory", "server_error"
    ),
    identity.TooManyRequests: TOO_MANY,  # its Retry-After is the error's own
    identity.IdentityUnavailable: Problem(
        503, "The user directory is unavailable", "temporarily_unavailable", 10
    ),
    identity.DirectoryMisconfigured: Problem(
        503, "The user directory is not set up for this. Contact the operator", "server_error"
    ),
}
DATABASE_AWAY = Problem(503, sqlstates.UNAVAILABLE, "temporarily_unavailable", 5)
NOT_MIGRATED = Problem(503, sqlstates.NOT_MIGRATED, "temporarily_unavailable")
ACCOUNT_DISABLED = Problem(403, "Inactive user")
CONFLICT = Problem(409, "The request conflicts with another one")
INTERNAL_ERROR = Problem(500, "Internal server error", "server_error")

# Every call of the directory may end like this. Its firewall does not see an administrator's.
_ALWAYS = (
    identity.TooManyRequests,
    identity.IdentityUnavailable,
    identity.DirectoryMisconfigured,
)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that no `@output` declares; without a schema it has no body."""

    status: int
    schema: type[BaseModel] | None = None
    description: str = ""
    headers: type[BaseModel] | None = None
    also: str | None = None
    """A further media type, of which nothing is said."""
    many: bool = False
    """Whether the body is a list of them."""


def refuses(*refusals: Problem | type[identity.IdentityError]) -> Callable[[View], View]:
    """Declare the errors of a view, beyond what its other decorators do.

    An error of the directory's stands for its row in the table above; any of them brings along
    that the directory is busy, away or not set up. Put it anywhere below the route::

        @randoms.get("/<int:random_id>")
        @require_scope("me randoms")
        @refuses(NOT_FOUND)
        @randoms.output(RandomOut)
        def get_random(random_id: int): ...
    """
    problems = [each for each in refusals if isinstance(each, Problem)]
    asked = [each for each in refusals if not isinstance(each, Problem)]
    if asked:
        asked += _ALWAYS
        asked += [] if identity.DirectoryForbidden in asked else [identity.RequestBlocked]
    problems += [IDENTITY_PROBLEMS[each] for each in asked]

    def decorate(view: View) -> View:
        view.refusals = tuple(dict.fromkeys(problems))  # type: ignore[attr-defined]
        return view

    return decorate


def responds(
    status: int,
    schema: type[BaseModel] | None = None,
    description: str = "",
    *,
    headers: type[BaseModel] | None = None,
    also: str | None = None,
) -> Callable[[View], View]:
    """Declare an answer that `@output` cannot: a further one, or one that the view makes itself."""
    response = Response(status, schema, description, headers, also)

    def decorate(view: View) -> View:
        view.responses = (response, *declared_responses(view))  # type: ignore[attr-defined]
        return view

    return decorate


def token_endpoint(view: View) -> View:
    """Mark a view as a token endpoint, whose errors speak RFC 6749 §5.2 as well."""
    view.token_endpoint = True  # type: ignore[attr-defined]
    return view


def declared_refusals(view: Callable[..., Any]) -> tuple[Problem, ...]:
    """Return what `refuses` declares for a view."""
    found: tuple[Problem, ...] = getattr(view, "refusals", ())
    return found


def declared_responses(view: Callable[..., Any]) -> tuple[Response, ...]:
    """Return what `responds` declares for a view."""
    found: tuple[Response, ...] = getattr(view, "responses", ())
    return found


def is_token_endpoint(view: Callable[..., Any] | None) -> bool:
    """Tell whether a view is a token endpoint."""
    return getattr(view, "token_endpoint", False)


def error_body(detail: object, error: str, *, oauth: bool) -> dict[str, object]:
    """Return the body of a refusal; `oauth` adds what a token endpoint says (RFC 6749 §5.2)."""
    body: dict[str, object] = {"detail": detail}
    if oauth:
        body["error"] = error
        body["error_description"] = detail if isinstance(detail, str) else "Invalid parameters"
    return body
