"""Ratios of one round, and who is called ahead."""

from pathlib import Path

import pytest

from benchmarks.contestants import BASELINE, CONTESTANTS, Kind
from benchmarks.summary import Turn, best, comparisons, ratio, results_of, table
from benchmarks.wrk import Measured

PEERS = Path(__file__).parent.parent.parent / "benchmarks" / "peers"
KINDS = {BASELINE: Kind.OURS, "granian-1": Kind.OURS, "flask": Kind.WRITTEN, "ported": Kind.PORTED}


def test_a_ratio_is_of_the_same_round() -> None:
    """What slows the machine for a round slows both, and leaves their ratio as it is."""
    assert ratio([100, 10, 60], [50, 5, 20]) == {"median": 2, "least": 2, "most": 3}


def test_a_ratio_needs_as_many_rounds() -> None:
    """Rounds that one of two missed are no rounds."""
    with pytest.raises(ValueError, match="shorter"):
        ratio([1, 2], [1])


def test_the_best_is_who_is_best_in_the_middle() -> None:
    """One lucky round does not make the best."""
    assert best({"lucky": [1, 1, 100], "steady": [2, 2, 2]}, ["lucky", "steady"]) == "steady"


def test_ours_is_compared_with_the_best_of_each_kind() -> None:
    """The baseline and our best are set against the best of each kind there is, ported ones all."""
    rounds = {BASELINE: [10, 10], "granian-1": [20, 20], "flask": [5, 4], "ported": [1, 1]}
    found = comparisons(rounds, KINDS)
    assert list(found) == [
        f"{BASELINE} : flask",
        f"{BASELINE} : ported",
        "granian-1 : flask",
        "granian-1 : ported",
    ]
    assert found[f"{BASELINE} : flask"] == {"median": 2.25, "least": 2, "most": 2.5}


def test_the_least_of_flask_is_set_against_what_was_ported() -> None:
    """It tells how far these parts could be from it at most, and nothing about other peers."""
    kinds = {**KINDS, "least": Kind.LEAST}
    rounds = {BASELINE: [10], "granian-1": [20], "flask": [5], "ported": [1], "least": [40]}
    found = comparisons(rounds, kinds)
    assert list(found)[-1] == "least : ported"
    assert [pair for pair in found if "least" in pair] == ["least : ported"]
    assert found["least : ported"]["median"] == 40


def test_a_peer_that_is_ahead_is_said_to_be() -> None:
    """The table names a peer that is faster than all of ours, and nobody who is faster than one."""
    chosen = [c for c in CONTESTANTS if c.key in {BASELINE, "granian-1", "flask", "fastapi-async"}]
    speeds = {BASELINE: 10.0, "granian-1": 20.0, "flask": 15.0, "fastapi-async": 30.0}
    turns = {key: [_turn(speed)] * 3 for key, speed in speeds.items()}
    results = results_of(chosen, {"bare route": turns})
    for row in results["contestants"].values():
        row |= {"start_seconds": 1.0, "worker_mib": 80.0, "total_mib": 200.0}
    written = table(results)
    assert results["ahead"] == {"bare route": ["fastapi-async"]}
    assert "Ahead of this service's best: FastAPI async" in written
    assert "on asyncpg, newest PyJWT (ahead) | 30 | 3.00 (3.00-3.00) | 1.0 | 2.0 | 50 |" in written
    assert "gunicorn (ahead)" not in written


def test_every_contestant_has_a_name_of_its_own() -> None:
    """Results are kept by key, and shown by label."""
    assert len({contestant.key for contestant in CONTESTANTS}) == len(CONTESTANTS)
    assert len({contestant.label for contestant in CONTESTANTS}) == len(CONTESTANTS)


def test_peers_know_nothing_of_this_project() -> None:
    """Peers run without this project's packages, and have none of its code."""
    files = list(PEERS.glob("*.py"))
    assert len(files) > 5
    assert not [file.name for file in files if "resource_server" in file.read_text("utf-8")]


def _turn(per_second: float) -> Turn:
    return Measured(requests=100, per_second=per_second, p50_ms=1, p99_ms=2), 50.0
