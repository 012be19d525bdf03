"""The emulator's HTTP server: moto, managed login, and what tests and containers ask it."""

import contextlib
import io
import re
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import request
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wsgi import ClosingIterator

from resource_server.emulator import gaps
from resource_server.emulator.control import control
from resource_server.emulator.managed_login import create_app
from resource_server.tokens.keys import LOOPBACK
from resource_server.werkzeug_support import JSONErrors

if TYPE_CHECKING:
    from flask import Flask

# What is not moto's: the pools' own endpoints, and ours.
_OURS = re.compile(r"/(health$|_emulator/|[a-z]+(-[a-z]+)+-[0-9]+_[0-9A-Za-z]+/)")
_FOREIGN = b"""The emulator is for programs on this machine.
If others call it by another name, start it with that as --public-url.
"""
_GRACE_SECONDS = 5.0


class CannotServe(OSError):
    """Nothing can be served at an address; the text says why."""


class Server:
    """Serves every pool there is; `save` is called before an answer leaves, so what was said stays.

    Web pages of other origins are kept out, under whatever name they know this machine.
    """

    def __init__(self, save: Callable[[], None]) -> None:
        gaps.fill()
        self._save = save
        self._moto = DomainDispatcherApplication(_moto_app)
        self._web: Flask | None = None
        self._hosts = LOOPBACK
        # moto's models know no locks, and a file is written: one request at a time.
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._active = 0
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def bind(self, *ports: int, host: str = "127.0.0.1", public_url: str | None = None) -> str:
        """Take the first port that is free; return the server's address.

        Requests wait from now on, and are answered after `serve`. `public_url` is what others
        call the server by.

        Raises CannotServe.
        """
        self._server = _bind(host, ports, self)
        name = f"[{host}]" if ":" in host else host
        reached = "127.0.0.1" if host in {"0.0.0.0", "::"} else name  # noqa: S104 - a comparison
        url = public_url or f"http://{reached}:{self._server.server_port}"
        self._hosts = LOOPBACK | {urlsplit(url).hostname or host, host}
        self._web = create_app(url)
        self._web.register_blueprint(control)
        return url

    @property
    def _bound(self) -> BaseWSGIServer:
        if self._server is None:
            raise CannotServe("no port was taken")
        return self._server

    @property
    def port(self) -> int:
        """The port that was taken."""
        return self._bound.server_port

    def serve(self) -> None:
        """Answer requests, in a thread."""
        run = self._bound.serve_forever
        self._thread = threading.Thread(target=run, name="emulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and let those that are here be answered, for five seconds."""
        if self._thread is not None:  # for one that never began `shutdown` would wait for ever
            self._bound.shutdown()
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0, _GRACE_SECONDS)
        self._bound.server_close()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        with self._idle:
            self._active += 1
        try:
            body = self._answer(environ, start_response)
        except BaseException:
            self._done()
            raise
        return ClosingIterator(body, self._done)

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        is_ours = _OURS.match(environ["PATH_INFO"]) is not None
        if not self._is_known(environ) or (not is_ours and _is_of_a_page(environ)):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [_FOREIGN]
        with self._lock:
            app = self._web if is_ours and self._web else self._moto
            body = list(app(environ, start_response))
            if environ["REQUEST_METHOD"] == "POST":
                self._save()
        return body

    def _is_known(self, environ: dict[str, Any]) -> bool:
        """Tell whether the request calls us by a name of ours (DNS rebinding brings others)."""
        try:
            host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname
        except ValueError:
            return False
        return host in self._hosts

    def _done(self) -> None:
        with self._idle:
            self._active -= 1
            self._idle.notify_all()


def _is_of_a_page(environ: dict[str, Any]) -> bool:
    """Tell whether a browser sent this for some page, or it is for moto's own controls."""
    return "HTTP_ORIGIN" in environ or environ["PATH_INFO"].startswith("/moto-api")


def _moto_app(service: Any) -> "Flask":
    """Make moto's app of a service; what it lacks is told in JSON, which SDKs can read."""
    app = create_backend_app(service)
    app.register_error_handler(NotImplementedError, _not_emulated)
    return app


def _not_emulated(_error: NotImplementedError) -> tuple[dict[str, str], int]:
    # 501: of other errors of servers SDKs believe that they pass.
    operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    message = f"{operation or 'This operation'} is not emulated: docs/emulator.md says what is"
    return {"__type": "NotImplementedException", "message": message}, 501


class _QuietHandler(JSONErrors, MotoRequestHandler):
    """The terminal belongs to whoever started us."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def _bind(host: str, ports: Iterable[int], app: Server) -> BaseWSGIServer:
    # make_server says on stderr why it cannot, then exits the process.
    said = io.StringIO()
    for port in ports:
        with contextlib.suppress(SystemExit), contextlib.redirect_stderr(said):
            return make_server(host, port, app, threaded=True, request_handler=_QuietHandler)
    raise CannotServe(said.getvalue().partition("\n")[0])
