"""Signing in: passwords, lock-outs and challenges, each answer in its session."""

import json
from collections.abc import Mapping
from typing import Any

from moto.cognitoidp.models import (
    CognitoIdpUser,
    CognitoIdpUserPool,
    CognitoIdpUserPoolClient,
    UserStatus,
)
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult

from resource_server.emulator.gaps import attributes as attributes_of_pool
from resource_server.emulator.gaps import codes, mfa, sessions
from resource_server.emulator.gaps.directory import (
    WRONG_CREDENTIALS,
    client_of,
    find_user,
    hides_users,
    not_authorized,
    parameter,
    refusal,
    require_enabled,
    require_good_password,
    require_no_reset,
    require_secret_hash,
)
from resource_server.emulator.gaps.records import record_of
from resource_server.emulator.gaps.tokens import (
    complete_sign_in,
    refresh,
    rotates,
    user_of_refresh_token,
)

_USER_ATTRIBUTE = "userAttributes."
_NEW_PASSWORD, _SELECT = "NEW_PASSWORD_REQUIRED", "SELECT_MFA_TYPE"
_REFRESHES = {"REFRESH_TOKEN", "REFRESH_TOKEN_AUTH"}
_ADMIN_PASSWORDS = {"ADMIN_USER_PASSWORD_AUTH", "ADMIN_NO_SRP_AUTH"}
# Cognito API reference, CreateUserPoolClient: what a client can that was not told.
_DEFAULT_FLOWS = ["ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH"]
# The answer that a challenge wants beside USERNAME.
_ANSWERS = {
    _NEW_PASSWORD: "NEW_PASSWORD",
    mfa.SOFTWARE: "SOFTWARE_TOKEN_MFA_CODE",
    mfa.SMS: "SMS_MFA_CODE",
    mfa.EMAIL: "EMAIL_OTP_CODE",
    _SELECT: "ANSWER",
    mfa.SET_UP: None,
}
_CHANNELS: dict[str, codes.Channel] = {mfa.SMS: "phone_number", mfa.EMAIL: "email"}


def initiate_auth(self: CognitoIdpResponse) -> ActionResult:
    """Check hash, flow, lock-out and more than the password; moto looks at the password alone."""
    flow = parameter(self, "AuthFlow")
    pool, client = client_of(self)
    if flow not in {"USER_PASSWORD_AUTH", *_REFRESHES}:
        # moto would sign in whoever sends an SRP_A, without any password.
        message = f"{flow} is not emulated: use USER_PASSWORD_AUTH"
        raise refusal("InvalidParameterException", message)
    return ActionResult(_initiate(pool, client, flow, parameter(self, "AuthParameters") or {}))


def admin_initiate_auth(self: CognitoIdpResponse) -> ActionResult:
    """Sign in as `initiate_auth` does, with flows that only an administrator has."""
    flow = parameter(self, "AuthFlow")
    pool, client = _named_by_administrator(self)
    if flow not in {*_ADMIN_PASSWORDS, *_REFRESHES}:
        raise refusal("InvalidParameterException", "Initiate Auth method not supported")
    return ActionResult(_initiate(pool, client, flow, parameter(self, "AuthParameters") or {}))


def _named_by_administrator(
    call: CognitoIdpResponse,
) -> tuple[CognitoIdpUserPool, CognitoIdpUserPoolClient]:
    """Find pool and client of an administrator's operation, which must belong together."""
    pool_id, client_id = parameter(call, "UserPoolId"), parameter(call, "ClientId")
    client: CognitoIdpUserPoolClient = call.backend.describe_user_pool_client(pool_id, client_id)
    return call.backend.describe_user_pool(pool_id), client


def _initiate(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    flow: str,
    sent: Mapping[str, str],
) -> dict[str, Any]:
    if flow in _REFRESHES:
        return _refresh(pool, client, sent)
    username = _required(sent, "USERNAME")
    require_secret_hash(client, sent.get("SECRET_HASH"), username)
    _require_flow(client, flow)
    user = user_with_password(pool, client, username, _required(sent, "PASSWORD"))
    device_key = sent.get("DEVICE_KEY")
    return next_challenge(pool, client, user) or complete_sign_in(pool, client, user, device_key)


def user_with_password(
    pool: CognitoIdpUserPool, client: CognitoIdpUserPoolClient, username: str, password: str
) -> CognitoIdpUser:
    """Find the user who signs in with a password; a second factor may still be asked for.

    Raises NotAuthorizedException and others of Cognito's errors.
    """
    user = find_user(pool, username)
    if user is None:
        if hides_users(client):
            raise not_authorized(WRONG_CREDENTIALS)
        raise refusal("UserNotFoundException", "User does not exist.")
    _require_password(user, password)
    return user


