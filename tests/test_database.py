"""The database away, back, slow, and asked for by everybody at once."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import responses
from apiflask import APIFlask
from flask_migrate import upgrade
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from resource_server.database import Connections
from resource_server.extensions import db
from resource_server.identity.directory import DirectoryUser
from resource_server.randoms.store import OwnedRandoms
from resource_server.revocations import store
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users import accounts, projection
from tests.conftest import REGION
from tests.postgres import DisposablePostgres

MakeApp = Callable[[Mapping[str, str]], APIFlask]
ROOT = Path(__file__).parent.parent
AWAY = {"detail": "The database is unavailable"}
BOUNDS = {"min_value": 1, "max_value": 6}
POOL = {
    "AWS_REGION": REGION,
    "AWS_USER_POOL_ID": f"{REGION}_Migration",
    "AWS_COGNITO_APP_CLIENT_ID": "migration",
}


@pytest.fixture(scope="module")
def server() -> Iterator[DisposablePostgres]:
    """A PostgreSQL of this module's own, which tests may stop."""
    with DisposablePostgres() as server:
        yield server


@pytest.fixture(scope="module")
def control(server: DisposablePostgres) -> Iterator[Engine]:
    """A way to the server beside the app's."""
    engine = create_engine(server.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def url(control: Engine, request: pytest.FixtureRequest) -> str:
    """An empty database on that server."""
    with control.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS app WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE app"))
    return control.url.set(database="app").render_as_string(hide_password=False)


@pytest.fixture
def config(mock_cognito_client: CognitoIdp, url: str) -> dict[str, str]:
    """The settings of an app on that database."""
    return {**mock_cognito_client.settings, "DATABASE_URL": url}


@pytest.fixture
def app(make_app: MakeApp, config: dict[str, str], jwks: responses.RequestsMock) -> APIFlask:
    """An app with a pool of connections of its own, migrated."""
    app = make_app(config)
    with app.app_context():
        upgrade()
    return app


@pytest.fixture
def headers(app: APIFlask, cognito_pool: CognitoPool) -> dict[str, str]:
    """Credentials of a user who is known already, so that a connection lies in the pool."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    assert app.test_client().get("/randoms", headers=headers).json == []
    return headers


def end_connections(control: Engine) -> None:
    """End every connection to the app's database, as a failover does."""
    with control.connect() as connection:
        statement = (
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'app'"
        )
        ended = connection.execute(text(statement)).scalars().all()
    assert ended
    assert all(ended)


def engine_of(app: APIFlask) -> Engine:
    """Return the pool of connections that stores work with."""
    with app.app_context():
        return db.engines["AUTOCOMMIT"]


def rows(control: Engine) -> int:
    """Count the random numbers that there are."""
    with create_engine(control.url.set(database="app"), poolclass=NullPool).connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM randoms")).scalar_one())


# Lost connections


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_that_reads_survives_the_loss_of_its_connection(
    app: APIFlask,
    headers: dict[str, str],
    control: Engine,
    method: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is answered anew on a new connection, and the log says so."""
    end_connections(control)
    assert app.test_client().open("/randoms", method=method, headers=headers).status_code == 200
    assert [r.getMessage() for r in caplog.records if r.name.endswith(".database")] == [
        "a database connection was lost: the request is answered anew"
    ]


def test_readiness_is_about_now(app: APIFlask, control: Engine, headers: dict[str, str]) -> None:
    """A connection that was lost meanwhile does not take a process out of the load balancer."""
    end_connections(control)
    assert app.test_client().get("/readyz").json == {"status": "ready"}


def test_a_request_that_writes_is_not_repeated(
    app: APIFlask, headers: dict[str, str], control: Engine
) -> None:
    """It is told to come again, and the next one finds new connections."""
    client = app.test_client()
    end_connections(control)
    refused = client.post("/randoms", headers=headers, json=BOUNDS)
    assert (refused.status_code, refused.json) == (503, AWAY)
    assert int(refused.headers["Retry-After"]) >= 1
    assert rows(control) == 0
    assert client.post("/randoms", headers=headers, json=BOUNDS).status_code == 201


def _inserts(run: Callable[[], object]) -> Callable[..., None]:
    """Make a listener to statements that does something at an INSERT of a number."""

    def listener(*told: Any) -> None:
        if told[2].startswith("INSERT INTO randoms"):
            run()

    return listener


def test_a_write_that_is_interrupted_is_not_there(
    app: APIFlask, headers: dict[str, str], control: Engine
) -> None:
    """The connection ends before the INSERT comes through: 503, and no row."""
    lose = _inserts(lambda: end_connections(control))
    with _listening(engine_of(app), "before_cursor_execute", lose):
        answer = app.test_client().post("/randoms", headers=headers, json=BOUNDS)
    assert (answer.status_code, answer.json) == (503, AWAY)
    assert rows(control) == 0


def test_a_write_whose_fate_is_unknown_is_there_once(
    app: APIFlask, headers: dict[str, str], control: Engine
) -> None:
    """The answer to the INSERT is lost: 503, and no second try writes it again."""

    def lose() -> None:
        raise OperationalError("INSERT", None, Exception("lost"), connection_invalidated=True)

    with _listening(engine_of(app), "after_cursor_execute", _inserts(lose)):
        answer = app.test_client().post("/randoms", headers=headers, json=BOUNDS)
    assert (answer.status_code, answer.json) == (503, AWAY)
    assert rows(control) == 1


def test_a_write_that_is_done_is_acknowledged(
    app: APIFlask, headers: dict[str, str], control: Engine
) -> None:
    """A connection that is lost after the INSERT does not matter any more: 201."""
    lose = _inserts(lambda: end_connections(control))
    with _listening(engine_of(app), "after_cursor_execute", lose):
        answer = app.test_client().post("/randoms", headers=headers, json=BOUNDS)
    assert (answer.status_code, rows(control)) == (201, 1)


@contextmanager
def _listening(target: Any, name: str, listener: Callable[..., object]) -> Iterator[None]:
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)


def test_a_request_is_answered_anew_only_once(app: APIFlask, control: Engine) -> None:
    """Where every connection is lost, the second loss is the answer."""
    calls = []

    @app.get("/unlucky")
    def unlucky() -> str:
        calls.append(1)
        db.session.execute(text("SELECT 1"))
        end_connections(control)
        db.session.execute(text("SELECT 1"))
        return "lucky"

    answer = app.test_client().get("/unlucky")
    assert (answer.status_code, answer.json, len(calls)) == (503, AWAY, 2)


def test_a_database_that_went_away_and_came_back(
    app: APIFlask, headers: dict[str, str], control: Engine, server: DisposablePostgres
) -> None:
    """503 at once while it is away; within two seconds of its return all is well, unrestarted."""
    client = app.test_client()
    assert client.post("/randoms", headers=headers, json=BOUNDS).status_code == 201
    server.go_away()
    try:
        for method, body in (("GET", None), ("POST", BOUNDS)):
            started = time.monotonic()
            refused = client.open("/randoms", method=method, headers=headers, json=body)
            assert (refused.status_code, refused.json) == (503, AWAY)
            assert int(refused.headers["Retry-After"]) >= 1
            assert time.monotonic() - started < 1.5
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json == {"status": "not ready", "missing": ["database"]}
    finally:
        server.come_back()
    back = time.monotonic()
    while client.post("/randoms", headers=headers, json=BOUNDS).status_code != 201:
        assert time.monotonic() - back < 2, "it has not recovered"
        time.sleep(0.05)
    assert len(client.get("/randoms", headers=headers).json or ()) == rows(control) == 2
    assert client.get("/readyz").status_code == 200


def test_a_standby_takes_no_writes(
    make_app: MakeApp, config: dict[str, str], headers: dict[str, str]
) -> None:
    """After a failover a connection may lead to the old server: it reads, and writes are 503."""
    options = "options=-cdefault_transaction_read_only%3Don"
    client = make_app(
        {**config, "DATABASE_URL": f"{config['DATABASE_URL']}&{options}"}
    ).test_client()
    assert client.get("/randoms", headers=headers).status_code == 200
    refused = client.post("/randoms", headers=headers, json=BOUNDS)
    assert (refused.status_code, refused.json) == (503, AWAY)


# Time limits


def test_a_slow_statement_ends_in_time(make_app: MakeApp, config: dict[str, str]) -> None:
    """The server gives it up (statement_timeout), and the answer is 503, not a wait."""
    app = make_app({**config, "DB_STATEMENT_TIMEOUT_SECONDS": "0.2"})

    @app.get("/slow")
    def slow() -> str:
        db.session.execute(text("SELECT pg_sleep(20)"))
        return "slept"

    started = time.monotonic()
    answer = app.test_client().get("/slow")
    assert (answer.status_code, answer.json) == (503, AWAY)
    assert time.monotonic() - started < 2


def test_a_lock_is_not_waited_for_for_ever(
    app: APIFlask, make_app: MakeApp, config: dict[str, str], headers: dict[str, str]
) -> None:
    """Whoever holds a table, say a migration, makes requests 503, not pile up."""
    impatient = make_app({**config, "DB_LOCK_TIMEOUT_SECONDS": "0.2"})
    with app.extensions["resource_server"].connections.transaction() as connection:
        connection.execute(text("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"))
        started = time.monotonic()
        answer = impatient.test_client().get("/randoms", headers=headers)
        assert (answer.status_code, answer.json) == (503, AWAY)
        assert time.monotonic() - started < 2
    assert impatient.test_client().get("/randoms", headers=headers).status_code == 200


def test_nobody_waits_long_for_a_connection(
    app: APIFlask, make_app: MakeApp, config: dict[str, str], headers: dict[str, str]
) -> None:
    """With all of a process's connections in use, the next request is 503 after the pool's wait."""
    small = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "1", "DB_POOL_TIMEOUT_SECONDS": "0.2"}
    crowded = make_app({**config, **small})
    client = crowded.test_client()
    assert client.get("/randoms", headers=headers).status_code == 200
    with engine_of(crowded).connect(), engine_of(crowded).connect():
        started = time.monotonic()
        answer = client.get("/randoms", headers=headers)
        assert (answer.status_code, answer.json) == (503, AWAY)
        assert time.monotonic() - started < 2
    assert client.get("/randoms", headers=headers).status_code == 200


def test_what_the_address_asks_for_wins(make_app: MakeApp, config: dict[str, str]) -> None:
    """Options in DATABASE_URL are kept beside ours, and go before them."""
    options = "-csearch_path%3Delsewhere%20-cstatement_timeout%3D7s"
    app = make_app({**config, "DATABASE_URL": f"{config['DATABASE_URL']}&options={options}"})
    with engine_of(app).connect() as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("search_path", "statement_timeout", "lock_timeout")
        ]
    assert found == ["elsewhere", "7s", "2s"]


def test_a_vanished_server_is_noticed(make_app: MakeApp, config: dict[str, str]) -> None:
    """The driver is told to look after connections on which nothing arrives any more."""
    with engine_of(make_app(config)).connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        told = driver.get_dsn_parameters()
    names = ("connect_timeout", "keepalives_idle", "keepalives_count", "tcp_user_timeout")
    assert [told[name] for name in names] == ["2", "15", "3", "10000"]


# Migrations


def test_many_machines_migrate_at_once(url: str, control: Engine) -> None:
    """`flask db upgrade` in several processes on an empty database: one works, all succeed."""
    environment = {**POOL, "DATABASE_URL": url, "PATH": os.environ["PATH"], "FLASK_APP": "wsgi"}
    command = [sys.executable, "-m", "flask", "db", "upgrade"]
    with _another_migration(control):
        processes = [
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            for _ in range(4)
        ]
        # All stand at the gate; without the lock the first would have gone through.
        deadline = time.monotonic() + 60
        while _sessions(control) < 1 + len(processes):
            assert time.monotonic() < deadline, [process.poll() for process in processes]
            time.sleep(0.1)
        assert not _has_tables(control)
    outputs = [process.communicate(timeout=60)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    assert rows(control) == 0


def _sessions(control: Engine) -> int:
    with control.connect() as connection:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app'"
        return int(connection.execute(text(statement)).scalar_one())


def _has_tables(control: Engine) -> bool:
    engine = create_engine(control.url.set(database="app"), poolclass=NullPool)
    with engine.connect() as connection:
        return bool(inspect(connection).get_table_names())


def test_a_migration_waits_for_another_one(app: APIFlask, control: Engine) -> None:
    """It goes on when the other has ended."""
    ended = threading.Event()
    with _another_migration(control) as other, app.app_context():

        def end() -> None:
            ended.set()
            other.close()

        timer = threading.Timer(0.5, end)
        timer.start()
        upgrade()
        assert ended.is_set()
        timer.join()


def test_a_migration_does_not_wait_for_ever(
    app: APIFlask, control: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The command fails and says what to do; a later try works."""
    with app.app_context():
        with _another_migration(control), pytest.raises(SystemExit):
            upgrade(x_arg=["lock_seconds=0.3"])
        assert "another `flask db` is at work, and 0.3 s were not enough" in caplog.text
        upgrade()
        upgrade()


def _another_migration(control: Engine) -> Connection:
    engine = create_engine(control.url.set(database="app"), poolclass=NullPool)
    connection = engine.connect()
    connection.execute(text("SELECT pg_advisory_lock(7263150941)"))
    return connection


# Indexes


def test_no_query_of_a_request_reads_a_whole_table(app: APIFlask) -> None:
    """With 100,000 rows in each table, whatever a request asks looks at a thousand at the most.

    Left out: the first reading of the deny list, which is all of it, and `projection.named`, by
    which an administrator's command finds a user by name.
    """
    engine = engine_of(app)
    with engine.begin() as connection:
        connection.execute(text(FILL))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))  # as PostgreSQL does by itself
    asked: list[tuple[str, Any]] = []

    def note(*event: Any) -> None:
        _, _, statement, parameters, _, executemany = event
        asked.append((statement, parameters[0] if executemany else parameters))

    with _listening(engine, "before_cursor_execute", note):
        _ask_all(engine)
    assert len(asked) >= 12
    for statement, parameters in asked:
        with engine.connect() as connection:  # and what it changes is rolled back
            found = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
            )
            [plan] = found.scalar_one()
        assert max(_rows_read(plan["Plan"])) <= MOST_ROWS, (statement, plan)


