"""Rows of users brought up to what the directory says, page by page.

Every page is a transaction of its own, and a second run only does what the first did not: a run
may be interrupted, and two may run at once. What is kept in memory is eight bytes a user.
"""

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from resource_server.identity.directory import DirectoryUser, UserDirectory
from resource_server.identity.errors import NoSuchUser, TooManyRequests
from resource_server.users import accounts, projection
from resource_server.users.models import User
from resource_server.users.projection import Denies

T = TypeVar("T")
V = TypeVar("V")

_BATCH = 2_000  # rows read, or settled, at once
# Cognito throttles by the second: an answer that does not come in five minutes is another fault.
_MOST_WAITS = 60
# Fewer rows than this may go at once without a question.
_FEW = 10


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


class TooManyGone(Exception):
    """More than a tenth of all rows would go: rather the wrong pool than so many who left."""

    def __init__(self, gone: int, rows: int) -> None:
        super().__init__(gone, rows)
        self.gone = gone
        self.rows = rows


@dataclass(slots=True)
class Counts:
    """What a run found, and did unless it was a dry one.

    A user may be counted twice: made and disabled, changed and enabled.
    """

    listed: int = 0
    made: int = 0
    changed: int = 0
    disabled: int = 0
    enabled: int = 0
    unchanged: int = 0
    gone: int = 0
    """Rows whose user the directory does not have; they are disabled, or deleted."""
    deleted: int = 0


class Sync:
    """One run. `counts` is right at any time, also after an error.

    `not_ours` are the values of `sub` that no user of the directory has: those of app clients.
    `sleep` takes seconds.
    """

    def __init__(
        self,
        session: Session,
        directory: UserDirectory,
        deny_list: Denies,
        *,
        not_ours: Collection[str] = (),
        dry_run: bool = False,
        sleep: Callable[[float], None] = _sleep,
    ) -> None:
        self.counts = Counts()
        self._session = session
        self._directory = directory
        self._deny_list = deny_list
        self._not_ours = not_ours
        self._dry_run = dry_run
        self._sleep = sleep
        self._seen = array("q")
        # Whoever signs up from here on has a higher id, and is not looked for in the list.
        self._newest = session.scalar(select(func.max(User.id))) or 0
        session.rollback()  # no transaction stays open while the directory is asked

    def follow(self) -> Iterator[int]:
        """Walk the directory; yield how many users each page had.

        Raises an IdentityError or a SQLAlchemyError; pages before it are done.
        """
        following: str | None = None
        while True:
            asked_at = time.time()
            page = self._patiently(self._directory.page, following)
            self._follow(page.users, asked_at)
            yield len(page.users)
            following = page.following
            if following is None:
                return

    def settle_gone(self, *, delete: bool = False, many: bool = False) -> Iterator[int]:
        """Disable rows whose user is gone, or delete them with all they own.

        To be called when `follow` is through. No list is trusted with this: whoever was not in it
        is asked for once more, by `sub`. Yields how many rows were looked at.

        Raises TooManyGone, unless `many` is meant; an IdentityError or a SQLAlchemyError.
        """
        self._seen = array("q", sorted(self._seen))
        missing, rows, fresh = array("q"), 0, 0
        for row_id, sub, disabled in self._rows():
            if sub in self._not_ours:
                continue
            rows += 1
            if not self._has_seen(row_id):
                missing.append(row_id)
                fresh += delete or not disabled
        if fresh > max(_FEW, rows // 10) and not many:
            raise TooManyGone(fresh, rows)
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            self._settle(batch, delete=delete)
            yield len(batch)

    def _follow(self, users: Sequence[DirectoryUser], asked_at: float) -> None:
        found = projection.compare(self._session, users)
        if found.enabled:
            # A list may lag behind. Whoever was disabled a moment ago must not be enabled by it.
            self._session.rollback()
            users = [now for user in users for now in self._now(user, found.enabled)]
            found = projection.compare(self._session, users)
        if self._dry_run:
            self._session.rollback()
        else:
            projection.apply(self._session, users, found, self._deny_list, as_of=asked_at)
        self._seen.extend(found.ids)
        counts = self.counts
        counts.listed += len(users)
        counts.made += len(found.made)
        counts.changed += len(found.changed)
        counts.disabled += len(found.disabled)
        counts.enabled += len(found.enabled)
        counts.unchanged += len(found.same)

    def _now(self, user: DirectoryUser, doubtful: Collection[str]) -> Iterator[DirectoryUser]:
        """Yield a user as listed, or, in doubt, as the directory says now; nobody if gone since."""
        if user.sub not in doubtful:
            yield user
            return
        with suppress(NoSuchUser):
            yield self._patiently(self._directory.get, user.sub)

    def _rows(self) -> Iterator[tuple[int, str, bool]]:
        """Yield (id, sub, disabled) of the rows there were at the start, by id."""
        last = 0
        while True:
            statement = (
                select(User.id, User.sub, User.disabled)
                .where(
                    User.id > last,
                    User.id <= self._newest,
                    ~User.sub.contains("/"),  # another pool's (accounts.key_of)
                )
                .order_by(User.id)
                .limit(_BATCH)
            )
            rows = self._session.execute(statement).all()
            self._session.rollback()
            if not rows:
                return
            for row in rows:
                yield row.id, row.sub, row.disabled
            last = rows[-1].id

    def _has_seen(self, row_id: int) -> bool:
        place = bisect_left(self._seen, row_id)
        return place < len(self._seen) and self._seen[place] == row_id

    def _settle(self, ids: Sequence[int], *, delete: bool) -> None:
        statement = select(User.id, User.sub, User.disabled).where(User.id.in_(ids))
        rows = self._session.execute(statement).all()
        self._session.rollback()
        for row in rows:
            already = row.disabled and not delete
            if already or self._is_gone(row.sub):
                self.counts.gone += 1
                if not already and not self._dry_run:
                    self._shut_out(row.sub, delete=delete)
                self.counts.deleted += delete

    def _is_gone(self, sub: str) -> bool:
        try:
            self._patiently(self._directory.get, sub)
        except NoSuchUser:
            return True
        return False

    def _shut_out(self, sub: str, *, delete: bool) -> None:
        # Without it, a token that is still out would make the row again.
        if delete:
            self._deny_list.revoke_users(
                [sub], then=lambda connection: accounts.remove(connection, sub)
            )
        else:
            self._deny_list.revoke_users([sub])
            projection.set_disabled(self._session, [sub], disabled=True)

    def _patiently(self, ask: Callable[[V], T], about: V) -> T:
        """Ask the directory, and wait where it throttles."""
        for _ in range(_MOST_WAITS):
            try:
                return ask(about)
            except TooManyRequests as error:
                self._sleep(error.retry_after)
        return ask(about)
