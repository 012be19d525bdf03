"""One process's view of the deny list: in memory, at most a few seconds old."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from resource_server import sqlstates
from resource_server.revocations import store
from resource_server.revocations.models import Kind
from resource_server.revocations.store import Entry, Position
from resource_server.tokens import AccessToken, DenyListUnavailable
from resource_server.tokens.clocks import elapsed, wall
from resource_server.tokens.flight import SingleFlight, Spawn, WaitLimit, back_off, in_thread

CLOCK_DIFFERENCE_SECONDS = 10  # as much as a verifier forgives by default
# Cognito's access tokens live a day at most; the rest is for clocks that differ.
LONGEST_TOKEN_SECONDS = 86_400 + 600

Connect = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction that commits at the end (`Engine.begin`)."""


class DatabaseUnavailable(DenyListUnavailable):
    """The database that holds the deny list does not respond."""

    reason = "database_unavailable"
    description = sqlstates.UNAVAILABLE


class NotMigrated(DenyListUnavailable):
    """The database has no such table."""

    reason = "not_migrated"
    description = sqlstates.NOT_MIGRATED


class DenyListSnapshot:
    """The deny list: whether a token is revoked, and what revokes tokens.

    The view is refreshed in the background when it is half of `poll` seconds old, so that under
    load no request waits. A request that finds it older than `poll`, after a quiet time, waits for
    the refresh, `timeout` seconds at most. While the database is away the rows at hand count. A
    process that never read any raises DenyListUnavailable. What this process writes it sees at
    once.

    `refresh_days` is how long refresh tokens live: a sign-in that ended stays revoked until its
    tokens can no longer be renewed. `home` is the pool whose users are meant where no other pool is
    named. Without it, users of any pool are.

    Requests that wait for a refresh take places in `crowd`. One without a place gets
    DenyListUnavailable. `connect_to_read` is used by the thread that refreshes, `connect` by those
    that write. `clock` is for ages, `now` the wall clock, both in seconds.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        home: str | None = None,
        poll: float = 2,
        refresh_days: int = 30,
        timeout: float = 1,
        clock: Callable[[], float] = elapsed,
        now: Callable[[], float] = wall,
        spawn: Spawn = in_thread,
        connect_to_read: Connect | None = None,
        crowd: WaitLimit | None = None,
    ) -> None:
        self._connect = connect
        self._connect_to_read = connect_to_read or connect
        self._home = home
        self._poll = poll
        self._clock = clock
        self._now = now
        self._read_at = -math.inf
        self._swept_at = -math.inf
        self._unavailable: type[DenyListUnavailable] = DatabaseUnavailable
        self._renewable = refresh_days * 86_400
        self._position: Position | None = None
        self._denied: dict[tuple[str | None, str, str], tuple[int, int]] = {}
        self.checked_age: float | None = None
        """Seconds; how old the view was when a token was last held against it, for operators."""
        self._flight = SingleFlight(
            self._read_or_explain,
            name="reading the deny list",
            timeout=timeout,
            clock=clock,
            spawn=spawn,
            back_off=self._back_off,
            crowd=crowd,
        )

    def ready(self) -> bool:
        """Tell whether the list was read; if not, that begins now, unwaited."""
        if self._read_at == -math.inf:
            self._flight.start()
        return self._read_at != -math.inf

    def denies(self, token: AccessToken) -> bool:
        """Tell whether a token, its sign-in or its user is on the list.

        Raises DenyListUnavailable if the list was never read and cannot be now.
        """
        age = self._clock() - self._read_at
        if not 0 <= age < self._poll:  # after a clock went back the age is unknown
            may_be_old = self._flight.wait() or self._flight.failed_lately
            age = self._clock() - self._read_at
            if self._read_at == -math.inf or not (may_be_old or 0 <= age < self._poll):
                raise self._unavailable(self._flight.retry_after)
        elif age >= self._poll / 2:
            self._flight.start()
        self.checked_age = age
        return bool(self._denied) and self._is_denied(token)

    def revoke_user(
        self,
        sub: str,
        *,
        pool_id: str | None = None,
        then: Callable[[Connection], object] | None = None,
    ) -> None:
        """Revoke every token that a user of a pool was issued until now, by whichever clock.

        Without `pool_id` it is the home pool. `then` does what belongs into the same transaction.
        """
        self.revoke_users([sub], pool_id=pool_id, then=then)

    def revoke_users(
        self,
        subs: Iterable[str],
        *,
        pool_id: str | None = None,
        then: Callable[[Connection], object] | None = None,
    ) -> None:
        """Do as `revoke_user` for several users, in one transaction."""
        issued_before = int(self._now()) + 1 + CLOCK_DIFFERENCE_SECONDS
        entries = [self._entry("sub", sub, issued_before, pool_id or self._home) for sub in subs]
        if entries:
            self._write(entries, then)

    def revoke_sign_in(self, token: AccessToken) -> None:
        """Deny every token of the sign-in that a token belongs to, refreshed ones included."""
        if token.origin_jti is None and token.jti is None:
            self.revoke_sessions(token)  # nothing tells this sign-in from the user's others
        else:
            self._write([self._own_entry(token)])

    def revoke_sessions(self, token: AccessToken) -> None:
        """Revoke every sign-in of a token's user until now. Signing in again at once works.

        `iat` has whole seconds: the sign-in at hand is named, the others are cut off by time. It
        is Cognito's time against ours, so the clocks must agree to a second (NTP).
        """
        now = int(self._now())
        if token.origin_jti is None and token.jti is None:  # nothing but its time to know it by
            self._write([self._entry("sub", token.sub, now + 1, token.pool_id)])
        else:
            others = self._entry("sub", token.sub, now, token.pool_id)
            self._write([others, self._own_entry(token)])

    def __len__(self) -> int:
        return len(self._denied)

    def _is_denied(self, token: AccessToken) -> bool:
        denied = self._denied
        return any(
            value is not None
            and (row := denied.get((pool_id, kind, value))) is not None
            and token.issued_at < row[0]
            for pool_id in (token.pool_id, None)
            for kind, value in (
                ("origin_jti", token.origin_jti),
                ("sub", token.sub),
                ("jti", token.jti),
            )
        )

    def _write(
        self, entries: list[Entry], then: Callable[[Connection], object] | None = None
    ) -> None:
        with self._connect() as connection:
            store.add(connection, entries, now=int(self._now()))
            if then is not None:
                then(connection)
        with self._flight.lock:
            for entry in entries:
                self._note(entry)

    def _entry(self, kind: Kind, value: str, issued_before: int, pool_id: str | None) -> Entry:
        """Revoke something for as long as what it revokes can live or be renewed.

        A renewed token has the `origin_jti` of its sign-in, but a later `iat` and another `jti`.
        """
        lasts = LONGEST_TOKEN_SECONDS + (self._renewable if kind == "origin_jti" else 0)
        return Entry(kind, value, issued_before, int(self._now()) + lasts, pool_id)

    def _own_entry(self, token: AccessToken) -> Entry:
        """Name a token's sign-in, or the token itself where nothing names the sign-in."""
        if token.origin_jti is not None:
            return self._entry("origin_jti", token.origin_jti, _FOR_EVER, token.pool_id)
        return self._entry("jti", token.jti or "", _FOR_EVER, token.pool_id)

    def _back_off(self, failures: int) -> float:
        """Never wait longer than a view may be old; without any list, requests are refused."""
        never_read = self._read_at == -math.inf
        return 1 if never_read else min(back_off(failures), max(1, self._poll))

    def _read_or_explain(self) -> None:
        """Read the list. An error says what to do, and repeats no statement."""
        try:
            self._read()
        except SQLAlchemyError as error:
            fault = sqlstates.fault_of(error)
            if fault is None:
                raise
            self._unavailable = NotMigrated if fault.is_unmigrated else DatabaseUnavailable
            raise _ReadFailed(fault.message) from None

    def _read(self) -> None:
        started, now = self._clock(), int(self._now())
        with self._connect_to_read() as connection:
            rows, position = store.read(connection, self._position, now=now)
        with self._flight.lock:
            for row in rows:
                self._note(row)
            self._position = position
            if started - self._swept_at >= _SWEEP_SECONDS:
                self._swept_at = started
                self._denied = {k: v for k, v in self._denied.items() if v[1] > now}
        self._read_at = started

    def _note(self, entry: Entry | store.Denial) -> None:
        key = (entry.pool_id, entry.kind, entry.value)
        known = self._denied.get(key, (0, 0))
        self._denied[key] = (
            max(known[0], entry.issued_before),
            max(known[1], entry.expires_at),
        )


class _ReadFailed(Exception):
    """The text is for the log."""


_FOR_EVER = 2**53
_SWEEP_SECONDS = 60
