"""`python -m soak`: break things, and print what was promised and what was seen."""

import os
import signal
import sys
import time
from pathlib import Path

import click
from sqlalchemy import create_engine, text

from soak import report, scenarios
from soak.findings import SCENARIOS, Findings, Outcome, Scenario, Verdict
from soak.lab import Lab
from soak.neighbours import Missing

assert scenarios.__all__  # imported for what it registers


@click.command()
@click.option("--short", is_flag=True, help="The form for CI: about two minutes in all.")
@click.option("--minutes", default=10.0, show_default=True, help="Of full load, long form.")
@click.option("--only", default="", help="Only scenarios whose name contains this.")
@click.option("--write", is_flag=True, help="Put the whole table into docs/reliability.md.")
@click.option("--logs", type=click.Path(path_type=Path), help="Keep what the programs printed.")
def main(*, short: bool, minutes: float, only: str, write: bool, logs: Path | None) -> None:
    """Run the service in real processes, and break what it leans on.

    The exit code is 1 if a promise was broken.
    """
    chosen = [each for each in SCENARIOS if only.lower() in each.name.lower()]
    if not chosen:
        raise click.ClickException(f"No scenario is called {only}")
    outcomes = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends, too
    with Lab(short=short, minutes=minutes) as lab:
        for each in chosen:
            outcomes.append(run(each, lab))
            click.echo(report.line(outcomes[-1]))
            if outcomes[-1].verdict is Verdict.BROKEN:
                for trace in lab.traces():
                    click.echo(trace, err=True)
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
            for file in lab.home.glob("*.log"):
                (logs / file.name).write_bytes(file.read_bytes())
        postgres = _postgres(lab.postgres.url)
    broken = sum(1 for outcome in outcomes if outcome.verdict is Verdict.BROKEN)
    skipped = sum(1 for outcome in outcomes if outcome.verdict is Verdict.SKIPPED)
    click.echo(f"\n{report.table(outcomes)}\n")
    click.echo(f"{len(outcomes)} scenarios: {broken} broken, {skipped} SKIPPED")
    if write and not only:  # a part of the table would pass for all of it
        command = f"make soak{' ARGS=--short' if short else ''}"
        report.write(report.document(outcomes, command, postgres, os.cpu_count() or 1))
    sys.exit(1 if broken else 0)


def run(each: Scenario, lab: Lab) -> Outcome:
    """Run one scenario; one that cannot be run is skipped, and one that fails is broken."""
    findings, started = Findings(), time.monotonic()
    try:
        each.run(lab, findings)
    except Missing as missing:
        return Outcome(each, Verdict.SKIPPED, str(missing), time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - the others still run, and this one says why it did not
        findings.broken.append(f"{type(error).__name__}: {error}")
    finally:
        lab.mend()
    seconds = time.monotonic() - started
    if findings.broken:
        seen = "; ".join([*(f"**{fault}**" for fault in findings.broken), *findings.seen])
        return Outcome(each, Verdict.BROKEN, seen, seconds)
    return Outcome(each, Verdict.HELD, "; ".join(findings.seen), seconds)


def _postgres(url: str) -> str:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = str(connection.execute(text("SHOW server_version")).scalar_one())
            return f"PostgreSQL {found.split(maxsplit=1)[0]}"
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
