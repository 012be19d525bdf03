"""The database of one app: its connections, their time limits, and what a lost one means.

Stores of requests ask for a connection when they have a statement for it (`Connections`). Sessions
are for administration, which compares and writes many rows at once.

There are two pools. To switch one connection between AUTOCOMMIT and transactions costs two round
trips each time, as much as the transaction that it spares; so those of one pool stay in AUTOCOMMIT,
and the other one, for all that is rarer, keeps a single connection open.

Connections are not tried before use (`pool_pre_ping`): that is a round trip for every request, and
a connection can still be lost after it. Instead a request that only reads is repeated once, see
`RetryingFlask`; SQLAlchemy has replaced all connections of the pool by then.

Each call has a deadline on this side, too (`postgres.py`). While a database does not respond, one
caller at a time tries it, and the others fail at once. Until that is known, and behind a lock,
callers wait with a place in a `WaitLimit`: they would hold all threads otherwise.
"""

import ast
import functools
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiflask import APIFlask
from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool
from werkzeug.local import LocalProxy

from resource_server import sqlstates
from resource_server.extensions import db
from resource_server.settings import Settings, is_flask_command
from resource_server.tokens.flight import WaitLimit

if TYPE_CHECKING:
    from resource_server.postgres import Responsiveness

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
_SQLITE = "sqlite:///resource_server.sqlite"  # relative to the instance folder
_AUTOCOMMIT = "AUTOCOMMIT"
_MIGRATE = "migrate"  # what Flask-Migrate calls itself
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_MILLISECONDS = 1000
_READER_PAUSE_SECONDS = 1.0
# A server that vanished without a word is noticed after 30 s of silence, or 10 s after something
# was sent to it; the kernel's own patience is two hours and 15 minutes.
_TCP = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10 * _MILLISECONDS,
}


_EVERYBODY = nullcontext(enter_result=True)


class NotResponding(PoolTimeoutError):
    """The database does not respond, or too slowly, and other callers wait for it."""


class Connections:
    """Opens connections as a store's work needs them.

    `engine` opens transactions; without an engine for AUTOCOMMIT it is switched for that.
    """

    def __init__(
        self,
        engine: Engine,
        committing: Engine | None = None,
        responsiveness: "Responsiveness | None" = None,
        crowd: WaitLimit | None = None,
    ) -> None:
        self._engine = engine
        self._committing = committing or engine.execution_options(isolation_level=_AUTOCOMMIT)
        self._responsiveness = responsiveness
        self._crowd = crowd

    def autocommit(self) -> AbstractContextManager[Connection]:
        """Open one whose statements are each a transaction of their own.

        This is for work that is one statement: BEGIN and COMMIT, or ROLLBACK after a read, would
        be two more round trips.
        """
        return self._open(self._committing.connect)

    def transaction(self) -> AbstractContextManager[Connection]:
        """Open one in a transaction, which commits at the end."""
        return self._open(self._engine.begin)

    def limited(self, crowd: WaitLimit) -> "Connections":
        """Return the same connections for threads that serve requests, with a place each."""
        return Connections(self._engine, self._committing, self._responsiveness, crowd)

    @contextmanager
    def _open(
        self, connect: Callable[[], AbstractContextManager[Connection]]
    ) -> Iterator[Connection]:
        with self._crowd.place() if self._crowd else _EVERYBODY as admitted:
            if not admitted:
                raise NotResponding("too many threads wait for the database")
            lost = self._responsiveness
            if lost is not None and lost.is_lost:
                connect = functools.partial(_trying, lost, connect)
            with connect() as connection:
                yield connection

    def drop(self) -> None:
        """Replace all connections. Those in use are closed when they come back."""
        self._engine.dispose()
        self._committing.dispose()


@contextmanager
def _trying(
    database: "Responsiveness", connect: Callable[[], AbstractContextManager[Connection]]
) -> Iterator[Connection]:
    """Open a connection to a database that did not respond, one at a time.

    Raises NotResponding.
    """
    if not database.probe.acquire(blocking=False):
        raise NotResponding("the database does not respond")
    try:
        with connect() as connection:
            yield connection
    finally:
        database.probe.release()


class RetryingFlask(APIFlask):
    """Retries a GET or HEAD once, if its database connection was lost meanwhile.

    Both methods are safe (RFC 9110 §9.2.1), so nothing is done twice. Any other lost request is
    503, since it is not known how far it came. So is what the server ended for the sake of another
    transaction (deadlock, serialization). A connection that cannot be made is no lost one: the
    database is away, and trying at once would only take twice as long. The same holds for a server
    that did not respond. A streamed response is not affected: what its generator raises comes after
    this.
    """

    def dispatch_request(self, *args: Any, **kwargs: Any) -> ResponseReturnValue:
        """Call the view; Flask calls this before it has made a response of anything."""
        try:
            return super().dispatch_request(*args, **kwargs)
        except DBAPIError as error:
            if request.method not in _SAFE_METHODS or not sqlstates.is_worth_a_retry(error):
                raise
            if error.connection_invalidated:
                logger.warning("a database connection was lost: the app retries the request")
            db.session.remove()
        return super().dispatch_request(*args, **kwargs)


