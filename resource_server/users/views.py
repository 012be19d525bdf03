"""Signing up, signing in, signing out, and who one is."""

import json
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import quote

from apiflask import APIBlueprint
from flask import Response, current_app, make_response, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from resource_server.auth import (
    current_principal,
    note_refusal,
    presented_token,
    principal_or_none,
    require_scope,
)
from resource_server.bodies import MessageOut
from resource_server.identity import errors as identity
from resource_server.identity.errors import (
    AccountGone,
    BadRefreshToken,
    IdentityError,
    IdentityUnavailable,
    InsufficientScope,
    InvalidRequest,
    SessionEnded,
)
from resource_server.identity.provider import (
    Challenge,
    Context,
    DeviceVerifier,
    TokenSet,
)
from resource_server.problems import answer
from resource_server.rate_limits import Asking
from resource_server.refusals import ACCOUNT_DISABLED, Problem, refuses, responds, token_endpoint
from resource_server.services import services
from resource_server.tokens import AccessToken, TokenError
from resource_server.tokens.claims import SIGN_IN_SCOPE
from resource_server.tokens.errors import RevokedToken
from resource_server.tokens.parsing import unverified_claims
from resource_server.users import accounts
from resource_server.users.accounts import Account
from resource_server.users.schemas import (
    ChallengeIn,
    ChallengeOut,
    ChangePasswordIn,
    DeviceIn,
    DeviceOut,
    ForgotPasswordIn,
    FormInContext,
    InContext,
    LoginForm,
    LogoutIn,
    NewDeviceOut,
    OtherSignInOut,
    ProfilePatch,
    RefreshForm,
    ResendIn,
    ResetPasswordIn,
    SignUpIn,
    SignUpOut,
    TokenOut,
    TotpIn,
    TotpOut,
    TotpPreference,
    UserOut,
    VerifyIn,
)

logger = logging.getLogger(__name__)

OTHER_SIGN_IN = Problem(400, "The refresh token is of another sign-in: nothing was ended")

users = APIBlueprint(
    "users",
    __name__,
    url_prefix="/users",
    tag={"name": "users", "description": "Signing up, in and out; one's own account."},
)


@users.post("/signup")
@refuses(
    identity.UsernameTaken,
    identity.PasswordRejected,
    identity.InvalidRequest,
    identity.TriggerRejected,
    identity.SignUpClosed,
)
@responds(202, MessageOut, "The account was made; its code could not be sent: ask for a new one")
@users.input(SignUpIn, arg_name="new")
@users.output(SignUpOut, 201)
def sign_up(new: SignUpIn) -> ResponseReturnValue:
    """Make an account; its confirmation code goes to the e-mail address."""
    _count(Asking.MESSAGE, new.username)
    _require_writable(new.attributes)
    made = services().identity.sign_up(
        new.username,
        email=new.email,
        password=new.password.get_secret_value(),
        attributes=new.attributes,
        context=_context(new),
    )
    if made.sub is None:
        message = "User created, but the code could not be sent: ask for a new one"
        return make_response({"message": message}, 202)
    try:
        accounts.add(services().connections, sub=made.sub, username=new.username, email=new.email)
    except SQLAlchemyError as error:
        # The account exists, so the answer stands; its row is made at the user's first request.
        logger.warning("no row yet for a new user: %s", type(error).__name__)
    return {"message": "User created successfully", "sub": made.sub}, 201


@users.post("/verify")
@refuses(
    identity.BadCode,
    identity.UsernameTaken,
    identity.InvalidRequest,
    identity.TriggerRejected,
)
@users.input(VerifyIn, arg_name="sent")
@users.output(MessageOut)
def verify(sent: VerifyIn) -> ResponseReturnValue:
    """Confirm an account with the code that was sent."""
    _count(Asking.SIGN_IN, sent.username)
    services().identity.confirm_sign_up(
        sent.username, sent.confirmation_code, context=_context(sent)
    )
    return {"message": "Account verification successful"}


