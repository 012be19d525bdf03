"""Random numbers in the database. The owner comes first and is in every WHERE.

What changes rows looks at the deny list, too: a token that was revoked a moment ago, in another
process, reads for a while (REVOCATION_POLL_SECONDS), but writes nothing.

One statement does each of these, built once and sent by itself, without a transaction around it
(docs/performance.md): it finds only rows of the owner, and none for an account that is disabled.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Executable, Row, bindparam, delete, insert, select, update

from resource_server.bodies import MAX_ID
from resource_server.database import Connections
from resource_server.randoms.models import RandomNumber
from resource_server.users.accounts import (
    ACTIVE,
    DENIED,
    AccountDisabled,
    Holder,
    active_account,
    key_of,
    named_by,
    owned,
)
from resource_server.users.models import User

Drawn = Row[int, int, int, int]
"""A number as it is in the database: id, num, min_value, max_value."""


class NoSuchRandom(LookupError):
    """The owner has no random number with this id; somebody else may."""


class BoundsOutOfOrder(ValueError):
    """The new bounds, with those that stay, are not in order."""


def _given(name: str) -> Any:
    return bindparam(name, type_=BigInteger)


_COLUMNS = (RandomNumber.id, RandomNumber.num, RandomNumber.min_value, RandomNumber.max_value)
_MINE = owned(RandomNumber.owner_sub)
_ITEM = _MINE & (RandomNumber.id == _given("random_id"))
_NUM, _LOW, _HIGH = _given("drawn"), _given("low"), _given("high")

_PAGE = (
    select(*_COLUMNS)
    .where(_MINE, RandomNumber.id > _given("after"))
    .order_by(RandomNumber.id)
    .limit(_given("limit"))
    .offset(_given("offset"))
)
_GET = select(*_COLUMNS).where(_ITEM)
_CREATE = (
    insert(RandomNumber)
    .from_select(
        ["owner_sub", "num", "min_value", "max_value"],
        select(User.sub, _NUM, _LOW, _HIGH).where(ACTIVE, ~DENIED),
    )
    .returning(*_COLUMNS)
)
_REDRAW = (
    update(RandomNumber)
    .where(
        _ITEM,
        ~DENIED,
        RandomNumber.min_value == _given("low_before"),
        RandomNumber.max_value == _given("high_before"),
    )
    .values(num=_NUM, min_value=_LOW, max_value=_HIGH)
    .returning(*_COLUMNS)
)
_TRIES = 3
_DELETE = delete(RandomNumber).where(_ITEM, ~DENIED).returning(RandomNumber.id)


class OwnedRandoms:
    """The random numbers of one user. Each method raises AccountDisabled or TokenDenied.

    `home` is the service's own pool (`accounts.key_of`).
    """

    def __init__(self, owner: Holder, connections: Connections, *, home: str | None = None) -> None:
        self._owner = owner
        self._connections = connections
        self._home = home
        self._key = key_of(owner, home)

    def page(self, *, limit: int, offset: int = 0, after: int = 0) -> Sequence[Drawn]:
        """Return up to `limit` numbers by id, past the id `after`, past the first `offset`."""
        found = self._ask(_PAGE, limit=limit, offset=offset, after=after)
        if not found:
            self._account()
        return found

    def create(self, min_value: int, max_value: int) -> Drawn:
        """Draw a number between two bounds, both included, and keep it."""
        drawn = _draw(min_value, max_value)
        for _ in range(_TRIES):
            made = self._change(_CREATE, low=min_value, high=max_value, drawn=drawn)
            if made:
                return made[0]
            self._account()  # from now on there is one
        raise AccountDisabled  # shut out and let in again meanwhile

    def get(self, random_id: int) -> Drawn:
        """Return one number.

        Raises NoSuchRandom.
        """
        return self._one(_GET, random_id)

    def redraw(
        self, random_id: int, *, min_value: int | None = None, max_value: int | None = None
    ) -> Drawn:
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
            changed = self._change(
                _REDRAW,
                random_id=random_id,
                low=low,
                high=high,
                low_before=number.min_value,
                high_before=number.max_value,
                drawn=_draw(low, high),
            )
            if changed:
                return changed[0]
            self._account()  # it was not the bounds, if the token is revoked

    def delete(self, random_id: int) -> None:
        """Delete one number.

        Raises NoSuchRandom.
        """
        self._one(_DELETE, random_id)

    def _one(self, statement: Executable, random_id: int) -> Drawn:
        # An id beyond BIGINT: SQLite could not even be asked.
        ask = self._change if statement is _DELETE else self._ask
        found = ask(statement, random_id=random_id) if random_id <= MAX_ID else []
        if not found:
            self._account()
            raise NoSuchRandom(random_id)
        return found[0]

    def _ask(self, statement: Executable, **values: int) -> Sequence[Drawn]:
        with self._connections.autocommit() as connection:
            return connection.execute(statement, {"owner": self._key, **values}).all()

    def _change(self, statement: Executable, **values: int) -> Sequence[Drawn]:
        known = {"owner": self._key, **named_by(self._owner)}
        with self._connections.autocommit() as connection:
            return connection.execute(statement, {**known, **values}).all()

    def _account(self) -> None:
        """Find out why nothing was found: raise, or make the row of a new user."""
        active_account(self._connections, self._owner, home=self._home)


def _draw(low: int, high: int) -> int:
    return low + secrets.randbelow(high - low + 1)
