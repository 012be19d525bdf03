"""The database away, back, slow, and asked for by everybody at once."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import pytest
import responses
from apiflask import APIFlask
from flask_migrate import downgrade, upgrade
from flask_migrate.cli import db as db_commands  # type: ignore[import-not-found]
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from resource_server import sqlstates
from resource_server.database import Connections, NotResponding, migration_engine
from resource_server.extensions import db
from resource_server.identity.directory import DirectoryUser
from resource_server.randoms.store import OwnedRandoms
from resource_server.revocations import store
from resource_server.services import Services, services
from resource_server.settings import SettingsError, load_settings
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users import accounts, projection
from tests.conftest import REGION
from tests.holders import Holder
from tests.postgres import DisposablePostgres

MakeApp = Callable[[Mapping[str, str]], APIFlask]
ROOT = Path(__file__).parent.parent
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
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
    """The app retries it on a new connection, and the log says so."""
    end_connections(control)
    assert app.test_client().open("/randoms", method=method, headers=headers).status_code == 200
    assert [r.getMessage() for r in caplog.records if r.name.endswith(".database")] == [
        "a database connection was lost: the app retries the request"
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


# A server that does not respond

LIMIT = {"DB_STATEMENT_TIMEOUT_SECONDS": "0.5"}
needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lists a process's children in /proc"
)


@pytest.fixture
def limited(make_app: MakeApp, config: dict[str, str], headers: dict[str, str]) -> APIFlask:
    """An app with a connection in the pool, and a short limit for a statement."""
    limited = make_app({**config, **LIMIT})
    assert limited.test_client().get("/randoms", headers=headers).status_code == 200
    return limited


def _driver_of(error: BaseException | None) -> str:
    return type(getattr(error, "orig", error)).__name__


@needs_linux
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_on_a_stopped_server_is_503_within_the_limits(
    limited: APIFlask, headers: dict[str, str], server: DisposablePostgres, method: str
) -> None:
    """The server cannot apply its own limit. The pooled connection is replaced afterwards."""
    client = limited.test_client()
    body = BOUNDS if method == "POST" else None
    with server.stopped():
        started = time.monotonic()
        answer = client.open("/randoms", method=method, headers=headers, json=body)
        assert time.monotonic() - started < 10
        assert (answer.status_code, answer.json) == (503, AWAY)
        assert int(answer.headers["Retry-After"]) >= 1
        assert engine_of(limited).pool.checkedout() == 0  # type: ignore[attr-defined]
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json["missing"] == ["database"]
    assert client.get("/randoms", headers=headers).status_code == 200


@needs_linux
@pytest.mark.parametrize("call", ["commit", "rollback", "execute", "executemany", "pool"])
def test_every_call_on_a_connection_has_an_end(
    limited: APIFlask, server: DisposablePostgres, call: str
) -> None:
    """COMMIT, ROLLBACK, statements, lists of them, and the emptying of a pool."""
    with limited.app_context():
        engine = db.engine
    connection = engine.connect()
    connection.execute(text("CREATE TEMPORARY TABLE kept (n INT)"))
    statement = text("DELETE FROM kept WHERE n = :n")
    calls: dict[str, Callable[[], object]] = {
        "commit": connection.commit,
        "rollback": connection.rollback,
        "execute": lambda: connection.execute(text("SELECT 1")),
        "executemany": lambda: connection.execute(statement, [{"n": 1}, {"n": 2}]),
        "pool": engine.dispose,
    }
    with server.stopped():
        if call == "pool":
            calls[call]()
            connection.invalidate()
        else:
            with pytest.raises(OperationalError) as caught:
                calls[call]()
            assert _driver_of(caught.value) == "NoResponse"
            assert caught.value.connection_invalidated
    connection.close()


def test_long_work_is_not_cut(limited: APIFlask) -> None:
    """A list of parameters gets the limit for each of them, as the server gives it."""
    with limited.app_context(), db.engine.connect() as connection:
        statement = text("SELECT pg_sleep(:seconds)")
        connection.execute(statement, [{"seconds": 0.25}] * 7)


def test_a_connection_that_was_cut_does_not_close_the_file_of_another(limited: APIFlask) -> None:
    """The descriptor that is shut down is the connection's own, and closed with it."""
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        engine = engine_of(limited)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
    assert len(list(Path("/dev/fd").iterdir())) <= before


