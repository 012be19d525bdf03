"""The account behind a token: its row, made when a `sub` is first seen, refused when disabled.

Whatever a user owns is found by `owned`, in the statement that asks for it; its parameter `owner`
is a `sub`::

    select(Item.id, …).where(owned(Item.owner_sub))

So one round trip tells what there is and that its owner is not disabled, as of this moment and not
of a while ago. It finds nothing for an account that is disabled or not known yet: whoever finds
nothing asks `active_account`, which tells the one from the other.
"""

import hashlib
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Float,
    SQLColumnExpression,
    String,
    and_,
    bindparam,
    delete,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from resource_server.database import Connections
from resource_server.revocations.models import Revocation
from resource_server.users.models import User


class AccountDisabled(Exception):
    """The account exists and may do nothing."""


class TokenDenied(Exception):
    """The token was revoked, which this process has not read yet."""


class Holder(Protocol):
    """What is needed of an access token: whose it is, and what a revocation may name it by."""

    @property
    def sub(self) -> str:
        """The user's, for ever; of an app client's own token, the client's id."""

    @property
    def username(self) -> str | None:
        """None in an app client's own token."""

    @property
    def pool_id(self) -> str:
        """The pool that issued it."""

    @property
    def issued_at(self) -> float:
        """`iat`, in seconds since the epoch."""

    @property
    def jti(self) -> str | None:
        """The token's own id."""

    @property
    def origin_jti(self) -> str | None:
        """The id of its sign-in."""


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


def _denial() -> ColumnElement[bool]:
    named = [
        (kind, bindparam(f"its_{kind}", type_=String)) for kind in ("sub", "origin_jti", "jti")
    ]
    return (
        select(Revocation.id)
        .where(
            or_(
                *(and_(Revocation.kind == kind, Revocation.value == value) for kind, value in named)
            ),
            Revocation.issued_before > bindparam("its_iat", type_=Float),
            or_(
                Revocation.pool_id == bindparam("its_pool", type_=String),
                Revocation.pool_id.is_(None),
            ),
        )
        .exists()
    )


DENIED = _denial()
"""Whether a token was revoked, by the rows of this moment. Its parameters are `named_by`'s."""

COLUMNS = (User.id, User.sub, User.username, User.email, User.full_name, User.disabled)
"""Those of an Account, in its order."""
_ACCOUNT = select(*COLUMNS, DENIED).select_from(
    select(literal(1)).subquery().outerjoin(User, User.sub == _OWNER)
)
_REMOVE = delete(User).where(User.sub == _OWNER)
_LOCK = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS key")
_LONGEST_KEY = 128


def key_of(token: Holder, home: str | None) -> str:
    """Return what a token's account is called in `users.sub`.

    That is the `sub`, and for the pools other than `home`, the service's own, the pool's id with
    it: users of two pools are different people, even with the same `sub`.
    """
    if home is None or token.pool_id == home:
        return token.sub
    key = f"{token.pool_id}/{token.sub}"
    if len(key) > _LONGEST_KEY:  # none of Cognito's
        key = f"{token.pool_id}/{hashlib.sha256(token.sub.encode()).hexdigest()}"
    return key


def named_by(token: Holder) -> dict[str, Any]:
    """Return what DENIED needs of a token."""
    return {
        "its_sub": token.sub,
        "its_origin_jti": token.origin_jti,
        "its_jti": token.jti,
        "its_iat": token.issued_at,
        "its_pool": token.pool_id,
    }


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


def active_account(connections: Connections, token: Holder, *, home: str | None = None) -> Account:
    """Return the account behind a token, making its row if this is the first time.

    Raises AccountDisabled or TokenDenied.
    """
    key = key_of(token, home)
    account = _find(connections, key, token)
    if account is None:
        _add_unless_denied(connections, key, token)
        account = _find(connections, key, token)
    if account is None or account.disabled:  # None: deleted in this moment
        raise AccountDisabled
    return account


def describe(
    connections: Connections, token: Holder, *, home: str | None = None, **values: str | None
) -> Account:
    """Write what the directory says of a user (`email`, `full_name`) into their row.

    Raises AccountDisabled or TokenDenied.
    """
    key = key_of(token, home)
    statement = update(User).where(ACTIVE, ~DENIED).values(**values).returning(*COLUMNS)
    with connections.autocommit() as connection:
        row = connection.execute(statement, {"owner": key, **named_by(token)}).one_or_none()
    if row is None:  # shut out or deleted in this moment
        _find(connections, key, token)
        raise AccountDisabled
    return _shown(Account(*row), token)


def remove(connection: Connection, key: str) -> None:
    """Delete the row of an account and all that belongs to it. It may be gone already.

    Revoke the user's tokens in the same transaction. From here to its end no row of this key is
    made. After it, a request that would make one sees the revocation.
    """
    lock(connection, key)
    connection.execute(_REMOVE, {"owner": key})


def _add_unless_denied(connections: Connections, key: str, token: Holder) -> None:
    with connections.transaction() as connection:
        # Without the lock, an INSERT could wait for a DELETE of the same row, and go on by what
        # was committed before both: the revocation would come too late for it.
        lock(connection, key)
        new = select(literal(key, String), literal(token.username or token.sub, String))
        row = insert_user(connection.dialect).from_select(["sub", "username"], new.where(~DENIED))
        statement = row.on_conflict_do_nothing(index_elements=["sub"])
        connection.execute(statement, named_by(token))


def lock(connection: Connection, *keys: str) -> None:
    """Keep others from making or removing the rows of these keys until the transaction ends.

    SQLite needs no lock: there is one transaction that writes at a time.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"keys": sorted(map(_lock_number, keys))})


def _lock_number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)


def insert_user(dialect: Dialect) -> Any:
    """Return an INSERT that can say ON CONFLICT: both dialects say it alike, by two classes."""
    insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    return insert(User.__table__)  # type: ignore[arg-type]  # a Table, to SQLAlchemy a FromClause


def _find(connections: Connections, key: str, token: Holder) -> Account | None:
    """Return the row of an account, if there is one.

    Raises TokenDenied.
    """
    with connections.autocommit() as connection:
        row = connection.execute(_ACCOUNT, {"owner": key, **named_by(token)}).one()
    if row[-1]:
        raise TokenDenied
    found: tuple[Any, ...] = tuple(row)
    return None if found[0] is None else _shown(Account(*found[:-1]), token)


def _shown(account: Account, token: Holder) -> Account:
    """Name an account by the user's own `sub`, not by its key."""
    return account if account.sub == token.sub else account._replace(sub=token.sub)