def _refresh(
    pool: CognitoIdpUserPool, client: CognitoIdpUserPoolClient, sent: Mapping[str, str]
) -> dict[str, Any]:
    text = _required(sent, "REFRESH_TOKEN")
    _require_flow(client, "REFRESH_TOKEN_AUTH")
    if rotates(client):
        # Guide: rotation "isn't compatible with" this flow.
        raise refusal(
            "InvalidParameterException",
            "REFRESH_TOKEN_AUTH is not supported while refresh token rotation is enabled",
        )
    user = user_of_refresh_token(pool, client, text)
    # The real name or `sub`: the hash of an alias, good at sign-in, is refused here (T17).
    require_secret_hash(client, sent.get("SECRET_HASH"), user.username, user.id)
    return refresh(pool, client, text, sent.get("DEVICE_KEY"))


def _require_flow(client: CognitoIdpUserPoolClient, flow: str) -> None:
    allowed = client.extended_config.get("ExplicitAuthFlows") or _DEFAULT_FLOWS
    names = {f"ALLOW_{flow}", flow}
    if flow in _ADMIN_PASSWORDS:
        names = {"ALLOW_ADMIN_USER_PASSWORD_AUTH", "ADMIN_NO_SRP_AUTH"}
    if names.isdisjoint(allowed):
        if flow in _ADMIN_PASSWORDS:
            raise not_authorized("Auth flow not enabled for this client")
        raise refusal("InvalidParameterException", f"{flow} flow not enabled for this client")


def _require_password(user: CognitoIdpUser, typed: str) -> None:
    """Check the password, unless too many were wrong; then say what else keeps the user out."""
    failures = record_of(user).failures_of("sign-in")
    if failures.lock_out():
        raise not_authorized("Password attempts exceeded")
    require_no_reset(user)
    if user.password != typed:
        failures.note()
        raise not_authorized(WRONG_CREDENTIALS)
    require_enabled(user)
    if user.status == UserStatus.UNCONFIRMED:
        raise refusal("UserNotConfirmedException", "User is not confirmed.")


# Challenges


def next_challenge(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    user: CognitoIdpUser,
) -> dict[str, Any] | None:
    """Return the challenge that follows a password; None if nothing more is asked."""
    if user.status == UserStatus.FORCE_CHANGE_PASSWORD:
        attributes = {k: v for k, v in user.attribute_lookup.items() if k != "sub"}
        lacking = attributes_of_pool.missing(pool, user.attribute_lookup)
        required = [f"{_USER_ATTRIBUTE}{name}" for name in lacking]
        details = {
            "requiredAttributes": json.dumps(required),
            "userAttributes": json.dumps(attributes),
        }
        return _challenge(pool, client, user, _NEW_PASSWORD, details)
    if pool.mfa_config == "OFF":
        return None
    return _second_step(pool, client, user)


def _second_step(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    user: CognitoIdpUser,
) -> dict[str, Any] | None:
    """Ask for a second factor where the user has one, or must set one up."""
    factors = mfa.factors_of(user)
    preferred = user.preferred_mfa_setting
    if preferred and preferred in factors:
        return _ask_for(pool, client, user, preferred)
    if len(factors) == 1:
        return _ask_for(pool, client, user, factors[0])
    if factors:
        details = {"MFAS_CAN_CHOOSE": json.dumps(factors)}
        return _challenge(pool, client, user, _SELECT, details)
    if pool.mfa_config == "ON":
        possible = [mfa.SOFTWARE] if mfa.pool_has_software_tokens(pool) else []
        details = {"MFAS_CAN_SETUP": json.dumps(possible)}
        return _challenge(pool, client, user, mfa.SET_UP, details)
    return None


def _ask_for(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    user: CognitoIdpUser,
    factor: str,
) -> dict[str, Any]:
    """Ask for a second factor; a code is sent where it is one that is sent."""
    channel = _CHANNELS.get(factor)
    if channel is None:
        return _challenge(pool, client, user, factor, {})
    code = codes.new_code()
    sent = codes.deliver(pool, user, code, channel, user.attribute_lookup[channel])
    details = {
        "CODE_DELIVERY_DELIVERY_MEDIUM": sent["DeliveryMedium"],
        "CODE_DELIVERY_DESTINATION": sent["Destination"],
    }
    return _challenge(pool, client, user, factor, details, code=code)


def _challenge(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    user: CognitoIdpUser,
    name: str,
    details: dict[str, str],
    *,
    code: str | None = None,
) -> dict[str, Any]:
    return {
        "ChallengeName": name,
        "Session": sessions.begin(pool, client, user, name, code=code),
        "ChallengeParameters": {"USER_ID_FOR_SRP": user.username} | details,
    }


