"""Liveness and readiness, for load balancers and orchestrators."""

from typing import Literal

from apiflask import APIBlueprint
from flask import make_response
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from resource_server import sqlstates
from resource_server.auth import note_refusal
from resource_server.bodies import Schema, shown
from resource_server.database import is_migrated, is_read_only
from resource_server.hosts import for_any_host
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
    missing: list[Literal["database", "writable_database", "migrations", "revocations", "keys"]]


@health.get("/healthz")
@for_any_host
@health.output(Alive)
def healthz() -> ResponseReturnValue:
    """Tell that the process answers; it asks nobody else."""
    return {"status": "ok"}


@health.get("/readyz")
@for_any_host
@responds(503, NotReady)
@health.output(Ready)
def readyz() -> ResponseReturnValue:
    """Return whether requests can be served. 503 names what is missing.

    A probe also makes a process fetch the pool's keys and read the list of revoked tokens if it has
    none. So a load balancer warms it up before the first user comes.
    """
    missing = _missing_in_database()
    if not services().revocations.ready() and not missing:
        missing.append("revocations")
    if not services().verifier.ready():
        missing.append("keys")
    if missing:
        note_refusal(f"{missing[0]}_unavailable")
        body = {"status": "not ready", "missing": missing}
        return make_response(body, 503, {"Retry-After": "1"})
    return {"status": "ready"}


def _missing_in_database(*, again: bool = True) -> list[str]:
    try:
        with services().connections.autocommit() as connection:
            if not is_read_only(connection):
                return [] if is_migrated(connection) else ["migrations"]
    except SQLAlchemyError as error:
        if again and isinstance(error, DBAPIError) and sqlstates.is_worth_a_retry(error):
            # Lost since the last request, as after a failover: that says nothing of now.
            return _missing_in_database(again=False)
        return ["database"]
    if again:  # after a failover connections may lead to the old primary: make new ones
        services().connections.drop()
        return _missing_in_database(again=False)
    return ["writable_database"]
