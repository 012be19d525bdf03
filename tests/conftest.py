"""Fixtures: Cognito on moto, a real PostgreSQL, an app, a user who can sign in.

Their names are those of the application that this one ports. What is different: the decoder is not
stubbed. Tokens are signed with the test pool's keys, and the app verifies them against a JWKS that
`responses` serves.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
import responses
from apiflask import APIFlask
from botocore.stub import Stubber
from dotenv import dotenv_values
from flask.testing import FlaskClient
from flask_migrate import upgrade
from hypothesis import settings as hypothesis_settings
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.orm import Session

from resource_server import create_app, database
from resource_server.database import Connections
from resource_server.emulator import gaps
from resource_server.emulator.server import EmulatorServer
from resource_server.emulator.state import DEMO_PASSWORD, EmulatorState
from resource_server.extensions import db
from resource_server.settings import Settings
from resource_server.testing import CognitoIdp, CognitoOptions, KitUser
from resource_server.triggers import pre_token_generation
from tests.documented import DocumentedClient
from tests.postgres import DisposablePostgres
from tests.redaction import SecretWatch

if TYPE_CHECKING:
    from resource_server.services import Services

# For `make fuzz`.
hypothesis_settings.register_profile("fuzz", max_examples=400, deadline=None)

REGION = "eu-west-2"
PASSWORD = "Str0ng-passw0rd!"
MANAGEMENT_PORT = 9464
MANAGEMENT_URL = f"http://localhost:{MANAGEMENT_PORT}"
"""Where a test client requests the metrics."""
CLIENT_SECRET = "test-client-secret-0123456789"

CHALLENGE = 'Bearer realm="resource_server"'
METADATA = 'resource_metadata="http://localhost/.well-known/oauth-protected-resource"'

both_databases = pytest.mark.parametrize("database_url", ["postgresql", "sqlite"], indirect=True)
"""Run a test on both databases: they give the same answers."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of this machine reach a test.

    Fixtures that make an app ask for it by name: pytest-flask makes `app` before what is autouse.
    """
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        if name.startswith("ratelimit_") and name != "ratelimit_storage_uri":
            # Tests sign in more often than people do; those of the limits set their own.
            monkeypatch.setenv(name.upper(), "1000000/second")


@pytest.fixture(scope="session")
def secret_watch() -> Iterator[SecretWatch]:
    """Sees every record of the session."""
    watch = SecretWatch((PASSWORD, CLIENT_SECRET, DEMO_PASSWORD))
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture(autouse=True)
def _no_secret_is_logged(secret_watch: SecretWatch) -> Iterator[None]:
    """Fail a test in which a secret came into a log."""
    secret_watch.reset()
    yield
    found = secret_watch.leaks()
    assert not found, "a secret was logged:\n" + "\n".join(found)


@pytest.fixture(scope="session", autouse=True)
def _read_aws_models_once() -> Iterator[None]:
    """Let all sessions of botocore share what they read from disk: half of a client's making."""
    loader = botocore.session.create_loader()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(botocore.session, "create_loader", lambda _path=None: loader)
        yield


@pytest.fixture(scope="session")
def aws_credentials() -> Iterator[None]:
    """Credentials that open nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture(scope="session")
def cognito_options() -> CognitoOptions:
    """What the kit's pool is like: a client with a secret, and the trigger that we ship."""
    return CognitoOptions(client_secret=CLIENT_SECRET, trigger=pre_token_generation.handler)


@pytest.fixture
def mock_cognito_client(aws_credentials: None, cognito_idp: CognitoIdp) -> CognitoIdp:
    """The kit's pool on moto, without users, under the name it has in the original."""
    return cognito_idp


@pytest.fixture
def jwks(
    mock_cognito_client: CognitoIdp, cognito_responses: responses.RequestsMock
) -> responses.RequestsMock:
    """The pool's JWKS, served by `responses`."""
    return cognito_responses


def _configured_postgres() -> str | None:
    """Read TEST_DATABASE_URL or RDS_* from the environment or .env.test."""
    found = dotenv_values(Path(__file__).parent.parent / ".env.test") | dict(os.environ)
    if found.get("TEST_DATABASE_URL"):
        return found["TEST_DATABASE_URL"]
    if host := found.get("RDS_HOSTNAME"):
        address = URL.create(
            "postgresql+psycopg2",
            username=found.get("RDS_USERNAME"),
            password=found.get("RDS_PASSWORD"),
            host=host,
            port=int(found.get("RDS_PORT") or 5432),
            database=found.get("RDS_DB_NAME"),
        )
        return address.render_as_string(hide_password=False)
    return None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL: the one that is configured, else a disposable one; migrated."""
    if url := _configured_postgres():
        _migrate(url)
        yield url
        return
    with DisposablePostgres() as server:
        _migrate(server.url)
        yield server.url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy."""
    file = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    _migrate(f"sqlite:///{file}")
    return file