def test_one_caller_at_a_time_tries_a_database_that_does_not_respond(limited: APIFlask) -> None:
    """The others fail at once, so that threads are left for what needs no database."""
    connections: Connections = limited.extensions["resource_server"].connections
    lost = connections._responsiveness
    assert lost is not None
    lost.timed_out = time.monotonic()
    with connections.autocommit() as first:
        for opened in (connections.autocommit, connections.transaction):
            with pytest.raises(NotResponding), opened():
                pass
        assert first.execute(text("SELECT 1")).scalar_one() == 1
    assert not lost.is_lost
    with connections.autocommit() as one, connections.autocommit() as other:
        assert one is not other


@pytest.mark.parametrize("opened", ["autocommit", "transaction"])
def test_the_database_never_holds_all_threads(
    make_app: MakeApp, config: dict[str, str], headers: dict[str, str], opened: str
) -> None:
    """Until a stopped server or a lock is known, one thread is left: 503, and /healthz is 200."""
    app = make_app({**config, "GUNICORN_THREADS": "3"})
    client = app.test_client()
    assert client.get("/randoms", headers=headers).status_code == 200
    found = services_of(app)
    with getattr(found.connections, opened)(), found.connections.autocommit():
        refused = client.get("/randoms", headers=headers)
        assert (refused.status_code, refused.json) == (503, AWAY)
        assert int(refused.headers["Retry-After"]) >= 1
        assert client.get("/healthz").status_code == 200
        found.revocations._read()  # in a thread of its own, which serves no request
    assert client.get("/randoms", headers=headers).status_code == 200


def test_a_slow_statement_among_others_stops_nobody(limited: APIFlask) -> None:
    """The database counts as lost only if no call succeeded since this one began."""
    connections: Connections = limited.extensions["resource_server"].connections
    lost = connections._responsiveness
    assert lost is not None
    with connections.autocommit() as connection:
        driver: Any = connection.connection.dbapi_connection
        with pytest.raises(OperationalError):
            connection.execute(text("SELECT pg_sleep(20)"))
        assert lost.timed_out == driver.began
        assert lost.is_lost
        lost.answered = driver.began + 0.001
        assert not lost.is_lost


# Where the limits come from


@pytest.mark.parametrize("how", ["options", "set", "role"])
def test_limits_come_from_where_the_setting_says(
    make_app: MakeApp, config: dict[str, str], control: Engine, how: str
) -> None:
    """By `options` at the start, by SET on a new connection, or only by the role."""
    app = make_app({**config, "DB_LIMITS": how, "DB_STATEMENT_TIMEOUT_SECONDS": "3"})
    with engine_of(app).connect() as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("statement_timeout", "lock_timeout")
        ]
        driver: Any = connection.connection.dbapi_connection
        sent = driver.get_dsn_parameters()
    assert found == (["0", "0"] if how == "role" else ["3s", "2s"])
    assert bool(sent.get("options")) is (how == "options")
    assert driver.limit == 4


@pytest.mark.parametrize("value", ["SET", "none", "options,set"])
def test_limits_come_from_nowhere_else(config: dict[str, str], value: str) -> None:
    """Another value stops the service at its start."""
    with pytest.raises(SettingsError, match="DB_LIMITS"):
        load_settings({**config, "DB_LIMITS": value})


def test_without_start_up_parameters_the_address_still_counts(
    make_app: MakeApp, config: dict[str, str]
) -> None:
    """SET does not take back what DATABASE_URL itself sets."""
    url = f"{config['DATABASE_URL']}&options=-cstatement_timeout%3D7s"
    app = make_app({**config, "DATABASE_URL": url, "DB_LIMITS": "set"})
    with engine_of(app).connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "7s"
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "2s"
        driver: Any = connection.connection.dbapi_connection
    assert driver.limit == 8


# A failover


def test_connections_to_a_reader_are_dropped_at_the_first_answer(
    app: APIFlask, headers: dict[str, str], control: Engine
) -> None:
    """Pooled connections lead to a standby: one write is 503, the next finds the primary."""
    client = app.test_client()
    with app.app_context():
        engines = [db.engines["AUTOCOMMIT"], db.engine]
    for engine in engines:
        with engine.connect() as connection:
            _make_reader(connection)
    refused = client.post("/randoms", headers=headers, json=BOUNDS)
    assert (refused.status_code, refused.json) == (503, AWAY)
    assert int(refused.headers["Retry-After"]) >= 1
    assert client.post("/randoms", headers=headers, json=BOUNDS).status_code == 201
    for engine in engines:
        with engine.connect() as connection:
            assert connection.execute(text("SHOW transaction_read_only")).scalar_one() == "off"


