"""The table of Cognito's errors: complete against botocore's model, and true over HTTP.

Who caused an error hears so: the caller's mistake is a 4xx that names it, our set-up is 503 without
Retry-After and an ERROR log with the fix, an outage is 503 with Retry-After.
"""

import ast
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from apiflask import APIFlask
from botocore import exceptions as botocore
from botocore.stub import Stubber
from flask.testing import FlaskClient

from resource_server.identity import cognito_errors as table
from resource_server.identity import errors
from resource_server.identity.cognito import CognitoIdentityProvider, cognito_client
from resource_server.identity.cognito_errors import REFRESH, Outcome, Row, meaning
from resource_server.identity.provider import TokenSet
from resource_server.refusals import IDENTITY_PROBLEMS
from resource_server.testing import bearer
from resource_server.testing.pool import CognitoPool
from resource_server.tokens.claims import SIGN_IN_SCOPE
from tests import error_page
from tests.conftest import REGION
from tests.test_identity import ANSWERS, CLIENT_ID, METHODS, PASSWORD, USERNAME

IDENTITY = Path(table.__file__).parent
CLIENT: Any = boto3.client("cognito-idp", REGION)
MODEL: Any = CLIENT.meta.service_model
MISCONFIGURED, OUTAGE = errors.DirectoryMisconfigured, errors.IdentityUnavailable


def called() -> set[str]:
    """Return the operations that this package calls, by the names in its source."""
    names = CLIENT.meta.method_to_api_mapping
    found = set()
    for module in IDENTITY.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            name = node.value if isinstance(node, ast.Constant) else getattr(node, "attr", None)
            if isinstance(name, str) and name in names:
                found.add(names[name])
    return found


CALLED = sorted(called())


def test_the_operations_are_found() -> None:
    """Those of users, which test_identity.py has too, and those of administrators."""
    administrators = {"AdminDisableUser", "AdminEnableUser", "AdminGetUser", "ListUsers"}
    assert set(CALLED) >= set(METHODS) | administrators | {"DescribeUserPool"}


@pytest.mark.parametrize("operation", CALLED)
def test_every_error_of_the_model_has_a_row(operation: str) -> None:
    """A new operation or a new error in botocore's model is red until somebody decides."""
    names = {shape.name for shape in MODEL.operation_model(operation).error_shapes}
    rows = {*table.CODES, *(code for each, code in table.OPERATIONS if each == operation)}
    assert names - rows == set()
    # Decided for the operation: what CODES says of them knows nothing of it.
    overloaded = {"NotAuthorizedException"} & names
    assert {(operation, code) for code in overloaded} <= table.OPERATIONS.keys()


@pytest.mark.parametrize("operation", [name for name in CALLED if name not in METHODS])
def test_an_administrator_gets_what_the_directory_names(operation: str) -> None:
    """What identity/directory.py says, which `flask users` has a sentence for."""
    named = {errors.NoSuchUser, errors.DirectoryForbidden, errors.TooManyRequests}
    common = {"AccessDenied", "ExpiredToken", "RequestExpired", "ServiceUnavailable", "Throttling"}
    for code in {shape.name for shape in _errors(operation)} | common:
        for message in ("", "Value at 'username' failed to satisfy", "Password attempts exceeded"):
            row = meaning(operation, code, message)
            assert row.error in named | {MISCONFIGURED, OUTAGE}, (code, message)


def test_no_row_is_left_over() -> None:
    """Each code of a row is in the model, or one that every AWS service may return."""
    model = {shape.name for name in MODEL.operation_names for shape in _errors(name)}
    used = {code for _, code in table.OPERATIONS} - set(table.CODES)
    assert used <= model
    operations = {operation.partition(" ")[0] for operation, _ in table.OPERATIONS}
    assert operations <= set(MODEL.operation_names)


def _errors(operation: str) -> Any:
    return MODEL.operation_model(operation).error_shapes


def _rows() -> Iterator[Row]:
    yield from table.CODES.values()
    yield from table.OPERATIONS.values()
    yield from table.TRIGGERS.values()
    yield from (message.row for message in table.MESSAGES)


