"""Clocks are looked up at each call, and count the time of a standstill."""

import ast
import time
from pathlib import Path

import pytest

import resource_server
from resource_server.identity.turns import Turns
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import CognitoVerifier, errors
from resource_server.tokens.clocks import elapsed, is_within, wall
from tests.tokens.doubles import Forge


def test_a_moved_clock_is_followed(
    monkeypatch: pytest.MonkeyPatch, forge: Forge, cognito_pool: CognitoPool
) -> None:
    """Freezegun and time-machine replace `time.time` after the verifier is defined."""
    verifier = CognitoVerifier(
        cognito_pool.user_pool, client_ids={cognito_pool.client_id}, keys=forge.server.store()
    )
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert wall() == 2_000_000_000
    token = cognito_pool.access_token(expires_in=60)
    assert verifier.verify(token)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_070.0)
    with pytest.raises(errors.ExpiredToken):
        verifier.verify(token)


def test_a_standstill_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock can stop with the machine. The wall clock is set right afterwards."""
    began = elapsed()
    awake, monotonic = time.time() + 600, time.monotonic()
    monkeypatch.setattr(time, "time", lambda: awake)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic)
    assert 599 < elapsed() - began < 601


def test_a_wall_clock_that_is_set_back_stops_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock goes on."""
    began = elapsed()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    later = time.monotonic() + 600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert 599 < elapsed() - began < 601


@pytest.mark.parametrize(("now", "is_so"), [(10, True), (19.9, True), (20, False), (9.9, False)])
def test_time_before_the_beginning_is_over(now: float, is_so: bool) -> None:
    """After a clock went back the age is unknown."""
    assert is_within(10, 10, now) is is_so


def test_turns_follow_a_moved_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock, too, is looked up at each call."""
    turns = Turns(1)
    monkeypatch.setattr(time, "monotonic", lambda: 123.0)
    with turns.turn():
        assert turns._begun == [123.0]


def test_no_default_argument_is_a_clock_of_its_own() -> None:
    """What a definition binds ignores a test that replaces `time.time` or `time.sleep` later."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    bound = [
        f"{file.name}:{node.lineno}: {ast.unparse(default)}"
        for file in Path(resource_server.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, functions)
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults))
        if ast.unparse(default).startswith(("time.", "datetime.", "dt."))
    ]
    assert bound == []
