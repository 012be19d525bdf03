"""One slow thing at a time, shared by all who need it: downloads of keys, reads of a deny list."""

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable

logger = logging.getLogger(__name__)

_MOST_RUNS = 3  # those included that hang and were given up
_BACK_OFF_SECONDS = (1, 2, 4, 8, 16, 30)

Spawn = Callable[[Callable[[], None]], None]


def in_thread(run: Callable[[], None]) -> None:
    """Run in a daemon thread of its own."""
    threading.Thread(target=run, name="single-flight", daemon=True).start()


def back_off(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row: 1, 2, 4 … 30."""
    return _BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS)) - 1]


class Flight:
    """One run under way; whoever needs its outcome waits for `done` until `deadline`, no longer."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.done = threading.Event()


class SingleFlight:
    """Runs `action` in the background, never twice at once; failures back off.

    A run that takes longer than `timeout` seconds counts as failed for those who wait, and another
    may start; if it succeeds after all, what it did counts. `clock` is monotonic, in seconds;
    `back_off` says how many to wait after so many failures in a row.
    """

    def __init__(
        self,
        action: Callable[[], None],
        *,
        name: str,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        spawn: Spawn = in_thread,
        back_off: Callable[[int], float] = back_off,
    ) -> None:
        self._action = action
        self._name = name
        self._timeout = timeout
        self._clock = clock
        self._spawn = spawn
        self._back_off = back_off
        self.successes = 0
        self.failures = 0
        self._failures_in_a_row = 0
        self._failing_until = -math.inf
        self._reset()
        if hasattr(os, "register_at_fork"):
            # A forked child has no such thread, and may have got a lock that is held: renew both.
            reset = weakref.WeakMethod(self._reset)
            os.register_at_fork(after_in_child=lambda: (method := reset()) and method())

    def _reset(self) -> None:
        self.lock = threading.Lock()
        self._flight: Flight | None = None
        self._running = 0

    @property
    def under_way(self) -> bool:
        """Whether a run is going on."""
        return self._flight is not None

    @property
    def retry_after(self) -> int:
        """Whole seconds, at least one, until failures no longer forbid a run."""
        wait = self._failing_until - self._clock()
        return max(1, math.ceil(wait)) if math.isfinite(wait) else 1

    def start(self) -> Flight | None:
        """Join the run under way, or start one; None while failures forbid it."""
        with self.lock:
            now = self._clock()
            if self._flight is not None and now >= self._flight.deadline:
                self._flight = None  # it hangs where no timeout reaches it
                self._note_failure()
            if self._flight is not None:
                return self._flight
            if now < self._failing_until or self._running >= _MOST_RUNS:
                return None
            self._running += 1
            flight = self._flight = Flight(deadline=now + self._timeout)
        try:
            self._spawn(lambda: self._run(flight))
        except RuntimeError:  # no thread to be had
            self._end(flight, failed=True)
        return flight

    def wait(self) -> None:
        """Join the run under way, or start one, and wait for it until its deadline."""
        flight = self.start()
        if flight is not None:
            flight.done.wait(max(0.0, flight.deadline - self._clock()))

    def _run(self, flight: Flight) -> None:
        failed = True
        try:
            self._action()
            failed = False
        except Exception as error:  # noqa: BLE001 - the action may be anybody's; waiters must be told
            logger.warning("%s failed: %s", self._name, error)
        finally:
            self._end(flight, failed=failed)

    def _end(self, flight: Flight, *, failed: bool) -> None:
        with self.lock:
            self._running -= 1
            if not failed:
                self.successes += 1
                self._failures_in_a_row, self._failing_until = 0, -math.inf
            if self._flight is flight:  # else it was given up, and counted as failed, before
                self._flight = None
                if failed:
                    self._note_failure()
        flight.done.set()

    def _note_failure(self) -> None:
        self.failures += 1
        self._failures_in_a_row += 1
        self._failing_until = self._clock() + self._back_off(self._failures_in_a_row)
