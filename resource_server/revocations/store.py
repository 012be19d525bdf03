"""Rows of the deny list, written and read on a connection of the caller's."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from resource_server.revocations.models import Kind, Revocation

# Ids are given out before their transactions commit, so that a row may appear after one with a
# higher id. Reading this many ids again catches those that were late.
LATE_ROWS = 1000


class Denial(NamedTuple):
    """One row; see Revocation."""

    id: int
    kind: str
    value: str
    issued_before: int
    expires_at: int


_COLUMNS = (
    Revocation.id,
    Revocation.kind,
    Revocation.value,
    Revocation.issued_before,
    Revocation.expires_at,
)


def add(
    connection: Connection,
    entries: Iterable[tuple[Kind, str, int]],
    *,
    now: int,
    expires_at: int,
) -> None:
    """Deny (kind, value, issued_before), and drop the rows that have expired. Does not commit."""
    rows = [
        {"kind": kind, "value": value, "issued_before": issued_before, "expires_at": expires_at}
        for kind, value, issued_before in entries
    ]
    connection.execute(insert(Revocation), rows)
    connection.execute(delete(Revocation).where(Revocation.expires_at <= now))


def newer_than(connection: Connection, last_id: int, *, now: int) -> Sequence[Denial]:
    """Return the live rows past an id, and those just before it that may have been late."""
    statement = (
        select(*_COLUMNS)
        .where(Revocation.id > last_id - LATE_ROWS, Revocation.expires_at > now)
        .order_by(Revocation.id)
    )
    return [Denial(*row) for row in connection.execute(statement)]
