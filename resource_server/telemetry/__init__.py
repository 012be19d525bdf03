"""What operators see: a line and the metrics of each request, `/metrics`, traces.

`register` gives them to an app. Nothing here changes an answer.
"""

from apiflask import APIFlask

from resource_server.extensions import db
from resource_server.services import Services
from resource_server.telemetry import connections, request_log
from resource_server.telemetry.metrics import Metrics
from resource_server.telemetry.mirror import Mirror
from resource_server.telemetry.views import NAME, metrics_views

__all__ = ["Metrics", "register"]


def register(app: APIFlask, services: Services, metrics: Metrics | None) -> None:
    """Watch an app's requests and its pool of connections; without `metrics`, only log.

    Call it before anything else that looks at requests, so that theirs is in the time.
    """
    if metrics is None:
        request_log.register(app)
        return
    mirror = Mirror(metrics, services.verifier, services.revocations)
    request_log.register(app, metrics, mirror)
    with app.app_context():
        for engine in db.engines.values():
            connections.watch(engine, metrics)
    app.extensions[NAME] = (metrics, mirror)
    app.register_blueprint(metrics_views)
