"""The service beside its peers: the same endpoints, data and tokens, in rounds that take turns.

All servers run all the time; who is not asked has nothing to do. In each round everybody is asked
once at each endpoint, and every ratio is one to the baseline in the same round: machines are noisy.
"""

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import equality, summary, wrk
from benchmarks.contestants import BASELINE, CONTESTANTS, VENV, Contestant
from benchmarks.plots import endpoints as plot
from benchmarks.servers import Server
from benchmarks.stand import Stand

ENDPOINTS = {
    "GET /randoms?limit=20": equality.LIST,
    "POST /randoms": equality.CREATE,
    "a token, no database": equality.PROTECTED,
    "bare route": equality.BARE,
}


def main() -> None:
    """Run the rounds, print the tables, write what was asked for."""
    options = _options()
    if not (VENV / "bin" / "uvicorn").exists():
        sys.exit("The peers are not installed: benchmarks/run does it (make bench)")
    chosen = [
        contestant
        for contestant in CONTESTANTS
        if contestant.key == BASELINE or any(part in contestant.key for part in options.only)
    ]
    logging.disable(logging.INFO)  # the migrations'
    with Stand(rows=options.rows) as stand:
        starts = _starts(stand, chosen, options.starts - 1)
        servers = {c.key: stand.start(c.command(stand, c.label)) for c in chosen}
        for key, server in servers.items():
            starts[key].append(server.start_seconds)
        equality.check(stand, list(servers.values()))
        _say(f"{len(servers)} servers answer alike")
        _warm_up(stand, servers, options.warm_up)
        turns = _take_turns(stand, servers, rounds=options.rounds, seconds=options.seconds)
        results = summary.results_of(chosen, turns) | _circumstances(stand, options)
        for key, row in results["contestants"].items():
            memory = servers[key].memory()
            row["start_seconds"] = round(statistics.median(starts[key]), 2)
            row["worker_mib"] = round(memory.worker, 1)
            row["total_mib"] = round(memory.total, 1)
    print(
        "Python {python}, PostgreSQL {postgresql}, {cores} cores, {rows:,} rows".format(**results)
    )
    print("{rounds} rounds of {seconds} s, the baseline is {baseline}\n".format(**results))
    print(summary.table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(results, options.plot)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    keys = ", ".join(contestant.key for contestant in CONTESTANTS)
    parser.add_argument("--rounds", type=int, default=5, help="how often each takes its turn (5)")
    parser.add_argument("--seconds", type=int, default=3, help="how long a turn lasts (3)")
    parser.add_argument("--warm-up", type=int, default=2, help="seconds an endpoint, before (2)")
    parser.add_argument("--starts", type=int, default=3, help="how often each is started (3)")
    parser.add_argument(
        "--rows", type=int, default=0, help="least length of the table, 1000000 say"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        metavar="PART",
        help=f"contestants with this in their names, beside {BASELINE}; there are {keys}",
    )
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--plot", type=Path, help="draw them into this SVG file")
    return parser.parse_args()


def _starts(stand: Stand, chosen: Sequence[Contestant], times: int) -> dict[str, list[float]]:
    """Start each some times alone, and end it."""
    seconds: dict[str, list[float]] = {contestant.key: [] for contestant in chosen}
    for number in range(times):
        for contestant in chosen:
            _say(f"start {number + 1}: {contestant.key}")
            with stand.start(contestant.command(stand, contestant.label)) as server:
                seconds[contestant.key].append(server.start_seconds)
    return seconds


def _warm_up(stand: Stand, servers: dict[str, Server], seconds: int) -> None:
    # The tokens without a database first: those who remember them have then seen them all.
    for load in reversed(ENDPOINTS.values()):
        for key, server in servers.items():
            _say(f"warming up: {load.method} {load.path}, {key}")
            wrk.run(server.port, load, stand.tokens_file, seconds=seconds)


def _take_turns(
    stand: Stand, servers: dict[str, Server], *, rounds: int, seconds: int
) -> dict[str, dict[str, list[summary.Turn]]]:
    turns: dict[str, dict[str, list[summary.Turn]]] = {
        name: defaultdict(list) for name in ENDPOINTS
    }
    order = list(servers)
    for number in range(rounds):
        for endpoint, load in ENDPOINTS.items():
            for key in order:
                _say(f"round {number + 1} of {rounds}: {endpoint}, {key}")
                server = servers[key]
                before = server.cpu_seconds()
                measured = wrk.run(server.port, load, stand.tokens_file, seconds=seconds)
                spent = (server.cpu_seconds() - before) / measured.requests * 1e6
                turns[endpoint][key].append((measured, spent))
        order = [*order[1:], order[0]]  # nobody always comes after the same one
    return turns


def _circumstances(stand: Stand, options: argparse.Namespace) -> dict[str, Any]:
    frozen = subprocess.run(
        [VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "freeze"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "postgresql": stand.execute("SHOW server_version"),
        "rows": stand.execute("SELECT count(*) FROM randoms"),
        "baseline": BASELINE,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "peers": [line for line in frozen.stdout.splitlines() if "==" in line],
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
