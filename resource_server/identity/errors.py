"""What the user directory can answer instead of doing what it was asked.

    IdentityError
    ├── BadCredentials           unknown user, wrong password, disabled: told apart by nobody
    ├── NotConfirmed             the sign-up was not confirmed with the code
    ├── PasswordResetRequired    an administrator wants a new password first
    ├── UsernameTaken
    ├── PasswordRejected         the pool's password policy
    ├── SignUpClosed             only administrators create accounts
    ├── TriggerRejected          a trigger of the pool said no (carries its message)
    │   └── SignInRejected       to a sign-in or a refresh
    ├── InvalidRequest           the directory rejected a value (can carry a sentence of ours)
    ├── BadCode                  wrong, used or for an unknown user
    ├── ExpiredCode
    ├── BadRefreshToken          unknown, expired, revoked, used again after its rotation
    ├── WrongPassword            the previous password, which must be known to change it
    ├── SignInExpired            a challenge was answered too late, or twice
    ├── SessionEnded             the access token no longer counts there
    │   └── AccountGone          because its user was deleted
    ├── InsufficientScope        the access token may not manage its user's account there
    ├── RequestBlocked           a firewall rule (AWS WAF) of the pool
    ├── ConcurrentChange         two requests changed the same thing
    ├── NoSuchUser               said to administrators alone
    ├── DirectoryForbidden       this service may not do that there (carries the IAM action)
    ├── TooManyRequests          throttled, or a limit of this user (carries retry_after)
    └── IdentityUnavailable      no answer, or one that makes no sense: it may pass
        └── DirectoryMisconfigured   our set-up: it does not pass by itself (carries the fix)

None of them holds text of the directory's, whose messages can contain what a user typed. The one
exception is what a trigger says to the user: the pool's owner wrote it, and what was sent is left
out of it. The text of an IdentityUnavailable, if it has any, is ours and tells an operator what to
do.
"""


class IdentityError(Exception):
    """Root of all errors of the user directory."""


class BadCredentials(IdentityError):
    """The user name or the password is wrong; which one is not told (OWASP ASVS 6.3.8)."""


class NotConfirmed(IdentityError):
    """The account waits for its confirmation code."""


class PasswordResetRequired(IdentityError):
    """The password must be reset before the user can sign in."""


class UsernameTaken(IdentityError):
    """Somebody has this user name, or an alias that must be unique."""


class PasswordRejected(IdentityError):
    """The password does not meet the pool's policy."""


class SignUpClosed(IdentityError):
    """Only administrators create accounts in this directory."""


class TriggerRejected(IdentityError):
    """A trigger of the pool rejected the request. `message` is what it says to the user."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class SignInRejected(TriggerRejected):
    """A trigger of the pool rejected a sign-in or a refresh."""


class InvalidRequest(IdentityError):
    """The directory does not accept one of the values. `message`, if any, is ours and names it."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class BadCode(IdentityError):
    """The code is wrong or used up, or there is no such user."""


class ExpiredCode(IdentityError):
    """The code was right once."""


class BadRefreshToken(IdentityError):
    """The refresh token is of no use: unknown, expired, revoked, or replaced by a newer one."""


class WrongPassword(IdentityError):
    """The previous password is not the user's."""


class SignInExpired(IdentityError):
    """The session of a challenge was used, or is too old: the sign-in begins anew."""


class SessionEnded(IdentityError):
    """The directory no longer accepts the access token: signed out elsewhere, or expired."""


class AccountGone(SessionEnded):
    """The user of the access token was deleted."""


class InsufficientScope(IdentityError):
    """The access token lacks the scope that operations on its user's own account need."""


class RequestBlocked(IdentityError):
    """A rule of the directory's firewall blocked the request."""


class ConcurrentChange(IdentityError):
    """Another request changes the same thing just now."""


class NoSuchUser(IdentityError):
    """The directory has no user with this name or `sub`."""


class DirectoryForbidden(IdentityError):
    """The credentials of this service lack a permission: `action`, as IAM policies write it."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action


class TooManyRequests(IdentityError):
    """Wait `retry_after` seconds before trying again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class IdentityUnavailable(IdentityError):
    """The directory cannot be reached, or fails. The next request may succeed."""


class DirectoryMisconfigured(IdentityUnavailable):
    """The directory, or this service, is set up in a way that cannot work. Trying again is no use.

    Its text says what an operator has to do.
    """
