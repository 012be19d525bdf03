"""The user directory in Amazon Cognito.

Public operations (Cognito guide, "Unauthenticated and token-authorized user operations") are sent
unsigned: a container without AWS credentials can run this service.
"""

import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from resource_server.identity.errors import (
    AccountGone,
    BadCode,
    BadCredentials,
    BadRefreshToken,
    ExpiredCode,
    IdentityError,
    IdentityUnavailable,
    InvalidRequest,
    NotConfirmed,
    PasswordRejected,
    PasswordResetRequired,
    SessionEnded,
    SignInExpired,
    TooManyRequests,
    UsernameTaken,
    WrongPassword,
)
from resource_server.identity.provider import Challenge, Profile, SignUp, TokenSet
from resource_server.identity.turns import NoTurn, Turns

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

logger = logging.getLogger(__name__)

# Seconds. A sign-in waits 2 + 5 at worst and is tried twice: within gunicorn's 30 s.
_CONNECT_TIMEOUT, _READ_TIMEOUT, _MAX_ATTEMPTS = 2, 5, 2
# Throttling lasts seconds; a user's own limit up to 15 minutes (Cognito guide, "Quotas").
THROTTLED_SECONDS, _LIMITED_SECONDS = 5, 300

# Cognito's error code -> our exception. Where one code means several things, a row with the
# operation goes first: NotAuthorizedException alone stands for a dozen situations.
_ERRORS: dict[str | tuple[str, str], type[IdentityError]] = {
    ("SignUp", "InvalidParameterException"): InvalidRequest,
    ("SignUp", "UserLambdaValidationException"): InvalidRequest,  # a Pre Sign-up trigger said no
    ("InitiateAuth", "NotAuthorizedException"): BadCredentials,
    ("InitiateAuth", "UserNotFoundException"): BadCredentials,
    ("ConfirmSignUp", "NotAuthorizedException"): BadCode,  # confirmed already, disabled
    ("ConfirmSignUp", "UserNotFoundException"): BadCode,
    ("ConfirmSignUp", "InvalidParameterException"): BadCode,
    ("ConfirmForgotPassword", "NotAuthorizedException"): BadCode,
    ("ConfirmForgotPassword", "UserNotFoundException"): BadCode,
    ("ConfirmForgotPassword", "UserNotConfirmedException"): BadCode,
    ("ConfirmForgotPassword", "InvalidParameterException"): BadCode,
    ("RespondToAuthChallenge", "NotAuthorizedException"): SignInExpired,
    ("RespondToAuthChallenge", "UserNotFoundException"): SignInExpired,
    ("RespondToAuthChallenge", "InvalidParameterException"): InvalidRequest,
    ("RefreshTokens", "NotAuthorizedException"): BadRefreshToken,
    ("RefreshTokens", "UserNotFoundException"): BadRefreshToken,
    ("RefreshTokens", "UserNotConfirmedException"): BadRefreshToken,
    ("RefreshTokens", "PasswordResetRequiredException"): BadRefreshToken,
    ("RefreshTokens", "InvalidParameterException"): BadRefreshToken,
    ("RevokeToken", "NotAuthorizedException"): BadRefreshToken,
    ("RevokeToken", "UnauthorizedException"): BadRefreshToken,
    ("RevokeToken", "InvalidParameterException"): BadRefreshToken,
    ("RevokeToken", "UnsupportedTokenTypeException"): BadRefreshToken,
    ("DeleteUser", "UserNotFoundException"): AccountGone,
    ("UpdateUserAttributes", "InvalidParameterException"): InvalidRequest,
    ("VerifySoftwareToken", "EnableSoftwareTokenMFAException"): BadCode,
    ("VerifySoftwareToken", "InvalidParameterException"): BadCode,
    ("SetUserMFAPreference", "InvalidParameterException"): InvalidRequest,
    "AliasExistsException": UsernameTaken,
    "CodeMismatchException": BadCode,
    "ExpiredCodeException": ExpiredCode,
    "InvalidPasswordException": PasswordRejected,
    "PasswordHistoryPolicyViolationException": PasswordRejected,
    "PasswordResetRequiredException": PasswordResetRequired,
    "RefreshTokenReuseException": BadRefreshToken,
    "UserNotConfirmedException": NotConfirmed,
    "UsernameExistsException": UsernameTaken,
}
# Operations that an access token opens: whatever is wrong with it, the session has ended.
_BY_ACCESS_TOKEN = {
    "AssociateSoftwareToken",
    "ChangePassword",
    "DeleteUser",
    "GetUser",
    "GlobalSignOut",
    "SetUserMFAPreference",
    "UpdateUserAttributes",
    "VerifySoftwareToken",
}
_TOKEN_ERRORS = {
    "NotAuthorizedException",
    "UserNotFoundException",
    "UserNotConfirmedException",
    "PasswordResetRequiredException",
}
# How servers say that they lack an operation, if not by a status of 404 or 501. InternalFailure is
# not among them: it is a fault of AWS's, which passes.
_NOT_TO_BE_HAD = {"UnknownOperationException", "NotImplemented"}
_RETRY_AFTER = {
    "TooManyRequestsException": THROTTLED_SECONDS,
    "TooManyFailedAttemptsException": _LIMITED_SECONDS,
    "LimitExceededException": _LIMITED_SECONDS,
}
# ResendConfirmationCode answers these for accounts that need no code: the caller is not told.
_NOTHING_TO_SEND = {
    "InvalidParameterException",
    "NotAuthorizedException",
    "UserNotFoundException",
    "CodeDeliveryFailureException",
}
# The last resort, since Cognito has one code for it all: how its messages begin.
_LIMIT_MESSAGES = ("Password attempts exceeded", "Attempt limit exceeded")
_WRONG_PASSWORD_MESSAGES = ("Incorrect username or password",)
_SET_UP_MESSAGES = ("Unable to verify secret hash", "Client ", "A client attempted to write")


