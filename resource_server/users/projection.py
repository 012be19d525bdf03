"""Rows of users follow the directory: what administration and `flask users sync` read and write."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from resource_server.identity.directory import DirectoryUser
from resource_server.revocations.models import Revocation
from resource_server.users import accounts
from resource_server.users.accounts import COLUMNS, insert_user
from resource_server.users.models import User


class Denies(Protocol):
    """What is needed of the deny list: tokens that are out already must not count any more."""

    def revoke_users(
        self,
        subs: Collection[str],
        *,
        pool_id: str | None = None,
        then: Callable[[Connection], object] | None = None,
    ) -> None:
        """Revoke every token that these users were issued until now.

        `then` does what belongs into the same transaction.
        """


@dataclass(frozen=True, slots=True)
class Differences:
    """What tells some users of the directory from their rows, by `sub`.

    One user may be in several: new and disabled, changed and enabled.
    """

    made: frozenset[str]
    """There is no row yet."""
    changed: frozenset[str]
    """User name, e-mail address or full name are different."""
    disabled: frozenset[str]
    """Disabled there, and not here or not known here."""
    enabled: frozenset[str]
    """Enabled there, disabled here."""
    same: frozenset[str]
    ids: tuple[int, ...]
    """Of the rows there are."""


def page(session: Session, *, limit: int, after: int = 0) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return up to `limit` accounts by id, past the id `after`."""
    statement = select(*COLUMNS).where(User.id > after).order_by(User.id).limit(limit)
    return session.execute(statement).all()


def elsewhere(session: Session, sub: str, pool_ids: Collection[str]) -> Mapping[str, str]:
    """Return the pools, of some others than the service's own, that have a `sub`, by key."""
    keys = {f"{pool_id}/{sub}": pool_id for pool_id in pool_ids}
    found = session.scalars(select(User.sub).where(User.sub.in_(keys))).all() if keys else ()
    return {key: keys[key] for key in found}


def by_sub(session: Session, sub: str) -> User | None:
    """Return the row of a `sub`, if there is one, as it is now in the database."""
    statement = select(User).where(User.sub == sub).execution_options(populate_existing=True)
    return session.scalar(statement)


def named(session: Session, name: str) -> Sequence[User]:
    """Return who is meant by a `sub`, else by a user name, else by an e-mail address."""
    for column in (User.sub, User.username, User.email):
        if found := session.scalars(select(User).where(column == name).limit(10)).all():
            return found
    return []


def set_disabled(session: Session, subs: Collection[str], *, disabled: bool) -> None:
    """Disable or enable the rows there are of some users. Commits."""
    _mark(session, subs, disabled=disabled)
    session.commit()


def compare(session: Session, users: Sequence[DirectoryUser]) -> Differences:
    """Tell how the rows of some users, a page of them, differ from the directory."""
    rows = {row.sub: row for row in session.execute(_rows(tuple(user.sub for user in users)))}
    by = {user.sub: user for user in users}
    made = by.keys() - rows.keys()
    changed = {sub for sub in by.keys() & rows.keys() if _is_different(rows[sub], by[sub])}
    shut = {sub for sub, row in rows.items() if row.disabled}
    disabled = {sub for sub, user in by.items() if user.enabled is False} - shut
    enabled = {sub for sub in shut if by[sub].enabled}
    return Differences(
        made=frozenset(made),
        changed=frozenset(changed),
        disabled=frozenset(disabled),
        enabled=frozenset(enabled),
        same=frozenset(by.keys() - made - changed - disabled - enabled),
        ids=tuple(row.id for row in rows.values()),
    )


def follow(
    session: Session,
    users: Sequence[DirectoryUser],
    deny_list: Denies,
    *,
    as_of: float | None = None,
) -> Differences:
    """Bring the rows of some users, a page of them, up to what the directory says. Commits.

    Returns what was different. For `as_of` see `apply`.
    """
    found = compare(session, users)
    apply(session, users, found, deny_list, as_of=as_of)
    return found


