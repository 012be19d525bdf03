"""A pool's JWKS, for every client that downloads it.

`requests`, urllib, urllib3 and httpx are intercepted, each by its own means, since most verifiers
download with them: ours, Authlib's and python-jose's recipes, PyJWT's PyJWKClient, FastAPI apps. A
server on loopback serves everything else.
"""

import contextlib
import io
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.error import URLError
from urllib.request import HTTPSHandler, Request
from urllib.response import addinfourl

import pytest
import requests
import responses
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.exceptions import ProtocolError

from resource_server.testing.adapters import answered_first, leaks_kept
from resource_server.testing.forgeries import attackers_documents
from resource_server.testing.imports import whenever_imported
from resource_server.testing.pool import CognitoPool, JwksAnswer
from resource_server.tokens import UserPool

_JSON = "application/json"
_HTTPS_PORT = 443
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]")
_ANY = re.compile("")
_AWS = re.compile(r"https://[^/]+\.amazonaws\.com/")
Answer = Callable[[], JwksAnswer]
_HANG_UP = "the pool is away, as the test wants it"


@contextlib.contextmanager
def intercepted(pool: CognitoPool, *, moto: bool = False) -> Iterator[responses.RequestsMock]:
    """Answer at the pool's JWKS address, whatever mocks are started beside this one.

    Other addresses but loopback are refused to `requests`, or left to the mock that was there
    before. `moto` tells that it is the kit's, to which only what is AWS's is left.
    """
    before: Any = HTTPAdapter.send
    answers = _answers(pool)
    with (
        pool.current(),
        leaks_kept(
            responses.RequestsMock(assert_all_requests_are_fired=False, real_adapter_send=before)
        ) as mock,
        answered_first(answers.keys(), mock.unbound_on_send()),
        _urllib(answers),
        _urllib3(answers),
        _httpx(answers),
    ):
        mock.add_passthru(_LOOPBACK)
        if moto:
            mock.add_passthru(_AWS)
        elif before.__module__ != HTTPAdapter.__module__:  # somebody's mock, which refuses itself
            mock.add_passthru(_ANY)
        for address, answer in answers.items():
            _add(mock, address, answer)
        yield mock


def register(mock: responses.RequestsMock, pool: CognitoPool) -> None:
    """Let a mock of your own answer at a pool's JWKS address: a further one's."""
    _add(mock, pool.jwks_uri, pool.answer)


def _add(mock: responses.RequestsMock, address: str, answer: Answer) -> None:
    def reply(_request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        given = answer()
        if given.body is None:
            raise requests.ConnectionError(_HANG_UP)
        return given.status, {}, given.body

    mock.add_callback(responses.GET, address, callback=reply, content_type=_JSON)


def _answers(pool: CognitoPool) -> dict[str, Answer]:
    """Return who answers at which address: the pool, and the attacker of its forged tokens."""
    answers: dict[str, Answer] = {UserPool.parse(pool.pool_id).jwks_uri: pool.answer}
    for address, document in attackers_documents(pool).items():
        answers[address] = partial(_document, document)
    return answers


def _document(write: Callable[[], bytes]) -> JwksAnswer:
    return JwksAnswer(200, write())


@contextlib.contextmanager
def _urllib(answers: Mapping[str, Answer]) -> Iterator[None]:
    """Answer to every opener there is or will be: PyJWT, for one, makes its own."""
    before = HTTPSHandler.https_open

    def https_open(handler: HTTPSHandler, request: Request) -> Any:
        answer = answers.get(request.full_url.partition("?")[0])
        if answer is None:
            return before(handler, request)
        given = answer()
        if given.body is None:
            raise URLError(_HANG_UP)
        headers = Message()
        headers["Content-Type"] = _JSON
        reply = addinfourl(io.BytesIO(given.body), headers, request.full_url, given.status)
        vars(reply)["msg"] = ""  # where urllib looks for the reason of a refusal
        return reply

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPSHandler, "https_open", https_open)
        yield


@contextlib.contextmanager
def _httpx(answers: Mapping[str, Answer]) -> Iterator[None]:
    """Intercept the clients of httpx, and of what it is called from version 2 on.

    They are not imported for it. One that is imported later is patched then.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("httpx", "httpx2"):
            if name in sys.modules:
                _intercept(sys.modules[name], answers, patch)
        with whenever_imported(
            {"httpx", "httpx2"}, lambda module: _intercept(module, answers, patch)
        ):
            yield


@contextlib.contextmanager
def _urllib3(answers: Mapping[str, Answer]) -> Iterator[None]:
    """Intercept every connection pool of urllib3 there is or will be."""
    before = HTTPConnectionPool.urlopen

    def urlopen(pool: HTTPConnectionPool, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        path = url.removeprefix(f"{pool.scheme}://{pool.host}").partition("?")[0]
        answer = answers.get(f"{pool.scheme}://{pool.host}{path}")
        if answer is None or pool.port not in {None, _HTTPS_PORT}:
            return before(pool, method, url, *args, **kwargs)
        given = answer()
        if given.body is None:
            raise ProtocolError(_HANG_UP)
        return HTTPResponse(
            io.BytesIO(given.body),
            headers={"Content-Type": _JSON},
            status=given.status,
            preload_content=kwargs.get("preload_content", True),
            request_method=method,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPConnectionPool, "urlopen", urlopen)
        yield


def _intercept(httpx: Any, answers: Mapping[str, Answer], patch: pytest.MonkeyPatch) -> None:
    before = httpx.HTTPTransport.handle_request
    before_async = httpx.AsyncHTTPTransport.handle_async_request

    def reply(request: Any) -> Any:
        answer = answers.get(str(request.url).partition("?")[0])
        if answer is None:
            return None
        given = answer()
        if given.body is None:
            raise httpx.ConnectError(_HANG_UP, request=request)
        headers = {"Content-Type": _JSON}
        return httpx.Response(given.status, headers=headers, content=given.body, request=request)

    def handle_request(transport: Any, request: Any) -> Any:
        answer = reply(request)
        return before(transport, request) if answer is None else answer

    async def handle_async_request(transport: Any, request: Any) -> Any:
        answer = reply(request)
        return await before_async(transport, request) if answer is None else answer

    patch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
    patch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle_async_request)


class JwksServer:
    """Serves pools' keys by HTTP on 127.0.0.1, on a free port, in a thread.

    `with JwksServer() as server, server.serving(pool):`
    """

    def __init__(self) -> None:
        self._pools: list[CognitoPool] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))

    @property
    def address(self) -> str:
        """The beginning of its URLs."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def serving(self, pool: CognitoPool) -> Iterator[None]:
        """Serve a pool, whose `jwks_uri` is here meanwhile."""
        before, pool.address = pool.address, self.address
        self._pools.append(pool)
        try:
            yield
        finally:
            self._pools.remove(pool)
            pool.address = before

    def __enter__(self) -> Self:
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.05,), name="jwks", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str) -> JwksAnswer | None:
        for pool in list(self._pools):
            if pool.jwks_uri == f"{self.address}{path}":
                return pool.answer()
        return None


def _handler(answer: Callable[[str], JwksAnswer | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer, say that there is no such pool, or hang up."""
            given = answer(self.path)
            if given is None:
                self.send_error(404, "there is no such pool in this test")
            elif given.body is None:
                self.close_connection = True
            else:
                self.send_response(given.status)
                self.send_header("Content-Type", _JSON)
                self.send_header("Content-Length", str(len(given.body)))
                self.end_headers()
                self.wfile.write(given.body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler
