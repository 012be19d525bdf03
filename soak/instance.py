"""The service under gunicorn, with the project's own gunicorn.conf.py."""

import json
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from soak.daemons import Daemon, free_port, wait_until
from soak.neighbours import PASSWORD, ROOT


class Instance:
    """One gunicorn; `workers` processes, `threads` requests at once in each."""

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        *,
        workers: int = 2,
        threads: int = 8,
        options: tuple[str, ...] = (),
    ) -> None:
        self.port = free_port()
        self.ask = partial(ask, self.port)
        command = [sys.executable, "-m", "gunicorn", "soak.named:app"]
        command += ["--config", str(ROOT / "gunicorn.conf.py"), "--no-control-socket"]
        command += ["--workers", str(workers), "--threads", str(threads)]
        command += ["--bind", f"127.0.0.1:{self.port}", *options]
        paths = {"PYTHONPATH": str(ROOT)}
        name = f"gunicorn-{self.port}"
        self._workers = workers
        self.daemon = Daemon(name, command, home=home, environment={**paths, **environment})

    def wait_until_ready(self) -> "Instance":
        """Wait until each worker serves; return itself."""
        self.daemon.wait_until(lambda: self.status("/readyz") == 200)
        self.daemon.wait_until(lambda: len(self.ready_workers()) >= self._workers)
        return self

    def workers(self) -> set[int]:
        """Return the process ids of the workers there are."""
        parent = self.daemon.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
        return {int(child) for child in children.split()}

    def ready_workers(self, attempts: int = 12) -> set[str]:
        """Ask on several connections; return who is ready."""
        found = set()
        for _ in range(attempts):
            status, headers, _body = self.ask("GET", "/readyz")
            if status == 200:
                found.add(headers.get("X-Worker", ""))
        return found

    def resident(self) -> int:
        """Return the memory of all workers, in bytes."""
        pages = 0
        for pid in self.workers():
            statm = Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
            pages += int(statm.split()[1])
        return pages * 4096

    def status(self, path: str, token: str | None = None) -> int:
        """Ask for a page; 0 if there is no answer."""
        try:
            return self.ask("GET", path, token=token)[0]
        except OSError:
            return 0

    def sign_in(self, username: str) -> str:
        """Return a new access token of a user."""
        return sign_in(self.port, username)

    def reload(self) -> float:
        """Send HUP, and wait until all workers are new; return the seconds it took."""
        before = self.workers()
        self.daemon.send(signal.SIGHUP)
        return wait_until(
            lambda: not before & self.workers() and len(self.workers()) == self._workers, 60
        )

    def end(self) -> tuple[int, float]:
        """Send SIGTERM and wait; return the exit code and the seconds it took."""
        started = time.monotonic()
        return self.daemon.end(), time.monotonic() - started


def ask(
    port: int,
    method: str,
    path: str,
    *,
    token: str | None = None,
    form: str | None = None,
    timeout: float = 30,
) -> tuple[int, dict[str, str], bytes]:
    """Send one request to a port of loopback; return status, headers and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Connection": "close"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        connection.request(method, path, form, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def sign_in(port: int, username: str) -> str:
    """Return a new access token of a user, from the service at a port."""
    form = f"username={username}&password={PASSWORD}"
    status, _, body = ask(port, "POST", "/users/login", form=form)
    if status != 200:
        raise RuntimeError(f"{username} could not sign in: {status} {body[:200]!r}")
    answer: dict[str, Any] = json.loads(body)
    return str(answer["access_token"])
