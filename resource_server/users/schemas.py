"""What clients send and get about users."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, EmailStr, Field, SecretStr

# The characters that Cognito allows in a user name (API reference, SignUp).
Username = Annotated[
    str, Field(min_length=1, max_length=50, pattern=r"^[\p{L}\p{M}\p{S}\p{N}\p{P}]+$")
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=256)]


class SignUpIn(BaseModel):
    """A new account."""

    username: Username
    email: EmailStr
    password: Password


class VerifyIn(BaseModel):
    """The code that was sent to the account's e-mail address."""

    username: Username
    confirmation_code: Annotated[str, Field(pattern=r"^\S{1,2048}$")]


class ResendIn(BaseModel):
    """The account that needs a new code."""

    username: Username


class LoginForm(BaseModel):
    """The OAuth 2 password grant (RFC 6749 §4.3.2), as a form."""

    grant_type: Literal["password"] = "password"
    # A user may sign in with an alias, so with an e-mail address or a phone number, too.
    username: Annotated[str, Field(min_length=1, max_length=320)]
    password: Password


class MessageOut(BaseModel):
    """It worked."""

    message: str


class SignUpOut(BaseModel):
    """The account was made."""

    message: str
    sub: str


class TokenOut(BaseModel):
    """A token answer (RFC 6749 §5.1); `expires_in` is in seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - no password
    expires_in: int
    refresh_token: str | None
    id_token: str | None
    scope: str


class UserOut(BaseModel):
    """An account, as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    sub: str
    username: str
    email: str | None
    full_name: str | None
    disabled: bool
