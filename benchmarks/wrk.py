"""Load on one server by wrk, which walks over the tokens of a file."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("walk.lua")
_RESULT = "RESULT "


class LoadFailed(RuntimeError):
    """What was measured is worth nothing: answers were errors, or missing; the text says which."""


@dataclass(frozen=True, slots=True)
class Load:
    """What each request asks."""

    path: str
    method: str = "GET"
    body: str | None = None
    """JSON, if any."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of wrk, of which every answer was a success."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def run(
    port: int,
    load: Load,
    tokens: Path,
    *,
    seconds: float,
    connections: int = 16,
    threads: int = 1,
    timeout: float = 10,
) -> Measured:
    """Ask a port of loopback for some seconds; `tokens` holds one a line, used in turn.

    `seconds` is rounded to whole ones, at least 1. An answer may take `timeout` seconds.

    Raises LoadFailed if any request had no answer or an error for one.
    """
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--latency", f"--timeout={timeout:g}s", f"--script={SCRIPT}"]
    command += [f"http://127.0.0.1:{port}", "--", load.method, load.path, str(tokens)]
    command += [load.body] if load.body else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadFailed(f"wrk: {(done.stderr or done.stdout)[-2000:]}")
    return parse(done.stdout)


def parse(output: str) -> Measured:
    """Read what walk.lua prints at the end.

    Raises LoadFailed if there were errors, or not one answer.
    """
    lines = [line for line in output.splitlines() if line.startswith(_RESULT)]
    if not lines:
        raise LoadFailed(f"wrk printed no result:\n{output[-2000:]}")
    found: dict[str, Any] = json.loads(lines[-1].removeprefix(_RESULT))
    errors = {kind: number for kind, number in found["errors"].items() if number}
    if errors:
        raise LoadFailed(f"of {found['requests']} requests some failed: {errors}")
    if not found["requests"]:
        raise LoadFailed("not one request was answered")
    return Measured(
        requests=found["requests"],
        per_second=found["requests"] / (found["microseconds"] / 1e6),
        p50_ms=found["p50_us"] / 1e3,
        p99_ms=found["p99_us"] / 1e3,
    )
