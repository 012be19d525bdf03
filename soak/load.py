"""Clients that ask on schedule, whatever the answers take, and record every one."""

import itertools
import json
import random
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Self

TIMEOUT_SECONDS = 60.0

_tags = itertools.count(random.SystemRandom().randrange(10**6, 10**12) * 1000)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sends. `tag` marks a write: a number that no other write has."""

    kind: str
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    tag: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a request; times are of the monotonic clock, in seconds.

    `status` is 0 without an answer, and then `fault` says why: refused (nothing was sent), dropped
    (sent, no answer) or timeout. `reused` tells of a connection that had served before, by the
    process `worker`. `seconds` runs from when the request was due, so that a stall shows in all
    that had to wait for it.
    """

    kind: str
    due: float
    sent: float
    seconds: float
    status: int
    fault: str = ""
    tag: int | None = None
    worker: str = ""
    reused: bool = False
    retry_after: bool = False

    @property
    def ended(self) -> float:
        """When the answer, or its failure, was there."""
        return self.due + self.seconds


Plan = Callable[[random.Random], Request]


class Load:
    """A number of clients, each with a connection of its own, as a context."""

    def __init__(
        self,
        ports: Sequence[int],
        plan: Plan,
        *,
        clients: int = 10,
        rate: float | None = 60,
        keep_alive: bool = True,
    ) -> None:
        self.records: list[Record] = []
        self._plan = plan
        self._interval = clients / rate if rate else 0.0  # None: as fast as the answers come
        self._keep_alive = keep_alive
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(ports[i % len(ports)], i, i / clients))
            for i in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Send nothing more, and wait for the answers."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def between(self, start: float, end: float) -> list[Record]:
        """Return what was due in a span of the monotonic clock."""
        return [record for record in list(self.records) if start <= record.due < end]

    def _run(self, port: int, number: int, phase: float) -> None:
        chance = random.Random(number)  # noqa: S311 - a mix, not a secret
        client = _Client(port)
        started = time.monotonic() + phase * self._interval
        for due in self._schedule(started):
            if self._ending.wait(max(0.0, due - time.monotonic())):
                break
            moment = due if self._interval else time.monotonic()
            self.records.append(client.ask(self._plan(chance), moment, keep=self._keep_alive))
        client.close()

    def _schedule(self, started: float) -> Iterator[float]:
        return (started + turn * self._interval for turn in itertools.count())


class _Client:
    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._worker = ""

    def ask(self, request: Request, due: float, *, keep: bool) -> Record:
        """Send a request once, never again, and record what became of it."""
        connection = self._connection
        if _was_closed(connection):
            connection.close()  # while it was idle, as any server may: nothing was lost
        reused, worker = connection.sock is not None, self._worker
        sent, status, fault, retry_after = time.monotonic(), 0, "", False
        try:
            if not reused:
                worker = ""
                connection.connect()
            headers = dict(request.headers or {}) | ({} if keep else {"Connection": "close"})
            connection.request(request.method, request.path, request.body or None, headers)
            answer = connection.getresponse()
            answer.read()
            status, retry_after = answer.status, bool(answer.getheader("Retry-After"))
            self._worker = answer.getheader("X-Worker", "")
        except ConnectionRefusedError:
            fault = "refused"
        except TimeoutError:
            fault = "timeout"
        except (OSError, HTTPException):
            fault = "dropped"
        if fault or not keep:
            connection.close()
        return Record(
            kind=request.kind,
            due=due,
            sent=sent,
            seconds=time.monotonic() - due,
            status=status,
            fault=fault,
            tag=request.tag,
            worker=self._worker if status else worker,
            reused=reused,
            retry_after=retry_after,
        )

    def close(self) -> None:
        self._connection.close()


def _was_closed(connection: HTTPConnection) -> bool:
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])


def numbers(tokens: Sequence[str], *, writes: float = 0.5) -> Plan:
    """Plan requests that make random numbers and list them, `writes` of them the former."""

    def plan(chance: random.Random) -> Request:
        headers = {"Authorization": f"Bearer {chance.choice(tokens)}"}
        if chance.random() >= writes:
            return Request("read", "GET", "/randoms?limit=20", headers=headers)
        tag = next(_tags)
        body = json.dumps({"min_value": tag, "max_value": tag}).encode()
        headers["Content-Type"] = "application/json"
        return Request("write", "POST", "/randoms", body, headers, tag)

    return plan


def sign_ins(username: str, password: str) -> Plan:
    """Plan sign-ins of one user."""
    body = f"username={username}&password={password}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return lambda _chance: Request("login", "POST", "/users/login", body, headers)
