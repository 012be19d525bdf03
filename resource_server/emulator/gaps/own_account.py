"""What users do to their own account, with an access token or a code that was sent to them."""

from typing import get_args

from moto.cognitoidp.models import (
    LEGACY_ACCOUNT_RECOVERY_MECHANISMS,
    CognitoIdpUser,
    CognitoIdpUserPool,
    CognitoIdpUserPoolClient,
    UserStatus,
)
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.responses import ActionResult, EmptyResult

from resource_server.emulator.gaps import attributes, codes
from resource_server.emulator.gaps.directory import (
    WRONG_CREDENTIALS,
    bearer,
    client_and_user,
    hides_users,
    not_authorized,
    parameter,
    refusal,
    require_enabled,
    require_good_password,
)
from resource_server.emulator.gaps.records import record_of
from resource_server.emulator.gaps.signing_up import CHANNELS, simulated
from resource_server.emulator.gaps.tokens import sign_out

_CHANGE = "change of password"


def get_user(self: CognitoIdpResponse) -> ActionResult:
    """Look whether the token still counts; moto takes expired ones, whatever their scope."""
    _, user = bearer(self)
    shown = user.to_json(extended=True, attributes_key="UserAttributes")
    return ActionResult(shown)


def delete_user(self: CognitoIdpResponse) -> ActionResult:
    """Delete the token's user, whose sign-ins end; moto lacks the operation."""
    pool, user = bearer(self)
    delete(pool, user)
    return EmptyResult()


def delete(pool: CognitoIdpUserPool, user: CognitoIdpUser) -> None:
    """Delete a user and end all sign-ins."""
    sign_out(pool, user.username)
    pool.backend.admin_delete_user(pool.id, user.username)


def update_user_attributes(self: CognitoIdpResponse) -> ActionResult:
    """Change attributes; a new address is verified with a code, of which moto sends none."""
    pool, user = bearer(self)
    changes = {entry["Name"]: entry.get("Value", "") for entry in parameter(self, "UserAttributes")}
    attributes.require_writable(pool, _client(pool, parameter(self, "AccessToken")), changes)
    attributes.require_mutable(pool, changes)
    attributes.require_conforming(changes)
    pool.backend._verify_email_is_not_used(pool.id, changes.get("email"))  # noqa: SLF001
    verified = pool.extended_config.get("AutoVerifiedAttributes") or []
    settings = pool.extended_config.get("UserAttributeUpdateSettings") or {}
    first = settings.get("AttributesRequireVerificationBeforeUpdate") or []
    record, sent = record_of(user), []
    for channel in CHANNELS:
        if changes.get(channel) in {None, user.attribute_lookup.get(channel)}:
            continue
        if channel in first:
            record.unverified[channel] = changes.pop(channel)
        else:
            record.unverified.pop(channel, None)
            changes[f"{channel}_verified"] = "false"
        if channel in {*verified, *first}:
            sent.append(channel)
    user.update_attributes([{"Name": k, "Value": v} for k, v in changes.items()])
    deliveries = [codes.send(pool, user, channel, channel) for channel in sent]
    return ActionResult({"CodeDeliveryDetailsList": deliveries})


def _client(pool: CognitoIdpUserPool, access_token: str) -> CognitoIdpUserPoolClient:
    """Find the app client that an access token was issued to."""
    client: CognitoIdpUserPoolClient = pool.clients[pool.access_tokens[access_token][0]]
    return client


def delete_user_attributes(self: CognitoIdpResponse) -> ActionResult:
    """Delete attributes; moto lacks the operation."""
    pool, user = bearer(self)
    names = parameter(self, "UserAttributeNames")
    attributes.require_writable(pool, _client(pool, parameter(self, "AccessToken")), names)
    user.delete_attributes(names)
    return EmptyResult()


