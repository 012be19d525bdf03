"""What stands between the service and its clients: proxies, and browsers at other origins."""

import logging
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from apiflask import APIFlask
from flask import Response, request
from flask_cors import CORS
from werkzeug.exceptions import NotFound, RequestHeaderFieldsTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from resource_server import forwarding
from resource_server.settings import Settings, server_mount

logger = logging.getLogger(__name__)

_ALLOW_HEADERS = [
    "Authorization",
    "Content-Type",
    "X-Request-ID",
    # What tracing scripts add to requests (W3C Trace Context, W3C Baggage).
    "baggage",
    "traceparent",
    "tracestate",
]
_EXPOSE_HEADERS = ["Link", "Location", "WWW-Authenticate", "X-Request-ID", "Retry-After"]
_PREFLIGHT_SECONDS = 600

MAX_HEADER_BYTES = 65_536
"""The most that all headers of a request may have together: two of the longest access tokens."""
_OWN_LIMIT = "HTTP_AUTHORIZATION"  # the verifier's, whose error is 401 (RFC 6750 §3.1)

_Environ = dict[str, Any]
_App = Callable[[_Environ, Any], Iterable[bytes]]


def configure(app: APIFlask, settings: Settings) -> None:
    """Believe as many proxies, and let in such origins, as the settings say."""
    if settings.trusted_proxy_hops and settings.trusted_proxy_prefix:
        prefixed = ProxyFix(app.wsgi_app, x_for=0, x_proto=0, x_prefix=1)
        app.wsgi_app = prefixed  # type: ignore[method-assign]
    app.wsgi_app = _Trust(  # type: ignore[method-assign]
        app.wsgi_app, header=settings.trusted_proxy_header, hops=settings.trusted_proxy_hops
    )
    if not settings.trusted_proxy_hops:
        app.before_request(_Unexpected().warn_once)
    if settings.cors_origins:
        CORS(
            app,
            # Patterns, since flask-cors reads the brackets of an IPv6 address as one.
            origins=[re.compile(rf"{re.escape(each)}\Z") for each in settings.cors_origins],
            allow_headers=[*_ALLOW_HEADERS, *settings.cors_allow_headers],
            expose_headers=_EXPOSE_HEADERS,
            # Tokens are in a header that scripts set; there are no cookies.
            supports_credentials=False,
            max_age=_PREFLIGHT_SECONDS,
            always_send=False,
            vary_header=False,
        )
        app.after_request(_vary_by_origin)


class _Trust:
    """WSGI middleware: who calls, and by which scheme, as far as TRUSTED_PROXY_HOPS allows.

    Servers have rules of their own: gunicorn believes `SCRIPT_NAME` and the scheme headers of a
    peer on loopback. What a server took from a header is put back, before the proxies that the
    settings name are read. The host stays that of `Host`: proxies pass it on, and many pass on an
    `X-Forwarded-Host` of the client's as well.
    """

    def __init__(self, app: _App, *, header: str, hops: int) -> None:
        self._app = app
        self._header = header
        self._hops = hops

    def __call__(self, environ: _Environ, start_response: Any) -> Iterable[bytes]:
        if "HTTP_SCRIPT_NAME" in environ:
            _restore_mount(environ)
        if environ["wsgi.url_scheme"] == "https":
            _restore_scheme(environ)
        address = None
        if self._hops:
            address = forwarding.client_address(environ, header=self._header, hops=self._hops)
            environ["wsgi.url_scheme"] = (
                forwarding.scheme(environ, header=self._header) or environ["wsgi.url_scheme"]
            )
        if address is not None:
            environ["REMOTE_ADDR"] = address
        elif ":" in (peer := environ.get("REMOTE_ADDR") or ""):
            # A listener for both families has `::ffff:192.0.2.1` for an IPv4 client.
            environ["REMOTE_ADDR"] = forwarding.canonical_address(peer) or peer
        return self._app(environ, start_response)


def _restore_mount(environ: _Environ) -> None:
    """Undo a mount that a server took from a request's `SCRIPT_NAME` header."""
    claimed = environ["HTTP_SCRIPT_NAME"]
    if not claimed or environ.get("SCRIPT_NAME") != claimed:
        return
    mount = server_mount()
    path = claimed + environ.get("PATH_INFO", "")
    is_under = path.startswith(mount)
    environ["SCRIPT_NAME"] = mount if is_under else ""
    environ["PATH_INFO"] = path[len(mount) :] if is_under else path


def _restore_scheme(environ: _Environ) -> None:
    """Undo an `https` that gunicorn took from a header: its socket knows whether there is TLS."""
    connection = environ.get("gunicorn.socket")
    if connection is not None and not hasattr(connection, "cipher"):
        environ["wsgi.url_scheme"] = "http"


def check_head() -> None:
    """Reject headers that are too large together, and a path beside the mount.

    A server that is mounted at `/api` may strip that from `/apihealthz`, too.
    """
    environ = request.environ
    sent = [
        text
        for pair in environ.items()
        if pair[0][:5] == "HTTP_" and pair[0] != _OWN_LIMIT
        for text in pair
    ]
    if len(",".join(sent)) > MAX_HEADER_BYTES:
        raise RequestHeaderFieldsTooLarge
    path = environ["PATH_INFO"]
    if path and path[0] != "/" and environ.get("SCRIPT_NAME"):
        raise NotFound


def _vary_by_origin(response: Response) -> Response:
    """Let caches tell origins apart; flask-cors does so only where there are several."""
    response.vary.add("Origin")
    return response


class _Unexpected:
    """A proxy that no setting tells of: all of its clients would share one address's limits."""

    def __init__(self) -> None:
        self._is_told = threading.Lock()

    def warn_once(self) -> None:
        environ = request.environ
        is_forwarded = "HTTP_X_FORWARDED_FOR" in environ or "HTTP_FORWARDED" in environ
        if is_forwarded and self._is_told.acquire(blocking=False):
            logger.warning(
                "A request came with X-Forwarded-For or Forwarded, which is not believed. If your "
                "proxy wrote it, set TRUSTED_PROXY_HOPS to the number of proxies."
            )
