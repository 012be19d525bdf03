"""A small WSGI app under gunicorn and our worker, asked over plain sockets."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKER = "resource_server.worker.Worker"
_SECONDS = 20


class Served:
    """A gunicorn with one worker; `log` is what it says."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

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


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is so; the test fails if it does not come to that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except ConnectionError:
            pass
        time.sleep(0.02)
    pytest.fail("it did not happen")


@contextmanager
def serving(folder: Path, app: str, *options: str, worker: str = WORKER) -> Iterator[Served]:
    """Serve the module `app`, whose `app` is one, from a folder that is then the current one."""
    (folder / "served_app.py").write_text(app, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "served_app:app", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", worker, "--workers", "1", "--no-control-socket", *options]
    paths = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=paths, stdout=file, stderr=file)
    served = Served(process, port, log)
    try:
        until(lambda: not served.refuses())
        yield served
    finally:
        process.kill()
        process.wait()
