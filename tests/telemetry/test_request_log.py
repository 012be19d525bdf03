"""One line for each request: what it says, and what it never does."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from threading import Thread
from typing import Any

import pytest
import requests
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from resource_server import logs
from resource_server.database import Connections
from resource_server.telemetry.request_log import pseudonym
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users import accounts, projection
from tests.conftest import MANAGEMENT_URL

SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that is logged, from DEBUG on."""
    caplog.set_level(logging.DEBUG, logger="resource_server")
    return caplog


def records(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the records of requests themselves."""
    return [record for record in log.records if record.name == "resource_server.requests"]


def lines(log: pytest.LogCaptureFixture) -> Iterator[dict[str, object]]:
    """Read the lines about requests as a machine does."""
    for record in records(log):
        yield json.loads(logs.JSONFormatter().format(record))


def test_a_request_is_one_line(
    client: FlaskClient, cognito_pool: CognitoPool, log: pytest.LogCaptureFixture
) -> None:
    """Method, route, status, time, who by a hash, and the client; no path, query or body."""
    token = cognito_pool.access_token(sub=SUB, scope="me randoms")
    client.get("/randoms/7531?limit=8642", headers=bearer(token))
    [line] = lines(log)
    assert line["logger"] == "resource_server.requests"
    assert line["level"] == "INFO"
    assert line["message"] == "GET /randoms/<int:random_id> 404"
    assert (line["method"], line["status"]) == ("GET", 404)
    assert line["route"] == "/randoms/<int:random_id>"
    assert isinstance(line["duration_ms"], float)
    assert 0 < line["duration_ms"] < 60_000
    assert line["sub_hash"] == pseudonym(SUB) == sha256(SUB.encode()).hexdigest()[:32]
    assert line["client_id"] == cognito_pool.client_id
    for hidden in ("7531", "8642", SUB):
        assert hidden not in json.dumps(line)


def test_a_line_has_the_id_that_the_answer_has(
    app: APIFlask, client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reports an id finds its line."""
    stream = logging.StreamHandler()
    stream.setFormatter(logs.JSONFormatter())
    logger = logging.getLogger("resource_server.requests")
    logger.addHandler(stream)
    try:
        answer = client.get("/", headers={"Accept": "application/json"})
    finally:
        logger.removeHandler(stream)
    line = json.loads(capsys.readouterr().err)
    assert line["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("said", ["plain", "\u00e9\u2028\n", "\ud800", 2**70])
def test_a_line_is_json_in_ascii(said: object) -> None:
    """Whatever is in it: what reads logs may split lines at other signs, or know no UTF-8."""
    record = logging.makeLogRecord({"msg": "x", "fields": {"said": said}})
    line = logs.JSONFormatter().format(record)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["said"] == said


def test_a_refusal_says_why(
    client: FlaskClient,
    cognito_pool: CognitoPool,
    mock_cognito_client: CognitoIdp,
    log: pytest.LogCaptureFixture,
) -> None:
    """The token core's reason, what the view lacked, or what the directory said."""
    expired = cognito_pool.access_token(exp=1)
    client.get("/randoms")
    client.get("/randoms", headers=bearer("no-token-at-all"))
    client.get("/randoms", headers=bearer(expired))
    client.get("/randoms", headers=bearer(cognito_pool.access_token(scope="me")))
    client.post("/users/login", data={"username": "nobody", "password": "Wr0ng-passw0rd!"})
    assert [line.get("reason") for line in lines(log)] == [
        "no_token",
        "malformed",
        "expired",
        "insufficient_scope",
        "bad_credentials",
    ]


def test_a_disabled_account_is_told_from_a_missing_scope(
    client: FlaskClient,
    cognito_pool: CognitoPool,
    connections: Connections,
    session: Session,
    log: pytest.LogCaptureFixture,
) -> None:
    """Both are 403; the log says which."""
    accounts.add(connections, sub="ada", username="ada")
    projection.set_disabled(session, ["ada"], disabled=True)
    client.get("/randoms", headers=bearer(cognito_pool.access_token(sub="ada", scope="me randoms")))
    assert [line["reason"] for line in lines(log)] == ["account_disabled"]


def test_a_limit_of_ours_is_told_from_cognitos(
    make_app: Callable[[Mapping[str, str]], APIFlask],
    mock_cognito_client: CognitoIdp,
    sqlite_url: str,
    log: pytest.LogCaptureFixture,
) -> None:
    """Both are 429; the log, and so the counter, says whose it was."""
    limit = {"RATELIMIT_SIGN_IN_PER_NAME": "1/hour", "DATABASE_URL": sqlite_url}
    client = make_app({**mock_cognito_client.settings, **limit}).test_client()
    for _ in range(2):
        client.post("/users/login", data={"username": "ada", "password": "Wr0ng-passw0rd!"})
    assert [line["reason"] for line in lines(log)] == ["bad_credentials", "rate_limited"]


def test_addresses_that_are_none_are_not_repeated(
    client: FlaskClient, log: pytest.LogCaptureFixture
) -> None:
    """Strangers choose neither the route nor the method of a line."""
    client.get("/etc/passwd")
    client.open("/etc/passwd", method="BREW")
    assert [(line["method"], line["route"], line["status"]) for line in lines(log)] == [
        ("GET", "none", 404),
        ("other", "none", 404),
    ]


def test_probes_are_quiet(client: FlaskClient, log: pytest.LogCaptureFixture) -> None:
    """Load balancers ask every few seconds."""
    for probe in ("/healthz", "/metrics"):
        client.get(probe, base_url=MANAGEMENT_URL)
    assert [line["level"] for line in lines(log)] == ["DEBUG", "DEBUG"]


def test_people_read_text() -> None:
    """Under `flask run` the same facts stand in one line, each once."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s %s", ("GET", 200), None)
    record.fields = {"method": "GET", "status": 200, "reason": "expired"}
    assert logs.TextFormatter("%(levelname)s %(message)s").format(record) == (
        "INFO GET 200 reason=expired"
    )


def test_flasks_own_server_does_not_show_queries(
    app: APIFlask, log: pytest.LogCaptureFixture
) -> None:
    """Its line about a request would hold the code of a sign-in at /docs; ours is there instead."""
    logging.getLogger("werkzeug").setLevel(logging.INFO)
    server = make_server("127.0.0.1", 0, app)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.port}/docs/oauth2-redirect.html?code=s3cret-code"
        requests.get(address, timeout=10)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        logging.getLogger("werkzeug").setLevel(logging.NOTSET)
    assert [line["route"] for line in lines(log)] == ["/docs/<name>"]
    assert "s3cret" not in log.text


def test_configuring_twice_prints_once() -> None:
    """Two apps in one process share a handler: each request is one line."""
    script = (
        "from resource_server import logs, create_app\n"
        "pool = dict(AWS_REGION='eu-west-2', AWS_USER_POOL_ID='eu-west-2_x', "
        "AWS_COGNITO_APP_CLIENT_ID='x', DATABASE_URL='sqlite://')\n"
        "create_app(pool); create_app(pool).test_client().get('/etc?password=hunter2')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    [line] = done.stderr.splitlines()
    assert json.loads(line)["route"] == "none"
    assert "hunter2" not in line


def test_a_record_is_like_any_other(app: APIFlask, log: pytest.LogCaptureFixture) -> None:
    """Whoever formats or filters it finds all that Python puts into a record, of this moment."""
    app.test_client().get("/")
    asking = Thread(target=app.test_client().get, args=["/"], name="somebody else's")
    before = logging.makeLogRecord({})
    asking.start()
    asking.join()
    after = logging.makeLogRecord({})
    _, record = records(log)
    plain = logging.getLogger("x").makeRecord("x", logging.INFO, __file__, 1, "", (), None)
    assert vars(record).keys() == vars(plain).keys() | {"fields", "message", logs.REQUEST_ID}
    assert before.created <= record.created <= after.created
    assert before.relativeCreated <= record.relativeCreated <= after.relativeCreated
    assert record.msecs == pytest.approx(record.created % 1 * 1000, abs=1.01)
    assert (record.thread, record.threadName) == (asking.ident, "somebody else's")
    assert record.thread != plain.thread
    assert (record.process, record.processName) == (plain.process, plain.processName)
    assert (record.levelno, record.levelname) == (logging.INFO, "INFO")
    assert record.module == "request_log"


def test_what_is_added_to_each_record_is_added_to_requests(
    client: FlaskClient, log: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    """Tracing, say, has a factory of records that knows the trace."""
    request.addfinalizer(partial(logging.setLogRecordFactory, logging.getLogRecordFactory()))

    class Traced(logging.LogRecord):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.request_id = "theirs"

    logging.setLogRecordFactory(Traced)
    answer = client.get("/")
    [record] = records(log)
    assert isinstance(record, Traced)
    assert record.getMessage() == "GET / 200"
    [line] = lines(log)
    assert line["request_id"] == answer.headers["X-Request-ID"]
