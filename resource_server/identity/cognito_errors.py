"""What each error of Cognito means to the caller, in one table.

Cognito returns HTTP 400 for every mistake, and has one code for many situations. The rows below say
for each operation and each error whose mistake it is:

- the caller's: an exception that becomes a 4xx response, with a sentence that names the mistake
- our set-up: DirectoryMisconfigured (503 without Retry-After), and an ERROR log with the fix
- an outage: IdentityUnavailable (503 with Retry-After)

`meaning` looks a row up, in this order: a trigger, the message, the parameter that the message
names, the operation with the code, the code, the HTTP status. docs/cognito-errors.md shows it.
tests/test_cognito_errors.py reads botocore's model of the service: an error without a row fails.

Sources: the API reference's error lists, and messages that public issues quote.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from botocore import exceptions as botocore

from resource_server.identity import errors
from resource_server.identity.errors import (
    BadCode,
    BadCredentials,
    BadRefreshToken,
    DirectoryForbidden,
    DirectoryMisconfigured,
    ExpiredCode,
    IdentityError,
    IdentityUnavailable,
    InvalidRequest,
    NoSuchUser,
    PasswordRejected,
    SessionEnded,
    SignInExpired,
    SignInRejected,
    TooManyRequests,
    TriggerRejected,
    UsernameTaken,
)

NO_CREDENTIALS = (
    "There are no usable AWS credentials, which administration of users needs: "
    "give the process a role or a profile (docs/users.md)"
)
CREDENTIAL_ERRORS = (
    botocore.CredentialRetrievalError,
    botocore.LoginError,
    botocore.NoAuthTokenError,
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.ProfileNotFound,
    botocore.SSOError,
    botocore.TokenRetrievalError,
    botocore.UnknownCredentialError,
)
_OUTAGES = (
    botocore.ConnectionError,
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
    botocore.ResponseStreamingError,
)
"""No response, or half of one; the next call may get it."""
THROTTLED_SECONDS, LIMITED_SECONDS = 5, 300
"""Throttling lasts seconds, a user's own limit up to 15 minutes (Cognito guide, "Quotas")."""
REFRESH = "InitiateAuth with REFRESH_TOKEN_AUTH"
"""What the table calls an InitiateAuth that refreshes: its errors mean something else there."""
_REFRESHING = ("GetTokensFromRefreshToken", REFRESH)


class Outcome(Enum):
    """An error that changes nothing for the caller."""

    CODE_SENT = "the response is the same as if a code had been sent"
    CODE_UNDELIVERED = "the account exists, its code was not delivered"


@dataclass(frozen=True, slots=True)
class Row:
    """What an error means.

    `fix` says what an operator has to do, for DirectoryMisconfigured. `message` is the sentence for
    the caller where the exception's own says too little. `retry_after` is in seconds.
    """

    error: type[IdentityError] | Outcome
    fix: str = ""
    message: str = ""
    retry_after: int | None = None

    @property
    def is_set_up(self) -> bool:
        """Whether an operator has to act."""
        return self.error in {DirectoryMisconfigured, DirectoryForbidden}


def _set_up(fix: str) -> Row:
    return Row(DirectoryMisconfigured, fix)


def _invalid(message: str = "") -> Row:
    return Row(InvalidRequest, message=message)


OUTAGE = Row(IdentityUnavailable)
_THROTTLED = Row(TooManyRequests, retry_after=THROTTLED_SECONDS)
_USERS_LIMIT = Row(TooManyRequests, retry_after=LIMITED_SECONDS)
_BAD_CODE, _BAD_REFRESH_TOKEN = Row(BadCode), Row(BadRefreshToken)
_BAD_CREDENTIALS, _SESSION_ENDED = Row(BadCredentials), Row(SessionEnded)
_SIGN_IN_EXPIRED, _CODE_SENT = Row(SignInExpired), Row(Outcome.CODE_SENT)
_NO_SUCH_USER, _FORBIDDEN = Row(NoSuchUser), Row(DirectoryForbidden)
_REJECTED, _SIGN_IN_REJECTED = Row(TriggerRejected), Row(SignInRejected)
# Only a user who exists has a limit of their own. So it reads like what an unknown name gets.
_HIDDEN_LIMITS = (
    (_BAD_CODE, ("ConfirmForgotPassword", "ConfirmSignUp")),
    (_BAD_CREDENTIALS, ("InitiateAuth",)),
    (_CODE_SENT, ("ForgotPassword", "ResendConfirmationCode")),
    (_SIGN_IN_EXPIRED, ("RespondToAuthChallenge",)),
)

