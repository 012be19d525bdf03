"""The account behind a token: its row, made when a `sub` is first seen, refused when disabled.

Whatever a user owns is found by `owned`, in the statement that asks for it; its parameter `owner`
is a `sub`::

    select(Item.id, …).where(owned(Item.owner_sub))

So one round trip tells what there is and that its owner is not disabled, as of this moment and not
of a while ago. It finds nothing for an account that is disabled or not known yet: whoever finds
nothing asks `active_account`, which tells the one from the other.
"""

from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    ColumnElement,
    Dialect,
    SQLColumnExpression,
    String,
    and_,
    bindparam,
    delete,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from resource_server.database import Connections
from resource_server.users.models import User


class AccountDisabled(Exception):
    """The account exists and may do nothing."""


class Holder(Protocol):
    """What is needed of an access token: whose it is."""

    @property
    def sub(self) -> str:
        """The user's, for ever; of an app client's own token, the client's id."""

    @property
    def username(self) -> str | None:
        """None in an app client's own token."""


class Account(NamedTuple):
    """The row of a user; see User."""

    id: int
    sub: str
    username: str
    email: str | None
    full_name: str | None
    disabled: bool


_OWNER = bindparam("owner", type_=String)
ACTIVE = and_(User.sub == _OWNER, ~User.disabled)
"""Whether a row of users is the owner's, and not disabled."""

COLUMNS = (User.id, User.sub, User.username, User.email, User.full_name, User.disabled)
"""Those of an Account, in its order."""
_ACCOUNT = select(*COLUMNS).where(User.sub == _OWNER)
_REMOVE = delete(User).where(User.sub == _OWNER)


def owned(column: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Tell whether a row is the owner's, by its column for that, and the account not disabled."""
    # The column is held against the parameter, not against what is found in `users`: then the
    # database knows whether it is about to read one owner's ten rows or another's million.
    return and_(column == _OWNER, select(User.id).where(ACTIVE).exists())


def add(connections: Connections, *, sub: str, username: str, email: str | None = None) -> None:
    """Make the row of a user unless there is one; safe for two requests at once."""
    with connections.autocommit() as connection:
        row = insert_user(connection.dialect).values(sub=sub, username=username, email=email)
        connection.execute(row.on_conflict_do_nothing(index_elements=["sub"]))


def active_account(connections: Connections, token: Holder) -> Account:
    """Return the account behind a token, making its row if this is the first time.

    Raises AccountDisabled.
    """
    account = _find(connections, token.sub)
    if account is None:
        add(connections, sub=token.sub, username=token.username or token.sub)
        account = _find(connections, token.sub)
    if account is None or account.disabled:  # None: deleted in this moment
        raise AccountDisabled
    return account


def describe(connections: Connections, sub: str, **values: str | None) -> Account:
    """Write what the directory says of a user (`email`, `full_name`) into their row."""
    statement = update(User).where(User.sub == sub).values(**values).returning(*COLUMNS)
    with connections.autocommit() as connection:
        return Account(*connection.execute(statement).one())


def remove(connections: Connections, sub: str) -> None:
    """Delete the row of a user and all that belongs to it; it may be gone already."""
    with connections.autocommit() as connection:
        connection.execute(_REMOVE, {"owner": sub})


def insert_user(dialect: Dialect) -> Any:
    """Return an INSERT that can say ON CONFLICT: both dialects say it alike, by two classes."""
    insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    return insert(User.__table__)  # type: ignore[arg-type]  # a Table, to SQLAlchemy a FromClause


def _find(connections: Connections, sub: str) -> Account | None:
    with connections.autocommit() as connection:
        row = connection.execute(_ACCOUNT, {"owner": sub}).one_or_none()
    return None if row is None else Account(*row)
