"""The app as a whole: two side by side, parts away, many at once."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from apiflask import APIFlask
from flask import current_app
from flask.testing import FlaskClient
from flask_migrate import downgrade, upgrade
from sqlalchemy import create_engine, select, text

from resource_server import create_app
from resource_server.auth import current_principal, presented_token, require_scope
from resource_server.database import Connections, heads, revisions
from resource_server.extensions import db
from resource_server.randoms.models import RandomNumber
from resource_server.randoms.store import BoundsOutOfOrder, Drawn, OwnedRandoms
from resource_server.services import services
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users.models import User
from tests.conftest import both_databases, close
from tests.documented import DocumentedClient
from tests.holders import Holder

MakeApp = Callable[[Mapping[str, str]], APIFlask]


@pytest.fixture
def committed_app(
    mock_cognito_client: CognitoIdp, jwks: responses.RequestsMock, database_url: str
) -> Iterator[APIFlask]:
    """An app whose transactions are real, for what happens at once; its rows are deleted after."""
    app = create_app({**mock_cognito_client.settings, "DATABASE_URL": database_url})
    app.test_client_class = DocumentedClient
    yield app
    with app.app_context():
        db.session.execute(text("DELETE FROM users"))
        db.session.commit()
    close(app)


def _at_once(count: int, action: Callable[[int], object]) -> list[object]:
    """Run an action in several threads that start together; an exception is a result, too."""
    barrier = threading.Barrier(count)
    results: list[object] = [None] * count

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = action(index)
        except Exception as error:  # noqa: BLE001 - told to the test
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return results


@both_databases
def test_a_users_first_requests_at_once_make_one_row(
    committed_app: APIFlask, cognito_pool: CognitoPool
) -> None:
    """Eight requests of a new user: eight times 201, one row, eight numbers."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    body = {"min_value": 1, "max_value": 6}

    def draw(_: int) -> int:
        return committed_app.test_client().post("/randoms", headers=headers, json=body).status_code

    assert _at_once(8, draw) == [201] * 8
    with committed_app.app_context():
        assert len(db.session.scalars(select(User)).all()) == 1
        assert len(db.session.scalars(select(RandomNumber)).all()) == 8


@both_databases
def test_changes_at_once_are_not_lost(committed_app: APIFlask, cognito_pool: CognitoPool) -> None:
    """Two clients change one bound each: both changes are there, and the bounds are in order."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    body = {"min_value": 0, "max_value": 1000}
    item = committed_app.test_client().post("/randoms", headers=headers, json=body).json

    def change(index: int) -> int:
        bound = {"min_value": 500} if index % 2 else {"max_value": 600}
        answer = committed_app.test_client().patch(
            f"/randoms/{item['id']}", headers=headers, json=bound
        )
        return answer.status_code

    assert _at_once(8, change) == [200] * 8
    changed = committed_app.test_client().get(f"/randoms/{item['id']}", headers=headers).json
    assert (changed["min_value"], changed["max_value"]) == (500, 600)
    assert 500 <= changed["num"] <= 600


def test_a_change_that_lost_a_race_begins_anew(connections: Connections) -> None:
    """When the bounds changed between reading and writing, the newer ones are what is checked."""
    ada = Holder("ada", "ada")
    item = OwnedRandoms(ada, connections).create(0, 10)

    class Interrupted(OwnedRandoms):
        interrupted = False

        def get(self, random_id: int) -> Drawn:
            number = super().get(random_id)
            if not self.interrupted:
                self.interrupted = True
                with connections.autocommit() as connection:
                    connection.execute(
                        text("UPDATE randoms SET min_value = 5, num = 10 WHERE id = :id"),
                        {"id": random_id},
                    )
            return number

    with pytest.raises(BoundsOutOfOrder):
        Interrupted(ada, connections).redraw(item.id, max_value=4)


def test_two_apps_do_not_share_anything(
    app: APIFlask,
    mock_cognito_client: CognitoIdp,
    cognito_pool: CognitoPool,
    sqlite_url: str,
    make_app: MakeApp,
) -> None:
    """Each app accepts its own client's tokens, whichever was made first."""
    other = make_app(
        {**mock_cognito_client.settings, "AWS_COGNITO_APP_CLIENT_ID": "another"}
        | {"DATABASE_URL": sqlite_url}
    )
    mine, theirs = cognito_pool.access_token(), cognito_pool.access_token(client_id="another")

    def status(app: APIFlask, token: str) -> int:
        answer = app.test_client().get("/users/me", headers=bearer(token))
        return answer.status_code

    # 403, not 401: the tokens are good, and carry no scope.
    assert (status(app, mine), status(app, theirs)) == (403, 401)
    assert (status(other, mine), status(other, theirs)) == (401, 403)