_CHECK_IDS = _set_up(
    "The pool or the app client does not exist: check AWS_USER_POOL_ID and "
    "AWS_COGNITO_APP_CLIENT_ID"
)
_CHECK_POOL = _set_up("There is no such user pool: check AWS_USER_POOL_ID")
_CHECK_SECRET = _set_up(
    "The client secret is not the app client's: check AWS_COGNITO_APP_CLIENT_SECRET"
)
_CHECK_FLOW = _set_up(
    "The app client does not allow this flow: add ALLOW_USER_PASSWORD_AUTH and "
    "ALLOW_REFRESH_TOKEN_AUTH to its authentication flows"
)
_CHECK_TRIGGER = _set_up("A Lambda trigger of the pool failed: read the function's log")
_CHECK_SMS = _set_up("Cognito may not send text messages: check the pool's SMS role")
_CHECK_EMAIL = _set_up("Cognito may not send e-mail: check the pool's SES identity and its policy")
_CHECK_DELIVERY = _set_up("Cognito could not send a code: check the pool's e-mail and SMS settings")
_CHECK_POOL_SETTINGS = _set_up("The pool's settings are not valid: run `flask cognito doctor`")
_CHECK_TOTP = _set_up(
    "The pool does not allow authenticator apps: turn on MFA with software tokens"
)
CHECK_WRITE = _set_up("The app client may not write this attribute: check its WriteAttributes")
_CHECK_CREDENTIALS = _set_up(
    "AWS does not accept these credentials: they are wrong or have expired, or a policy (of a VPC "
    "endpoint, say) forbids the call"
)
_CHECK_CLOCK = _set_up("AWS does not accept the signature's time: check this machine's clock")
_CHECK_ENDPOINT = _set_up(
    "The endpoint does not respond as Cognito: check "
    "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER, and proxies in between"
)
_CHECK_REVOCATION = _set_up(
    "The app client does not revoke tokens: turn on EnableTokenRevocation for it"
)
_CHECK_TLS = _set_up(
    "The endpoint's certificate is not trusted: check AWS_CA_BUNDLE, and proxies in between"
)
_CHECK_REQUEST = _set_up("Cognito does not accept a value that this service sets: check settings")
UNKNOWN = _set_up(
    "Cognito returned an error that this release does not know: read its API reference"
)

_WRONG_NAME = _invalid("Send the username that came with the challenge")
WRONG_REFRESH_NAME = _invalid("Send the username or the sub of the user of the refresh token")
_FIXED_ATTRIBUTE = _invalid("An attribute among the responses may not be set or changed")
FORBIDDEN_ATTRIBUTE = _invalid("An attribute may not be set by users")
_UNKNOWN_DEVICE = _invalid("There is no such device: leave device_key out, or sign in again")
_MISSING_ATTRIBUTE = _invalid("An attribute that the user pool requires is missing")
_WRONG_ATTRIBUTE = _invalid("An attribute does not fit the user pool")
_MISSING_RESPONSE = _invalid("A response that the challenge needs is missing")
_NO_SUCH_MFA = _invalid("This second factor is not set up for the account")

