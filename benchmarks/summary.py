"""What rounds amount to: medians, and ratios to the baseline in the same round."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contestants import BASELINE, Contestant, Kind
from benchmarks.wrk import Measured

Rounds = Mapping[str, Sequence[float]]
"""By contestant: requests a second, round by round."""


Turn = tuple[Measured, float]
"""What wrk measured, and the processor time in µs that the workers took for a request."""


def results_of(
    chosen: Sequence[Contestant], turns: Mapping[str, Mapping[str, Sequence[Turn]]]
) -> dict[str, Any]:
    """Summarise the turns of everybody at each endpoint, with who is ahead of all of ours."""
    kinds = {contestant.key: contestant.kind for contestant in chosen}
    results: dict[str, Any] = {
        "contestants": {c.key: {"label": c.label, "kind": c.kind} for c in chosen},
        "endpoints": {},
        "comparisons": {},
        "ahead": {},
    }
    for endpoint, of_all in turns.items():
        rounds = {key: [turn.per_second for turn, _ in of_all[key]] for key in kinds}
        rows = {key: _row(of_all[key], rounds[key], rounds[BASELINE]) for key in kinds}
        most = max(rows[key]["per_second"] for key in kinds if kinds[key] == Kind.OURS)
        results["endpoints"][endpoint] = rows
        results["comparisons"][endpoint] = comparisons(rounds, kinds)
        results["ahead"][endpoint] = [key for key in kinds if rows[key]["per_second"] > most]
    return results


def _row(
    turns: Sequence[Turn], rounds: Sequence[float], baseline: Sequence[float]
) -> dict[str, Any]:
    return {
        "per_second": round(statistics.median(rounds), 1),
        "ratio": ratio(rounds, baseline),
        "p50_ms": round(statistics.median(turn.p50_ms for turn, _ in turns), 2),
        "p99_ms": round(statistics.median(turn.p99_ms for turn, _ in turns), 2),
        "cpu_us": round(statistics.median(spent for _, spent in turns), 1),
        "rounds": [round(value, 1) for value in rounds],
    }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Divide round by round; return the median, the least and the most.

    Raises ValueError unless both have as many rounds.
    """
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "median": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "most": round(max(ratios), 3),
    }


def best(rounds: Rounds, among: Sequence[str]) -> str:
    """Return who has the highest median."""
    return max(among, key=lambda key: statistics.median(rounds[key]))


def comparisons(rounds: Rounds, kinds: Mapping[str, Kind]) -> dict[str, dict[str, Any]]:
    """Set the baseline, and our best, against the best peer of each kind and all that is ported.

    And against all that is ported the least of Flask, too: what could be had at most.
    """
    by_kind = {kind: [key for key in rounds if kinds[key] == kind] for kind in Kind}
    others = [best(rounds, by_kind[kind]) for kind in (Kind.WRITTEN, Kind.LEVERS) if by_kind[kind]]
    others += by_kind[Kind.PORTED]
    ours = dict.fromkeys([BASELINE, best(rounds, by_kind[Kind.OURS])])
    pairs = list(itertools.product(ours, others))
    pairs += itertools.product(by_kind[Kind.LEAST], by_kind[Kind.PORTED])
    return {f"{one} : {other}": ratio(rounds[one], rounds[other]) for one, other in pairs}


def spread(found: Mapping[str, float]) -> str:
    """Write a ratio as the tables have it."""
    return f"{found['median']:.2f} ({found['least']:.2f}-{found['most']:.2f})"


def name(who: Mapping[str, Any]) -> str:
    """Write a contestant's name as the tables have it: ours stand out."""
    return f"**{who['label']}**" if who["kind"] == Kind.OURS else str(who["label"])


def table(results: Mapping[str, Any]) -> str:
    """Write the results as Markdown; `ahead` marks who is ahead of all of ours."""
    lines = []
    for endpoint, rows in results["endpoints"].items():
        lines += [
            f"### {endpoint}",
            "",
            "| | requests/s | times the baseline (least-most) | p50 ms | p99 ms | CPU µs/request |",
            "|---|---|---|---|---|---|",
        ]
        for key, row in sorted(rows.items(), key=lambda item: -item[1]["per_second"]):
            who = name(results["contestants"][key])
            who += " (ahead)" if key in results["ahead"][endpoint] else ""
            lines.append(
                f"| {who} | {row['per_second']:,.0f} | {spread(row['ratio'])} "
                f"| {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {row['cpu_us']:.0f} |"
            )
        lines.append("")
        for pair, found in results["comparisons"][endpoint].items():
            lines.append(f"- {pair} = {spread(found)}")
        lines += ["", _ahead(results, endpoint), ""]
    return "\n".join([*lines, "### Processes", "", *sizes(results)])


def _ahead(results: Mapping[str, Any], endpoint: str) -> str:
    names = [results["contestants"][key]["label"] for key in results["ahead"][endpoint]]
    if not names:
        return "No peer is ahead of this service's best."
    return f"Ahead of this service's best: {'; '.join(names)}."


def sizes(results: Mapping[str, Any]) -> list[str]:
    """Write how quick everybody starts, and how big they are, as lines of Markdown."""
    lines = [
        "| | start to first answer, s | MiB a worker (PSS) | MiB in all |",
        "|---|---|---|---|",
    ]
    for row in results["contestants"].values():
        start, worker, total = row["start_seconds"], row["worker_mib"], row["total_mib"]
        lines.append(f"| {row['label']} | {start:.2f} | {worker:.0f} | {total:.0f} |")
    return lines
