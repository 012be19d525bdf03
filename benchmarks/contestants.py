"""Who takes part: how each server is started."""

import sys
from pathlib import Path

from benchmarks.servers import Command
from benchmarks.stand import ROOT, Stand

VENV = Path(__file__).with_name(".venv")
_PYTHON = VENV / "bin" / "python"
_OURS = "benchmarks.service:app"


def gunicorn(stand: Stand, name: str, *options: str, threads: int = 8, **settings: str) -> Command:
    """Return this service under gunicorn with the project's gunicorn.conf.py."""

    def arguments(port: int, workers: int, threads: int) -> list[str | Path]:
        return [
            *(sys.executable, "-m", "gunicorn", _OURS, "--config", ROOT / "gunicorn.conf.py"),
            *("--workers", str(workers), "--threads", str(threads)),
            *("--bind", f"127.0.0.1:{port}", *options),
        ]

    return Command(name, arguments, stand.environment(**settings), threads)
