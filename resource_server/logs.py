"""Logging: a request id on every record and answer; JSON lines, or text for a terminal."""

import json
import logging
import random
import re
from collections.abc import Mapping
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
# At DEBUG these log what they send and receive: passwords, tokens and codes.
_TALKATIVE = ("botocore", "boto3", "urllib3", "responses")


def configure(*, style: Literal["json", "text"], level: str) -> None:
    """Set up the package's logger; a handler that the host program installed is left alone."""
    logger = logging.getLogger(_LOGGER)
    logger.setLevel(level)
    for name in _TALKATIVE:
        # Set on the logger itself: raising the root's verbosity later must not wake them.
        if logging.getLogger(name).level < logging.WARNING:
            logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("werkzeug").addFilter(_is_no_access_line)
    if not has_level_handler(logger):
        handler = logging.StreamHandler()
        handler.setFormatter(JSONFormatter() if style == "json" else TextFormatter(_TEXT))
        logger.addHandler(handler)


def _is_no_access_line(record: logging.LogRecord) -> bool:
    """Pass over the lines of Flask's own server about requests: they hold paths and queries."""
    return not str(record.msg).endswith('"%s" %s %s')


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
        line |= fields_of(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _written(line)


def _written(line: dict[str, object]) -> str:
    """Write a line in ASCII; orjson writes UTF-8, and neither lone surrogates nor long integers."""
    try:
        text = orjson.dumps(line).decode()
    except TypeError:
        return json.dumps(line)
    # DEL is the one control character that JSON lets stand as it is.
    return text if text.isascii() and "\x7f" not in text else json.dumps(line)


def request_id(environ: dict[str, Any]) -> str:
    """Return the id of a request: the client's X-Request-ID if well formed, else a new one."""
    found = environ.get(_ENVIRON_KEY)
    if isinstance(found, str):
        return found
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    # No secret: it need not be unpredictable, and asking the kernel is a switch to it and back.
    chosen = sent if _WELL_FORMED.fullmatch(sent) else f"{random.getrandbits(128):032x}"
    environ[_ENVIRON_KEY] = chosen
    return chosen
