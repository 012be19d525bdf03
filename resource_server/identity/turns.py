"""A few calls at once, so that a directory that hangs does not take every thread with it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Condition
from typing import Protocol

PATIENCE_SECONDS = 0.5
SLOW_SECONDS = 1.0


class NoTurn(Exception):
    """All turns are taken, and it would not help to wait for one."""


class Places(Protocol):
    """A limit that calls share with other kinds of waits (`WaitLimit` of the token core)."""

    def place(self) -> AbstractContextManager[bool]:
        """Take a place while the context lasts. The value is False if there is none."""


def _monotonic() -> float:
    return time.monotonic()


class Turns:
    """At most `most` turns at once, between all threads of a process.

    A rush waits for its turn, half a second at most: as long as the directory is quick, no call
    is rejected. Once the longest turn has taken a second there is no waiting, since a call that
    waits holds a thread that others need. A turn also takes a place in `crowd`, if there is one:
    without a place there is no turn. `clock` is monotonic, in seconds.
    """

    def __init__(
        self, most: int, *, crowd: Places | None = None, clock: Callable[[], float] = _monotonic
    ) -> None:
        self._most = most
        self._crowd = crowd
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
            with self._crowd.place() if self._crowd else nullcontext(enter_result=True) as admitted:
                if not admitted:
                    raise NoTurn
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
