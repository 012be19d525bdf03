"""Requests that are read at one look are read as gunicorn reads them; answers are its answers.

Both parsers get the same bytes: what the quick one takes must be what gunicorn makes of it, and
whatever is malformed must be refused by gunicorn, in its words. No two readings of one request is
what request smuggling needs (RFC 9112 §11.2).
"""

import io
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]
from gunicorn.http.wsgi import FileWrapper, Response, create  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from resource_server.plain import PlainParser, PlainRequest, PlainResponse
from tests.served import Served, serving, until

PROXY, STRANGER = ("127.0.0.1", 5), ("203.0.113.9", 5)
GET = b"GET /randoms?limit=2 HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer a.b.c\r\n\r\n"
POST = b"POST /randoms HTTP/1.1\r\nhost:x\r\nContent-Length: 4\r\n\r\nbody"


def _config(**settings: object) -> Config:
    config = Config()
    for name, value in settings.items():
        config.set(name, value)
    return config


def _requests(parser: Iterator[Any]) -> list[object]:
    """Tell all that is read of each request of a connection, and how it ends."""
    told: list[object] = []
    while True:
        try:
            request = next(parser)
            told += [
                (request.method, request.uri, request.path, request.query, request.fragment),
                (request.version, request.headers, request.scheme, request.should_close()),
                (request.body.read(), request.trailers, request.proxy_protocol_info),
                request._expected_100_continue,
            ]
            if not parser.finish_body():  # type: ignore[attr-defined]
                return [*told, "unfinished"]
        except StopIteration:
            return [*told, "over"]
        except Exception as error:  # noqa: BLE001 - each refusal has a class of its own
            return [*told, type(error), str(error)]


def _alike(parts: list[bytes], peer: object = PROXY, **settings: object) -> list[object]:
    """Let both parsers read a connection; return what they agree on."""
    config = _config(**settings)
    ours = _requests(PlainParser(config, iter(parts), peer))
    assert ours == _requests(RequestParser(config, iter(parts), peer))
    return ours


def _is_plain(request: bytes, peer: object = PROXY, **settings: object) -> bool:
    """Tell whether a request is read at one look, and hold it against gunicorn's reading."""
    _alike([request], peer, **settings)
    parser = PlainParser(_config(**settings), iter([request]), peer)
    try:
        return isinstance(next(parser), PlainRequest)
    except Exception:  # noqa: BLE001
        return False


USUAL = [
    GET,
    POST,
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /a:b/%2F;c=1?x=[1]&y=?&z HTTP/1.1\r\nHost: [::1]:8\r\nX-A:\r\nX-B: \ta\tb \r\n\r\n",
    b"DELETE /randoms/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"OPTIONS /randoms HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\nOrigin: null\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: x\r\nCookie: \xe9=1\r\nContent-Length: 0\r\n\r\n",
    b"PATCH / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 002\r\n\r\n{}",
]


@pytest.mark.parametrize("request_", USUAL)
def test_usual_requests_are_plain(request_: bytes) -> None:
    """Otherwise the quick way would be there and never be gone."""
    assert _is_plain(request_)


UNUSUAL = {
    "another version": b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
    "no version": b"GET /\r\nHost: x\r\n\r\n",
    "version of two digits": b"GET / HTTP/1.10\r\nHost: x\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an empty line before": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "another method": b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a whole address": b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "two slashes": b"GET //x/y HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path beyond ASCII": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab in the path": b"GET /\t HTTP/1.1\r\nHost: x\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a line without a colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "a line without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "a bare LF in a value": b"GET / HTTP/1.1\r\nX: a\nHost: x\r\n\r\n",
    "a bare CR in a value": b"GET / HTTP/1.1\r\nX: a\rHost: x\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n",
    "an underscore": b"GET / HTTP/1.1\r\nContent_Length: 4\r\n\r\nbody",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "one header twice": b"GET / HTTP/1.1\r\nX-A: x\r\nx-a: y\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
    "two lengths in one": b"POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\nbody",
    "a length with a sign": b"POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\nbody",
    "a length that is none": b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\nbody",
    "no length": b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\nbody",
    "a length beyond all": b"POST / HTTP/1.1\r\nContent-Length: 1234567890\r\n\r\nbody",
    "a body that ends early": b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nbody",
    "chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    "chunks and a length": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4"
    b"\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    "another coding": b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "a coding of its own": b"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
    "an expectation": b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    "an upgrade": b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a head without an end": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("request_", UNUSUAL.values(), ids=UNUSUAL)
def test_all_others_are_gunicorns(request_: bytes) -> None:
    """It reads or refuses them."""
    assert not _is_plain(request_)


@pytest.mark.parametrize("peer", [PROXY, STRANGER, "", ("::1", 5, 0, 0)])
@pytest.mark.parametrize("said", ["https", "http", "HTTPS", ""])
@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "x-forwarded-ssl", "X-Forwarded-Protocol"])
def test_a_proxy_tells_the_scheme(name: str, said: str, peer: object) -> None:
    """Whoever may, and nobody else."""
    assert _is_plain(f"GET / HTTP/1.1\r\n{name}: {said}\r\n\r\n".encode(), peer)


