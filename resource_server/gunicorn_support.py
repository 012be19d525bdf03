"""What gunicorn.conf.py needs of gunicorn beyond its settings, for every class of worker.

gunicorn 27 has no setting for the sum of a request's headers, for its own error pages, or for how
it reports an error of the start. `install` sets the first two. The other functions are called by
the hooks of gunicorn.conf.py.
"""

import errno
import json
import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.errors import AppImportError  # type: ignore[import-untyped]
from gunicorn.http.errors import ConfigurationProblem  # type: ignore[import-untyped]
from gunicorn.http.message import Message  # type: ignore[import-untyped]

from resource_server import logs
from resource_server.edge import MAX_HEADER_BYTES

CANNOT_START = 3
"""The exit status after an error that no restart changes, as gunicorn itself uses it."""
reports_load_errors = False
"""Whether this process or the master before it called `report_load_errors_once`."""
_NOT_NOW = 1  # what another attempt may change: a port in use
_PORT_PATIENCE_SECONDS = 5.0
_PORT_PAUSE_SECONDS = 0.2

_THREADED = {"gthread", "sync"}
_ASYNCHRONOUS = re.compile(r"egg:|uvicorn|gunicorn\.workers\.g(gevent|eventlet|tornado|asgi)")
_LINGER_SECONDS = 1.0


def install() -> None:
    """Limit the sum of a request's headers, and respond in JSON where gunicorn cannot parse."""
    # gunicorn sets the attribute for each message, from the number of headers times their size.
    Message.max_buffer_headers = property(lambda _: MAX_HEADER_BYTES, lambda _, __: None)
    util.write_error = write_error


def write_error(sock: socket.socket, status_int: int, _reason: str, _message: str) -> None:
    """Respond to a request that gunicorn could not parse. Replaces `gunicorn.util.write_error`.

    The body names the status. gunicorn's own page repeats what was sent.
    """
    status = HTTPStatus(status_int)
    if isinstance(sys.exc_info()[1], ConfigurationProblem):  # a path outside SCRIPT_NAME
        status = HTTPStatus.NOT_FOUND
    body = json.dumps({"detail": status.phrase.capitalize()}).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"X-Request-ID: {logs.id_of_error(sys.exc_info()[1])}\r\n"
        "\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


def every_address(port: int) -> list[str]:
    """Return what to bind so that a port is open on all addresses, IPv6 and IPv4.

    Without IPv6 on this machine that is only `0.0.0.0`.
    """
    ipv4, ipv6 = f"0.0.0.0:{port}", f"[::]:{port}"
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
            excludes_ipv4 = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return [ipv4]
    return [ipv4, ipv6] if excludes_ipv4 else [ipv6]


def address(host: str, port: int) -> list[str]:
    """Return what to bind for an IP address. The unspecified ones mean all addresses."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - a comparison
        return every_address(port)
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]


def check_worker_class(name: str) -> None:
    """Stop with a sentence if the service cannot run in a class of workers.

    Database connections, rate limits and the cache of keys wait in threads. Greenlets would wait
    in the same thread for each other.
    """
    is_path = "." in name or ":" in name
    if _ASYNCHRONOUS.match(name) if is_path else name not in _THREADED:
        stop(
            f"Worker class {name} is not supported: this service runs in threads. "
            "Leave out -k (--worker-class), or use gthread or sync."
        )


def stop(message: str, status: int = CANNOT_START) -> None:
    """End this process with one message on stderr."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    raise SystemExit(status)


def wait_for_ports(cfg: Any) -> None:
    """Wait until the ports to bind are free, for five seconds, else stop with a sentence.

    gunicorn itself logs three lines a second for each attempt. A process that is stopping may hold
    the port for a moment.
    """
    if cfg.reuse_port:
        return
    deadline = time.monotonic() + _PORT_PATIENCE_SECONDS
    for bound in cfg.address:
        if isinstance(bound, str) and not Path(bound).parent.is_dir():
            stop(f"The folder of the socket {bound} does not exist. Create it, or set --bind.")
        if not isinstance(bound, tuple):
            continue
        while (error := _bind_error(bound)) is not None:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                stop(_sentence(bound, error), _NOT_NOW)
            time.sleep(_PORT_PAUSE_SECONDS)


def _bind_error(bound: tuple[str, int]) -> OSError | None:
    family = socket.AF_INET6 if ":" in bound[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(bound)
    except OSError as error:
        return error
    return None


def _sentence(bound: tuple[str, int], error: OSError) -> str:
    host, port = bound[:2]
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use. Stop the other process, or set PORT, "
            "MANAGEMENT_PORT or --bind."
        )
    return f"Port {port} of {host} cannot be bound: {error.strerror}. Set PORT or --bind."


def report_load_errors_once(server: Any) -> None:
    """Let only one process report why the app cannot be loaded, and gunicorn stop.

    Without --preload each worker loads the app, fails alike, and gunicorn logs a traceback for
    each. Call this in the master before the app is loaded.
    """
    global reports_load_errors  # noqa: PLW0603 - of the process, and workers inherit it
    reports_load_errors = True
    load = server.app.load
    token = _Token()

    def load_or_stop() -> Any:
        try:
            return load()
        except Exception as error:  # noqa: BLE001 - any error is reported and ends here
            if token.take():
                _report(server.log, error)
                raise SystemExit(CANNOT_START) from None
            # That status of a first worker stops the master, and of a second one it crashes it.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(_LINGER_SECONDS)
            raise SystemExit(0) from None

    server.app.load = load_or_stop


def _report(log: Any, error: Exception) -> None:
    if isinstance(error, click.ClickException):
        log.error(error.format_message())
    elif isinstance(error, (ImportError, AppImportError)):
        log.error("The service cannot start: %s", str(error))
    else:
        log.error("The service cannot start: %s", type(error).__name__, exc_info=error)


class _Token:
    """Something that one of several processes made by a fork can take."""

    def __init__(self) -> None:
        self._source, target = os.pipe()
        os.set_blocking(self._source, False)
        os.write(target, b"1")
        os.close(target)

    def take(self) -> bool:
        """Return whether this process is the first to ask."""
        with suppress(BlockingIOError):
            return bool(os.read(self._source, 1))
        return False
