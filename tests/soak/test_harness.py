"""What `make soak` would say of a service that loses writes, hangs or lies."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection, RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest

from soak import report
from soak.daemons import wait_until
from soak.faulty import Fault, FaultyProxy
from soak.findings import SCENARIOS, Findings, Scenario, Verdict
from soak.lab import Lab
from soak.ledger import balance
from soak.load import Load, Record, numbers
from soak.neighbours import Missing

WRITE = Record(kind="write", due=0, sent=0, seconds=0.01, status=201, tag=1)


def test_the_ledger_sees_what_is_lost_and_what_is_doubled() -> None:
    """Acknowledged writes must be there, all writes at most once; the rest is told apart."""
    records = [replace(WRITE, tag=tag) for tag in (1, 2, 3)]
    records += [replace(WRITE, tag=tag, status=0, fault="dropped") for tag in (4, 5, 6)]
    found = balance(records, Counter({1: 1, 3: 2, 4: 1, 6: 2, 99: 5}))
    assert found.lost == {2}
    assert found.doubled == {3, 6}
    assert (found.acknowledged, found.unacknowledged_kept) == (3, 2)
    assert not found.sound
    assert balance(records[:1], Counter({1: 1})).sound


def test_what_always_holds_is_looked_at() -> None:
    """A 500, a request without an answer in time and a 503 without Retry-After are seen."""
    findings = Findings()
    findings.no_surprise([replace(WRITE, status=503, retry_after=True), WRITE])
    assert not findings.broken
    findings.no_surprise([replace(WRITE, status=500), replace(WRITE, status=502)])
    findings.no_surprise([replace(WRITE, status=0, fault="timeout")])
    findings.no_surprise([replace(WRITE, status=503)])
    findings.no_surprise([])
    findings.all_good([WRITE, replace(WRITE, status=0, fault="dropped")], "then")
    assert findings.broken == [
        "answered 500: 1, 502: 1",
        "1 requests were not answered within 60 s",
        "1 answers 503 without Retry-After",
        "nothing was asked",
        "then: dropped: 1",
    ]


class _Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body.endswith(b"0}"):  # every tenth tag: hangs up without an answer
            self.close_connection = True
            return
        self.send_response(201)
        self.send_header("X-Worker", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[int]:
    """A server that repeats what it gets, and keeps connections."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def _ask(port: int, timeout: float = 5) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/", b"hello")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_proxy_breaks_what_it_is_told_to(upstream: int) -> None:
    """Each fault looks to a client as the real one does, and ends when it is told to end."""
    proxy = FaultyProxy(upstream)
    try:
        assert _ask(proxy.port) == (201, b"hello")
        proxy.set(Fault.ERROR)
        assert _ask(proxy.port)[0] == 500
        proxy.set(Fault.THROTTLE)
        status, body = _ask(proxy.port)
        assert status == 400
        assert b"TooManyRequestsException" in body
        proxy.set(Fault.HANG)
        with pytest.raises(TimeoutError):
            _ask(proxy.port, timeout=0.3)
        hanging = threading.Timer(0.2, lambda: proxy.set(Fault.REFUSE))
        hanging.start()
        with pytest.raises(RemoteDisconnected):  # what hung is let go
            _ask(proxy.port)
        hanging.join()
        with pytest.raises(ConnectionRefusedError):
            _ask(proxy.port)
        proxy.set(Fault.NONE)
        assert _ask(proxy.port) == (201, b"hello")
    finally:
        proxy.close()


def test_a_load_records_every_answer(upstream: int) -> None:
    """Statuses, the worker of a kept connection, and what was dropped or refused."""
    plan = numbers(["token"], writes=1.0)
    with Load([upstream], plan, clients=2, rate=100) as load:
        wait_until(lambda: len(load.records) > 20, 30)
    tags = [record.tag for record in load.records]
    assert len(set(tags)) == len(tags) > 10
    tenths = [record for record in load.records if str(record.tag).endswith("0")]
    others = [record for record in load.records if record not in tenths]
    assert {record.fault for record in tenths} == {"dropped"}
    assert {(record.status, record.worker) for record in others} == {(201, "7")}

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with Load([port], plan, clients=1, rate=50) as load:
        wait_until(lambda: bool(load.records), 30)
    assert {record.fault for record in load.records} == {"refused"}


def test_a_scenario_that_cannot_run_is_skipped_and_one_that_fails_is_broken(
    tmp_path: Path,
) -> None:
    """Both say why, in the table too; the table replaces the last one."""
    from soak.__main__ import run  # noqa: PLC0415

    def missing(_lab: Lab, _findings: Findings) -> None:
        raise Missing("nginx is not installed")

    def failing(_lab: Lab, _findings: Findings) -> None:
        raise RuntimeError("no such luck")

    def fine(_lab: Lab, findings: Findings) -> None:
        findings.see("all | well")

    class _Nothing:
        def mend(self) -> None:
            """Nothing is broken."""

    lab = cast("Lab", _Nothing())
    outcomes = [run(Scenario("x", "y", each), lab) for each in (missing, failing, fine)]
    verdicts = [outcome.verdict for outcome in outcomes]
    assert verdicts == [Verdict.SKIPPED, Verdict.BROKEN, Verdict.HELD]
    table = report.table(outcomes)
    for shown in ("nginx is not installed | **SKIPPED**", "no such luck", "all \\| well | held"):
        assert shown in table

    file = tmp_path / "reliability.md"
    file.write_text("before\n<!-- soak: begin -->\nold\n<!-- soak: end -->\nafter\n", "utf-8")
    report.write(report.document(outcomes, "make soak", "PostgreSQL 18", 2), file)
    text = file.read_text("utf-8")
    assert text.startswith("before\n<!-- soak: begin -->\n`make soak`, ")
    assert text.endswith("<!-- soak: end -->\nafter\n")
    assert "old" not in text
    file.write_text("no place", "utf-8")
    with pytest.raises(ValueError, match="no place for the table"):
        report.write("", file)


def test_what_the_service_logged_is_shown(tmp_path: Path) -> None:
    """The last exceptions of its log, whatever else stands there."""
    lab = Lab(short=True)
    lab.home = tmp_path
    lines = ["Booting worker", '{"message": "fine"}']
    lines += [json.dumps({"message": "x", "exception": f"Traceback\n{n}"}) for n in range(5)]
    (tmp_path / "gunicorn-8000.log").write_text("\n".join(lines), "utf-8")
    assert lab.traces(most=2) == ["Traceback\n3", "Traceback\n4"]


def test_every_fault_has_a_name_of_its_own() -> None:
    """`--only` finds it, and the table tells them apart."""
    from soak import scenarios  # noqa: PLC0415

    assert scenarios.__all__
    names = [each.name for each in SCENARIOS]
    assert len(set(names)) == len(names) > 15
