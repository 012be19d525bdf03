"""Second factors: one-time passwords of an authenticator app (TOTP), codes by SMS or e-mail."""

import base64
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from moto.cognitoidp import models
from moto.cognitoidp.models import CognitoIdpUser, CognitoIdpUserPool
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.responses import ActionResult, EmptyResult

from resource_server.emulator.gaps import codes, sessions
from resource_server.emulator.gaps.clocks import clock
from resource_server.emulator.gaps.directory import bearer, parameter, refusal
from resource_server.emulator.gaps.records import record_of
from resource_server.emulator.totp import STEP_SECONDS, totp_code

SOFTWARE, SMS, EMAIL = "SOFTWARE_TOKEN_MFA", "SMS_MFA", "EMAIL_OTP"
SET_UP = "MFA_SETUP"
_SET_UP_FAILED = "Code mismatch and fail enable Software Token MFA"


def matching_step(secret: str, typed: str) -> int | None:
    """Find the step whose code was typed: now, or one either side (RFC 6238 §5.2)."""
    now = int(clock.now() // STEP_SECONDS)
    for step in (now, now - 1, now + 1):
        if hmac.compare_digest(totp_code(secret, step * STEP_SECONDS).encode(), typed.encode()):
            return step
    return None


def require_totp(user: CognitoIdpUser, typed: str) -> None:
    """Check the code of a user's authenticator app, which serves once."""
    record = record_of(user)
    if record.totp_secret is None:
        raise refusal(
            "SoftwareTokenMFANotFoundException", "Software Token MFA does not exist for the user."
        )
    step = matching_step(record.totp_secret, typed)
    if step is None:
        raise refusal("CodeMismatchException", "Invalid code received for user")
    if step <= record.totp_step:
        raise refusal("ExpiredCodeException", "Your software token has already been used once.")
    record.totp_step = step


def require_sent(sent: str | None, typed: str) -> None:
    """Check a code that was sent for this sign-in."""
    if sent is None or not hmac.compare_digest(sent.encode(), typed.encode()):
        raise refusal("CodeMismatchException", "Invalid code received for user")


def factors_of(user: CognitoIdpUser) -> list[str]:
    """List the second factors that a user has turned on."""
    enabled = {
        SOFTWARE: user.software_token_mfa_enabled,
        SMS: user.sms_mfa_enabled,
        EMAIL: record_of(user).email_mfa,
    }
    return [factor for factor, on in enabled.items() if on]


def pool_has_software_tokens(pool: CognitoIdpUserPool) -> bool:
    """Tell whether the pool allows authenticator apps."""
    return pool.mfa_config != "OFF" and bool((pool.token_mfa_config or {}).get("Enabled"))


# Operations


def associate_software_token(self: CognitoIdpResponse) -> ActionResult:
    """Give each user a secret of their own; moto has one for everybody."""
    pool, user, next_session = _who(self)
    if not pool_has_software_tokens(pool):
        raise refusal(
            "SoftwareTokenMFANotFoundException",
            "Software Token MFA has not been enabled by the userPool",
        )
    secret = base64.b32encode(secrets.token_bytes(20)).decode()
    record_of(user).totp_candidate = secret
    return ActionResult({"SecretCode": secret} | next_session(is_set_up=False))


def verify_software_token(self: CognitoIdpResponse) -> ActionResult:
    """Check a code against the secret that was given out; moto takes any code."""
    _, user, next_session = _who(self)
    record = record_of(user)
    codes.require_patience(user, SET_UP)
    if record.totp_candidate is None:
        raise refusal(
            "InvalidParameterException", "User has no software token to verify: associate one first"
        )
    step = matching_step(record.totp_candidate, parameter(self, "UserCode"))
    if step is None:
        record.failures_of(SET_UP).note()
        raise refusal("EnableSoftwareTokenMFAException", _SET_UP_FAILED)
    record.totp_secret, record.totp_candidate, record.totp_step = record.totp_candidate, None, step
    record.failures.pop(SET_UP, None)
    user.token_verified = True
    return ActionResult({"Status": "SUCCESS"} | next_session(is_set_up=True))


def _who(
    call: CognitoIdpResponse,
) -> tuple[CognitoIdpUserPool, CognitoIdpUser, Callable[..., dict[str, str]]]:
    """Find the user by access token or by the session of MFA_SETUP, which is used up.

    The third value makes what the answer says of a next session.
    """
    text = parameter(call, "Session")
    if text is None:
        pool, user = bearer(call)
        return pool, user, lambda **_: {}
    session = sessions.look(text, SET_UP)
    sessions.spend(text)
    pool, client, user = session.pool, session.client, session.user
    return (
        pool,
        user,
        lambda is_set_up: {
            "Session": sessions.begin(pool, client, user, SET_UP, is_set_up=is_set_up)
        },
    )


def set_user_mfa_preference(self: CognitoIdpResponse) -> ActionResult:
    """Find the token in any region, and know e-mail as a factor; moto does neither."""
    _, user = bearer(self)
    _prefer(self, user)
    return EmptyResult()


def admin_set_user_mfa_preference(self: CognitoIdpResponse) -> ActionResult:
    """Set preferences for a user; moto does not know e-mail as a factor."""
    _prefer(self, admin_user(self))
    return EmptyResult()


def admin_user(call: CognitoIdpResponse) -> CognitoIdpUser:
    """Find the user of an administrator's operation."""
    pool_id, username = parameter(call, "UserPoolId"), parameter(call, "Username")
    user: CognitoIdpUser = call.backend.admin_get_user(pool_id, username)
    return user


def _prefer(call: CognitoIdpResponse, user: CognitoIdpUser) -> None:
    for name, factor in (
        ("SoftwareTokenMfaSettings", SOFTWARE),
        ("SMSMfaSettings", SMS),
        ("EmailMfaSettings", EMAIL),
    ):
        settings: Mapping[str, bool] | None = parameter(call, name)
        if settings is None:
            continue
        enabled, preferred = bool(settings.get("Enabled")), bool(settings.get("PreferredMfa"))
        if enabled:
            _require_possible(user, factor)
        elif preferred:
            raise refusal("InvalidParameterException", f"{factor} is preferred and not enabled")
        turn(user, factor, on=enabled)
        if preferred:
            user.preferred_mfa_setting = factor
        elif user.preferred_mfa_setting == factor:
            user.preferred_mfa_setting = ""


def turn(user: CognitoIdpUser, factor: str, *, on: bool) -> None:
    """Turn a second factor on or off."""
    if factor == SOFTWARE:
        user.software_token_mfa_enabled = on
    elif factor == SMS:
        user.sms_mfa_enabled = on
    else:
        record_of(user).email_mfa = on


def _require_possible(user: CognitoIdpUser, factor: str) -> None:
    if factor == SOFTWARE and record_of(user).totp_secret is None:
        raise refusal("InvalidParameterException", "User has not verified software token mfa")
    if factor == SMS and not user.attribute_lookup.get("phone_number"):
        raise refusal("InvalidParameterException", "User does not have a phone number")
    if factor == EMAIL and not user.attribute_lookup.get("email"):
        raise refusal("InvalidParameterException", "User does not have an e-mail address")


def to_json(
    self: CognitoIdpUser,
    extended: bool = False,
    attributes_key: str = "Attributes",
    attributes_to_get: list[str] | None = None,
) -> dict[str, Any]:
    """Name all factors; moto knows no e-mail there, and has a preference where there is none."""
    shown = _MOTO_TO_JSON(self, extended, attributes_key, attributes_to_get)
    if extended:
        shown["UserMFASettingList"] = factors_of(self)
        if not shown["PreferredMfaSetting"]:
            del shown["PreferredMfaSetting"]
    return shown


_MOTO_TO_JSON = models.CognitoIdpUser.to_json
