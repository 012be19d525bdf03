"""How the service grows: by processes, threads, load, rows, depth, tokens and denials.

Everything runs on one machine, the load and PostgreSQL beside the service, so absolute numbers
are this machine's. Each dimension changes one thing; its points are measured in turns, and each is
told as a ratio to the first one in the same round.
"""

import argparse
import functools
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import wrk
from benchmarks.contestants import gunicorn
from benchmarks.servers import Server
from benchmarks.stand import Stand

PAGE = wrk.Load("/randoms?limit=20")
PROTECTED = wrk.Load("/protected")
DEEP_ITEMS = 100_000
_REST_SECONDS = 0.5  # what 256 connections had asked for, and were gone, is answered by then
THREADS = 8
"""As shipped."""
_GTHREAD = "resource_server.draining.DrainingWorker"
"""gunicorn's own, but for how it ends."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: `run` loads a server for some seconds.

    `prepare` changes what all points share, so these are measured one after the other: the others
    take turns.
    """

    label: str
    run: Callable[[float], wrk.Measured]
    prepare: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Grown:
    """A point's medians over the rounds; `ratio` is to the first point of its dimension."""

    label: str
    per_second: float
    ratio: float
    least: float
    most: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Measure each dimension, print it, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each point (5)")
    parser.add_argument("--seconds", type=int, default=3, help="length of a turn (3)")
    parser.add_argument("--only", default="", help="dimensions whose name contains this")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--plot", type=Path, help="draw them into this SVG file")
    options = parser.parse_args()
    chosen = {name: made for name, made in DIMENSIONS.items() if options.only in name}
    if not chosen:
        parser.error(f"no dimension is called {options.only}: {', '.join(DIMENSIONS)}")
    results: dict[str, list[Grown]] = {}
    budgets: list[Budget] = []
    with Stand() as stand:
        if not options.only:
            budgets = budget(stand, options.rounds, options.seconds)
            print(budget_table(budgets), flush=True)
        for name, points in chosen.items():
            print(f"{name} …", flush=True)
            results[name] = _take_turns(points(stand), options.rounds, options.seconds)
            print(table(name, results[name]), flush=True)
    told = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "budget": [asdict(each) for each in budgets],
        "dimensions": {name: [asdict(each) for each in rows] for name, rows in results.items()},
    }
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(results, options.plot)


def _take_turns(points: Iterator[Point], rounds: int, seconds: float) -> list[Grown]:
    """Measure all points of a dimension one after the other, again and again."""
    taken: dict[str, list[wrk.Measured]] = {}
    made = list(points)
    for point in made:
        if point.prepare is not None:
            point.prepare()
        point.run(1)  # so that nothing happens for the first time
        runs = rounds if point.prepare is not None else 0
        taken[point.label] = [point.run(seconds) for _ in range(runs)]
    in_turns = [point for point in made if point.prepare is None]
    for _ in range(rounds):
        for point in in_turns:
            time.sleep(_REST_SECONDS)
            taken[point.label].append(point.run(seconds))
    return summarised(taken)


def summarised(taken: dict[str, list[wrk.Measured]]) -> list[Grown]:
    """Put each point beside the first one of its round."""
    first = next(iter(taken.values()))
    found = []
    for label, runs in taken.items():
        ratios = [run.per_second / base.per_second for run, base in zip(runs, first, strict=True)]
        found.append(
            Grown(
                label=label,
                per_second=statistics.median(run.per_second for run in runs),
                ratio=statistics.median(ratios),
                least=min(ratios),
                most=max(ratios),
                p50_ms=statistics.median(run.p50_ms for run in runs),
                p99_ms=statistics.median(run.p99_ms for run in runs),
            )
        )
    return found


def _loading(
    server: Server, load: wrk.Load, tokens: Path, *, connections: int = 16
) -> Callable[[float], wrk.Measured]:
    return lambda seconds: wrk.run(
        server.port, load, tokens, seconds=seconds, connections=connections
    )


def processes(stand: Stand) -> Iterator[Point]:
    """Start workers of one thread each, up to twice the cores."""
    for number in (1, 2, 4):
        server = stand.start(gunicorn(stand, "ours", threads=1), workers=number)
        yield Point(f"{number}", _loading(server, PAGE, stand.tokens_file))


def threads(stand: Stand) -> Iterator[Point]:
    """Start threads in each of two workers."""
    for number in (1, 2, 4, 8, 16):
        server = stand.start(gunicorn(stand, "ours", threads=number))
        yield Point(f"{number}", _loading(server, PAGE, stand.tokens_file))


def distance(stand: Stand) -> Iterator[Point]:
    """Move the database away, for workers that differ in who answers."""
    for milliseconds in (0, 1, 4):
        for name, options, number in (
            ("ours", (), THREADS),
            ("gthread", ("--worker-class", _GTHREAD), THREADS),
            ("sync", ("--worker-class", "sync"), 1),
        ):
            away = {"DATABASE_IS_AWAY": str(milliseconds)}
            server = stand.start(gunicorn(stand, name, *options, threads=number, **away))
            label = f"{milliseconds} ms, {name}"
            yield Point(label, _loading(server, PAGE, stand.tokens_file))


def concurrency(stand: Stand) -> Iterator[Point]:
    """Keep more connections of clients busy."""
    server = stand.start(gunicorn(stand, "ours", threads=THREADS))
    for number in (1, 4, 16, 64, 256):
        yield Point(f"{number}", _loading(server, PAGE, stand.tokens_file, connections=number))


def rows(stand: Stand) -> Iterator[Point]:
    """Let the table grow, of which a page shows 20 rows."""
    server = stand.start(gunicorn(stand, "ours", threads=THREADS))
    run = _loading(server, PAGE, stand.tokens_file)
    for number in (20_000, 100_000, 1_000_000):
        yield Point(f"{number:,}", run, functools.partial(_grow, stand, number))


def _grow(stand: Stand, number: int) -> None:
    stand.add_rows(number)
    stand.execute("VACUUM ANALYZE")  # or PostgreSQL would do it by itself meanwhile


def depth(stand: Stand) -> Iterator[Point]:
    """Begin a page far into one user's 100,000 numbers, by `after` and by `offset`."""
    server = stand.start(gunicorn(stand, "ours", threads=THREADS))
    number = stand.users
    stand.execute("INSERT INTO users (sub, username) VALUES (:sub, 'deep')", sub=stand.sub(number))
    stand.add_items(stand.sub(number), DEEP_ITEMS)
    tokens = stand.write_tokens("deep", [stand.token(number)])
    ids = "SELECT id FROM randoms WHERE owner_sub = :sub ORDER BY id OFFSET :skipped LIMIT 1"
    for skipped in (0, 1_000, 90_000):
        after = stand.execute(ids, sub=stand.sub(number), skipped=skipped)
        load = wrk.Load(f"/randoms?limit=20&after={after}")
        yield Point(f"after {skipped:,}", _loading(server, load, tokens, connections=2))
    for skipped in (1_000, 90_000):
        load = wrk.Load(f"/randoms?limit=20&offset={skipped}")
        yield Point(f"offset {skipped:,}", _loading(server, load, tokens, connections=2))


def tokens(stand: Stand) -> Iterator[Point]:
    """Send tokens that a process has verified before, or has not."""
    many = stand.write_tokens("many", [stand.token(n % stand.users) for n in range(20_000)])
    few = stand.write_tokens("few", stand.tokens[:100])
    for label, size, file in (
        ("all seen before", 10_000, few),
        ("none seen before", 100, many),
    ):
        command = gunicorn(stand, "ours", threads=THREADS, TOKEN_CACHE_SIZE=str(size))
        server = stand.start(command)
        for what, load in (("no database", PROTECTED), ("page", PAGE)):
            yield Point(f"{what}, {label}", _loading(server, load, file))


def denials(stand: Stand) -> Iterator[Point]:
    """Fill the deny list, which each process holds in memory."""
    server = stand.start(gunicorn(stand, "ours", threads=THREADS))
    run = _loading(server, PROTECTED, stand.tokens_file)
    for number in (0, 1_000, 100_000):
        yield Point(f"{number:,}", run, functools.partial(_deny, stand, number))


def _deny(stand: Stand, number: int) -> None:
    stand.execute("DELETE FROM revocations")
    stand.execute(
        "INSERT INTO revocations (kind, value, issued_before, expires_at) "
        "SELECT 'origin_jti', 'denied-' || n, 9007199254740992, :expires_at "
        "FROM generate_series(1, :number) n",
        number=number,
        expires_at=int(time.time()) + 3600,
    )
    time.sleep(3)  # longer than any process goes without reading


