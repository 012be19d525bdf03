"""The database of one app: its connections, their time limits, and what a lost one means.

Connections are not tried before use (`pool_pre_ping`): that is a round trip for every request, and
a connection can still be lost after it. Instead a request that only reads is repeated once, see
`RetryingFlask`; SQLAlchemy has replaced all connections of the pool by then.
"""

import logging
import sqlite3
from pathlib import Path
from typing import Any

from apiflask import APIFlask
from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError

from resource_server.extensions import db, migrate
from resource_server.settings import Settings

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
_SQLITE = "sqlite:///resource_server.sqlite"  # relative to the instance folder
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


def configure(app: APIFlask, settings: Settings) -> None:
    """Give an app its database and its migrations; nothing connects yet."""
    url = settings.sqlalchemy_url
    app.config["SQLALCHEMY_DATABASE_URI"] = url or _SQLITE
    if url is not None and url.get_backend_name() == "postgresql":
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = _postgres_options(settings, url)
    db.init_app(app)
    migrate.init_app(app, db, directory=str(MIGRATIONS), render_as_batch=True)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", prepare_sqlite)


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
