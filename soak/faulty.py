"""A proxy on loopback that breaks what passes through it, on request."""

import json
import threading
import time
from enum import Enum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_SECONDS = 2.0
_LONGEST_HANG_SECONDS = 120.0


class Fault(Enum):
    """What becomes of a request. REFUSE closes the port; HANG never answers."""

    NONE = "none"
    SLOW = "slow"
    ERROR = "error"
    THROTTLE = "throttle"
    HANG = "hang"
    REFUSE = "refuse"


# As AWS's JSON protocol says them (Cognito API reference, "Common errors").
_ANSWERS = {
    Fault.ERROR: (500, "InternalErrorException"),
    Fault.THROTTLE: (400, "TooManyRequestsException"),
}


class FaultyProxy:
    """Hands requests on to a port of loopback, unless `set` said otherwise."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.fault = Fault.NONE
        self.requests = 0
        self._released = threading.Event()
        self._server: _Server | None = _Server(("127.0.0.1", 0), self)
        self.port: int = self._server.server_address[1]
        self._serve(self._server)

    def set(self, fault: Fault) -> None:
        """Break things from now on in this way, and let go of what hangs."""
        self._released.set()
        self._released = threading.Event()
        self.fault = fault
        if fault is Fault.REFUSE:
            self.close()
        elif self._server is None:
            self._server = _Server(("127.0.0.1", self.port), self)
            self._serve(self._server)

    def close(self) -> None:
        """Stop listening; connections are refused."""
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> "_Answer":
        """Do what the fault demands with one request; None closes the connection."""
        self.requests += 1
        if self.fault is Fault.HANG:
            self._released.wait(_LONGEST_HANG_SECONDS)
            return None
        if self.fault in _ANSWERS:
            status, code = _ANSWERS[self.fault]
            text = json.dumps({"__type": code, "message": "broken on purpose"}).encode()
            return status, {"Content-Type": "application/x-amz-json-1.1"}, text
        if self.fault is Fault.SLOW:
            time.sleep(SLOW_SECONDS)
        connection = HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        try:
            ours = {name: value for name, value in headers.items() if name.lower() != "host"}
            connection.request(method, path, body=body or None, headers=ours)
            answer = connection.getresponse()
            kept = {"Content-Type": answer.getheader("Content-Type", "application/json")}
            return answer.status, kept, answer.read()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    @staticmethod
    def _serve(server: "_Server") -> None:
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()


_Answer = tuple[int, dict[str, str], bytes] | None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: FaultyProxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._hand_on()

    def do_POST(self) -> None:
        self._hand_on()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = self.server.proxy.answer(self.command, self.path, dict(self.headers), body)
        self.close_connection = True
        if given is None:
            return
        status, headers, text = given
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except OSError:
            pass  # who asked has gone
