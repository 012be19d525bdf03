"""Administration of users, for members of one Cognito group."""

from typing import Annotated
from uuid import UUID

from apiflask import APIBlueprint
from flask import url_for
from flask.typing import ResponseReturnValue
from pydantic import Field

from resource_server.auth import current_principal, require_scope
from resource_server.bodies import Schema
from resource_server.extensions import db
from resource_server.problems import Problem, answer
from resource_server.services import services
from resource_server.tokens import AccessToken
from resource_server.users import accounts, administration
from resource_server.users.schemas import UserOut

admin = APIBlueprint("admin", __name__, url_prefix="/users")

_MAX_ID = 2**63 - 1  # BIGINT
# A `sub` of Cognito's is a UUID; an app client's row has another, and is no user.
_USER = "/<uuid:sub>"


class UsersQuery(Schema):
    """Which part of the list; `after` is an id."""

    limit: Annotated[int, Field(ge=1, le=100)] = 100
    after: Annotated[int, Field(ge=0, le=_MAX_ID)] = 0


class OwnAccount(Exception):
    """An administrator is about to lock themself out."""


def is_admin(token: AccessToken) -> bool:
    """Tell whether a token is that of an administrator, by the current app's settings.

    A group of this name in another pool that is trusted makes nobody administrator of this one.
    """
    settings = services().settings
    ours = token.issuer in settings.user_pool.issuers
    return ours and settings.cognito_admin_group in token.groups


@admin.get("")
@require_scope("me", check=is_admin)
@admin.input(UsersQuery, location="query", arg_name="query")
@admin.output(list[UserOut])  # type: ignore[arg-type]  # APIFlask takes it, its hint lacks it
def list_users(query: UsersQuery) -> ResponseReturnValue:
    """List the users known here by id; `Link: …; rel="next"` leads to the next page."""
    _administrator()
    # One more than asked for tells whether there is another page.
    found = accounts.page(db.session(), limit=query.limit + 1, after=query.after)
    page = [UserOut.model_validate(user) for user in found[: query.limit]]
    if len(found) == len(page):
        return page, {}
    following = url_for(".list_users", limit=query.limit, after=page[-1].id)
    return page, {"Link": f'<{following}>; rel="next"'}


@admin.post(f"{_USER}/disable")
@require_scope("me", check=is_admin)
@admin.output(UserOut)
def disable_user(sub: UUID) -> UserOut:
    """Shut a user out: no sign-in, no refresh, no token that is out already."""
    by, whom = _administrator(), str(sub)
    if whom == by:
        raise OwnAccount
    mine = services()
    row = administration.disable(db.session(), mine.directory, mine.revocations, sub=whom, by=by)
    return UserOut.model_validate(row)


@admin.post(f"{_USER}/enable")
@require_scope("me", check=is_admin)
@admin.output(UserOut)
def enable_user(sub: UUID) -> UserOut:
    """Let a user sign in again."""
    by, whom, mine = _administrator(), str(sub), services()
    row = administration.enable(
        db.session(),
        mine.directory,
        mine.revocations,
        sub=whom,
        by=by,
        only_here=mine.settings.may_be_elsewhere(whom),
    )
    return UserOut.model_validate(row)


@admin.errorhandler(OwnAccount)
def _own_account(_error: OwnAccount) -> ResponseReturnValue:
    return answer(Problem(409, "You cannot disable your own account"))


def _administrator() -> str:
    """Return who asks, by `sub`; a disabled account is refused here."""
    account = accounts.active_account(
        db.session(), sub=current_principal.sub, username=current_principal.username
    )
    return account.sub