CODES: Mapping[str, Row] = {
    # The API reference's errors of single operations
    "AliasExistsException": Row(UsernameTaken),
    "CodeDeliveryFailureException": _CHECK_DELIVERY,
    "CodeMismatchException": _BAD_CODE,
    "ConcurrentModificationException": Row(errors.ConcurrentChange),
    "DeviceKeyExistsException": _invalid("The device is known already"),
    "EnableSoftwareTokenMFAException": _BAD_CODE,
    "ExpiredCodeException": Row(ExpiredCode),
    "FeatureUnavailableInTierException": _set_up(
        "The pool's feature plan lacks this: choose ESSENTIALS or PLUS"
    ),
    "ForbiddenException": Row(errors.RequestBlocked),
    "InternalErrorException": OUTAGE,
    "InvalidEmailRoleAccessPolicyException": _CHECK_EMAIL,
    "InvalidLambdaResponseException": _CHECK_TRIGGER,
    "InvalidPasswordException": Row(PasswordRejected),
    "InvalidSmsRoleAccessPolicyException": _CHECK_SMS,
    "InvalidSmsRoleTrustRelationshipException": _CHECK_SMS,
    "InvalidUserPoolConfigurationException": _CHECK_POOL_SETTINGS,
    "LimitExceededException": _USERS_LIMIT,
    "MFAMethodNotFoundException": _NO_SUCH_MFA,
    "OperationNotEnabledException": _set_up(
        "The pool does not offer this operation: check its settings and AWS_USER_POOL_ID"
    ),
    "PasswordHistoryPolicyViolationException": Row(PasswordRejected),
    "PasswordResetRequiredException": Row(errors.PasswordResetRequired),
    "RefreshTokenReuseException": _BAD_REFRESH_TOKEN,
    "ResourceNotFoundException": _CHECK_IDS,
    "SoftwareTokenMFANotFoundException": _CHECK_TOTP,
    "TooManyFailedAttemptsException": _USERS_LIMIT,
    "TooManyRequestsException": _THROTTLED,
    "UnauthorizedException": _BAD_REFRESH_TOKEN,
    "UnexpectedLambdaException": _CHECK_TRIGGER,
    "UnsupportedOperationException": _CHECK_FLOW,
    "UnsupportedTokenTypeException": _BAD_REFRESH_TOKEN,
    "UserLambdaValidationException": _REJECTED,
    "UserNotConfirmedException": Row(errors.NotConfirmed),
    "UserPoolTaggingException": _CHECK_POOL_SETTINGS,
    "UsernameExistsException": Row(UsernameTaken),
    # Errors that every AWS service may return (API reference, "Common errors")
    "AccessDenied": _CHECK_CREDENTIALS,
    "AccessDeniedException": _CHECK_CREDENTIALS,
    "ExpiredToken": _CHECK_CREDENTIALS,
    "ExpiredTokenException": _CHECK_CREDENTIALS,
    "IncompleteSignature": _CHECK_CREDENTIALS,
    "IncompleteSignatureException": _CHECK_CREDENTIALS,
    "InvalidClientTokenId": _CHECK_CREDENTIALS,
    "InvalidSignatureException": _CHECK_CREDENTIALS,
    "MissingAuthenticationToken": _CHECK_CREDENTIALS,
    "MissingAuthenticationTokenException": _CHECK_CREDENTIALS,
    "NotAuthorized": _CHECK_CREDENTIALS,
    "OptInRequired": _CHECK_CREDENTIALS,
    "SignatureDoesNotMatch": _CHECK_CREDENTIALS,
    "UnrecognizedClientException": _CHECK_CREDENTIALS,
    "RequestExpired": _CHECK_CLOCK,
    "RequestInTheFuture": _CHECK_CLOCK,
    "RequestTimeTooSkewed": _CHECK_CLOCK,
    "InternalFailure": OUTAGE,
    "InternalServerError": OUTAGE,
    "RequestTimeout": OUTAGE,
    "RequestTimeoutException": OUTAGE,
    "ServiceUnavailable": OUTAGE,
    "ServiceUnavailableException": OUTAGE,
    "RequestLimitExceeded": _THROTTLED,
    "RequestThrottled": _THROTTLED,
    "RequestThrottledException": _THROTTLED,
    "SlowDown": _THROTTLED,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "InvalidAction": _CHECK_ENDPOINT,
    "InvalidQueryParameter": _CHECK_ENDPOINT,
    "MalformedQueryString": _CHECK_ENDPOINT,
    "MissingAction": _CHECK_ENDPOINT,
    "NotImplemented": _CHECK_ENDPOINT,
    "SerializationException": _CHECK_ENDPOINT,
    "UnknownOperationException": _CHECK_ENDPOINT,
    "UnsupportedOperation": _CHECK_ENDPOINT,
    # Of the values, where they name none
    "InvalidParameterCombination": _CHECK_REQUEST,
    "InvalidParameterException": _CHECK_REQUEST,
    "InvalidParameterValue": _CHECK_REQUEST,
    "MissingParameter": _CHECK_REQUEST,
    "ValidationError": _CHECK_REQUEST,
    "ValidationException": _CHECK_REQUEST,
}
"""Error code -> what it means, for every operation."""

_BY_ACCESS_TOKEN = (
    "AssociateSoftwareToken",
    "ChangePassword",
    "ConfirmDevice",
    "DeleteUser",
    "DeleteUserAttributes",
    "ForgetDevice",
    "GetUser",
    "GetUserAttributeVerificationCode",
    "GlobalSignOut",
    "ListDevices",
    "SetUserMFAPreference",
    "UpdateDeviceStatus",
    "UpdateUserAttributes",
    "VerifySoftwareToken",
    "VerifyUserAttribute",
)
_BY_IAM = ("AdminDisableUser", "AdminEnableUser", "AdminGetUser", "DescribeUserPool", "ListUsers")
_SENDING = ("ForgotPassword", "ResendConfirmationCode")