def test_every_row_says_whose_mistake_it_is() -> None:
    """4xx for the caller. 503 with a fix for an operator, 503 that passes."""
    for row in _rows():
        if isinstance(row.error, Outcome):
            continue
        problem = IDENTITY_PROBLEMS[row.error]
        if row.error is MISCONFIGURED:
            assert row.fix, row
            assert problem.retry_after is None
        elif row.error is OUTAGE:
            assert problem.retry_after
        elif row.error is not errors.DirectoryForbidden:
            assert 400 <= problem.status < 500, row
        if row.error is errors.TooManyRequests:
            assert row.retry_after, row


# Messages that AWS is known to send, and what each means


MESSAGES: list[tuple[str, str, str, type[errors.IdentityError] | Outcome]] = [
    # Set-up
    ("InitiateAuth", "NotAuthorizedException", "Unable to verify secret hash for client x",
     MISCONFIGURED),
    ("InitiateAuth", "NotAuthorizedException",
     "Client x is configured for secret but secret was not received", MISCONFIGURED),
    ("GetTokensFromRefreshToken", "NotAuthorizedException",
     "Unable to verify secret hash for client x", MISCONFIGURED),
    ("InitiateAuth", "InvalidParameterException",
     "USER_PASSWORD_AUTH flow not enabled for this client", MISCONFIGURED),
    ("InitiateAuth", "InvalidParameterException", "Auth flow not enabled for this client",
     MISCONFIGURED),
    ("InitiateAuth", "InvalidParameterException", "Initiate Auth method not supported.",
     MISCONFIGURED),
    (REFRESH, "NotAuthorizedException",
     "REFRESH_TOKEN_AUTH flow not enabled for this client", MISCONFIGURED),
    ("InitiateAuth", "InvalidParameterException",
     "Custom auth lambda trigger is not configured for the user pool.", MISCONFIGURED),
    ("ResendConfirmationCode", "InvalidParameterException",
     "Cannot resend codes. Auto verification not turned on.", MISCONFIGURED),
    ("UpdateUserAttributes", "NotAuthorizedException",
     "A client attempted to write unauthorized attribute", MISCONFIGURED),
    ("SignUp", "NotAuthorizedException",
     "A client attempted to write unauthorized attribute", MISCONFIGURED),
    # Sign-up
    ("SignUp", "NotAuthorizedException", "SignUp is not permitted for this user pool",
     errors.SignUpClosed),
    ("SignUp", "InvalidParameterException", "Username should be an email.", errors.InvalidRequest),
    ("SignUp", "InvalidParameterException", "Invalid phone number format.", errors.InvalidRequest),
    ("SignUp", "InvalidParameterException", ("Attributes did not conform to the schema: "
     "name.formatted: The attribute name.formatted is required"), errors.InvalidRequest),
    # Sign-in
    ("InitiateAuth", "NotAuthorizedException", "Incorrect username or password.",
     errors.BadCredentials),
    ("InitiateAuth", "NotAuthorizedException", "User is disabled.", errors.BadCredentials),
    ("InitiateAuth", "NotAuthorizedException",
     "Temporary password has expired and must be reset by an administrator.",
     errors.BadCredentials),
    ("InitiateAuth", "NotAuthorizedException",
     "User account has expired, it must be reset by an administrator.", errors.BadCredentials),
    ("RespondToAuthChallenge", "NotAuthorizedException",
     "Unable to login because of security reasons", errors.BadCredentials),
    ("InitiateAuth", "NotAuthorizedException", "Password attempts exceeded",
     errors.BadCredentials),
    ("InitiateAuth", "NotAuthorizedException", "A message of next year", errors.BadCredentials),
    # Challenges
    ("RespondToAuthChallenge", "NotAuthorizedException", "Unable to verify secret hash for client",
     errors.InvalidRequest),
    ("RespondToAuthChallenge", "NotAuthorizedException",
     "Client x is configured with secret but SECRET_HASH was not received", MISCONFIGURED),
    ("RespondToAuthChallenge", "NotAuthorizedException", "Invalid session for the user.",
     errors.SignInExpired),
    ("RespondToAuthChallenge", "NotAuthorizedException",
     "Invalid session for the user, session is expired.", errors.SignInExpired),
    ("RespondToAuthChallenge", "NotAuthorizedException",
     "Cannot modify an already provided email", errors.InvalidRequest),
    ("RespondToAuthChallenge", "NotAuthorizedException",
     "Cannot modify the non-mutable attribute email_verified", errors.InvalidRequest),
    ("RespondToAuthChallenge", "NotAuthorizedException",
     "A client attempted to write unauthorized attribute", errors.InvalidRequest),
    ("RespondToAuthChallenge", "InvalidParameterException",
     "Invalid attributes given, given_name is missing", errors.InvalidRequest),
    ("RespondToAuthChallenge", "InvalidParameterException",
     "Missing required parameter NEW_PASSWORD", errors.InvalidRequest),
    ("RespondToAuthChallenge", "NotAuthorizedException", "Incorrect username or password.",
     errors.BadCredentials),
    ("RespondToAuthChallenge", "NotAuthorizedException",
     "Invalid code or auth state for the user.", errors.BadCode),
    ("RespondToAuthChallenge", "SoftwareTokenMFANotFoundException", "", errors.InvalidRequest),
    # Refresh tokens
    ("GetTokensFromRefreshToken", "NotAuthorizedException", "Refresh Token has expired",
     errors.BadRefreshToken),
    ("GetTokensFromRefreshToken", "NotAuthorizedException", "Invalid Refresh Token.",
     errors.BadRefreshToken),
    ("GetTokensFromRefreshToken", "InvalidParameterException", "?", errors.BadRefreshToken),
    (REFRESH, "NotAuthorizedException", "Unable to verify secret hash for client x",
     errors.InvalidRequest),
    ("RevokeToken", "UnsupportedOperationException", "", MISCONFIGURED),
    # Access tokens
    ("GlobalSignOut", "NotAuthorizedException", "Access Token has been revoked",
     errors.SessionEnded),
    ("GlobalSignOut", "NotAuthorizedException", "Access Token does not have required scopes",
     errors.InsufficientScope),
    ("ChangePassword", "NotAuthorizedException", "Incorrect username or password.",
     errors.WrongPassword),
    ("SetUserMFAPreference", "InvalidParameterException",
     "User has not verified software token mfa", errors.InvalidRequest),
    ("AssociateSoftwareToken", "ConcurrentModificationException", "", errors.ConcurrentChange),
    ("AssociateSoftwareToken", "SoftwareTokenMFANotFoundException", "", MISCONFIGURED),
    # Codes, and who exists
    ("ConfirmSignUp", "NotAuthorizedException",
     "User cannot be confirmed. Current status is CONFIRMED", errors.BadCode),
    ("ForgotPassword", "NotAuthorizedException",
     "User password cannot be reset in the current state.", Outcome.CODE_SENT),
    ("ForgotPassword", "InvalidParameterException", ("Cannot reset password for the user as there "
     "is no registered/verified email or phone_number"), Outcome.CODE_SENT),
    ("ForgotPassword", "UserLambdaValidationException", "CustomMessage failed with error x.",
     Outcome.CODE_SENT),
    # Triggers
    ("InitiateAuth", "UserLambdaValidationException",
     "UserMigration failed with error Bad password.", errors.BadCredentials),
    ("InitiateAuth", "NotAuthorizedException", "PreAuthentication failed with error Suspended.",
     errors.SignInRejected),
    ("GetTokensFromRefreshToken", "UserLambdaValidationException",
     "PreTokenGenerationV2 failed with error Suspended.", errors.SignInRejected),
    ("InitiateAuth", "UserLambdaValidationException",
     "PreTokenGeneration failed with error SCOPES_BY_GROUP is not JSON.", MISCONFIGURED),
    ("GetTokensFromRefreshToken", "UserLambdaValidationException",
     "PreTokenGeneration failed with error SCOPES_BY_CLIENT is not JSON.", MISCONFIGURED),
    ("RevokeToken", "UnauthorizedException", "Unable to verify secret hash for client x",
     MISCONFIGURED),
    ("ConfirmSignUp", "UserLambdaValidationException", "PostConfirmation failed with error no.",
     errors.TriggerRejected),
    # Administrators
    ("AdminGetUser", "NotAuthorizedException", "", errors.DirectoryForbidden),
    ("AdminGetUser", "InvalidParameterException", "Value at 'username' failed to satisfy",
     errors.NoSuchUser),
    ("ListUsers", "InvalidParameterException", "Invalid pagination token given.", OUTAGE),
    # What every AWS service may return
    ("SignUp", "ServiceUnavailable", "", OUTAGE),
    ("SignUp", "ThrottlingException", "", errors.TooManyRequests),
    ("ListUsers", "RequestExpired", "", MISCONFIGURED),
    ("ListUsers", "UnrecognizedClientException", "", MISCONFIGURED),
    ("ListUsers", "ExpiredTokenException", "", MISCONFIGURED),
    ("SignUp", "AccessDeniedException", "", MISCONFIGURED),
    ("SignUp", "SerializationException", "", MISCONFIGURED),
    ("SignUp", "AnErrorOfNextYear", "", MISCONFIGURED),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "code", "message", "expected"), MESSAGES)
