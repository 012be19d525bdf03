"""Signing up, signing in, signing out, and who one is."""

import logging

from apiflask import APIBlueprint
from flask import Response, make_response
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from resource_server.auth import current_principal, presented_token, require_scope
from resource_server.extensions import db
from resource_server.identity.errors import SessionEnded
from resource_server.identity.provider import Challenge
from resource_server.problems import Problem, answer, token_endpoint
from resource_server.services import services
from resource_server.tokens import TokenError
from resource_server.tokens.parsing import unverified_claims
from resource_server.users import accounts
from resource_server.users.schemas import (
    LoginForm,
    MessageOut,
    ResendIn,
    SignUpIn,
    SignUpOut,
    TokenOut,
    UserOut,
    VerifyIn,
)

logger = logging.getLogger(__name__)

users = APIBlueprint("users", __name__, url_prefix="/users")


@users.post("/signup")
@users.input(SignUpIn, arg_name="new")
@users.output(SignUpOut, 201)
def sign_up(new: SignUpIn) -> ResponseReturnValue:
    """Make an account; its confirmation code goes to the e-mail address."""
    made = services().identity.sign_up(
        new.username, email=new.email, password=new.password.get_secret_value()
    )
    if made.sub is None:
        message = "User created, but the code could not be sent: ask for a new one"
        return make_response({"message": message}, 202)
    try:
        accounts.add(db.session(), sub=made.sub, username=new.username, email=new.email)
    except SQLAlchemyError as error:
        # The account exists, so the answer stands; its row is made at the user's first request.
        db.session.rollback()
        logger.warning("no row yet for a new user: %s", type(error).__name__)
    return {"message": "User created successfully", "sub": made.sub}, 201


@users.post("/verify")
@users.input(VerifyIn, arg_name="sent")
@users.output(MessageOut)
def verify(sent: VerifyIn) -> ResponseReturnValue:
    """Confirm an account with the code that was sent."""
    services().identity.confirm_sign_up(sent.username, sent.confirmation_code)
    return {"message": "Account verification successful"}


@users.post("/resend_confirmation_code")
@users.input(ResendIn, arg_name="account")
@users.output(MessageOut)
def resend_confirmation_code(account: ResendIn) -> ResponseReturnValue:
    """Send a new confirmation code; the answer is the same whether there is such an account."""
    services().identity.resend_confirmation_code(account.username)
    return {"message": "Confirmation code sent successfully"}


@users.post("/login")
@token_endpoint
@users.input(LoginForm, location="form", arg_name="form")
@users.output(TokenOut)
def log_in(form: LoginForm) -> TokenOut | Response:
    """Sign in with the OAuth 2 password grant."""
    result = services().identity.authenticate(form.username, form.password.get_secret_value())
    if isinstance(result, Challenge):
        return _challenge(result)
    return TokenOut(
        access_token=result.access_token,
        expires_in=result.expires_in,
        refresh_token=result.refresh_token,
        id_token=result.id_token,
        # Shown to the client, which just got the token from Cognito; nothing is decided by it.
        scope=_scope_of(result.access_token),
    )


def _scope_of(access_token: str) -> str:
    try:
        scope = unverified_claims(access_token).get("scope")
    except TokenError:
        return ""
    return scope if isinstance(scope, str) else ""


def _challenge(challenge: Challenge) -> Response:
    body = {
        "error": "challenge_required",
        "challenge": challenge.name,
        "session": challenge.session,
        "parameters": dict(challenge.parameters),
        "detail": "The sign-in needs another step",
    }
    return make_response(body, 403)


@users.post("/logout")
@require_scope()
@users.output(MessageOut)
def log_out() -> ResponseReturnValue:
    """End every session of the user, here and at Cognito.

    Cognito goes first: a token that is denied here could not be used to try again there.
    """
    try:
        services().identity.sign_out(presented_token())
    except SessionEnded:  # ended there before; so it must be here
        services().revocations.revoke_sessions(current_principal)
        raise
    services().revocations.revoke_sessions(current_principal)
    return {"message": "Logged out successfully"}


@users.get("/me")
@require_scope("me")
@users.output(UserOut)
def me() -> UserOut:
    """Tell who is signed in."""
    account = accounts.active_account(
        db.session(), sub=current_principal.sub, username=current_principal.username
    )
    return UserOut.model_validate(account)


@users.app_errorhandler(accounts.AccountDisabled)
def _account_disabled(_error: accounts.AccountDisabled) -> ResponseReturnValue:
    return answer(Problem(403, "Inactive user"))
