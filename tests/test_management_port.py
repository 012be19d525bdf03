"""The management port: which listener has the metrics, and what else it has."""

import http.client
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from resource_server.telemetry.management import came_through
from resource_server.testing import CognitoIdp
from soak.daemons import Daemon, free_port, listens
from tests.deploy.test_nginx import METRICS

ROOT = Path(__file__).parent.parent
MAIN, MANAGEMENT = "http://localhost:8000", "http://localhost:9464"
MakeClient = Callable[..., FlaskClient]


@pytest.fixture
def make(
    mock_cognito_client: CognitoIdp,
    sqlite_url: str,
    make_app: Callable[[Mapping[str, str]], APIFlask],
) -> MakeClient:
    """Make a client of an app with settings of a test's own."""

    def make(**settings: str) -> FlaskClient:
        app = make_app({**mock_cognito_client.settings, "DATABASE_URL": sqlite_url, **settings})
        app.test_client_class = FlaskClient  # the document is that of the main port
        return app.test_client()

    return make


@pytest.mark.parametrize("settings", [{}, {"MANAGEMENT_PORT": "9464"}])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT"])
def test_the_main_port_has_no_metrics(
    make: MakeClient, settings: dict[str, str], method: str
) -> None:
    """With or without a management port, by any method, as if there were no such address."""
    client = make(**settings)
    refused = client.open("/metrics", method=method, base_url=MAIN)
    nowhere = client.open("/nowhere", method=method, base_url=MAIN)
    assert refused.status_code == nowhere.status_code == 404
    assert refused.data == nowhere.data


@pytest.mark.parametrize("path", METRICS)
@pytest.mark.parametrize("mount", ["", "/api", "/api/"])
def test_no_spelling_and_no_mount_leads_to_the_metrics(
    make: MakeClient, path: str, mount: str
) -> None:
    """What the app itself makes of a path is what counts."""
    client = make(MANAGEMENT_PORT="9464")
    environ = {"PATH_INFO": unquote(path.removeprefix("http://a").partition("?")[0])}
    answer = client.get("/", base_url=MAIN + mount, environ_overrides=environ)
    assert answer.status_code == 404
    assert b"resource_server_" not in answer.data


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"])
@pytest.mark.parametrize("value", ["localhost:9464", "9464", "host=localhost:9464"])
def test_no_header_makes_a_port(make: MakeClient, header: str, value: str) -> None:
    """The server's own socket says which port it is, whatever a client claims."""
    client = make(MANAGEMENT_PORT="9464", TRUSTED_PROXY_HOPS="1")
    environ = {"SERVER_PORT": "8000"}
    answer = client.get("/metrics", headers={header: value}, environ_overrides=environ)
    assert answer.status_code == 404 or (header, answer.status_code) == ("Host", 400)


def test_the_management_port_has_metrics_and_health_alone(make: MakeClient) -> None:
    """A client that may scrape may call nothing else."""
    client = make(MANAGEMENT_PORT="9464")
    found = {
        str(rule.rule): client.get(str(rule.rule), base_url=MANAGEMENT).status_code
        for rule in client.application.url_map.iter_rules()
    }
    served = {path for path, status in found.items() if status != 404}
    assert served == {"/metrics", "/healthz", "/readyz"}
    assert client.post("/metrics", base_url=MANAGEMENT).status_code == 405
    assert client.post("/users/login", base_url=MANAGEMENT).status_code == 404


def test_health_stays_on_the_main_port(make: MakeClient) -> None:
    """For load balancers."""
    client = make(MANAGEMENT_PORT="9464")
    assert client.get("/healthz", base_url=MAIN).status_code == 200


def test_the_main_port_has_metrics_if_a_setting_says_so(make: MakeClient) -> None:
    """For servers that have no second port."""
    client = make(METRICS_ON_MAIN_PORT="true")
    assert client.get("/metrics", base_url=MAIN).status_code == 200
    assert client.post("/metrics", base_url=MAIN).status_code == 405


