"""The Flask app that serves managed login, and who may call it from a browser."""

import re
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, abort, current_app, g, request

from resource_server.emulator.gaps import find_pool
from resource_server.emulator.managed_login.discovery import discovery
from resource_server.emulator.managed_login.exchange import exchange
from resource_server.emulator.managed_login.grants import Grants
from resource_server.emulator.managed_login.pages import pages

_FOR_PAGES = frozenset({"discovery", "exchange"})
_LOOPBACK_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[1-9][0-9]{0,4})?")


def create_app(public_url: str) -> Flask:
    """Make an app of its own; `public_url` is what its endpoints' addresses begin with."""
    app = Flask(__name__, static_folder=None)
    app.config["PUBLIC_URL"] = public_url
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
    app.extensions["grants"] = Grants()
    app.url_value_preprocessor(_find_pool)
    for blueprint in (discovery, exchange, pages):
        app.register_blueprint(blueprint, url_prefix="/<pool_id>")
    app.before_request(_keep_other_pages_out)
    app.after_request(_finish)
    return app


def _find_pool(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values is None or "pool_id" not in values:
        return
    g.pool = find_pool(values.pop("pool_id"))
    if g.pool is None:
        abort(404, "There is no such user pool here.")


def _keep_other_pages_out() -> Response | None:
    """Let pages on this machine call what programs call, and none post to the sign-in page.

    Forms of our own pages say where they come from; a page of another origin may not send them.
    """
    origin = request.headers.get("Origin")
    own = {request.host_url.rstrip("/"), current_app.config["PUBLIC_URL"]}
    if origin is None or origin in own:
        return None
    if request.blueprint not in _FOR_PAGES or not _is_loopback(origin):
        abort(HTTPStatus.FORBIDDEN)
    return Response(status=204) if request.method == "OPTIONS" else None


def _is_loopback(origin: str) -> bool:
    """Return whether an origin is that of a page on this machine, scheme and port included."""
    return _LOOPBACK_ORIGIN.fullmatch(origin) is not None


def _finish(answer: Response) -> Response:
    """Answer CORS, and have no page framed, sniffed or fed with anything from elsewhere."""
    origin = request.headers.get("Origin")
    if request.blueprint in _FOR_PAGES:
        answer.headers.add("Vary", "Origin")
        if origin is not None and _is_loopback(origin):
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, X-Requested-With"
            )
            answer.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
            answer.headers["Access-Control-Expose-Headers"] = "WWW-Authenticate"
            answer.headers["Access-Control-Max-Age"] = "600"
    answer.headers.setdefault(
        "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"
    )
    answer.headers["X-Content-Type-Options"] = "nosniff"
    # Not `no-referrer`, under which browsers say `Origin: null` for our own form.
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer
