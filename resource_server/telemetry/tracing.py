"""Traces by OpenTelemetry, if the extra `opentelemetry` is installed and an address is set.

Each request is a trace, its statements and calls of Cognito spans within; a `traceparent` of the
caller's is followed (W3C Trace Context). What leaves the process is on a list of names: the
instrumentations note addresses with their queries, and the text of errors, which may repeat what
users sent.
"""

from collections.abc import Callable, Sequence

from flask import Flask
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id, get_current_span
from opentelemetry.trace.status import Status
from sqlalchemy import Engine

from resource_server import logs
from resource_server.telemetry import statements

_TOLD = frozenset(
    [
        *("http.method", "http.route", "http.scheme", "http.status_code"),
        *("http.request.method", "http.response.status_code", "url.scheme", "error.type"),
        *("db.system.name", "db.operation.name", "db.query.text"),
        *("rpc.system", "rpc.service", "rpc.method", "cloud.region", "aws.request_id"),
        *("retry_attempts", "server.address", "server.port"),
    ]
)
"""Statements hold placeholders; their values are no attribute."""
_QUIET = r"/(healthz|readyz|metrics)/?(\?|$)"


class DiscreetExporter(SpanExporter):
    """Hands on what is on the list; of an error its class alone."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        return self._exporter.export([_discreet(span) for span in spans])

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanExporter."""
        return self._exporter.force_flush(timeout_millis)


def provider(
    exporter: SpanExporter, processor: Callable[[SpanExporter], SpanProcessor] = BatchSpanProcessor
) -> TracerProvider:
    """Make what collects spans; OTEL_SERVICE_NAME and its like are the SDK's to read."""
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "resource-server"}))
    made = TracerProvider(resource=resource)
    made.add_span_processor(processor(DiscreetExporter(exporter)))
    return made


def instrument(app: Flask, engines: Sequence[Engine], traces: TracerProvider) -> None:
    """Trace an app, its databases, and what this process asks through botocore and requests.

    The last two are patched by their instrumentations, and so traced for one app of a process
    alone: the first.
    """
    FlaskInstrumentor().instrument_app(  # type: ignore[no-untyped-call]
        app, tracer_provider=traces, excluded_urls=_QUIET
    )
    for engine in engines:
        statements.watch(engine, traces.get_tracer(__name__))
    logs.add_trace_ids(trace_ids)
    for instrumentor in _of_the_process():
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument(tracer_provider=traces)


def uninstrument(app: Flask) -> None:
    """Undo `instrument`, but for the engines."""
    FlaskInstrumentor().uninstrument_app(app)  # type: ignore[no-untyped-call]
    logs.remove_trace_ids(trace_ids)
    for instrumentor in _of_the_process():
        instrumentor.uninstrument()


def trace_ids() -> dict[str, str]:
    """Return the ids of the current trace and span in hexadecimal, as collectors show them."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
    }


def _of_the_process() -> tuple[BotocoreInstrumentor, RequestsInstrumentor]:
    return BotocoreInstrumentor(), RequestsInstrumentor()  # type: ignore[no-untyped-call]


def start(app: Flask, engines: Sequence[Engine], endpoint: str) -> None:
    """Trace an app and send its spans to a collector by OTLP over HTTP."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    instrument(app, engines, provider(exporter))


def _discreet(span: ReadableSpan) -> ReadableSpan:
    attributes = {name: v for name, v in (span.attributes or {}).items() if name in _TOLD}
    name = span.name
    if span.kind is SpanKind.SERVER and "http.route" not in attributes:
        name = str(attributes.get("http.method", "HTTP"))  # else it is the path
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=[_discreet_event(event) for event in span.events],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _discreet_event(event: Event) -> Event:
    error = {k: v for k, v in (event.attributes or {}).items() if k == "exception.type"}
    return Event(event.name, attributes=error, timestamp=event.timestamp)
