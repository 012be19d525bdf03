"""One slow thing at a time, shared by all who need it: downloads of keys, reads of a deny list."""

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from queue import Empty, SimpleQueue

from resource_server.tokens.clocks import elapsed, is_within

logger = logging.getLogger(__name__)

_MOST_RUNS = 3  # those included that hang and were given up
_LONGEST_PATIENCE_SECONDS = 2
_BACK_OFF_SECONDS = (1, 2, 4, 8, 16, 30)

Spawn = Callable[[Callable[[], None]], None]


def in_thread(run: Callable[[], None]) -> None:
    """Run in a daemon thread of its own."""
    threading.Thread(target=run, name="single-flight", daemon=True).start()


def back_off(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row: 1, 2, 4 … 30."""
    return _BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS)) - 1]


class WaitLimit:
    """At most `most` threads of a process wait at once.

    A thread that waits serves no request. So a server with more threads than places always has one
    left for requests that need not wait.

    A thread that finds no place is refused. With `patience` it first waits up to two seconds, as
    long as another thread took a place or gave one back within the last `patience` seconds.
    """

    def __init__(self, most: int, *, patience: float = 0) -> None:
        self._most = most
        self._patience = patience
        self._reset()
        _renew_after_fork(self._reset)

    def _reset(self) -> None:
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._most):
            self._places.put(None)
        self._changed_at = -math.inf

    @property
    def free(self) -> int:
        """How many places are free."""
        return self._places.qsize()

    def place(self) -> "Place":
        """Take a place while the context lasts. The value is False if there is none."""
        return Place(self)

    def take(self) -> "SimpleQueue[None] | None":
        """Take a place and return where to give it back, or None if there is none."""
        places = self._places  # a fork renews them
        try:
            places.get_nowait()
        except Empty:
            if not self._take_late(places):
                return None
        self._changed_at = time.monotonic()
        return places

    def give_back(self, places: "SimpleQueue[None]") -> None:
        """Give a place back to where it was taken."""
        self._changed_at = time.monotonic()
        places.put(None)

    def _take_late(self, places: "SimpleQueue[None]") -> bool:
        end = time.monotonic() + _LONGEST_PATIENCE_SECONDS
        while True:
            changed_at = self._changed_at
            left = min(end, changed_at + self._patience) - time.monotonic()
            if left <= 0:
                return False
            try:
                places.get(timeout=left)
            except Empty:
                if self._changed_at == changed_at:  # also where a test freezes the clock
                    return False
            else:
                return True


class Place:
    """The place of one thread. It is a class because each statement of a request has one."""

    __slots__ = ("_limit", "_places")

    def __init__(self, limit: WaitLimit) -> None:
        self._limit = limit

    def __enter__(self) -> bool:
        self._places = self._limit.take()
        return self._places is not None

    def __exit__(self, *_: object) -> None:
        if self._places is not None:
            self._limit.give_back(self._places)


class Flight:
    """One run in progress, since `began`. Threads that need its outcome wait for `done`."""

    def __init__(self, began: float, *, follows_failure: bool) -> None:
        self.began = began
        self.follows_failure = follows_failure
        self.done = threading.Event()


class SingleFlight:
    """Runs `action` in the background, never twice at once; failures back off.

    A run that takes longer than `timeout` seconds counts as failed for those who wait, and another
    may start. If it succeeds after all, what it did counts. `clock` is in seconds. `back_off` says
    how many to wait after so many failures in a row.

    For `patience` seconds since a run began, all threads wait that have a place in `crowd`, which
    several kinds of waits can share. After that, and for half a minute after a failure, those wait
    that have one in `waiting`, too.
    """

    def __init__(
        self,
        action: Callable[[], None],
        *,
        name: str,
        timeout: float,
        clock: Callable[[], float] = elapsed,
        spawn: Spawn = in_thread,
        back_off: Callable[[int], float] = back_off,
        patience: float = math.inf,
        waiting: WaitLimit | None = None,
        crowd: WaitLimit | None = None,
    ) -> None:
        self._action = action
        self._name = name
        self._timeout = timeout
        self._clock = clock
        self._spawn = spawn
        self._back_off = back_off
        self._patience = patience
        self._waiting = waiting or WaitLimit(1)
        self._crowd = crowd
        self.successes = 0
        self.failures = 0
        self.ended = 0
        """How many runs have ended; a caller reads it before it looks at their outcome."""
        self.failures_in_a_row = 0
        self._failed_at = -math.inf
        self._current = threading.local()
        self._pause = 0.0  # seconds since then during which no run may start
        self._reset()
        # A forked child has no such thread, and may have got a lock that is held: renew both.
        _renew_after_fork(self._reset)

    def _reset(self) -> None:
        self.lock = threading.Lock()
        self._flight: Flight | None = None
        self._running = 0

    @property
    def began(self) -> float:
        """When the run that calls this began, by the clock of the thread that started it.

        freezegun does not freeze the clock of a thread of its own.
        """
        return float(self._current.began)

    @property
    def under_way(self) -> bool:
        """Whether a run is going on."""
        return self._flight is not None

    @property
    def retry_after(self) -> int:
        """Whole seconds, at least one, until failures no longer forbid a run."""
        now = self._clock()
        if not is_within(self._pause, self._failed_at, now):
            return 1
        return max(1, math.ceil(self._failed_at + self._pause - now))

    def start(self) -> None:
        """Start a run in the background, unless one is in progress or failures forbid it."""
        self._start()

    def start_or_wait(self, seconds: float) -> None:
        """Start a run in the background. After a failed one, the caller that starts the next waits.

        Where the processor stops after each response (AWS Lambda), no run in the background ever
        ends. The wait is `seconds` at most, and only with a place in `waiting`.
        """
        flight, is_new = self._start()
        if flight is not None and is_new and flight.follows_failure:
            with self._place() as taken:
                if taken:
                    self._wait_until_old(flight, seconds)

    def wait(
        self,
        *,
        seen: int | None = None,
        allowed: Callable[[float], bool] | None = None,
        patient: bool = True,
    ) -> bool:
        """Join the run in progress, or start one, and wait for it until its deadline.

        Failures forbid a new run for a while. So does a run that ended since `seen`, the value of
        `ended` when the caller last looked: it may have brought what the caller needs. `allowed` is
        called last, with the time, when nothing else forbids a new run. `patient=False` waits only
        with a place in `waiting`.

        Return False if there is a run to wait for and too many threads wait already.
        """
        flight, _ = self._start(seen, allowed)
        if flight is None:
            return True
        with self._place() as taken:
            if taken:
                self._wait_until_old(flight, self._timeout)
                return True
        if not patient or self.failed_lately:
            return False
        with self._crowd.place() if self._crowd else nullcontext(enter_result=True) as admitted:
            if admitted:
                self._wait_until_old(flight, min(self._patience, self._timeout))
            return admitted

    @contextmanager
    def _place(self) -> Iterator[bool]:
        """Take a place among those who may wait until the deadline."""
        with self._waiting.place() as taken:
            if not taken or self._crowd is None:
                yield taken
                return
            with self._crowd.place() as admitted:
                yield admitted

    def _wait_until_old(self, flight: Flight, seconds: float) -> None:
        flight.done.wait(max(0.0, min(seconds, flight.began + seconds - self._clock())))

    @property
    def failed_lately(self) -> bool:
        """Whether the latest run failed, within half a minute."""
        lately = is_within(_BACK_OFF_SECONDS[-1], self._failed_at, self._clock())
        return self.failures_in_a_row > 0 and lately

    def _start(
        self, seen: int | None = None, allowed: Callable[[float], bool] | None = None
    ) -> tuple[Flight | None, bool]:
        """Return the run to wait for, if there is one, and whether it began just now."""
        with self.lock:
            now = self._clock()
            if self._flight is not None and not is_within(self._timeout, self._flight.began, now):
                # It hangs where no timeout reaches it, or the process was stopped: that is no
                # reason for a pause from now on.
                self._note_failure(min(now, self._flight.began + self._timeout))
                self._flight = None
            if self._flight is not None:
                return self._flight, False
            if (
                (seen is not None and seen != self.ended)
                or is_within(self._pause, self._failed_at, now)
                or self._running >= _MOST_RUNS
                or not (allowed is None or allowed(now))
            ):
                return None, False
            self._running += 1
            flight = self._flight = Flight(now, follows_failure=self.failures_in_a_row > 0)
        try:
            self._spawn(lambda: self._run(flight))
        except RuntimeError:  # no thread to be had
            self._end(flight, failed=True)
        return flight, True

    def _run(self, flight: Flight) -> None:
        failed = True
        self._current.began = flight.began
        try:
            self._action()
            failed = False
        except Exception as error:  # noqa: BLE001 - the action may be anybody's; waiters must be told
            logger.warning("%s failed: %s", self._name, _described(error))
        finally:
            self._end(flight, failed=failed)

    def _end(self, flight: Flight, *, failed: bool) -> None:
        with self.lock:
            self._running -= 1
            self.ended += 1
            if not failed:
                self.successes += 1
                self.failures_in_a_row, self._pause = 0, 0.0
            if self._flight is flight:  # else it was given up, and counted as failed, before
                self._flight = None
                if failed:
                    self._note_failure(self._clock())
        flight.done.set()

    def _note_failure(self, failed_at: float) -> None:
        self.failures += 1
        self.failures_in_a_row += 1
        self._failed_at, self._pause = failed_at, self._back_off(self.failures_in_a_row)


def _renew_after_fork(reset: Callable[[], None]) -> None:
    """Call a method in a forked child, as long as its object is there."""
    if hasattr(os, "register_at_fork"):
        method = weakref.WeakMethod(reset)
        os.register_at_fork(after_in_child=lambda: (call := method()) and call())


_OUR_PACKAGE = f"{__name__.partition('.')[0]}."


def _described(error: BaseException) -> str:
    """Return what the log says of an error: its class, and that of what caused it.

    The text of a driver's error holds statements, parameters, addresses and user names. Errors of
    this package have texts of their own.
    """
    if type(error).__module__.startswith(_OUR_PACKAGE):
        return str(error)
    root, seen = error, {id(error)}
    while (cause := root.__cause__ or root.__context__) is not None and id(cause) not in seen:
        root = cause
        seen.add(id(cause))
    name, of_root = type(error).__name__, type(root).__name__
    return name if root is error or name == of_root else f"{name} ({of_root})"