def respond_to_auth_challenge(self: CognitoIdpResponse) -> ActionResult:
    """Check session, hash and answer; moto's session serves for ever, and any code will do."""
    _, client = client_of(self)
    return ActionResult(_respond(self, client))


def admin_respond_to_auth_challenge(self: CognitoIdpResponse) -> ActionResult:
    """Answer as `respond_to_auth_challenge` does, for an administrator of the pool."""
    _, client = _named_by_administrator(self)
    return ActionResult(_respond(self, client))


def _respond(call: CognitoIdpResponse, client: CognitoIdpUserPoolClient) -> dict[str, Any]:
    """Take one answer: what is badly formed costs nothing, what is judged uses the session up."""
    name, sent = parameter(call, "ChallengeName"), parameter(call, "ChallengeResponses") or {}
    if name not in _ANSWERS:
        raise refusal("InvalidParameterException", f"{name} is not emulated")
    text = parameter(call, "Session")
    if not text:
        raise refusal("InvalidParameterException", "Missing required parameter Session")
    username = _required(sent, "USERNAME")
    session = sessions.look(text, name)
    user = session.user
    if session.client is not client or find_user(session.pool, username) is not user:
        raise not_authorized("Invalid session for the user.")
    # The real name or `sub`, as USER_ID_FOR_SRP gave it: no alias (T17).
    require_secret_hash(client, sent.get("SECRET_HASH"), user.username, user.id)
    wanted = _ANSWERS[name]
    answer = _required(sent, wanted) if wanted else ""
    more = judge(text, session, answer, sent)
    return more or complete_sign_in(session.pool, client, user, sent.get("DEVICE_KEY"))


def judge(
    text: str, session: sessions.Session, answer: str, sent: Mapping[str, str]
) -> dict[str, Any] | None:
    """Judge an answer; return the challenge that follows, or None if nothing more is asked."""
    if session.challenge == _NEW_PASSWORD:
        require_good_password(session.pool, answer)
        _require_attributes(session, sent)
    sessions.spend(text)
    require_enabled(session.user)
    return _judge(session, answer, sent)


def _require_attributes(session: sessions.Session, sent: Mapping[str, str]) -> None:
    """Check attributes beside a new password (API reference, RespondToAuthChallenge)."""
    pool, user = session.pool, session.user
    given = {
        name.removeprefix(_USER_ATTRIBUTE): value
        for name, value in sent.items()
        if name.startswith(_USER_ATTRIBUTE)
    }
    attributes_of_pool.require_writable(pool, session.client, given)
    for name in given:
        own = pool.schema_attributes.get(name)
        if own is not None and own.required and user.attribute_lookup.get(name):
            raise not_authorized(f"Cannot modify an already provided {name}")
    attributes_of_pool.require_conforming(given)
    lacking = attributes_of_pool.missing(pool, user.attribute_lookup | given)
    if lacking:
        raise refusal(
            "InvalidParameterException", f"Invalid attributes given, {lacking[0]} is missing"
        )


def _judge(
    session: sessions.Session, answer: str, sent: Mapping[str, str]
) -> dict[str, Any] | None:
    pool, client, user = session.pool, session.client, session.user
    if session.challenge == _NEW_PASSWORD:
        user.update_attributes(
            [
                {"Name": name.removeprefix(_USER_ATTRIBUTE), "Value": value}
                for name, value in sent.items()
                if name.startswith(_USER_ATTRIBUTE)
            ]
        )
        user.password, user.status = answer, UserStatus.CONFIRMED
        return next_challenge(pool, client, user)
    if session.challenge == _SELECT:
        if answer not in mfa.factors_of(user):
            raise refusal("InvalidParameterException", "ANSWER is none of MFAS_CAN_CHOOSE")
        return _ask_for(pool, client, user, answer)
    if session.challenge == mfa.SET_UP:
        if not session.is_set_up:
            raise not_authorized("Invalid session for the user.")
        mfa.turn(user, mfa.SOFTWARE, on=True)
        user.preferred_mfa_setting = mfa.SOFTWARE
        return None
    _require_factor(session, answer)
    return None


def _require_factor(session: sessions.Session, answer: str) -> None:
    """Check a second factor; a wrong one counts as a wrong password does (guide, "MFA")."""
    failures = record_of(session.user).failures_of("sign-in")
    if failures.lock_out():
        raise not_authorized("Password attempts exceeded")
    try:
        if session.challenge == mfa.SOFTWARE:
            mfa.require_totp(session.user, answer)
        else:
            mfa.require_sent(session.code, answer)
    except JsonRESTError:
        failures.note()
        raise


def _required(sent: Mapping[str, str], name: str) -> str:
    value = sent.get(name)
    if not value:
        raise refusal("InvalidParameterException", f"Missing required parameter {name}")
    return value
