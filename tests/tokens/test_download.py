"""`fetch_jwks` against real sockets: whatever a server does, a download ends in time."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from resource_server.tokens import KeyStore, KeysUnavailable
from resource_server.tokens.keys import fetch_jwks

TIMEOUT = 0.3
HEADERS = b"HTTP/1.1 200 OK\r\nX-Filler: "
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
BODY_WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\n\r\n"

Serve = Callable[[bytes], str]


@pytest.fixture
def drip() -> Iterator[Serve]:
    """Start servers that send something at once, and then a byte every 20 ms, for ever."""
    stop = threading.Event()
    threads = []

    def talk(listener: socket.socket, begin: bytes) -> None:
        with listener, suppress(OSError):
            while not stop.is_set():
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(begin)
                    while not stop.wait(0.02):
                        connection.sendall(b"\x16" if not begin else b"1")

    def serve(begin: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(10)
        threads.append(threading.Thread(target=talk, args=(listener, begin), daemon=True))
        threads[-1].start()
        scheme = "http" if begin else "https"
        return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/jwks.json"

    yield serve
    stop.set()


@pytest.mark.parametrize(
    "begin",
    [HEADERS, BODY, BODY_WITHOUT_LENGTH, b""],
    ids=["headers", "body", "body without length", "TLS handshake"],
)
def test_a_download_ends_at_its_deadline(drip: Serve, begin: bytes) -> None:
    """Whichever part a server sends byte by byte, the download fails in time."""
    address = drip(begin)
    before = time.monotonic()
    with pytest.raises((OSError, ValueError)):
        fetch_jwks(address, TIMEOUT)
    assert time.monotonic() - before < TIMEOUT + 0.7


def test_what_was_cut_off_is_no_document(drip: Serve) -> None:
    """The end of a connection that was cut is not taken for the end of the body."""
    with pytest.raises(TimeoutError):
        fetch_jwks(drip(BODY_WITHOUT_LENGTH), TIMEOUT)


def test_no_thread_stays_behind(drip: Serve) -> None:
    """A process whose JWKS server drips its headers for hours has no download that hangs."""
    store = KeyStore(drip(HEADERS), timeout=TIMEOUT)
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            store.find("kid")
    deadline = time.monotonic() + 5
    while any(thread.name == "single-flight" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert store.stats().failed_downloads >= 1