def test_the_scheme_of_a_proxy_is_believed() -> None:
    """So the comparison above is not one of nothing with nothing."""
    request = b"GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\n\r\n"
    assert next(PlainParser(Config(), iter([request]), PROXY)).scheme == "https"
    assert next(PlainParser(Config(), iter([request]), STRANGER)).scheme == "http"


def test_two_schemes_are_gunicorns() -> None:
    """They may contradict each other; of a stranger neither counts."""
    two = b"GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n"
    assert not _is_plain(two)
    assert _is_plain(two, STRANGER)


LIMITS: list[tuple[dict[str, object], Callable[[int], bytes]]] = [
    ({"limit_request_line": 50}, lambda n: b"GET /" + b"a" * (n + 36) + b" HTTP/1.1\r\n\r\n"),
    (
        {"limit_request_field_size": 50},
        lambda n: b"GET / HTTP/1.1\r\nX:" + b"a" * (n + 46) + b"\r\n\r\n",
    ),
    (
        {"limit_request_fields": 5},
        lambda n: (
            b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(n + 5)) + b"\r\n"
        ),
    ),
]


@pytest.mark.parametrize(("settings", "made"), LIMITS, ids=["line", "field", "fields"])
def test_limits_are_gunicorns(settings: dict[str, object], made: Callable[[int], bytes]) -> None:
    """What is as long as it may be is plain, and nothing longer."""
    assert _is_plain(made(0), **settings)
    assert not _is_plain(made(1), **settings)
    assert _is_plain(made(1))


@pytest.mark.parametrize("settings", [{"limit_request_line": 0}, {"limit_request_field_size": 0}])
def test_no_limit(settings: dict[str, object]) -> None:
    """Zero means none, as far as gunicorn goes."""
    assert _is_plain(GET, **settings)


def test_whatever_comes_after_is_the_next_request() -> None:
    """Plain ones and others on one connection, cut anywhere."""
    chunked = UNUSUAL["chunks"]
    stream = GET + POST + chunked + GET + UNUSUAL["one header twice"] + POST
    told = _alike([stream])
    assert told[-1] == "over"
    assert len(told) == 6 * 4 + 1
    for cut in range(1, len(stream)):
        assert _alike([stream[:cut], stream[cut:]]) == told


def test_after_a_foreign_body_it_is_quick_again() -> None:
    """One rare request does not make a connection slow for good."""
    parser = PlainParser(Config(), iter([UNUSUAL["chunks"], GET]), PROXY)
    first = next(parser)
    assert not isinstance(first, PlainRequest)
    assert parser.finish_body()
    assert isinstance(next(parser), PlainRequest)


