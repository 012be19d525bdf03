"""How often one may ask: by address and by name, in memory, in Redis, and with Redis away."""

import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from resource_server.rate_limits import Asking, RateLimited, RateLimits, Rule
from tests.conftest import PASSWORD

MakeClient = Callable[..., FlaskClient]
AWAY = "Redis is away, rate limits hold for each process alone: {}"
BACK = "Redis is back: rate limits hold for all processes together"
LIMITED: dict[str, dict[str, Any]] = {
    "/users/signup": {
        "json": {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    },
    "/users/verify": {"json": {"username": "ada", "confirmation_code": "123456"}},
    "/users/resend_confirmation_code": {"json": {"username": "ada"}},
    "/users/login": {"data": {"username": "ada", "password": "wrong"}},
    "/users/login/challenge": {
        "json": {
            "username": "ada",
            "session": "s" * 20,
            "challenge": "SMS_MFA",
            "responses": {"SMS_MFA_CODE": "123456"},
        }
    },
    "/users/refresh": {"data": {"grant_type": "refresh_token", "refresh_token": "no-such-token"}},
    "/users/forgot_password": {"json": {"username": "ada"}},
    "/users/reset_password": {
        "json": {"username": "ada", "confirmation_code": "123456", "password": PASSWORD}
    },
}
"""Whatever asks Cognito without a token."""
TOKEN_ENDPOINTS = {"/users/login", "/users/login/challenge", "/users/refresh"}


@pytest.fixture
def make_client(make_service: Callable[..., APIFlask]) -> MakeClient:
    """Make a client of an app with limits of its own."""

    def make(**settings: str) -> FlaskClient:
        limits = {f"RATELIMIT_{name}": value for name, value in settings.items()}
        return make_service(**limits).test_client()

    return make


def ask(client: FlaskClient, path: str, address: str = "203.0.113.7", **other: Any) -> TestResponse:
    """Post what a route takes, from an address."""
    return client.post(
        path, environ_overrides={"REMOTE_ADDR": address}, **({**LIMITED[path], **other})
    )


def log_in(client: FlaskClient, name: str, address: str = "203.0.113.7") -> int:
    """Try a wrong password."""
    return ask(
        client, "/users/login", address, data={"username": name, "password": "wrong"}
    ).status_code


# By address and by name


@pytest.mark.parametrize("path", LIMITED)
def test_every_route_that_asks_cognito_for_strangers_is_limited(
    make_client: MakeClient, path: str
) -> None:
    """Beyond the limit of an address: 429 with Retry-After; other addresses go on."""
    once = "1/minute"
    client = make_client(
        SIGN_IN_PER_ADDRESS=once, MESSAGES_PER_ADDRESS=once, REFRESH_PER_ADDRESS=once
    )
    assert ask(client, path).status_code != 429
    refused = ask(client, path)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    expected = {"detail": "Too many requests"}
    if path in TOKEN_ENDPOINTS:
        expected |= {
            "error": "temporarily_unavailable",
            "error_description": "Too many requests",
        }
    assert refused.json == expected
    assert ask(client, path, "203.0.113.8").status_code != 429


@pytest.mark.parametrize("path", sorted(set(LIMITED) - {"/users/refresh"}))
def test_a_name_is_limited_wherever_the_requests_come_from(
    make_client: MakeClient, path: str
) -> None:
    """Many addresses that try one account are one."""
    client = make_client(SIGN_IN_PER_NAME="2/minute", MESSAGES_PER_NAME="2/minute")
    statuses = [ask(client, path, f"203.0.113.{n}").status_code for n in range(3)]
    assert 429 not in statuses[:2]
    assert statuses[2] == 429


def test_guesses_at_different_routes_count_together(make_client: MakeClient) -> None:
    """A password and a code are both ways in; what sends messages is counted by itself."""
    client = make_client(SIGN_IN_PER_NAME="1/minute")
    assert ask(client, "/users/verify").status_code != 429
    assert ask(client, "/users/login").status_code == 429
    assert ask(client, "/users/forgot_password").status_code == 200


def test_the_case_of_a_name_does_not_matter(make_client: MakeClient) -> None:
    """Pools may take ADA and ada for one: so does the limit. Others' names are others'."""
    client = make_client(SIGN_IN_PER_NAME="1/minute")
    assert [log_in(client, name) for name in ("ada", "ADA", "grace")] == [401, 429, 401]


@pytest.mark.parametrize(
    "spelling",
    [
        "JOSÉ\N{LATIN SMALL LETTER SHARP S}",
        "jose\N{COMBINING ACUTE ACCENT}ss",
        " joséss\t",
        "\N{FULLWIDTH LATIN SMALL LETTER J}oséss",
        "joséSS",
    ],
)
def test_spellings_of_one_name_count_together(spelling: str) -> None:
    """By Unicode form, width, case and the spaces around it."""
    limits = RateLimits("memory://", {Asking.SIGN_IN: Rule("", "1/minute")})
    limits.count(Asking.SIGN_IN, address=None, name="joséss")
    limits.count(Asking.SIGN_IN, address=None, name="joses")
    with pytest.raises(RateLimited):
        limits.count(Asking.SIGN_IN, address=None, name=spelling)


def test_an_address_beyond_its_limit_uses_up_nobodys_name(make_client: MakeClient) -> None:
    """Who is refused by address cannot lock out an account from elsewhere."""
    client = make_client(SIGN_IN_PER_ADDRESS="1/minute", SIGN_IN_PER_NAME="2/minute")
    assert [log_in(client, "ada") for _ in range(5)] == [401, 429, 429, 429, 429]
    assert log_in(client, "ada", "203.0.113.8") == 401


def test_a_customers_ipv6_network_is_one_address(make_client: MakeClient) -> None:
    """A /64 has more addresses than anybody can count; IPv4 in IPv6 is IPv4."""
    client = make_client(SIGN_IN_PER_ADDRESS="1/minute")
    assert log_in(client, "a", "2001:db8:0:1::1") == 401
    assert log_in(client, "b", "2001:db8:0:1:ffff::2") == 429
    assert log_in(client, "c", "2001:db8:0:2::1") == 401
    assert log_in(client, "d", "198.51.100.1") == 401
    assert log_in(client, "e", "::ffff:198.51.100.1") == 429


def test_the_limit_ends(make_client: MakeClient) -> None:
    """After Retry-After seconds one is welcome again."""
    client = make_client(SIGN_IN_PER_NAME="1/second")
    assert [log_in(client, "ada"), log_in(client, "ada")] == [401, 429]
    time.sleep(1.05)
    assert log_in(client, "ada") == 401


def test_defaults_let_people_in_and_guessers_wait(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten passwords a minute for a name, three messages."""
    for name in ("SIGN_IN_PER_NAME", "MESSAGES_PER_NAME"):
        monkeypatch.delenv(f"RATELIMIT_{name}")
    client = make_client()
    assert [log_in(client, "ada") for _ in range(11)] == [401] * 10 + [429]
    codes = [ask(client, "/users/resend_confirmation_code").status_code for _ in range(4)]
    assert codes == [200] * 3 + [429]


def test_nobodys_address_has_no_limit() -> None:
    """On a Unix socket all would share one; names still count."""
    limits = RateLimits("memory://", {Asking.SIGN_IN: Rule("1/minute", "2/minute")})
    limits.count(Asking.SIGN_IN, address=None, name="ada")
    limits.count(Asking.SIGN_IN, address="", name="ada")
    with pytest.raises(RateLimited):
        limits.count(Asking.SIGN_IN, address=None, name="ada")


def test_two_apps_count_apart(make_client: MakeClient) -> None:
    """Each app has its own memory."""
    first, second = (make_client(SIGN_IN_PER_NAME="1/minute") for _ in range(2))
    assert [log_in(first, "ada"), log_in(first, "ada"), log_in(second, "ada")] == [401, 429, 401]


# Redis away


@pytest.fixture
def dead() -> Iterator[str]:
    """The address of a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"redis://:hunter2@127.0.0.1:{taken.getsockname()[1]}/0"


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://:hunter2@127.0.0.1:{server.getsockname()[1]}/0"


@pytest.mark.parametrize(
    ("kind", "reason"), [("dead", "ConnectionError"), ("mute", "TimeoutError")]
)
def test_without_redis_each_process_counts_alone(
    make_client: MakeClient,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    reason: str,
) -> None:
    """No 500, no wait, and the limit holds; the log says so once and keeps the password."""
    client = make_client(STORAGE_URI=request.getfixturevalue(kind), SIGN_IN_PER_NAME="2/minute")
    started = time.monotonic()
    assert [log_in(client, "ada") for _ in range(4)] == [401, 401, 429, 429]
    assert time.monotonic() - started < 2
    ours = [r.getMessage() for r in caplog.records if r.name.endswith("rate_limits")]
    assert ours == [AWAY.format(reason)]
    assert "hunter2" not in caplog.text


def test_redis_is_asked_for_again_every_five_seconds() -> None:
    """In between nobody waits for it; one request finds out when the time has come."""
    now, asked = 0.0, []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"redis://127.0.0.1:{server.getsockname()[1]}"
        limits = RateLimits(url, {Asking.REFRESH: Rule("100/minute")}, clock=lambda: now)
        for now in (0.0, 1.0, 4.9, 5.5, 6.0, 10.4, 11.0):
            limits.count(Asking.REFRESH, address="203.0.113.7")
            with suppress(BlockingIOError):
                server.accept()[0].close()
                asked.append(now)
    assert asked == [0.0, 5.5, 11.0]


# A real Redis


REDIS = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(
    REDIS is None,
    reason="NO redis-server ON THIS MACHINE: limits across processes are not tested",
)


class DisposableRedis:
    """A Redis on a port of its own that keeps nothing."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            [REDIS or "redis-server", *options], cwd=self._directory, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with self.client() as client:
                try:
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.02)
                else:
                    return
        pytest.fail("redis-server did not start")

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @contextmanager
    def client(self) -> Iterator["redis.Redis"]:
        """Connect beside the app."""
        client = redis.Redis.from_url(self.url, decode_responses=True)
        try:
            yield client
        finally:
            client.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DisposableRedis]:
    """A Redis that tests may kill."""
    server = DisposableRedis(tmp_path)
    server.start()
    yield server
    server.stop()


@needs_redis
def test_processes_count_together_in_redis(
    make_client: MakeClient, server: DisposableRedis
) -> None:
    """A limit holds across all that share a Redis, which is told no name and keeps no key long."""
    one, other = (
        make_client(STORAGE_URI=server.url, SIGN_IN_PER_NAME="2/minute") for _ in range(2)
    )
    statuses = [log_in(client, "countess") for client in (one, other, one, other)]
    assert statuses == [401, 401, 429, 429]
    with server.client() as client:
        keys = list(client.scan_iter())
        assert keys
        for key in keys:
            assert "countess" not in key
            assert 0 < client.ttl(key) <= 60


@needs_redis
def test_redis_may_die_and_come_back(
    make_client: MakeClient, server: DisposableRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Limits go on in memory at once, and together again within five seconds; each is told once."""
    caplog.set_level(logging.WARNING)
    client = make_client(STORAGE_URI=server.url, SIGN_IN_PER_NAME="2/minute")
    assert log_in(client, "ada") == 401
    server.stop()
    started = time.monotonic()
    assert [log_in(client, "ada") for _ in range(3)] == [401, 401, 429]
    assert time.monotonic() - started < 1
    server.start()
    back = time.monotonic()
    while BACK not in caplog.text:
        assert time.monotonic() - back < 7
        log_in(client, "grace")
        time.sleep(0.1)
    assert [log_in(client, "ada") for _ in range(3)] == [401, 401, 429]
    ours = [r.getMessage() for r in caplog.records if r.name.endswith("rate_limits")]
    assert ours == [AWAY.format("ConnectionError"), BACK]


@needs_redis
def test_a_restart_of_redis_between_requests_is_not_noticed(
    make_client: MakeClient, server: DisposableRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that was closed while it lay in the pool is replaced at once."""
    client = make_client(STORAGE_URI=server.url, SIGN_IN_PER_NAME="9/minute")
    assert log_in(client, "ada") == 401
    server.stop()
    server.start()
    assert log_in(client, "ada") == 401
    assert not [r for r in caplog.records if r.name.endswith("rate_limits")]
