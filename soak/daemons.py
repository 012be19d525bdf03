"""Processes on loopback: started, watched, ended by their id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

START_SECONDS = 60.0


class Daemon:
    """One process; what it prints goes to a file, and its name is in every complaint."""

    def __init__(
        self, name: str, command: Sequence[str], *, home: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = home / f"{name}.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=home,
                env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it printed until now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is ready.

        Raises RuntimeError with its last words if it ends, or takes longer than a minute.
        """
        try:
            wait_until(condition, START_SECONDS, alive=lambda: self.process.poll() is None)
        except TimeoutError:
            self.end(signal.SIGKILL)
            raise RuntimeError(f"{self.name} did not start:\n{self.output[-3000:]}") from None

    def send(self, which: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(which)

    def end(self, how: signal.Signals = signal.SIGTERM, seconds: float = 40) -> int:
        """End it, and wait; return its exit code. What does not end is killed."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def wait_until(
    condition: Callable[[], bool], seconds: float, *, alive: Callable[[], bool] = lambda: True
) -> float:
    """Ask every 20 ms until a condition holds; return the seconds it took.

    Raises TimeoutError. A condition that raises OSError does not hold yet.
    """
    started = time.monotonic()
    while alive() and time.monotonic() - started < seconds:
        try:
            if condition():
                return time.monotonic() - started
        except OSError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"it did not happen within {seconds:g} s")


def free_port() -> int:
    """Return a port of loopback that nobody uses just now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections on a port of loopback."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
