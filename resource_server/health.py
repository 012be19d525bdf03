"""Liveness and readiness, for load balancers and orchestrators."""

from typing import Literal

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from apiflask import APIBlueprint
from flask import current_app, make_response
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from resource_server.auth import note_refusal
from resource_server.bodies import Schema, shown
from resource_server.extensions import db
from resource_server.refusals import responds
from resource_server.services import services

health = APIBlueprint(
    "health",
    __name__,
    tag={"name": "health", "description": "For load balancers and orchestrators."},
)


class Alive(Schema):
    """The process answers."""

    model_config = shown({"status": "ok"})

    status: Literal["ok"]


class Ready(Schema):
    """Requests can be served."""

    model_config = shown({"status": "ready"})

    status: Literal["ready"]


class NotReady(Schema):
    """Something is missing."""

    model_config = shown({"status": "not ready", "missing": ["database"]})

    status: Literal["not ready"]
    missing: list[Literal["database", "migrations", "keys"]]


@health.get("/healthz")
@health.output(Alive)
def healthz() -> ResponseReturnValue:
    """Tell that the process answers; it asks nobody else."""
    return {"status": "ok"}


@health.get("/readyz")
@responds(503, NotReady)
@health.output(Ready)
def readyz() -> ResponseReturnValue:
    """Tell whether requests can be served; 503 names what is missing.

    Asking also makes a process fetch the pool's keys if it has none, so a load balancer's probe
    warms it up before the first user comes.
    """
    missing = _missing_in_database()
    if not services().verifier.ready():
        missing.append("keys")
    if missing:
        note_refusal(f"{missing[0]}_unavailable")
        body = {"status": "not ready", "missing": missing}
        return make_response(body, 503, {"Retry-After": "1"})
    return {"status": "ready"}


def _missing_in_database(*, again: bool = True) -> list[str]:
    directory = current_app.extensions["migrate"].directory
    try:
        found = MigrationContext.configure(db.session.connection()).get_current_heads()
    except SQLAlchemyError as error:
        db.session.rollback()
        if again and isinstance(error, DBAPIError) and error.connection_invalidated:
            # Lost since the last request, as after a failover: that says nothing of now.
            return _missing_in_database(again=False)
        return ["database"]
    return [] if _is_migrated(set(found), ScriptDirectory(directory)) else ["migrations"]


def _is_migrated(found: set[str], scripts: ScriptDirectory) -> bool:
    """Tell whether the tables are those of this release, or of a later one.

    A release migrates before it replaces this one, which must serve on meanwhile: a revision that
    is not known here is a later release's (docs/operations.md, "Upgrading").
    """
    known = {script.revision for script in scripts.walk_revisions()}
    return found == set(scripts.get_heads()) or bool(found - known)
