"""Disabling and enabling a user in the directory and here, in the order that is safe half-way."""

import logging
from collections.abc import Collection
from contextlib import suppress

from sqlalchemy.orm import Session

from resource_server.identity.directory import UserDirectory
from resource_server.identity.errors import NoSuchUser
from resource_server.users import accounts, projection
from resource_server.users.models import User
from resource_server.users.projection import Denies

logger = logging.getLogger(__name__)


def disable(
    session: Session,
    directory: UserDirectory,
    deny_list: Denies,
    *,
    sub: str,
    by: str,
    other_pools: Collection[str] = (),
) -> User:
    """Shut a user out: tokens denied, row disabled, sign-in closed in the directory. Commits.

    Each half is done even if the other fails, and doing it again does what is missing: with the
    directory away the user is refused here, with the database away they cannot sign in or refresh.
    Someone whom the directory does not have (any more) is disabled here. `by`, for the log, says
    who wanted it. A user whom only one of `other_pools` has is disabled here.

    Raises NoSuchUser if neither has the user, another IdentityError, or a SQLAlchemyError.
    """
    # Before, not after: half of it may be done when the rest fails.
    logger.info("audit: %s disables user %s", by, sub)
    try:
        key = _key(session, sub, other_pools)
        if key is not None:
            session.rollback()
            deny_list.revoke_users([sub], pool_id=key.partition("/")[0])
            projection.set_disabled(session, [key], disabled=True)
            return _row(session, key)
        session.rollback()  # see projection.apply
        deny_list.revoke_users([sub])
        if projection.by_sub(session, sub) is None:
            _add_row(session, directory, deny_list, sub)
        projection.set_disabled(session, [sub], disabled=True)
    finally:
        with suppress(NoSuchUser):
            directory.disable(directory.get(sub).username)
    return _row(session, sub)


def enable(
    session: Session,
    directory: UserDirectory,
    deny_list: Denies,
    *,
    sub: str,
    by: str,
    only_here: bool = False,
    other_pools: Collection[str] = (),
) -> User:
    """Let a user in again, in the directory first, so that half of it lets nobody in. Commits.

    Tokens from before the user was disabled stay denied. `only_here` is for a user who may be
    another directory's: whom this one does not have is enabled here.

    Raises NoSuchUser if the directory does not have the user, another IdentityError, or a
    SQLAlchemyError.
    """
    logger.info("audit: %s enables user %s", by, sub)
    key = _key(session, sub, other_pools)
    if key is not None:
        projection.set_disabled(session, [key], disabled=False)
        return _row(session, key)
    try:
        directory.enable(directory.get(sub).username)
    except NoSuchUser:
        if not only_here:
            raise
    else:
        if projection.by_sub(session, sub) is None:
            _add_row(session, directory, deny_list, sub)
    projection.set_disabled(session, [sub], disabled=False)
    return _row(session, sub)


def _add_row(session: Session, directory: UserDirectory, deny_list: Denies, sub: str) -> None:
    """Make the row of a user whom the directory has, and has still after that.

    Whoever deletes their account does so in the directory first, and then here. So a user who is
    gone by now may have left before the row was made.

    Raises NoSuchUser, another IdentityError, or a SQLAlchemyError.
    """
    projection.follow(session, [directory.get(sub)], deny_list)
    try:
        directory.get(sub)
    except NoSuchUser:
        accounts.remove(session.connection(), sub)
        session.commit()
        raise


def _key(session: Session, sub: str, other_pools: Collection[str]) -> str | None:
    """Return the key of a user whom only another pool has."""
    if not other_pools or projection.by_sub(session, sub) is not None:
        return None
    return next(iter(projection.elsewhere(session, sub, other_pools)), None)


def _row(session: Session, sub: str) -> User:
    row = projection.by_sub(session, sub)
    if row is None:  # deleted meanwhile
        raise NoSuchUser
    return row
