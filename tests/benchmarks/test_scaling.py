"""What the points of a dimension amount to."""

from benchmarks.scaling import DIMENSIONS, Grown, summarised
from benchmarks.wrk import Measured


def _run(per_second: float, p99: float = 10) -> Measured:
    return Measured(requests=100, per_second=per_second, p50_ms=5, p99_ms=p99)


def test_points_are_set_beside_the_first_of_their_round() -> None:
    """A round in which the machine was slow changes no ratio; the middle one counts."""
    first = [_run(100), _run(50), _run(80)]
    second = [_run(200, 30), _run(100, 20), _run(80, 90)]
    assert summarised({"1": first, "2": second}) == [
        Grown("1", 80, 1, 1, 1, 5, 10),
        Grown("2", 100, 2, 1, 2, 5, 30),
    ]


def test_each_dimension_says_what_it_does() -> None:
    """The names are those that `--only` knows."""
    assert all(points.__doc__ for points in DIMENSIONS.values())
    assert {"threads", "rows", "depth", "denials"} <= DIMENSIONS.keys()