@users.post("/resend_confirmation_code")
@refuses(identity.InvalidRequest)
@users.input(ResendIn, arg_name="account")
@users.output(MessageOut)
def resend_confirmation_code(account: ResendIn) -> ResponseReturnValue:
    """Send a new confirmation code; the answer is the same whether there is such an account."""
    _count(Asking.MESSAGE, account.username)
    services().identity.resend_confirmation_code(account.username, context=_context(account))
    return {"message": "Confirmation code sent successfully"}


@users.post("/login")
@token_endpoint
@refuses(
    identity.BadCredentials,
    identity.NotConfirmed,
    identity.PasswordResetRequired,
    identity.InvalidRequest,
    identity.SignInRejected,
)
@responds(403, ChallengeOut)
@users.input(LoginForm, location="form", arg_name="form")
@users.output(TokenOut)
def log_in(form: LoginForm) -> Response:
    """Sign in with the OAuth 2 password grant."""
    _count(Asking.SIGN_IN, form.username)
    result = services().identity.authenticate(
        form.username,
        form.password.get_secret_value(),
        device_key=form.device_key,
        context=_context(form),
    )
    return _tokens_or_challenge(result, form.username)


@users.post("/login/challenge")
@token_endpoint
@refuses(
    identity.BadCode,
    identity.ExpiredCode,
    identity.PasswordRejected,
    identity.InvalidRequest,
    identity.SignInExpired,
    identity.NotConfirmed,
    identity.PasswordResetRequired,
    identity.UsernameTaken,
    identity.BadCredentials,
    identity.SignInRejected,
)
@responds(403, ChallengeOut)
@users.input(ChallengeIn, arg_name="sent")
@users.output(TokenOut)
def answer_challenge(sent: ChallengeIn) -> Response:
    """Take the next step of a sign-in: a code, a new password."""
    _count(Asking.SIGN_IN, sent.username)
    responses = {name: answer.get_secret_value() for name, answer in sent.responses.items()}
    session = sent.session.get_secret_value() if sent.session else None
    _require_writable(sent.user_attributes - {"email"})  # the pool may ask for it
    result = services().identity.answer_challenge(
        sent.username, sent.challenge, session, responses, context=_context(sent)
    )
    return _tokens_or_challenge(result, sent.username)


@users.post("/refresh")
@token_endpoint
@refuses(identity.BadRefreshToken, identity.InvalidRequest, identity.SignInRejected)
@users.input(RefreshForm, location="form", arg_name="form")
@users.output(TokenOut)
def refresh(form: RefreshForm) -> Response:
    """Trade a refresh token for new tokens."""
    _count(Asking.REFRESH, form.username)
    result = services().identity.refresh(
        form.refresh_token.get_secret_value(),
        username=form.username,
        device_key=form.device_key,
        context=Context(metadata=form.client_metadata),
    )
    return _token_answer(result)


def _tokens_or_challenge(result: TokenSet | Challenge, username: str) -> Response:
    if isinstance(result, TokenSet):
        return _token_answer(result)
    body = ChallengeOut(
        challenge=result.name,
        session=result.session,
        username=result.name_for_answers or username,
        parameters=dict(result.parameters),
    )
    return make_response(body.model_dump(), 403)


def _token_answer(tokens: TokenSet) -> Response:
    # Shown to the client, which just got the token from Cognito. Nothing is decided by it.
    try:
        claims = unverified_claims(tokens.access_token)
    except TokenError:
        claims = {}
    scope, expires_in = claims.get("scope"), tokens.expires_in
    if expires_in is None:
        expires_in = _seconds_until(claims.get("exp"))
    body = TokenOut(
        access_token=tokens.access_token,
        token_type="bearer",  # noqa: S106 - no password
        expires_in=expires_in,
        refresh_token=tokens.refresh_token,
        id_token=tokens.id_token,
        scope=scope if isinstance(scope, str) else "",
    ).model_dump(exclude={"new_device_metadata"})
    if device := tokens.new_device:
        body["new_device_metadata"] = NewDeviceOut(
            device_key=device.key, device_group_key=device.group_key
        ).model_dump()
    return make_response(body)