def cognito_client(
    region: str, *, endpoint_url: str | None = None
) -> "CognitoIdentityProviderClient":
    """Make a boto3 client for public operations; it is safe to share between threads.

    A session of its own, since boto3's default one is neither thread-safe nor ours.
    """
    client = boto3.session.Session().client(
        "cognito-idp",
        region_name=region,
        endpoint_url=endpoint_url,
        config=_config(signature_version=UNSIGNED),
    )
    client.meta.events.register_first("needs-retry.cognito-idp", _never_retry_a_limit)
    return client


def admin_client(
    region: str, *, endpoint_url: str | None = None
) -> "CognitoIdentityProviderClient":
    """Make a boto3 client for Admin* and configuration calls, which need AWS credentials.

    They come from where boto3 looks (environment, profile, role). With an emulator's address made
    up ones are sent: it asks for none, and real ones are none of its business.
    """
    made_up = "emulator" if endpoint_url else None
    return boto3.session.Session(made_up, made_up).client(
        "cognito-idp", region_name=region, endpoint_url=endpoint_url, config=_config()
    )


def _config(**more: Any) -> Config:
    return Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": _MAX_ATTEMPTS},
        # The environment is read in settings.py alone.
        ignore_configured_endpoint_urls=True,  # type: ignore[call-arg]  # not in the stubs
        max_pool_connections=50,
        **more,
    )


def _never_retry_a_limit(
    response: tuple[object, Mapping[str, Any]] | None = None, operation: Any = None, **_: object
) -> None:
    """Hand a user's own limit on at once; botocore would count it as throttling and try again."""
    if response is not None:
        error = ClientError(dict(response[1]), operation.name)  # type: ignore[arg-type]
        if code_of(error) == "LimitExceededException":
            raise error


