"""What a test must not leave behind, and what it must not reach.

Each guard looks at a library only if it has been imported already: what nobody uses leaks nothing.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from resource_server.testing.options import Guard

LOOPBACK = ["127.0.0.1", "::1"]


@contextmanager
def watching(guards: frozenset[Guard]) -> Iterator[None]:
    """Look before and after a test.

    Raises AssertionError, saying what was left behind, after putting right what can be.
    """
    watched = [_WATCHERS[guard]() for guard in sorted(guards & _WATCHERS.keys())]
    yield
    if left := [finding for look in watched if (finding := look())]:
        raise AssertionError("\n".join(left))


def close_network() -> None:
    """Let sockets connect to this machine alone; pytest-socket opens them again after the test."""
    from pytest_socket import socket_allow_hosts

    socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


def _context() -> Callable[[], str | None]:
    before = _has_app_context()

    def look() -> str | None:
        if before or not _has_app_context():
            return None
        return (
            "The test left an application context of Flask pushed, so the next one would share its "
            "`g`. Use `with app.app_context():`, or pop what you push."
        )

    return look


def _has_app_context() -> bool:
    flask = sys.modules.get("flask")
    return flask is not None and bool(flask.has_app_context())


def _responses() -> Callable[[], str | None]:
    before, answers = _sender(), _answers()

    def look() -> str | None:
        adapters, mocks = sys.modules.get("requests.adapters"), sys.modules.get("responses")
        if adapters is None or mocks is None:
            return None
        found, now = None, _answers()
        if before is not None and _sender() is not before:
            if before.__module__ == adapters.__name__:  # else it may be a wider fixture's
                mocks.stop(allow_assert=False)
            adapters.HTTPAdapter.send = before
            found = (
                "The test left `requests` patched, so the next one would be answered by its mocks. "
                "Stop each RequestsMock that you start, or use it as a context manager."
            )
        elif len(now) > len(answers):
            found = (
                "The test left answers in the default mock of `responses`, for the next one to "
                "find. Use `@responses.activate`, or call `responses.reset()`."
            )
        if len(now) > len(answers):
            mocks.reset()
            for answer in answers:  # of a wider fixture
                mocks.add(answer)
        return found

    return look


def _answers() -> list[Any]:
    """List what the default mock of `responses` would answer now."""
    mocks = sys.modules.get("responses")
    return [] if mocks is None else list(mocks.registered())


def _sender() -> Any:
    adapters = sys.modules.get("requests.adapters")
    return None if adapters is None else adapters.HTTPAdapter.send


def _moto() -> Callable[[], str | None]:
    before = _moto_is_on()

    def look() -> str | None:
        if before or not _moto_is_on():
            return None
        return (
            "The test left moto's mock_aws running, so the next one would see its pools and users. "
            "Stop it, use it as a context manager or decorator, or ask for `cognito_idp`."
        )

    return look


def _moto_is_on() -> bool:
    stubber = sys.modules.get("moto.core.botocore_stubber")
    models = sys.modules.get("moto.core.models")
    return stubber is not None and models is not None and bool(models.botocore_stubber.enabled)


_WATCHERS: dict[Guard, Callable[[], Callable[[], str | None]]] = {
    "context": _context,
    "moto": _moto,
    "responses": _responses,
}
