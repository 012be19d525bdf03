"""What was measured, put into the pages that tell of it: docs/performance.md and docs/scaling.md.

A table stands between two comments, `<!-- measured: NAME -->` and `<!-- until here -->`; all else
in a page is written by people, who hold it against the tables.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import scaling, summary
from benchmarks.contestants import BASELINE, Kind

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("performance.md", "scaling.md")
_MARKED = re.compile(r"(<!-- measured: ([^>]+?) -->\n).*?(<!-- until here -->)", re.DOTALL)


def main() -> None:
    """Write every table of both pages anew."""
    tables = measured(DOCS)
    for name in PAGES:
        page = DOCS / name
        page.write_text(written(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


def written(page: str, tables: Mapping[str, str]) -> str:
    """Return a page with its tables as they were measured.

    Raises KeyError for a name that no table has.
    """
    return _MARKED.sub(lambda found: found[1] + tables[found[2]] + found[3], page)


def measured(folder: Path) -> dict[str, str]:
    """Read the JSON files of a folder; return each table by its name, as Markdown."""
    verified, results, grown = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("verification", "endpoints", "scaling")
    )
    budgets = [scaling.Budget(**each) for each in grown["budget"]]
    dimensions = {
        name: scaling.table(name, [scaling.Grown(**row) for row in rows])
        for name, rows in grown["dimensions"].items()
    }
    return {
        "verification": _verification(verified["verification"]),
        "endpoints": _endpoints(results),
        "goals": _goals(results),
        "processes at rest": "\n".join(summary.sizes(results)) + "\n",
        "budget": scaling.budget_table(budgets),
        **dimensions,
    }


def _verification(results: Mapping[str, Mapping[str, float]]) -> str:
    """Set everybody beside the RSA alone, the quickest first."""
    lines = ["| | µs | times the RSA alone (least-most) |", "|---|---|---|"]
    for name, row in sorted(results.items(), key=lambda item: item[1]["ratio"]):
        who = f"**{name}**" if name.startswith("resource_server") else name
        spread = f"{row['ratio']:.2f} ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})"
        lines.append(f"| {who} | {row['microseconds']:.1f} | {spread} |")
    return "\n".join(lines) + "\n"


def _endpoints(results: Mapping[str, Any]) -> str:
    """Set everybody beside the baseline, the quickest at a page first."""
    page, *others = results["endpoints"]
    heads = [f"{page}, requests/s", "times gunicorn (least-most)", "p99 ms", *others]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    rows = results["endpoints"][page]
    for key, row in sorted(rows.items(), key=lambda item: -item[1]["per_second"]):
        cells = [summary.name(results["contestants"][key]), f"{row['per_second']:,.0f}"]
        cells += [summary.spread(row["ratio"]), f"{row['p99_ms']:.0f}"]
        cells += [f"{results['endpoints'][each][key]['ratio']['median']:.2f}" for each in others]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _goals(results: Mapping[str, Any]) -> str:
    """Set the baseline and our best against the best peer of each kind, in the same rounds."""
    endpoints = results["comparisons"]
    rows: dict[str, dict[str, str]] = {}
    for endpoint, pairs in endpoints.items():
        for pair, found in pairs.items():
            one, other = (_role(results, key) for key in pair.split(" : "))
            rows.setdefault(f"{one} : {other}", {})[endpoint] = summary.spread(found)
    lines = [f"| | {' | '.join(endpoints)} |", "|---|" + "---|" * len(endpoints)]
    lines += [
        f"| {name} | {' | '.join(row.get(endpoint, '') for endpoint in endpoints)} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


def _role(results: Mapping[str, Any], key: str) -> str:
    """Call who is compared by what they are there for."""
    contestant = results["contestants"][key]
    if contestant["kind"] == Kind.OURS:
        return "gunicorn" if key == BASELINE else "our best"
    if contestant["kind"] in {Kind.PORTED, Kind.LEAST}:
        return str(contestant["label"])
    return f"the best {contestant['kind']}"


if __name__ == "__main__":
    main()
