"""HTTP servers as processes on loopback: started, timed, weighed, ended."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Self

from soak.daemons import Daemon, free_port

OPEN_PAGE = "/bare"
_REST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is started.

    `arguments` makes the command of a port, a number of processes and a number of threads in each.
    """

    name: str
    arguments: Callable[[int, int, int], Sequence[str | Path]]
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """Proportional set sizes in MiB: what is shared is divided among those who share it."""

    worker: float
    """Mean of the processes that answer."""
    total: float
    """All processes, the one that watches over them included."""


class Server:
    """A running server; a context that ends it. `threads` wins over the command's own number.

    Raises RuntimeError with its last words if it does not answer OPEN_PAGE.
    """

    def __init__(
        self, command: Command, home: Path, *, workers: int = 2, threads: int | None = None
    ) -> None:
        self.name = command.name
        self.port = free_port()
        arguments = command.arguments(self.port, workers, threads or command.threads)
        folder = Path(tempfile.mkdtemp(prefix="server-", dir=home))
        began = time.monotonic()
        self.daemon = Daemon(
            f"server-{self.port}",
            [str(part) for part in arguments],
            home=folder,
            environment=command.environment,
        )
        try:
            self.daemon.wait_until(lambda: self.status(OPEN_PAGE) == 200)  # noqa: PLR2004
            self.start_seconds = time.monotonic() - began
            self.daemon.wait_until(lambda: len(self.workers()) == workers and self._rests())
        except RuntimeError as error:
            raise RuntimeError(f"{self.name}: {error}") from None

    def ask(
        self, method: str, path: str, *, token: str | None = None, body: str | None = None
    ) -> tuple[int, bytes]:
        """Send one request; return status and body."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def status(self, path: str, *, token: str | None = None) -> int:
        """Ask for a page; return its status."""
        return self.ask("GET", path, token=token)[0]

    def workers(self) -> list[int]:
        """Return the ids of the processes that answer: the children, or the process itself."""
        parent = self.daemon.process.pid
        return [pid for pid in _children(parent) if not _only_tidies_up(pid)] or [parent]

    def memory(self) -> Memory:
        """Weigh its processes now."""
        parent = self.daemon.process.pid
        workers = self.workers()
        everyone = {parent, *_children(parent)}
        return Memory(
            worker=sum(map(_pss_mib, workers)) / len(workers), total=sum(map(_pss_mib, everyone))
        )

    def cpu_seconds(self) -> float:
        """Return the processor time of its workers until now, of those that are gone as well."""
        parent = self.daemon.process.pid
        gone = _ticks(parent)[2:]
        own = [tick for pid in self.workers() for tick in _ticks(pid)[:2]]
        return (sum(own) + sum(gone)) / os.sysconf("SC_CLK_TCK")

    def _rests(self) -> bool:
        """Tell whether its workers have nothing to do: then the last of them has started, too."""
        before = self.cpu_seconds()
        time.sleep(_REST_SECONDS)
        return self.cpu_seconds() == before

    def end(self) -> None:
        """End it, and wait; nothing if it has ended."""
        if self.daemon.process.poll() is not None:
            return
        children = _children(self.daemon.process.pid)
        self.daemon.end(signal.SIGTERM, seconds=10)
        for pid in filter(_is_alive, children):  # of a parent that had to be killed
            os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self.end()


def family_cpu_seconds(parent: int) -> float:
    """Return the processor time of a process and its children, of those that are gone as well."""
    children = [tick for pid in _children(parent) for tick in _ticks(pid)[:2]]
    return (sum(_ticks(parent)) + sum(children)) / os.sysconf("SC_CLK_TCK")


def _children(parent: int) -> list[int]:
    """Return the processes that any thread of a process has started."""
    found: list[int] = []
    for threads in Path(f"/proc/{parent}/task").glob("*/children"):
        found += map(int, threads.read_text(encoding="ascii").split())
    return found


def _only_tidies_up(pid: int) -> bool:
    """Tell Python's resource tracker, which multiprocessing starts beside the workers."""
    return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text(encoding="utf-8").rpartition(") ")[2][0] != "Z"


def _pss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not tell the memory of process {pid}")


def _ticks(pid: int) -> list[int]:
    """Return utime and stime of a process, and both of the children it waited for (proc(5)).

    Of one that has ended since it was listed, nothing: who waited for it has them by now.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return [0, 0, 0, 0]
    fields = stat.rpartition(") ")[2].split()
    return [int(field) for field in fields[11:15]]
