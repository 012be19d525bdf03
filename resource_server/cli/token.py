"""`flask cognito token`: sign in and print a token, so that `$(flask cognito token)` works."""

import json
import sys
from dataclasses import asdict
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from resource_server.cli.target import require_named
from resource_server.identity import errors as identity
from resource_server.identity.provider import Challenge, TokenSet
from resource_server.services import services
from resource_server.terminal import printable
from resource_server.tokens import TokenError
from resource_server.tokens.parsing import (
    base64url_decode,
    read_object,
    split,
    token_bytes,
    unverified_claims,
)

_SENTENCES: dict[type[identity.IdentityError], str] = {
    identity.BadCredentials: "The user name or the password is wrong.",
    identity.NotConfirmed: "The account is not confirmed yet: its code goes to /users/verify.",
    identity.PasswordResetRequired: "The password must be reset before anybody can sign in.",
    identity.TooManyRequests: "Too many attempts: wait some minutes.",
    identity.BadCode: "The code is wrong: sign in anew.",
    identity.ExpiredCode: "The code has expired or was used: sign in anew.",
    identity.RequestBlocked: "A firewall rule (AWS WAF) of the pool blocked the request.",
    identity.SignInRejected: "A trigger of the pool rejected the sign-in.",
    identity.SignInExpired: "The sign-in took too long: sign in anew.",
    identity.PasswordRejected: "The password does not meet the password policy: sign in anew.",
}
_UNAVAILABLE = "The sign-in failed: `flask cognito doctor` tells what is wrong with the pool."
# Challenge -> the name of its answer (API reference, RespondToAuthChallenge), and what to ask.
_PROMPTS = {
    "EMAIL_OTP": ("EMAIL_OTP_CODE", "Code from the e-mail"),
    "NEW_PASSWORD_REQUIRED": ("NEW_PASSWORD", "New password"),
    "SMS_MFA": ("SMS_MFA_CODE", "Code from the text message"),
    "SOFTWARE_TOKEN_MFA": ("SOFTWARE_TOKEN_MFA_CODE", "Code of the authenticator app"),
}


@click.command("token")
@click.option("--username", metavar="NAME", help="Who signs in; asked for if left out.")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of stdin."
)
@click.option("--id", "kind", flag_value="id_token", help="Print the ID token instead.")
@click.option("--refresh", "kind", flag_value="refresh_token", help="Print the refresh token.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
@click.option(
    "--decode",
    is_flag=True,
    help="Print the token's header and claims, and whether this service accepts it.",
)
@with_appcontext
def token(
    *, username: str | None, password_stdin: bool, kind: str | None, as_json: bool, decode: bool
) -> None:
    """Sign in and print the access token, and nothing else.

    \b
    TOKEN=$(flask cognito token --username demo)
    curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:5000/randoms
    """  # noqa: D301 - \b is click's, for lines that must not be joined
    if sum((as_json, decode, kind == "refresh_token")) > 1:
        raise click.UsageError("--json, --decode and --refresh exclude each other.")
    if password_stdin and username is None:
        raise click.UsageError("--password-stdin needs --username.")
    require_named(services().settings)
    username = username or click.prompt("Username", err=True)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, err=True)
    tokens = _sign_in(str(username), password)
    chosen = getattr(tokens, kind or "access_token")
    if as_json:
        known = asdict(tokens)
        if tokens.new_device is None:
            del known["new_device"]
        click.echo(json.dumps(known, indent=2))
    elif chosen is None:
        raise click.ClickException("The pool sent no such token.")
    elif decode:
        click.echo(json.dumps(_decoded(chosen), indent=2))
    else:
        click.echo(chosen)


def _sign_in(username: str, password: str) -> TokenSet:
    try:
        answer = services().identity.authenticate(username, password)
        while isinstance(answer, Challenge):
            answer = _answer(answer, username)
    except identity.IdentityError as error:
        raise click.ClickException(_sentence(error)) from None
    return answer


def _sentence(error: identity.IdentityError) -> str:
    """Say why a sign-in failed: what the error says itself goes first."""
    if isinstance(error, identity.DirectoryMisconfigured) and str(error):
        return f"{error}. {_UNAVAILABLE}"
    if isinstance(error, (identity.InvalidRequest, identity.TriggerRejected)) and error.message:
        return printable(error.message)
    return _SENTENCES.get(type(error), _UNAVAILABLE)


def _answer(challenge: Challenge, username: str) -> TokenSet | Challenge:
    """Ask for what a challenge wants: one text, a code or a new password, and nothing else."""
    required = json.loads(challenge.parameters.get("requiredAttributes") or "[]")
    if challenge.name not in _PROMPTS or required or challenge.session is None:
        raise click.ClickException(
            f"The pool wants {printable(challenge.name)}, which this prompt does not support: "
            "sign in through an application that can, or use an account without it."
        )
    name, question = _PROMPTS[challenge.name]
    is_password = challenge.name == "NEW_PASSWORD_REQUIRED"
    text = click.prompt(question, hide_input=True, confirmation_prompt=is_password, err=True)
    # The real user name, which an e-mail address typed at sign-in is not.
    real = challenge.name_for_answers or username
    return services().identity.answer_challenge(
        real, challenge.name, challenge.session, {name: text}
    )


def _decoded(token: str) -> dict[str, Any]:
    """Read a token and let the verifier judge it."""
    _, unverified_header, _, _ = split(token_bytes(token))
    refused = None
    try:
        services().verifier.verify(token)
    except TokenError as error:
        refused = f"{error.reason}: {error}"
    except SQLAlchemyError:  # no deny list without a database
        refused = "the database is unavailable, so the deny list cannot be read"
    return {
        "header": read_object(base64url_decode(unverified_header)),
        "claims": unverified_claims(token),
        "accepted": refused is None,
        "refused_because": refused,
    }