class CognitoIdentityProvider:
    """An IdentityProvider that asks Cognito.

    `client_secret` is None for a public app client; then no SECRET_HASH is sent. No more than
    `calls_at_once` calls wait for Cognito at any time; more are IdentityUnavailable at once while
    it is slow, so that it does not hold every thread of this process.
    """

    def __init__(
        self,
        client: "CognitoIdentityProviderClient",
        *,
        client_id: str,
        client_secret: str | None = None,
        calls_at_once: int = 4,
    ) -> None:
        self._client = client
        self._turns = Turns(calls_at_once)
        self._client_id = client_id
        self._client_secret = client_secret

    def sign_up(self, username: str, *, email: str, password: str) -> SignUp:
        """See IdentityProvider."""
        try:
            answer = self._ask(
                "sign_up",
                **self._user(username),
                Password=password,
                UserAttributes=[{"Name": "email", "Value": email}],
            )
        except ClientError as error:
            # Raised after the account was made (Cognito API reference, SignUp).
            if code_of(error) == "CodeDeliveryFailureException":
                return SignUp(sub=None, code_delivered=False)
            raise _translated(error) from None
        if "UserSub" not in answer:
            raise _senseless("SignUp")
        return SignUp(sub=answer["UserSub"])

    def confirm_sign_up(self, username: str, code: str) -> None:
        """See IdentityProvider."""
        self._call("confirm_sign_up", **self._user(username), ConfirmationCode=code)

    def resend_confirmation_code(self, username: str) -> None:
        """See IdentityProvider."""
        self._send_code("resend_confirmation_code", username)

    def authenticate(self, username: str, password: str) -> TokenSet | Challenge:
        """See IdentityProvider."""
        parameters = {"USERNAME": username, "PASSWORD": password} | self._hash(username)
        answer = self._call(
            "initiate_auth",
            ClientId=self._client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters=parameters,
        )
        return _sign_in_answer("InitiateAuth", answer)

    def answer_challenge(
        self, username: str, challenge: str, session: str | None, responses: Mapping[str, str]
    ) -> TokenSet | Challenge:
        """See IdentityProvider."""
        answer = self._call(
            "respond_to_auth_challenge",
            ClientId=self._client_id,
            ChallengeName=challenge,
            **({"Session": session} if session else {}),
            # What we say comes last: an answer must not speak for another user.
            ChallengeResponses={**responses, "USERNAME": username, **self._hash(username)},
        )
        return _sign_in_answer("RespondToAuthChallenge", answer)

    def refresh(self, refresh_token: str, *, username: str | None = None) -> TokenSet:
        """See IdentityProvider.

        GetTokensFromRefreshToken works with and without rotation and needs no name. Where it is not
        to be had (other servers than AWS) REFRESH_TOKEN_AUTH is used, whose SECRET_HASH wants the
        real user name or the `sub`, never an e-mail address.
        """
        try:
            answer = self._ask(
                "get_tokens_from_refresh_token",
                ClientId=self._client_id,
                RefreshToken=refresh_token,
                **self._secret(),
            )
        except ClientError as error:
            if not _is_missing(error):
                raise _translated(error, meaning="RefreshTokens") from None
            if self._client_secret and not username:
                logger.warning("Cognito lacks GetTokensFromRefreshToken, and no user name was sent")
                raise InvalidRequest from None
            answer = self._refresh_by_name(refresh_token, username or "")
        result = _sign_in_answer("GetTokensFromRefreshToken", answer)
        if isinstance(result, Challenge):
            raise _senseless("GetTokensFromRefreshToken")
        return result if result.refresh_token else replace(result, refresh_token=refresh_token)

    def _refresh_by_name(self, refresh_token: str, username: str) -> dict[str, Any]:
        parameters = {"REFRESH_TOKEN": refresh_token} | self._hash(username)
        try:
            return self._ask(
                "initiate_auth",
                ClientId=self._client_id,
                AuthFlow="REFRESH_TOKEN_AUTH",
                AuthParameters=parameters,
            )
        except ClientError as error:
            # The name is the client's to send: with a wrong one the secret hash does not fit.
            if _is_ours(error):
                raise BadRefreshToken from None
            raise _translated(error, meaning="RefreshTokens") from None

    def revoke(self, refresh_token: str) -> None:
        """See IdentityProvider."""
        self._call("revoke_token", Token=refresh_token, ClientId=self._client_id, **self._secret())

    def sign_out(self, access_token: str) -> None:
        """See IdentityProvider."""
        self._call("global_sign_out", AccessToken=access_token)

    def forgot_password(self, username: str) -> None:
        """See IdentityProvider."""
        self._send_code("forgot_password", username)

    def reset_password(self, username: str, code: str, password: str) -> None:
        """See IdentityProvider."""
        self._call(
            "confirm_forgot_password",
            **self._user(username),
            ConfirmationCode=code,
            Password=password,
        )

    def change_password(self, access_token: str, *, previous: str, password: str) -> None:
        """See IdentityProvider."""
        self._call(
            "change_password",
            AccessToken=access_token,
            PreviousPassword=previous,
            ProposedPassword=password,
        )

    def profile(self, access_token: str) -> Profile:
        """See IdentityProvider."""
        answer = self._call("get_user", AccessToken=access_token)
        attributes = {entry["Name"]: entry["Value"] for entry in answer.get("UserAttributes", [])}
        if "sub" not in attributes or "Username" not in answer:
            raise _senseless("GetUser")
        return Profile(
            sub=attributes["sub"],
            username=answer["Username"],
            email=attributes.get("email"),
            full_name=attributes.get("name"),
        )

    def rename(self, access_token: str, full_name: str) -> None:
        """See IdentityProvider."""
        self._call(
            "update_user_attributes",
            AccessToken=access_token,
            UserAttributes=[{"Name": "name", "Value": full_name}],
        )

    def delete_user(self, access_token: str) -> None:
        """See IdentityProvider."""
        self._call("delete_user", AccessToken=access_token)

    def begin_totp(self, access_token: str) -> str:
        """See IdentityProvider."""
        answer = self._call("associate_software_token", AccessToken=access_token)
        if "SecretCode" not in answer:
            raise _senseless("AssociateSoftwareToken")
        return str(answer["SecretCode"])

    def confirm_totp(self, access_token: str, code: str, *, device_name: str | None = None) -> None:
        """See IdentityProvider."""
        name = {"FriendlyDeviceName": device_name} if device_name else {}
        answer = self._call(
            "verify_software_token", AccessToken=access_token, UserCode=code, **name
        )
        if answer.get("Status") != "SUCCESS":
            raise BadCode

    def use_totp(self, access_token: str, *, enabled: bool) -> None:
        """See IdentityProvider."""
        self._call(
            "set_user_mfa_preference",
            AccessToken=access_token,
            SoftwareTokenMfaSettings={"Enabled": enabled, "PreferredMfa": enabled},
        )

    def _send_code(self, operation: str, username: str) -> None:
        """Have a code sent; who has no account, or needs no code, is told the same."""
        try:
            self._ask(operation, **self._user(username))
        except ClientError as error:
            code = code_of(error)
            if code not in _NOTHING_TO_SEND or _is_ours(error) or _is_limit(error):
                raise _translated(error) from None
            if code == "CodeDeliveryFailureException":
                logger.warning("Cognito could not deliver a code")  # an operator's to mend

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call Cognito; every refusal becomes an IdentityError."""
        try:
            return self._ask(operation, **parameters)
        except ClientError as error:
            raise _translated(error) from None

    def _ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call Cognito; what is no answer of Cognito's becomes IdentityUnavailable."""
        try:
            with self._turns.turn():
                answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        except NoTurn:
            logger.warning("Cognito %s was not asked: it is slow, and others wait", operation)
            raise IdentityUnavailable from None
        except BotoCoreError as error:
            # Its text may repeat parameters: the class says enough.
            logger.warning("Cognito %s failed: %s", operation, type(error).__name__)
            raise IdentityUnavailable from None
        return answer

    def _user(self, username: str) -> dict[str, str]:
        """Name a user to a public operation."""
        user = {"ClientId": self._client_id, "Username": username}
        if self._client_secret is not None:
            user["SecretHash"] = self._secret_hash(username)
        return user

    def _hash(self, username: str) -> dict[str, str]:
        """SECRET_HASH as a parameter of a sign-in, where the client has a secret."""
        return {} if self._client_secret is None else {"SECRET_HASH": self._secret_hash(username)}

    def _secret(self) -> dict[str, str]:
        """Give the secret itself, which two operations take instead of a hash (T18)."""
        return {"ClientSecret": self._client_secret} if self._client_secret else {}

    def _secret_hash(self, username: str) -> str:
        return secret_hash(username, self._client_id, self._client_secret or "")


