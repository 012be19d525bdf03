"""What was acknowledged, held against the table."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import create_engine, text

from soak.load import Record


@dataclass(frozen=True, slots=True)
class Balance:
    """Writes by what became of them. Lost and doubled ones break the promise."""

    acknowledged: int
    lost: frozenset[int]
    doubled: frozenset[int]
    unacknowledged_kept: int
    """Kept although the client was not told so: the answer, not the write, went missing."""

    @property
    def sound(self) -> bool:
        """Whether nothing was lost or doubled."""
        return not self.lost and not self.doubled

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledged writes, {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled"
        )


def balance(records: Iterable[Record], stored: Counter[int]) -> Balance:
    """Hold the records of writes against how often each number is stored."""
    writes = [record for record in records if record.tag is not None]
    acknowledged = {record.tag for record in writes if record.status == 201 and record.tag}
    others = {record.tag for record in writes if record.tag} - acknowledged
    sent = acknowledged | others
    return Balance(
        acknowledged=len(acknowledged),
        lost=frozenset(acknowledged - stored.keys()),
        doubled=frozenset(tag for tag in sent if stored[tag] > 1),
        unacknowledged_kept=sum(1 for tag in others if stored[tag]),
    )


def stored(url: str) -> Counter[int]:
    """Count the numbers in the table."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT num, count(*) FROM randoms GROUP BY num"))
            return Counter({int(number): int(count) for number, count in rows})
    finally:
        engine.dispose()
