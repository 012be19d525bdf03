"""Sending a request with anybody's test client: Flask's, Starlette's, or httpx's own.

They are told apart by what they can do: neither Flask nor httpx is imported.
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """What a client is to send, beside the method and path of the route."""

    headers: Sequence[tuple[str, str]] = ()
    query: str = ""
    form: str | None = None
    """Sent as the body, in place of the route's own."""
    cookies: Mapping[str, str] | None = None

    @classmethod
    def bearing(cls, token: str) -> "Request":
        """Present a token as RFC 6750 §2.1 says."""
        return cls([("Authorization", f"Bearer {token}")])


@dataclass(frozen=True, slots=True)
class Answer:
    """What matters of a response."""

    status: int
    challenges: tuple[str, ...]
    """The values of WWW-Authenticate."""
    location: str | None = None


class Route:
    """A route of an app, and the client to reach it with."""

    def __init__(
        self,
        client: Any,
        method: str,
        path: str,
        *,
        json_body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._is_flask = hasattr(client, "open") and hasattr(client, "application")
        if not self._is_flask and not hasattr(client, "request"):
            raise TypeError(
                "client: neither Flask's test client (open) nor one like httpx's (request)"
            )
        if inspect.iscoroutinefunction(getattr(client, "request", None)):
            raise TypeError("client: an asynchronous one; give Starlette's TestClient or such")
        _refuse_signed_in(client)
        self.method = method.upper()
        self.path = path
        self._headers = list((headers or {}).items())
        self._body = None if json_body is None else json.dumps(json_body).encode()

    def send(self, request: Request) -> Answer:
        """Send a request.

        Raises whatever the client lets through of the app's exceptions.
        """
        headers, body = [*self._headers, *request.headers], self._body
        if request.form is not None:
            body = request.form.encode()
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        elif body is not None:
            headers.append(("Content-Type", "application/json"))
        path = self.path
        if request.query:
            path += f"{'&' if '?' in path else '?'}{request.query}"
        call = self._open if self._is_flask else self._request
        response = call(path, headers, body, request.cookies or {})
        challenges = [v for k, v in response.headers.items() if k.lower() == "www-authenticate"]
        return Answer(response.status_code, tuple(challenges), response.headers.get("Location"))

    def _open(
        self,
        path: str,
        headers: list[tuple[str, str]],
        body: bytes | None,
        cookies: Mapping[str, str],
    ) -> Any:
        for name, value in cookies.items():  # of a Cookie header the client sends its own alone
            self._client.set_cookie(name, value)
        try:
            return self._client.open(path, method=self.method, headers=headers, data=body)
        finally:
            for name in cookies:
                self._client.delete_cookie(name)

    def _request(
        self,
        path: str,
        headers: list[tuple[str, str]],
        body: bytes | None,
        cookies: Mapping[str, str],
    ) -> Any:
        if cookies:
            value = "; ".join(f"{name}={text}" for name, text in cookies.items())
            headers = [*headers, ("Cookie", value)]
        # As bytes: of text httpx takes ASCII alone, and an attacker does not keep to it.
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        return self._client.request(self.method, path, headers=raw, content=body)


def _refuse_signed_in(client: Any) -> None:
    """Take no client that sends credentials of its own: every attack would succeed.

    Raises ValueError.
    """
    environ = getattr(client, "environ_base", None) or {}
    headers = getattr(client, "headers", None) or {}
    # httpx's `auth`, which Flask's client lacks, writes the header at the last moment.
    own = "HTTP_AUTHORIZATION" in environ or "Authorization" in headers
    if own or getattr(client, "auth", None) is not None:
        raise ValueError("client: it sends an Authorization header itself; give one that does not")
