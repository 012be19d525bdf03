"""The table, on the terminal and in docs/reliability.md."""

import platform
import re
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from soak.findings import Outcome, Verdict
from soak.neighbours import ROOT, versions

DOCUMENT = ROOT / "docs" / "reliability.md"
_BEGIN, _END = "<!-- soak: begin -->", "<!-- soak: end -->"


def line(outcome: Outcome) -> str:
    """Return one outcome for a terminal."""
    head = f"{outcome.verdict.value:8} {outcome.scenario.name} ({outcome.seconds:.0f} s)"
    return f"{head}\n         promised: {outcome.scenario.promise}\n         seen: {outcome.seen}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Return all outcomes as a table in Markdown."""
    rows = ["| fault | promised | seen | |", "|---|---|---|---|"]
    for outcome in outcomes:
        name, promise, seen = (
            text.replace("|", "\\|")
            for text in (outcome.scenario.name, outcome.scenario.promise, outcome.seen)
        )
        verdict = outcome.verdict.value
        shown = verdict if outcome.verdict is Verdict.HELD else f"**{verdict}**"
        rows.append(f"| {name} | {promise} | {seen} | {shown} |")
    return "\n".join(rows)


def document(outcomes: Sequence[Outcome], command: str, postgres: str, cores: int) -> str:
    """Return the block of docs/reliability.md that this run writes."""
    packages = ("gunicorn", "flask", "sqlalchemy", "psycopg2-binary", "boto3")
    parts = [f"Python {platform.python_version()}", postgres]
    parts += [f"{name} {version(name)}" for name in packages]
    parts += [_neighbour(name, path) for name, path in versions().items()]
    today = time.strftime("%d %B %Y", time.gmtime()).lstrip("0")
    intro = f"`{command}`, {today}, {platform.system()}, {cores} cores; {', '.join(parts)}."
    return f"{_BEGIN}\n{intro}\n\n{table(outcomes)}\n{_END}"


def write(block: str, file: Path = DOCUMENT) -> None:
    """Put a block where the last one was.

    Raises ValueError if there is no such place.
    """
    text = file.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{file} has no place for the table ({_BEGIN} … {_END})")
    file.write_text(pattern.sub(lambda _: block, text), encoding="utf-8")


def _neighbour(name: str, path: str) -> str:
    if not path:
        return f"no {name}"
    option = "-v" if name == "nginx" else "--version"
    done = subprocess.run([path, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return f"{name} {found.group() if found else ''}".strip()
