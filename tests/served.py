"""A small WSGI app under gunicorn and our worker, asked over plain sockets."""

import functools
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soak.daemons import Daemon, free_port, listens, wait_until

ROOT = Path(__file__).parent.parent
WORKER = "resource_server.worker.Worker"
_SECONDS = 20

until = functools.partial(wait_until, seconds=30)


class Served(Daemon):
    """A gunicorn with one worker, which serves `served_app` of a folder."""

    def __init__(self, folder: Path, *options: str, worker: str) -> None:
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "gunicorn", "served_app:app", "--bind", address]
        command += ["--worker-class", worker, "--workers", "1", "--no-control-socket", *options]
        paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
        super().__init__("gunicorn", command, home=folder, environment=paths)

    def connect(self) -> socket.socket:
        """Connect and say nothing yet; the kernel takes it in, whoever is there."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=_SECONDS)

    def ask(self, path: str = "/", *, close: bool = True) -> socket.socket:
        """Send a request; `read` has the answer."""
        connection = self.connect()
        connection.sendall(request(path, close=close))
        return connection

    def get(self, path: str) -> str:
        """Send a request and return the body of its answer; empty if there was none."""
        return read([self.ask(path)])[0]

    def refuses(self) -> bool:
        """Tell whether nobody listens any more."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0


def request(path: str = "/", *, close: bool = True) -> bytes:
    """Return a GET; without `close` the connection stays open."""
    last = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n".encode()


def read(connections: list[socket.socket]) -> list[str]:
    """Return the bodies of all answers; empty for a connection that was cut off."""
    found = []
    for connection in connections:
        with connection:
            try:
                text = b"".join(iter(lambda c=connection: c.recv(4096), b""))  # type: ignore[misc]
            except ConnectionResetError:
                text = b""
        found.append(text.partition(b"\r\n\r\n")[2].decode())
    return found


@contextmanager
def serving(folder: Path, app: str, *options: str, worker: str = WORKER) -> Iterator[Served]:
    """Serve the module `app`, whose `app` is one, from a folder that is then the current one."""
    (folder / "served_app.py").write_text(app, encoding="utf-8")
    served = Served(folder, *options, worker=worker)
    try:
        served.wait_until(lambda: listens(served.port))
        yield served
    finally:
        served.end(signal.SIGKILL)