def _each(operations: Iterable[str], rows: Mapping[str, Row]) -> dict[tuple[str, str], Row]:
    return {(operation, code): row for operation in operations for code, row in rows.items()}


OPERATIONS: Mapping[tuple[str, str], Row] = {
    **{
        (operation, code): row
        for row, operations in _HIDDEN_LIMITS
        for operation in operations
        for code in ("LimitExceededException", "TooManyFailedAttemptsException")
    },
    # With an access token, any error of it means that the session has ended.
    **_each(
        _BY_ACCESS_TOKEN,
        {
            "NotAuthorizedException": _SESSION_ENDED,
            "PasswordResetRequiredException": _SESSION_ENDED,
            "UserNotConfirmedException": _SESSION_ENDED,
            "UserNotFoundException": _SESSION_ENDED,
        },
    ),
    **_each(
        ("ChangePassword", "SetUserMFAPreference", "UpdateUserAttributes", "UpdateDeviceStatus"),
        {"InvalidParameterException": _invalid()},
    ),
    **_each(
        ("ConfirmDevice", "ForgetDevice", "UpdateDeviceStatus"),
        {"ResourceNotFoundException": _invalid("There is no such device")},
    ),
    **_each(
        ("ConfirmDevice",),
        {
            "InvalidParameterException": _invalid(),
            "InvalidPasswordException": _invalid(),
            "UsernameExistsException": _invalid("The device is known already"),
        },
    ),
    **_each(("ForgetDevice",), {"InvalidParameterException": _invalid()}),
    **_each(("VerifyUserAttribute",), {"InvalidParameterException": _BAD_CODE}),
    **_each(("VerifySoftwareToken",), {"InvalidParameterException": _BAD_CODE}),
    ("DeleteUser", "UserNotFoundException"): Row(errors.AccountGone),
    ("VerifySoftwareToken", "SoftwareTokenMFANotFoundException"): _NO_SUCH_MFA,
    # Of an administrator, signed with AWS credentials.
    **_each(
        _BY_IAM,
        {
            "AccessDenied": _FORBIDDEN,
            "AccessDeniedException": _FORBIDDEN,
            "ForbiddenException": _FORBIDDEN,
            "LimitExceededException": _THROTTLED,
            "NotAuthorizedException": _FORBIDDEN,
            "ResourceNotFoundException": _CHECK_POOL,
            "UserNotFoundException": _NO_SUCH_USER,
        },
    ),
    **_each(
        ("AdminDisableUser", "AdminEnableUser", "AdminGetUser"),
        {"InvalidParameterException": _NO_SUCH_USER},
    ),
    # A page's token that has grown old: the command is run again.
    ("ListUsers", "InvalidParameterException"): OUTAGE,
    # A request for a code reveals nothing of the account.
    **_each(
        _SENDING,
        {
            "CodeDeliveryFailureException": _CODE_SENT,
            "InvalidParameterException": _CODE_SENT,
            "NotAuthorizedException": _CODE_SENT,
            "UserLambdaValidationException": _CODE_SENT,
            "UserNotFoundException": _CODE_SENT,
        },
    ),
    ("SignUp", "CodeDeliveryFailureException"): Row(Outcome.CODE_UNDELIVERED),
    ("SignUp", "InvalidParameterException"): _invalid(),
    ("SignUp", "NotAuthorizedException"): UNKNOWN,
    **_each(
        ("ConfirmForgotPassword", "ConfirmSignUp"),
        {
            # What Cognito says of unknown names, with PreventUserExistenceErrors.
            "ExpiredCodeException": _BAD_CODE,
            "InvalidParameterException": _BAD_CODE,
            "NotAuthorizedException": _BAD_CODE,  # confirmed already, disabled
            "UserNotConfirmedException": _BAD_CODE,
            "UserNotFoundException": _BAD_CODE,
        },
    ),
    ("InitiateAuth", "InvalidParameterException"): _invalid(),
    ("InitiateAuth", "NotAuthorizedException"): _BAD_CREDENTIALS,
    ("InitiateAuth", "UserLambdaValidationException"): _SIGN_IN_REJECTED,
    ("InitiateAuth", "UserNotFoundException"): _BAD_CREDENTIALS,
    ("RespondToAuthChallenge", "InvalidParameterException"): _invalid(),
    ("RespondToAuthChallenge", "NotAuthorizedException"): _SIGN_IN_EXPIRED,
    ("RespondToAuthChallenge", "SoftwareTokenMFANotFoundException"): _NO_SUCH_MFA,
    ("RespondToAuthChallenge", "UserLambdaValidationException"): _SIGN_IN_REJECTED,
    ("RespondToAuthChallenge", "UserNotFoundException"): _SIGN_IN_EXPIRED,
    **_each(
        _REFRESHING,
        {
            "InvalidParameterException": _BAD_REFRESH_TOKEN,
            "NotAuthorizedException": _BAD_REFRESH_TOKEN,
            "PasswordResetRequiredException": _BAD_REFRESH_TOKEN,
            "UserLambdaValidationException": _SIGN_IN_REJECTED,
            "UserNotConfirmedException": _BAD_REFRESH_TOKEN,
            "UserNotFoundException": _BAD_REFRESH_TOKEN,
        },
    ),
    ("RevokeToken", "InvalidParameterException"): _BAD_REFRESH_TOKEN,
    ("RevokeToken", "NotAuthorizedException"): _BAD_REFRESH_TOKEN,
    ("RevokeToken", "UnsupportedOperationException"): _CHECK_REVOCATION,
}
"""Operation and error code -> what it means there; it goes before CODES."""


