"""A pool to be provisioned, with Lambda and IAM beside it, on moto."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws
from moto.awslambda.models import lambda_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from resource_server.emulator import gaps
from resource_server.emulator.keys import PoolKeys
from resource_server.identity.cognito import cognito_client
from resource_server.provisioning import plan, state
from resource_server.provisioning.apply import apply
from resource_server.provisioning.aws import Aws, connect
from resource_server.provisioning.state import Target
from resource_server.testing import CognitoIdp
from tests.conftest import REGION

# Settings that no plan is about, and that UpdateUserPool would reset if they were left out.
RICH_POOL: dict[str, Any] = {
    "AutoVerifiedAttributes": ["email"],
    "Policies": {
        "PasswordPolicy": {
            "MinimumLength": 14,
            "RequireUppercase": True,
            "RequireLowercase": True,
            "RequireNumbers": True,
            "RequireSymbols": False,
            "TemporaryPasswordValidityDays": 3,
        }
    },
    "DeletionProtection": "ACTIVE",
    "UserPoolTags": {"team": "identity"},
    "AccountRecoverySetting": {"RecoveryMechanisms": [{"Priority": 1, "Name": "verified_email"}]},
    "DeviceConfiguration": {"ChallengeRequiredOnNewDevice": True},
    "UserPoolAddOns": {"AdvancedSecurityMode": "AUDIT"},
    "EmailVerificationSubject": "Your code for us",
    "LambdaConfig": {"PostConfirmation": f"arn:aws:lambda:{REGION}:1:function:greet"},
}
RICH_CLIENT: dict[str, Any] = {
    "ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    "AccessTokenValidity": 15,
    "RefreshTokenValidity": 7,
    "TokenValidityUnits": {"AccessToken": "minutes", "RefreshToken": "days"},
    "ReadAttributes": ["email"],
    "WriteAttributes": ["email", "name"],
    "CallbackURLs": ["https://app.example.com/back"],
    "SupportedIdentityProviders": ["COGNITO"],
    "AuthSessionValidity": 5,
}


@dataclass
class World:
    """A pool, its app client, a role for functions, and the clients to look at them."""

    aws: Aws
    pool_id: str
    client_id: str
    client_secret: str
    role_arn: str

    @property
    def functions(self) -> Any:
        """The client of Lambda."""
        return self.aws.functions

    def target(self, **changes: Any) -> Target:
        """What this service's code wants of the pool."""
        wanted: dict[str, Any] = {
            "pool_id": self.pool_id,
            "client_id": self.client_id,
            "scopes": ("me", "randoms"),
            "groups": {"admins": "COGNITO_ADMIN_GROUP"},
            "role_arn": self.role_arn,
        }
        return Target(**wanted | changes)

    def plan(self, **changes: Any) -> plan.Plan:
        """Compare the pool with that."""
        target = self.target(**changes)
        return plan.make_plan(
            state.read(self.aws, target), target, self.aws.cognito.meta.service_model
        )

    def apply(self, **changes: Any) -> None:
        """Make the pool so."""
        apply(self.aws, self.plan(**changes))

    def pool(self) -> dict[str, Any]:
        """Describe the pool."""
        return state.read_pool(self.aws, self.target())

    def client(self) -> dict[str, Any]:
        """Describe the app client."""
        return state.read_client(self.aws, self.target())

    @property
    def function(self) -> str:
        """The function's name, if none is given."""
        return f"{self.pool_id}-pre-token-generation"

    def change_pool(self, **members: Any) -> None:
        """Change the pool, and write the rest back."""
        kept = self._takes("UpdateUserPool", self.pool())
        self.aws.cognito.update_user_pool(**kept | {"UserPoolId": self.pool_id} | members)

    def forget_devices(self) -> None:
        """Let the pool remember devices no longer."""
        kept = self._takes("UpdateUserPool", self.pool())
        del kept["DeviceConfiguration"]
        self.aws.cognito.update_user_pool(**kept | {"UserPoolId": self.pool_id})

    def change_client(self, **members: Any) -> None:
        """Change the app client, and write the rest back."""
        named = {"UserPoolId": self.pool_id, "ClientId": self.client_id}
        client = self.aws.cognito.describe_user_pool_client(**named)["UserPoolClient"]
        kept = self._takes("UpdateUserPoolClient", client)
        self.aws.cognito.update_user_pool_client(**kept | named | members)

    def _takes(self, operation: str, described: dict[str, Any]) -> dict[str, Any]:
        members = self.aws.cognito.meta.service_model.operation_model(operation).input_shape.members
        return {name: value for name, value in described.items() if name in members}

    def set_trigger(self, version: str, arn: str | None = None) -> None:
        """Configure the trigger under some version."""
        arn = arn or f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:{self.function}"
        config = {"PreTokenGenerationConfig": {"LambdaVersion": version, "LambdaArn": arn}}
        self.change_pool(LambdaConfig=config)

    @property
    def settings(self) -> dict[str, str]:
        """What an app must be told to use this pool."""
        return {
            "AWS_REGION": REGION,
            "AWS_USER_POOL_ID": self.pool_id,
            "AWS_COGNITO_APP_CLIENT_ID": self.client_id,
            "AWS_COGNITO_APP_CLIENT_SECRET": self.client_secret,
        }


@pytest.fixture
def world(
    mock_cognito_client: CognitoIdp, cognito_keys: PoolKeys, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A pool as somebody made it who knew nothing of this service."""
    with mock_aws(config={"lambda": {"use_docker": False}}):
        aws = connect(REGION)
        pool = aws.cognito.create_user_pool(PoolName="accounts", **RICH_POOL)["UserPool"]
        client = aws.cognito.create_user_pool_client(
            UserPoolId=pool["Id"], ClientName="service", GenerateSecret=True, **RICH_CLIENT
        )["UserPoolClient"]
        for moto_pool in gaps.pools():
            gaps.set_keys(moto_pool, cognito_keys)
        # By moto's own hands: a third client takes longer to make than the test.
        role = iam_backends[DEFAULT_ACCOUNT_ID]["aws"].create_role(
            role_name="trigger",
            assume_role_policy_document=json.dumps({"Statement": []}),
            path="/",
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration="3600",
        )
        yield World(aws, pool["Id"], client["ClientId"], client["ClientSecret"], role.arn)
        lambda_backends[DEFAULT_ACCOUNT_ID][REGION].reset()
        iam_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()


@pytest.fixture
def in_step(world: World) -> World:
    """The same pool, after `apply`."""
    world.apply()
    return world


@pytest.fixture
def public() -> Any:
    """A client for unsigned calls."""
    return cognito_client(REGION)
