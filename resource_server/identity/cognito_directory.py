"""The administrator's side of an Amazon Cognito user pool.

Its operations are signed with AWS credentials, which need the IAM actions cognito-idp:ListUsers,
AdminGetUser, AdminDisableUser, AdminEnableUser and, for an estimate, DescribeUserPool. The client
is made at the first call, so a service without credentials starts and does everything else.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from resource_server.identity import cognito_errors as table
from resource_server.identity.cognito import PARSER_ERRORS, failure, senseless, translated
from resource_server.identity.directory import DirectoryPage, DirectoryUser
from resource_server.identity.errors import (
    DirectoryForbidden,
    IdentityUnavailable,
    NoSuchUser,
)
from resource_server.identity.turns import NoTurn, Places, Turns

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

logger = logging.getLogger(__name__)

_CALLS_AT_ONCE = 2
PAGE_SIZE = 60  # the most that ListUsers gives (API reference)
_LONGEST_NAME = 128  # characters (API reference, AdminGetUser)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


_API_NAMES = {
    "admin_disable_user": "AdminDisableUser",
    "admin_enable_user": "AdminEnableUser",
    "admin_get_user": "AdminGetUser",
    "describe_user_pool": "DescribeUserPool",
    "list_users": "ListUsers",
}
"""Boto3's names and the API's. The latter is needed before there is a client."""


class CognitoUserDirectory:
    """A UserDirectory that calls Cognito, two calls at once at most, each with a place in `crowd`.

    `make_client` is called at the first need; two threads may make one each, which is harmless.
    """

    def __init__(
        self,
        make_client: Callable[[], "CognitoIdentityProviderClient"],
        *,
        pool_id: str,
        crowd: Places | None = None,
    ) -> None:
        self._turns = Turns(_CALLS_AT_ONCE, crowd=crowd)
        self._make_client = make_client
        self._pool_id = pool_id

    def page(self, following: str | None = None) -> DirectoryPage:
        """See UserDirectory."""
        # No AttributesToGet: ListUsers fails if one of the users lacks one of them.
        more = {} if following is None else {"PaginationToken": following}
        answer = self._call("list_users", Limit=PAGE_SIZE, **more)
        return DirectoryPage(_users(answer), answer.get("PaginationToken"))

    def estimated_size(self) -> int | None:
        """See UserDirectory."""
        try:
            pool = self._call("describe_user_pool").get("UserPool", {})
        except DirectoryForbidden:
            return None
        size = pool.get("EstimatedNumberOfUsers")
        return size if isinstance(size, int) else None

    def get(self, sub: str) -> DirectoryUser:
        """See UserDirectory."""
        # AdminGetUser is up to date, where a search may lag behind; but it takes any name, and
        # somebody may have chosen another's `sub` for one. It does not know the `sub` of users of
        # other identity providers.
        for look in (self._named, partial(self._search, "sub")):
            for user in look(sub):
                if user.sub == sub:
                    return user
        raise NoSuchUser

    def find(self, name: str) -> Sequence[DirectoryUser]:
        """See UserDirectory."""
        if _UUID.fullmatch(name):
            try:
                return [self.get(name)]
            except NoSuchUser:
                pass  # a user name may look like one
        return self._named(name) or (self._search("email", name) if "@" in name else [])

    def disable(self, username: str) -> None:
        """See UserDirectory."""
        self._call("admin_disable_user", Username=username)

    def enable(self, username: str) -> None:
        """See UserDirectory."""
        self._call("admin_enable_user", Username=username)

    def _named(self, username: str) -> Sequence[DirectoryUser]:
        """Return the user with a name or alias, or nobody."""
        if not 0 < len(username) <= _LONGEST_NAME or re.search(r"[\s\0]", username):
            return []  # Cognito would call such a name invalid
        try:
            answer = self._call("admin_get_user", Username=username)
        except NoSuchUser:
            return []
        return [_user(answer, attributes="UserAttributes")]

    def _search(self, attribute: str, value: str) -> Sequence[DirectoryUser]:
        """Return the users with exactly this value."""
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        search = f'{attribute} = "{escaped}"'
        if len(search) > 256:  # noqa: PLR2004 - characters (API reference, ListUsers)
            return []
        return _users(self._call("list_users", Limit=PAGE_SIZE, Filter=search))

    @cached_property
    def _client(self) -> "CognitoIdentityProviderClient":
        return self._make_client()

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call Cognito for this pool; every failure becomes an IdentityError."""
        name = _API_NAMES[operation]
        try:
            with self._turns.turn():
                answer: dict[str, Any] = getattr(self._client, operation)(
                    UserPoolId=self._pool_id, **parameters
                )
        except NoTurn:
            logger.warning("Cognito %s was not called: Cognito is slow, and other calls wait", name)
            raise IdentityUnavailable from None
        except BotoCoreError as error:
            # Its text may repeat parameters: the class says enough.
            raise failure(table.sdk_meaning(name, error), name, type(error).__name__) from None
        except ClientError as error:
            raise translated(error, parameters) from None
        except PARSER_ERRORS as error:
            raise senseless(name, error) from None
        return answer


def _users(answer: Mapping[str, Any]) -> Sequence[DirectoryUser]:
    users = answer.get("Users", ())
    if not isinstance(users, (list, tuple)):
        raise senseless("ListUsers")
    return [_user(entry, attributes="Attributes") for entry in users]


def _user(entry: Mapping[str, Any], *, attributes: str) -> DirectoryUser:
    """Read a user, whose attributes ListUsers and AdminGetUser call differently."""
    try:
        values = {each["Name"]: str(each["Value"]) for each in entry[attributes] if "Value" in each}
        enabled = entry.get("Enabled")
        return DirectoryUser(
            sub=values["sub"],
            username=str(entry["Username"]),
            email=values.get("email") or None,
            full_name=values.get("name") or None,
            enabled=enabled if isinstance(enabled, bool) else None,
            status=str(entry.get("UserStatus", "UNKNOWN")),
        )
    except KeyError as error:
        logger.error("Cognito described a user without %s", error)  # noqa: TRY400 - no trace
        raise IdentityUnavailable from None
    except PARSER_ERRORS as error:
        raise senseless("user", error) from None