def _migrate(url: str) -> None:
    app = create_app(
        {
            "AWS_REGION": REGION,
            "AWS_USER_POOL_ID": f"{REGION}_Migration",
            "AWS_COGNITO_APP_CLIENT_ID": "migration",
            "DATABASE_URL": url,
        }
    )
    with app.app_context():
        upgrade()
    close(app)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An SQLite database of the test's own, with its tables."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'test.sqlite')}"


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The database of a test: PostgreSQL, or SQLite where the test asks for both."""
    if getattr(request, "param", "postgresql") == "sqlite":
        url = request.getfixturevalue("sqlite_url")
    else:
        url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def app(
    clean_environment: None,
    mock_cognito_client: CognitoIdp,
    jwks: responses.RequestsMock,
    database_url: str,
) -> Iterator[APIFlask]:
    """An app on the test pool; what it writes is rolled back after the test."""
    settings = {**mock_cognito_client.settings, "DATABASE_URL": database_url}
    app = create_app({**settings, "MANAGEMENT_PORT": str(MANAGEMENT_PORT)})
    app.test_client_class = DocumentedClient
    with app.app_context():
        engines: dict[str | None, Engine | Connection] = db.engines  # type: ignore[assignment]
        engine = db.engine
    services: Services = app.extensions["resource_server"]
    with engine.connect() as connection, connection.begin() as transaction:
        # Sessions join the savepoint: their commits release it, and nothing outlives the test.
        connection.begin_nested()
        engines[None] = connection
        joined: Any = _Joined(connection)
        services.connections._engine = services.connections._committing = joined
        # A test's transaction is its own thread's.
        services.revocations._flight._spawn = lambda run: run()
        yield app
        transaction.rollback()
    engines[None] = engine
    close(app)


@pytest.fixture
def make_app(clean_environment: None) -> Iterator[Callable[[Mapping[str, str]], APIFlask]]:
    """Make further apps; their connections are closed after the test."""
    made = []

    def make(config: Mapping[str, str]) -> APIFlask:
        made.append(create_app(config))
        made[-1].test_client_class = DocumentedClient
        return made[-1]

    yield make
    for app in made:
        close(app)


@pytest.fixture
def make_service(
    mock_cognito_client: CognitoIdp,
    jwks: responses.RequestsMock,
    sqlite_url: str,
    make_app: Callable[[Mapping[str, str]], APIFlask],
) -> Callable[..., APIFlask]:
    """Make the service on SQLite with settings of a test's own."""

    def make(**settings: str) -> APIFlask:
        return make_app({**mock_cognito_client.settings, "DATABASE_URL": sqlite_url, **settings})

    return make


def close(app: APIFlask) -> None:
    """Close all connections of an app. One in use is waited for, or it would stay open.

    The deny list may still be read in the background.
    """
    services: Services = app.extensions["resource_server"]
    flight = services.revocations._flight._flight
    if flight is not None:
        flight.done.wait(10)
    database.dispose(app)


class _Joined:
    """In an engine's place: whatever is opened is a savepoint of the test's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a savepoint, to be released at the end."""
        with self._connection.begin_nested():
            yield self._connection

    begin = connect


@pytest.fixture
def connections(app: APIFlask) -> Connections:
    """The database as the app's stores see it."""
    mine: Services = app.extensions["resource_server"]
    return mine.connections


@pytest.fixture
def session(app: APIFlask) -> Iterator[Session]:
    """The database as the app sees it, beside the app's own sessions."""
    with app.app_context():
        connection = db.engine
    with Session(bind=connection) as session:
        yield session


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[EmulatorState]:
    """The emulator as `flask run` starts it, served by this process on a free port."""
    state = EmulatorState.new()
    state.port = 0
    server = EmulatorServer(state, tmp_path / "emulator.json")
    server.start()
    yield state
    server.stop()
    gaps.clock.reset()


@pytest.fixture
def stub(boto_client: Any) -> Iterator[Stubber]:
    """Cognito's scripted answers, for the client of the module; each must be asked for."""
    with Stubber(boto_client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def user(mock_cognito_client: CognitoIdp) -> KitUser:
    """Somebody who signed up and was confirmed."""
    return mock_cognito_client.add_user("test_user", PASSWORD)


@pytest.fixture
def token(client: FlaskClient, user: KitUser) -> str:
    """The user's access token, from a sign-in in which the trigger ran."""
    answer = client.post(
        "/users/login", data={"username": user.username, "password": user.password}
    )
    assert answer.status_code == 200, answer.json
    access_token = answer.json["access_token"]
    assert isinstance(access_token, str)
    return access_token


def other_than(code: str) -> str:
    """Return six digits that are not these."""
    return f"{(int(code) + 1) % 10**6:06}"


def without_aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 find no credentials anywhere."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def first_challenge(client: FlaskClient, cognito: CognitoIdp) -> dict[str, Any]:
    """Sign in as a user `new`, whom an administrator created with a temporary password.

    Return the challenge NEW_PASSWORD_REQUIRED.
    """
    cognito.client.admin_create_user(
        UserPoolId=cognito.pool_id,
        Username="new",
        TemporaryPassword=PASSWORD,
        MessageAction="SUPPRESS",
    )
    sign_in = {"username": "new", "password": PASSWORD}
    asked = client.post("/users/login", data=sign_in).json
    assert asked is not None
    return dict(asked)
