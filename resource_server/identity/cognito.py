"""The user directory in Amazon Cognito.

Public operations (Cognito guide, "Unauthenticated and token-authorized user operations") are sent
unsigned: a container without AWS credentials can run this service.
"""

import base64
import hashlib
import hmac
import json
import logging
import math
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from resource_server.identity import cognito_errors as table
from resource_server.identity.cognito_errors import Outcome, Row
from resource_server.identity.errors import (
    BadCode,
    DirectoryForbidden,
    DirectoryMisconfigured,
    IdentityError,
    IdentityUnavailable,
    InvalidRequest,
    TooManyRequests,
    TriggerRejected,
)
from resource_server.identity.provider import (
    NO_CONTEXT,
    Challenge,
    Context,
    DeviceVerifier,
    NewDevice,
    Profile,
    SignUp,
    TokenSet,
)
from resource_server.identity.turns import NoTurn, Places, Turns

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

logger = logging.getLogger(__name__)

# Seconds. A sign-in waits 2 + 5 at worst and is tried twice: within gunicorn's 30 s.
_CONNECT_TIMEOUT, _READ_TIMEOUT, _MAX_ATTEMPTS = 2, 5, 2
# How servers that are not AWS say that they lack an operation, if not by a status of 404, 405 or
# 501. InternalFailure is not among them: it is an outage of AWS's.
_MISSING_CODES = {
    *("ActionNotFound", "InvalidAction", "MethodNotAllowed", "NotImplemented"),
    *("NotImplementedError", "NotImplementedException", "SerializationException"),
    *("UnknownOperation", "UnknownOperationException", "Unsupported", "UnsupportedError"),
    *("UnsupportedOperation", "UnsupportedOperationException"),
}
_MISSING_STATUSES = {404, 405, 501}
_MISSING_WORDS = re.compile(
    r"(?:not|n't) (?:yet )?(?:been )?(?:available|emulated|implemented|supported)|unsupported"
    r"|unknown (?:action|operation)",
    re.IGNORECASE,
)
PARSER_ERRORS = (AttributeError, LookupError, TypeError, ValueError)
"""What botocore's parser raises on JSON of another shape than Cognito's."""
_ASK_AGAIN_SECONDS = 600
"""How long a server counts as one without GetTokensFromRefreshToken."""


def cognito_client(
    region: str, *, endpoint_url: str | None = None
) -> "CognitoIdentityProviderClient":
    """Make a boto3 client for public operations; it is safe to share between threads.

    Nothing is signed, so profiles and AWS's configuration files do not count. A session of its
    own, since boto3's default one is neither thread-safe nor ours.
    """
    client = _session_without_files().client(
        "cognito-idp",
        region_name=region,
        endpoint_url=endpoint_url,
        config=_config(signature_version=UNSIGNED),
    )
    client.meta.events.register_first("needs-retry.cognito-idp", _never_retry_a_limit)
    return client


def admin_client(
    region: str, *, endpoint_url: str | None = None, emulated: bool = False
) -> "CognitoIdentityProviderClient":
    """Make a boto3 client for Admin* and configuration calls, which need AWS credentials.

    They come from where boto3 looks (environment, profile, role). An emulator gets made-up ones:
    it checks none, and must not see real ones.

    Raises BotoCoreError if AWS_PROFILE names no profile, or AWS's configuration file is malformed.
    """
    session = _session_without_files("emulator") if emulated else boto3.session.Session()
    return session.client(
        "cognito-idp", region_name=region, endpoint_url=endpoint_url, config=_config()
    )


def _session_without_files(credential: str | None = None) -> boto3.session.Session:
    """Make a session that reads no profile and no configuration file of AWS.

    Of the environment, proxies, AWS_CA_BUNDLE, AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT
    count. Values of other variables for the SDK change nothing here, even wrong ones.
    """
    # Name: (name in the file, variable, default, conversion), as botocore has them.
    variables = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
        "defaults_mode": (None, None, "legacy", None),
        "max_attempts": (None, None, None, None),
        "request_checksum_calculation": (None, None, "when_supported", None),
        "request_min_compression_size_bytes": (None, None, 10_240, None),
        "response_checksum_validation": (None, None, "when_supported", None),
        "retry_mode": (None, None, "standard", None),
        "sts_regional_endpoints": (None, None, "regional", None),
    }
    session = botocore.session.Session(session_vars=variables)
    return boto3.session.Session(credential, credential, botocore_session=session)


