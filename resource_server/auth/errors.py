"""The exception with which `require_scope` ends a request."""

from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException


class AuthError(HTTPException):
    """An error response of `require_scope`, complete with its headers (RFC 6750 §3).

    It is an `HTTPException` with a response, which Flask-RESTful sends as it is. Flask-RESTX sends
    its headers and `data`. It has no `code`: for one with a code, Flask calls the app's error
    handlers. A handler for 401 or for HTTPException would build a response without the challenge.
    """

    def __init__(self, response: Response, description: str) -> None:
        super().__init__(description, response)
        self.response: Response = response
        self.data = {"detail": description}


def handle_auth_errors(app: Flask) -> None:
    """Let an app send the response of each AuthError as it is.

    Flask has no such response: it runs an HTTPException without a code as a WSGI app, which adds
    the headers of the app's response class a second time. It also hands a streamed response to
    `after_request`. With `TRAP_HTTP_EXCEPTIONS` the response is 500. Error handlers cannot help:
    those of a blueprint come before those of the app, for any exception.
    """
    handle = app.handle_user_exception

    def handle_user_exception(*args: Any) -> Any:
        error = args[-1]  # Flask 3.2 puts a context before it
        return error.response if isinstance(error, AuthError) else handle(*args)

    app.handle_user_exception = handle_user_exception  # type: ignore[method-assign,assignment]