def _seconds_until(moment: object) -> int:
    """Return how many seconds a token has left, by its `exp`."""
    if type(moment) is not int:
        logger.error("Cognito sent no ExpiresIn, and an access token without exp")
        raise IdentityUnavailable
    return max(0, moment - int(time.time()))


@users.post("/logout")
@require_scope()
@refuses(
    identity.SessionEnded,
    identity.InsufficientScope,
    identity.BadRefreshToken,
    identity.InvalidRequest,
    identity.SignInRejected,
    OTHER_SIGN_IN,
)
@responds(400, OtherSignInOut)
@users.input(LogoutIn, arg_name="which")
@users.output(MessageOut)
def log_out(which: LogoutIn) -> ResponseReturnValue:
    """End every session of the user, or one sign-in, here and at Cognito.

    Cognito goes first: a token that is denied here could not be used to try again there.
    """
    if not which.everywhere and which.refresh_token is not None:
        return _end_sign_in(which.refresh_token.get_secret_value(), which.device_key)
    try:
        services().identity.sign_out(_account_token())
    except SessionEnded:  # ended there before; so it must be here
        services().revocations.revoke_sessions(current_principal)
        raise
    services().revocations.revoke_sessions(current_principal)
    return {"message": "Logged out successfully"}


def _end_sign_in(refresh_token: str, device_key: str | None) -> ResponseReturnValue:
    """End the sign-in of the access token, which the refresh token must belong to.

    A refresh token is opaque. Only a token made from it tells which sign-in it is of.
    """
    try:
        renewed = services().identity.refresh(
            refresh_token,
            username=current_principal.username,
            device_key=device_key or _device_of(current_principal),
        )
    except BadRefreshToken:
        _end_what_cognito_ended()
        raise
    current = renewed.refresh_token or refresh_token
    if not _is_renewed(renewed.access_token, current_principal):
        response = answer(OTHER_SIGN_IN)
        if current != refresh_token:
            # The app client rotates refresh tokens: without the new one that sign-in would end.
            response.set_data(json.dumps({**response.get_json(), "refresh_token": current}))
        return response
    try:
        services().identity.revoke(current)
    except IdentityError:
        if current != refresh_token:
            # The caller never gets the new refresh token, so there is no second try at Cognito.
            services().revocations.revoke_sign_in(current_principal)
        raise
    services().revocations.revoke_sign_in(current_principal)
    return {"message": "Logged out successfully"}


def _end_what_cognito_ended() -> None:
    """End the sign-in here if it has ended at Cognito, which a first try may have done.

    Raises SessionEnded if so, or what else Cognito says of the access token.
    """
    if SIGN_IN_SCOPE not in current_principal.scopes:
        return  # Cognito says nothing about such a token
    try:
        services().identity.profile(presented_token())
    except SessionEnded:
        services().revocations.revoke_sign_in(current_principal)
        raise


def _device_of(principal: AccessToken) -> str | None:
    """Return the device of a sign-in, where the pool remembers devices."""
    device_key = principal.claims.get("device_key")
    return device_key if isinstance(device_key, str) else None


def _is_renewed(access_token: str, principal: AccessToken) -> bool:
    """Return whether a token, just received from Cognito, is of the same sign-in as another one."""
    try:
        claims = unverified_claims(access_token)
    except TokenError:
        return False
    names = ["sub", "origin_jti"] if principal.origin_jti else ["sub", "auth_time"]
    return all(claims.get(name) == getattr(principal, name) for name in names)


@users.post("/forgot_password")
@refuses(identity.InvalidRequest)
@users.input(ForgotPasswordIn, arg_name="account")
@users.output(MessageOut)
def forgot_password(account: ForgotPasswordIn) -> ResponseReturnValue:
    """Send a code for a new password; the answer is the same whether there is such an account."""
    _count(Asking.MESSAGE, account.username)
    services().identity.forgot_password(account.username, context=_context(account))
    return {"message": "Password reset code sent successfully"}