MOST_ROWS = store.LATE_ROWS + 100
"""What the deny list reads again each time is the most."""
FILL = """
INSERT INTO users (sub, username)
SELECT 'sub-' || n, 'user-' || n FROM generate_series(1, 100000) n;
INSERT INTO randoms (num, min_value, max_value, owner_sub)
SELECT 1, 1, 6, 'sub-' || (1 + n % 1000) FROM generate_series(1, 100000) n;
-- Somebody with many, after all the others': the primary key looks like the way to the first.
INSERT INTO randoms (num, min_value, max_value, owner_sub)
SELECT 1, 1, 6, 'sub-2000' FROM generate_series(1, 20000) n;
INSERT INTO revocations (kind, value, issued_before, expires_at)
SELECT 'jti', 'jti-' || n, 1, 1000 + n FROM generate_series(1, 100000) n;
"""


class _Holder(NamedTuple):
    """Whose token it is."""

    sub: str
    username: str | None = None


def _ask_all(engine: Engine) -> None:
    """Ask everything that requests ask."""
    connections = Connections(engine)
    accounts.describe(connections, "sub-7", full_name="Seven")
    mine = OwnedRandoms(accounts.active_account(connections, _Holder("sub-7")), connections)
    first, *_ = mine.page(limit=20)
    mine.page(limit=20, after=50_000)
    mine.page(limit=20, offset=40)
    many = OwnedRandoms(accounts.active_account(connections, _Holder("sub-2000")), connections)
    many.page(limit=20)
    many.page(limit=20, offset=40)
    mine.redraw(first.id, max_value=9)
    mine.create(1, 6)
    mine.delete(first.id)
    accounts.remove(connections, "sub-9")
    with Session(engine) as session:
        projection.page(session, limit=100)
        projection.page(session, limit=100, after=50_000)
        projection.by_sub(session, "sub-7")
        projection.set_disabled(session, ["sub-8"], disabled=True)
        page = [
            DirectoryUser(f"sub-{n}", f"user-{n}", email=None, full_name=None, enabled=True)
            for n in range(1, 61)
        ]
        projection.compare(session, page)
    with engine.begin() as connection:
        store.newer_than(connection, 100_000, now=500)
        store.add(connection, [("sub", "sub-7", 1)], now=1010, expires_at=2_000_000)


def _rows_read(plan: dict[str, Any]) -> Iterator[float]:
    """Yield how many rows each step of a plan looked at, those that it threw away included."""
    thrown_away = sum(
        plan.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck")
    )
    yield (plan["Actual Rows"] + thrown_away) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from _rows_read(part)
