"""What stands between the service and its clients: proxies, and browsers at other origins."""

import logging
import re
import threading

from apiflask import APIFlask
from flask import Response, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from resource_server.settings import Settings

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


def configure(app: APIFlask, settings: Settings) -> None:
    """Believe as many proxies, and let in such origins, as the settings say."""
    if settings.trusted_proxy_hops:
        # Each proxy adds an address, and the nearest one writes the scheme. The host is that of
        # `Host`: proxies pass it on, and many pass on an X-Forwarded-Host of the client's as well.
        proxied = ProxyFix(
            app.wsgi_app,
            x_for=settings.trusted_proxy_hops,
            x_proto=1,
            x_host=0,
            x_port=0,
            x_prefix=int(settings.trusted_proxy_prefix),
        )
        app.wsgi_app = proxied  # type: ignore[method-assign]
    else:
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


def _vary_by_origin(response: Response) -> Response:
    """Let caches tell origins apart; flask-cors does so only where there are several."""
    response.vary.add("Origin")
    return response


class _Unexpected:
    """A proxy that no setting tells of: all of its clients would share one address's limits."""

    def __init__(self) -> None:
        self._is_told = threading.Lock()

    def warn_once(self) -> None:
        if "HTTP_X_FORWARDED_FOR" in request.environ and self._is_told.acquire(blocking=False):
            logger.warning(
                "a request came with X-Forwarded-For, which is not believed: if it was your "
                "proxy's, set TRUSTED_PROXY_HOPS to the number of proxies"
            )
