"""Spans of SQL statements, by SQLAlchemy's own events.

OpenTelemetry's instrumentation of SQLAlchemy is for versions below 2.1, and patches the process.
"""

from typing import Any

from opentelemetry.trace import Span, SpanKind, Tracer, get_current_span
from opentelemetry.trace.status import Status, StatusCode
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

_SPAN = "_resource_server_span"


def watch(engine: Engine, tracer: Tracer) -> None:
    """Make a span of each statement within a trace. It has placeholders, and no values.

    Probes and the poll of the deny list are in no trace, so their statements have no span.
    """
    system = engine.dialect.name

    def begins(_connection: object, _cursor: object, statement: str, *rest: Any) -> None:
        if not get_current_span().get_span_context().is_valid:
            return
        _parameters, context, _many = rest
        operation = statement.split(None, 1)[0].upper()
        attributes = {
            "db.system.name": system,
            "db.operation.name": operation,
            "db.query.text": statement,
        }
        span = tracer.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes)
        setattr(context, _SPAN, span)

    def ends(*arguments: Any) -> None:
        context = arguments[4]
        span: Span | None = getattr(context, _SPAN, None)
        if span is not None:
            span.end()

    def fails(error: ExceptionContext) -> None:
        span: Span | None = getattr(error.execution_context, _SPAN, None)
        if span is not None:  # else there was not even a connection
            span.set_attribute("error.type", type(error.original_exception).__name__)
            span.set_status(Status(StatusCode.ERROR))
            span.end()

    event.listen(engine, "before_cursor_execute", begins)
    event.listen(engine, "after_cursor_execute", ends)
    event.listen(engine, "handle_error", fails)