@users.post("/reset_password")
@refuses(
    identity.BadCode,
    identity.PasswordRejected,
    identity.InvalidRequest,
    identity.TriggerRejected,
)
@users.input(ResetPasswordIn, arg_name="sent")
@users.output(MessageOut)
def reset_password(sent: ResetPasswordIn) -> ResponseReturnValue:
    """Set a new password with the code that was sent."""
    _count(Asking.SIGN_IN, sent.username)
    services().identity.reset_password(
        sent.username,
        sent.confirmation_code,
        sent.password.get_secret_value(),
        context=_context(sent),
    )
    return {"message": "Password reset successfully"}


@users.post("/change_password")
@require_scope()
@refuses(
    identity.WrongPassword,
    identity.PasswordRejected,
    identity.InvalidRequest,
    identity.SessionEnded,
    identity.InsufficientScope,
)
@users.input(ChangePasswordIn, arg_name="passwords")
@users.output(MessageOut)
def change_password(passwords: ChangePasswordIn) -> ResponseReturnValue:
    """Replace one's password; the sessions there are go on."""
    services().identity.change_password(
        _account_token(),
        previous=passwords.previous_password.get_secret_value(),
        password=passwords.password.get_secret_value(),
    )
    return {"message": "Password changed successfully"}


@users.get("/me")
@require_scope("me")
@users.output(UserOut)
def me() -> UserOut:
    """Tell who is signed in."""
    account = _account()
    if account.email is None and SIGN_IN_SCOPE in current_principal.scopes:
        # The row was made from a token, which says neither; later it is the sync that follows.
        account = _described(account)
    return UserOut.model_validate(account)


@users.patch("/me")
@require_scope("me")
@refuses(
    identity.SessionEnded,
    identity.InsufficientScope,
    identity.InvalidRequest,
    identity.TriggerRejected,
)
@users.input(ProfilePatch, arg_name="changes")
@users.output(UserOut)
def change_me(changes: ProfilePatch) -> UserOut:
    """Change one's full name, at Cognito first: the row follows it."""
    account = _account()
    services().identity.rename(
        _account_token(), changes.full_name, context=Context(metadata=changes.client_metadata)
    )
    account = accounts.describe(
        services().connections, current_principal, home=_home(), full_name=changes.full_name
    )
    return UserOut.model_validate(account)


@users.delete("/me")
@require_scope("me")
@refuses(identity.SessionEnded, identity.InsufficientScope)
@responds(204)
def delete_me() -> ResponseReturnValue:
    """Delete one's account and all that belongs to it, for ever.

    Cognito goes first, the row last. If the database fails in between, trying again goes on from
    there, and `flask users sync` finds what is left.
    """
    _account()
    with suppress(AccountGone):
        services().identity.delete_user(_account_token())
    key = accounts.key_of(current_principal, _home())
    # In one transaction: a token that still counted would make a new row.
    services().revocations.revoke_user(
        current_principal.sub,
        pool_id=current_principal.pool_id,
        then=lambda connection: accounts.remove(connection, key),
    )
    return "", 204


@users.post("/me/devices")
@require_scope("me")
@refuses(
    identity.InvalidRequest,
    identity.SessionEnded,
    identity.InsufficientScope,
)
@users.input(DeviceIn, arg_name="device")
@users.output(DeviceOut)
def confirm_device(device: DeviceIn) -> DeviceOut:
    """Confirm the device of a sign-in: a pool that remembers devices refreshes for no other."""
    _account()
    verifier = None
    if device.password_verifier is not None and device.salt is not None:
        verifier = DeviceVerifier(device.password_verifier, device.salt)
    necessary = services().identity.confirm_device(
        _account_token(), device.device_key, name=device.device_name, verifier=verifier
    )
    return DeviceOut(message="Device confirmed", user_confirmation_necessary=necessary)