def configure(app: APIFlask, settings: Settings) -> Connections:
    """Give an app its database and its migrations; nothing connects yet."""
    url = settings.sqlalchemy_url or make_url(_SQLITE)
    # Messages of errors then hold no values of a statement.
    pool: dict[str, Any] = {"hide_parameters": True}
    rare: dict[str, Any] = {}
    responsiveness = None
    is_postgres = url.get_backend_name() == "postgresql"
    if is_postgres:
        from resource_server.postgres import Responsiveness  # noqa: PLC0415 - loads psycopg2

        responsiveness = Responsiveness()
        pool |= _postgres_options(settings, url, responsiveness)
        most = settings.db_pool_size + settings.db_max_overflow
        rare = {"pool_size": 1, "max_overflow": most - 1}
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = pool | rare
    app.config["SQLALCHEMY_BINDS"] = {
        _AUTOCOMMIT: {"url": url, "isolation_level": _AUTOCOMMIT, **pool}
    }
    db.init_app(app)
    app.extensions[_MIGRATE] = LocalProxy(lambda: _migrate(app))
    if is_flask_command():
        _migrate(app)
    with app.app_context():
        engines = db.engines
    for engine in engines.values():
        if not is_postgres:
            event.listen(engine, "connect", prepare_sqlite)
        elif settings.db_limits == "set":
            event.listen(engine, "connect", functools.partial(_set_limits, _limits(settings, url)))
    if is_postgres:
        _drop_readers(list(engines.values()))
    return Connections(engines[None], engines[_AUTOCOMMIT], responsiveness)


def dispose(app: APIFlask) -> None:
    """Close the connections that an app keeps open."""
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()


def _drop_readers(engines: list[Engine]) -> None:
    """Replace all connections when one turns out to lead to a server that takes no writes.

    After a failover the pooled ones lead to what is a standby now. SQLAlchemy does so where a
    connection is lost. Here this one is marked as lost, and the other pools are emptied, too.
    """
    dropped_at = -_READER_PAUSE_SECONDS

    def look(context: ExceptionContext) -> None:
        nonlocal dropped_at
        code = sqlstates.code_of(context.original_exception)
        if code is None or not sqlstates.is_loss(code):
            return
        context.is_disconnect = True
        if code != sqlstates.READ_ONLY:
            return
        now = time.monotonic()
        if now - dropped_at < _READER_PAUSE_SECONDS:
            # The new connections lead to a standby, too. Others of them may be in use.
            context.invalidate_pool_on_disconnect = False
            return
        dropped_at = now
        for engine in engines:
            if engine is not context.engine:
                engine.dispose()

    for engine in engines:
        event.listen(engine, "handle_error", look)


