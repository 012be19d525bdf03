"""One line and one count for each request: what was asked for by its route, never by its path.

Paths, queries and bodies hold ids, codes and passwords; none is looked at. Who asked is a hash: see
`pseudonym`.
"""

import functools
import logging
import os
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus

from flask import Flask, Request, Response, request

from resource_server.auth import outcome
from resource_server.logs import REQUEST_ID, request_id
from resource_server.telemetry.metrics import Metrics
from resource_server.telemetry.mirror import Mirror

logger = logging.getLogger("resource_server.requests")

_Args = tuple[str, str, int]
_MESSAGE = "%s %s %s"
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
        status = response.status_code
        principal, reason = outcome(asked.environ)
        if metrics is not None:
            metrics.count_answer(method, route, status, seconds)
            if reason is not None:
                metrics.refusals.labels(reason).inc()
        if mirror is not None:
            mirror.carry()
        probed = asked.endpoint in _PROBES and status < _ERROR
        level = logging.DEBUG if probed else logging.INFO
        if logger.isEnabledFor(level):
            fields: dict[str, object] = {
                "method": method,
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 2),
            }
            if principal is not None:
                fields["sub_hash"] = pseudonym(principal.sub)
                fields["client_id"] = principal.client_id
            if reason is not None:
                fields["reason"] = reason
            more = {"fields": fields, REQUEST_ID: request_id(asked.environ)}
            logger.handle(_record(level, (method, route, status), more))
        return response

    app.before_request(begin)
    app.after_request(finish)


def _record(level: int, args: _Args, more: Mapping[str, object]) -> logging.LogRecord:
    """Make a record as `Logger.log` does, without its search for who called: always this.

    Nearly all that a record says of where it was made is always the same; it is copied.
    """
    if logging.getLogRecordFactory() is not logging.LogRecord:  # somebody adds to each record
        return _made(level, args, more)
    usual = _usual(level)
    now = time.time()
    record = logging.LogRecord.__new__(logging.LogRecord)
    record.__dict__ = {
        **usual.__dict__,
        **more,
        "args": args,
        "created": now,
        "msecs": int(now % 1 * 1000) + 0.0,
        "relativeCreated": usual.relativeCreated + (now - usual.created) * 1000,
        "thread": threading.get_ident(),
        "threadName": threading.current_thread().name,
        "process": os.getpid(),
    }
    return record


@functools.cache
def _usual(level: int) -> logging.LogRecord:
    return _made(level, ("", "", 0), {})


def _made(level: int, args: _Args, more: Mapping[str, object]) -> logging.LogRecord:
    name, here = logger.name, __file__
    return logger.makeRecord(name, level, here, 0, _MESSAGE, args, None, "finish", more)