@dataclass(frozen=True, slots=True)
class Message:
    """How a message begins, which code it comes with, and what it means.

    `operations` limits it. Empty means all.
    """

    begins: str
    row: Row
    operations: tuple[str, ...] = ()
    codes: tuple[str, ...] = (
        *("InvalidParameterException", "NotAuthorizedException", "UnauthorizedException"),
    )


_CHALLENGE, _SIGN_IN = ("RespondToAuthChallenge",), ("InitiateAuth",)
_WITH_ATTRIBUTES = ("RespondToAuthChallenge", "SignUp", "UpdateUserAttributes")
_WITH_MFA = ("RespondToAuthChallenge", "SetUserMFAPreference", "VerifySoftwareToken")

MESSAGES: Sequence[Message] = (
    # The set-up, for every operation
    Message("Unable to verify secret hash", _WRONG_NAME, _CHALLENGE),
    Message("Unable to verify secret hash", WRONG_REFRESH_NAME, (REFRESH,)),
    Message("Unable to verify secret hash", _CHECK_SECRET),
    Message("Invalid client secret", _CHECK_SECRET),
    Message("Client secret", _CHECK_SECRET),
    Message("Client ", _CHECK_SECRET),
    Message("USER_PASSWORD_AUTH ", _CHECK_FLOW),
    Message("USER_AUTH ", _CHECK_FLOW),
    Message("REFRESH_TOKEN_AUTH ", _CHECK_FLOW),
    Message("Auth flow not enabled", _CHECK_FLOW),
    Message("Initiate Auth method not supported", _CHECK_FLOW),
    Message("Custom auth lambda trigger is not configured", _CHECK_TRIGGER),
    Message("Cannot resend codes. Auto verification not turned on", _CHECK_DELIVERY),
    Message(
        "Device ",
        _UNKNOWN_DEVICE,
        ("InitiateAuth", "RespondToAuthChallenge", *_REFRESHING),
        ("NotAuthorizedException", "InvalidParameterException", "ResourceNotFoundException"),
    ),
    # A user's own limit, which has no code of its own
    *(
        Message(begins, row, operations)
        for begins in ("Password attempts exceeded", "Attempt limit exceeded")
        for row, operations in (*_HIDDEN_LIMITS, (_USERS_LIMIT, ()))
    ),
    # Sign-up
    Message("SignUp is not permitted", Row(errors.SignUpClosed), ("SignUp",)),
    Message(
        "Username should be ",
        _invalid("The username must be an e-mail address or a telephone number"),
        ("SignUp",),
    ),
    Message(
        "Username cannot be of email format",
        _invalid("The username may not be an e-mail address"),
        ("SignUp",),
    ),
    Message(
        "Invalid email address format",
        _invalid("The user directory does not accept email"),
        _WITH_ATTRIBUTES,
    ),
    Message(
        "Invalid phone number format",
        _invalid("The user directory does not accept phone_number"),
        _WITH_ATTRIBUTES,
    ),
    Message("Attributes did not conform", _WRONG_ATTRIBUTE, _WITH_ATTRIBUTES),
    Message("Attribute value for ", _WRONG_ATTRIBUTE, _WITH_ATTRIBUTES),
    Message("Invalid attributes given", _MISSING_ATTRIBUTE, _WITH_ATTRIBUTES),
    # Sign-in: the response does not say whether name, password or account was wrong
    Message("Incorrect username or password", Row(errors.WrongPassword), ("ChangePassword",)),
    Message("Incorrect username or password", _BAD_CREDENTIALS, (*_SIGN_IN, *_CHALLENGE)),
    Message("User is disabled", _BAD_CREDENTIALS, (*_SIGN_IN, *_CHALLENGE)),
    Message("User does not exist", _BAD_CREDENTIALS, (*_SIGN_IN, *_CHALLENGE)),
    Message(
        "Unable to login because of security reasons", _BAD_CREDENTIALS, (*_SIGN_IN, *_CHALLENGE)
    ),
    Message("Temporary password has expired", _BAD_CREDENTIALS, _SIGN_IN),
    Message("User account has expired", _BAD_CREDENTIALS, _SIGN_IN),
    Message("Password has expired", _BAD_CREDENTIALS, _SIGN_IN),
    Message("Missing required parameter USERNAME", _invalid("username is missing"), _SIGN_IN),
    Message("Missing required parameter PASSWORD", _invalid("password is missing"), _SIGN_IN),
    # Challenges
    Message("Invalid session", _SIGN_IN_EXPIRED, _CHALLENGE),
    Message("Session ", _SIGN_IN_EXPIRED, _CHALLENGE),
    Message("Invalid code or auth state", _BAD_CODE, _CHALLENGE),
    Message("Code mismatch", _BAD_CODE, _CHALLENGE),
    Message("Missing required parameter", _MISSING_RESPONSE, _CHALLENGE),
    Message("Cannot modify ", _FIXED_ATTRIBUTE, _CHALLENGE),
    Message("A client attempted to write unauthorized attribute", _FIXED_ATTRIBUTE, _CHALLENGE),
    Message("A client attempted to write unauthorized attribute", CHECK_WRITE),
    Message("User has not set up software token mfa", _NO_SUCH_MFA, _WITH_MFA),
    Message("User has not verified software token mfa", _NO_SUCH_MFA, _WITH_MFA),
    Message("User does not have delivery config set", _NO_SUCH_MFA, _WITH_MFA),
    # Codes
    Message("User cannot be confirmed", _BAD_CODE, ("ConfirmSignUp",)),
    Message("User is already confirmed", _CODE_SENT, _SENDING),
    Message("User password cannot be reset", _CODE_SENT, _SENDING),
    Message("Cannot reset password for the user", _CODE_SENT, _SENDING),
    # Tokens
    Message(
        "Access Token does not have required scopes",
        Row(errors.InsufficientScope),
        _BY_ACCESS_TOKEN,
    ),
    Message("Access Token ", _SESSION_ENDED, _BY_ACCESS_TOKEN),
    Message("Invalid Access Token", _SESSION_ENDED, _BY_ACCESS_TOKEN),
    Message("Could not verify signature for Access Token", _SESSION_ENDED, _BY_ACCESS_TOKEN),
    Message("Refresh Token ", _BAD_REFRESH_TOKEN, (*_REFRESHING, "RevokeToken")),
    Message("Invalid Refresh Token", _BAD_REFRESH_TOKEN, (*_REFRESHING, "RevokeToken")),
)
"""The last resort, since some codes have a dozen meanings. The first that fits counts."""

