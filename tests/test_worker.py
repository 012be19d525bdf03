"""Who answers, and who waits for whom, in a worker whose threads take turns at its loop."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path
from select import select
from selectors import DefaultSelector
from socket import create_connection, socket
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from resource_server.worker import (
    BUSY_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
    YIELD_SECONDS,
    Patience,
    Worker,
)
from tests.served import Served, read, request, serving, until

THREADS = 3
APP = """
import os, sys, time
from pathlib import Path


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        Path(f"slow-{time.monotonic_ns()}").touch()
        while not Path("enough").exists():
            time.sleep(0.01)
    if path == "/exit":
        sys.exit(3)
    body = f"{os.getpid()}" if path == "/pid" else path
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body.encode()]
"""
# Breaks where a worker looks after its connections, once.
BROKEN = """
from pathlib import Path
from resource_server.worker import Worker


class Broken(Worker):
    def finish_request(self, conn, fs):
        if Path("break").exists():
            Path("break").unlink()
            raise RuntimeError("broken")
        super().finish_request(conn, fs)
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A worker with a few threads; /slow answers once there is a file `enough`."""
    with serving(tmp_path, APP, "--threads", str(THREADS), "--timeout", "2") as served:
        until(lambda: served.get("/here") == "/here")
        yield served


def _slow(served: Served, folder: Path, many: int) -> list[socket]:
    """Ask for so many slow answers; return once all are being answered."""
    asked = [served.ask("/slow") for _ in range(many)]
    until(lambda: len(list(folder.glob("slow-*"))) == many)
    return asked


def test_a_slow_answer_holds_nobody_else(served: Served, tmp_path: Path) -> None:
    """One thread is left, and that is enough for all others."""
    slow = _slow(served, tmp_path, THREADS - 1)
    assert [served.get(f"/{n}") for n in range(20)] == [f"/{n}" for n in range(20)]
    (tmp_path / "enough").touch()
    assert read(slow) == ["/slow"] * (THREADS - 1)


def test_as_many_answer_at_once_as_there_are_threads(served: Served, tmp_path: Path) -> None:
    """Whoever comes then waits until one of them has answered."""
    slow = _slow(served, tmp_path, THREADS)
    waiting = served.ask("/quick")
    assert select([waiting], [], [], 0.3) == ([], [], [])
    (tmp_path / "enough").touch()
    assert read([waiting, *slow]) == ["/quick", *["/slow"] * THREADS]


def test_patience_is_longer_where_no_processor_is_left(tmp_path: Path) -> None:
    """It looks at the machine, four times a second: user, nice, system, idle, iowait …, steal."""
    stat = tmp_path / "stat"
    patience = Patience(stat)

    def after(now: float, *times: int) -> float:
        stat.write_text(f"cpu  {' '.join(map(str, times))} 0 0\ncpu0 1 2 3\n", encoding="ascii")
        return patience.seconds(now)

    assert after(1.0, 100, 0, 100, 800, 0, 0, 0, 0) == PATIENCE_SECONDS
    assert after(1.1, 200, 0, 100, 800, 0, 0, 0, 0) == PATIENCE_SECONDS  # too soon to look
    assert after(1.3, 180, 0, 115, 805, 0, 0, 0, 0) == BUSY_PATIENCE_SECONDS
    assert after(1.6, 180, 0, 115, 805, 0, 0, 0, 100) == BUSY_PATIENCE_SECONDS  # others' work
    assert after(1.9, 240, 0, 130, 820, 10, 0, 0, 100) == PATIENCE_SECONDS
    assert after(2.2, 240, 0, 130, 820, 10, 0, 0, 100) == PATIENCE_SECONDS  # nothing moved


@pytest.mark.parametrize("text", [None, "", "cpu", "cpu x y", "cpu  0 0 0 0 0 0 0 0 0 0"])
def test_patience_is_short_where_nothing_tells(tmp_path: Path, text: str | None) -> None:
    """On other systems, and where the kernel hides it."""
    if text is not None:
        (tmp_path / "stat").write_text(text, encoding="ascii")
    patience = Patience(tmp_path / "stat")
    assert [patience.seconds(now) for now in (1.0, 2.0)] == [PATIENCE_SECONDS] * 2


class _Noting(socket):
    """A listener that knows when it was asked for a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def accept(self) -> Any:
        """Note the time, and hand out a connection."""
        self.times.append(time.monotonic())
        return super().accept()


