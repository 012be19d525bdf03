"""A user directory in memory, which signs real tokens: for tests that need no Cognito at all."""

import base64
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resource_server.emulator.totp import totp_code
from resource_server.identity.errors import (
    AccountGone,
    BadCode,
    BadCredentials,
    BadRefreshToken,
    InsufficientScope,
    InvalidRequest,
    NotConfirmed,
    PasswordRejected,
    SessionEnded,
    SignInExpired,
    UsernameTaken,
    WrongPassword,
)
from resource_server.identity.provider import (
    NO_CONTEXT,
    Challenge,
    Context,
    DeviceVerifier,
    Profile,
    SignUp,
    TokenSet,
)
from resource_server.testing.pool import CognitoPool
from resource_server.tokens.claims import SIGN_IN_SCOPE

NEW_PASSWORD, TOTP = "NEW_PASSWORD_REQUIRED", "SOFTWARE_TOKEN_MFA"
_LIFETIME = 3600


@dataclass(slots=True)
class _Account:
    sub: str
    username: str
    email: str | None
    password: str = field(repr=False)
    confirmed: bool = False
    enabled: bool = True
    must_change_password: bool = False
    full_name: str | None = None
    code: str | None = field(default=None, repr=False)
    reset_code: str | None = field(default=None, repr=False)
    totp_secret: str | None = field(default=None, repr=False)
    totp_proven: bool = False
    totp_enabled: bool = False


@dataclass(slots=True)
class _SignIn:
    """One sign-in: what its tokens share."""

    account: _Account
    origin_jti: str = field(default_factory=lambda: str(uuid.uuid4()))
    auth_time: int = field(default_factory=lambda: int(time.time()))
    ended: bool = False