@pytest.mark.parametrize(
    ("server_port", "name", "expected"),
    [
        ("9464", ("127.0.0.1", 9464), True),
        ("9464", ("::1", 9464, 0, 0), True),
        ("9464", ("127.0.0.1", 8000), False),
        # gunicorn on a Unix socket takes SERVER_PORT from the request's Host.
        ("9464", "/run/service.sock", False),
        ("9464", "", False),
        ("8000", ("127.0.0.1", 9464), False),
        (None, ("127.0.0.1", 9464), False),
    ],
)
@pytest.mark.parametrize("key", ["gunicorn.socket", "werkzeug.socket"])
def test_the_socket_says_which_port_it_is(
    key: str, server_port: str | None, name: object, expected: bool
) -> None:
    """Where the server passes its socket on. PEP 3333's SERVER_PORT elsewhere."""
    environ = {"SERVER_PORT": server_port, key: SimpleNamespace(getsockname=lambda: name)}
    assert came_through(environ, 9464) is expected
    assert came_through({"SERVER_PORT": server_port}, 9464) is (server_port == "9464")


def test_a_closed_socket_is_no_port() -> None:
    """Its name cannot be had."""
    closed = socket.socket()
    closed.close()
    assert not came_through({"SERVER_PORT": "9464", "gunicorn.socket": closed}, 9464)


# gunicorn


@pytest.fixture
def environment(mock_cognito_client: CognitoIdp, sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    """The settings of gunicorn."""
    settings = {**mock_cognito_client.settings, "DATABASE_URL": sqlite_url}
    more = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "WEB_CONCURRENCY": "1"}
    return {name: str(value) for name, value in settings.items()} | more


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start gunicorn with options. It is ended after the test."""
    started: list[Daemon] = []

    def start(*options: str, **more: str) -> Daemon:
        command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")]
        command += ["--no-control-socket", "wsgi:app", *options]
        name = f"gunicorn-{len(started)}"
        started.append(Daemon(name, command, home=tmp_path, environment=environment | more))
        return started[-1]

    yield start
    for each in started:
        each.end(signal.SIGKILL)


def _status(connection: http.client.HTTPConnection, path: str, host: str = "localhost") -> int:
    connection.request("GET", path, headers={"Host": host, "Connection": "close"})
    status = connection.getresponse().status
    connection.close()
    return status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def test_gunicorn_opens_it_beside_whatever_it_is_told_to_bind(
    start: Callable[..., Daemon], tmp_path: Path
) -> None:
    """A port and a Unix socket on the command line: metrics on neither, health on all."""
    main, management, unix = free_port(), free_port(), tmp_path / "service.sock"
    binds = ("--bind", f"127.0.0.1:{main}", "--bind", f"unix:{unix}")
    daemon = start(*binds, MANAGEMENT_PORT=str(management))
    daemon.wait_until(lambda: listens(main) and listens(management))

    def ask(port: int, path: str, host: str = "localhost") -> int:
        return _status(http.client.HTTPConnection("127.0.0.1", port, timeout=20), path, host)

    assert ask(management, "/metrics") == 200
    assert ask(management, "/") == 404
    assert ask(main, "/metrics") == 404
    assert ask(main, "/metrics", f"localhost:{management}") == 404
    assert _status(_UnixConnection(unix), "/metrics", f"localhost:{management}") == 404
    for connection in (
        *(http.client.HTTPConnection("127.0.0.1", port) for port in (main, management)),
        _UnixConnection(unix),
    ):
        assert _status(connection, "/healthz") == 200
    daemon.send(signal.SIGHUP)  # new workers, the same listeners
    daemon.wait_until(lambda: daemon.output.count("Booting worker") == 2)
    assert ask(management, "/metrics") == 200


def test_it_is_on_loopback_unless_a_setting_says_otherwise(start: Callable[..., Daemon]) -> None:
    """PORT is open on all addresses, the management port on 127.0.0.1."""
    main, management = free_port(), free_port()
    daemon = start(PORT=str(main), MANAGEMENT_PORT=str(management))
    daemon.wait_until(lambda: listens(main) and listens(management))
    assert f"http://127.0.0.1:{management}" in daemon.output
    for host in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
        assert _status(http.client.HTTPConnection(host, main, timeout=20), "/healthz") == 200
    daemon.end()

    opened = start(PORT=str(main), MANAGEMENT_PORT=str(management), MANAGEMENT_HOST="::")
    opened.wait_until(lambda: listens(main) and listens(management))
    assert f"http://127.0.0.1:{management}" not in opened.output
