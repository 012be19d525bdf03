"""Logging: a request id on every record and answer; JSON lines, or text for a terminal."""

import json
import logging
import random
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from flask import has_request_context, request
from flask.logging import has_level_handler

from resource_server.terminal import printable, printable_lines

_LOGGER = "resource_server"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
REQUEST_ID = "resource_server_request_id"
"""What a record may bear; others put a `request_id` of theirs on every record."""
_ENVIRON_KEY = "resource_server.request_id"
# Below WARNING these log what they send and receive: passwords, tokens, codes, addresses, queries.
_TALKATIVE = (
    "authlib",
    "boto3",
    "botocore",
    "flask_cors",
    "gunicorn.http",
    "gunicorn.http2",
    "httpcore",
    "httpx",
    "limits",
    "redis",
    "requests",
    "responses",
    "s3transfer",
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "urllib3",
)
# These write what somebody sent into messages of their own, or into the text of an exception.
_QUOTING = ("gunicorn.error", "werkzeug", _LOGGER)  # the last is that of Flask itself


def configure(*, style: Literal["json", "text"], level: str) -> None:
    """Set up the package's logger; a handler that the host program installed is left alone."""
    logger = logging.getLogger(_LOGGER)
    logger.setLevel(level)
    for name in _TALKATIVE:
        # Set on the logger itself: raising the root's verbosity later must not wake them.
        if logging.getLogger(name).level < logging.WARNING:
            logging.getLogger(name).setLevel(logging.WARNING)
    quieten_servers()
    if not has_level_handler(logger):
        handler = logging.StreamHandler()
        handler.setFormatter(JSONFormatter() if style == "json" else TextFormatter(_TEXT))
        logger.addHandler(handler)


def quieten_servers() -> None:
    """Keep what was sent out of the messages of gunicorn and of Flask's own server."""
    for name in _QUOTING:
        logging.getLogger(name).addFilter(_keep_class_alone)  # once, however often it is called


def _keep_class_alone(record: logging.LogRecord) -> bool:
    """Replace a message about a request by the class of its error. Drop access lines.

    gunicorn and werkzeug quote the request line, headers, addresses and what else they could not
    parse. They log while the error is handled, so its class is at hand.
    """
    text = str(record.msg)
    if text.endswith('"%s" %s %s'):  # an access line of Flask's own server
        return False
    error = sys.exc_info()[1]
    message = _message(record)
    if text.startswith(_ABOUT_REQUESTS) or _quotes(message, error):
        record.msg, record.args = "Request failed: %s", (_name(error),)
        if error is not None and not has_request_context():
            setattr(record, REQUEST_ID, id_of_error(error))
    elif isinstance(record.args, tuple) and any(isinstance(a, BaseException) for a in record.args):
        record.args = tuple(_name(a) if isinstance(a, BaseException) else a for a in record.args)
    if record.exc_info and not record.exc_text:
        record.exc_text = traceback_of(record)  # a formatter of the host's takes this
    return True


_ABOUT_REQUESTS = (
    "Invalid request",
    "Error handling request",
    "Error on request",
    "code %d, message %s",
    "Exception on ",
)
"""How messages about a request begin: gunicorn's, werkzeug's, http.server's and Flask's."""


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a message that does not fit its arguments
        return ""


def _quotes(message: str, error: BaseException | None) -> bool:
    """Return whether a message repeats an error of gunicorn's parser, however it is worded."""
    if error is None or not type(error).__module__.startswith("gunicorn.http"):
        return False
    return bool(str(error)) and str(error) in message


def _name(error: BaseException | None) -> str:
    return type(error).__name__ if error is not None else "malformed"


def id_of_error(error: BaseException | None) -> str:
    """Return the request id of an error that happened before a request could be read."""
    known = getattr(error, REQUEST_ID, None)
    if isinstance(known, str):
        return known
    chosen = _new_id()
    if error is not None:
        setattr(error, REQUEST_ID, chosen)
    return chosen


def traceback_of(record: logging.LogRecord) -> str:
    """Render the traceback of a record without the text of its exceptions.

    The text of an exception may hold anything: statements with their parameters, what a client
    sent, addresses with passwords. Classes, files and lines do not.
    """
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return "".join(_lines(error)).rstrip("\n") if error is not None else ""


def _lines(error: BaseException) -> Iterator[str]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    for number, each in enumerate(reversed(chain)):
        if number:
            yield "\nThe exception above led to:\n\n"
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(each.__traceback__)
        yield f"{type(each).__module__}.{type(each).__qualname__}\n"
        for part in getattr(each, "exceptions", ()):  # of an ExceptionGroup
            yield from _lines(part)


_TEXT = "%(levelname)s %(name)s: %(message)s"


def fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    """Return what a record says beside its message: `extra={"fields": {…}}`."""
    found: Mapping[str, object] = getattr(record, "fields", {})
    return found


class TextFormatter(logging.Formatter):
    """One line for people."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Render a record, its fields at the end where the message does not have them."""
        said = record.message.split()
        fields = (f"{k}={v}" for k, v in fields_of(record).items() if str(v) not in said)
        return printable(" ".join((super().formatMessage(record), *fields)))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Render a traceback, whose last line may hold what a client sent."""
        return printable_lines(super().formatException(ei))

    def format(self, record: logging.LogRecord) -> str:
        """Render a record, a traceback without the text of its exceptions."""
        if record.exc_info:
            record.exc_text = traceback_of(record)
        return super().format(record)


TraceIds = Callable[[], Mapping[str, str]]
_trace_ids: list[TraceIds] = []


def add_trace_ids(source: TraceIds) -> None:
    """Let each JSON line carry what `source` returns: the ids of the trace under way, if any."""
    if source not in _trace_ids:
        _trace_ids.append(source)


def remove_trace_ids(source: TraceIds) -> None:
    """Undo `add_trace_ids`."""
    if source in _trace_ids:
        _trace_ids.remove(source)


class JSONFormatter(logging.Formatter):
    """One JSON object a line, with the id of the request it belongs to."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        known = getattr(record, REQUEST_ID, None)
        if known is None and has_request_context():
            known = request_id(request.environ)
        if known is not None:
            line["request_id"] = known
        for trace_ids in _trace_ids:
            line |= trace_ids()
        line |= fields_of(record)
        if record.exc_info:
            line["exception"] = traceback_of(record)
        return _written(line)


def _written(line: dict[str, object]) -> str:
    """Write a line in ASCII; orjson writes UTF-8, and neither lone surrogates nor long integers."""
    try:
        text = orjson.dumps(line).decode()
    except TypeError:
        return json.dumps(line)
    # JSON escapes every control character but DEL.
    return text if text.isascii() and "\x7f" not in text else json.dumps(line)


def request_id(environ: dict[str, Any]) -> str:
    """Return the id of a request: the client's X-Request-ID if well formed, else a new one."""
    found = environ.get(_ENVIRON_KEY)
    if isinstance(found, str):
        return found
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    chosen = sent if _WELL_FORMED.fullmatch(sent) else _new_id()
    environ[_ENVIRON_KEY] = chosen
    return chosen


def _new_id() -> str:
    # No secret: it need not be unpredictable, and the kernel's random numbers cost a system call.
    return f"{random.getrandbits(128):032x}"
