"""Flask's own server, for development: its errors are JSON and repeat nothing that was sent.

`http.server` quotes a request that it cannot read in the status line, on a page of HTML and in the
log.
"""

import json
import logging
from http import HTTPStatus

from werkzeug.serving import WSGIRequestHandler

from resource_server.logs import REQUEST_ID, id_of_error, quieten_servers

logger = logging.getLogger("werkzeug")


class JSONErrors(WSGIRequestHandler):
    """A handler of requests that names an error only by its status."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Respond to a request that could not be read. `http.server` calls this."""
        del message, explain  # which quote it
        _send_error(self, code)


def install() -> None:
    """Let every server that `flask run` makes respond so."""
    quieten_servers()
    setattr(WSGIRequestHandler, "send_error", JSONErrors.send_error)  # noqa: B010 - a method


def _send_error(handler: WSGIRequestHandler, code: int) -> None:
    status = HTTPStatus(code)
    body = json.dumps({"detail": status.phrase.capitalize()}).encode()
    request_id = id_of_error(None)
    logger.warning("Request failed: %s", status.phrase, extra={REQUEST_ID: request_id})
    if handler.request_version == "HTTP/0.9":  # to which http.server responds without a head
        handler.request_version = "HTTP/1.1"
    handler.send_response(code, status.phrase)
    for name, value in (
        ("Connection", "close"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Request-ID", request_id),
    ):
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
