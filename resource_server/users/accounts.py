"""Rows of users follow the directory: made at sign-up, or when a token's `sub` is first seen."""

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from resource_server.users.models import User


class AccountDisabled(Exception):
    """The account exists and may do nothing."""


def add(session: Session, *, sub: str, username: str, email: str | None = None) -> None:
    """Make the row of a user unless there is one; safe for two requests at once. Commits."""
    # Both dialects say it alike; only their classes differ.
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    row = insert(User).values(sub=sub, username=username, email=email)
    session.execute(row.on_conflict_do_nothing(index_elements=["sub"]))
    session.commit()


def active_account(session: Session, *, sub: str, username: str | None) -> User:
    """Return the account behind a token, making its row if this is the first time.

    Raises AccountDisabled.
    """
    statement = select(User).where(User.sub == sub)
    user = session.scalar(statement)
    if user is None:
        # A client-credentials token has no user name; its `sub` is the app client's id.
        add(session, sub=sub, username=username or sub)
        user = session.scalars(statement).one()
    if user.disabled:
        raise AccountDisabled
    return user


def describe(session: Session, sub: str, **values: str | None) -> User:
    """Write what the directory says of a user (`email`, `full_name`) into their row. Commits."""
    statement = (
        update(User)
        .where(User.sub == sub)
        .values(**values)
        .returning(User)
        .execution_options(populate_existing=True)
    )
    user = session.scalars(statement).one()
    session.commit()
    return user


def remove(session: Session, sub: str) -> None:
    """Delete the row of a user and all that belongs to it; it may be gone already. Commits."""
    session.execute(delete(User).where(User.sub == sub))
    session.commit()
