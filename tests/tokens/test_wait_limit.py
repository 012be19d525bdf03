"""Places for threads that wait for something slow."""

import threading
from collections.abc import Iterator

import pytest

from resource_server.tokens.flight import WaitLimit


class Holder:
    """Another thread that holds a place until it is told to give it back."""

    def __init__(self, limit: WaitLimit) -> None:
        self._taken, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(limit,))
        self._thread.start()
        assert self._taken.wait(10)

    def _hold(self, limit: WaitLimit) -> None:
        with limit.place() as taken:
            assert taken
            self._taken.set()
            self._end.wait(10)

    def end(self) -> None:
        """Give the place back."""
        self._end.set()
        self._thread.join(10)


@pytest.fixture
def limit() -> WaitLimit:
    """One place, for which a thread waits."""
    return WaitLimit(1, patience=0.05)


@pytest.fixture
def holder(limit: WaitLimit) -> Iterator[Holder]:
    """The thread that has it."""
    holder = Holder(limit)
    yield holder
    holder.end()


def test_nobody_waits_without_patience() -> None:
    """A thread that finds no place is refused."""
    limit = WaitLimit(1)
    with limit.place() as first, limit.place() as second:
        assert (first, second) == (True, False)
    assert limit.free == 1


@pytest.mark.usefixtures("holder")
def test_a_place_that_nobody_gives_back_is_not_waited_for(
    limit: WaitLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not again, once nothing has changed for so long; also with a clock that stands still."""
    now = limit._changed_at
    monkeypatch.setattr("resource_server.tokens.flight.time.monotonic", lambda: now)
    with limit.place() as taken:
        assert not taken
    now += 0.05
    with limit.place() as taken:
        assert not taken


def test_a_rush_waits_as_long_as_places_are_given_back() -> None:
    """Sixteen threads on two places all get one."""
    limit, got = WaitLimit(2, patience=2), []

    def take() -> None:
        with limit.place() as taken:
            got.append(taken)

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == [True] * 16
    assert limit.free == 2


def test_a_place_is_given_back_after_an_error(limit: WaitLimit) -> None:
    """What is raised passes."""
    with pytest.raises(LookupError), limit.place():
        raise LookupError
    assert limit.free == 1
