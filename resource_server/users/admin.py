"""Administration of users, for members of one Cognito group."""

from uuid import UUID

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from resource_server.auth import current_principal, require_scope
from resource_server.bodies import PageHeaders, PageQuery, page_answer
from resource_server.extensions import db
from resource_server.identity.errors import DirectoryForbidden, NoSuchUser
from resource_server.problems import answer
from resource_server.refusals import Problem, refuses
from resource_server.services import services
from resource_server.tokens import AccessToken
from resource_server.users import accounts, administration, projection
from resource_server.users.schemas import UserOut

admin = APIBlueprint(
    "admin",
    __name__,
    url_prefix="/users",
    tag={
        "name": "administration",
        "description": "Users, seen and shut out by the members of one Cognito group.",
    },
)

OWN_ACCOUNT = Problem(409, "You cannot disable your own account")

# A `sub` of Cognito's is a UUID; an app client's row has another, and is no user.
_USER = "/<uuid:sub>"


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
@admin.input(PageQuery, location="query", arg_name="query")
@admin.output(list[UserOut], headers=PageHeaders)  # type: ignore[arg-type]  # the hint is short
def list_users(query: PageQuery) -> ResponseReturnValue:
    """List the users known here by id; `Link: …; rel="next"` leads to the next page.

    For administrators: the members of the group that COGNITO_ADMIN_GROUP names.
    """
    _administrator()
    found = projection.page(db.session(), limit=query.limit + 1, after=query.after or 0)
    return page_answer(found, UserOut, limit=query.limit)


@admin.post(f"{_USER}/disable")
@require_scope("me", check=is_admin)
@refuses(NoSuchUser, DirectoryForbidden, OWN_ACCOUNT)
@admin.output(UserOut)
def disable_user(sub: UUID) -> UserOut:
    """Shut a user out: no sign-in, no refresh, no token that is out already.

    For administrators: the members of the group that COGNITO_ADMIN_GROUP names.
    """
    by, whom = _administrator(), str(sub)
    if whom == by:
        raise OwnAccount
    mine = services()
    row = administration.disable(
        db.session(),
        mine.directory,
        mine.revocations,
        sub=whom,
        by=by,
        other_pools=mine.settings.other_pools,
    )
    return UserOut.model_validate(row)


@admin.post(f"{_USER}/enable")
@require_scope("me", check=is_admin)
@refuses(NoSuchUser, DirectoryForbidden)
@admin.output(UserOut)
def enable_user(sub: UUID) -> UserOut:
    """Let a user sign in again.

    For administrators: the members of the group that COGNITO_ADMIN_GROUP names.
    """
    by, whom, mine = _administrator(), str(sub), services()
    row = administration.enable(
        db.session(),
        mine.directory,
        mine.revocations,
        sub=whom,
        by=by,
        only_here=mine.settings.may_be_elsewhere(whom),
        other_pools=mine.settings.other_pools,
    )
    return UserOut.model_validate(row)


@admin.errorhandler(OwnAccount)
def _own_account(_error: OwnAccount) -> ResponseReturnValue:
    return answer(OWN_ACCOUNT)


def _administrator() -> str:
    """Return who asks, by `sub`; a disabled account is refused here."""
    mine = services()
    home = mine.settings.aws_user_pool_id
    return accounts.active_account(mine.connections, current_principal, home=home).sub