def test_readiness_knows_a_read_only_server(
    make_app: MakeApp, config: dict[str, str], app: APIFlask, headers: dict[str, str]
) -> None:
    """A standby is not ready. Connections to an old primary are replaced first."""
    options = "options=-cdefault_transaction_read_only%3Don"
    standby = make_app({**config, "DATABASE_URL": f"{config['DATABASE_URL']}&{options}"})
    answer = standby.test_client().get("/readyz")
    assert answer.status_code == 503
    assert "writable_database" in (answer.json or {})["missing"]
    with engine_of(app).connect() as connection:
        _make_reader(connection)
    assert app.test_client().get("/readyz").status_code == 200


def test_readiness_waits_for_the_list_of_revoked_tokens(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that never read it would respond to every token with 503."""
    reading: list[Callable[[], None]] = []
    monkeypatch.setattr(services_of(app).revocations._flight, "_spawn", reading.append)
    client = app.test_client()
    assert "revocations" in (client.get("/readyz").json or {})["missing"]
    [read] = reading
    read()
    assert "revocations" not in (client.get("/readyz").json or {}).get("missing", ())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://app:hidden@127.0.0.1:1/app", "The database is unavailable"),
        (None, "The database is not migrated"),
    ],
)
def test_a_token_hears_what_the_database_lacks(
    *,
    make_app: MakeApp,
    config: dict[str, str],
    jwks: responses.RequestsMock,
    cognito_pool: CognitoPool,
    caplog: pytest.LogCaptureFixture,
    url: str | None,
    told: str,
) -> None:
    """The response does not blame a list. The log says what to do, without the statement."""
    client = make_app({**config, "DATABASE_URL": url or config["DATABASE_URL"]}).test_client()
    answer = client.get("/users/me", headers=bearer(cognito_pool.access_token(scope="me")))
    assert (answer.status_code, answer.json) == (503, {"detail": told})
    assert "SELECT" not in caplog.text


def services_of(app: APIFlask) -> Services:
    """Return what an app works with."""
    found: Services = app.extensions["resource_server"]
    return found


def test_a_read_that_must_write_finds_the_primary(
    app: APIFlask, headers: dict[str, str], cognito_pool: CognitoPool
) -> None:
    """A GET that makes a new user's row is processed again on a new connection."""
    with engine_of(app).connect() as connection:
        _make_reader(connection)
    new = bearer(cognito_pool.access_token(scope="me randoms"))
    assert app.test_client().get("/randoms", headers=new).status_code == 200


def _make_reader(connection: Connection) -> None:
    cursor = connection.connection.cursor()
    cursor.execute("SET default_transaction_read_only = on")
    connection.connection.commit()


def test_a_deadlock_is_no_error_of_a_read(app: APIFlask) -> None:
    """The server ended one of two transactions: a read is processed again."""
    calls = []

    @app.get("/unlucky")
    def unlucky() -> str:
        calls.append(1)
        if len(calls) == 1:
            db.session.execute(text("DO $$BEGIN RAISE 'x' USING ERRCODE = '40P01'; END$$"))
        return "lucky"

    assert app.test_client().get("/unlucky").text == "lucky"


@pytest.mark.parametrize(
    ("code", "logged", "passes"),
    [
        ("55P03", "a lock for longer than DB_LOCK_TIMEOUT_SECONDS", True),
        ("57014", "longer than DB_STATEMENT_TIMEOUT_SECONDS", True),
        ("25006", "read-only", True),
        ("53300", "no connection left", True),
        ("53100", "disk or memory is full", True),
        ("57P01", "ended the connection", True),
        ("57P03", "starting, stopping or recovering", True),
        ("08006", "failed or was lost", True),
        ("40001", "because of another one", True),
        ("28P01", "rejected the user or the password", False),
        ("3D000", "does not exist", False),
        ("42501", "lacks a privilege", False),
        ("42P01", "flask db upgrade", False),
    ],
)
def test_the_log_tells_the_servers_errors_apart(
    app: APIFlask, caplog: pytest.LogCaptureFixture, *, code: str, logged: str, passes: bool
) -> None:
    """By SQLSTATE and a sentence that says what to do, without what was sent."""

    @app.post("/broken")
    def broken() -> str:
        statement = f"DO $$BEGIN RAISE 'of a value' USING ERRCODE = '{code}'; END$$"
        db.session.execute(text(statement))
        return "done"

    answer = app.test_client().post("/broken")
    assert answer.status_code == 503
    assert ("Retry-After" in answer.headers) is passes
    [record] = [record for record in caplog.records if record.name.endswith(".problems")]
    assert logged in record.getMessage()
    fields: Any = record.__dict__["fields"]
    assert fields["sqlstate"] == code
    assert "of a value" not in f"{record.getMessage()} {fields} {record.exc_info}"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("FATAL:  sorry, too many clients already", "53300"),
        ("FATAL:  remaining connection slots are reserved for non-replication", "53300"),
        ('FATAL:  too many connections for role "app"', "53300"),
        ("FATAL:  the database system is starting up", "57P03"),
        ("FATAL:  the database system is in recovery mode", "57P03"),
        ('FATAL:  password authentication failed for user "app"', "28P01"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "28000"),
        ('FATAL:  database "app" does not exist', "3D000"),
        ("FATAL:  unsupported startup parameter: options", "0A000"),
        ("RDS Proxy currently doesn't support command-line options", "0A000"),
        ("could not translate host name", None),
    ],
)
def test_a_failed_connection_is_known_by_its_message(message: str, code: str | None) -> None:
    """The driver has no SQLSTATE for it."""
    assert sqlstates.code_of(psycopg2.OperationalError(message)) == code


