"""gunicorn with gunicorn.conf.py: what it says of requests it cannot read, and of its own start."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resource_server.gunicorn_support import check_worker_class, every_address
from resource_server.testing import CognitoIdp
from soak.daemons import Daemon, free_port, listens

ROOT = Path(__file__).parent.parent
SECRET = "s3cret"


@pytest.fixture
def environment(mock_cognito_client: CognitoIdp, sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    """The settings of gunicorn."""
    settings = {**mock_cognito_client.settings, "DATABASE_URL": sqlite_url}
    more = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    more |= {"PATH": os.environ["PATH"], "WEB_CONCURRENCY": "1"}
    return {name: str(value) for name, value in settings.items()} | more


class Served(Daemon):
    """gunicorn with one worker on a port of loopback."""

    def __init__(self, folder: Path, environment: dict[str, str], *options: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")]
        command += ["--bind", f"127.0.0.1:{self.port}", "--no-control-socket", *options]
        super().__init__("gunicorn", command, home=folder, environment=environment)
        self.wait_until(lambda: listens(self.port))

    def exchange(self, request: bytes) -> tuple[int, Any, Any]:
        """Send bytes that need not be a request: status, headers and JSON of what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.headers, json.loads(answer.read())


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start gunicorn with options. It is ended after the test."""
    started: list[Daemon] = []

    def start(*options: str, **more: str) -> Served:
        served = Served(tmp_path, environment | more, *options)
        started.append(served)
        return served

    yield start
    for each in started:
        each.end(signal.SIGKILL)


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = (
    b"POST /users/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MALFORMED = {
    "no method": (400, b"s3cret=1&b=2\r\n\r\n"),
    "the rest of a form": (400, b"username=a&password=s3cret\r\n\r\n"),
    "a method to come": (400, b"s3cret /?code=s3cret HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a version to come": (400, b"GET /?code=s3cret HTTP/9\r\nHost: a\r\n\r\n"),
    "no host": (400, b"GET /?code=s3cret HTTP/1.1\r\nConnection: close\r\n\r\n"),
    "two hosts": (400, HEAD + b"Host: s3cret\r\n\r\n"),
    "a space in the address": (400, b"GET /?code=s3cret x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a line that is no header": (400, HEAD + b"Authorization Bearer s3cret\r\n\r\n"),
    "a name that is none": (400, HEAD + b"Author(s3cret: x\r\n\r\n"),
    "a value that is none": (400, HEAD + b"Authorization: s3cret\x00\r\n\r\n"),
    "a folded header": (400, HEAD + b"A: s3cret\r\n s3cret\r\n\r\n"),
    "a bare LF": (400, b"GET /?code=s3cret HTTP/1.1\nHost: a\n\n"),
    "a length that is none": (400, POST + b"Content-Length: s3cret\r\n\r\n"),
    "two lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 22\r\n\r\ns3cret"),
    "a coding to come": (501, POST + b"Transfer-Encoding: s3cret\r\n\r\n"),
    "an expectation": (417, HEAD + b"Expect: s3cret\r\n\r\n"),
    "an address too long": (414, b"GET /?code=s3cret" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"),
    "a header too long": (431, HEAD + b"X: s3cret" + b"a" * 40_000 + b"\r\n\r\n"),
    "too many headers": (
        431,
        HEAD + b"".join(b"X-%d: s3cret\r\n" % i for i in range(120)) + b"\r\n",
    ),
    "headers too long together": (431, HEAD + b"X: s3cret%s\r\n" % (b"a" * 32_000) * 3 + b"\r\n"),
    "a size of a chunk that is none": (400, CHUNKED + b"s3cret\r\nusername=a\r\n0\r\n\r\n"),
    "a chunk without an end": (400, CHUNKED + b"6\r\ns3cret&password=s3cret\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(
    ("worker", "configuration"),
    [
        ("resource_server.worker.Worker", "gunicorn.conf.py"),
        ("gthread", "gunicorn.conf.py"),
        ("sync", "gunicorn.conf.py"),
        ("gthread", os.devnull),
    ],
)
def test_what_cannot_be_read_is_told_by_its_class_alone(
    start: Callable[..., Served], worker: str, configuration: str
) -> None:
    """In the response and in the log: JSON, one request id in both, no address, nothing sent."""
    options = ["--worker-class", worker, "--threads", "4" if worker != "sync" else "1"]
    if configuration == os.devnull:  # somebody's own, which knows nothing of ours
        options += ["--config", configuration, "resource_server:create_app()"]
    served = start(*options)
    for name, (status, request) in MALFORMED.items():
        found, headers, body = served.exchange(request)
        assert found == status, name
        assert headers.get_content_type() == "application/json", name
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert SECRET not in json.dumps(body) + str(headers), name
        assert isinstance(body["detail"], str)
        assert status != 501 or body["detail"] == "Not implemented"  # gunicorn: "Bad Request"
        if configuration != os.devnull:
            assert headers["X-Request-ID"] in served.output, name
        assert SECRET not in served.output, name
    assert "127.0.0.1" not in served.output.split("Booting worker")[1]
    assert "Traceback" not in served.output


def test_a_cut_off_request_is_not_logged(start: Callable[..., Served]) -> None:
    """At DEBUG gunicorn would quote what had come until then."""
    served = start("--log-level", "debug", LOG_LEVEL="DEBUG")
    for begun in (b"GET /?code=s3cret HTTP/1.1\r\nHost: a\r\n", CHUNKED + b"20\r\ns3cret"):
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
            connection.sendall(begun)
    assert served.exchange(HEAD + b"Accept: application/json\r\n\r\n")[0] == 200
    assert SECRET not in served.output


def test_a_path_beside_the_mount_is_no_fault_of_ours(start: Callable[..., Served]) -> None:
    """404 where SCRIPT_NAME does not lead, also where it is the beginning of another word."""
    served = start(SCRIPT_NAME="/api")
    for path, status in {
        "/api/healthz": 200,
        "/healthz": 404,
        "/apihealthz": 404,
        "/apifoo/healthz": 404,
        "/?code=s3cret": 404,
    }.items():
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert served.exchange(request.encode())[0] == status, path
    assert SECRET not in served.output


@pytest.mark.parametrize("worker", ["resource_server.worker.Worker", "gthread"])
@pytest.mark.parametrize(
    "configuration", [(), ("--config", os.devnull)], ids=["ours", "gunicorn's"]
)
def test_nothing_is_believed_from_loopback(
    start: Callable[..., Served], worker: str, configuration: tuple[str, ...]
) -> None:
    """Neither a mount nor a scheme, while TRUSTED_PROXY_HOPS is 0, under every worker class."""
    served = start("--worker-class", worker, *configuration, "wsgi:app")
    for header in (
        "SCRIPT_NAME: /admin",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Ssl: on",
        "X-Forwarded-Protocol: ssl",
        "X-Forwarded-Prefix: /admin",
    ):
        head = f"GET /admin/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n\r\n"
        status, headers, _ = served.exchange(head.encode())
        assert (status, headers["Strict-Transport-Security"]) == (404, None), header


def test_a_long_token_and_its_headers_get_through(start: Callable[..., Served]) -> None:
    """25,000 characters, and as much again as browsers and proxies add."""
    served = start()
    token = b"Authorization: Bearer " + b"a" * 25_000 + b"\r\n"
    more = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 500) for i in range(60))
    assert (
        served.exchange(HEAD + b"Accept: application/json\r\n" + token + more + b"\r\n")[0] == 200
    )


# The start


def _gunicorn(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", *options],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_a_wrong_setting_is_told_once(
    environment: dict[str, str], options: tuple[str, ...]
) -> None:
    """One of four workers reports it without a traceback. The master stops with status 3."""
    del environment["AWS_USER_POOL_ID"]
    done = _gunicorn(environment | {"WEB_CONCURRENCY": "4", "PORT": str(free_port())}, *options)
    assert done.returncode == 3
    assert done.stderr.count("AWS_USER_POOL_ID is not set") == 1
    assert "Traceback" not in done.stderr
    assert not list(Path(environment["TMPDIR"]).glob("resource-server-metrics-*"))


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_a_wrong_setting_is_one_sentence_under_any_configuration(
    environment: dict[str, str], options: tuple[str, ...]
) -> None:
    """Each worker says it without a traceback. The master does not start them a second time."""
    del environment["AWS_USER_POOL_ID"]
    bind = f"127.0.0.1:{free_port()}"
    done = _gunicorn(environment, "-c", os.devnull, "--bind", bind, *options, "wsgi:app")
    assert done.returncode == 3
    assert done.stderr.count("AWS_USER_POOL_ID is not set") == 1
    assert "Traceback" not in done.stderr


def test_a_socket_without_its_folder_is_one_sentence(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Gunicorn would try five times, and log each."""
    done = _gunicorn(environment, "--bind", f"unix:{tmp_path}/none/app.sock")
    assert done.returncode == 3
    assert done.stderr.count(f"{tmp_path}/none/app.sock") == 1
    assert "Create it, or set --bind" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"GUNICORN_THREADS": "many"}, "GUNICORN_THREADS is wrong"),
        ({"GUNICORN_MAX_REQUESTS": "-1"}, "GUNICORN_MAX_REQUESTS is wrong"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY is wrong"),
        ({"PORT": "eighty"}, "PORT is wrong"),
        ({"PORT": "70000"}, "PORT is wrong"),
        ({"MANAGEMENT_HOST": "localhost:1"}, "MANAGEMENT_HOST is wrong"),
        ({"PORT": "8000", "MANAGEMENT_PORT": "8000"}, "PORT and MANAGEMENT_PORT are the same"),
        ({"PROMETHEUS_MULTIPROC_DIR": "/proc/metrics"}, "Metrics cannot be written"),
    ],
)
def test_a_wrong_setting_of_gunicorns_is_one_sentence(
    environment: dict[str, str], wrong: dict[str, str], sentence: str
) -> None:
    """Before anything is bound or forked."""
    done = _gunicorn(environment | wrong)
    assert done.returncode == 3
    assert done.stderr.count(sentence) == 1
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told_once(environment: dict[str, str]) -> None:
    """With what to do, and with a status after which another attempt may succeed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _gunicorn(environment, "--bind", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stderr.count(f"Port {port} of 127.0.0.1 is in use. ") == 1
    assert "Connection in use" not in done.stderr


def test_a_module_that_is_not_there_is_told_once(environment: dict[str, str]) -> None:
    """By its name."""
    done = _gunicorn(environment | {"PORT": str(free_port())}, "nothing:app")
    assert done.returncode == 3
    assert done.stderr.count("No module named 'nothing'") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "gevent",
        "eventlet",
        "tornado",
        "asgi",
        "gunicorn.workers.ggevent.GeventWorker",
        "egg:gunicorn#gevent",
        "uvicorn.workers.UvicornWorker",
        "nonsense",
    ],
)
def test_a_worker_without_threads_is_refused_in_a_sentence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it is installed or not."""
    with pytest.raises(SystemExit) as end:
        check_worker_class(name)
    assert end.value.code == 3
    told = capsys.readouterr().err
    assert f"Worker class {name} is not supported" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("name", ["gthread", "sync", "resource_server.worker.Worker", "my.Worker"])
def test_a_worker_with_threads_is_taken(name: str) -> None:
    """Gunicorn's own, ours, and a class that somebody else made."""
    check_worker_class(name)


def test_gunicorn_refuses_gevent_before_it_looks_for_it(environment: dict[str, str]) -> None:
    """From the command line, too."""
    done = _gunicorn(environment | {"PORT": str(free_port())}, "-k", "gevent")
    assert done.returncode == 3
    assert done.stderr.startswith("Worker class gevent is not supported")
    assert done.stderr.count("\n") == 1


def test_a_port_is_open_for_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no IPv6, only for IPv4."""
    if socket.has_dualstack_ipv6():
        assert every_address(8000)[-1] == "[::]:8000"

    def no_ipv6(*_: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", no_ipv6)
    assert every_address(8000) == ["0.0.0.0:8000"]
