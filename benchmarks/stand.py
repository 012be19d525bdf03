"""What servers under measurement stand on: PostgreSQL with rows, a pool's keys, and tokens."""

import contextlib
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from flask_migrate import upgrade
from sqlalchemy import create_engine, text

from benchmarks.keys import KeyServer
from benchmarks.servers import Command, Server, family_cpu_seconds
from resource_server import create_app
from resource_server.extensions import db
from resource_server.testing.pool import CognitoPool
from tests.postgres import DisposablePostgres

ROOT = Path(__file__).parent.parent
SCOPE = "aws.cognito.signin.user.admin me randoms"
LOW, HIGH = 1, 1_000_000
_LIFE_SECONDS = 86_400


class _Postgres(DisposablePostgres):
    """As PostgreSQL comes: it commits to the disk, and has the memory of its defaults.

    But for connections, which every contestant's pools want at once.
    """

    def __init__(self) -> None:
        super().__init__(durable=True)
        self._settings |= {"max_connections": "600", "shared_buffers": "128MB"}

    @property
    def pid(self) -> int:
        """The process that all others of the server are children of."""
        if self._server is None:
            raise RuntimeError("PostgreSQL is not started")
        return self._server.pid


class Stand:
    """PostgreSQL migrated and filled, a JWKS server, tokens, and the servers started; a context.

    Enter it from the main thread, with which PostgreSQL ends. There are `users` users with a token
    and `items` numbers each; further users' numbers make the table at least `rows` long.
    """

    def __init__(self, *, users: int = 1000, items: int = 20, rows: int = 0) -> None:
        self.users = users
        self.items = items
        self.rows = rows
        self.pool = CognitoPool()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends, too
        with contextlib.ExitStack() as stack:
            self.home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            self.keys = stack.enter_context(KeyServer(self.pool, self.home))
            self._postgres = stack.enter_context(_Postgres())
            self.database_url = self._postgres.url
            self._migrate()
            self._fill()
            self.tokens = [self.token(number) for number in range(self.users)]
            self.tokens_file = self.write_tokens("tokens", self.tokens)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, command: Command, *, workers: int = 2, threads: int | None = None) -> Server:
        """Start a server and wait until it answers; it ends with the stand, if not before."""
        server = Server(command, self.home, workers=workers, threads=threads)
        self._stack.callback(server.end)
        return server

    def postgres_cpu_seconds(self) -> float:
        """Return the processor time of PostgreSQL's processes since each began."""
        return family_cpu_seconds(self._postgres.pid)

    def settings(self, **more: str) -> dict[str, str]:
        """Return the settings of this service."""
        return {**self.pool.settings, "DATABASE_URL": self.database_url, **more}

    def environment(self, **more: str) -> dict[str, str]:
        """Return this service's settings, and the path to import it from."""
        return {**self.settings(**more), "PYTHONPATH": str(ROOT)}

    def token(self, number: int, **claims: Any) -> str:
        """Sign a token of a user, as Cognito would after a sign-in; see CognitoPool."""
        own = {"scope": SCOPE, "groups": ["users"], "expires_in": _LIFE_SECONDS}
        return self.pool.access_token(username=_name(number), **{**own, **claims})

    def write_tokens(self, name: str, tokens: list[str]) -> Path:
        """Write tokens to a file of that name, for wrk."""
        file = self.home / name
        file.write_text("".join(f"{token}\n" for token in tokens), encoding="ascii")
        return file

    def sub(self, number: int) -> str:
        """Return the `sub` of a user."""
        return self.pool.sub_of(_name(number))

    def add_items(self, sub: str, many: int) -> None:
        """Give one user further numbers."""
        self.execute(_ITEMS.format(owners="SELECT :sub AS sub", items=many), sub=sub)
        self.execute("ANALYZE")

    def add_rows(self, rows: int) -> None:
        """Give further users, of `items` numbers each, numbers until the table has so many."""
        missing = rows - int(self.execute("SELECT count(*) FROM randoms") or 0)
        if missing > 0:
            known = int(self.execute("SELECT count(*) FROM users") or 0)
            last = known - 1 - missing // -self.items
            self.execute(
                "INSERT INTO users (sub, username) SELECT md5(n::text), 'further-' || n "
                "FROM generate_series(CAST(:first AS bigint), :last) n",
                first=known,
                last=last,
            )
            owners = (
                "SELECT md5(n::text) AS sub FROM generate_series(CAST(:first AS bigint), :last) n"
            )
            statement = _ITEMS.format(owners=owners, items=self.items)
            self.execute(statement, first=known, last=last)
        self.execute("ANALYZE")

    def execute(self, statement: str, **values: Any) -> Any:
        """Run SQL as PostgreSQL's superuser; return the first value of what it returns, if any."""
        engine = create_engine(self.database_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            found = connection.execute(text(statement), values)
            value = found.scalar() if found.returns_rows else None
        engine.dispose()
        return value

    def _migrate(self) -> None:
        app = create_app(self.settings())
        with app.app_context():
            upgrade()
            db.engine.dispose()

    def _fill(self) -> None:
        people = [{"sub": self.sub(n), "username": _name(n)} for n in range(self.users)]
        engine = create_engine(self.database_url)
        with engine.begin() as connection:
            connection.execute(
                text("INSERT INTO users (sub, username) VALUES (:sub, :username)"), people
            )
        engine.dispose()
        self.execute(_ITEMS.format(owners="SELECT sub FROM users", items=self.items))
        self.add_rows(self.rows)
        self.execute("VACUUM ANALYZE")


# Nobody's numbers lie side by side, as in a table that many have written to over time.
_ITEMS = f"""
INSERT INTO randoms (owner_sub, num, min_value, max_value)
SELECT owners.sub, {LOW} + floor(random() * {HIGH - LOW + 1})::bigint, {LOW}, {HIGH}
FROM generate_series(1, {{items}}) item CROSS JOIN ({{owners}}) owners
ORDER BY item, owners.sub
"""  # noqa: S608 - numbers of this module


def _name(number: int) -> str:
    return f"user-{number}"
