"""What the application needs of a user directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SignUp:
    """An account was made.

    `sub` is None, and `code_delivered` False, where the directory made the account but could not
    send the confirmation code: the user asks for a new one.
    """

    sub: str | None
    code_delivered: bool = True


@dataclass(frozen=True, slots=True)
class TokenSet:
    """A successful sign-in (RFC 6749 §5.1); `expires_in` is in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    token_type: str
    id_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The directory wants more before it signs the user in: a code, a new password.

    `session` serves one answer.
    """

    name: str
    session: str | None = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)


class IdentityProvider(Protocol):
    """A user directory. Every method raises an IdentityError of identity/errors.py."""

    def sign_up(self, username: str, *, email: str, password: str) -> SignUp:
        """Make an account and send its confirmation code.

        Raises UsernameTaken, PasswordRejected, InvalidRequest.
        """

    def confirm_sign_up(self, username: str, code: str) -> None:
        """Confirm an account with the code that was sent.

        Raises BadCode or ExpiredCode; an unknown user is a BadCode, too.
        """

    def resend_confirmation_code(self, username: str) -> None:
        """Send a new code, if there is such an account and it waits for one."""

    def authenticate(self, username: str, password: str) -> TokenSet | Challenge:
        """Sign a user in.

        Raises BadCredentials, NotConfirmed, PasswordResetRequired.
        """

    def sign_out(self, access_token: str) -> None:
        """End every session of the token's user.

        Raises SessionEnded if the token no longer counts.
        """
