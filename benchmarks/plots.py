"""The pictures of docs/performance.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.contestants import Kind

_COLOURS = {
    Kind.OURS: "#2a6f97",
    Kind.LEAST: "#a9d6e5",
    Kind.WRITTEN: "#adb5bd",
    Kind.LEVERS: "#e09f3e",
    Kind.PORTED: "#9e2a2b",
}


def endpoints(results: Mapping[str, Any], file: Path) -> None:
    """Draw each endpoint's ratios as bars, with their spread."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "resource_server"
    import matplotlib.pyplot as plt

    contestants = results["contestants"]
    names = [row["label"] for row in contestants.values()]
    colours = [_COLOURS[Kind(row["kind"])] for row in contestants.values()]
    many = len(results["endpoints"])
    figure, drawn = plt.subplots(
        1, many, figsize=(4 + 3 * many, 0.35 * len(names) + 1.2), sharey=True
    )
    for axes, (endpoint, rows) in zip(drawn, results["endpoints"].items(), strict=True):
        ratios = [rows[key]["ratio"] for key in contestants]
        medians = [ratio["median"] for ratio in ratios]
        below = [ratio["median"] - ratio["least"] for ratio in ratios]
        above = [ratio["most"] - ratio["median"] for ratio in ratios]
        bars = axes.barh(names, medians, xerr=[below, above], color=colours, ecolor="#495057")
        axes.bar_label(bars, fmt="%.2f", padding=3)
        axes.margins(x=0.2)
        axes.set_title(endpoint)
        axes.spines[["top", "right"]].set_visible(False)
    drawn[0].invert_yaxis()
    figure.supxlabel("requests a second, as a multiple of this service on gunicorn as shipped")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
