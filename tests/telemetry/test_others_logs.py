"""What servers, drivers and SDKs write into the log about a request: the class of an error."""

import http.client
import io
import logging
import socket
import sys
from collections.abc import Iterator

import pytest
from gunicorn.http.errors import InvalidHeader  # type: ignore[import-untyped]
from sqlalchemy.exc import OperationalError

from resource_server import logs
from resource_server.tokens.flight import SingleFlight
from soak.daemons import Daemon, free_port, listens
from tests.served import ROOT

SECRET = "s3cret"
ERROR = InvalidHeader("Bearer s3cret")


def _fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


@pytest.fixture(params=["gunicorn.error", "werkzeug", "resource_server"])
def written(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of a server's, with a handler that its own program installed."""
    logs.quieten_servers()
    logger, stream = logging.getLogger(request.param), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    yield logger, stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("Invalid request from ip=10.0.0.1: Invalid HTTP header: 'Bearer s3cret'", ()),
        ("Error handling request %s %s", ("GET", "/?code=s3cret")),
        ("Error handling request %s", ("/?code=s3cret",)),
        ("code %d, message %s", (400, "Bad request syntax ('GET /?code=s3cret HTTP/9')")),
        ("Error on request:\nValueError: s3cret", ()),
        ("Exception on /s3cret [GET]", ()),
        (f"some new wording: {ERROR}", ()),
    ],
)
def test_a_message_about_a_request_is_the_class_of_its_error(
    written: tuple[logging.Logger, io.StringIO], message: str, arguments: tuple[object, ...]
) -> None:
    """With its traceback, but not with its text, for every formatter."""
    logger, stream = written
    try:
        _fail(ERROR)
    except InvalidHeader:
        logger.exception(message, *arguments)
    text = stream.getvalue()
    assert text.startswith("ERROR Request failed: InvalidHeader\nTraceback")
    assert SECRET not in text
    assert "10.0.0.1" not in text


def test_an_error_among_the_arguments_is_its_class(
    written: tuple[logging.Logger, io.StringIO],
) -> None:
    """As gunicorn's debug line about a connection that was cut off."""
    logger, stream = written
    logger.error("Ignored premature client disconnection. %s", ValueError("s3cret"))
    assert stream.getvalue() == "ERROR Ignored premature client disconnection. ValueError\n"


def test_other_messages_are_as_they_were(written: tuple[logging.Logger, io.StringIO]) -> None:
    """What is said of a start, a worker, a signal."""
    logger, stream = written
    logger.error("Worker (pid:%s) exited with code %s.", 7, 3)
    assert stream.getvalue() == "ERROR Worker (pid:7) exited with code 3.\n"


def test_a_traceback_has_no_text_of_an_exception() -> None:
    """Neither its own nor that of its cause or context. Classes and lines remain."""
    try:
        try:
            _fail(KeyError(SECRET))
        except KeyError as error:
            _fail(ValueError(f"invalid literal: {SECRET}"), error)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "it failed", (), sys.exc_info())
    for formatter in (logs.JSONFormatter(), logs.TextFormatter("%(message)s")):
        line = formatter.format(record)
        assert SECRET not in line
        assert "builtins.KeyError" in line
        assert "builtins.ValueError" in line
        assert "test_others_logs.py" in line


@pytest.mark.parametrize("name", logs._TALKATIVE)
def test_what_sends_and_receives_is_quiet_however_the_root_is_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At DEBUG they log bodies, headers, addresses and statements."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    logs.configure(style="json", level="DEBUG")
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)


def test_flask_run_repeats_nothing_that_it_cannot_read(tmp_path: object) -> None:
    """Neither its response, which is JSON, nor its log does. Nor does the emulator beside it."""
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "resource_server", "run"]
    command += ["--port", str(port), "--no-reload"]
    environment = {"PYTHONPATH": str(ROOT), "COGNITO_EMULATOR": "off", "FLASK_SKIP_DOTENV": "1"}
    environment |= {"AWS_REGION": "eu-west-2", "AWS_USER_POOL_ID": "eu-west-2_AbCdEf123"}
    environment |= {"AWS_COGNITO_APP_CLIENT_ID": "client", "DATABASE_URL": "sqlite://"}
    daemon = Daemon("flask", command, home=tmp_path, environment=environment)  # type: ignore[arg-type]
    try:
        daemon.wait_until(lambda: listens(port))
        for request in (
            b"GET /?code=s3cret x HTTP/1.1\r\n\r\n",
            b"username=a&password=s3cret\r\n\r\n",
            b"GET /?code=s3cret HTTP/9.9\r\n\r\n",
            b"GET /" + b"s3cret" * 20_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: s3cret\r\n" * 200 + b"\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(request)
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                text = str(answer.headers) + answer.reason + answer.read().decode()
            assert answer.headers.get_content_type() == "application/json"
            assert answer.headers["X-Request-ID"]
            assert SECRET not in text
        assert SECRET not in daemon.output
    finally:
        daemon.end()


def test_a_driver_is_not_quoted_when_a_background_task_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its text has statements with parameters, and who connects where."""

    def read() -> None:
        try:
            _fail(ConnectionError("connection to 10.0.0.1 as app failed"))
        except ConnectionError as error:
            statement = "SELECT * FROM revocations WHERE value = %s"
            raise OperationalError(statement, {"value": SECRET}, error) from error

    flight = SingleFlight(read, name="reading", timeout=1, spawn=lambda run: run())
    flight.start()
    assert caplog.messages == ["reading failed: OperationalError (ConnectionError)"]
