"""What becomes of those who stand at a worker's door when it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
APP = """
import os, time


def app(environ, start_response):
    open("started", "a").write(f"{os.getpid()}\\n")
    time.sleep(0.2)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
WORKER = "resource_server.draining.DrainingWorker"


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """One worker with one thread; the process and its port."""
    (tmp_path / "slow.py").write_text(APP, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "slow:app", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", WORKER, "--workers", "1", "--threads", "1"]
    command += ["--no-control-socket"]
    paths = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=paths, stdout=log, stderr=log)
    _until(lambda: answers([connect(port)]) == [b"ok"])
    yield process, port
    process.kill()
    process.wait()


def _until(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():  # type: ignore[operator]
                return
        except ConnectionError:
            pass
        time.sleep(0.02)
    pytest.fail("it did not happen")


def connect(port: int) -> socket.socket:
    """Connect and send a request; the kernel takes it in, whoever is there."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(REQUEST)
    return connection


def answers(connections: list[socket.socket]) -> list[bytes]:
    """Return the bodies of all answers; empty for a connection that was cut off."""
    found = []
    for connection in connections:
        with connection:
            try:
                text = b"".join(iter(lambda c=connection: c.recv(4096), b""))  # type: ignore[misc]
            except ConnectionResetError:
                text = b""
        found.append(text.partition(b"\r\n\r\n")[2])
    return found


def test_who_stands_at_the_door_is_answered(
    gunicorn: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    """SIGTERM reaches a worker that was too busy to take six clients in: all are answered."""
    process, port = gunicorn
    worker = int((tmp_path / "started").read_text().split()[-1])
    os.kill(worker, signal.SIGSTOP)
    waiting = [connect(port) for _ in range(6)]
    process.terminate()
    _until(lambda: refused(port) or "Handling signal: term" in (tmp_path / "log").read_text())
    os.kill(worker, signal.SIGTERM)
    os.kill(worker, signal.SIGCONT)
    assert answers(waiting) == [b"ok"] * 6
    assert process.wait(20) == 0


def test_later_ones_are_refused_at_once(gunicorn: tuple[subprocess.Popen[bytes], int]) -> None:
    """While the last request is still answered, nobody new is let in to be cut off later."""
    process, port = gunicorn
    last = [connect(port) for _ in range(5)]  # a second, one after the other
    time.sleep(0.1)
    process.terminate()
    _until(lambda: refused(port), 0.9)
    assert process.poll() is None
    assert answers(last) == [b"ok"] * 5
    assert process.wait(20) == 0


def refused(port: int) -> bool:
    """Tell whether nobody listens any more."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
