"""Signing up: real codes, which expire, serve once and cannot be guessed."""

from typing import Any, cast

from moto.cognitoidp import responses
from moto.cognitoidp.models import CognitoIdpUser, CognitoIdpUserPool, UserStatus
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.responses import ActionResult, EmptyResult

from resource_server.emulator.gaps import attributes, codes
from resource_server.emulator.gaps.directory import (
    client_and_user,
    client_of,
    find_user,
    not_authorized,
    parameter,
    refusal,
    require_secret_hash,
    user_status,
)

_MOTO_SIGN_UP = responses.CognitoIdpResponse.sign_up
CHANNELS: tuple[codes.Channel, ...] = ("email", "phone_number")


def sign_up(self: CognitoIdpResponse) -> ActionResult:
    """Check SECRET_HASH and send a real code; moto does neither."""
    pool, client = client_of(self)
    username = parameter(self, "Username")
    require_secret_hash(client, parameter(self, "SecretHash"), username)
    config = pool.extended_config.get("AdminCreateUserConfig") or {}
    if config.get("AllowAdminCreateUserOnly"):
        raise not_authorized("SignUp is not permitted for this user pool")
    given = {
        entry["Name"]: entry.get("Value", "") for entry in parameter(self, "UserAttributes") or []
    }
    attributes.require_writable(pool, client, given)
    attributes.require_conforming(given)
    attributes.require_all(pool, given | _named_by(pool, username))
    result = _MOTO_SIGN_UP(self)
    user = find_user(pool, username)
    answer = cast("dict[str, Any]", result.result)
    answer.pop("CodeDeliveryDetails", None)
    if user is not None and (details := _send_code(pool, user)):
        answer["CodeDeliveryDetails"] = details
    return ActionResult(answer)


def _named_by(pool: CognitoIdpUserPool, username: str) -> dict[str, str]:
    """Return the attribute that the user name is, in a pool whose users have no names."""
    kinds = pool.extended_config.get("UsernameAttributes") or []
    kind = "email" if "@" in username else "phone_number"
    return {kind: username} if kind in kinds else {}


def confirm_sign_up(self: CognitoIdpResponse) -> ActionResult:
    """Check SECRET_HASH and the code, which serves once; moto takes any code, any time."""
    pool, _, user = client_and_user(self)
    if user is None:
        raise codes.mismatch()
    if user.status != UserStatus.UNCONFIRMED:
        raise not_authorized(f"User cannot be confirmed. Current status is {user_status(user)}")
    codes.require_code(user, codes.SIGN_UP, parameter(self, "ConfirmationCode"))
    codes.use_up(user, codes.SIGN_UP)
    user.status = UserStatus.CONFIRMED
    if channel := _channel(pool, user):
        user.update_attributes([{"Name": f"{channel}_verified", "Value": "true"}])
    return EmptyResult()


def resend_confirmation_code(self: CognitoIdpResponse) -> ActionResult:
    """Send a new code; moto lacks the operation."""
    pool, _, user = client_and_user(self)
    if user is None:
        return ActionResult({"CodeDeliveryDetails": simulated(parameter(self, "Username"))})
    if user.status != UserStatus.UNCONFIRMED:
        raise refusal("InvalidParameterException", "User is already confirmed.")
    codes.require_patience(user, codes.SIGN_UP)
    return ActionResult({"CodeDeliveryDetails": _send_code(pool, user)})


def simulated(username: str) -> dict[str, str]:
    """Return the delivery details of a user that is not, which look like anybody's."""
    return codes.delivery("email", f"{username}@example.com")


def _channel(pool: CognitoIdpUserPool, user: CognitoIdpUser) -> codes.Channel | None:
    """Choose an address that the pool verifies; without one Cognito sends nothing."""
    verified = pool.extended_config.get("AutoVerifiedAttributes") or []
    for channel in CHANNELS:
        if channel in verified and user.attribute_lookup.get(channel):
            return channel
    return None


def _send_code(pool: CognitoIdpUserPool, user: CognitoIdpUser) -> dict[str, str] | None:
    channel = _channel(pool, user)
    return codes.send(pool, user, codes.SIGN_UP, channel) if channel else None
