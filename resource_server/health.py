"""Liveness and readiness, for load balancers and orchestrators."""

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from apiflask import APIBlueprint
from flask import current_app
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from resource_server.extensions import db
from resource_server.services import services

health = APIBlueprint("health", __name__)


@health.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Tell that the process answers; it asks nobody else."""
    return {"status": "ok"}


@health.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Tell whether requests can be served; 503 names what is missing.

    Asking also makes a process fetch the pool's keys if it has none, so a load balancer's probe
    warms it up before the first user comes.
    """
    missing = _missing_in_database()
    if not services().verifier.ready():
        missing.append("keys")
    if missing:
        return {"status": "not ready", "missing": missing}, 503, {"Retry-After": "1"}
    return {"status": "ready"}


def _missing_in_database() -> list[str]:
    directory = current_app.extensions["migrate"].directory
    try:
        found = MigrationContext.configure(db.session.connection()).get_current_heads()
    except SQLAlchemyError:
        return ["database"]
    return [] if set(found) == set(ScriptDirectory(directory).get_heads()) else ["migrations"]
