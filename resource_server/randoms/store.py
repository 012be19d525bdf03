"""Random numbers in the database. The owner comes first and is in every WHERE."""

import secrets
from collections.abc import Sequence

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from resource_server.bodies import MAX_ID
from resource_server.randoms.models import RandomNumber


class NoSuchRandom(LookupError):
    """The owner has no random number with this id; somebody else may."""


class BoundsOutOfOrder(ValueError):
    """The new bounds, with those that stay, are not in order."""


class OwnedRandoms:
    """The random numbers of one user. Methods that write commit."""

    def __init__(self, owner: str, session: Session) -> None:
        self._owner = owner
        self._session = session

    def page(
        self, *, limit: int, offset: int = 0, after: int | None = None
    ) -> Sequence[RandomNumber]:
        """Return up to `limit` numbers by id, past the id `after`, past the first `offset`."""
        statement = self._mine().order_by(RandomNumber.id).limit(limit).offset(offset)
        if after is not None:
            statement = statement.where(RandomNumber.id > after)
        return self._session.scalars(statement).all()

    def create(self, min_value: int, max_value: int) -> RandomNumber:
        """Draw a number between two bounds, both included, and keep it."""
        number = RandomNumber(
            owner_sub=self._owner,
            num=_draw(min_value, max_value),
            min_value=min_value,
            max_value=max_value,
        )
        self._session.add(number)
        self._session.commit()
        return number

    def get(self, random_id: int) -> RandomNumber:
        """Return one number.

        Raises NoSuchRandom.
        """
        _refuse_impossible(random_id)
        number = self._session.scalar(self._mine().where(RandomNumber.id == random_id))
        if number is None:
            raise NoSuchRandom(random_id)
        return number

    def redraw(
        self, random_id: int, *, min_value: int | None = None, max_value: int | None = None
    ) -> RandomNumber:
        """Draw anew, between new bounds where given.

        Raises NoSuchRandom or BoundsOutOfOrder.
        """
        while True:
            number = self.get(random_id)
            low = number.min_value if min_value is None else min_value
            high = number.max_value if max_value is None else max_value
            if low > high:
                raise BoundsOutOfOrder
            # Two changes at once: whoever finds other bounds than it read begins again, so that
            # neither change is lost. It works alike where rows cannot be locked (SQLite).
            statement = (
                update(RandomNumber)
                .where(
                    RandomNumber.id == random_id,
                    RandomNumber.owner_sub == self._owner,
                    RandomNumber.min_value == number.min_value,
                    RandomNumber.max_value == number.max_value,
                )
                .values(num=_draw(low, high), min_value=low, max_value=high)
                .returning(RandomNumber)
                .execution_options(populate_existing=True)
            )
            changed = self._session.scalar(statement)
            self._session.commit()
            if changed is not None:
                return changed
            self._session.expire_all()

    def delete(self, random_id: int) -> None:
        """Delete one number.

        Raises NoSuchRandom.
        """
        _refuse_impossible(random_id)
        statement = (
            delete(RandomNumber)
            .where(RandomNumber.id == random_id, RandomNumber.owner_sub == self._owner)
            .returning(RandomNumber.id)
        )
        deleted = self._session.scalar(statement)
        self._session.commit()
        if deleted is None:
            raise NoSuchRandom(random_id)

    def _mine(self) -> Select[RandomNumber]:
        return select(RandomNumber).where(RandomNumber.owner_sub == self._owner)


def _refuse_impossible(random_id: int) -> None:
    """Raise NoSuchRandom for an id beyond BIGINT: SQLite could not even be asked."""
    if random_id > MAX_ID:
        raise NoSuchRandom(random_id)


def _draw(low: int, high: int) -> int:
    return low + secrets.randbelow(high - low + 1)