def migration_engine(settings: Settings) -> Engine:
    """Return an engine for `flask db`: one connection at a time, closed after use.

    Its statements have no limit, neither here nor at the server. That is said in each transaction
    (SET LOCAL), so that a pooler gets its connection back as it was.
    """
    url = settings.sqlalchemy_url
    if url is None or url.get_backend_name() != "postgresql":
        return db.engine
    limits = {"statement_timeout": 0} | _lock_limit(settings, url)
    arguments = _connect_arguments(settings, url)
    if settings.db_limits == "options":
        arguments["options"] = _options(limits, url, wins=False)
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args=arguments,
        hide_parameters=True,
        use_native_hstore=False,
    )

    def set_limits(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        if not driver.autocommit:
            for name, value in limits.items():
                connection.exec_driver_sql(f"SET LOCAL {name} = {value}")

    event.listen(engine, "begin", set_limits)
    return engine


def describe(url: URL) -> str:
    """Return which database an address means: server, port and name, or the file of SQLite."""
    if url.get_backend_name() == "sqlite":
        return f"SQLite in {url.database or 'memory'}"
    # Parameters of the address may name the server, too (`?host=…`).
    _, parameters = url.get_dialect()().create_connect_args(url)
    host, port = parameters.get("host") or "/", parameters.get("port")
    # libpq's name for a socket is its directory.
    server = "the local socket" if host.startswith("/") else f"{host}:{port}" if port else host
    return f"the database {parameters.get('dbname')} on {server}"


def _migrate(app: APIFlask) -> object:
    """Give an app `flask db`, where it may be asked for: Alembic is 11 MB that no server needs."""
    from flask_migrate import Migrate  # noqa: PLC0415

    Migrate(app, db, directory=str(MIGRATIONS), render_as_batch=True)
    return app.extensions[_MIGRATE]  # from now on Flask-Migrate's own


def is_migrated(connection: Connection) -> bool:
    """Tell whether the tables are those of this release, or of a later one.

    A release migrates before it replaces this one, which must serve on meanwhile: a revision that
    is not known here is a later release's (docs/operations.md, "Upgrading").

    Raises SQLAlchemyError.
    """
    if not inspect(connection).has_table("alembic_version"):
        return False
    found = set(connection.scalars(text("SELECT version_num FROM alembic_version")))
    return found == heads() or not found <= revisions().keys()


def is_read_only(connection: Connection) -> bool:
    """Return whether the server takes no writes, as a standby does not (only PostgreSQL).

    Raises SQLAlchemyError.
    """
    if connection.dialect.name != "postgresql":
        return False
    return bool(connection.scalar(text("SHOW transaction_read_only")) == "on")


def heads() -> set[str]:
    """Return the revisions that a migrated database has."""
    return revisions().keys() - {older for below in revisions().values() for older in below}


@functools.cache
def revisions() -> dict[str, tuple[str, ...]]:
    """Return the revisions of this release, and those that each comes after.

    They are read, not imported, which would load Alembic into a process that serves.
    """
    found = {}
    for script in (MIGRATIONS / "versions").glob("*.py"):
        constants = _constants(script)
        below = constants["down_revision"]
        found[constants["revision"]] = (below,) if isinstance(below, str) else tuple(below or ())
    return found


def _constants(script: Path) -> dict[str, Any]:
    constants = {}
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            named = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(named, ast.Name) and named.id in {"revision", "down_revision"}:
                constants[named.id] = ast.literal_eval(node.value)
    return constants


def _postgres_options(
    settings: Settings, url: URL, responsiveness: "Responsiveness"
) -> dict[str, Any]:
    """Return `create_engine`'s options: no wait without an end, wherever it may happen."""
    from resource_server.postgres import connect_options  # noqa: PLC0415 - loads psycopg2

    arguments = _connect_arguments(settings, url)
    limits = _limits(settings, url)
    if settings.db_limits == "options":
        arguments["options"] = _options(limits, url)
    seconds = (
        _asked_of_server(url, "statement_timeout") / _MILLISECONDS
        or settings.db_statement_timeout_seconds
    )
    return {
        "pool_size": settings.db_pool_size,
        "max_overflow": settings.db_max_overflow,
        "pool_timeout": settings.db_pool_timeout_seconds,
        "pool_recycle": settings.db_pool_recycle_seconds,
        "use_native_hstore": False,  # else each new connection looks up the type's id
        "connect_args": arguments | connect_options(seconds, responsiveness),
    }


def _connect_arguments(settings: Settings, url: URL) -> dict[str, Any]:
    own = {"connect_timeout": settings.db_connect_timeout_seconds, **_TCP}
    return {name: value for name, value in own.items() if name not in url.query}


def _limits(settings: Settings, url: URL) -> dict[str, int]:
    """Return the server's limits in milliseconds, but for those that the address sets itself."""
    limits = {"statement_timeout": settings.db_statement_timeout_seconds}
    given = _given_options(url)
    own = {
        name: round(limit * _MILLISECONDS) for name, limit in limits.items() if name not in given
    }
    return own | _lock_limit(settings, url)


def _lock_limit(settings: Settings, url: URL) -> dict[str, int]:
    if "lock_timeout" in _given_options(url):
        return {}
    return {"lock_timeout": round(settings.db_lock_timeout_seconds * _MILLISECONDS)}


def _options(limits: dict[str, int], url: URL, *, wins: bool = True) -> str:
    """Return libpq's `options`. What comes last wins."""
    own = [f"-c{name}={limit}" for name, limit in limits.items()]
    given = [_given_options(url)]
    return " ".join(filter(None, own + given if wins else given + own))


def _given_options(url: URL) -> str:
    given = url.query.get("options", ())
    return given if isinstance(given, str) else " ".join(given)


def _asked_of_server(url: URL, name: str) -> float:
    """Return a limit that the address sets, in milliseconds, or 0 for none."""
    found = re.findall(rf"{name}\s*=\s*'?(\d+)\s*(us|ms|s|min|h|d)?\b", _given_options(url))
    if not found:
        return 0
    number, unit = found[-1]
    return int(number) * _UNITS[unit]


_UNITS = {"": 1, "us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def _set_limits(limits: dict[str, int], connection: Any, _record: object) -> None:
    """Set the limits of a new connection by a statement, where no start-up parameter may."""
    if not limits:
        return
    usual, connection.autocommit = connection.autocommit, True
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} = {limit}" for name, limit in limits.items()))
    connection.autocommit = usual


def prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Make SQLite keep foreign keys, and let readers and a writer work at once."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
