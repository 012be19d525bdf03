"""One line and one count for each request: what was asked for by its route, never by its path.

Paths, queries and bodies hold ids, codes and passwords; none is looked at. Who asked is a hash: see
`pseudonym`.
"""

import logging
import time
from hashlib import sha256
from http import HTTPStatus

from flask import Flask, Request, Response, request

from resource_server.auth import principal_or_none, refusal_or_none
from resource_server.telemetry.metrics import Metrics
from resource_server.telemetry.mirror import Mirror

logger = logging.getLogger("resource_server.requests")

_BEGUN = "resource_server.begun"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR
_PROBES = {"health.healthz", "health.readyz", "metrics.metrics"}


def pseudonym(sub: str) -> str:
    """Return what stands for a user in the log: half of the SHA-256 of `sub`, in hexadecimal.

    Without a key on purpose. A `sub` is a random UUID (122 bits), which nobody finds by trying, as
    they would names or addresses; and whoever is asked about one user finds their lines on every
    machine with `printf %s SUB | sha256sum`, without a further secret to share and to rotate.
    """
    return sha256(sub.encode()).hexdigest()[:32]


def register(app: Flask, metrics: Metrics | None = None, mirror: Mirror | None = None) -> None:
    """Log an app's requests, and count them."""

    def begin() -> None:
        request.environ[_BEGUN] = time.perf_counter()

    def finish(response: Response) -> Response:
        # Each look through the proxy takes as long as all that is done with what it finds.
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
        seconds = time.perf_counter() - asked.environ[_BEGUN]
        method = asked.method if asked.method in _METHODS else "other"
        route = asked.url_rule.rule if asked.url_rule else "none"
        reason = refusal_or_none()
        if metrics is not None:
            metrics.count_answer(method, route, response.status_code, seconds)
            if reason is not None:
                metrics.refusals.labels(reason).inc()
        if mirror is not None:
            mirror.carry()
        probed = asked.endpoint in _PROBES and response.status_code < _ERROR
        level = logging.DEBUG if probed else logging.INFO
        if logger.isEnabledFor(level):
            milliseconds = round(seconds * 1000, 2)
            fields = _fields(method, route, response.status_code, milliseconds, reason)
            _write(level, fields)
        return response

    app.before_request(begin)
    app.after_request(finish)


def _fields(
    method: str, route: str, status: int, milliseconds: float, reason: str | None
) -> dict[str, object]:
    fields: dict[str, object] = {
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": milliseconds,
    }
    principal = principal_or_none()
    if principal is not None:
        fields["sub_hash"] = pseudonym(principal.sub)
        fields["client_id"] = principal.client_id
    if reason is not None:
        fields["reason"] = reason
    return fields


def _write(level: int, fields: dict[str, object]) -> None:
    """Log as `Logger.log` does, without its search of the stack for who called it: always this."""
    said = (fields["method"], fields["route"], fields["status"])
    record = logger.makeRecord(
        logger.name, level, __file__, 0, "%s %s %s", said, None, "finish", {"fields": fields}
    )
    logger.handle(record)
