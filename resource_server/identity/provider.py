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
class NewDevice:
    """The device of a sign-in, where the directory remembers devices and did not know this one."""

    key: str
    group_key: str | None = None


@dataclass(frozen=True, slots=True)
class TokenSet:
    """A successful sign-in (RFC 6749 §5.1).

    `expires_in` is in seconds, and None where the directory does not say it: the token does.
    """

    access_token: str = field(repr=False)
    expires_in: int | None
    token_type: str
    id_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    new_device: NewDevice | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a request says beside its purpose.

    `metadata` is for the directory's triggers. `encoded_data` describes the user's device to its
    threat protection, `ip_address` is where the request came from.
    """

    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    encoded_data: str | None = field(default=None, repr=False)
    ip_address: str | None = field(default=None, repr=False)


NO_CONTEXT = Context()


@dataclass(frozen=True, slots=True)
class DeviceVerifier:
    """What proves a device later (SRP): made by the client, both in base64."""

    password_verifier: str = field(repr=False)
    salt: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The directory wants more before it signs the user in: a code, a new password.

    `session` serves one answer.
    """

    name: str
    session: str | None = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)

    @property
    def name_for_answers(self) -> str | None:
        """The user name for the response, if the directory names one. An alias will not do."""
        return self.parameters.get("USER_ID_FOR_SRP") or self.parameters.get("USERNAME") or None


@dataclass(frozen=True, slots=True)
class Profile:
    """What the directory knows of a signed-in user."""

    sub: str
    username: str
    email: str | None = None
    full_name: str | None = None


class IdentityProvider(Protocol):
    """A user directory. Every method raises an IdentityError of identity/errors.py.

    Besides those named, that may be TooManyRequests, RequestBlocked, IdentityUnavailable or
    DirectoryMisconfigured, and InsufficientScope where an access token is given.
    """

    def sign_up(
        self,
        username: str,
        *,
        email: str,
        password: str,
        attributes: Mapping[str, str] | None = None,
        context: Context = NO_CONTEXT,
    ) -> SignUp:
        """Make an account and send its confirmation code.

        `attributes` are further ones, under the directory's names.

        Raises UsernameTaken, PasswordRejected, InvalidRequest, SignUpClosed, TriggerRejected.
        """

    def confirm_sign_up(self, username: str, code: str, *, context: Context = NO_CONTEXT) -> None:
        """Confirm an account with the code that was sent.

        Raises BadCode for a wrong, expired or used code and for an unknown user, UsernameTaken if
        the address is another account's, InvalidRequest, TriggerRejected.
        """

    def resend_confirmation_code(self, username: str, *, context: Context = NO_CONTEXT) -> None:
        """Send a new code, if there is such an account and it waits for one.

        Raises InvalidRequest if no account can have this name.
        """

    def authenticate(
        self,
        username: str,
        password: str,
        *,
        device_key: str | None = None,
        context: Context = NO_CONTEXT,
    ) -> TokenSet | Challenge:
        """Sign a user in. `device_key` names a device that the directory remembers.

        Raises BadCredentials, NotConfirmed, PasswordResetRequired, InvalidRequest, SignInRejected.
        """

    def answer_challenge(
        self,
        username: str,
        challenge: str,
        session: str | None,
        responses: Mapping[str, str],
        *,
        context: Context = NO_CONTEXT,
    ) -> TokenSet | Challenge:
        """Answer a challenge; `username` as the challenge names it, an alias will not do.

        Raises BadCode, ExpiredCode, PasswordRejected, SignInRejected. Raises InvalidRequest for
        another name than the challenge's, and for attributes that may not be set. Raises
        SignInExpired if the session was used or is too old. Raises BadCredentials if the sign-in
        failed for good.
        """

    def refresh(
        self,
        refresh_token: str,
        *,
        username: str | None = None,
        device_key: str | None = None,
        context: Context = NO_CONTEXT,
    ) -> TokenSet:
        """Trade a refresh token for new tokens (RFC 6749 §6).

        The result always has a refresh token: a new one where the directory rotates them, else the
        one given. Some directories need the `username`, or the `sub`. One that remembers devices
        needs the `device_key` of the sign-in, once the device was confirmed.

        Raises BadRefreshToken, SignInRejected, and InvalidRequest if the username is needed.
        """

    def revoke(self, refresh_token: str) -> None:
        """End the sign-in that a refresh token belongs to (RFC 7009); once more does no harm.

        Raises BadRefreshToken if it is none of this client's.
        """

    def sign_out(self, access_token: str) -> None:
        """End every session of the token's user.

        Raises SessionEnded if the token no longer counts.
        """

    def forgot_password(self, username: str, *, context: Context = NO_CONTEXT) -> None:
        """Send a code for a new password, if there is such an account and it has an address.

        Raises InvalidRequest if no account can have this name.
        """

    def reset_password(
        self, username: str, code: str, password: str, *, context: Context = NO_CONTEXT
    ) -> None:
        """Set a new password with the code that was sent.

        Raises BadCode for a wrong, expired or used code and for an unknown user, PasswordRejected,
        InvalidRequest, TriggerRejected.
        """

    def change_password(self, access_token: str, *, previous: str, password: str) -> None:
        """Replace the password of the token's user.

        Raises WrongPassword, PasswordRejected, InvalidRequest, SessionEnded.
        """

    def profile(self, access_token: str) -> Profile:
        """Look up the token's user.

        Raises SessionEnded.
        """

    def rename(self, access_token: str, full_name: str, *, context: Context = NO_CONTEXT) -> None:
        """Set the full name of the token's user.

        Raises SessionEnded, InvalidRequest, TriggerRejected.
        """

    def confirm_device(
        self,
        access_token: str,
        device_key: str,
        *,
        name: str | None = None,
        verifier: DeviceVerifier | None = None,
    ) -> bool:
        """Confirm the device of a sign-in. Return whether the user has to agree to remember it.

        Raises SessionEnded, InvalidRequest.
        """

    def delete_user(self, access_token: str) -> None:
        """Delete the token's user, for ever.

        Raises SessionEnded; AccountGone if it was deleted before.
        """

    def begin_totp(self, access_token: str) -> str:
        """Return the secret for an authenticator app (RFC 6238), in base32. It needs no code yet.

        Raises SessionEnded, and ConcurrentChange if another request does the same.
        """

    def confirm_totp(self, access_token: str, code: str, *, device_name: str | None = None) -> None:
        """Prove with a first code that the app has the secret; `use_totp` may follow.

        Raises BadCode, InvalidRequest, SessionEnded.
        """

    def use_totp(self, access_token: str, *, enabled: bool) -> None:
        """Ask for codes of the authenticator app at sign-in, or no longer.

        Raises InvalidRequest if no app was confirmed, SessionEnded.
        """