def test_an_error_of_a_statement_of_ours_shows_no_value(
    app: APIFlask, caplog: pytest.LogCaptureFixture
) -> None:
    """500. The log has the trace, and neither the parameters nor the server's text."""

    @app.get("/broken")
    def broken() -> str:
        db.session.execute(text("SELECT CAST(:sent AS INT)"), {"sent": "a secret of ours"})
        return "done"

    answer = app.test_client().get("/broken")
    assert answer.status_code == 500
    [record] = [record for record in caplog.records if record.name.endswith(".problems")]
    fields: Any = record.__dict__["fields"]
    assert fields["sqlstate"] == "22P02"
    assert "in broken" in fields["exception"]
    assert VALUE not in caplog.text + str(fields)


VALUE = "a value that was sent"


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
    outputs = [process.communicate(timeout=120)[0].decode() for process in processes]
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


@pytest.mark.parametrize("how", ["options", "set", "role"])
def test_a_migration_leaves_nothing_on_its_connections(
    make_app: MakeApp, config: dict[str, str], how: str
) -> None:
    """A pooler gives them to others: no lock, no limit, as a look at each says before it closes."""
    app = make_app({**config, "DB_LIMITS": how})
    left = []
    sent = []

    def look(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, setting FROM pg_settings WHERE source = 'session' "
                "AND name <> 'transaction_isolation' UNION ALL "  # this transaction's own
                "SELECT locktype, mode FROM pg_locks WHERE pid = pg_backend_pid() "
                "AND locktype = 'advisory'"
            )
            left.append(cursor.fetchall())

    def note(*told: Any) -> None:
        sent.append(told[2])

    with (
        _listening(NullPool, "close", look),
        _listening(Engine, "before_cursor_execute", note),
        app.app_context(),
    ):
        upgrade()
        downgrade(revision="0001")
    assert len(left) == 4  # two connections each: the lock's, the work's
    assert [entry for entry in left if entry] == []
    assert any("pg_try_advisory_xact_lock" in statement for statement in sent)
    session = re.compile(
        r"SET (?!LOCAL)|pg_(try_)?advisory_lock|LISTEN|PREPARE|TEMP", re.IGNORECASE
    )
    kept = [statement for statement in sent if session.match(statement)]
    assert kept == []