DIMENSIONS: dict[str, Callable[[Stand], Iterator[Point]]] = {
    "processes": processes,
    "threads": threads,
    "distance": distance,
    "concurrency": concurrency,
    "rows": rows,
    "depth": depth,
    "tokens": tokens,
    "denials": denials,
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What one request takes of the processors, in µs, and what follows for this machine."""

    asked: str
    service_us: float
    postgres_us: float
    wrk_us: float
    predicted: float
    """Requests a second if every core did nothing else: cores / the sum of the three."""
    measured: float


def budget(stand: Stand, rounds: int, seconds: float) -> list[Budget]:
    """Weigh what a request costs each of the three that share this machine."""
    server = stand.start(gunicorn(stand, "ours", threads=THREADS))
    write = wrk.Load("/randoms", "POST", '{"min_value": 1, "max_value": 6}')
    found = []
    for asked, load in (("page", PAGE), ("write", write), ("no database", PROTECTED)):
        run = _loading(server, load, stand.tokens_file)
        run(1)
        turns = [_weighed(stand, server, run, seconds) for _ in range(rounds)]
        service, postgres, client, measured = map(statistics.median, zip(*turns, strict=True))
        predicted = (os.cpu_count() or 1) * 1e6 / (service + postgres + client)
        found.append(Budget(asked, service, postgres, client, predicted, measured))
    return found


def _weighed(
    stand: Stand, server: Server, run: Callable[[float], wrk.Measured], seconds: float
) -> tuple[float, float, float, float]:
    def spent() -> tuple[float, float, float]:
        client = resource.getrusage(resource.RUSAGE_CHILDREN)
        wrk_seconds = client.ru_utime + client.ru_stime
        return server.cpu_seconds(), stand.postgres_cpu_seconds(), wrk_seconds

    before = spent()
    measured = run(seconds)
    service, postgres, client = (
        (after - earlier) / measured.requests * 1e6
        for after, earlier in zip(spent(), before, strict=True)
    )
    return service, postgres, client, measured.per_second


def budget_table(budgets: list[Budget]) -> str:
    """Write what requests take as Markdown."""
    lines = ["| µs a request | service | PostgreSQL | wrk | predicted/s | measured/s | |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [
        f"| {each.asked} | {each.service_us:.0f} | {each.postgres_us:.0f} | {each.wrk_us:.0f} | "
        f"{each.predicted:,.0f} | {each.measured:,.0f} | {each.measured / each.predicted:.2f} |"
        for each in budgets
    ]
    return "\n".join(lines) + "\n"


def table(name: str, grown: list[Grown]) -> str:
    """Write a dimension as Markdown."""
    lines = [
        f"| {name} | requests/s | ratio (least-most) | p50 ms | p99 ms |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.label} | {each.per_second:,.0f} | {each.ratio:.2f} "
        f"({each.least:.2f}-{each.most:.2f}) | {each.p50_ms:.1f} | {each.p99_ms:.1f} |"
        for each in grown
    ]
    return "\n".join(lines) + "\n"


def plot(results: dict[str, list[Grown]], file: Path) -> None:
    """Draw throughput as bars and p99 as dots, a panel for each dimension."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scaling"
    import matplotlib.pyplot as plt

    columns = 2
    lines = -(-len(results) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(10, 2.6 * lines), squeeze=False)
    for panel, (name, grown) in zip(axes.flat, results.items(), strict=False):
        _panel(panel, name, grown)
    for panel in axes.flat[len(results) :]:
        panel.set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _panel(panel: Any, name: str, grown: list[Grown]) -> None:
    labels = [each.label for each in grown]
    panel.bar(labels, [each.per_second for each in grown], color="#8fb7d9")
    panel.set_title(name, fontsize=10)
    panel.set_ylabel("requests/s", fontsize=8)
    panel.tick_params(labelsize=7)
    if max(map(len, labels)) > 8:  # noqa: PLR2004 - characters that fit
        panel.tick_params(axis="x", labelrotation=20)
    late = panel.twinx()
    late.plot(labels, [each.p99_ms for each in grown], "o", color="#c0504d", markersize=4)
    late.set_ylabel("p99 ms", fontsize=8, color="#c0504d")
    late.set_ylim(bottom=0)
    late.tick_params(labelsize=7)


if __name__ == "__main__":
    main()