_WITH_TRIGGERS = {
    *("ConfirmForgotPassword", "ConfirmSignUp", "SignUp", "UpdateUserAttributes"),
    *("InitiateAuth", "RespondToAuthChallenge", *_REFRESHING, *_SENDING),
}
TRIGGERS: Mapping[str, Row] = {
    # A migration looks for users whom the pool does not have: its rejection means an unknown user.
    "UserMigration InitiateAuth": _BAD_CREDENTIALS,
    "UserMigration ForgotPassword": _CODE_SENT,
}
"""A trigger and an operation, where a rejection means something else than the code's row."""
_OWN_TRIGGER = _set_up(
    "SCOPES_BY_GROUP or SCOPES_BY_CLIENT of the Pre Token Generation trigger is malformed: "
    "correct it"
)

_ATTRIBUTES = frozenset(
    [
        *("address", "birthdate", "email", "email_verified"),
        *("family_name", "gender", "given_name", "locale"),
        *("middle_name", "name", "nickname", "phone_number"),
        *("phone_number_verified", "picture", "preferred_username", "profile"),
        *("sub", "updated_at", "website", "zoneinfo"),
    ]
)
"""The attributes that every pool has; other names of attributes are not repeated."""
FIELDS: Mapping[str, str] = {
    **{name: name for name in _ATTRIBUTES},
    "challengename": "challenge",
    "challengeresponses": "responses",
    "clientmetadata": "client_metadata",
    "devicekey": "device_key",
    "device_key": "device_key",
    "devicename": "device_name",
    "friendlydevicename": "device_name",
    "new_password": "the new password",
    "password": "password",
    "previouspassword": "previous_password",
    "proposedpassword": "password",
    "session": "session",
    "userattributes": "the attributes",
    "usercontextdata": "the user's context data",
    "username": "username",
    "validationdata": "the validation data",
}
"""Cognito's parameters that hold what the caller sent, and what this API calls them."""
SET_UP_PARAMETERS: Mapping[str, str] = {
    "clientid": "check AWS_COGNITO_APP_CLIENT_ID",
    "clientsecret": "check AWS_COGNITO_APP_CLIENT_SECRET",
    "secrethash": "check AWS_COGNITO_APP_CLIENT_SECRET",
    "secret_hash": "check AWS_COGNITO_APP_CLIENT_SECRET",
    "userpoolid": "check AWS_USER_POOL_ID",
    "authflow": "this release and the service do not fit each other",
    "analyticsmetadata": "this release and the service do not fit each other",
    "softwaretokenmfasettings": "this release and the service do not fit each other",
}
"""Cognito's parameters that this service sets, and what to do when they are not accepted."""
PROOFS: Mapping[str, Row] = {
    "accesstoken": _SESSION_ENDED,
    "code": _BAD_CODE,
    "confirmationcode": _BAD_CODE,
    "refresh_token": _BAD_REFRESH_TOKEN,
    "refreshtoken": _BAD_REFRESH_TOKEN,
    "token": _BAD_REFRESH_TOKEN,
    "usercode": _BAD_CODE,
}
"""Cognito's parameters that prove something: a malformed one is no better than a wrong one."""
INVALID_VALUE_CODES = {
    *("InvalidParameterException", "InvalidParameterValue", "ValidationError"),
    "ValidationException",
}