def secret_hash(username: str, client_id: str, client_secret: str) -> str:
    """Return SECRET_HASH (Cognito guide, "Computing secret hash values")."""
    message = (username + client_id).encode()
    digest = hmac.digest(client_secret.encode(), message, hashlib.sha256)
    return base64.b64encode(digest).decode()


def _sign_in_answer(operation: str, answer: Mapping[str, Any]) -> TokenSet | Challenge:
    """Read an answer that brings tokens, unless there is a challenge."""
    if name := answer.get("ChallengeName"):
        return Challenge(
            name=name,
            session=answer.get("Session"),
            parameters=answer.get("ChallengeParameters", {}),
        )
    try:
        result = answer["AuthenticationResult"]
        return TokenSet(
            access_token=result["AccessToken"],
            expires_in=result["ExpiresIn"],
            token_type=result["TokenType"],
            id_token=result.get("IdToken"),
            refresh_token=result.get("RefreshToken"),
        )
    except KeyError:
        raise _senseless(operation) from None


def _senseless(operation: str) -> IdentityUnavailable:
    logger.error("Cognito %s answered with nothing that makes sense", operation)
    return IdentityUnavailable()


def _is_ours(error: ClientError) -> bool:
    """Tell whether Cognito complains about our set-up, which is no user's fault."""
    return _begins(error, _SET_UP_MESSAGES)