_SCRAPS = [
    *(b"GET ", b"/", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b": ", b"\n", b"\r", b" ", b"0"),
    *(b"Host: x\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"X-Forwarded-Proto: https\r\n", b"Connection: close\r\n", b"\x00", b"\xff", b"_", b"#"),
]
_PIECES = st.sampled_from([*USUAL, *UNUSUAL.values(), *_SCRAPS])


@st.composite
def _mutants(draw: st.DrawFn) -> bytes:
    """A request into which something was put, or of which something was taken."""
    text = draw(st.sampled_from([*USUAL, *UNUSUAL.values()]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        taken = draw(st.integers(0, 4))
        text = text[:at] + draw(_PIECES | st.binary(max_size=3)) + text[at + taken :]
    return text


@given(_mutants(), st.sampled_from([PROXY, STRANGER]))
def test_no_two_readings(text: bytes, peer: object) -> None:
    """Whatever comes."""
    _alike([text], peer)


@given(st.lists(_PIECES, max_size=12))
def test_no_two_readings_in_pieces(pieces: list[bytes]) -> None:
    """However it is put together, and comes."""
    _alike([b"".join(pieces)])
    _alike(pieces)


class _Wire:
    """What a socket sends, and in how many parts."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)


def _sent(
    kind: type,
    status: str,
    headers: list[tuple[str, str]],
    body: Iterable[bytes],
    *,
    request: bytes = GET,
    closing: bool = False,
) -> list[bytes] | str:
    wire = _Wire()
    asked = next(PlainParser(_config(sendfile=False), iter([request]), PROXY))
    response = kind(asked, wire, _config(sendfile=False))
    if closing:
        response.force_close()
    try:
        response.start_response(status, headers)
        if kind is PlainResponse:
            response.write_all(body)
        else:
            for part in body:
                response.write(part)
            response.close()
    except Exception as error:  # noqa: BLE001 - what a header is refused with
        return f"{type(error).__name__}: {error}"
    return [b"".join(wire.sent).split(b"Date: ")[0], b"".join(wire.sent).split(b"GMT", 1)[-1]]


_JSON = [("Content-Type", "application/json"), ("Content-Length", "4"), ("X-Request-ID", "a ")]
ANSWERS: dict[str, tuple[str, list[tuple[str, str]], list[bytes]]] = {
    "whole": ("200 OK", _JSON, [b"body"]),
    "in parts": ("200 OK", _JSON, [b"bo", b"dy"]),
    "with an empty part": ("200 OK", _JSON, [b"", b"body", b""]),
    "too long": ("200 OK", _JSON, [b"body!"]),
    "too short": ("200 OK", _JSON, [b"bod"]),
    "longer than its first part": ("200 OK", _JSON, [b"body", b"more"]),
    "without a length": ("200 OK", [("Content-Type", "a/b")], [b"bo", b"dy"]),
    "empty": ("200 OK", [("Content-Length", "0")], [b""]),
    "nothing at all": ("200 OK", [("Content-Length", "0")], []),
    "no content": ("204 NO CONTENT", [("X-Request-ID", "a")], []),
    "no content, but a body": ("204 NO CONTENT", _JSON, [b"body"]),
    "not modified": ("304 NOT MODIFIED", _JSON, []),
    "an upgrade": (
        "101 Switching Protocols",
        [("Connection", "upgrade"), ("Upgrade", "websocket")],
        [],
    ),
    "hop by hop": ("200 OK", [*_JSON, ("Connection", "close"), ("Keep-Alive", "1")], [b"body"]),
    "beyond ASCII": ("200 OK", [*_JSON, ("Link", "</\xe9>")], [b"body"]),
    "beyond Latin-1": ("200 OK", [*_JSON, ("Link", "</\u20ac>")], [b"body"]),
    "a line end in a header": ("200 OK", [*_JSON, ("Link", "a\r\nX: y")], [b"body"]),
    "a tab in a header": ("200 OK", [*_JSON, ("Link", "\ta\tb\t")], [b"body"]),
    "DEL in a header": ("200 OK", [*_JSON, ("Location", "a\x7f")], [b"body"]),
    "a name that is none": ("200 OK", [*_JSON, ("X Y", "a")], [b"body"]),
    "a length that is none": ("200 OK", [("Content-Length", "x")], [b"body"]),
    "no status": ("OK", _JSON, [b"body"]),
}


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("request_", [GET, USUAL[4], USUAL[6]], ids=["GET", "closing", "HEAD"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_answers_are_gunicorns(
    answer: tuple[str, list[tuple[str, str]], list[bytes]], request_: bytes, closing: bool
) -> None:
    """Byte for byte, and refused alike."""
    theirs = _sent(Response, *answer, request=request_, closing=closing)
    assert _sent(PlainResponse, *answer, request=request_, closing=closing) == theirs


def test_a_whole_answer_is_sent_in_one_go() -> None:
    """Head and body in one segment, for the kernel and for the client."""
    wire = _Wire()
    response = PlainResponse(next(PlainParser(Config(), iter([GET]), PROXY)), wire, Config())
    response.start_response("200 OK", _JSON)
    response.write_all([b"body"])
    assert len(wire.sent) == 1
    assert wire.sent[0].endswith(b"\r\n\r\nbody")


def test_text_is_no_answer() -> None:
    """Nothing is sent yet, so that the client can be told 500."""
    wire = _Wire()
    response = PlainResponse(next(PlainParser(Config(), iter([GET]), PROXY)), wire, Config())
    response.start_response("200 OK", _JSON)
    with pytest.raises(TypeError):
        response.write_all(["body"])  # type: ignore[list-item]
    assert not response.headers_sent
    assert wire.sent == []


def test_a_file_is_sent_as_a_file() -> None:
    """Through gunicorn's `write_file`, which asks the kernel to where it can."""
    wire = _Wire()
    config = _config(sendfile=False)
    response = PlainResponse(next(PlainParser(config, iter([GET]), PROXY)), wire, config)
    response.start_response("200 OK", _JSON)
    response.write_all(FileWrapper(io.BytesIO(b"body")))
    assert b"".join(wire.sent).endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize(
    ("settings", "suits"),
    [
        ({}, True),
        ({"certfile": "x", "keyfile": "y"}, False),
        ({"proxy_protocol": "v1"}, False),
        ({"protocol": "uwsgi"}, False),
        ({"http_protocols": "h1,h2", "http2_cleartext": "both"}, False),
    ],
)
def test_where_something_else_comes_first(settings: dict[str, object], suits: bool) -> None:
    """TLS, PROXY, uWSGI and HTTP/2 begin with other bytes; they are gunicorn's."""
    assert PlainParser.suits(_config(**settings)) is suits


PORT, SOCKET = ("127.0.0.1", 8000), "/run/service.sock"
_MADE_ANEW = {"wsgi.errors", "wsgi.early_hints"}  # for each request, whatever it is


def _connection(*requests: bytes, client: object = PROXY, server: object = PORT) -> SimpleNamespace:
    """Stand for gunicorn's TConn, with a parser of ours."""
    config = _config(workers=2)
    return SimpleNamespace(
        cfg=config,
        sock=_Wire(),
        client=client,
        server=server,
        parser=PlainParser(config, iter(requests), client),
    )


def _next_environ(conn: SimpleNamespace) -> dict[str, Any]:
    """Read the next request; return its environ, held against gunicorn's."""
    request = next(conn.parser)
    response, environ = conn.parser.begin(request, conn)
    _, theirs = create(request, conn.sock, conn.client, conn.server, conn.cfg)
    theirs["wsgi.multithread"] = True  # as gthread has it
    assert environ.keys() == theirs.keys()
    assert all(environ[name] == theirs[name] for name in environ.keys() - _MADE_ANEW)
    assert (response.req, response.sock, response.cfg) == (request, conn.sock, conn.cfg)
    assert conn.parser.finish_body()
    return dict(environ)


@pytest.mark.parametrize("request_", USUAL)
@pytest.mark.parametrize(
    ("client", "server"),
    [(PROXY, PORT), (("::1", 5, 0, 0), ("::1", 8000, 0, 0)), ("", SOCKET), (b"", SOCKET)],
)
def test_the_environ_is_gunicorns(request_: bytes, client: object, server: object) -> None:
    """Of the first request of a connection, and of those for which part of it is known."""
    request_ = request_.replace(b"Connection: close", b"Connection: keep-alive")
    other = b"PUT /a HTTP/1.1\r\nX-Only: here\r\nHost: y\r\nContent-Length: 1\r\n\r\nb"
    conn = _connection(other, request_, other, request_, client=client, server=server)
    _next_environ(conn)
    first = _next_environ(conn)
    assert "HTTP_X_ONLY" not in first
    _next_environ(conn)
    again = _next_environ(conn)
    assert first.keys() == again.keys()


def test_below_a_prefix_the_environ_is_gunicorns(monkeypatch: pytest.MonkeyPatch) -> None:
    """SCRIPT_NAME is cut off each path."""
    monkeypatch.setenv("SCRIPT_NAME", "/randoms")
    conn = _connection(GET, GET.replace(b"?", b"/%2F?"))
    assert _next_environ(conn)["PATH_INFO"] == ""
    assert _next_environ(conn)["PATH_INFO"] == "//"


def test_errors_go_where_the_log_is_by_now() -> None:
    """It is opened anew when it was rotated, and a connection may be older than that."""
    conn = _connection(GET, GET)
    _next_environ(conn)
    errors = _next_environ(conn)["wsgi.errors"]
    handler = logging.StreamHandler(io.StringIO())
    log = logging.getLogger("gunicorn.error")
    log.addHandler(handler)
    conn.cfg.set("errorlog", "a file")
    try:
        errors.write("before ")
        rotated = handler.setStream(io.StringIO())
        errors.writelines(["after ", "it"])
    finally:
        log.removeHandler(handler)
    assert rotated is not None
    assert (rotated.getvalue(), handler.stream.getvalue()) == ("before ", "after it")


def test_hints_are_gunicorns() -> None:
    """They come before the answer, and no longer once it has begun."""
    conn = _connection(GET, GET)
    _next_environ(conn)
    request = next(conn.parser)
    response, environ = conn.parser.begin(request, conn)
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    assert conn.sock.sent == [hint]
    response.start_response("200 OK", _JSON)
    response.write_all([b"body"])
    environ["wsgi.early_hints"]([("Link", "</late.css>; rel=preload")])
    assert len(conn.sock.sent) == 2


APP = """
import io, os, sys
from pathlib import Path


class Closing(list):
    def close(self):
        Path("closed").touch()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raises":
        raise RuntimeError("before")
    if path == "/exits":
        sys.exit(3)
    body = environ["wsgi.input"].read() if path == "/echo" else f"{os.getpid()}".encode()
    start_response("200 OK", [("Content-Length", str(len(body) or 99))])
    if path == "/breaks":
        return broken(body)
    if path == "/file":
        return environ["wsgi.file_wrapper"](io.BytesIO(body))
    return Closing([body])


def broken(body):
    yield body[:1]
    raise RuntimeError("halfway")
"""


def _asked(served: Served, path: str, *fields: str, body: str = "") -> str:
    """Send a request as it is and return the whole answer."""
    connection = served.connect()
    head = "".join(f"{field}\r\n" for field in (*fields, "Host: x", "Connection: close"))
    connection.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n{body}".encode())
    with connection:
        answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    return re.sub("Date: .*?\r\n", "", answer)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """An app with manners good and bad."""
    with serving(tmp_path, APP, "--access-logfile", "-", "--log-level", "debug") as served:
        until(lambda: served.get("/") != "")
        yield served


_RARELY = ("X-A: 1", "X-A: 2")  # what makes a request gunicorn's


@pytest.mark.parametrize("path", ["/", "/file", "/breaks", "/raises", "/echo"])
def test_a_worker_answers_both_alike(served: Served, path: str) -> None:
    """An app that returns, streams a file, breaks off or raises."""
    said = ("Content-Length: 4",)
    plain = _asked(served, path, *said, body="body")
    assert plain == _asked(served, path, *said, *_RARELY, body="body")
    assert len(plain) > len("HTTP/1.1 200 OK")
    if path == "/raises":
        assert plain.startswith("HTTP/1.1 500 Internal Server Error\r\n")
    if path == "/echo":
        assert plain.endswith("\r\n\r\nbody")


def test_gunicorn_hears_of_plain_requests(served: Served, tmp_path: Path) -> None:
    """Its access log and its hooks; and the app is told when its answer has gone."""
    _asked(served, "/logged")
    until(lambda: '"POST /logged HTTP/1.1" 200' in served.output)
    assert (tmp_path / "closed").exists()
    assert "POST /logged" in served.output.replace('"POST /logged', "")  # what `pre_request` says
    _asked(served, "/breaks")
    until(lambda: "RuntimeError: halfway" in served.output)


def test_a_view_that_exits_ends_the_worker(served: Served) -> None:
    """As with gunicorn's own way."""
    before = served.get("/")
    assert served.get("/exits") == ""
    until(lambda: served.get("/") not in {"", before})


def test_a_worker_ends_after_so_many_requests(tmp_path: Path) -> None:
    """The last one is told that no more are answered here."""
    with serving(tmp_path, APP, "--max-requests", "3", "--keep-alive", "60") as served:
        until(lambda: served.get("/") != "")
        connection = served.connect()
        connection.sendall(GET * 2)
        with connection:
            text = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        assert re.findall("Connection: ([a-z-]+)", text) == ["keep-alive", "close"]
        until(lambda: "Autorestarting worker" in served.output)
        until(lambda: served.get("/") not in {"", text[-len("99999") :]})


def test_no_connection_is_kept_where_none_may_be(tmp_path: Path) -> None:
    """`--keep-alive 0`."""
    with serving(tmp_path, APP, "--keep-alive", "0") as served:
        until(lambda: served.get("/") != "")
        connection = served.connect()
        connection.sendall(GET)
        with connection:
            assert b"Connection: close" in b"".join(iter(lambda: connection.recv(4096), b""))