_TRIGGER_NAMES = {
    *("CreateAuthChallenge", "CustomEmailSender", "CustomMessage", "CustomSMSSender"),
    *("DefineAuthChallenge", "PostAuthentication", "PostConfirmation", "PreAuthentication"),
    *("PreSignUp", "PreTokenGeneration", "UserMigration", "VerifyAuthChallengeResponse"),
}
_TRIGGER = re.compile(r"([A-Za-z]{3,40}?)(?:V\d)? failed with error (.*)", re.DOTALL)
_MARKUP = re.compile(r"</?[A-Za-z!][^<>]*>|[<>]")
_AT = re.compile(r"Value(?: '.*?')? at '([\w.]{1,64})' failed to satisfy", re.DOTALL)
_NAMED_ATTRIBUTE = re.compile(
    r"(?:given, |provided |attribute |for |schema: |required |[{\n])([a-z_]+)\b", re.IGNORECASE
)
_INVALID_PARAMETER = re.compile(r"[^,\n]* parameter ([\w.\[\]-]+), value")
_CODE = re.compile(r"[A-Za-z][\w.]{1,80}", re.ASCII)
_SERVER_ERROR, _TIMEOUT, _TOO_MANY = 500, 408, 429
_TEXT_LIMIT, _SHORTEST_REDACTED = 200, 3


def meaning(
    operation: str, code: str, message: str = "", *, status: int = 400, sent: Sequence[str] = ()
) -> Row:
    """Look up what an error of Cognito means.

    Args:
        operation: as the API calls it, or REFRESH.
        code: AWS's error code, or what botocore puts in its place.
        message: Cognito's text, which only distinguishes situations.
        status: HTTP status of the response.
        sent: values of the request, which the message may quote.
    """
    row = _of_trigger(operation, code, message) or _of_message(operation, code, message)
    if row is None and code in INVALID_VALUE_CODES:
        row = _of_parameters(operation, _AT.findall(_without_quotes(message, sent)))
    row = row or OPERATIONS.get((operation, code)) or CODES.get(code) or _of_status(code, status)
    if row is _WRONG_ATTRIBUTE and " is required" in message:
        row = _MISSING_ATTRIBUTE
    if row.error is InvalidRequest:
        names = dict.fromkeys(_NAMED_ATTRIBUTE.findall(message))
        known = [name for name in names if name in _ATTRIBUTES]
        if known and row in {_FIXED_ATTRIBUTE, _MISSING_ATTRIBUTE, _WRONG_ATTRIBUTE}:
            return replace(row, message=f"{row.message}: {', '.join(known)}")
    return row


