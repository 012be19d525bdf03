"""The management port: metrics and health on a listener of their own.

A proxy cannot keep `/metrics` from the internet by its path: `//metrics`, `/%6detrics`,
`/metrics/` and a mount in front of it are other paths to the proxy and the same route to the app.
So the app looks at the listener that a request came through, and decides after routing.
"""

from typing import Any

from apiflask import APIFlask
from flask import current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

METRICS = "metrics.metrics"
ENDPOINTS = frozenset({METRICS, "health.healthz", "health.readyz"})
"""What the management port serves, by endpoint."""


def came_through(environ: dict[str, Any], port: int) -> bool:
    """Return whether a request arrived at this TCP port of the machine.

    The server's socket says so, where the server passes it on. `SERVER_PORT` may repeat the
    request's `Host` (gunicorn on a Unix socket).

    Args:
        environ: The WSGI environ (PEP 3333).
        port: The number of the port.
    """
    if environ.get("SERVER_PORT") != str(port):
        return False
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if connection is None:
        return True
    try:
        name = connection.getsockname()
    except OSError:
        return False
    return isinstance(name, tuple) and name[1] == port


def register(app: APIFlask, port: int | None, *, metrics_on_main_port: bool) -> None:
    """Serve metrics only on the management port, and nothing but metrics and health there.

    Args:
        app: The app whose requests are checked.
        port: The management port. Without one, metrics are not served at all.
        metrics_on_main_port: Serve the metrics on every other port, too.
    """

    def check() -> None:
        asked = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
        is_management = port is not None and came_through(asked.environ, port)
        if not is_management and metrics_on_main_port:
            return
        endpoint = asked.endpoint
        if endpoint is None and isinstance(asked.routing_exception, MethodNotAllowed):
            endpoint = _endpoint_of_path(asked.routing_exception)
        if (endpoint in ENDPOINTS) if is_management else (endpoint != METRICS):
            return
        raise NotFound

    app.before_request(check)


def _endpoint_of_path(error: MethodNotAllowed) -> str | None:
    """Return the endpoint of an address that was requested with a method that it does not have."""
    adapter = current_app.create_url_adapter(request)
    methods = list(error.valid_methods or ())
    if adapter is None or not methods:
        return None
    try:
        endpoint, _ = adapter.match(method=methods[0])
    except HTTPException:
        return None
    return str(endpoint)
