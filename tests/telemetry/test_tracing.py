"""Traces: one for each request, with its statements and calls inside, and nothing secret."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import StatusCode
from sqlalchemy import delete, text
from sqlalchemy.exc import OperationalError

from resource_server import telemetry
from resource_server.extensions import db
from resource_server.logs import JSONFormatter
from resource_server.revocations.models import Revocation
from resource_server.telemetry import statements, tracing
from resource_server.testing import CognitoIdp, KitUser, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users.models import User
from tests.conftest import CLIENT_SECRET

TRACE, CALLER = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
TRACEPARENT = f"00-{TRACE:032x}-{CALLER:016x}-01"
Spans = Callable[[], list[ReadableSpan]]


@pytest.fixture
def traced(
    make_app: Callable[[Mapping[str, str]], APIFlask],
    mock_cognito_client: CognitoIdp,
    jwks: object,
    database_url: str,
) -> Iterator[tuple[FlaskClient, Spans]]:
    """An app whose spans stay in memory, and what returns and forgets them."""
    exporter = InMemorySpanExporter()
    app = make_app({**mock_cognito_client.settings, "DATABASE_URL": database_url})
    with app.app_context():
        engines = list(db.engines.values())
    tracing.instrument(app, engines, tracing.provider(exporter, SimpleSpanProcessor))

    def spans() -> list[ReadableSpan]:
        found = list(exporter.get_finished_spans())
        exporter.clear()
        return found

    yield app.test_client(), spans
    tracing.uninstrument(app)
    with app.app_context():  # its transactions are real
        db.session.execute(delete(User))
        db.session.execute(delete(Revocation))
        db.session.commit()


def everything(spans: list[ReadableSpan]) -> str:
    """Return all that would leave the process."""
    return "\n".join(span.to_json() for span in spans)


def test_a_request_is_a_trace_with_its_statements(
    traced: tuple[FlaskClient, Spans], cognito_pool: CognitoPool
) -> None:
    """The caller's trace goes on, and the database's spans are within the request's."""
    client, spans = traced
    token = cognito_pool.access_token(scope="me randoms")
    headers = {**bearer(token), "traceparent": TRACEPARENT}
    client.get("/randoms", headers=headers)  # the first makes the account
    spans()
    assert client.get("/randoms/97531?x=86420", headers=headers).status_code == 404
    found = spans()
    [request] = [span for span in found if span.kind is SpanKind.SERVER]
    assert request.name == "GET /randoms/<int:random_id>"
    assert request.context.trace_id == TRACE
    assert request.parent is not None
    assert request.parent.span_id == CALLER
    assert request.attributes is not None
    assert request.attributes["http.status_code"] == 404
    assert request.resource.attributes["service.name"] == "resource-server"
    queries = [span for span in found if (span.attributes or {}).get("db.query.text")]
    assert queries
    for span in queries:
        assert span.context.trace_id == TRACE
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id
    told = everything(found)
    assert "SELECT" in told
    for hidden in (token, "97531", "86420"):
        assert hidden not in told


def test_a_sign_in_shows_the_call_and_no_secret(
    traced: tuple[FlaskClient, Spans], user: KitUser
) -> None:
    """The operation and its outcome; no password, token, client secret, or text of AWS's."""
    client, spans = traced
    form = {"username": user.username, "password": user.password}
    tokens = client.post("/users/login", data=form).json
    client.post("/users/login", data={**form, "password": "Wr0ng-passw0rd!"})
    client.post("/users/logout", headers=bearer(tokens["access_token"]))
    found = spans()
    names = [span.name for span in found if span.kind is SpanKind.CLIENT]
    assert names.count("Cognito Identity Provider.InitiateAuth") == 2
    told = everything(found)
    assert "NotAuthorizedException" in told
    for hidden in (user.password, "Wr0ng-passw0rd!", CLIENT_SECRET, "Incorrect username"):
        assert hidden not in told
    for name in ("access_token", "id_token", "refresh_token"):
        assert tokens[name] not in told