def sdk_meaning(operation: str, error: botocore.BotoCoreError) -> Row:
    """Return what it means that botocore sent nothing, or got no response."""
    if isinstance(error, botocore.ParamValidationError):
        report = str(error.kwargs.get("report", ""))
        found = _INVALID_PARAMETER.match(report.partition("\n")[0])
        return _of_parameters(operation, [found[1]] if found else []) or _CHECK_REQUEST
    if isinstance(error, CREDENTIAL_ERRORS):
        return _set_up(NO_CREDENTIALS)
    if isinstance(error, botocore.SSLError):
        return _CHECK_TLS
    if isinstance(error, _OUTAGES):
        return OUTAGE
    return _set_up(
        "boto3 cannot call Cognito: check AWS_USER_POOL_ID and the AWS configuration files"
    )


def _of_trigger(operation: str, code: str, message: str) -> Row | None:
    found = _TRIGGER.match(message)
    said_no = code == "UserLambdaValidationException" or (
        code == "NotAuthorizedException" and operation in _WITH_TRIGGERS
    )
    if found is None or not said_no:
        return None
    if found[1] == "PreTokenGeneration" and found[2].startswith("SCOPES_BY_"):
        return _OWN_TRIGGER  # our own function, which has no other reason to fail
    return (
        TRIGGERS.get(f"{found[1]} {operation}")
        or OPERATIONS.get((operation, "UserLambdaValidationException"))
        or CODES["UserLambdaValidationException"]
    )


def _of_message(operation: str, code: str, message: str) -> Row | None:
    for known in MESSAGES:
        if (
            code in known.codes
            and message.startswith(known.begins)
            and (not known.operations or operation in known.operations)
        ):
            return known.row
    return None


def _of_parameters(operation: str, names: Sequence[str]) -> Row | None:
    """Return what it means that parameters with these names were not accepted."""
    found = [part for name in names for part in re.split(r"[.\[\]]+", name) if part]
    for part in found:
        if fix := SET_UP_PARAMETERS.get(part.lower()):
            return _set_up(f"Cognito does not accept the parameter {part}: {fix}")
    parts = [part.lower() for part in found]
    if operation in _BY_IAM:
        return None
    for part in parts:
        if part in PROOFS:
            return PROOFS[part]
    fields = dict.fromkeys(FIELDS[part] for part in parts if part in FIELDS)
    return _invalid(f"The user directory does not accept {', '.join(fields)}") if fields else None


def _of_status(code: str, status: int) -> Row:
    """Judge an error that no row knows. The code of botocore is the status where AWS gave none."""
    if status >= _SERVER_ERROR or status == _TIMEOUT:
        return OUTAGE
    if status == _TOO_MANY:
        return _THROTTLED
    return UNKNOWN if _CODE.fullmatch(code) else _CHECK_ENDPOINT


def parameters_in(message: str) -> list[str]:
    """List the parameters that a message says are not valid, each once."""
    return list(dict.fromkeys(_AT.findall(message)))


def printable_code(code: str) -> str:
    """Return an error code for the log, which holds no text of a stranger's server."""
    return code if _CODE.fullmatch(code) or code.isdecimal() else "no code"


def trigger_of(message: str) -> str:
    """Return the name of the trigger that a message is of. Empty if it is of none."""
    found = _TRIGGER.match(message)
    if found is None:
        return ""
    return found[1] if found[1] in _TRIGGER_NAMES else "of an unknown name"


def trigger_text(message: str, sent: Sequence[str]) -> str:
    """Return what a trigger says to the user, fit to be shown.

    Cognito puts "PreSignUp failed with error" before it and a full stop behind it. What the request
    sent is left out, as are control characters and markup. No more than 200 characters
    are passed on.
    """
    found = _TRIGGER.match(message)
    text = found[2].removesuffix(".") if found else message
    for value in sorted(set(sent), key=len, reverse=True):
        if len(value) >= _SHORTEST_REDACTED:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", text, flags=re.IGNORECASE)
    text = " ".join(_MARKUP.sub("", text).split())
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= _TEXT_LIMIT else f"{text[: _TEXT_LIMIT - 1]}…"


def values_of(parameters: Mapping[str, object]) -> list[str]:
    """List the texts among the parameters of a request that came from its caller."""
    return list(_leaves(parameters))


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key not in {"AuthFlow", "ChallengeName", "Name"}:
                yield from _leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)


def _without_quotes(message: str, sent: Sequence[str]) -> str:
    """Leave out values that could pass for Cognito's own words about another parameter."""
    for value in sent:
        if "'" in value:
            message = message.replace(value, "")
    return message