def test_a_known_message_has_its_meaning(
    operation: str, code: str, message: str, expected: type[errors.IdentityError] | Outcome
) -> None:
    """Public issues quote these. Unknown ones fall back on the code."""
    assert meaning(operation, code, message).error is expected


@pytest.mark.parametrize(
    ("operations", "codes"),
    [
        (
            ("ConfirmSignUp", "ConfirmForgotPassword"),
            (
                *("CodeMismatchException", "ExpiredCodeException", "NotAuthorizedException"),
                *("UserNotFoundException", "UserNotConfirmedException"),
            ),
        ),
        (("InitiateAuth",), ("NotAuthorizedException", "UserNotFoundException")),
        (("RespondToAuthChallenge",), ("NotAuthorizedException", "UserNotFoundException")),
        (
            ("ForgotPassword", "ResendConfirmationCode"),
            ("NotAuthorizedException", "UserNotFoundException", "CodeDeliveryFailureException"),
        ),
    ],
)
def test_an_unknown_name_reads_like_a_known_one(
    operations: tuple[str, ...], codes: tuple[str, ...]
) -> None:
    """With PreventUserExistenceErrors or without it, and beyond the limit of a user."""
    limits = [(code, "") for code in ("LimitExceededException", "TooManyFailedAttemptsException")]
    limits += [
        ("NotAuthorizedException", message)
        for message in ("Password attempts exceeded", "Attempt limit exceeded, try later")
    ]
    for operation in operations:
        rows = [meaning(operation, *each) for each in [*((code, "") for code in codes), *limits]]
        assert not any(row.message for row in rows)
        told = {
            row.error if isinstance(row.error, Outcome) else IDENTITY_PROBLEMS[row.error]
            for row in rows
        }
        assert len(told) == 1, operation


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("500", 500, OUTAGE),
        ("502", 502, OUTAGE),
        ("408", 408, OUTAGE),
        ("429", 429, errors.TooManyRequests),
        ("403", 403, MISCONFIGURED),
        ("302", 302, MISCONFIGURED),
        ("AnErrorOfNextYear", 500, OUTAGE),
    ],
)
def test_an_answer_that_is_not_cognitos_is_told_by_its_status(
    code: str, status: int, expected: type[errors.IdentityError]
) -> None:
    """The status stands in for a code: a proxy responded, or another server."""
    assert meaning("SignUp", code, "<html>", status=status).error is expected


