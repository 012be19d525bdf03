"""Run by Alembic for every `flask db` command, in the context of the current app.

A pooler in transaction mode may hand each transaction another connection, and gives them to others
afterwards. So all that is said to the server holds for one transaction: SET LOCAL, and a lock that
ends with its transaction (docs/decisions/0031-migrations-through-a-pooler.md).
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

import click
from alembic import context
from flask import current_app
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from resource_server import sqlstates
from resource_server.cli.target import announce, is_flask_db, require_named
from resource_server.database import describe, migration_engine, revisions
from resource_server.extensions import db
from resource_server.services import services

logger = logging.getLogger("resource_server.migrations")

_LOCK = 7_263_150_941  # any number that no other program locks in the same database
_LOCK_SECONDS = 120
_TRY_AGAIN_SECONDS = 0.2
_HAS_TRANSACTION_TIMEOUT = (17,)


class MigrationFailed(RuntimeError):
    """The command did not do its work. Flask-Migrate shows the text without a trace."""


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
    if is_flask_db():
        require_named(services().settings)
    engine = migration_engine(services().settings)
    try:
        _run_online(engine, arguments)
    except SQLAlchemyError as error:
        fault = sqlstates.fault_of(error)
        if fault is None:
            raise
        raise MigrationFailed(f"{fault.message} It is about {describe(engine.url)}.") from None


def _run_online(engine: Engine, arguments: dict[str, Any]) -> None:
    with contextlib.ExitStack() as stack:
        if engine.dialect.name == "postgresql":
            stack.enter_context(_alone(engine))
        connection = stack.enter_context(engine.connect())
        context.configure(connection=connection, **arguments)
        command = context.get_context().opts["fn"].__name__
        before = _revision(connection)
        if before - revisions().keys() and _is_done_on_later_tables(command, before):
            return
        if command in _DONE and is_flask_db():
            announce(pool=False)
        with context.begin_transaction():
            context.run_migrations()
        if command in _DONE:
            _tell(command, engine, before, _revision(connection))


def _revision(connection: Connection) -> frozenset[str]:
    """Return the revisions of the tables, of which there is one, or none before the first."""
    found = frozenset(context.get_context().get_current_heads())
    connection.rollback()
    return found


def _is_done_on_later_tables(command: str, found: frozenset[str]) -> bool:
    """Return whether nothing is left to do on tables that a later release made.

    This release works on them, as /readyz says. A rollback runs `flask db upgrade`, too.
    """
    where = f"The tables are those of a later release ({_named(found)})"
    if command == "upgrade":
        _say(f"{where}, on which this release works. Nothing is left to do.")
    elif command == "display_version":
        _say(f"{_named(found)} (a later release)")
    elif command == "do_stamp":
        return False
    else:
        raise MigrationFailed(f"{where}. Use that release for this command.")
    return True


_DONE = {"upgrade": "Upgraded", "downgrade": "Downgraded", "do_stamp": "Marked"}


def _tell(command: str, engine: Engine, before: frozenset[str], after: frozenset[str]) -> None:
    database = describe(engine.url)
    if before == after:
        _say(f"Nothing to do: {database} is already at {_named(after)}.")
    else:
        _say(f"{_DONE[command]} {database} from {_named(before)} to {_named(after)}.")


def _named(revision: frozenset[str]) -> str:
    return ", ".join(sorted(revision)) or "no tables"


def _say(line: str) -> None:
    """Print a line for a `flask db` command. Log it where an app migrates by itself."""
    command = click.get_current_context(silent=True)
    if command is not None and command.parent is not None and command.parent.info_name == "db":
        click.echo(line)
    else:
        logger.debug("%s", line)


@contextlib.contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Wait until no other machine migrates. The second one finds nothing left to do.

    The lock is held by a transaction of its own, which ends with the connection at the latest. It
    is tried again and again: a waiting statement has a snapshot, for which CREATE INDEX
    CONCURRENTLY would wait in turn. A transaction between two statements has none.
    """
    patience = float(context.get_x_argument(as_dictionary=True).get("lock_seconds", _LOCK_SECONDS))
    deadline = time.monotonic() + patience
    with engine.connect() as holder:
        while not holder.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}):
            holder.rollback()
            if time.monotonic() > deadline:
                raise MigrationFailed(
                    f"another `flask db` is at work, and {patience:g} s were not enough: run this "
                    "again later, with `-x lock_seconds=…` to wait longer"
                )
            time.sleep(_TRY_AGAIN_SECONDS)
        limits = ["idle_in_transaction_session_timeout"]
        if (holder.dialect.server_version_info or ()) >= _HAS_TRANSACTION_TIMEOUT:
            limits.append("transaction_timeout")
        for name in limits:
            holder.exec_driver_sql(f"SET LOCAL {name} = 0")
        try:
            yield
        finally:
            with contextlib.suppress(DBAPIError):  # its loss undoes nothing
                holder.rollback()


run_migrations()
