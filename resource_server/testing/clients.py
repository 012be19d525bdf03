"""Test clients that are signed in: Flask's, and Starlette's or any other of httpx."""

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from resource_server.testing.cognito_idp import KitUser


class SignInAs(Protocol):
    """What the fixture `sign_in_as` is."""

    def __call__(self, user: "str | KitUser", *, client: Any = None, **claims: Any) -> str:
        """Let a test client present a new token of a user from now on; return the token."""


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents a token (RFC 6750 section 2.1)."""
    return {"Authorization": f"Bearer {token}"}


def present(client: Any, token: str) -> Callable[[], None]:
    """Let every further request of a test client present a token; return what undoes it.

    Raises TypeError for a client that is neither Flask's nor one of httpx.
    """
    headers, name = _headers_of(client)
    before = headers.get(name)
    headers[name] = bearer(token)["Authorization"]

    def undo() -> None:
        if before is None:
            headers.pop(name, None)
        else:
            headers[name] = before

    return undo


def _headers_of(client: Any) -> tuple[MutableMapping[str, str], str]:
    environ = getattr(client, "environ_base", None)
    if environ is not None:
        return environ, "HTTP_AUTHORIZATION"
    headers = getattr(client, "headers", None)
    if headers is not None:
        return headers, "Authorization"
    raise TypeError(
        f"{type(client).__name__} is neither a test client of Flask nor one of httpx: "
        "give it the headers of bearer(token) yourself"
    )
