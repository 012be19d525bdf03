"""Requests and answers as nearly all are, for gunicorn: read at one look, written at one go.

gunicorn reads a request line by line and sends an answer in two parts, which takes as long as all
that Flask does around a view (docs/performance.md). Here one regular expression says whether a
request is plain: come whole, with nothing in it that is rare or could be read in two ways. All
others are gunicorn's, from their first byte on, and so is whatever is malformed, and how it is
refused. What is plain is read as gunicorn would read it (`tests/test_plain.py`).
"""

import re
import time
from collections.abc import Iterable
from functools import lru_cache, partial
from io import BytesIO
from typing import Any

from gunicorn.http.message import (  # type: ignore[import-untyped]
    DEFAULT_MAX_HEADERFIELD_SIZE,
    MAX_HEADERS,
    MAX_REQUEST_LINE,
    HeaderPolicy,
    Request,
)
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]
from gunicorn.http.wsgi import (  # type: ignore[import-untyped]
    FileWrapper,
    Response,
    WSGIErrorsWrapper,
    create,
)
from gunicorn.util import http_date, unquote_to_wsgi_str  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

# Of RFC 9112 §3 and §5 only HTTP/1.1, a path that is no `//`, no fragment, no name with an
# underscore (which WSGI takes for a hyphen), no line that is folded or ends in a bare LF.
_PLAIN = re.compile(
    rb"((?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /(?:[!\"$-.0-~][!\"$-~]*+)?+ HTTP/1\.1)\r\n"
    rb"((?:[A-Za-z0-9-]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+)\r\n"
)
_RARE = frozenset({"EXPECT", "TRANSFER-ENCODING", "UPGRADE"})
_PASSED_ON = frozenset(
    {
        "Cache-Control",
        "Content-Security-Policy",
        "Content-Type",
        "Cross-Origin-Resource-Policy",
        "Link",
        "Location",
        "Referrer-Policy",
        "X-Content-Type-Options",
        "X-Frame-Options",
        "X-Request-ID",
    }
)
_OF_CONNECTION = (
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_SOFTWARE",
    "gunicorn.socket",
    "wsgi.file_wrapper",
    "wsgi.input_terminated",
    "wsgi.multiprocess",
    "wsgi.multithread",
    "wsgi.run_once",
    "wsgi.version",
)
"""Of the environ, what all requests of a connection have alike."""
_UNPREFIXED = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})  # RFC 3875 §4.1
_LENGTH = re.compile(r"[0-9]{1,9}")  # longer bodies do not come at once


class PlainRequest(Request):  # type: ignore[misc]  # gunicorn has no type information
    """What gunicorn's `Request` is once it has been read."""

    proxy_protocol_info = None
    fragment = ""
    version = (1, 1)
    must_close = False
    _expected_100_continue = False

    def __init__(self, line: str, headers: list[tuple[str, str]], scheme: str, body: bytes) -> None:
        self.method, self.uri, _ = line.split(" ")
        self.path, _, self.query = self.uri.partition("?")
        self.headers = headers
        self.trailers: list[tuple[str, str]] = []
        self.scheme = scheme
        self.body = BytesIO(body)