def test_keys_away_is_503_then_recovers(
    app: APIFlask, client: FlaskClient, jwks: responses.RequestsMock, cognito_pool: CognitoPool
) -> None:
    """A cold process without keys: 503 with Retry-After and no challenge; no 401, no 500."""
    headers = bearer(cognito_pool.access_token(scope="me"))
    jwks.replace(responses.GET, cognito_pool.jwks_uri, body=requests.ConnectionError())

    refused = client.get("/users/me", headers=headers)
    assert refused.status_code == 503
    assert refused.json == {"detail": "The keys to verify access tokens are unavailable"}
    assert int(refused.headers["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in refused.headers
    assert client.get("/users/me").status_code == 401, "a stranger is told so all the same"
    assert client.get("/readyz").json == {"status": "not ready", "missing": ["keys"]}


def test_one_download_serves_many_requests(
    client: FlaskClient, jwks: responses.RequestsMock, cognito_pool: CognitoPool
) -> None:
    """The JWKS is fetched once, not for each request as in the application this one ports."""
    headers = bearer(cognito_pool.access_token(scope="me"))
    for _ in range(5):
        assert client.get("/users/me", headers=headers).status_code == 200
    assert jwks.assert_call_count(cognito_pool.jwks_uri, 1)


def test_readiness_names_what_is_missing(
    client: FlaskClient, mock_cognito_client: CognitoIdp, tmp_path: Path, make_app: MakeApp
) -> None:
    """/readyz tells database and migrations apart; /healthz asks nobody."""
    _wait_for(lambda: client.get("/readyz").status_code == 200)
    assert client.get("/readyz").json == {"status": "ready"}

    def missing(url: str) -> Any:
        other = make_app({**mock_cognito_client.settings, "DATABASE_URL": url}).test_client()
        assert other.get("/healthz").json == {"status": "ok"}
        answer = other.get("/readyz")
        assert answer.status_code == 503
        return answer.json["missing"]

    assert "database" in missing("postgresql://x:x@127.0.0.1:1/x")
    assert "migrations" in missing(f"sqlite:///{tmp_path}/empty.sqlite")


def test_tables_of_a_later_release_are_ready_and_of_an_earlier_one_are_not(
    mock_cognito_client: CognitoIdp, tmp_path: Path, make_app: MakeApp
) -> None:
    """A release migrates before it replaces this one, which must serve until it is replaced."""
    url = f"sqlite:///{tmp_path}/x.sqlite"
    client = make_app({**mock_cognito_client.settings, "DATABASE_URL": url}).test_client()

    def missing() -> Any:
        return (client.get("/readyz").json or {}).get("missing")

    _wait_for(lambda: missing() == ["migrations"])
    with client.application.app_context():
        upgrade()
    _wait_for(lambda: missing() is None)
    for revision, expected in {"0001": ["migrations"], "9999": None}.items():
        with sqlite3.connect(tmp_path / "x.sqlite") as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
            connection.execute("DELETE FROM alembic_version")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        connection.close()
        assert missing() == expected


def test_revisions_are_alembics(app: APIFlask) -> None:
    """They are read without it, so that no worker has to load it."""
    with app.app_context():
        scripts = ScriptDirectory(current_app.extensions["migrate"].directory)
    known = {
        script.revision: script._versioned_down_revisions for script in scripts.walk_revisions()
    }
    assert revisions() == known
    assert heads() == set(scripts.get_heads())


def _wait_for(condition: Callable[[], bool]) -> None:
    """Wait for a thread of the app's."""
    event = threading.Event()
    for _ in range(500):
        if condition():
            return
        event.wait(0.01)
    pytest.fail("it did not happen")


@pytest.mark.parametrize("url", ["postgresql", "sqlite"])
def test_migrations_make_exactly_the_models(
    request: pytest.FixtureRequest, tmp_path: Path, url: str, mock_cognito_client: CognitoIdp
) -> None:
    """Nothing is left to autogenerate, and the way down works as well."""
    address = f"sqlite:///{tmp_path}/x.sqlite"
    schema = {}
    if url == "postgresql":
        address = request.getfixturevalue("postgres_url")
        schema = {"options": "-csearch_path=migrations_test"}
        with create_engine(address).begin() as connection:
            connection.execute(text("DROP SCHEMA IF EXISTS migrations_test CASCADE"))
            connection.execute(text("CREATE SCHEMA migrations_test"))
        address += ("&" if "?" in address else "?") + f"options={schema['options']}"
    app = create_app({**mock_cognito_client.settings, "DATABASE_URL": address})
    with app.app_context():
        upgrade()
        with db.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, db.metadata) == []
        downgrade(revision="base")
        upgrade()
    close(app)


def test_an_unforeseen_error_tells_nothing(
    app: APIFlask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer has the request id; the trace is in the log alone."""

    @app.get("/broken")
    def broken() -> dict[str, str]:
        raise RuntimeError("a secret of ours")

    answer = client.get("/broken", headers={"X-Request-ID": "find-me"})
    assert (answer.status_code, answer.json) == (500, {"detail": "Internal server error"})
    assert answer.headers["X-Request-ID"] == "find-me"
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert "a secret of ours" in str(record.exc_info[1])


def test_a_guarded_view_knows_who_asks(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """current_principal is the verified token; where nothing guards, asking is a clear error."""

    @app.get("/who")
    @require_scope()
    def who() -> dict[str, Any]:
        return {
            "sub": current_principal.sub,
            "groups": current_principal.groups,
            "scopes": sorted(current_principal.scopes),
            "same": presented_token() == token,
        }

    @app.get("/open")
    def unguarded() -> dict[str, str]:
        return {"sub": current_principal.sub}

    app.testing = True  # errors reach the test
    token = cognito_pool.access_token(sub="s-1", scope="b a", groups=["g"])
    answer = client.get("/who", headers=bearer(token))
    assert answer.json == {"sub": "s-1", "groups": ["g"], "scopes": ["a", "b"], "same": True}
    with pytest.raises(RuntimeError, match="require_scope"):
        client.get("/open", headers=bearer(token))


def test_the_principal_does_not_outlive_its_request(
    app: APIFlask, cognito_pool: CognitoPool
) -> None:
    """Even where one app context spans requests, as in pytest-flask, nobody inherits a user."""

    @app.get("/who")
    @require_scope()
    def who() -> dict[str, str]:
        return {"sub": current_principal.sub}

    @app.get("/open")
    def unguarded() -> dict[str, str]:
        return {"sub": current_principal.sub}

    app.testing = True  # errors reach the test
    client = app.test_client()
    with app.app_context():
        assert client.get("/who", headers=bearer(cognito_pool.access_token())).status_code == 200
        assert client.get("/who").status_code == 401
        with pytest.raises(RuntimeError):
            client.get("/open")


@pytest.mark.parametrize("scope", ['a"b', "a\\b", "ü", "a\x00"])
def test_a_scope_that_cannot_be_is_refused_at_once(scope: str) -> None:
    """A programmer's slip shows when the module is imported (RFC 6749 section 3.3)."""
    with pytest.raises(ValueError, match="scopes"):
        require_scope(scope)


def test_services_need_an_app_of_ours(app: APIFlask) -> None:
    """The error says what is wrong."""
    with app.app_context():
        assert services().settings.aws_region == "eu-west-2"
    with APIFlask("foreign").app_context(), pytest.raises(RuntimeError, match="create_app"):
        services()
