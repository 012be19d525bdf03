"""Turns: a rush waits a little, and nobody waits for a directory that is slow."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from resource_server.identity.cognito import CognitoIdentityProvider, cognito_client
from resource_server.identity.errors import IdentityUnavailable
from resource_server.identity.turns import PATIENCE_SECONDS, SLOW_SECONDS, NoTurn, Turns
from resource_server.tokens.flight import WaitLimit
from soak.faulty import Fault, FaultyProxy


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Hold turns open."""
    with ExitStack() as held:
        yield held


def test_as_many_as_there_are(stack: ExitStack) -> None:
    """The last free turn is taken at once, even beside slow ones."""
    clock = Clock()
    turns = Turns(2, clock=clock)
    stack.enter_context(turns.turn())
    clock.now += 60
    stack.enter_context(turns.turn())


def test_nobody_waits_while_the_longest_turn_is_slow(stack: ExitStack) -> None:
    """A second after it began, others are refused without a wait."""
    clock = Clock()
    turns = Turns(2, clock=clock)
    with turns.turn():
        clock.now += SLOW_SECONDS
        stack.enter_context(turns.turn())
        with pytest.raises(NoTurn), turns.turn():
            pytest.fail("there was no turn")
    stack.enter_context(turns.turn())  # it ended: its place is free


def test_a_turn_ends_with_an_error_too() -> None:
    """What the directory raises passes, and the place is free."""
    turns = Turns(1)
    for _ in range(2):
        with pytest.raises(LookupError), turns.turn():
            raise LookupError


def test_a_rush_waits_for_its_turn() -> None:
    """Sixteen calls on two turns are all made, no more than two of them at once."""
    turns = Turns(2)
    lock, busy, most, done = threading.Lock(), 0, 0, []

    def call() -> None:
        nonlocal busy, most
        with turns.turn():
            with lock:
                busy += 1
                most = max(most, busy)
            threading.Event().wait(0.005)
            with lock:
                busy -= 1
                done.append(1)

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), most) == (16, 2)


def test_patience_has_an_end(stack: ExitStack) -> None:
    """Whoever waits gives up after half a second, though no turn is slow yet."""
    clock = Clock()
    turns = Turns(1, clock=clock)
    stack.enter_context(turns.turn())
    refused = threading.Event()

    def wait() -> None:
        try:
            with turns.turn():
                pass
        except NoTurn:
            refused.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not refused.wait(0.1)  # it waits, by its clock for ever
    clock.now += PATIENCE_SECONDS
    assert refused.wait(5)
    waiting.join()


def test_a_turn_takes_a_place_that_other_waits_share() -> None:
    """With two threads, a call to Cognito and a download of keys never hold both."""
    crowd = WaitLimit(1)
    turns = Turns(4, crowd=crowd)
    with turns.turn():
        with crowd.place() as admitted:
            assert not admitted
        with pytest.raises(NoTurn), turns.turn():
            pytest.fail("there was no place")
    with crowd.place(), pytest.raises(NoTurn), turns.turn():
        pytest.fail("there was no place")
    with turns.turn():  # both gave back what they had
        pass


def test_a_silent_cognito_holds_no_more_threads_than_it_may() -> None:
    """The next sign-in is told that Cognito is away, and Cognito is not asked for it."""
    proxy = FaultyProxy(upstream=1)
    proxy.set(Fault.HANG)
    client = cognito_client("eu-west-2", endpoint_url=f"http://127.0.0.1:{proxy.port}")
    provider = CognitoIdentityProvider(client, client_id="web", calls_at_once=1)

    def sign_in() -> None:
        with pytest.raises(IdentityUnavailable):
            provider.authenticate("ada", "Str0ng-passw0rd!")

    waiting = threading.Thread(target=sign_in)
    waiting.start()
    try:
        deadline = time.monotonic() + 5
        while not proxy.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
        sign_in()
        assert time.monotonic() - began < 3  # it would have taken ten
        assert proxy.requests == 1
    finally:
        proxy.close()
        waiting.join()