# The parameter that a message names


@pytest.mark.parametrize(
    ("operation", "name", "expected", "says"),
    [
        ("SignUp", "username", errors.InvalidRequest, "accept username"),
        ("SignUp", "password", errors.InvalidRequest, "accept password"),
        ("SignUp", "clientId", MISCONFIGURED, "AWS_COGNITO_APP_CLIENT_ID"),
        ("SignUp", "secretHash", MISCONFIGURED, "AWS_COGNITO_APP_CLIENT_SECRET"),
        ("ConfirmSignUp", "username", errors.InvalidRequest, "accept username"),
        ("ConfirmSignUp", "confirmationCode", errors.BadCode, ""),
        ("ConfirmForgotPassword", "password", errors.InvalidRequest, "accept password"),
        ("ForgotPassword", "username", errors.InvalidRequest, "accept username"),
        ("ForgotPassword", "clientId", MISCONFIGURED, "AWS_COGNITO_APP_CLIENT_ID"),
        ("RespondToAuthChallenge", "session", errors.InvalidRequest, "accept session"),
        ("GetTokensFromRefreshToken", "refreshToken", errors.BadRefreshToken, ""),
        ("GetTokensFromRefreshToken", "clientSecret", MISCONFIGURED, "CLIENT_SECRET"),
        ("RevokeToken", "token", errors.BadRefreshToken, ""),
        ("ChangePassword", "previousPassword", errors.InvalidRequest, "previous_password"),
        ("ChangePassword", "proposedPassword", errors.InvalidRequest, "accept password"),
        ("VerifySoftwareToken", "userCode", errors.BadCode, ""),
        ("VerifySoftwareToken", "friendlyDeviceName", errors.InvalidRequest, "device_name"),
        ("GetUser", "accessToken", errors.SessionEnded, ""),
        ("ListUsers", "userPoolId", MISCONFIGURED, "userPoolId: check AWS_USER_POOL_ID"),
    ],
)
def test_an_invalid_parameter_is_told_by_its_name(
    operation: str, name: str, expected: type[errors.IdentityError], says: str
) -> None:
    """Not by one guess an operation, with and without the value that AWS may quote."""
    for quoted in ("", " 'their value'"):
        message = f"1 validation error detected: Value{quoted} at '{name}' failed to satisfy …"
        row = meaning(operation, "InvalidParameterException", message)
        assert row.error is expected
        assert says in f"{row.message}{row.fix}"
        assert "their value" not in f"{row.message}{row.fix}"


