"""A few calls at once, so that a directory that hangs does not take every thread with it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

PATIENCE_SECONDS = 0.5
SLOW_SECONDS = 1.0


class NoTurn(Exception):
    """All turns are taken, and it would not help to wait for one."""


class Turns:
    """At most `most` turns at once, between all threads of a process.

    A rush waits for its turn, half a second at most: as long as the directory is quick, nobody is
    refused. Once the longest turn has taken a second there is no waiting, for whoever waits holds
    a thread that others need. `clock` is monotonic, in seconds.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._begun: list[float] = []
        self._changed = Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Take a turn for as long as the context lasts.

        Raises NoTurn.
        """
        with self._changed:
            begun = self._wait()
            self._begun.append(begun)
        try:
            yield
        finally:
            with self._changed:
                self._begun.remove(begun)
                self._changed.notify()

    def _wait(self) -> float:
        patient_until = self._clock() + PATIENCE_SECONDS
        while len(self._begun) >= self._most:
            left = min(patient_until, min(self._begun) + SLOW_SECONDS) - self._clock()
            if left <= 0:
                raise NoTurn
            self._changed.wait(left)
        return self._clock()