@users.post("/me/totp")
@require_scope("me")
@refuses(identity.SessionEnded, identity.InsufficientScope, identity.ConcurrentChange)
@users.output(TotpOut)
def begin_totp() -> TotpOut:
    """Get a secret for an authenticator app; nothing changes until a first code proves it."""
    account = _account()
    secret = services().identity.begin_totp(_account_token())
    name = quote(f"{current_app.name}:{account.email or account.username}")
    issuer = quote(current_app.name)
    uri = f"otpauth://totp/{name}?secret={secret}&issuer={issuer}"
    return TotpOut(secret=secret, otpauth_uri=uri)


@users.post("/me/totp/verify")
@require_scope("me")
@refuses(
    identity.BadCode,
    identity.InvalidRequest,
    identity.SessionEnded,
    identity.InsufficientScope,
)
@users.input(TotpIn, arg_name="first")
@users.output(MessageOut)
def confirm_totp(first: TotpIn) -> ResponseReturnValue:
    """Prove that the app has the secret; from then on each sign-in asks for a code."""
    _account()
    services().identity.confirm_totp(
        _account_token(), first.confirmation_code, device_name=first.device_name
    )
    services().identity.use_totp(_account_token(), enabled=True)
    return {"message": "Authenticator app enabled"}


@users.put("/me/totp")
@require_scope("me")
@refuses(identity.InvalidRequest, identity.SessionEnded, identity.InsufficientScope)
@users.input(TotpPreference, arg_name="wanted")
@users.output(MessageOut)
def use_totp(wanted: TotpPreference) -> ResponseReturnValue:
    """Ask for codes at sign-in, or no longer."""
    _account()
    services().identity.use_totp(_account_token(), enabled=wanted.enabled)
    return {"message": f"Authenticator app {'enabled' if wanted.enabled else 'disabled'}"}


def _count(asking: Asking, username: str | None) -> None:
    """Count what asks Cognito without a token; beyond a limit it is refused here (429)."""
    services().rate_limits.count(asking, address=request.remote_addr, name=username)


def _context(sent: InContext | FormInContext) -> Context:
    """Gather what Cognito's triggers and threat protection get of a request.

    The address is the one that limits count, never one that the caller names.
    """
    propagates = services().settings.cognito_send_ip_address
    return Context(
        metadata=sent.client_metadata,
        encoded_data=sent.user_context_data,
        ip_address=request.remote_addr if propagates else None,
    )


def _require_writable(names: Iterable[str]) -> None:
    """Reject attributes that the operator has not opened to users. Cognito decides on the rest."""
    if not set(names) <= set(services().settings.cognito_writable_attributes):
        raise InvalidRequest("An attribute may not be set by users")


def _account() -> Account:
    """Return the caller's account; a disabled one is refused here."""
    owner = principal_or_none() or current_principal
    return accounts.active_account(services().connections, owner, home=_home())


def _home() -> str:
    """Return the pool whose users sign in here."""
    return services().settings.aws_user_pool_id


def _account_token() -> str:
    """Return the caller's access token, for operations on the caller's own account.

    Raises InsufficientScope: Cognito would reject a token without its own scope.
    """
    if SIGN_IN_SCOPE not in current_principal.scopes:
        raise InsufficientScope
    return presented_token()


def _described(account: Account) -> Account:
    """Fill in what the directory knows, if it can be asked just now."""
    try:
        profile = services().identity.profile(presented_token())
    except IdentityError:
        return account
    if profile.sub != current_principal.sub or (
        profile.email is None and profile.full_name is None
    ):
        return account
    return accounts.describe(
        services().connections,
        current_principal,
        home=_home(),
        email=profile.email,
        full_name=profile.full_name,
    )


@users.app_errorhandler(accounts.AccountDisabled)
def _account_disabled(_error: accounts.AccountDisabled) -> ResponseReturnValue:
    note_refusal("account_disabled")
    return answer(ACCOUNT_DISABLED)


@users.app_errorhandler(accounts.TokenDenied)
def _token_denied(_error: accounts.TokenDenied) -> ResponseReturnValue:
    note_refusal(RevokedToken.reason)
    return answer(Problem(401, RevokedToken.description, "invalid_token"))
