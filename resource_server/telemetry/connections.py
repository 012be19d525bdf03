"""How many connections to the database are in use."""

from sqlalchemy import Engine, event

from resource_server.telemetry.metrics import Metrics


def watch(engine: Engine, metrics: Metrics) -> None:
    """Count connections as they leave an engine's pool and come back."""

    def leaves(*_: object) -> None:
        metrics.connections.inc()

    def returns(*_: object) -> None:
        metrics.connections.dec()

    event.listen(engine, "checkout", leaves)
    event.listen(engine, "checkin", returns)
