"""Rows of the deny list, written and read on a connection of the caller's."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from resource_server.revocations.models import Kind, Revocation


class Entry(NamedTuple):
    """What is revoked: tokens of this value whose `iat` is below `issued_before` (seconds)."""

    kind: Kind
    value: str
    issued_before: int
    expires_at: int
    pool_id: str | None = None


class Denial(NamedTuple):
    """One row; see Revocation."""

    id: int
    kind: str
    value: str
    issued_before: int
    expires_at: int
    pool_id: str | None


class Position(NamedTuple):
    """How far a process has read. Rows from here on may be new to it.

    On PostgreSQL `place` is the oldest transaction that was running at the time of the read, and
    `server` when the server started. On SQLite `place` is the last id, since transactions that
    write follow each other.
    """

    place: int = 0
    server: float = 0


_COLUMNS = (
    Revocation.id,
    Revocation.kind,
    Revocation.value,
    Revocation.issued_before,
    Revocation.expires_at,
    Revocation.pool_id,
)


def add(connection: Connection, entries: Iterable[Entry], *, now: int) -> None:
    """Revoke something, and drop the rows that have expired. Does not commit."""
    rows = [entry._asdict() for entry in entries]
    statement = insert(Revocation)
    if _is_postgres(connection):
        statement = statement.values(written_in=func.txid_current())
    connection.execute(statement, rows)
    connection.execute(delete(Revocation).where(Revocation.expires_at <= now))


def read(
    connection: Connection, since: Position | None, *, now: int
) -> tuple[Sequence[Denial], Position]:
    """Return the live rows that were committed since a position, and the position after them.

    None reads all rows. Some rows come again. No row is missed, in any order in which transactions
    commit: ids are given out before that, so a cursor of ids would skip the late ones.
    """
    if not _is_postgres(connection):
        last = since.place if since else 0
        statement = select(*_COLUMNS).where(Revocation.id > last, Revocation.expires_at > now)
        rows = [Denial(*row) for row in connection.execute(statement)]
        return rows, Position(max([last, *(row.id for row in rows)]))
    # One statement has one snapshot: what was running in it is seen by the next read.
    here = select(
        func.txid_snapshot_xmin(func.txid_current_snapshot()).label("place"),
        func.date_part("epoch", func.pg_postmaster_start_time()).label("server"),
    ).subquery()
    wanted = Revocation.expires_at > now
    if since is not None:
        wanted &= Revocation.written_in >= since.place
    found = connection.execute(
        select(here, *_COLUMNS).select_from(here.outerjoin(Revocation, wanted))
    ).all()
    position = Position(found[0][0], found[0][1])
    if since is not None and (position.server != since.server or position.place < since.place):
        # Another server, after a fail-over or a restore, counts transactions differently.
        return read(connection, None, now=now)
    return [Denial(*row[2:]) for row in found if row[2] is not None], position


def _is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
