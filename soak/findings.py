"""A scenario's promise, and what was seen of it."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from statistics import median, quantiles
from typing import TYPE_CHECKING

from soak.load import Record

if TYPE_CHECKING:
    from soak.lab import Lab


class Verdict(Enum):
    """How a scenario ended."""

    HELD = "held"
    BROKEN = "BROKEN"
    SKIPPED = "SKIPPED"


@dataclass
class Findings:
    """What was seen, in the order it was; `broken` says which promises did not hold."""

    seen: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def see(self, sentence: str) -> None:
        """Note a fact."""
        self.seen.append(sentence)

    def hold(self, kept: bool, otherwise: str) -> None:
        """Note a broken promise unless it was kept."""
        if not kept:
            self.broken.append(otherwise)

    def no_surprise(self, records: Iterable[Record]) -> None:
        """Hold what is promised whatever happens: no 500, no hang, Retry-After with each 503."""
        records = list(records)
        self.hold(bool(records), "nothing was asked")
        wrong = Counter(r.status for r in records if r.status >= 500 and r.status != 503)
        self.hold(not wrong, f"answered {_counts(wrong)}")
        late = sum(1 for record in records if record.fault == "timeout")
        self.hold(not late, f"{late} requests were not answered within 60 s")
        bare = sum(1 for r in records if r.status == 503 and not r.retry_after)
        self.hold(not bare, f"{bare} answers 503 without Retry-After")

    def all_good(self, records: Iterable[Record], when: str) -> None:
        """Hold that every request was done."""
        bad = Counter(str(r.status or r.fault) for r in records if not 200 <= r.status < 300)
        self.hold(not bad, f"{when}: {_counts(bad)}")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault: what is promised, and the function that sees."""

    name: str
    promise: str
    run: Callable[["Lab", Findings], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table."""

    scenario: Scenario
    verdict: Verdict
    seen: str
    seconds: float


SCENARIOS: list[Scenario] = []


def scenario(
    name: str, promise: str
) -> Callable[[Callable[["Lab", Findings], None]], Callable[["Lab", Findings], None]]:
    """Register a scenario."""

    def register(
        run: Callable[["Lab", Findings], None],
    ) -> Callable[["Lab", Findings], None]:
        SCENARIOS.append(Scenario(name, promise, run))
        return run

    return register


def counts(records: Iterable[Record]) -> str:
    """Say how many of which status or fault."""
    return _counts(Counter(str(record.status or record.fault) for record in records))


def milliseconds(seconds: float) -> str:
    """Say a time."""
    return f"{seconds * 1000:.0f} ms" if seconds < 8 else f"{seconds:.0f} s"


def middle(records: Iterable[Record]) -> float:
    """Return the median of the times of answers, in seconds; infinite without any."""
    times = [record.seconds for record in records if record.status]
    return median(times) if times else float("inf")


def p99(records: Iterable[Record]) -> float:
    """Return the 99th percentile of the times of answers, in seconds."""
    times = [record.seconds for record in records if record.status]
    return quantiles(times, n=100)[98] if len(times) > 1 else float("inf")


def _counts(found: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{what}: {count}" for what, count in found.most_common()) or "none"