def test_a_migration_has_no_limit_but_for_locks(
    make_app: MakeApp, config: dict[str, str], control: Engine
) -> None:
    """The role's own limit does not hold, either: an index takes as long as it takes."""
    with control.connect() as connection:
        connection.execute(text("ALTER ROLE postgres SET statement_timeout = '900ms'"))
    app = make_app({**config, "DB_LIMITS": "role"})
    try:
        with app.app_context():
            engine = migration_engine(services().settings)
        with engine.connect() as connection:
            found = [
                connection.execute(text(f"SHOW {name}")).scalar_one()
                for name in ("statement_timeout", "lock_timeout")
            ]
    finally:
        with control.connect() as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("ALTER ROLE postgres RESET statement_timeout"))
    assert found == ["0", "2s"]


@pytest.fixture
def readable_path() -> Iterator[Path]:
    """A folder that other users can read, as pgbouncer does, which refuses to run as root."""
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
def test_migrations_go_through_a_pooler_in_transaction_mode(
    url: str, control: Engine, readable_path: Path
) -> None:
    """With PgBouncer in between, the next client of its connections finds nothing."""
    address = make_url(url)
    port = _free_port()
    (readable_path / "users.txt").write_text('"postgres" ""\n')
    (readable_path / "pgbouncer.ini").write_text(
        f"[databases]\napp = host={address.query['host']} port=5432 dbname=app user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {readable_path}/users.txt\npool_mode = transaction\n"
        "default_pool_size = 2\n"
    )
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    pooled = f"postgresql+psycopg2://postgres@127.0.0.1:{port}/app"
    environment = {**POOL, "DATABASE_URL": pooled, "DB_LIMITS": "role", "FLASK_APP": "wsgi"}
    pooler = subprocess.Popen(
        [str(PGBOUNCER), str(readable_path / "pgbouncer.ini")],
        user=user,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_port(port, pooler)
        done = subprocess.run(
            [sys.executable, "-m", "flask", "db", "upgrade"],
            cwd=ROOT,
            env={**environment, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        engine = create_engine(pooled, poolclass=NullPool)
        with engine.connect() as one, engine.connect() as other:  # both of the pooler's
            for connection in (one, other):
                assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "0"
                assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"
        with control.connect() as connection:
            locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            assert connection.execute(locks).scalar_one() == 0
    finally:
        pooler.terminate()
        pooler.wait(10)
    assert rows(control) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert server.poll() is None, "it ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)


# What `flask db` says


def _flask_db(app: APIFlask, *arguments: str) -> tuple[int, str]:
    """Run a command, and return its status and all that it wrote."""
    result = app.test_cli_runner().invoke(db_commands, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_flask_db_says_what_it_did(make_app: MakeApp, config: dict[str, str]) -> None:
    """From which revision to which, in which database, without user and password."""
    app = make_app(config)
    place = "the database app on the local socket"
    for command, done in (
        (("upgrade",), f"Upgraded {place} from no tables to 0004.\n"),
        (("upgrade",), f"Nothing to do: {place} is already at 0004.\n"),
        (("downgrade", "0001"), f"Downgraded {place} from 0004 to 0001.\n"),
        (("stamp", "0004"), f"Marked {place} from 0001 to 0004.\n"),
    ):
        assert _flask_db(app, *command) == (0, f"Database   {place}\n{done}")
    assert _flask_db(app, "current")[0] == 0


@pytest.mark.parametrize("on", ["postgresql", "sqlite"])
def test_an_older_release_leaves_the_tables_of_a_later_one(
    make_app: MakeApp,
    config: dict[str, str],
    sqlite_url: str,
    caplog: pytest.LogCaptureFixture,
    on: str,
) -> None:
    """A rollback runs `flask db upgrade`, which must not stop it. What it cannot do it says."""
    if on == "sqlite":
        config = {**config, "DATABASE_URL": sqlite_url}
    app = make_app(config)
    with app.app_context():
        upgrade()
        db.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        db.session.commit()
    status, said = _flask_db(app, "upgrade")
    assert status == 0
    assert "a later release (9999)" in said
    assert _flask_db(app, "current") == (0, "9999 (a later release)\n")
    for command in ("downgrade", "check"):
        caplog.clear()
        assert _flask_db(app, command)[0] == 1
        assert "Use that release for this command" in caplog.text


@pytest.mark.parametrize("command", ["upgrade", "downgrade", "current", "check"])
def test_flask_db_says_in_a_sentence_why_it_cannot(
    make_app: MakeApp, config: dict[str, str], command: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a trace, and without the password."""
    app = make_app({**config, "DATABASE_URL": "postgresql://app:hidden@127.0.0.1:1/app"})
    assert _flask_db(app, command)[0] == 1
    assert "The connection failed or was lost" in caplog.text
    assert "the database app on 127.0.0.1:1" in caplog.text
    assert "hidden" not in caplog.text
    assert "Traceback" not in caplog.text


def test_flask_db_tells_the_set_up_apart(
    make_app: MakeApp, config: dict[str, str], control: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """No such database, no privilege, a read-only server, a lock that is held."""

    def said(url: str) -> str:
        caplog.clear()
        settings = {**config, "DATABASE_URL": url, "DB_LOCK_TIMEOUT_SECONDS": "0.1"}
        assert _flask_db(make_app(settings), "upgrade")[0] == 1
        return caplog.text

    url = config["DATABASE_URL"]
    assert "does not exist" in said(url.replace("/app?", "/nowhere?"))
    assert "read-only" in said(f"{url}&options=-cdefault_transaction_read_only%3Don")
    with control.connect() as connection:
        connection.execute(text("DROP ROLE IF EXISTS guest"))
        connection.execute(text("CREATE ROLE guest LOGIN"))
    assert "lacks a privilege" in said(url.replace("postgres@", "guest@"))
    with make_app(config).app_context():
        upgrade(revision="0002")
        with db.engine.begin() as connection:
            connection.execute(text("LOCK TABLE randoms IN ACCESS EXCLUSIVE MODE"))
            assert "Another transaction held a lock" in said(url)


def _another_migration(control: Engine) -> Connection:
    engine = create_engine(control.url.set(database="app"), poolclass=NullPool)
    connection = engine.connect()
    connection.execute(text("SELECT pg_advisory_lock(7263150941)"))
    return connection


# Indexes


def test_no_query_of_a_request_reads_a_whole_table(app: APIFlask, control: Engine) -> None:
    """With 100,000 rows in each table, whatever a request does looks at two hundred at the most.

    Left out: the first reading of the deny list, which is all of it, and `projection.named`, by
    which an administrator's command finds a user by name.
    """
    engine = engine_of(app)
    # On a connection without the app's limits: a busy machine takes longer than a request may.
    filling = create_engine(
        control.url.set(database="app"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    with filling.connect() as connection:
        connection.execute(text(FILL))
        connection.execute(text("VACUUM ANALYZE"))  # as PostgreSQL does by itself
    with filling.begin() as connection:
        _, position = store.read(connection, None, now=2_000_000)
    asked: list[tuple[str, Any]] = []

    def note(*event: Any) -> None:
        _, _, statement, parameters, _, executemany = event
        asked.append((statement, parameters[0] if executemany else parameters))

    with _listening(engine, "before_cursor_execute", note):
        _ask_all(engine, position)
    assert len(asked) >= 12
    for statement, parameters in asked:
        with engine.connect() as connection:  # and what it changes is rolled back
            found = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
            )
            [plan] = found.scalar_one()
        assert max(_rows_read(plan["Plan"])) <= MOST_ROWS, (statement, plan)


MOST_ROWS = 200
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


def _ask_all(engine: Engine, position: store.Position) -> None:
    """Ask everything that requests ask."""
    connections = Connections(engine)
    seven = Holder("sub-7")
    accounts.describe(connections, seven, full_name="Seven")
    mine = OwnedRandoms(seven, connections)
    accounts.active_account(connections, seven)
    first, *_ = mine.page(limit=20)
    mine.page(limit=20, after=50_000)
    mine.page(limit=20, offset=40)
    many = OwnedRandoms(Holder("sub-2000"), connections)
    many.page(limit=20)
    many.page(limit=20, offset=40)
    mine.redraw(first.id, max_value=9)
    mine.create(1, 6)
    mine.delete(first.id)
    with engine.begin() as connection:
        accounts.remove(connection, "sub-9")
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
        store.read(connection, position, now=500)
        store.add(connection, [store.Entry("sub", "sub-7", 1, 2_000_000)], now=1010)


def _rows_read(plan: dict[str, Any]) -> Iterator[float]:
    """Yield how many rows each step of a plan looked at, those that it threw away included."""
    thrown_away = sum(
        plan.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck")
    )
    yield (plan["Actual Rows"] + thrown_away) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from _rows_read(part)
