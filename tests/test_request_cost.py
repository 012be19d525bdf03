"""What a request costs, counted instead of timed: statements, calls, imports, keys parsed.

The figures are those of docs/performance.md. Whoever raises one finds out here, on any machine.
"""

import builtins
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import responses
from apiflask import APIFlask
from flask import request_finished
from flask.testing import FlaskClient
from sqlalchemy import delete, event
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from resource_server import create_app
from resource_server.extensions import db
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users.models import User
from tests.conftest import close

# Calls of Python and C functions for one request: what Python 3.11 takes, and some more. Python
# 3.13 makes twice as many to see that a function is not async. Flask looks that up five times.
MOST_CALLS = {"GET /randoms": 1150, "POST /randoms": 1420, "GET /healthz": 760}
BOUNDS = {"min_value": 1, "max_value": 6}


@pytest.fixture
def served(
    mock_cognito_client: CognitoIdp, jwks: responses.RequestsMock, postgres_url: str
) -> Iterator[APIFlask]:
    """An app as it is in production, with connections and commits of its own."""
    app = create_app({**mock_cognito_client.settings, "DATABASE_URL": postgres_url})
    yield app
    with app.app_context():
        db.session.execute(delete(User))
        db.session.commit()
    close(app)


@pytest.fixture
def owner(served: APIFlask, cognito_pool: CognitoPool) -> dict[str, str]:
    """Somebody with 20 numbers, whose requests are warm: nothing happens for the first time."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    client = served.test_client()
    for _ in range(20):
        assert client.post("/randoms", headers=headers, json=BOUNDS).status_code == 201
    assert len(client.get("/randoms?limit=20", headers=headers).json or ()) == 20
    return headers


@contextmanager
def _statements(app: APIFlask) -> Iterator[list[bool]]:
    """List statements as they are sent: whether each was sent outside a transaction."""
    sent: list[bool] = []

    def note(connection: Any, _cursor: object, statement: str, *_: object) -> None:
        if "txid_snapshot_xmin" not in statement:  # read in the background, once a second
            sent.append(connection.connection.dbapi_connection.autocommit)

    with app.app_context():
        engines = list(db.engines.values())
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield sent
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def _ask(
    client: FlaskClient, headers: Mapping[str, str], method: str, path: str, json: object = None
) -> int:
    return client.open(path, method=method, headers=headers, json=json).status_code


@pytest.mark.parametrize(
    ("asked", "body", "status", "round_trips"),
    [
        ("GET /randoms", None, 200, 1),
        ("GET /randoms?limit=5&offset=5", None, 200, 1),
        ("GET /randoms/{id}", None, 200, 1),
        ("POST /randoms", BOUNDS, 201, 1),
        ("PATCH /randoms/{id}", {"max_value": 9}, 200, 2),
        ("DELETE /randoms/{id}", None, 204, 1),
        ("GET /randoms/9999999999", None, 404, 2),
        ("GET /users/me", None, 200, 1),
        ("GET /randoms?limit=0", None, 422, 0),
        ("GET /healthz", None, 200, 0),
    ],
)
def test_a_request_takes_so_many_round_trips(
    served: APIFlask,
    owner: dict[str, str],
    *,
    asked: str,
    body: object,
    status: int,
    round_trips: int,
) -> None:
    """One statement each, and no BEGIN, COMMIT or ROLLBACK around it."""
    client = served.test_client()
    method, path = asked.split()
    item = (client.get("/randoms?limit=1", headers=owner).json or [{}])[0]
    if path == "/users/me":
        _ask(client, owner, method, path)  # the first time it asks the directory for an address
    with _statements(served) as sent:
        assert _ask(client, owner, method, path.format(**item), body) == status
    assert sent == [True] * round_trips


def test_somebody_new_takes_more_round_trips_once(
    served: APIFlask, cognito_pool: CognitoPool
) -> None:
    """Insert, look for the account, lock and make it, look again, insert. After that one."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    client = served.test_client()
    for expected in (6, 1):
        with _statements(served) as sent:
            assert _ask(client, headers, "POST", "/randoms", BOUNDS) == 201
        assert len(sent) == expected


@contextmanager
def _calls() -> Iterator[Counter[str]]:
    """Count the calls of functions, by where they are written."""
    made: Counter[str] = Counter()

    def note(frame: FrameType, what: str, called: Any) -> None:
        if what == "call":
            made[f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"] += 1
        elif what == "c_call":
            made[f"C:{getattr(called, '__qualname__', called)}"] += 1

    sys.setprofile(note)
    try:
        yield made
    finally:
        sys.setprofile(None)


def _request(
    app: APIFlask,
    headers: Mapping[str, str],
    method: str,
    path: str,
    body: Mapping[str, int] | None = None,
) -> Callable[[], str]:
    """Prepare a request; calling the result is what the server does, and returns the status."""
    environ = EnvironBuilder(path, method=method, headers=Headers(headers), json=body).get_environ()

    def run() -> str:
        return run_wsgi_app(app.wsgi_app, environ.copy())[1]

    return run


@pytest.mark.parametrize("asked", MOST_CALLS)
def test_a_request_takes_so_many_calls(served: APIFlask, owner: dict[str, str], asked: str) -> None:
    """Logs, metrics and the token's check included."""
    method, path = asked.split()
    body = BOUNDS if method == "POST" else None
    _request(served, owner, method, path, body)()
    run = _request(served, owner, method, path, body)
    with request_finished.muted(), _calls() as made:  # the tests themselves read each answer
        status = run()
    assert status[0] == "2"
    assert made.total() <= MOST_CALLS[asked], made.most_common(30)


def test_nothing_is_imported_and_no_key_parsed_for_a_request(
    served: APIFlask,
    owner: dict[str, str],
    cognito_pool: CognitoPool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for a token that was seen before, nor for one that was not."""
    imported: list[str] = []
    real = builtins.__import__

    def noting(name: str, *more: Any) -> Any:
        imported.append(name)
        return real(name, *more)

    tokens = [cognito_pool.access_token(scope="me randoms") for _ in range(2)]
    asked = [owner, *map(bearer, tokens)]
    requests = [_request(served, headers, "GET", "/randoms?limit=20") for headers in asked]
    requests.append(_request(served, owner, "POST", "/randoms", BOUNDS))
    requests[1]()  # somebody new, too, is met by now, but the third
    monkeypatch.setattr(builtins, "__import__", noting)
    with _calls() as made:
        statuses = [run()[:3] for run in requests]
    monkeypatch.undo()
    assert statuses == ["200", "200", "200", "201"]
    # psycopg2's C code looks datetime up for each cursor, werkzeug typing on some Pythons.
    assert set(imported) <= {"datetime", "typing"}
    assert not [name for name in made if "public_key" in name or "PublicNumbers" in name]
    assert [name for name in made if "RSAPublicKey.verify" in name]
