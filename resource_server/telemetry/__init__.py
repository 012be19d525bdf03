"""What operators see: a line and the metrics of each request, `/metrics`, traces.

`register` gives them to an app. Nothing here changes an answer.
"""

import importlib
import logging

from apiflask import APIFlask

from resource_server.extensions import db
from resource_server.services import Services
from resource_server.telemetry import connections, management, request_log
from resource_server.telemetry.metrics import Metrics
from resource_server.telemetry.mirror import Mirror
from resource_server.telemetry.views import NAME, metrics_views

__all__ = ["Metrics", "register", "trace"]

logger = logging.getLogger(__name__)


def register(app: APIFlask, services: Services, metrics: Metrics | None) -> None:
    """Watch an app's requests and its pool of connections; without `metrics`, only log.

    Call it before anything else that looks at requests, so that theirs is in the time.
    """
    if metrics is None:
        request_log.register(app)
        _separate_management(app, services)
        return
    mirror = Mirror(metrics, services.verifier, services.revocations)
    request_log.register(app, metrics, mirror)
    with app.app_context():
        for engine in db.engines.values():
            connections.watch(engine, metrics)
    app.extensions[NAME] = (metrics, mirror)
    app.register_blueprint(metrics_views)
    _separate_management(app, services)


def _separate_management(app: APIFlask, services: Services) -> None:
    settings = services.settings
    management.register(
        app,
        settings.management_port,
        metrics_on_main_port=settings.metrics_on_main_port,
    )


def trace(app: APIFlask, endpoint: str | None) -> None:
    """Send an app's traces to a collector; without an address or the extra, do nothing."""
    if endpoint is None:
        return
    try:
        tracing = importlib.import_module("resource_server.telemetry.tracing")
    except ImportError:
        logger.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but no traces are sent: "
            "pip install 'resource-server[opentelemetry]'"
        )
        return
    with app.app_context():
        tracing.start(app, list(db.engines.values()), endpoint)