def test_a_value_does_not_pass_for_a_parameter() -> None:
    """A value in Cognito's own words does not read like an error of the set-up."""
    value = "x' at 'clientId' failed to satisfy constraint; Value 'y"
    message = f"1 validation error detected: Value '{value}' at 'password' failed to satisfy …"
    row = meaning("SignUp", "InvalidParameterException", message, sent=[value])
    assert row.error is errors.InvalidRequest


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (("Attributes did not conform to the schema: name.formatted: The attribute name.formatted "
         "is required"), "missing: name"),
        ("Attributes did not conform to the schema: email: The attribute is required",
         "missing: email"),
        (("Attributes did not conform to the schema: custom:tenant: Attribute does not exist in "
         "the schema."), "An attribute does not fit the user pool"),
        ("Invalid attributes given, given_name is missing", "missing: given_name"),
        ("Cannot modify an already provided email", "changed: email"),
        ("Cannot modify the non-mutable attribute email_verified", "changed: email_verified"),
    ],
)  # fmt: skip
def test_an_attribute_is_named_if_every_pool_has_it(message: str, says: str) -> None:
    """A custom attribute's name may be what was sent."""
    row = meaning("RespondToAuthChallenge", "InvalidParameterException", message)
    assert row.error is errors.InvalidRequest
    assert row.message.endswith(says)
    assert "tenant" not in row.message


# Botocore's own errors


@pytest.mark.parametrize(
    ("error", "expected", "says"),
    [
        (botocore.NoCredentialsError(), MISCONFIGURED, "no usable AWS credentials"),
        (botocore.ProfileNotFound(profile="x"), MISCONFIGURED, "no usable AWS credentials"),
        (botocore.SSLError(endpoint_url="x", error=OSError()), MISCONFIGURED, "AWS_CA_BUNDLE"),
        (botocore.NoRegionError(), MISCONFIGURED, "AWS_USER_POOL_ID"),
        (botocore.EndpointConnectionError(endpoint_url="x"), OUTAGE, ""),
        (botocore.ConnectTimeoutError(endpoint_url="x"), OUTAGE, ""),
        (botocore.ReadTimeoutError(endpoint_url="x"), OUTAGE, ""),
        (botocore.ConnectionClosedError(endpoint_url="x"), OUTAGE, ""),
        (botocore.ProxyConnectionError(proxy_url="x"), OUTAGE, ""),
        (botocore.HTTPClientError(error="x"), OUTAGE, ""),
        (
            botocore.ParamValidationError(
                report="Invalid length for parameter ClientSecret, value: 5, valid min length: 24"
            ),
            MISCONFIGURED,
            "AWS_COGNITO_APP_CLIENT_SECRET",
        ),
        (
            botocore.ParamValidationError(
                report="Invalid type for parameter AuthParameters.PASSWORD, value: ['x, y'], …"
            ),
            errors.InvalidRequest,
            "password",
        ),
        (
            botocore.ParamValidationError(
                report="Invalid length for parameter Username, value: 0, valid min length: 1\n"
                "Invalid length for parameter ClientId, value: 0, valid min length: 1"
            ),
            errors.InvalidRequest,
            "username",
        ),
        (
            botocore.ParamValidationError(report='Unknown parameter in input: "Nickname", …'),
            MISCONFIGURED,
            "",
        ),
    ],
)
def test_an_error_of_botocore_says_whose_it_is(
    error: botocore.BotoCoreError, expected: type[errors.IdentityError], says: str
) -> None:
    """A value that botocore rejects is never an outage."""
    row = table.sdk_meaning("SignUp", error)
    assert row.error is expected
    assert says in f"{row.message}{row.fix}"


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("PreSignUp failed with error x", "PreSignUp"),
        ("PreTokenGenerationV2 failed with error x", "PreTokenGeneration"),
        ("Hunter failed with error x", "of an unknown name"),
        ("x", ""),
    ],
)
def test_the_log_names_triggers_of_cognitos_alone(message: str, name: str) -> None:
    """What another server says is no text of ours."""
    assert table.trigger_of(message) == name