@contextmanager
def _listening(worker: Worker) -> Iterator[_Noting]:
    """Give a worker that does not run what it waits with, and a listener."""
    worker.poller = DefaultSelector()
    with _Noting() as listener, closing(worker.poller), closing(worker.tmp):
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        worker.sockets = [listener]
        yield listener
        for conn in worker.pending_conns:
            conn.close()


@pytest.fixture
def door() -> Iterator[tuple[Worker, _Noting]]:
    """A worker that does not run, and its listener."""
    worker = Worker(0, 0, [], None, 30, Config(), None)
    with _listening(worker) as listener:
        yield worker, listener


def test_others_may_take_every_other_connection(door: tuple[Worker, _Noting]) -> None:
    """Of many that come at once; who is awake first would take all, and answer alone ever after."""
    worker, listener = door
    clients = [create_connection(listener.getsockname()) for _ in range(3)]
    for client in clients:
        worker.accept(listener)
        client.close()
    assert worker.nr_conns == len(clients)
    assert min(b - a for a, b in pairwise(listener.times)) >= YIELD_SECONDS


def test_who_came_too_late_does_not_wait(
    door: tuple[Worker, _Noting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker was quicker: to wait would make this one too late for ever."""
    worker, listener = door
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    worker.accept(listener)  # nobody is there any more
    assert worker.nr_conns == 0
    with create_connection(listener.getsockname()):
        worker.accept(listener)
    assert worker.nr_conns == 1
    assert slept == []


class _Busy(Worker):
    """A worker that notes at each answer how many connections it has."""

    def handle(self, _conn: object) -> bool:
        """Answer nothing; end after the last one."""
        self.had = [*getattr(self, "had", []), self.nr_conns]
        self.alive = bool(self._ready)
        return True

    def finish_request(self, _conn: object, _answered: object) -> None:
        """Leave what is no connection alone."""


@pytest.mark.parametrize(("most", "had"), [(1000, [1, 2, 3, 4, 5]), (3, [1, 2, 3, 3, 3])])
def test_newcomers_do_not_wait_for_a_whole_round(most: int, had: list[int]) -> None:
    """While others keep it busy it lets one more in after each answer, as far as it may."""
    config = Config()
    config.set("worker_connections", most)
    worker = _Busy(0, 0, [], None, 30, config, None)
    with _listening(worker) as listener, ExitStack() as stack:
        worker.set_accept_enabled(True)
        for _ in had:
            stack.enter_context(create_connection(listener.getsockname()))
        worker._loop.acquire()
        worker._open.set()
        worker._ready.extend([object()] * len(had))
        worker.accept(listener)
        worker._lead()
        assert worker.had == had


def test_an_answer_may_take_longer_than_the_timeout(served: Served, tmp_path: Path) -> None:
    """The timeout is for a worker that hangs: this one's main thread lives, and watches."""
    before = served.get("/pid")
    slow = _slow(served, tmp_path, THREADS)
    time.sleep(3)
    (tmp_path / "enough").touch()
    assert read(slow) == ["/slow"] * THREADS
    assert served.get("/pid") == before


def test_who_connects_and_says_nothing_holds_nobody(served: Served) -> None:
    """More of them than threads; each is answered once it speaks."""
    silent = [served.connect() for _ in range(THREADS * 3)]
    began = time.monotonic()
    assert served.get("/quick") == "/quick"
    assert time.monotonic() - began < 1
    for connection in silent:
        connection.sendall(request("/late"))
    assert read(silent) == ["/late"] * len(silent)


def test_who_does_not_close_holds_nobody(served: Served) -> None:
    """After `Connection: close` gunicorn waits two seconds for the client to close as well."""
    kept = [served.ask("/kept") for _ in range(THREADS - 1)]
    assert all(connection.recv(1) for connection in kept)
    began = time.monotonic()
    assert served.get("/quick") == "/quick"
    assert time.monotonic() - began < 1
    read(kept)


def test_requests_may_come_before_the_answers(served: Served) -> None:
    """A client sends many at once over one connection: all are answered, in order (RFC 9112)."""
    connection = served.connect()
    many = 2000
    paths = [f"/{number:04}" for number in range(many)]
    connection.sendall(b"".join(request(path, close=path == paths[-1]) for path in paths))
    with connection:
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert [answer[:5] for answer in text.split("\r\n\r\n")[1:]] == paths


def test_kept_connections_are_answered_again_and_again(served: Served) -> None:
    """By whichever thread has the loop."""
    connections = [served.connect() for _ in range(THREADS * 2)]
    for number in range(20):
        for connection in connections:
            connection.sendall(request(f"/{number:02}", close=False))
        for connection in connections:
            assert _answer(connection) == f"/{number:02}"
    for connection in connections:
        connection.close()


def _answer(connection: socket) -> str:
    """Read one answer of a kept connection, whose body is a path of two digits."""
    text = b""
    while not (found := text.partition(b"\r\n\r\n")[2]) or len(found) < len("/00"):
        text += connection.recv(4096)
    return found.decode()


def test_a_view_may_end_the_worker(served: Served, tmp_path: Path) -> None:
    """As with gunicorn's own: it says why, answers what it has, and the next one serves."""
    before = served.get("/pid")
    slow = _slow(served, tmp_path, 1)
    assert served.get("/exit") == ""
    until(lambda: "SystemExit: 3" in served.output)
    (tmp_path / "enough").touch()
    assert read(slow) == ["/slow"]
    until(lambda: served.get("/pid") not in {"", before})


def test_a_worker_that_breaks_is_replaced(tmp_path: Path) -> None:
    """What goes wrong between two answers ends it at once, with a traceback."""
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    with serving(tmp_path, APP, worker="broken.Broken") as served:
        until(lambda: served.get("/pid") != "")
        before = served.get("/pid")
        (tmp_path / "break").touch()
        with served.ask("/", close=False):
            until(lambda: "RuntimeError: broken" in served.output)
        until(lambda: served.get("/pid") not in {"", before})


def test_who_has_nothing_to_do_sleeps(served: Served) -> None:
    """The main thread wakes up once a second; what watches an answer rests when it is over."""
    worker = int(served.get("/pid"))
    threads = list(Path(f"/proc/{worker}/task").glob("*/status"))
    if not threads:
        pytest.skip("the kernel does not tell how often a thread was woken up")
    time.sleep(0.5)

    def woken() -> int:
        texts = [thread.read_text() for thread in threads]
        return sum(int(text.split("voluntary_ctxt_switches:")[1].split()[0]) for text in texts)

    before = woken()
    time.sleep(2)
    assert woken() - before < 50


def test_no_more_connections_than_it_is_told(tmp_path: Path) -> None:
    """Who comes then waits at the door until one of them leaves."""
    with serving(tmp_path, APP, "--worker-connections", "4", "--threads", "2") as served:
        until(lambda: served.get("/here") == "/here")
        silent = [served.connect() for _ in range(4)]
        time.sleep(0.3)
        with served.ask("/late") as late:
            assert select([late], [], [], 0.5) == ([], [], [])
            silent.pop().close()
            assert select([late], [], [], 5) == ([late], [], [])
        for connection in silent:
            connection.close()