def _is_limit(error: ClientError) -> bool:
    """Tell whether a user tried too often: some limits have no code of their own."""
    return _begins(error, _LIMIT_MESSAGES)


def _begins(error: ClientError, messages: tuple[str, ...]) -> bool:
    """Tell what the overloaded NotAuthorizedException means, by how its message begins (T23)."""
    return code_of(error) == "NotAuthorizedException" and message_of(error).startswith(messages)


def _is_missing(error: ClientError) -> bool:
    """Tell whether a server that is not AWS lacks the operation."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code_of(error) in _NOT_TO_BE_HAD or status in {404, 501}


def code_of(error: ClientError) -> str:
    """Return the code of AWS's answer; empty if it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """Return AWS's text, to tell situations apart that share a code; never to show or log."""
    return str(error.response.get("Error", {}).get("Message", ""))


def _translated(error: ClientError, *, meaning: str | None = None) -> IdentityError:
    """Find the exception for an error of Cognito's, in the one table there is.

    `meaning` takes the operation's place where one operation does several things.
    """
    operation, code = meaning or error.operation_name, code_of(error)
    if _is_limit(error):
        return TooManyRequests(_LIMITED_SECONDS)
    if code in _RETRY_AFTER:
        return TooManyRequests(_RETRY_AFTER[code])
    known = _ERRORS.get((operation, code))
    if known is None and operation in _BY_ACCESS_TOKEN and code in _TOKEN_ERRORS:
        known = SessionEnded
        if operation == "ChangePassword" and _begins(error, _WRONG_PASSWORD_MESSAGES):
            known = WrongPassword
    if known is None:
        known = _ERRORS.get(code, IdentityUnavailable)
    if _is_ours(error):
        known = IdentityUnavailable
    if known is IdentityUnavailable:
        # A fault of the set-up or of Cognito: the code tells an operator which, and has no secret.
        logger.error("Cognito %s failed: %s", error.operation_name, code)
        return IdentityUnavailable()
    return known()
