"""What an error of the database means: for the log, for the client, for `flask db`.

An error is known by its SQLSTATE (PostgreSQL's appendix A). psycopg2 has none for a connection that
could not be made. There the server's English message is looked at, and never repeated. SQLite's
errors are known by their result codes.
"""

import re
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

UNAVAILABLE = "The database is unavailable"
NOT_MIGRATED = "The database is not migrated"
"""What a client sees. What to do is for the log."""
READ_ONLY = "25006"  # read_only_sql_transaction
_RETRY = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
# A server that ends, a limit for idle sessions, a standby: what the pool holds leads nowhere.
_LOSSES = frozenset({READ_ONLY, "25P03", "57P01", "57P02", "57P03", "57P05"})


@dataclass(frozen=True, slots=True)
class DatabaseFault:
    """One kind of error: what happened, and what to do."""

    message: str
    passes: bool = True
    """Whether it ends without a change of the set-up, so that the client may try again."""
    is_unmigrated: bool = False


_GENERAL = DatabaseFault("The connection failed or was lost. Check the server and the network.")
_NO_RESPONSE = DatabaseFault(
    "The server did not respond within DB_STATEMENT_TIMEOUT_SECONDS and one second more. Check "
    "whether it or a pooler is paused."
)
_POOL = DatabaseFault(
    "No connection of this process became free within DB_POOL_TIMEOUT_SECONDS, or the server does "
    "not respond. Look for slow statements in pg_stat_activity."
)
_UNMIGRATED = DatabaseFault(
    "The tables are not those of this release. Run `flask db upgrade`.",
    passes=False,
    is_unmigrated=True,
)
_REJECTED = DatabaseFault(
    "The server rejected the user or the password. Check DATABASE_URL, or RDS_USERNAME and "
    "RDS_PASSWORD.",
    passes=False,
)
_NO_DATABASE = DatabaseFault(
    "The database does not exist. Create it, or check DATABASE_URL or RDS_DB_NAME.", passes=False
)
_NO_PRIVILEGE = DatabaseFault(
    "The role lacks a privilege. Grant it USAGE on the schema and access to the tables, and CREATE "
    "on the schema for `flask db upgrade`.",
    passes=False,
)
_STARTUP = DatabaseFault(
    "A proxy or pooler in between rejected the start-up parameter `options`. Set DB_LIMITS=role "
    "(RDS Proxy, PgBouncer) and the limits on the role.",
    passes=False,
)
_TOO_MANY = DatabaseFault(
    "The server has no connection left. Lower DB_POOL_SIZE and DB_MAX_OVERFLOW, or raise "
    "max_connections."
)
_STARTING = DatabaseFault("The server is starting, stopping or recovering. Wait for it.")
_STANDBY = DatabaseFault(
    "The server is read-only, as a standby is. The app replaces its connections. If this lasts, "
    "check that the address leads to the primary."
)
_LOCKED = DatabaseFault(
    "Another transaction held a lock for longer than DB_LOCK_TIMEOUT_SECONDS. Find it with "
    "pg_blocking_pids()."
)
_FULL = DatabaseFault("The server's disk or memory is full. Make room.")

_BY_CODE = {
    READ_ONLY: _STANDBY,
    "25P03": DatabaseFault(
        "The server ended an idle transaction (idle_in_transaction_session_timeout)."
    ),
    "28000": _REJECTED,
    "28P01": _REJECTED,
    "3D000": _NO_DATABASE,
    "3F000": _UNMIGRATED,  # invalid_schema_name
    "40001": DatabaseFault("The server ended a transaction because of another one (40001)."),
    "40P01": DatabaseFault("The server ended a transaction to resolve a deadlock."),
    "42501": _NO_PRIVILEGE,
    "42703": _UNMIGRATED,  # undefined_column
    "42P01": _UNMIGRATED,  # undefined_table
    "53300": _TOO_MANY,
    "53100": _FULL,
    "53200": _FULL,
    "55P03": _LOCKED,
    "57014": DatabaseFault(
        "A statement took longer than DB_STATEMENT_TIMEOUT_SECONDS or the role's own limit, or an "
        "administrator canceled it. Look at the server's load and at pg_stat_activity."
    ),
    "57P01": DatabaseFault("The server ended the connection (57P01), as it does when it stops."),
    "57P02": DatabaseFault("The server ended all connections after a crash. It recovers."),
    "57P03": _STARTING,
    "57P05": DatabaseFault("The server ended an idle connection (idle_session_timeout)."),
}
_BY_MESSAGE = {
    "too many clients|connection slots are|too many connections|no more connections": "53300",
    "starting up|shutting down|recovery mode|not yet accepting|not accepting conn": "57P03",
    "password authentication failed|no password supplied|SASL authentication failed": "28P01",
    "no pg_hba.conf entry|is not permitted to log in|role .* does not exist": "28000",
    "database .* does not exist": "3D000",
    "unsupported startup parameter|support command-line options": "0A000",
}
_BY_SQLITE = {
    "SQLITE_CANTOPEN": DatabaseFault(
        "The file of the SQLite database cannot be opened. Check DATABASE_URL and the rights on "
        "its folder.",
        passes=False,
    ),
    "SQLITE_READONLY": DatabaseFault(
        "The SQLite database is read-only. Check the rights on its file.", passes=False
    ),
    "SQLITE_BUSY": DatabaseFault("Another process holds the lock of the SQLite database."),
    "SQLITE_NOTADB": DatabaseFault(
        "The file is no SQLite database. Check DATABASE_URL.", passes=False
    ),
    "SQLITE_FULL": _FULL,
}


def code_of(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's error, from the error itself or from its message."""
    code = getattr(error, "pgcode", None)
    if isinstance(code, str):
        return code
    if type(error).__module__.partition(".")[0] != "psycopg2":
        return None
    message = str(error)
    for pattern, known in _BY_MESSAGE.items():
        if re.search(pattern, message):
            return known
    return None


def is_loss(code: str) -> bool:
    """Return whether a connection with this SQLSTATE must be replaced, and the pool with it."""
    return code in _LOSSES or code.startswith("08")


def is_worth_a_retry(error: DBAPIError) -> bool:
    """Return whether a request that only reads may succeed if it is processed again at once."""
    if type(error.orig).__name__ == "NoResponse":
        return False
    return error.connection_invalidated or code_of(error.orig) in _RETRY


def fault_of(error: Exception) -> DatabaseFault | None:
    """Return what an error of SQLAlchemy's means, or None for one that only our code can cause."""
    if isinstance(error, PoolTimeoutError):
        return _POOL
    if not isinstance(error, DBAPIError):
        return None
    if type(error.orig).__name__ == "NoResponse":
        return _NO_RESPONSE
    code = code_of(error.orig)
    is_outage = isinstance(error, OperationalError | InterfaceError)
    if code == "0A000" and is_outage:
        return _STARTUP
    if found := _BY_CODE.get(code or "") or _of_sqlite(error.orig):
        return found
    is_outage |= error.connection_invalidated or (code or "")[:2] in {"08", "53", "57", "58"}
    return _GENERAL if is_outage else None


def _of_sqlite(error: BaseException | None) -> DatabaseFault | None:
    name = getattr(error, "sqlite_errorname", None)
    if name is None:
        return None
    if str(error).startswith("no such "):  # a table, a column
        return _UNMIGRATED
    return next((found for code, found in _BY_SQLITE.items() if name.startswith(code)), None)
