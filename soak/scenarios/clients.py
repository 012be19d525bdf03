"""Clients that send as slowly as they can."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from soak import neighbours
from soak.findings import Findings, counts, middle, milliseconds, p99, scenario
from soak.instance import Instance
from soak.lab import Lab
from soak.load import Load, numbers

_CLIENTS = 200
_HEAD = b"POST /randoms HTTP/1.1\r\nHost: localhost\r\n"
_BODY = _HEAD + b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"


@contextlib.contextmanager
def _slow_clients(port: int) -> Iterator[list[socket.socket]]:
    """Keep 200 connections busy: a half sends a header, a half a body, a byte a second."""
    ending = threading.Event()
    open_: list[socket.socket] = []
    for number in range(_CLIENTS):
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), timeout=2)
            connection.sendall(_BODY if number % 2 else _HEAD)
            open_.append(connection)

    def drip() -> None:
        while not ending.wait(1):
            for number, connection in enumerate(open_):
                with contextlib.suppress(OSError):  # closed by the server: that is its right
                    connection.sendall(b" " if number % 2 else b"X-Slow: 1\r\n")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        yield open_
    finally:
        ending.set()
        dripping.join()
        for connection in open_:
            connection.close()


def _served_beside(lab: Lab, service: Instance, port: int) -> tuple[Load, Load]:
    plan = numbers(lab.tokens(service.port))
    seconds = 2.5 if lab.short else 30
    with Load([port], plan, clients=6, rate=30) as calm:
        time.sleep(1.5)
    with _slow_clients(port), Load([port], plan, clients=6, rate=30) as load:
        time.sleep(seconds)
    return calm, load


@scenario(
    "200 slow clients, behind nginx",
    "the others go on: nginx reads slow headers and bodies itself and hands on what is complete",
)
def behind_nginx(lab: Lab, findings: Findings) -> None:
    """Send a byte a second on 200 connections to nginx."""
    service = lab.shared()
    proxy, port = neighbours.nginx(lab.home, [service.port])
    try:
        calm, load = _served_beside(lab, service, port)
    finally:
        proxy.end()
    findings.see(
        f"{counts(load.records)}; median {milliseconds(middle(calm.records))} before, "
        f"{milliseconds(middle(load.records))} meanwhile, p99 {milliseconds(p99(load.records))}"
    )
    findings.all_good(load.records, "the others")
    findings.hold(
        middle(load.records) <= 3 * middle(calm.records) + 0.05,
        f"the others took {milliseconds(middle(load.records))}",
    )
    findings.no_surprise(load.records)
    lab.balance(load.records, findings)


@scenario(
    "200 slow clients, without nginx",
    "nothing: gunicorn's threads wait for slow clients, so it must not face the internet; once "
    "they are gone it serves again by itself",
)
def without_nginx(lab: Lab, findings: Findings) -> None:
    """Show what the proxy is for; recovery alone is promised."""
    service = lab.shared()
    plan = numbers(lab.tokens(service.port))
    with _slow_clients(service.port):
        served = 0
        until = time.monotonic() + (3 if lab.short else 15)
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                served += service.ask("GET", "/healthz", timeout=1)[0] == 200
            time.sleep(0.1)
    gone = time.monotonic()
    service.daemon.wait_until(lambda: service.status("/healthz") == 200)
    back = time.monotonic() - gone
    with Load([service.port], plan, clients=6, rate=30) as load:
        time.sleep(1.5)
    findings.see(f"{served} requests served meanwhile; again {milliseconds(back)} after they left")
    findings.hold(back < 5, f"took {milliseconds(back)} to serve again")
    findings.all_good(load.records, "afterwards")
    lab.balance(load.records, findings)