def get_user_attribute_verification_code(self: CognitoIdpResponse) -> ActionResult:
    """Send a code to an address of the user's; moto lacks the operation."""
    pool, user = bearer(self)
    channel = parameter(self, "AttributeName")
    known = record_of(user).unverified.get(channel) or user.attribute_lookup.get(channel)
    if channel not in get_args(codes.Channel) or not known:
        raise refusal("InvalidParameterException", "User does not have the attribute to verify.")
    codes.require_patience(user, channel)
    return ActionResult({"CodeDeliveryDetails": codes.send(pool, user, channel, channel)})


def verify_user_attribute(self: CognitoIdpResponse) -> ActionResult:
    """Verify an address with its code; moto lacks the operation."""
    _, user = bearer(self)
    channel = parameter(self, "AttributeName")
    codes.require_code(user, channel, parameter(self, "Code"))
    codes.use_up(user, channel)
    address = record_of(user).unverified.pop(channel, None) or user.attribute_lookup[channel]
    user.update_attributes(
        [
            {"Name": channel, "Value": address},
            {"Name": f"{channel}_verified", "Value": "true"},
        ]
    )
    return EmptyResult()


# Passwords


def change_password(self: CognitoIdpResponse) -> ActionResult:
    """Check that the token counts, and the previous password not too often."""
    pool, user = bearer(self)
    codes.require_patience(user, _CHANGE)
    if user.password != parameter(self, "PreviousPassword"):
        record_of(user).failures_of(_CHANGE).note()
        raise not_authorized(WRONG_CREDENTIALS)
    proposed = parameter(self, "ProposedPassword")
    require_good_password(pool, proposed)
    user.password = proposed
    record_of(user).failures.pop(_CHANGE, None)
    return EmptyResult()


def forgot_password(self: CognitoIdpResponse) -> ActionResult:
    """Send a real code, once the address is verified; moto sends none and any code will do."""
    pool, client, user = client_and_user(self)
    if user is None:
        return ActionResult({"CodeDeliveryDetails": simulated(parameter(self, "Username"))})
    if hides_users(client) and (not user.enabled or recovery_channel(pool, user) is None):
        # Guide, "Managing user existence error responses": these are pretended as well.
        return ActionResult({"CodeDeliveryDetails": simulated(user.username)})
    require_enabled(user)
    channel = recovery_channel(pool, user)
    if channel is None:
        raise refusal(
            "InvalidParameterException",
            "Cannot reset password for the user as there is no registered/verified email or "
            "phone_number",
        )
    if user.status == UserStatus.FORCE_CHANGE_PASSWORD:
        raise not_authorized("User password cannot be reset in the current state.")
    codes.require_patience(user, codes.RESET)
    return ActionResult({"CodeDeliveryDetails": codes.send(pool, user, codes.RESET, channel)})


def recovery_channel(pool: CognitoIdpUserPool, user: CognitoIdpUser) -> codes.Channel | None:
    """Choose the verified address to which a code for a new password goes, if there is one."""
    settings = pool.extended_config.get("AccountRecoverySetting") or {}
    ways = settings.get("RecoveryMechanisms") or LEGACY_ACCOUNT_RECOVERY_MECHANISMS
    for way in sorted(ways, key=lambda way: int(way["Priority"])):
        if way["Name"] == "admin_only":
            raise not_authorized("Contact administrator to reset password.")
        channel: codes.Channel = "email" if way["Name"] == "verified_email" else "phone_number"
        own = user.attribute_lookup
        if own.get(channel) and own.get(f"{channel}_verified") == "true":
            return channel
    return None


def confirm_forgot_password(self: CognitoIdpResponse) -> ActionResult:
    """Check code and password policy; moto checks neither. Sign-ins go on, as Cognito's do."""
    pool, _, user = client_and_user(self)
    if user is None:
        raise codes.mismatch()
    require_enabled(user)
    if user.status == UserStatus.UNCONFIRMED:
        raise refusal("UserNotConfirmedException", "User is not confirmed.")
    codes.require_code(user, codes.RESET, parameter(self, "ConfirmationCode"))
    password = parameter(self, "Password")
    require_good_password(pool, password)
    codes.use_up(user, codes.RESET)
    user.password, user.status = password, UserStatus.CONFIRMED
    record_of(user).failures.pop("sign-in", None)
    return EmptyResult()