def test_a_statement_that_fails_is_told_by_its_class(
    make_app: Callable[[Mapping[str, str]], APIFlask], mock_cognito_client: CognitoIdp
) -> None:
    """The database's text may repeat values."""
    exporter = InMemorySpanExporter()
    app = make_app({**mock_cognito_client.settings, "DATABASE_URL": "sqlite://"})
    traces = tracing.provider(exporter, SimpleSpanProcessor)
    with app.app_context():
        tracer = traces.get_tracer("test")
        statements.watch(db.engine, tracer)
        with (
            tracer.start_as_current_span("a request"),
            db.engine.connect() as connection,
            pytest.raises(OperationalError),
        ):
            connection.execute(text("SELECT * FROM hunted WHERE id = :id"), {"id": "hunter2"})
    span = exporter.get_finished_spans()[0]
    assert span.attributes is not None
    assert (span.name, span.attributes["error.type"]) == ("SELECT", "OperationalError")
    assert span.status.status_code is StatusCode.ERROR
    assert "hunter2" not in span.to_json()
    assert "no such table" not in span.to_json()


def test_strangers_name_no_span(traced: tuple[FlaskClient, Spans]) -> None:
    """An address that is none is told by its method; probes are not told at all."""
    client, spans = traced
    for address in ("/hunter2?password=hunter2", "/healthz", "/metrics"):
        client.get(address)
    [span] = spans()
    assert span.name == "GET"
    assert "hunter2" not in everything([span])


def test_probes_and_polls_leave_no_span(traced: tuple[FlaskClient, Spans]) -> None:
    """Nor do their statements, which would each be a trace of its own."""
    client, spans = traced
    for address in ("/healthz", "/readyz", "/readyz/", "/readyz?verbose=1", "/metrics"):
        client.get(address, headers={"traceparent": TRACEPARENT})
    client.application.extensions["resource_server"].revocations._read()
    told = [span for span in spans() if "requests" not in str(span.instrumentation_scope)]
    assert told == []  # but for the download of keys that a probe starts


def test_a_line_of_the_log_has_the_ids_of_its_trace(traced: tuple[FlaskClient, Spans]) -> None:
    """Those of the request's span, so that one leads to the other. Outside there are none."""
    client, spans = traced
    lines = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JSONFormatter().format(record)))

    logger, handler = logging.getLogger("resource_server"), Keep()
    logger.addHandler(handler)
    try:
        client.get("/randoms", headers={"traceparent": TRACEPARENT})
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)
    [span] = [span for span in spans() if span.kind is SpanKind.SERVER]
    inside, outside = lines[-2:]
    assert inside["trace_id"] == f"{TRACE:032x}"
    assert inside["span_id"] == f"{span.context.span_id:016x}"
    assert not {"trace_id", "span_id"} & outside.keys()


def test_an_address_switches_it_on(
    make_app: Callable[[Mapping[str, str]], APIFlask], mock_cognito_client: CognitoIdp
) -> None:
    """Without one an app is as it was."""
    config = {**mock_cognito_client.settings, "DATABASE_URL": "sqlite://"}
    plain = make_app(config)
    assert type(plain.wsgi_app).__module__ == "resource_server.edge"
    # Nobody listens there, and nothing is traced that would be sent.
    app = make_app({**config, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9/"})
    try:
        assert type(app.wsgi_app).__module__ != "resource_server.edge"
    finally:
        tracing.uninstrument(app)


def test_without_the_extra_it_says_what_to_do(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service runs all the same."""
    monkeypatch.setitem(sys.modules, "resource_server.telemetry.tracing", None)
    with caplog.at_level(logging.WARNING):
        telemetry.trace(app, "http://127.0.0.1:9")
    assert "pip install 'resource-server[opentelemetry]'" in caplog.text
