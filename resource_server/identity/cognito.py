"""The user directory in Amazon Cognito.

Public operations (Cognito guide, "Unauthenticated and token-authorized user operations") are sent
unsigned: a container without AWS credentials can run this service.
"""

import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from resource_server.identity.errors import (
    BadCode,
    BadCredentials,
    ExpiredCode,
    IdentityError,
    IdentityUnavailable,
    InvalidRequest,
    NotConfirmed,
    PasswordRejected,
    PasswordResetRequired,
    SessionEnded,
    TooManyRequests,
    UsernameTaken,
)
from resource_server.identity.provider import Challenge, SignUp, TokenSet

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

logger = logging.getLogger(__name__)

# Seconds. A sign-in waits 2 + 5 at worst and is tried twice: within gunicorn's 30 s.
_CONNECT_TIMEOUT, _READ_TIMEOUT, _MAX_ATTEMPTS = 2, 5, 2
# Throttling lasts seconds; a user's own limit up to 15 minutes (Cognito guide, "Quotas").
_THROTTLED_SECONDS, _LIMITED_SECONDS = 5, 300

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
    ("GlobalSignOut", "NotAuthorizedException"): SessionEnded,
    ("GlobalSignOut", "UserNotFoundException"): SessionEnded,
    ("GlobalSignOut", "UserNotConfirmedException"): SessionEnded,
    ("GlobalSignOut", "PasswordResetRequiredException"): SessionEnded,
    "AliasExistsException": UsernameTaken,
    "CodeMismatchException": BadCode,
    "ExpiredCodeException": ExpiredCode,
    "InvalidPasswordException": PasswordRejected,
    "PasswordResetRequiredException": PasswordResetRequired,
    "UserNotConfirmedException": NotConfirmed,
    "UsernameExistsException": UsernameTaken,
}
_RETRY_AFTER = {
    "TooManyRequestsException": _THROTTLED_SECONDS,
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
_SET_UP_MESSAGES = ("Unable to verify secret hash", "Client ")


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
    if response is not None and _code(response[1]) == "LimitExceededException":
        raise ClientError(dict(response[1]), operation.name)  # type: ignore[arg-type]


class CognitoIdentityProvider:
    """An IdentityProvider that asks Cognito.

    `client_secret` is None for a public app client; then no SECRET_HASH is sent.
    """

    def __init__(
        self,
        client: "CognitoIdentityProviderClient",
        *,
        client_id: str,
        client_secret: str | None = None,
    ) -> None:
        self._client = client
        self._client_id = client_id
        self._client_secret = client_secret

    def sign_up(self, username: str, *, email: str, password: str) -> SignUp:
        """See IdentityProvider."""
        try:
            answer = self._call(
                "sign_up",
                **self._user(username),
                Password=password,
                UserAttributes=[{"Name": "email", "Value": email}],
            )
        except ClientError as error:
            # Raised after the account was made (Cognito API reference, SignUp).
            if _code(error.response) == "CodeDeliveryFailureException":
                return SignUp(sub=None, code_delivered=False)
            raise _translated(error) from None
        if "UserSub" not in answer:
            raise _senseless("SignUp")
        return SignUp(sub=answer["UserSub"])

    def confirm_sign_up(self, username: str, code: str) -> None:
        """See IdentityProvider."""
        try:
            self._call("confirm_sign_up", **self._user(username), ConfirmationCode=code)
        except ClientError as error:
            raise _translated(error) from None

    def resend_confirmation_code(self, username: str) -> None:
        """See IdentityProvider."""
        try:
            self._call("resend_confirmation_code", **self._user(username))
        except ClientError as error:
            code = _code(error.response)
            if code not in _NOTHING_TO_SEND or _is_ours(error):
                raise _translated(error) from None
            if code == "CodeDeliveryFailureException":
                logger.warning("Cognito could not deliver a code")  # an operator's to mend

    def authenticate(self, username: str, password: str) -> TokenSet | Challenge:
        """See IdentityProvider."""
        parameters = {"USERNAME": username, "PASSWORD": password}
        if self._client_secret is not None:
            parameters["SECRET_HASH"] = self._secret_hash(username)
        try:
            answer = self._call(
                "initiate_auth",
                ClientId=self._client_id,
                AuthFlow="USER_PASSWORD_AUTH",
                AuthParameters=parameters,
            )
        except ClientError as error:
            raise _translated(error) from None
        return _sign_in_answer(answer)

    def sign_out(self, access_token: str) -> None:
        """See IdentityProvider."""
        try:
            self._call("global_sign_out", AccessToken=access_token)
        except ClientError as error:
            raise _translated(error) from None

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call Cognito; what is no answer of Cognito's becomes IdentityUnavailable."""
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
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

    def _secret_hash(self, username: str) -> str:
        """SECRET_HASH (Cognito guide, "Computing secret hash values")."""
        message = (username + self._client_id).encode()
        digest = hmac.digest((self._client_secret or "").encode(), message, hashlib.sha256)
        return base64.b64encode(digest).decode()


def _sign_in_answer(answer: Mapping[str, Any]) -> TokenSet | Challenge:
    """Read an answer of InitiateAuth: tokens, unless there is a challenge."""
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
        raise _senseless("InitiateAuth") from None


def _senseless(operation: str) -> IdentityUnavailable:
    logger.error("Cognito %s answered with nothing that makes sense", operation)
    return IdentityUnavailable()


def _is_ours(error: ClientError) -> bool:
    """Tell whether Cognito complains about our client secret, which is no user's fault."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    code = _code(error.response)
    return code == "NotAuthorizedException" and message.startswith(_SET_UP_MESSAGES)


def _code(response: Mapping[str, Any]) -> str:
    return str(response.get("Error", {}).get("Code", ""))


def _translated(error: ClientError) -> IdentityError:
    """Find the exception for an error of Cognito's, in the one table there is."""
    operation, code = error.operation_name, _code(error.response)
    message = str(error.response.get("Error", {}).get("Message", ""))
    if code == "NotAuthorizedException" and message.startswith(_LIMIT_MESSAGES):
        return TooManyRequests(_LIMITED_SECONDS)
    if code in _RETRY_AFTER:
        return TooManyRequests(_RETRY_AFTER[code])
    known = _ERRORS.get((operation, code)) or _ERRORS.get(code, IdentityUnavailable)
    if _is_ours(error):
        known = IdentityUnavailable
    if known is IdentityUnavailable:
        # A fault of the set-up or of Cognito: the code tells an operator which, and has no secret.
        logger.error("Cognito %s failed: %s", operation, code)
        return IdentityUnavailable()
    return known()
