"""Run by Alembic for every `flask db` command, in the context of the current app."""

import contextlib
import time
from collections.abc import Iterator

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text

from resource_server.extensions import db

_LOCK = 7_263_150_941  # any number that no other program locks in the same database
_LOCK_SECONDS = 120
_TRY_AGAIN_SECONDS = 0.2


class MigrationsLocked(RuntimeError):
    """Somebody else migrates this database, and does not come to an end."""


def run_migrations() -> None:
    arguments = {
        "target_metadata": db.metadata,
        # What came before an index that is built beside the work is committed on its own.
        "transaction_per_migration": True,
        **current_app.extensions["migrate"].configure_args,
    }
    if context.is_offline_mode():
        context.configure(
            url=db.engine.url.render_as_string(hide_password=False), literal_binds=True, **arguments
        )
        with context.begin_transaction():
            context.run_migrations()
        return
    with db.engine.connect() as connection, contextlib.ExitStack() as stack:
        if connection.dialect.name == "postgresql":
            stack.enter_context(_alone(connection))
        context.configure(connection=connection, **arguments)
        with context.begin_transaction():
            context.run_migrations()


@contextlib.contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Wait until no other machine migrates; whoever comes second finds nothing left to do.

    The lock is the connection's, which does not go back to the pool: closing it, or dying, gives
    the lock back. It is asked for again and again instead of being waited for, since an open
    transaction, as a waiting statement is, would keep CREATE INDEX CONCURRENTLY from ever coming
    to an end.
    """
    connection.execute(text("SET statement_timeout = 0"))  # an index takes as long as it takes
    patience = float(context.get_x_argument(as_dictionary=True).get("lock_seconds", _LOCK_SECONDS))
    deadline = time.monotonic() + patience
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
        connection.commit()
        if time.monotonic() > deadline:
            raise MigrationsLocked(
                f"another `flask db` is at work, and {patience:g} s were not enough: run this "
                "again later, with `-x lock_seconds=…` to wait longer"
            )
        time.sleep(_TRY_AGAIN_SECONDS)
    connection.commit()
    try:
        yield
    finally:
        connection.invalidate()


run_migrations()