# What a trigger says to the user


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("PreSignUp failed with error Domain not allowed.", "Domain not allowed"),
        ("PreSignUp failed with error Not allowed..", "Not allowed."),
        ("PreSignUp failed with error grace@example.com is on no list.", "… is on no list"),
        ("PreSignUp failed with error GRACE may not.", "… may not"),
        ("PreSignUp failed with error disgraceful.", "disgraceful"),
        ("PreSignUp failed with error Use Secr3t-passw0rd! no more.", "Use … no more"),
        ("PreSignUp failed with error <b>no</b>\x1b[31m\r\nnext\u202eline.", "no[31m nextline"),
        (f"PreSignUp failed with error {'x' * 500}.", "x" * 199 + "…"),
        ("A server's own sentence", "A server's own sentence"),
        ("PreSignUp failed with error .", ""),
    ],
)
def test_what_a_trigger_says_is_passed_on_within_limits(message: str, text: str) -> None:
    """No value that was sent, no control characters, no markup, 200 characters at most."""
    sent = ["grace", "grace@example.com", "Secr3t-passw0rd!", "no"]
    assert table.trigger_text(message, sent) == text


def test_a_trigger_is_named_in_the_log_and_its_words_are_not(
    stub: Stubber, boto_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator sees which trigger rejects. What it says is between it and the user."""
    caplog.set_level(logging.DEBUG, logger="resource_server")
    provider = CognitoIdentityProvider(boto_client, client_id=CLIENT_ID)
    message = "PreAuthentication failed with error grace is suspended."
    stub.add_client_error("initiate_auth", "UserLambdaValidationException", message)
    with pytest.raises(errors.SignInRejected) as caught:
        provider.authenticate(USERNAME, PASSWORD)
    assert caught.value.message == "… is suspended"
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "PreAuthentication" in record.getMessage()
    assert "suspended" not in record.getMessage()


@pytest.fixture(scope="module")
def boto_client() -> Iterator[Any]:
    """A real client, which the tests stub."""
    client = cognito_client(REGION)
    yield client
    client.close()


@pytest.fixture
def provider(stub: Stubber, boto_client: Any) -> CognitoIdentityProvider:
    """The provider of a public app client."""
    return CognitoIdentityProvider(boto_client, client_id=CLIENT_ID)


# Members of responses


def test_a_sign_in_needs_the_access_token_alone(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """The model requires no member of AuthenticationResult. The token says when it ends."""
    stub.add_response("initiate_auth", {"AuthenticationResult": {"AccessToken": "a.b.c"}})
    tokens = provider.authenticate(USERNAME, PASSWORD)
    assert (tokens.expires_in, tokens.token_type) == (None, "Bearer")  # type: ignore[union-attr]


def test_an_attribute_may_lack_its_value(provider: CognitoIdentityProvider, stub: Stubber) -> None:
    """AttributeType requires only its name."""
    attributes = [{"Name": "sub", "Value": "0f3c"}, {"Name": "email"}]
    stub.add_response("get_user", {"Username": "grace", "UserAttributes": attributes})
    assert provider.profile("a.b.c").email is None


def test_a_verified_app_may_come_without_a_status(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """VerifySoftwareToken requires none. ERROR is the one that says no."""
    stub.add_response("verify_software_token", {})
    provider.confirm_totp("a.b.c", "123456")
    stub.add_response("verify_software_token", {"Status": "ERROR"})
    with pytest.raises(errors.BadCode):
        provider.confirm_totp("a.b.c", "123456")


def test_members_that_are_read_are_required_or_may_be_missing(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """With each member left out in turn that the model does not require, a call still works.

    But for those without which there is no result: the tokens, and the secret of an app.
    """
    essential = {"AuthenticationResult", "SecretCode"}
    for operation, method in METHODS.items():
        shape = MODEL.operation_model(operation).output_shape
        required = set(shape.required_members if shape else ())
        for member in set(ANSWERS[operation]) - required - essential:
            answer = {k: v for k, v in ANSWERS[operation].items() if k != member}
            stub.add_response(method, answer)
            _call(provider, operation)


@pytest.mark.parametrize("value", [5, "x", True, [], ["x"], {}, {"x": 5}, [{}]], ids=repr)
def test_an_answer_of_another_shape_is_unavailable(value: object) -> None:
    """A server that is not AWS may send anything. No exception but ours comes of it."""

    class Odd:
        """Responds to everything with members of the wrong type."""

        meta = CLIENT.meta
        answer: Mapping[str, object] = {}

        def __getattr__(self, _method: str) -> Any:
            return lambda **_: self.answer

    odd: Any = Odd()
    provider = CognitoIdentityProvider(odd, client_id=CLIENT_ID)
    for operation in METHODS:
        for member, inner in [(None, None), *_members(ANSWERS[operation])]:
            odd.answer = {**ANSWERS[operation]}
            if inner is not None:
                odd.answer[member] = {**odd.answer[member], inner: value}
            elif member is not None:
                odd.answer[member] = value
            try:
                result = _call(provider, operation)
            except errors.IdentityError:
                continue
            if isinstance(result, TokenSet):
                texts = (result.access_token, result.id_token or "", result.refresh_token or "")
                assert all(isinstance(text, str) for text in texts)
                assert result.expires_in is None or type(result.expires_in) is int


def _members(answer: Mapping[str, object]) -> Iterator[tuple[str, str | None]]:
    for name, value in answer.items():
        yield name, None
        if isinstance(value, dict):
            yield from ((name, inner) for inner in value)


def _call(provider: CognitoIdentityProvider, operation: str) -> object:
    from tests.test_identity import CALLS  # noqa: PLC0415 - its fixtures have the same names

    return CALLS[operation](provider)


# Over HTTP


OWN_ACCOUNT: list[tuple[str, str, Mapping[str, object] | None]] = [
    ("POST", "/users/logout", {}),
    ("POST", "/users/change_password", {"previous_password": "Old-1234!", "password": "New-123!"}),
    ("PATCH", "/users/me", {"full_name": "Ada"}),
    ("DELETE", "/users/me", None),
    ("POST", "/users/me/totp", None),
    ("POST", "/users/me/totp/verify", {"confirmation_code": "123456"}),
    ("PUT", "/users/me/totp", {"enabled": True}),
]


@pytest.mark.parametrize(("method", "path", "body"), OWN_ACCOUNT)
def test_ones_own_account_needs_cognitos_scope(
    client: FlaskClient,
    cognito_pool: CognitoPool,
    method: str,
    path: str,
    body: Mapping[str, object] | None,
) -> None:
    """403 that names the scope (RFC 6750 section 3.1), before Cognito is called."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    refused = client.open(path, method=method, json=body, headers=headers)
    assert refused.status_code == 403
    assert SIGN_IN_SCOPE in refused.json["detail"]
    challenge = refused.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    needed = f"me {SIGN_IN_SCOPE}" if "/me" in path else SIGN_IN_SCOPE
    assert f'scope="{needed}"' in challenge


def test_a_refused_logout_ends_nothing(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Neither the token here nor, unless only it is named, the refresh token at Cognito."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    sent = {"refresh_token": "r" * 40}
    assert client.post("/users/logout", json=sent, headers=headers).status_code == 403
    assert client.get("/users/me", headers=headers).status_code == 200


# The page


def test_the_page_shows_the_table() -> None:
    """docs/cognito-errors.md is made of it."""
    assert error_page.FILE.read_text(encoding="utf-8") == error_page.page(), error_page.FIX
