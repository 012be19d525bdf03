"""The database of one app: its connections, their time limits, and what a lost one means.

Stores of requests ask for a connection when they have a statement for it (`Connections`). Sessions
are for administration, which compares and writes many rows at once.

There are two pools. To switch one connection between AUTOCOMMIT and transactions costs two round
trips each time, as much as the transaction that it spares; so those of one pool stay in AUTOCOMMIT,
and the other one, for all that is rarer, keeps a single connection open.

Connections are not tried before use (`pool_pre_ping`): that is a round trip for every request, and
a connection can still be lost after it. Instead a request that only reads is repeated once, see
`RetryingFlask`; SQLAlchemy has replaced all connections of the pool by then.
"""

import ast
import functools
import logging
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from apiflask import APIFlask
from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy import URL, Connection, Engine, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from werkzeug.local import LocalProxy

from resource_server.extensions import db
from resource_server.settings import Settings, is_flask_command

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
_SQLITE = "sqlite:///resource_server.sqlite"  # relative to the instance folder
_AUTOCOMMIT = "AUTOCOMMIT"
_MIGRATE = "migrate"  # what Flask-Migrate calls itself
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_MILLISECONDS = 1000
# A server that vanished without a word is noticed after 30 s of silence, or 10 s after something
# was sent to it; the kernel's own patience is two hours and 15 minutes.
_TCP = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10 * _MILLISECONDS,
}


class Connections:
    """Opens connections as a store's work needs them.

    `engine` opens transactions; without an engine for AUTOCOMMIT it is switched for that.
    """

    def __init__(self, engine: Engine, committing: Engine | None = None) -> None:
        self._engine = engine
        self._committing = committing or engine.execution_options(isolation_level=_AUTOCOMMIT)

    def autocommit(self) -> AbstractContextManager[Connection]:
        """Open one whose statements are each a transaction of their own.

        This is for work that is one statement: BEGIN and COMMIT, or ROLLBACK after a read, would
        be two more round trips.
        """
        return self._committing.connect()

    def transaction(self) -> AbstractContextManager[Connection]:
        """Open one in a transaction, which commits at the end."""
        return self._engine.begin()


class RetryingFlask(APIFlask):
    """Answers a GET or HEAD anew, once, if its database connection was lost meanwhile.

    Both methods are safe (RFC 9110 §9.2.1), so nothing is done twice; whatever else was lost is
    503, since nobody knows how far it came. A connection that cannot be made is no lost one: the
    database is away, and trying at once would only take twice as long. A streamed answer is not
    affected: what its generator raises comes after this.
    """

    def dispatch_request(self, *args: Any, **kwargs: Any) -> ResponseReturnValue:
        """Call the view; Flask calls this before it has made a response of anything."""
        try:
            return super().dispatch_request(*args, **kwargs)
        except DBAPIError as error:
            if not error.connection_invalidated or request.method not in _SAFE_METHODS:
                raise
            logger.warning("a database connection was lost: the request is answered anew")
            db.session.remove()
        return super().dispatch_request(*args, **kwargs)


def configure(app: APIFlask, settings: Settings) -> Connections:
    """Give an app its database and its migrations; nothing connects yet."""
    url = settings.sqlalchemy_url or make_url(_SQLITE)
    pool: dict[str, Any] = {}
    rare: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        pool = _postgres_options(settings, url)
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
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", prepare_sqlite)
    return Connections(engines[None], engines[_AUTOCOMMIT])


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


def _postgres_options(settings: Settings, url: URL) -> dict[str, Any]:
    """Return `create_engine`'s options: no wait without an end, wherever it may happen."""
    limits = {
        "statement_timeout": settings.db_statement_timeout_seconds,
        "lock_timeout": settings.db_lock_timeout_seconds,
    }
    options = [f"-c{name}={round(limit * _MILLISECONDS)}" for name, limit in limits.items()]
    # What the address itself asks for comes last, and so wins.
    given = url.query.get("options", ())
    options += [given] if isinstance(given, str) else given
    own = {"connect_timeout": settings.db_connect_timeout_seconds, **_TCP}
    return {
        "pool_size": settings.db_pool_size,
        "max_overflow": settings.db_max_overflow,
        "pool_timeout": settings.db_pool_timeout_seconds,
        "pool_recycle": settings.db_pool_recycle_seconds,
        "connect_args": {name: value for name, value in own.items() if name not in url.query}
        | {"options": " ".join(options)},
    }


def prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Make SQLite keep foreign keys, and let readers and a writer work at once."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
