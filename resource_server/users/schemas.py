"""What clients send and get about users."""

from typing import Annotated, Literal

from pydantic import EmailStr, Field, Secret

from resource_server.bodies import Schema

# The characters that Cognito allows in a user name (API reference, SignUp): none is blank.
_NAME = r"^[\p{L}\p{M}\p{S}\p{N}\p{P}]+$"
Username = Annotated[str, Field(min_length=1, max_length=50, pattern=_NAME)]
Password = Secret[Annotated[str, Field(min_length=1, max_length=256)]]


class SignUpIn(Schema):
    """A new account."""

    username: Username
    email: EmailStr
    password: Password


class VerifyIn(Schema):
    """The code that was sent to the account's e-mail address."""

    username: Username
    confirmation_code: Annotated[str, Field(max_length=2048, pattern=_NAME)]


class ResendIn(Schema):
    """The account that needs a new code."""

    username: Username


class LoginForm(Schema):
    """The OAuth 2 password grant (RFC 6749 §4.3.2), as a form."""

    grant_type: Literal["password"] = "password"
    # Longer than a name at sign-up: a user may sign in with an alias, an e-mail address for one.
    username: Annotated[str, Field(min_length=1, max_length=128, pattern=_NAME)]
    password: Password


class MessageOut(Schema):
    """It worked."""

    message: str


class SignUpOut(Schema):
    """The account was made."""

    message: str
    sub: str


class TokenOut(Schema):
    """A token answer (RFC 6749 §5.1); `expires_in` is in seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - no password
    expires_in: int
    refresh_token: str | None
    id_token: str | None
    scope: str


class UserOut(Schema):
    """An account, as its owner sees it."""

    id: int
    sub: str
    username: str
    email: str | None
    full_name: str | None
    disabled: bool
