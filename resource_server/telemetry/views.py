"""The metrics over HTTP."""

from typing import TYPE_CHECKING

from apiflask import APIBlueprint
from flask import Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST

from resource_server.hosts import for_any_host
from resource_server.refusals import Problem, refuses, responds

if TYPE_CHECKING:
    from resource_server.telemetry.metrics import Metrics
    from resource_server.telemetry.mirror import Mirror

NAME = "resource_server_metrics"
NOT_FOUND_HERE = Problem(404, "Not found")
metrics_views = APIBlueprint(
    "metrics", __name__, tag={"name": "metrics", "description": "For Prometheus."}
)


@metrics_views.get("/metrics")
@for_any_host
@refuses(NOT_FOUND_HERE)
@responds(200, description="The metrics in Prometheus's text format", also="text/plain")
def metrics() -> Response:
    """Return what this service counted, in all of its processes on this machine.

    Served only on the management port: on every other port this address is 404.
    """
    found: Metrics
    mirror: Mirror
    found, mirror = current_app.extensions[NAME]
    mirror.carry(now=True)
    return Response(found.exposition(), content_type=CONTENT_TYPE_LATEST)
