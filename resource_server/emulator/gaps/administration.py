"""What administrators do: accounts, and the configuration of pools and app clients."""

import secrets
import string
from datetime import UTC, datetime
from typing import Any

from moto.cognitoidp import responses
from moto.cognitoidp.models import (
    CognitoIdpUserPoolClient,
    CognitoResourceServer,
    UserStatus,
)
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.responses import ActionResult, EmptyResult

from resource_server.emulator.gaps import codes
from resource_server.emulator.gaps.clocks import clock
from resource_server.emulator.gaps.directory import parameter, refusal, require_good_password
from resource_server.emulator.gaps.mfa import admin_user
from resource_server.emulator.gaps.own_account import delete, recovery_channel
from resource_server.emulator.gaps.records import ClientSecret, secrets_of, set_secrets
from resource_server.emulator.gaps.tokens import end_access

_MOST_SECRETS = 2
_MOST_LISTED = 60
# What CreateUserPool alone can set: an update leaves it as it is.
_FOR_EVER = ("UsernameAttributes", "AliasAttributes", "UsernameConfiguration")

# Accounts


def admin_create_user(self: CognitoIdpResponse) -> ActionResult:
    """Make up a temporary password where none is given, and send it; moto does neither.

    moto's RESEND makes a new user of that name.
    """
    pool = self.backend.describe_user_pool(parameter(self, "UserPoolId"))
    password = parameter(self, "TemporaryPassword") or _temporary_password()
    require_good_password(pool, password)
    action = parameter(self, "MessageAction")
    if action == "RESEND":
        user = admin_user(self)
        if user.status != UserStatus.FORCE_CHANGE_PASSWORD:
            raise refusal(
                "UnsupportedUserStateException", "Resend not possible. Status is not FORCE_CHANGE"
            )
        user.password = password
    else:
        user = self.backend.admin_create_user(
            pool.id,
            parameter(self, "Username"),
            action,
            password,
            parameter(self, "UserAttributes") or [],
        )
    email = user.attribute_lookup.get("email")
    if action != "SUPPRESS" and email:
        codes.deliver(pool, user, password, "email", email)
    return ActionResult({"User": user.to_json(extended=True)})


def _temporary_password() -> str:
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "!#$%&*+-.:?@_")
    letters = [secrets.choice(kind) for kind in kinds]
    letters += [secrets.choice(string.ascii_letters + string.digits) for _ in range(16)]
    secrets.SystemRandom().shuffle(letters)
    return "".join(letters)


def admin_delete_user(self: CognitoIdpResponse) -> ActionResult:
    """Delete a user, whose sign-ins end; with moto they are the next one's of that name."""
    user = admin_user(self)
    delete(self.backend.describe_user_pool(user.user_pool_id), user)
    return EmptyResult()


def admin_disable_user(self: CognitoIdpResponse) -> ActionResult:
    """Disable a user and revoke the access tokens (API reference); moto leaves them.

    Refresh tokens are refused while the user is disabled, and serve again afterwards.
    """
    user = admin_user(self)
    user.enabled = False
    end_access(self.backend.describe_user_pool(user.user_pool_id), user)
    return EmptyResult()


def admin_reset_user_password(self: CognitoIdpResponse) -> ActionResult:
    """Send the code for a new password, which moto does not."""
    user = admin_user(self)
    pool = self.backend.describe_user_pool(user.user_pool_id)
    self.backend.admin_reset_user_password(pool.id, user.username)
    if channel := recovery_channel(pool, user):
        codes.send(pool, user, codes.RESET, channel)
    return EmptyResult()


def list_users(self: CognitoIdpResponse) -> ActionResult:
    """Refuse pages of more than 60 users, which moto gives."""
    limit = parameter(self, "Limit")
    if limit is not None and limit > _MOST_LISTED:
        raise refusal(
            "InvalidParameterException",
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy "
            "constraint: Member must have value less than or equal to 60",
        )
    return _MOTO_LIST_USERS(self)


# Pools and clients


def update_user_pool(self: CognitoIdpResponse) -> ActionResult:
    """Reset what is left out, the MFA setting too, and keep what is set for ever."""
    sent = dict(self.parameters)
    pool = self.backend.describe_user_pool(sent.pop("UserPoolId"))
    pool.name = sent.pop("PoolName", pool.name)
    pool.mfa_config = sent.pop("MfaConfiguration", None) or "OFF"
    kept = {name: pool.extended_config[name] for name in _FOR_EVER if name in pool.extended_config}
    pool.update_extended_config(sent | kept)
    pool.last_modified_date = datetime.fromtimestamp(clock.now(), UTC).replace(tzinfo=None)
    return EmptyResult()


