"""Cognito in a test: a pool on moto with moto's gaps filled, and users who can sign in."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from moto import mock_aws
from pydantic import SecretStr

from resource_server.emulator import gaps
from resource_server.emulator.building import configure
from resource_server.emulator.declared import Client, Pool
from resource_server.identity.cognito import CognitoIdentityProvider
from resource_server.identity.provider import TokenSet
from resource_server.testing.adapters import leaks_kept
from resource_server.testing.options import CognitoOptions
from resource_server.testing.pool import CognitoPool

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

PASSWORD = "Str0ng-passw0rd!"  # noqa: S105 - of users who exist in a test alone


@dataclass(frozen=True, slots=True)
class KitUser:
    """Somebody who can sign in."""

    username: str
    password: str = field(repr=False)
    email: str
    sub: str


class CognitoIdp:
    """The same pool as `cognito_pool`, on moto: boto3 signs users up and in.

    - `client`: boto3's client for it, with an administrator's rights
    - `pool`: mints any other token of the pool
    - `identity`: the operations of users, typed (IdentityProvider)
    - `clock`: `advance(seconds)` lets time pass for codes, sessions and refresh tokens; verifiers
      go by the machine's
    """

    def __init__(self, pool: CognitoPool, options: CognitoOptions) -> None:
        self.pool = pool
        self.client: Any = _boto_client(pool.region)
        self.client_secret = options.client_secret
        self.identity = CognitoIdentityProvider(
            self.client, client_id=pool.client_id, client_secret=options.client_secret
        )
        self.clock = gaps.clock

    @property
    def pool_id(self) -> str:
        """The pool's id."""
        return self.pool.pool_id

    @property
    def client_id(self) -> str:
        """The app client's id."""
        return self.pool.client_id

    @property
    def settings(self) -> dict[str, str]:
        """What `resource_server` must be told to use this pool (names of docs/settings.md)."""
        secret = {"AWS_COGNITO_APP_CLIENT_SECRET": self.client_secret}
        return self.pool.settings | {k: v for k, v in secret.items() if v is not None}

    def add_user(
        self,
        username: str,
        password: str = PASSWORD,
        *,
        email: str | None = None,
        groups: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> KitUser:
        """Make a confirmed user, as an administrator would; groups are made as needed.

        Raises botocore's ClientError (UsernameExistsException and others).
        """
        email = email or f"{username}@example.com"
        given = {"email": email, "email_verified": "true"} | dict(attributes or {})
        whose: Any = {"UserPoolId": self.pool.pool_id, "Username": username}
        created = self.client.admin_create_user(
            **whose,
            UserAttributes=[{"Name": name, "Value": value} for name, value in given.items()],
            MessageAction="SUPPRESS",
        )["User"]
        self.client.admin_set_user_password(**whose, Password=password, Permanent=True)
        for group in groups:
            self._ensure_group(group)
            self.client.admin_add_user_to_group(**whose, GroupName=group)
        sub = next(entry["Value"] for entry in created["Attributes"] if entry["Name"] == "sub")
        return KitUser(username, password, email, sub)

    def sign_in(self, user: KitUser) -> TokenSet:
        """Sign a user in with the password; the trigger runs.

        Raises IdentityError, or ValueError if Cognito asks for more than the password.
        """
        answer = self.identity.authenticate(user.username, user.password)
        if not isinstance(answer, TokenSet):
            raise ValueError(f"Cognito asks for {answer.name}: use identity.answer_challenge")  # noqa: TRY004 - no caller's type is wrong
        return answer

    def last_code(self, username: str) -> str:
        """Return the newest code that a user was sent.

        Raises LookupError if there is none.
        """
        return gaps.outbox.last_code(username)

    def _ensure_group(self, name: str) -> None:
        try:
            self.client.create_group(UserPoolId=self.pool.pool_id, GroupName=name)
        except self.client.exceptions.GroupExistsException:
            return


@contextmanager
def emulated(pool: CognitoPool, options: CognitoOptions) -> Iterator[CognitoIdp]:
    """Put a pool into moto, without users; afterwards nothing of it is left."""
    gaps.fill()
    secret = None if options.client_secret is None else SecretStr(options.client_secret)
    client = Client(id=pool.client_id, name="test", secret=secret)
    with leaks_kept(mock_aws()):
        moto_pool = configure(
            Pool(id=pool.pool_id, mfa="optional", clients=[client]), options.trigger
        )
        gaps.set_keys(moto_pool, pool.keys)
        pool.on_rotation.append(lambda keys: gaps.set_keys(moto_pool, keys))
        try:
            yield CognitoIdp(pool, options)
        finally:
            moto_pool.backend.user_pools.pop(pool.pool_id, None)
            gaps.outbox.sent.clear()
            gaps.clock.reset()


@cache
def _boto_client(region: str) -> "CognitoIdentityProviderClient":
    """Make one client a run, for it takes 20 ms. moto looks at each request, not at the client."""
    return boto3.session.Session("testing", "testing").client("cognito-idp", region_name=region)