def apply(
    session: Session,
    users: Sequence[DirectoryUser],
    found: Differences,
    deny_list: Denies,
    *,
    as_of: float | None = None,
) -> None:
    """Write what `compare` found. Commits. Two at once, or one beside a sign-up, end alike.

    `as_of` is when the directory was read, in seconds since the epoch. A user who was revoked
    since then may have deleted their account: no row is made of what the directory said before.
    """
    # The deny list takes a connection of its own: whoever held one meanwhile might wait for it.
    session.rollback()
    stale = found.made | found.changed
    # Before this function denies anything: its own denials say nothing about a deletion.
    stale -= _denied_since(session, stale, as_of)
    if values := {user.sub: _values(user) for user in users if user.sub in stale}:
        # In one order everywhere, so that two at once do not wait for each other.
        session.execute(_upsert(session), [values[sub] for sub in sorted(values)])
    session.commit()
    # Before the rows are marked: should the rest fail, the next time finds the same users to
    # disable, and denies again.
    deny_list.revoke_users(found.disabled)
    _mark(session, found.disabled, disabled=True)
    _mark(session, found.enabled, disabled=False)
    session.commit()


def differs(row: User, user: DirectoryUser) -> bool:
    """Tell whether `follow` would change a row."""
    return _is_different(row, user) or row.disabled == user.enabled


def _upsert(session: Session) -> ReturningInsert[Any]:
    insert = insert_user(session.get_bind().dialect)
    new = insert.excluded
    upsert = insert.on_conflict_do_update(
        index_elements=["sub"],
        set_={
            "username": new.username,
            "email": new.email,
            "full_name": func.coalesce(new.full_name, User.full_name),
        },
    )
    # Nobody reads what it returns: without it, SQLAlchemy sends each row in a statement of its own.
    statement: ReturningInsert[Any] = upsert.returning(User.id)
    return statement


def _denied_since(session: Session, subs: Collection[str], as_of: float | None) -> frozenset[str]:
    """Return who was revoked since a time. Other processes change no rows until the commit.

    The directory's list lags, and clocks differ. So an entry shortly before that time counts, too:
    `issued_before` of a user who was revoked is ten seconds later than the revocation.
    """
    if as_of is None or not subs:
        return frozenset()
    accounts.lock(session.connection(), *subs)
    statement = select(Revocation.value).where(
        Revocation.kind == "sub", Revocation.value.in_(subs), Revocation.issued_before > as_of
    )
    return frozenset(session.scalars(statement))


def _rows(subs: Collection[str]) -> Any:
    return select(*COLUMNS).where(User.sub.in_(subs))


def _mark(session: Session, subs: Collection[str], *, disabled: bool) -> None:
    if subs:
        statement = update(User).where(User.sub.in_(sorted(subs))).values(disabled=disabled)
        session.execute(statement, execution_options={"synchronize_session": False})


def _values(user: DirectoryUser) -> Mapping[str, Any]:
    """Return what a row shows of a user, as far as its columns can hold it.

    Cognito's attributes have up to 2,048 characters. An e-mail address cut short would be another.
    """
    email, full_name = user.email and _clean(user.email), user.full_name and _clean(user.full_name)
    return {
        "sub": user.sub,
        "username": _clean(user.username),
        "email": email if email and len(email) <= _LONGEST_EMAIL else None,
        "full_name": full_name[:_LONGEST_FULL_NAME] if full_name else None,
    }


def _is_different(row: User | Row[Any], user: DirectoryUser) -> bool:
    """Compare names and addresses. A full name that the directory lacks may be kept here alone."""
    values = _values(user)
    return (
        row.username != values["username"]
        or row.email != values["email"]
        or (values["full_name"] is not None and row.full_name != values["full_name"])
    )


def _clean(text: str) -> str:
    return text.replace("\0", "")  # PostgreSQL takes no NUL


_LONGEST_EMAIL, _LONGEST_FULL_NAME = 320, 256
