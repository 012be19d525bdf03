"""PostgreSQL connections on which no call waits without an end.

`statement_timeout` is the server's. A server that is stopped, or a pooler that pauses, does not
apply it. Its kernel still acknowledges what it is sent, so TCP's timeouts do not help either.
libpq then waits without an end.

A thread of this process shuts down the socket of such a connection, and libpq returns an error.
psycopg2's wait callback would be another way, but it is process-wide and rules out COPY
(docs/decisions/0029-client-side-deadlines.md).
"""

import math
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg2  # type: ignore[import-untyped]
from psycopg2 import extensions

_GRACE_SECONDS = 1
"""What the server gets beyond its own limit, so that its own, more exact error comes first."""
_PARK_SECONDS = 60
"""The thread sleeps when no call began for so long."""
_MAX_TICK_SECONDS = 0.5
_SLOW_CONNECT_SECONDS = 1
_TIMEOUTS = frozenset({"57014", "55P03"})  # query_canceled, lock_not_available


class NoResponse(psycopg2.OperationalError):  # type: ignore[misc]
    """The server did not respond within the limit. The connection is closed."""


class Responsiveness:
    """Whether a database responds, by the latest calls.

    Times are monotonic seconds, those at which a call began.
    """

    def __init__(self) -> None:
        self.answered = -math.inf
        self.timed_out = -math.inf
        self.probe = threading.Lock()
        """Held by the only caller that may try a database that does not respond."""

    @property
    def is_lost(self) -> bool:
        """Whether a call reached its limit, and no call that began later succeeded."""
        return self.timed_out > self.answered


def connect_options(limit: float, responsiveness: Responsiveness) -> dict[str, Any]:
    """Return psycopg2.connect's arguments for connections with a deadline.

    `limit` is the server's for one statement, in seconds.
    """
    factory = partial(Connection, limit=limit + _GRACE_SECONDS, responsiveness=responsiveness)
    return {"connection_factory": factory, "cursor_factory": Cursor}


class Connection(extensions.connection):  # type: ignore[misc]
    """A connection on which each call ends within `limit` seconds, or raises NoResponse.

    Making one is libpq's to limit (`connect_timeout`).
    """

    def __init__(self, *args: Any, limit: float, responsiveness: Responsiveness) -> None:
        self.limit = limit
        self.responsiveness = responsiveness
        self.began = time.monotonic()
        self.deadline = math.inf
        self._is_cut = False
        self._lock = threading.Lock()
        self._descriptor = -1
        try:
            super().__init__(*args)
        except psycopg2.OperationalError:
            if time.monotonic() - self.began >= _SLOW_CONNECT_SECONDS:
                responsiveness.timed_out = self.began
            raise
        # One of our own: libpq may close its own at any time, and the number may then be
        # another file's.
        self._descriptor = os.dup(self.fileno())
        _watchdog.add(self)

    def commit(self) -> None:
        """Do as psycopg2 does, within the limit."""
        self.run(self.limit, super().commit)

    def rollback(self) -> None:
        """Do as psycopg2 does, within the limit."""
        self.run(self.limit, super().rollback)

    def set_isolation_level(self, level: int | str | bytes | None) -> None:
        """Do as psycopg2 does, within the limit. It may send a SET."""
        self.run(self.limit, super().set_isolation_level, level)

    def close(self) -> None:
        """Close the connection, without waiting for the server."""
        with self._lock:
            self._drop_descriptor()
        super().close()

    def __del__(self) -> None:
        self._drop_descriptor()

    def run(self, limit: float, call: Callable[..., Any], *args: Any) -> None:
        """Make a call of psycopg2's that ends within `limit` seconds.

        Raises NoResponse if it did not, or the call's own error.
        """
        self._is_cut = False
        self.began = now = time.monotonic()
        self.deadline = now + limit
        if _watchdog.is_parked:
            _watchdog.wake()
        try:
            call(*args)
        except psycopg2.Error as error:
            self._fail(error)
            raise
        finally:
            self.deadline = math.inf

    def _fail(self, error: psycopg2.Error) -> None:
        """Note what a call's error says of the server.

        Raises NoResponse if the connection was cut.
        """
        if self._is_cut:
            self.responsiveness.timed_out = self.began
            self.close()  # by which SQLAlchemy knows that the connection is lost
            raise NoResponse("the server did not respond within the limit") from None
        if error.pgcode in _TIMEOUTS:
            self.responsiveness.timed_out = self.began
        elif error.pgcode is not None:
            self.responsiveness.answered = self.began

    def cut(self, now: float) -> None:
        """Shut the socket down if the call on it is past its deadline."""
        with self._lock:
            if self.deadline > now or self._descriptor < 0:
                return
            self._is_cut = True
            shared = socket.socket(fileno=self._descriptor)
            try:
                shared.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side was quicker
                pass
            finally:
                shared.detach()

    def _drop_descriptor(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Cursor(extensions.cursor):  # type: ignore[misc]
    """A cursor of a Connection. What it fetches has arrived with `execute`."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        """Do as psycopg2 does, within the connection's limit."""
        connection: Any = self.connection
        connection.run(connection.limit, _execute, self, query, vars)
        connection.responsiveness.answered = connection.began

    def executemany(self, query: Any, vars_list: Any) -> None:
        """Do as psycopg2 does, within the limit for each set of parameters."""
        connection: Any = self.connection
        count = len(vars_list) if isinstance(vars_list, Sequence) else 1
        connection.run(connection.limit * max(1, count), _executemany, self, query, vars_list)
        connection.responsiveness.answered = connection.began


_execute, _executemany = extensions.cursor.execute, extensions.cursor.executemany


class _Watchdog:
    """Looks after the connections of this process, in a thread that runs while they are used."""

    def __init__(self) -> None:
        self._reset()
        # A forked child has no such thread, and may have inherited a lock that is held.
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._tick = _MAX_TICK_SECONDS
        self._started = False
        self.is_parked = True

    def add(self, connection: Connection) -> None:
        """Look after a connection, as long as it lives."""
        with self._lock:
            self._connections.add(connection)
            self._tick = min(self._tick, connection.limit / 4)

    def wake(self) -> None:
        """Run again."""
        with self._lock:
            self.is_parked = False
            self._wake.set()
            if self._started:
                return
            self._started = True
        try:
            threading.Thread(target=self._run, name="database-watchdog", daemon=True).start()
        except RuntimeError:  # no thread to be had now. The next call tries again
            self._started, self.is_parked = False, True

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            if now - self._look(now) < _PARK_SECONDS:
                time.sleep(self._tick)
                continue
            self._wake.clear()
            self.is_parked = True
            # A call that has just begun may have seen that this thread was awake.
            if now - self._look(now) < _PARK_SECONDS:
                self.is_parked = False
                continue
            self._wake.wait()

    def _look(self, now: float) -> float:
        """Cut what is past its deadline. Return when the latest call began."""
        with self._lock:
            connections = list(self._connections)
        latest = -math.inf
        for connection in connections:
            latest = max(latest, connection.began)
            if connection.deadline <= now:
                connection.cut(now)
        return latest


_watchdog = _Watchdog()