class FakeIdentity:
    """An IdentityProvider without Cognito; it passes the same contract tests as the real one.

    Its access tokens are signed with the keys of `pool` and carry `scopes`; whoever verifies
    signatures against `pool.jwks()` accepts them. `rotates` makes refresh tokens serve once.
    Codes are not sent: ask `code_of`. Nothing is kept beyond the process.
    """

    def __init__(
        self,
        pool: CognitoPool,
        *,
        scopes: str = f"{SIGN_IN_SCOPE} me randoms",
        rotates: bool = False,
        shortest_password: int = 8,
    ) -> None:
        self._pool = pool
        self._scopes = scopes
        self._rotates = rotates
        self._shortest_password = shortest_password
        self._accounts: dict[str, _Account] = {}
        self._challenges: dict[str, tuple[_Account, str]] = {}
        self._refresh_tokens: dict[str, _SignIn] = {}
        self._access_tokens: dict[str, _SignIn] = {}

    # What tests do, and no user

    def add_user(
        self,
        username: str,
        password: str,
        *,
        email: str | None = None,
        must_change_password: bool = False,
    ) -> str:
        """Make a confirmed user, as an administrator would; return the `sub`."""
        sub = str(uuid.uuid4())
        self._accounts[username] = _Account(
            sub,
            username,
            email,
            password,
            confirmed=True,
            must_change_password=must_change_password,
        )
        return sub

    def code_of(self, username: str) -> str:
        """Return the newest code that a user was sent.

        Raises LookupError if there is none.
        """
        account = self._accounts[username]
        code = account.reset_code or account.code
        if code is None:
            raise LookupError(f"no code was sent to {username}")
        return code

    def disable(self, username: str) -> None:
        """Let a user sign in no more."""
        self._accounts[username].enabled = False

    # IdentityProvider

    def sign_up(
        self,
        username: str,
        *,
        email: str,
        password: str,
        attributes: Mapping[str, str] | None = None,
        context: Context = NO_CONTEXT,  # noqa: ARG002 - there are no triggers
    ) -> SignUp:
        """See IdentityProvider."""
        if username in self._accounts:
            raise UsernameTaken
        self._check_policy(password)
        account = _Account(str(uuid.uuid4()), username, email, password, code=_digits())
        account.full_name = (attributes or {}).get("name")
        self._accounts[username] = account
        return SignUp(sub=account.sub)

    def confirm_sign_up(self, username: str, code: str, *, context: Context = NO_CONTEXT) -> None:  # noqa: ARG002
        """See IdentityProvider."""
        account = self._accounts.get(username)
        if account is None or account.confirmed or account.code != code:
            raise BadCode
        account.confirmed, account.code = True, None

    def resend_confirmation_code(self, username: str, *, context: Context = NO_CONTEXT) -> None:  # noqa: ARG002
        """See IdentityProvider."""
        account = self._accounts.get(username)
        if account is not None and not account.confirmed:
            account.code = _digits()

    def authenticate(
        self,
        username: str,
        password: str,
        *,
        device_key: str | None = None,  # noqa: ARG002 - no device is remembered
        context: Context = NO_CONTEXT,  # noqa: ARG002
    ) -> TokenSet | Challenge:
        """See IdentityProvider."""
        account = self._accounts.get(username)
        if account is None or not account.enabled or account.password != password:
            raise BadCredentials
        if not account.confirmed:
            raise NotConfirmed
        return self._next_step(account)

    def answer_challenge(
        self,
        username: str,
        challenge: str,
        session: str | None,
        responses: Mapping[str, str],
        *,
        context: Context = NO_CONTEXT,  # noqa: ARG002
    ) -> TokenSet | Challenge:
        """See IdentityProvider."""
        account, asked = self._challenges.pop(session or "", (None, None))
        if account is None or account.username != username or asked != challenge:
            raise SignInExpired
        if challenge == TOTP:
            if not _is_current(account.totp_secret, responses.get("SOFTWARE_TOKEN_MFA_CODE")):
                raise BadCode
            return self._signed_in(_SignIn(account))
        password = responses.get("NEW_PASSWORD", "")
        self._check_policy(password)
        account.password, account.must_change_password = password, False
        return self._next_step(account)

    def refresh(
        self,
        refresh_token: str,
        *,
        username: str | None = None,  # noqa: ARG002 - no hash is needed
        device_key: str | None = None,  # noqa: ARG002
        context: Context = NO_CONTEXT,  # noqa: ARG002
    ) -> TokenSet:
        """See IdentityProvider."""
        sign_in = self._refresh_tokens.get(refresh_token)
        if sign_in is None or sign_in.ended or not sign_in.account.enabled:
            raise BadRefreshToken
        if not self._rotates:
            return self._signed_in(sign_in, refresh_token)
        del self._refresh_tokens[refresh_token]
        return self._signed_in(sign_in)

    def revoke(self, refresh_token: str) -> None:
        """See IdentityProvider."""
        sign_in = self._refresh_tokens.get(refresh_token)
        if sign_in is None:
            raise BadRefreshToken
        sign_in.ended = True

    def sign_out(self, access_token: str) -> None:
        """See IdentityProvider."""
        account = self._account_of(access_token)
        for sign_in in [*self._refresh_tokens.values(), *self._access_tokens.values()]:
            if sign_in.account is account:
                sign_in.ended = True

    def forgot_password(self, username: str, *, context: Context = NO_CONTEXT) -> None:  # noqa: ARG002
        """See IdentityProvider."""
        account = self._accounts.get(username)
        if account is not None and account.confirmed and account.enabled:
            account.reset_code = _digits()

    def reset_password(
        self,
        username: str,
        code: str,
        password: str,
        *,
        context: Context = NO_CONTEXT,  # noqa: ARG002
    ) -> None:
        """See IdentityProvider."""
        account = self._accounts.get(username)
        if account is None or account.reset_code is None or account.reset_code != code:
            raise BadCode
        self._check_policy(password)
        account.password, account.reset_code = password, None

    def change_password(self, access_token: str, *, previous: str, password: str) -> None:
        """See IdentityProvider."""
        account = self._account_of(access_token)
        if account.password != previous:
            raise WrongPassword
        self._check_policy(password)
        account.password = password

    def profile(self, access_token: str) -> Profile:
        """See IdentityProvider."""
        account = self._account_of(access_token)
        return Profile(account.sub, account.username, account.email, account.full_name)

    def rename(self, access_token: str, full_name: str, *, context: Context = NO_CONTEXT) -> None:  # noqa: ARG002
        """See IdentityProvider."""
        self._account_of(access_token).full_name = full_name

    def confirm_device(
        self,
        access_token: str,
        device_key: str,  # noqa: ARG002
        *,
        name: str | None = None,  # noqa: ARG002
        verifier: DeviceVerifier | None = None,  # noqa: ARG002
    ) -> bool:
        """See IdentityProvider. No device is remembered, so there is none to confirm."""
        self._account_of(access_token)
        raise InvalidRequest

    def delete_user(self, access_token: str) -> None:
        """See IdentityProvider."""
        account = self._account_of(access_token)
        self.sign_out(access_token)
        del self._accounts[account.username]

    def begin_totp(self, access_token: str) -> str:
        """See IdentityProvider."""
        account = self._account_of(access_token)
        account.totp_secret = base64.b32encode(secrets.token_bytes(20)).decode()
        account.totp_proven = account.totp_enabled = False
        return account.totp_secret

    def confirm_totp(self, access_token: str, code: str, *, device_name: str | None = None) -> None:  # noqa: ARG002 - shown nowhere
        """See IdentityProvider."""
        account = self._account_of(access_token)
        if not _is_current(account.totp_secret, code):
            raise BadCode
        account.totp_proven = True

    def use_totp(self, access_token: str, *, enabled: bool) -> None:
        """See IdentityProvider."""
        account = self._account_of(access_token)
        if enabled and not account.totp_proven:
            raise InvalidRequest
        account.totp_enabled = enabled

    def _next_step(self, account: _Account) -> TokenSet | Challenge:
        if account.must_change_password:
            return self._challenge(account, NEW_PASSWORD)
        if account.totp_enabled:
            return self._challenge(account, TOTP)
        return self._signed_in(_SignIn(account))

    def _challenge(self, account: _Account, name: str) -> Challenge:
        session = secrets.token_urlsafe(48)
        self._challenges[session] = (account, name)
        return Challenge(name, session, {"USER_ID_FOR_SRP": account.username})

    def _signed_in(self, sign_in: _SignIn, refresh_token: str | None = None) -> TokenSet:
        account = sign_in.account
        shared: dict[str, Any] = {"origin_jti": sign_in.origin_jti, "auth_time": sign_in.auth_time}
        access_token = self._pool.access_token(
            scope=self._scopes,
            username=account.username,
            sub=account.sub,
            expires_in=_LIFETIME,
            **shared,
        )
        id_token = self._pool.id_token(
            username=account.username,
            sub=account.sub,
            expires_in=_LIFETIME,
            email=account.email,
            **shared,
        )
        refresh_token = refresh_token or secrets.token_urlsafe(48)
        self._access_tokens[access_token] = self._refresh_tokens[refresh_token] = sign_in
        return TokenSet(access_token, _LIFETIME, "Bearer", id_token, refresh_token)

    def _account_of(self, access_token: str) -> _Account:
        if SIGN_IN_SCOPE not in self._scopes.split():
            raise InsufficientScope
        sign_in = self._access_tokens.get(access_token)
        if sign_in is None:
            raise SessionEnded
        account = sign_in.account
        if self._accounts.get(account.username) is not account:
            raise AccountGone
        if sign_in.ended or not account.enabled:
            raise SessionEnded
        return account

    def _check_policy(self, password: str) -> None:
        if len(password) < self._shortest_password:
            raise PasswordRejected


def _digits() -> str:
    return f"{secrets.randbelow(10**6):06}"


def _is_current(secret: str | None, code: str | None) -> bool:
    return secret is not None and code == totp_code(secret, time.time())