class PlainParser(RequestParser, HeaderPolicy):  # type: ignore[misc]
    """gunicorn's parser of a connection, which looks first whether a request is plain."""

    @staticmethod
    def suits(cfg: Any) -> bool:
        """Tell whether what comes on a connection is HTTP/1 from its first byte on."""
        return (
            not cfg.is_ssl
            and cfg.protocol == "http"
            and cfg.proxy_protocol == "off"
            and cfg.http2_cleartext == "off"
        )

    def __init__(self, cfg: Any, source: Any, source_addr: Any) -> None:
        super().__init__(cfg, source, source_addr)
        line, field, fields = (
            cfg.limit_request_line,
            cfg.limit_request_field_size,
            cfg.limit_request_fields,
        )
        self._longest_line = line if 0 < line <= MAX_REQUEST_LINE else MAX_REQUEST_LINE
        self._longest_field = (field if field > 0 else DEFAULT_MAX_HEADERFIELD_SIZE) - len("\r\n")
        self._most_fields = fields if 0 < fields <= MAX_HEADERS else MAX_HEADERS
        self.mesg: Request | None = None
        self.peer_addr = source_addr
        self._of_connection: dict[str, Any] = {}
        self._schemes, _ = self._peer_trusted_for_forwarded()

    def __next__(self) -> Request:
        """Read the next request, unless the last one, `mesg`, is not over or was to be the last."""
        if self.mesg is None:
            came = self.unreader.take_buffered() or self.unreader.chunk()
            if not came:
                raise StopIteration  # the client has closed
            self.mesg = self._plain(came)
            if self.mesg is not None:
                self.req_count += 1
                return self.mesg
            self.unreader.unread(came)
        return super().__next__()

    def finish_body(self, *args: Any, **kwargs: Any) -> bool:
        """Read what is left of a body; what is plain came whole."""
        is_over = isinstance(self.mesg, PlainRequest) or super().finish_body(*args, **kwargs)
        if is_over and self.mesg is not None and not self.mesg.should_close():
            self.mesg = None
        return is_over

    def begin(self, request: PlainRequest, conn: TConn) -> tuple["PlainResponse", dict[str, Any]]:
        """Return what answers a request, and its environ, as gunicorn's `create` makes both."""
        if not self._of_connection:
            response, environ = create(
                request, conn.sock, conn.client, conn.server, conn.cfg, PlainResponse
            )
            environ["wsgi.multithread"] = True
            # Where there is no port, each request's Host tells the server's name.
            if isinstance(conn.server, tuple) and not environ["SCRIPT_NAME"]:
                self._of_connection = {name: environ[name] for name in _OF_CONNECTION}
                self._of_connection["wsgi.errors"] = _Errors(conn.cfg)
            return response, environ
        response = PlainResponse(request, conn.sock, conn.cfg)
        environ = {
            **self._of_connection,
            "PATH_INFO": unquote_to_wsgi_str(request.path),
            "QUERY_STRING": request.query,
            "RAW_URI": request.uri,
            "REQUEST_METHOD": request.method,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.early_hints": partial(_hint, request, conn, response),
            "wsgi.input": request.body,
            "wsgi.url_scheme": request.scheme,
        }
        for name, value in request.headers:
            key = name.replace("-", "_")
            environ[key if key in _UNPREFIXED else f"HTTP_{key}"] = value
        return response, environ

    def _plain(self, came: bytes) -> PlainRequest | None:
        """Return the request that came, if it is plain; keep what came after it."""
        found = _PLAIN.match(came)
        if found is None or found.end(1) > self._longest_line:
            return None
        headers: dict[str, str] = {}
        scheme = None
        for field in found[2].decode("latin-1").split("\r\n")[:-1]:
            name, _, value = field.partition(":")
            name = name.upper()
            if name in headers or name in _RARE or len(field) > self._longest_field:
                return None
            headers[name] = value = value.strip(" \t")
            if name in self._schemes:
                if scheme is not None:
                    return None
                scheme = "https" if value == self._schemes[name] else "http"
        length = headers.get("CONTENT-LENGTH", "0")
        if not _LENGTH.fullmatch(length) or len(headers) > self._most_fields:
            return None
        begin = found.end()
        end = begin + int(length)
        if len(came) < end:
            return None
        if len(came) > end:
            self.unreader.unread(came[end:])
        line = found[1].decode("ascii")
        return PlainRequest(line, list(headers.items()), scheme or "http", came[begin:end])


class _Errors(WSGIErrorsWrapper):  # type: ignore[misc]
    """gunicorn's `wsgi.errors`, which looks for the log when something is written to it."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def write(self, data: Any) -> None:
        """Write to the error log, wherever that is by now."""
        WSGIErrorsWrapper(self._cfg).write(data)


def _hint(
    request: PlainRequest, conn: TConn, response: "PlainResponse", headers: list[tuple[str, str]]
) -> None:
    """Send early hints (RFC 8297) by gunicorn's function, made only where it is called."""
    if not response.headers_sent:
        _, environ = create(request, conn.sock, conn.client, conn.server, conn.cfg)
        environ["wsgi.early_hints"](headers)


class PlainResponse(Response):  # type: ignore[misc]
    """gunicorn's response, which sends head and body together where it has both at once."""

    headers_sent: bool

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Take headers in; gunicorn looks at all that it does more with than pass them on."""
        for header in headers:
            name, value = header
            if name in _PASSED_ON and value.isascii() and value.isprintable():
                self.headers.append((name, value.strip(" ")))
            elif name == "Content-Length" and _LENGTH.fullmatch(value):
                self.response_length = int(value)
                self.headers.append((name, value))
            else:
                super().process_headers((header,))

    def write_all(self, answer: Iterable[bytes]) -> None:
        """Send what a WSGI app has returned."""
        if isinstance(answer, FileWrapper):
            self.write_file(answer)
        else:
            for part in answer:
                self.write(part)
        self.close()

    def write(self, data: bytes) -> None:
        """Send a part of the body; the only one in one go with the head."""
        is_whole = self.response_length == len(data) and not self._omits_body
        if self.headers_sent or not is_whole or self.upgrade:
            super().write(data)
            return
        head = [
            f"HTTP/1.1 {self.status}\r\nServer: {self.version}\r\n",
            f"Date: {_date(int(time.time()))}\r\n",
            f"Connection: {'close' if self.should_close() else 'keep-alive'}\r\n",
            *[f"{name}: {value}\r\n" for name, value in self.headers],
            "\r\n",
        ]
        whole = "".join(head).encode("latin-1") + data
        self.headers_sent = True
        self.sent = len(data)
        self.sock.sendall(whole)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """Write a time as HTTP has it; all answers of a second have the same."""
    date: str = http_date(second)
    return date