def _config(**more: Any) -> Config:
    return Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": _MAX_ATTEMPTS},
        # settings.py has read AWS_ENDPOINT_URL and its likes.
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
    """An IdentityProvider that calls Cognito.

    `client_secret` is None for a public app client. Then no SECRET_HASH is sent. No more than
    `calls_at_once` calls wait for Cognito at any time. While it is slow, further calls raise
    IdentityUnavailable at once, so that it does not hold every thread of this process. Each call
    also takes a place in `crowd`, if there is one.
    """

    def __init__(
        self,
        client: "CognitoIdentityProviderClient",
        *,
        client_id: str,
        client_secret: str | None = None,
        calls_at_once: int = 4,
        crowd: Places | None = None,
    ) -> None:
        self._client = client
        self._turns = Turns(calls_at_once, crowd=crowd)
        self._client_id = client_id
        self._client_secret = client_secret
        self._lacks_refresh_until = -math.inf

    def sign_up(
        self,
        username: str,
        *,
        email: str,
        password: str,
        attributes: Mapping[str, str] | None = None,
        context: Context = NO_CONTEXT,
    ) -> SignUp:
        """See IdentityProvider."""
        every = {"email": email} | dict(attributes or {}) | {"email": email}
        try:
            answer = self._call(
                "sign_up",
                **self._user(username),
                Password=password,
                UserAttributes=[{"Name": name, "Value": value} for name, value in every.items()],
                **_context(context),
            )
        except _NoFailure:
            # Raised after the account was made (Cognito API reference, SignUp).
            return SignUp(sub=None, code_delivered=False)
        if not isinstance(answer.get("UserSub"), str):
            raise senseless("SignUp")
        return SignUp(sub=answer["UserSub"])

    def confirm_sign_up(self, username: str, code: str, *, context: Context = NO_CONTEXT) -> None:
        """See IdentityProvider."""
        more = _context(context)
        self._call("confirm_sign_up", **self._user(username), ConfirmationCode=code, **more)

    def resend_confirmation_code(self, username: str, *, context: Context = NO_CONTEXT) -> None:
        """See IdentityProvider."""
        self._send_code("resend_confirmation_code", username, context)

    def authenticate(
        self,
        username: str,
        password: str,
        *,
        device_key: str | None = None,
        context: Context = NO_CONTEXT,
    ) -> TokenSet | Challenge:
        """See IdentityProvider."""
        parameters = {"USERNAME": username, "PASSWORD": password} | self._hash(username)
        if device_key:
            parameters["DEVICE_KEY"] = device_key
        answer = self._call(
            "initiate_auth",
            ClientId=self._client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters=parameters,
            **_context(context),
        )
        return _sign_in_answer("InitiateAuth", answer)

    def answer_challenge(
        self,
        username: str,
        challenge: str,
        session: str | None,
        responses: Mapping[str, str],
        *,
        context: Context = NO_CONTEXT,
    ) -> TokenSet | Challenge:
        """See IdentityProvider."""
        answer = self._call(
            "respond_to_auth_challenge",
            ClientId=self._client_id,
            ChallengeName=challenge,
            **({"Session": session} if session else {}),
            # What we say comes last: an answer must not speak for another user.
            ChallengeResponses={**responses, "USERNAME": username, **self._hash(username)},
            **_context(context),
        )
        return _sign_in_answer("RespondToAuthChallenge", answer)

    def refresh(
        self,
        refresh_token: str,
        *,
        username: str | None = None,
        device_key: str | None = None,
        context: Context = NO_CONTEXT,
    ) -> TokenSet:
        """See IdentityProvider.

        GetTokensFromRefreshToken works with and without rotation and needs no name. A server other
        than AWS may lack it. The app then uses REFRESH_TOKEN_AUTH for ten minutes. Its SECRET_HASH
        needs the real user name or the `sub`, never an e-mail address.
        """
        answer = None
        if time.monotonic() >= self._lacks_refresh_until:
            answer = self._refresh_by_token(refresh_token, username, device_key, context)
        if answer is None:
            answer = self._refresh_by_name(refresh_token, username, device_key, context)
        result = _sign_in_answer("GetTokensFromRefreshToken", answer)
        if isinstance(result, Challenge):
            raise senseless("GetTokensFromRefreshToken")
        return result if result.refresh_token else replace(result, refresh_token=refresh_token)

    def _refresh_by_token(
        self, refresh_token: str, username: str | None, device_key: str | None, context: Context
    ) -> dict[str, Any] | None:
        """Return new tokens, or None if the server lacks the operation."""
        parameters: dict[str, Any] = {
            "ClientId": self._client_id,
            "RefreshToken": refresh_token,
            **self._secret(),
            **_metadata(context),
        }
        if device_key:
            parameters["DeviceKey"] = device_key
        try:
            return self._ask("get_tokens_from_refresh_token", **parameters)
        except ClientError as error:
            if _is_missing(error):
                self._lacks_refresh_until = time.monotonic() + _ASK_AGAIN_SECONDS
            elif not _is_nameless(error) or (self._client_secret and not username):
                raise translated(error, parameters) from None
        return None

    def _refresh_by_name(
        self, refresh_token: str, username: str | None, device_key: str | None, context: Context
    ) -> dict[str, Any]:
        if self._client_secret and not username:
            raise InvalidRequest(table.WRONG_REFRESH_NAME.message)
        parameters = {"REFRESH_TOKEN": refresh_token} | self._hash(username or "")
        if device_key:
            parameters["DEVICE_KEY"] = device_key
        return self._call(
            "initiate_auth",
            table.REFRESH,
            ClientId=self._client_id,
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters=parameters,
            **_context(context),
        )

    def revoke(self, refresh_token: str) -> None:
        """See IdentityProvider."""
        self._call("revoke_token", Token=refresh_token, ClientId=self._client_id, **self._secret())

    def sign_out(self, access_token: str) -> None:
        """See IdentityProvider."""
        self._call("global_sign_out", AccessToken=access_token)

    def forgot_password(self, username: str, *, context: Context = NO_CONTEXT) -> None:
        """See IdentityProvider."""
        self._send_code("forgot_password", username, context)

    def reset_password(
        self, username: str, code: str, password: str, *, context: Context = NO_CONTEXT
    ) -> None:
        """See IdentityProvider."""
        self._call(
            "confirm_forgot_password",
            **self._user(username),
            ConfirmationCode=code,
            Password=password,
            **_context(context),
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
        try:
            attributes = {
                str(entry["Name"]): str(entry["Value"])
                for entry in answer.get("UserAttributes", [])
                if "Value" in entry
            }
            return Profile(
                sub=attributes["sub"],
                username=str(answer["Username"]),
                email=attributes.get("email"),
                full_name=attributes.get("name"),
            )
        except PARSER_ERRORS as error:
            raise senseless("GetUser", error) from None

    def rename(self, access_token: str, full_name: str, *, context: Context = NO_CONTEXT) -> None:
        """See IdentityProvider."""
        self._call(
            "update_user_attributes",
            AccessToken=access_token,
            UserAttributes=[{"Name": "name", "Value": full_name}],
            **_metadata(context),
        )

    def confirm_device(
        self,
        access_token: str,
        device_key: str,
        *,
        name: str | None = None,
        verifier: DeviceVerifier | None = None,
    ) -> bool:
        """See IdentityProvider."""
        more: dict[str, Any] = {"DeviceName": name} if name else {}
        if verifier is not None:
            more["DeviceSecretVerifierConfig"] = {
                "PasswordVerifier": verifier.password_verifier,
                "Salt": verifier.salt,
            }
        answer = self._call(
            "confirm_device", AccessToken=access_token, DeviceKey=device_key, **more
        )
        return bool(answer.get("UserConfirmationNecessary"))

    def delete_user(self, access_token: str) -> None:
        """See IdentityProvider."""
        self._call("delete_user", AccessToken=access_token)

    def begin_totp(self, access_token: str) -> str:
        """See IdentityProvider."""
        answer = self._call("associate_software_token", AccessToken=access_token)
        if not isinstance(answer.get("SecretCode"), str):
            raise senseless("AssociateSoftwareToken")
        return str(answer["SecretCode"])

    def confirm_totp(self, access_token: str, code: str, *, device_name: str | None = None) -> None:
        """See IdentityProvider."""
        name = {"FriendlyDeviceName": device_name} if device_name else {}
        answer = self._call(
            "verify_software_token", AccessToken=access_token, UserCode=code, **name
        )
        if answer.get("Status") == "ERROR":
            raise BadCode

    def use_totp(self, access_token: str, *, enabled: bool) -> None:
        """See IdentityProvider."""
        self._call(
            "set_user_mfa_preference",
            AccessToken=access_token,
            SoftwareTokenMfaSettings={"Enabled": enabled, "PreferredMfa": enabled},
        )

    def _send_code(self, operation: str, username: str, context: Context) -> None:
        """Have a code sent; who has no account, or needs no code, is told the same."""
        with suppress(_NoFailure):
            self._call(operation, **self._user(username), **_context(context))

    def _call(
        self, operation: str, meaning: str | None = None, /, **parameters: Any
    ) -> dict[str, Any]:
        """Call Cognito. Every error becomes an IdentityError, or _NoFailure.

        `meaning` takes the operation's place in the table of errors.
        """
        try:
            return self._ask(operation, meaning, **parameters)
        except ClientError as error:
            raise translated(error, parameters, meaning=meaning) from None

    def _ask(
        self, operation: str, meaning: str | None = None, /, **parameters: Any
    ) -> dict[str, Any]:
        """Call Cognito. Raises ClientError where Cognito returns an error."""
        try:
            with self._turns.turn():
                answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        except NoTurn:
            logger.warning(
                "Cognito %s was not called: Cognito is slow, and other calls wait", operation
            )
            raise IdentityUnavailable from None
        except BotoCoreError as error:
            name = self._client.meta.method_to_api_mapping[operation]
            row = table.sdk_meaning(meaning or name, error)
            # Its text may repeat parameters: the class says enough.
            raise failure(row, name, type(error).__name__) from None
        except PARSER_ERRORS as error:
            raise senseless(operation, error) from None
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


def _metadata(context: Context) -> dict[str, Any]:
    """Return what Cognito hands on to the pool's triggers."""
    return {"ClientMetadata": dict(context.metadata)} if context.metadata else {}


def _context(context: Context) -> dict[str, Any]:
    """Return what an operation without an access token takes: for triggers, and for risks."""
    data = {"EncodedData": context.encoded_data, "IpAddress": context.ip_address}
    known = {name: value for name, value in data.items() if value}
    return _metadata(context) | ({"UserContextData": known} if known else {})


def _sign_in_answer(operation: str, answer: Mapping[str, Any]) -> TokenSet | Challenge:
    """Read an answer that brings tokens, unless there is a challenge."""
    try:
        if name := _text(answer, "ChallengeName"):
            parameters: Mapping[str, Any] = answer.get("ChallengeParameters", {})
            texts = {key: str(value) for key, value in parameters.items()}
            if available := answer.get("AvailableChallenges"):  # for SELECT_CHALLENGE
                texts["AVAILABLE_CHALLENGES"] = json.dumps(list(available))
            return Challenge(name=name, session=_text(answer, "Session"), parameters=texts)
        result: Mapping[str, Any] = answer.get("AuthenticationResult", {})
        access_token, seconds = _text(result, "AccessToken"), result.get("ExpiresIn")
        if access_token is None:
            raise senseless(operation)
        return TokenSet(
            access_token=access_token,
            expires_in=seconds if type(seconds) is int and seconds >= 0 else None,
            token_type=_text(result, "TokenType") or "Bearer",
            id_token=_text(result, "IdToken"),
            refresh_token=_text(result, "RefreshToken"),
            new_device=_new_device(result.get("NewDeviceMetadata") or {}),
        )
    except PARSER_ERRORS as error:
        raise senseless(operation, error) from None


def _text(answer: Mapping[str, Any], member: str) -> str | None:
    """Return a text of a response, or None if it is missing.

    Raises TypeError for anything else: botocore hands on what a server that is not AWS sends.
    """
    value = answer.get(member)
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value or None


def _new_device(metadata: Mapping[str, Any]) -> NewDevice | None:
    key = _text(metadata, "DeviceKey")
    return NewDevice(key, _text(metadata, "DeviceGroupKey")) if key else None


def senseless(operation: str, error: Exception | None = None) -> IdentityUnavailable:
    """Make the exception for a response that is not Cognito's. `error` is botocore's."""
    reason = type(error).__name__ if error else "a member is missing"
    logger.error("Cognito %s sent an invalid response: %s", operation, reason)
    return IdentityUnavailable()


class _NoFailure(Exception):
    """An error of Cognito that the caller does not see."""


def _is_missing(error: ClientError) -> bool:
    """Return whether a server that is not AWS says that it lacks the operation."""
    if code_of(error) in _MISSING_CODES or status_of(error) in _MISSING_STATUSES:
        return True
    return _is_nameless(error) and bool(_MISSING_WORDS.search(message_of(error)))


def _is_nameless(error: ClientError) -> bool:
    """Return whether a server failed without an error code of AWS's, as other servers do."""
    server_error = 500
    return status_of(error) >= server_error and not code_of(error).strip("0123456789")


def status_of(error: ClientError) -> int:
    """Return the HTTP status of AWS's response."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 400)


def code_of(error: ClientError) -> str:
    """Return the code of AWS's answer; empty if it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """Return AWS's text, to tell situations apart that share a code; never to show or log."""
    return str(error.response.get("Error", {}).get("Message", ""))


def translated(
    error: ClientError, parameters: Mapping[str, Any], *, meaning: str | None = None
) -> IdentityError | _NoFailure:
    """Find the exception for an error of Cognito's.

    `parameters` are what was sent. `meaning` takes the operation's place in the table.
    """
    operation, code, message = error.operation_name, code_of(error), message_of(error)
    sent = table.values_of(parameters)
    row = table.meaning(meaning or operation, code, message, status=status_of(error), sent=sent)
    if row is table.CHECK_WRITE and len(parameters.get("UserAttributes", ())) > 1:
        # Beside the one that this service sends, the caller chose some.
        row = table.FORBIDDEN_ATTRIBUTE
    text = ""
    if isinstance(row.error, type) and issubclass(row.error, TriggerRejected):
        text = table.trigger_text(message, sent)
    return failure(row, operation, code, trigger=table.trigger_of(message), text=text)


def failure(
    row: Row, operation: str, code: str, *, trigger: str = "", text: str = ""
) -> IdentityError | _NoFailure:
    """Make the exception of a row, and log what an operator should know.

    `code` is AWS's, or the class of botocore's exception. `text` is what the `trigger` says.
    """
    code = table.printable_code(code)
    if row.is_set_up:
        fix = row.fix or f"Allow cognito-idp:{operation} on the pool (docs/users.md)"
        logger.error("Cognito %s failed: %s. %s", operation, code, fix)
    elif trigger:
        logger.warning("Cognito %s: the trigger %s rejected it (%s)", operation, trigger, code)
    elif row.error is IdentityUnavailable or isinstance(row.error, Outcome):
        logger.warning("Cognito %s failed: %s", operation, code)
    elif row.error is InvalidRequest and not row.message:
        # The response names it as the caller's mistake. If all callers make it, it is not theirs.
        logger.warning("Cognito %s did not accept a value, and did not say which", operation)
    if isinstance(row.error, Outcome):
        return _NoFailure()
    if row.error is DirectoryForbidden:
        return DirectoryForbidden(f"cognito-idp:{operation}")
    if row.error is TooManyRequests:
        return TooManyRequests(row.retry_after or table.THROTTLED_SECONDS)
    argument = row.fix if row.error is DirectoryMisconfigured else text or row.message
    return row.error(argument) if argument else row.error()