def set_user_pool_mfa_config(self: CognitoIdpResponse) -> ActionResult:
    """Let DescribeUserPool tell the new setting; moto's tells that of the pool's creation."""
    result = _MOTO_SET_MFA(self)
    pool = self.backend.describe_user_pool(parameter(self, "UserPoolId"))
    pool.extended_config.pop("MfaConfiguration", None)
    return result


def update_user_pool_client(self: CognitoIdpResponse) -> ActionResult:
    """Reset what is left out to its default; moto keeps it."""
    sent = dict(self.parameters)
    client = self.backend.describe_user_pool_client(sent.pop("UserPoolId"), sent.pop("ClientId"))
    name = {"ClientName": client.extended_config.get("ClientName")}
    fresh = CognitoIdpUserPoolClient(client.user_pool_id, client.generate_secret, name | sent)
    client.extended_config = fresh.extended_config
    return ActionResult({"UserPoolClient": client.to_json(extended=True)})


def add_user_pool_client_secret(self: CognitoIdpResponse) -> ActionResult:
    """Add a second secret (T30); moto lacks the operation."""
    client = _client(self)
    kept = secrets_of(client)
    if not client.generate_secret:
        raise refusal("InvalidParameterException", "The app client has no client secret")
    if len(kept) >= _MOST_SECRETS:
        raise refusal(
            "LimitExceededException", f"An app client has at most {_MOST_SECRETS} secrets"
        )
    value = parameter(self, "ClientSecret") or secrets.token_hex(26)
    made = ClientSecret(f"{client.id}--{secrets.randbelow(10**12)}", value, clock.now())
    set_secrets(client, [*kept, made])
    return ActionResult(
        {"ClientSecretDescriptor": _descriptor(made) | {"ClientSecretValue": made.value}}
    )


def list_user_pool_client_secrets(self: CognitoIdpResponse) -> ActionResult:
    """List the secrets without their values; moto lacks the operation."""
    return ActionResult(
        {"ClientSecrets": [_descriptor(kept) for kept in secrets_of(_client(self))]}
    )


def delete_user_pool_client_secret(self: CognitoIdpResponse) -> ActionResult:
    """Delete one secret, not the last; moto lacks the operation."""
    client, secret_id = _client(self), parameter(self, "ClientSecretId")
    kept = secrets_of(client)
    left = [secret for secret in kept if secret.id != secret_id]
    if len(left) == len(kept):
        raise refusal("ResourceNotFoundException", f"Client secret {secret_id} does not exist.")
    if not left:
        raise refusal(
            "InvalidParameterException", "The last secret of an app client cannot be deleted"
        )
    set_secrets(client, left)
    return ActionResult({})


def _client(call: CognitoIdpResponse) -> CognitoIdpUserPoolClient:
    pool_id, client_id = parameter(call, "UserPoolId"), parameter(call, "ClientId")
    client: CognitoIdpUserPoolClient = call.backend.describe_user_pool_client(pool_id, client_id)
    return client


def _descriptor(secret: ClientSecret) -> dict[str, Any]:
    created = datetime.fromtimestamp(secret.created_at, UTC)
    return {"ClientSecretId": secret.id, "ClientSecretCreateDate": created}


# Resource servers


def update_resource_server(self: CognitoIdpResponse) -> ActionResult:
    """Replace name and scopes; moto lacks the operation."""
    server = _resource_server(self)
    server.name = parameter(self, "Name")
    server.scopes = parameter(self, "Scopes") or []
    return ActionResult({"ResourceServer": server.to_json()})


def delete_resource_server(self: CognitoIdpResponse) -> ActionResult:
    """Delete a resource server; moto lacks the operation."""
    server = _resource_server(self)
    del self.backend.describe_user_pool(server.user_pool_id).resource_servers[server.identifier]
    return EmptyResult()


def _resource_server(call: CognitoIdpResponse) -> CognitoResourceServer:
    pool_id, identifier = parameter(call, "UserPoolId"), parameter(call, "Identifier")
    server: CognitoResourceServer = call.backend.describe_resource_server(pool_id, identifier)
    return server


_MOTO_LIST_USERS = responses.CognitoIdpResponse.list_users
_MOTO_SET_MFA = responses.CognitoIdpResponse.set_user_pool_mfa_config
