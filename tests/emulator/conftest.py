"""A pool of the emulator in this process, and a user in it."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from resource_server.emulator import gaps
from resource_server.testing import CognitoIdp
from resource_server.tokens.parsing import base64url_decode
from tests.conftest import CLIENT_SECRET, PASSWORD, REGION

NEW_PASSWORD = "An0ther-passw0rd!"
EMAIL = "grace@example.com"
FLOWS = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH"]


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """Return code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def claims(token: str) -> dict[str, Any]:
    """Read a token's claims without verifying it."""
    read = json.loads(base64url_decode(token.split(".")[1].encode()))
    assert isinstance(read, dict)
    return read


class Cognito:
    """The test pool with its client (which has a secret), and grace, who can sign in."""

    def __init__(self, mock: CognitoIdp) -> None:
        # botocore takes a user's own limit for throttling, and would sleep and try again.
        once = Config(retries={"total_max_attempts": 1})
        client: Any = boto3.client("cognito-idp", region_name=REGION, config=once)
        self.boto = client
        self.pool_id = mock.pool_id
        self.client_id, self.secret = mock.client_id, CLIENT_SECRET
        self.configure()
        self.boto.admin_create_user(
            **self.user(),
            UserAttributes=[
                {"Name": "email", "Value": EMAIL},
                {"Name": "email_verified", "Value": "true"},
                {"Name": "phone_number", "Value": "+15550123456"},
            ],
            MessageAction="SUPPRESS",
        )
        self.set_password(PASSWORD)

    def configure(self, **settings: Any) -> None:
        """Give the app client these settings, and defaults for the others."""
        self.boto.update_user_pool_client(
            UserPoolId=self.pool_id,
            ClientId=self.client_id,
            **{"ExplicitAuthFlows": FLOWS} | settings,
        )

    def configure_mfa(self, setting: str) -> None:
        """Turn second factors OFF, ON or OPTIONAL."""
        self.boto.set_user_pool_mfa_config(
            UserPoolId=self.pool_id,
            MfaConfiguration=setting,
            SoftwareTokenMfaConfiguration={"Enabled": True},
        )

    def user(self, username: str = "grace") -> dict[str, str]:
        """Name a user to an administrator's operation."""
        return {"UserPoolId": self.pool_id, "Username": username}

    def public(self, username: str = "grace") -> dict[str, str]:
        """Name a user to a public operation."""
        return {
            "ClientId": self.client_id,
            "SecretHash": self.hash(username),
            "Username": username,
        }

    def hash(self, name: str, secret: str | None = None) -> str:
        """SECRET_HASH as the Cognito guide writes it down."""
        message = (name + self.client_id).encode()
        digest = hmac.new((secret or self.secret).encode(), message, hashlib.sha256).digest()
        return base64.b64encode(digest).decode()

    def set_password(self, password: str, *, permanent: bool = True) -> None:
        """Set grace's password as an administrator."""
        self.boto.admin_set_user_password(**self.user(), Password=password, Permanent=permanent)

    def begin(self, password: str = PASSWORD, username: str = "grace", **more: str) -> Any:
        """Begin a sign-in; return the whole answer."""
        sent = {"USERNAME": username, "PASSWORD": password, "SECRET_HASH": self.hash(username)}
        return self.boto.initiate_auth(
            ClientId=self.client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=sent | more
        )

    def sign_in(self, password: str = PASSWORD, username: str = "grace") -> Any:
        """Sign in without challenges; return the tokens."""
        return self.begin(password, username)["AuthenticationResult"]

    def answer(self, challenge: str, session: str, username: str = "grace", **sent: str) -> Any:
        """Answer a challenge."""
        responses = {"USERNAME": username, "SECRET_HASH": self.hash("grace")} | sent
        return self.boto.respond_to_auth_challenge(
            ClientId=self.client_id,
            ChallengeName=challenge,
            Session=session,
            ChallengeResponses=responses,
        )

    def refresh(self, refresh_token: str, name: str = "grace") -> Any:
        """Refresh by InitiateAuth, with the hash of a name."""
        return self.boto.initiate_auth(
            ClientId=self.client_id,
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": refresh_token, "SECRET_HASH": self.hash(name)},
        )["AuthenticationResult"]

    def exchange(self, refresh_token: str, **more: str) -> Any:
        """Refresh by GetTokensFromRefreshToken."""
        sent = {"ClientId": self.client_id, "ClientSecret": self.secret} | more
        return self.boto.get_tokens_from_refresh_token(**sent, RefreshToken=refresh_token)[
            "AuthenticationResult"
        ]

    def revoke(self, token: str, **more: str) -> Any:
        """Revoke a token."""
        sent = {"ClientId": self.client_id, "ClientSecret": self.secret} | more
        return self.boto.revoke_token(**sent, Token=token)

    def set_up_totp(self) -> str:
        """Give grace an authenticator app, preferred; return its secret."""
        token = {"AccessToken": self.sign_in()["AccessToken"]}
        secret = str(self.boto.associate_software_token(**token)["SecretCode"])
        self.boto.verify_software_token(**token, UserCode=totp(secret))
        self.boto.set_user_mfa_preference(
            **token, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
        )
        gaps.clock.advance(30)  # the code that was just used serves no more
        return secret


def totp(secret: str, later: float = 0) -> str:
    """Return what grace's authenticator app shows, now or some seconds later."""
    return gaps.totp_code(secret, gaps.clock.now() + later)


@pytest.fixture
def cognito(mock_cognito_client: CognitoIdp) -> Iterator[Cognito]:
    """The test pool and grace; the time is in the middle of a TOTP step."""
    gaps.clock.reset()
    gaps.clock.advance(15 - time.time() % 30)
    made = Cognito(mock_cognito_client)
    yield made
    made.boto.close()
