"""What becomes of those who stand at a worker's door when it ends."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import Served, read, serving, until

APP = """
import os, time


def app(environ, start_response):
    open("started", "a").write(f"{os.getpid()}\\n")
    time.sleep(0.2)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """One worker with one thread, which takes a fifth of a second for each answer."""
    with serving(tmp_path, APP, "--threads", "1", "--keep-alive", "60") as served:
        until(lambda: served.get("/") == "ok")
        yield served


def test_who_stands_at_the_door_is_answered(served: Served, tmp_path: Path) -> None:
    """SIGTERM reaches a worker that was too busy to take six clients in: all are answered."""
    worker = int((tmp_path / "started").read_text().split()[-1])
    os.kill(worker, signal.SIGSTOP)
    waiting = [served.ask() for _ in range(6)]
    served.process.terminate()
    until(lambda: served.refuses() or "Handling signal: term" in served.output)
    os.kill(worker, signal.SIGTERM)
    os.kill(worker, signal.SIGCONT)
    assert read(waiting) == ["ok"] * 6
    assert served.process.wait(20) == 0


def test_later_ones_are_refused_at_once(served: Served) -> None:
    """While the last request is still answered, nobody new is let in to be cut off later."""
    last = [served.ask() for _ in range(5)]  # a second, one after the other
    time.sleep(0.1)
    served.process.terminate()
    until(served.refuses, seconds=0.9)
    assert served.process.poll() is None
    assert read(last) == ["ok"] * 5
    assert served.process.wait(20) == 0


def test_who_never_speaks_does_not_hold_it(served: Served) -> None:
    """Connections on which no request has come are closed within seconds, not after thirty."""
    silent = [served.connect() for _ in range(3)]
    assert served.get("/") == "ok"  # so that they have been taken in by now
    began = time.monotonic()
    served.process.terminate()
    assert read(silent) == [""] * 3
    assert served.process.wait(20) == 0
    assert time.monotonic() - began < 10


STARTING = """
import os, signal, time
from pathlib import Path


def post_worker_init(worker):
    if worker.age == 1:
        Path("starting").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
"""
PATIENT = """
import time
from pathlib import Path


def app(environ, start_response):
    Path("started").touch()
    while not Path("enough").exists():
        time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_a_worker_that_is_told_to_end_while_it_starts_answers_first(tmp_path: Path) -> None:
    """As by two reloads in a row. A later client finds the next worker, and breaks neither."""
    (tmp_path / "starting.py").write_text(STARTING, encoding="utf-8")
    with serving(tmp_path, PATIENT, "--config", "starting.py") as served:
        until((tmp_path / "starting").exists)
        first = served.ask()
        (tmp_path / "go").touch()
        until((tmp_path / "started").exists)
        second = served.ask()
        (tmp_path / "enough").touch()
        assert read([first, second]) == ["ok", "ok"]
        assert "AttributeError" not in served.output
