"""CognitoIdentityProvider: what it sends, what it makes of Cognito's answers, what it never tells.

With botocore's Stubber for what no emulator produces, over a real socket for what happens on the
wire, and on moto for the whole way.
"""

import base64
import hashlib
import hmac
import json
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.stub import Stubber

from resource_server.emulator import gaps
from resource_server.identity.cognito import (
    CognitoIdentityProvider,
    admin_client,
    cognito_client,
)
from resource_server.identity.errors import (
    AccountGone,
    BadCode,
    BadCredentials,
    BadRefreshToken,
    ConcurrentChange,
    DirectoryMisconfigured,
    ExpiredCode,
    IdentityError,
    IdentityUnavailable,
    InsufficientScope,
    InvalidRequest,
    NotConfirmed,
    PasswordRejected,
    PasswordResetRequired,
    RequestBlocked,
    SessionEnded,
    SignInExpired,
    SignInRejected,
    SignUpClosed,
    TooManyRequests,
    TriggerRejected,
    UsernameTaken,
    WrongPassword,
)
from resource_server.identity.provider import (
    Challenge,
    Context,
    DeviceVerifier,
    NewDevice,
    SignUp,
    TokenSet,
)
from resource_server.testing import CognitoIdp, KitUser
from tests.conftest import REGION, other_than

CLIENT_ID = "1example23456789"
CLIENT_SECRET = "s3cret-of-the-client-app-1"
USERNAME, EMAIL = "grace", "grace@example.com"
PASSWORD, CODE, TOKEN = "Secr3t-passw0rd!", "314159", "secret.access.token"
NEW_PASSWORD, REFRESH, SESSION = "N3w-secr3t-passw0rd!", "secret-refresh-token", "a-session-" * 3
DEVICE_KEY = "eu-west-2_11111111-1111-1111-1111-111111111111"
SECRETS = (PASSWORD, NEW_PASSWORD, CODE, TOKEN, REFRESH, SESSION, CLIENT_SECRET)

CALLS: dict[str, Callable[[CognitoIdentityProvider], object]] = {
    "SignUp": lambda provider: provider.sign_up(USERNAME, email=EMAIL, password=PASSWORD),
    "ConfirmSignUp": lambda provider: provider.confirm_sign_up(USERNAME, CODE),
    "ResendConfirmationCode": lambda provider: provider.resend_confirmation_code(USERNAME),
    "InitiateAuth": lambda provider: provider.authenticate(USERNAME, PASSWORD),
    "GlobalSignOut": lambda provider: provider.sign_out(TOKEN),
    "RespondToAuthChallenge": lambda provider: provider.answer_challenge(
        USERNAME, "SMS_MFA", SESSION, {"SMS_MFA_CODE": CODE}
    ),
    "GetTokensFromRefreshToken": lambda provider: provider.refresh(REFRESH),
    "RevokeToken": lambda provider: provider.revoke(REFRESH),
    "ForgotPassword": lambda provider: provider.forgot_password(USERNAME),
    "ConfirmForgotPassword": lambda provider: provider.reset_password(USERNAME, CODE, PASSWORD),
    "ChangePassword": lambda provider: provider.change_password(
        TOKEN, previous=PASSWORD, password=NEW_PASSWORD
    ),
    "GetUser": lambda provider: provider.profile(TOKEN),
    "UpdateUserAttributes": lambda provider: provider.rename(TOKEN, "Grace Hopper"),
    "ConfirmDevice": lambda provider: provider.confirm_device(TOKEN, DEVICE_KEY),
    "DeleteUser": lambda provider: provider.delete_user(TOKEN),
    "AssociateSoftwareToken": lambda provider: provider.begin_totp(TOKEN),
    "VerifySoftwareToken": lambda provider: provider.confirm_totp(TOKEN, CODE),
    "SetUserMFAPreference": lambda provider: provider.use_totp(TOKEN, enabled=True),
}
METHODS = {
    "SignUp": "sign_up",
    "ConfirmSignUp": "confirm_sign_up",
    "ResendConfirmationCode": "resend_confirmation_code",
    "InitiateAuth": "initiate_auth",
    "GlobalSignOut": "global_sign_out",
    "RespondToAuthChallenge": "respond_to_auth_challenge",
    "GetTokensFromRefreshToken": "get_tokens_from_refresh_token",
    "RevokeToken": "revoke_token",
    "ForgotPassword": "forgot_password",
    "ConfirmForgotPassword": "confirm_forgot_password",
    "ChangePassword": "change_password",
    "GetUser": "get_user",
    "UpdateUserAttributes": "update_user_attributes",
    "ConfirmDevice": "confirm_device",
    "DeleteUser": "delete_user",
    "AssociateSoftwareToken": "associate_software_token",
    "VerifySoftwareToken": "verify_software_token",
    "SetUserMFAPreference": "set_user_mfa_preference",
}
ANSWERS: dict[str, dict[str, Any]] = {
    "SignUp": {"UserConfirmed": False, "UserSub": "0f3c"},
    "ConfirmSignUp": {},
    "ResendConfirmationCode": {},
    "InitiateAuth": {
        "ChallengeParameters": {},
        "AuthenticationResult": {
            "AccessToken": TOKEN,
            "ExpiresIn": 3600,
            "TokenType": "Bearer",
            "IdToken": "secret.id.token",
            "RefreshToken": "secret-refresh-token",
        },
    },
    "GlobalSignOut": {},
    "RevokeToken": {},
    "ForgotPassword": {},
    "ConfirmForgotPassword": {},
    "ChangePassword": {},
    "GetUser": {
        "Username": USERNAME,
        "UserAttributes": [
            {"Name": "sub", "Value": "0f3c"},
            {"Name": "email", "Value": EMAIL},
            {"Name": "name", "Value": "Grace Hopper"},
        ],
    },
    "UpdateUserAttributes": {},
    "ConfirmDevice": {"UserConfirmationNecessary": False},
    "DeleteUser": {},
    "AssociateSoftwareToken": {"SecretCode": "GEZDGNBVGY3TQOJQ"},
    "VerifySoftwareToken": {"Status": "SUCCESS"},
    "SetUserMFAPreference": {},
}
ANSWERS["RespondToAuthChallenge"] = ANSWERS["InitiateAuth"]
ANSWERS["GetTokensFromRefreshToken"] = {
    "AuthenticationResult": ANSWERS["InitiateAuth"]["AuthenticationResult"]
}
PARAMETERS: dict[str, dict[str, Any]] = {
    "SignUp": {
        "ClientId": CLIENT_ID,
        "Username": USERNAME,
        "Password": PASSWORD,
        "UserAttributes": [{"Name": "email", "Value": EMAIL}],
    },
    "ConfirmSignUp": {"ClientId": CLIENT_ID, "Username": USERNAME, "ConfirmationCode": CODE},
    "ResendConfirmationCode": {"ClientId": CLIENT_ID, "Username": USERNAME},
    "InitiateAuth": {
        "ClientId": CLIENT_ID,
        "AuthFlow": "USER_PASSWORD_AUTH",
        "AuthParameters": {"USERNAME": USERNAME, "PASSWORD": PASSWORD},
    },
    "GlobalSignOut": {"AccessToken": TOKEN},
    "RespondToAuthChallenge": {
        "ClientId": CLIENT_ID,
        "ChallengeName": "SMS_MFA",
        "Session": SESSION,
        "ChallengeResponses": {"USERNAME": USERNAME, "SMS_MFA_CODE": CODE},
    },
    "GetTokensFromRefreshToken": {"ClientId": CLIENT_ID, "RefreshToken": REFRESH},
    "RevokeToken": {"ClientId": CLIENT_ID, "Token": REFRESH},
    "ForgotPassword": {"ClientId": CLIENT_ID, "Username": USERNAME},
    "ConfirmForgotPassword": {
        "ClientId": CLIENT_ID,
        "Username": USERNAME,
        "ConfirmationCode": CODE,
        "Password": PASSWORD,
    },
    "ChangePassword": {
        "AccessToken": TOKEN,
        "PreviousPassword": PASSWORD,
        "ProposedPassword": NEW_PASSWORD,
    },
    "GetUser": {"AccessToken": TOKEN},
    "UpdateUserAttributes": {
        "AccessToken": TOKEN,
        "UserAttributes": [{"Name": "name", "Value": "Grace Hopper"}],
    },
    "ConfirmDevice": {"AccessToken": TOKEN, "DeviceKey": DEVICE_KEY},
    "DeleteUser": {"AccessToken": TOKEN},
    "AssociateSoftwareToken": {"AccessToken": TOKEN},
    "VerifySoftwareToken": {"AccessToken": TOKEN, "UserCode": CODE},
    "SetUserMFAPreference": {
        "AccessToken": TOKEN,
        "SoftwareTokenMfaSettings": {"Enabled": True, "PreferredMfa": True},
    },
}
OPERATIONS = list(CALLS)


def secret_hash(username: str, client_id: str = CLIENT_ID, secret: str = CLIENT_SECRET) -> str:
    """SECRET_HASH as the Cognito guide writes it down."""
    digest = hmac.new(secret.encode(), (username + client_id).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


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


@pytest.fixture
def secret_provider(stub: Stubber, boto_client: Any) -> CognitoIdentityProvider:
    """The provider of an app client with a secret."""
    return CognitoIdentityProvider(boto_client, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)


def refusal(provider: CognitoIdentityProvider, operation: str) -> IdentityError:
    """Call an operation and return the exception it ends with."""
    with pytest.raises(IdentityError) as caught:
        CALLS[operation](provider)
    return caught.value


# What is sent

CONTEXT = Context({"campaign": "spring"}, encoded_data="ZGV2aWNl", ip_address="192.0.2.7")
IN_CONTEXT: dict[str, Callable[[CognitoIdentityProvider], object]] = {
    "SignUp": lambda provider: provider.sign_up(
        USERNAME, email=EMAIL, password=PASSWORD, context=CONTEXT
    ),
    "ConfirmSignUp": lambda provider: provider.confirm_sign_up(USERNAME, CODE, context=CONTEXT),
    "ResendConfirmationCode": lambda provider: provider.resend_confirmation_code(
        USERNAME, context=CONTEXT
    ),
    "InitiateAuth": lambda provider: provider.authenticate(USERNAME, PASSWORD, context=CONTEXT),
    "RespondToAuthChallenge": lambda provider: provider.answer_challenge(
        USERNAME, "SMS_MFA", SESSION, {"SMS_MFA_CODE": CODE}, context=CONTEXT
    ),
    "GetTokensFromRefreshToken": lambda provider: provider.refresh(REFRESH, context=CONTEXT),
    "ForgotPassword": lambda provider: provider.forgot_password(USERNAME, context=CONTEXT),
    "ConfirmForgotPassword": lambda provider: provider.reset_password(
        USERNAME, CODE, PASSWORD, context=CONTEXT
    ),
    "UpdateUserAttributes": lambda provider: provider.rename(
        TOKEN, "Grace Hopper", context=CONTEXT
    ),
}


@pytest.mark.parametrize("operation", CALLS)
def test_metadata_and_context_reach_each_operation_that_takes_them(
    provider: CognitoIdentityProvider, stub: Stubber, boto_client: Any, operation: str
) -> None:
    """By botocore's model: ClientMetadata for triggers, UserContextData for threat protection."""
    takes = boto_client.meta.service_model.operation_model(operation).input_shape.members
    assert ("ClientMetadata" in takes) == (operation in IN_CONTEXT)
    if operation not in IN_CONTEXT:
        return
    expected = PARAMETERS[operation] | {"ClientMetadata": {"campaign": "spring"}}
    if "UserContextData" in takes:
        expected |= {"UserContextData": {"EncodedData": "ZGV2aWNl", "IpAddress": "192.0.2.7"}}
    stub.add_response(METHODS[operation], ANSWERS[operation], expected)
    IN_CONTEXT[operation](provider)


def test_a_device_is_named_and_told_of(provider: CognitoIdentityProvider, stub: Stubber) -> None:
    """DEVICE_KEY at sign-in, DeviceKey at refresh. NewDeviceMetadata comes back."""
    named = {"AuthParameters": PARAMETERS["InitiateAuth"]["AuthParameters"]}
    named["AuthParameters"] = named["AuthParameters"] | {"DEVICE_KEY": DEVICE_KEY}
    metadata = {"DeviceKey": DEVICE_KEY, "DeviceGroupKey": "-abc"}
    result = ANSWERS["InitiateAuth"]["AuthenticationResult"] | {"NewDeviceMetadata": metadata}
    answer = {"AuthenticationResult": result}
    stub.add_response("initiate_auth", answer, PARAMETERS["InitiateAuth"] | named)
    tokens = provider.authenticate(USERNAME, PASSWORD, device_key=DEVICE_KEY)
    assert isinstance(tokens, TokenSet)
    assert tokens.new_device == NewDevice(DEVICE_KEY, "-abc")
    expected = PARAMETERS["GetTokensFromRefreshToken"] | {"DeviceKey": DEVICE_KEY}
    stub.add_response("get_tokens_from_refresh_token", answer, expected)
    provider.refresh(REFRESH, device_key=DEVICE_KEY)


def test_a_server_that_refreshes_by_name_is_told_the_device(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """DEVICE_KEY of REFRESH_TOKEN_AUTH."""
    stub.add_client_error("get_tokens_from_refresh_token", "UnknownOperationException")
    expected = {
        "ClientId": CLIENT_ID,
        "AuthFlow": "REFRESH_TOKEN_AUTH",
        "AuthParameters": {"REFRESH_TOKEN": REFRESH, "DEVICE_KEY": DEVICE_KEY},
    }
    stub.add_response("initiate_auth", ANSWERS["InitiateAuth"], expected)
    provider.refresh(REFRESH, device_key=DEVICE_KEY)


@pytest.mark.parametrize("necessary", [True, False])
def test_a_device_is_confirmed(
    provider: CognitoIdentityProvider, stub: Stubber, necessary: bool
) -> None:
    """Name and verifier go along. Whether the user must agree comes back."""
    verifier = {"PasswordVerifier": "dg==", "Salt": "cw=="}
    expected = PARAMETERS["ConfirmDevice"] | {
        "DeviceName": "Ada's telephone",
        "DeviceSecretVerifierConfig": verifier,
    }
    stub.add_response("confirm_device", {"UserConfirmationNecessary": necessary}, expected)
    confirmed = provider.confirm_device(
        TOKEN, DEVICE_KEY, name="Ada's telephone", verifier=DeviceVerifier("dg==", "cw==")
    )
    assert confirmed is necessary


@pytest.mark.parametrize(
    "operation", ["initiate_auth", "get_tokens_from_refresh_token", "confirm_device"]
)
def test_an_unknown_device_is_the_callers_mistake(
    provider: CognitoIdentityProvider, stub: Stubber, operation: str
) -> None:
    """ResourceNotFoundException is not always our set-up."""
    stub.add_client_error(operation, "ResourceNotFoundException", "Device does not exist.")
    calls: dict[str, Callable[[], object]] = {
        "initiate_auth": lambda: provider.authenticate(USERNAME, PASSWORD, device_key=DEVICE_KEY),
        "get_tokens_from_refresh_token": lambda: provider.refresh(REFRESH, device_key=DEVICE_KEY),
        "confirm_device": lambda: provider.confirm_device(TOKEN, DEVICE_KEY),
    }
    with pytest.raises(InvalidRequest, match="no such device"):
        calls[operation]()


@pytest.mark.parametrize(
    ("attributes", "error"),
    [({"custom:admin": "1"}, InvalidRequest), ({}, DirectoryMisconfigured)],
)
def test_who_chose_an_attribute_that_may_not_be_written(
    provider: CognitoIdentityProvider,
    stub: Stubber,
    attributes: dict[str, str],
    error: type[IdentityError],
) -> None:
    """The caller's mistake where the caller chose some. With only email it is our set-up."""
    text = "A client attempted to write unauthorized attribute"
    stub.add_client_error("sign_up", "NotAuthorizedException", text)
    with pytest.raises(error):
        provider.sign_up(USERNAME, email=EMAIL, password=PASSWORD, attributes=attributes)


def test_the_challenges_to_select_from_are_told(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """AvailableChallenges is beside the parameters in Cognito's response."""
    answer = {
        "ChallengeName": "SELECT_CHALLENGE",
        "Session": SESSION,
        "ChallengeParameters": {},
        "AvailableChallenges": ["PASSWORD", "EMAIL_OTP"],
    }
    stub.add_response("initiate_auth", answer, PARAMETERS["InitiateAuth"])
    challenge = provider.authenticate(USERNAME, PASSWORD)
    assert isinstance(challenge, Challenge)
    assert challenge.parameters == {"AVAILABLE_CHALLENGES": '["PASSWORD", "EMAIL_OTP"]'}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_public_client_sends_exactly_this(
    provider: CognitoIdentityProvider, stub: Stubber, operation: str
) -> None:
    """Without a client secret there is no hash, and nothing else is sent than what is needed."""
    stub.add_response(METHODS[operation], ANSWERS[operation], PARAMETERS[operation])
    CALLS[operation](provider)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_client_with_a_secret_adds_the_hash(
    secret_provider: CognitoIdentityProvider, stub: Stubber, operation: str
) -> None:
    """The hash is of the name as it was typed (T17), and stands where each operation wants it."""
    expected = dict(PARAMETERS[operation])
    if operation == "InitiateAuth":
        expected["AuthParameters"] = {
            **expected["AuthParameters"],
            "SECRET_HASH": secret_hash(USERNAME),
        }
    elif operation == "RespondToAuthChallenge":
        expected["ChallengeResponses"] = {
            **expected["ChallengeResponses"],
            "SECRET_HASH": secret_hash(USERNAME),
        }
    elif operation in {"GetTokensFromRefreshToken", "RevokeToken"}:
        expected["ClientSecret"] = CLIENT_SECRET  # no name is needed
    elif "AccessToken" not in expected:
        expected["SecretHash"] = secret_hash(USERNAME)
    stub.add_response(METHODS[operation], ANSWERS[operation], expected)
    CALLS[operation](secret_provider)


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        ("grace", "hNuIGff/xs0mSjImWQ5jPiG2q8XroOkh8gb8RHGZ77A="),
        ("grâce", "PNiqLGsrwKAGJmrbI8MbYk2fJU23rvFPxeDJGV0NKSY="),
    ],
    ids=["ascii", "utf-8"],
)
def test_the_hash_is_what_openssl_computes(
    secret_provider: CognitoIdentityProvider, stub: Stubber, username: str, expected: str
) -> None:
    """base64(HMAC-SHA256(secret, name + client id)), the name in UTF-8."""
    assert secret_hash(username) == expected
    parameters = {"ClientId": CLIENT_ID, "Username": username, "SecretHash": expected}
    stub.add_response("resend_confirmation_code", {}, parameters)
    secret_provider.resend_confirmation_code(username)


# What comes back


def test_a_sign_up_is_the_sub(provider: CognitoIdentityProvider, stub: Stubber) -> None:
    """`sub` is the user's stable key (T12)."""
    stub.add_response("sign_up", {"UserConfirmed": False, "UserSub": "0f3c"})
    assert CALLS["SignUp"](provider) == SignUp(sub="0f3c", code_delivered=True)


def test_a_sign_up_without_delivery_is_no_error(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """CodeDeliveryFailureException comes after the account was made (T22)."""
    stub.add_client_error("sign_up", "CodeDeliveryFailureException", "Unable to deliver message")
    assert CALLS["SignUp"](provider) == SignUp(sub=None, code_delivered=False)


def test_a_sign_in_is_a_token_set(provider: CognitoIdentityProvider, stub: Stubber) -> None:
    """All that RFC 6749 section 5.1 wants."""
    stub.add_response("initiate_auth", ANSWERS["InitiateAuth"])
    assert CALLS["InitiateAuth"](provider) == TokenSet(
        access_token=TOKEN,
        expires_in=3600,
        token_type="Bearer",
        id_token="secret.id.token",
        refresh_token="secret-refresh-token",
    )


def test_a_sign_in_may_lack_the_further_tokens(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """ID and refresh token are None where Cognito sends none."""
    result = {"AccessToken": TOKEN, "ExpiresIn": 300, "TokenType": "Bearer"}
    stub.add_response("initiate_auth", {"AuthenticationResult": result})
    expected = TokenSet(access_token=TOKEN, expires_in=300, token_type="Bearer")
    assert CALLS["InitiateAuth"](provider) == expected


@pytest.mark.parametrize(
    "name",
    [
        "CUSTOM_CHALLENGE",
        "EMAIL_OTP",
        "MFA_SETUP",
        "NEW_PASSWORD_REQUIRED",
        "SELECT_CHALLENGE",
        "SELECT_MFA_TYPE",
        "SMS_MFA",
        "SMS_OTP",
        "SOFTWARE_TOKEN_MFA",
    ],
)
def test_a_challenge_is_an_answer_of_its_own(
    provider: CognitoIdentityProvider, stub: Stubber, name: str
) -> None:
    """Where there is a challenge, there are no tokens (T19)."""
    parameters = {"USER_ID_FOR_SRP": "0f3c", "FRIENDLY_DEVICE_NAME": "phone"}
    stub.add_response(
        "initiate_auth",
        {"ChallengeName": name, "Session": "a-session-" * 3, "ChallengeParameters": parameters},
    )
    expected = Challenge(name=name, session="a-session-" * 3, parameters=parameters)
    assert CALLS["InitiateAuth"](provider) == expected


def test_a_challenge_may_be_bare(provider: CognitoIdentityProvider, stub: Stubber) -> None:
    """Session and parameters are not in every answer."""
    stub.add_response("initiate_auth", {"ChallengeName": "CUSTOM_CHALLENGE"})
    expected = Challenge(name="CUSTOM_CHALLENGE", session=None, parameters={})
    assert CALLS["InitiateAuth"](provider) == expected


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="empty"),
        pytest.param({"ChallengeParameters": {}}, id="parameters of no challenge"),
        pytest.param({"AuthenticationResult": {}}, id="empty result"),
        pytest.param({"AuthenticationResult": {"IdToken": TOKEN}}, id="no access token"),
    ],
)
def test_neither_tokens_nor_challenge_is_unavailable(
    provider: CognitoIdentityProvider, stub: Stubber, answer: dict[str, Any]
) -> None:
    """An answer that makes no sense is no KeyError."""
    stub.add_response("initiate_auth", answer)
    with pytest.raises(IdentityUnavailable):
        CALLS["InitiateAuth"](provider)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("UserNotFoundException", "Username/client id combination not found."),
        ("InvalidParameterException", "User is already confirmed."),
        ("NotAuthorizedException", "User is disabled."),
        ("CodeDeliveryFailureException", "Unable to deliver message"),
    ],
)
def test_a_resend_does_not_tell_which_accounts_exist(
    provider: CognitoIdentityProvider, stub: Stubber, code: str, message: str
) -> None:
    """Unknown, confirmed and disabled accounts look like one that was sent a code (T21)."""
    stub.add_client_error("resend_confirmation_code", code, message)
    assert provider.resend_confirmation_code(USERNAME) is None  # type: ignore[func-returns-value]


# Refreshing


def test_a_refresh_without_rotation_gives_the_old_token_back(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """Cognito leaves it out then; the client need not know."""
    result = {"AccessToken": TOKEN, "ExpiresIn": 300, "TokenType": "Bearer"}
    stub.add_response("get_tokens_from_refresh_token", {"AuthenticationResult": result})
    assert provider.refresh("the-old-one").refresh_token == "the-old-one"


def test_a_refresh_with_rotation_gives_the_new_one(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """T18: the old one is of no use any more."""
    stub.add_response("get_tokens_from_refresh_token", ANSWERS["GetTokensFromRefreshToken"])
    assert provider.refresh("the-old-one").refresh_token == REFRESH


MISSING: dict[str, tuple[str, str, int]] = {
    "AWS": ("UnknownOperationException", "", 400),
    "LocalStack": ("InternalFailure", "The API action 'x' for service 'y' is either not …", 501),
    "older LocalStack": ("InternalFailure", "API action 'x' not yet implemented", 501),
    "moto": ("404", "<html>404</html>", 404),
    "moto in a process": ("500", "The get_tokens action has not been implemented", 500),
    "cognito-local": ("Unsupported", "Cognito Local unsupported feature: …", 500),
    "floci": ("UnsupportedOperation", "Operation x is not supported.", 400),
    "MiniStack": ("InvalidAction", "Unknown Cognito IDP action: x", 400),
    "not implemented": ("NotImplemented", "", 501),
    "another code for it": ("NotImplementedException", "", 400),
    "not understood": ("SerializationException", "", 400),
    "another method": ("405", "Method Not Allowed", 405),
    "a page": ("500", "<!doctype html><title>500 Internal Server Error</title>", 500),
}
"""How servers say that they lack an operation: code, message, HTTP status."""


@pytest.mark.parametrize(("code", "message", "status"), MISSING.values(), ids=MISSING)
def test_a_server_without_the_operation_is_asked_the_old_way(
    secret_provider: CognitoIdentityProvider, stub: Stubber, code: str, message: str, status: int
) -> None:
    """REFRESH_TOKEN_AUTH, with the hash of the name that was sent: the real one (T17)."""
    stub.add_client_error("get_tokens_from_refresh_token", code, message, http_status_code=status)
    _add_old_way(stub)
    assert secret_provider.refresh(REFRESH, username="0f3c").access_token == TOKEN


def test_a_server_without_the_operation_is_remembered(
    secret_provider: CognitoIdentityProvider, stub: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For ten minutes. Then it may have been replaced by one that has it."""
    now = 1000.0
    monkeypatch.setattr("resource_server.identity.cognito.time.monotonic", lambda: now)
    stub.add_client_error("get_tokens_from_refresh_token", "UnknownOperationException")
    for _ in range(2):
        _add_old_way(stub)
        secret_provider.refresh(REFRESH, username="0f3c")
    now += 600
    stub.add_response("get_tokens_from_refresh_token", ANSWERS["GetTokensFromRefreshToken"])
    secret_provider.refresh(REFRESH, username="0f3c")


def test_a_page_of_a_proxy_is_not_remembered(
    secret_provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """It may as well be an outage: the next refresh tries the operation again."""
    for _ in range(2):
        stub.add_client_error("get_tokens_from_refresh_token", "502", "Bad gateway", 502)
        _add_old_way(stub)
        secret_provider.refresh(REFRESH, username="0f3c")


def test_a_page_of_a_proxy_is_an_outage_without_a_name(
    secret_provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """The caller did nothing wrong: 503, not a request for a name."""
    stub.add_client_error("get_tokens_from_refresh_token", "502", "Bad gateway", 502)
    with pytest.raises(IdentityUnavailable) as caught:
        secret_provider.refresh(REFRESH)
    assert type(caught.value) is IdentityUnavailable


def _add_old_way(stub: Stubber) -> None:
    parameters = {"REFRESH_TOKEN": REFRESH, "SECRET_HASH": secret_hash("0f3c")}
    asked = {
        "ClientId": CLIENT_ID,
        "AuthFlow": "REFRESH_TOKEN_AUTH",
        "AuthParameters": parameters,
    }
    stub.add_response("initiate_auth", ANSWERS["InitiateAuth"], asked)


def test_the_old_way_with_a_secret_needs_a_name(
    secret_provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """Without one no hash can be made; the request lacks something, the token is not bad."""
    stub.add_client_error("get_tokens_from_refresh_token", "UnknownOperationException")
    with pytest.raises(InvalidRequest):
        secret_provider.refresh(REFRESH)


def test_a_fault_of_aws_is_no_missing_operation(
    secret_provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """InternalFailure passes; the request lacked nothing."""
    stub.add_client_error(
        "get_tokens_from_refresh_token", "InternalFailure", "Something went wrong", 500
    )
    with pytest.raises(IdentityUnavailable):
        secret_provider.refresh(REFRESH)


def test_a_revoked_token_is_bad_the_old_way(
    secret_provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """The client signs in again."""
    stub.add_client_error("get_tokens_from_refresh_token", "UnknownOperationException")
    stub.add_client_error("initiate_auth", "NotAuthorizedException", _REVOKED)
    with pytest.raises(BadRefreshToken):
        secret_provider.refresh(REFRESH, username="grace")


def test_an_alias_does_not_refresh_the_old_way(
    secret_provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """The secret hash is then another name's. The token may be good, and the caller learns why."""
    stub.add_client_error("get_tokens_from_refresh_token", "UnknownOperationException")
    stub.add_client_error("initiate_auth", "NotAuthorizedException", _HASH)
    with pytest.raises(InvalidRequest, match="username or the sub") as caught:
        secret_provider.refresh(REFRESH, username="grace@example.com")
    assert "grace" not in str(caught.value)


def test_a_challenge_in_answer_to_a_refresh_makes_no_sense(
    provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """There is nothing a client could do with it."""
    stub.add_client_error("get_tokens_from_refresh_token", "UnknownOperationException")
    stub.add_response("initiate_auth", {"ChallengeName": "SMS_MFA", "Session": SESSION})
    with pytest.raises(IdentityUnavailable):
        provider.refresh(REFRESH)


def test_an_answer_speaks_for_nobody_else(
    secret_provider: CognitoIdentityProvider, stub: Stubber
) -> None:
    """USERNAME and SECRET_HASH are ours, whatever is among the responses."""
    sent = {"SMS_MFA_CODE": CODE, "USERNAME": USERNAME, "SECRET_HASH": secret_hash(USERNAME)}
    stub.add_response(
        "respond_to_auth_challenge",
        ANSWERS["RespondToAuthChallenge"],
        PARAMETERS["RespondToAuthChallenge"] | {"ChallengeResponses": sent},
    )
    forged = {"SMS_MFA_CODE": CODE, "USERNAME": "ada", "SECRET_HASH": "x"}
    secret_provider.answer_challenge(USERNAME, "SMS_MFA", SESSION, forged)


# One row an error


class Row(NamedTuple):
    """What Cognito answers, and the exception it is for us."""

    operation: str
    code: str
    message: str
    expected: type[IdentityError]

    def __str__(self) -> str:
        return f"{self.operation}-{self.code}-{self.message[:24]}"


_HASH = f"Unable to verify secret hash for client {CLIENT_ID}"
_NO_HASH = f"Client {CLIENT_ID} is configured with secret but SECRET_HASH was not received"
_WRONG_PASSWORD = "Incorrect username or password."
_TOO_OFTEN = "Password attempts exceeded"
_FLOW = "USER_PASSWORD_AUTH flow not enabled for this client"
_CONFIRMED = "User cannot be confirmed. Current status is CONFIRMED"
_ALIAS = "An account with the email already exists."
_SIGN_UP_OFF = "SignUp is not permitted for this user pool"
_LIMIT = "Attempt limit exceeded, please try after some time."
_LIMITS_HIDDEN: dict[str, type[IdentityError]] = {
    "ConfirmForgotPassword": BadCode,
    "ConfirmSignUp": BadCode,
    "InitiateAuth": BadCredentials,
    "RespondToAuthChallenge": SignInExpired,
}
_CODE_SENT = ("ForgotPassword", "ResendConfirmationCode")
_NO_SCOPE = "Access Token does not have required scopes"
_NO_SUCH_USER = "Username/client id combination not found."
_POLICY = "Password did not conform with policy: Password not long enough"
_WRONG_CODE = "Invalid verification code provided, please try again."
_OLD_CODE = "Invalid code provided, please request a code again."
_SPENT = "Invalid session for the user, session can only be used once."
_REVOKED = "Refresh Token has been revoked"
_REVOKED_ACCESS = "Access Token has been revoked"
_READ_ONLY = "A client attempted to write unauthorized attribute"
_AWAY = DirectoryMisconfigured
_PRE_SIGN_UP = "PreSignUp failed with error not from this domain."
_PRE_TOKEN = "PreTokenGeneration failed with error SCOPES_BY_GROUP is not JSON."

ROWS = [
    Row("SignUp", "UsernameExistsException", "User already exists", UsernameTaken),
    Row("SignUp", "InvalidPasswordException", _POLICY, PasswordRejected),
    Row("SignUp", "InvalidParameterException", "Invalid email address format.", InvalidRequest),
    Row("SignUp", "UserLambdaValidationException", _PRE_SIGN_UP, TriggerRejected),
    Row("SignUp", "NotAuthorizedException", _HASH, DirectoryMisconfigured),
    Row("SignUp", "NotAuthorizedException", _NO_HASH, DirectoryMisconfigured),
    Row("SignUp", "NotAuthorizedException", _SIGN_UP_OFF, SignUpClosed),
    Row("ConfirmSignUp", "CodeMismatchException", _WRONG_CODE, BadCode),
    Row("ConfirmSignUp", "ExpiredCodeException", _OLD_CODE, BadCode),
    Row("ConfirmSignUp", "UserNotFoundException", _NO_SUCH_USER, BadCode),
    Row("ConfirmSignUp", "AliasExistsException", _ALIAS, UsernameTaken),
    Row("ConfirmSignUp", "InvalidParameterException", "Invalid code", BadCode),
    Row("ConfirmSignUp", "NotAuthorizedException", _CONFIRMED, BadCode),
    Row("ConfirmSignUp", "NotAuthorizedException", "User is disabled.", BadCode),
    Row("ConfirmSignUp", "NotAuthorizedException", _HASH, DirectoryMisconfigured),
    Row("ConfirmSignUp", "NotAuthorizedException", _NO_HASH, DirectoryMisconfigured),
    Row("ConfirmSignUp", "TooManyFailedAttemptsException", "Too many attempts", BadCode),
    Row("ResendConfirmationCode", "NotAuthorizedException", _HASH, DirectoryMisconfigured),
    Row("ResendConfirmationCode", "NotAuthorizedException", _NO_HASH, DirectoryMisconfigured),
    Row("InitiateAuth", "NotAuthorizedException", _WRONG_PASSWORD, BadCredentials),
    Row("InitiateAuth", "NotAuthorizedException", "User is disabled.", BadCredentials),
    Row("InitiateAuth", "NotAuthorizedException", _TOO_OFTEN, BadCredentials),
    Row("InitiateAuth", "NotAuthorizedException", _LIMIT, BadCredentials),
    Row("InitiateAuth", "NotAuthorizedException", _HASH, DirectoryMisconfigured),
    Row("InitiateAuth", "NotAuthorizedException", _NO_HASH, DirectoryMisconfigured),
    Row("InitiateAuth", "UserNotFoundException", "User does not exist.", BadCredentials),
    Row("InitiateAuth", "UserNotConfirmedException", "User is not confirmed.", NotConfirmed),
    Row("InitiateAuth", "PasswordResetRequiredException", "reset", PasswordResetRequired),  # T31
    Row("InitiateAuth", "InvalidParameterException", _FLOW, DirectoryMisconfigured),
    Row("InitiateAuth", "UserLambdaValidationException", _PRE_TOKEN, DirectoryMisconfigured),  # T25
    Row("GlobalSignOut", "NotAuthorizedException", "Access Token has been revoked", SessionEnded),
    Row("GlobalSignOut", "NotAuthorizedException", "Access Token has expired", SessionEnded),
    Row("GlobalSignOut", "NotAuthorizedException", _NO_SCOPE, InsufficientScope),
    Row("GlobalSignOut", "UserNotFoundException", "User does not exist.", SessionEnded),
    Row("GlobalSignOut", "UserNotConfirmedException", "User is not confirmed.", SessionEnded),
    Row("GlobalSignOut", "PasswordResetRequiredException", "reset", SessionEnded),
    Row("RespondToAuthChallenge", "NotAuthorizedException", _SPENT, SignInExpired),  # T20
    Row("RespondToAuthChallenge", "NotAuthorizedException", _TOO_OFTEN, SignInExpired),
    Row("RespondToAuthChallenge", "NotAuthorizedException", _HASH, InvalidRequest),
    Row("RespondToAuthChallenge", "CodeMismatchException", _WRONG_CODE, BadCode),
    Row("RespondToAuthChallenge", "ExpiredCodeException", _OLD_CODE, ExpiredCode),
    Row("RespondToAuthChallenge", "InvalidPasswordException", _POLICY, PasswordRejected),
    Row("RespondToAuthChallenge", "PasswordHistoryPolicyViolationException", "", PasswordRejected),
    Row("RespondToAuthChallenge", "InvalidParameterException", "missing", InvalidRequest),
    Row("GetTokensFromRefreshToken", "NotAuthorizedException", _REVOKED, BadRefreshToken),
    Row("GetTokensFromRefreshToken", "NotAuthorizedException", "User is disabled", BadRefreshToken),
    Row("GetTokensFromRefreshToken", "RefreshTokenReuseException", "reused", BadRefreshToken),
    Row("GetTokensFromRefreshToken", "UserNotFoundException", _NO_SUCH_USER, BadRefreshToken),
    Row("GetTokensFromRefreshToken", "UserLambdaValidationException", _PRE_TOKEN, _AWAY),
    Row("RevokeToken", "UnsupportedTokenTypeException", "not a refresh token", BadRefreshToken),
    Row("RevokeToken", "UnauthorizedException", "another client's", BadRefreshToken),
    Row(
        "RevokeToken", "UnsupportedOperationException", "revocation is off", DirectoryMisconfigured
    ),
    Row("ConfirmForgotPassword", "CodeMismatchException", _WRONG_CODE, BadCode),
    Row("ConfirmForgotPassword", "ExpiredCodeException", _OLD_CODE, BadCode),
    Row("ConfirmForgotPassword", "InvalidPasswordException", _POLICY, PasswordRejected),
    Row("ConfirmForgotPassword", "UserNotFoundException", _NO_SUCH_USER, BadCode),
    Row("ConfirmForgotPassword", "NotAuthorizedException", "User is disabled.", BadCode),
    Row("ConfirmForgotPassword", "NotAuthorizedException", _HASH, DirectoryMisconfigured),
    Row("ConfirmForgotPassword", "TooManyFailedAttemptsException", "often", BadCode),
    Row("ChangePassword", "NotAuthorizedException", _WRONG_PASSWORD, WrongPassword),
    Row("ChangePassword", "NotAuthorizedException", _REVOKED_ACCESS, SessionEnded),
    Row("ChangePassword", "NotAuthorizedException", _TOO_OFTEN, TooManyRequests),
    Row("ChangePassword", "InvalidPasswordException", _POLICY, PasswordRejected),
    Row("GetUser", "NotAuthorizedException", _REVOKED_ACCESS, SessionEnded),
    Row("UpdateUserAttributes", "NotAuthorizedException", _NO_SCOPE, InsufficientScope),
    Row("UpdateUserAttributes", "NotAuthorizedException", _READ_ONLY, DirectoryMisconfigured),
    Row("UpdateUserAttributes", "InvalidParameterException", "too long", InvalidRequest),
    Row("DeleteUser", "NotAuthorizedException", _REVOKED_ACCESS, SessionEnded),
    Row("DeleteUser", "UserNotFoundException", "User does not exist.", AccountGone),
    Row("VerifySoftwareToken", "EnableSoftwareTokenMFAException", "Code mismatch", BadCode),
    Row("VerifySoftwareToken", "CodeMismatchException", "Code mismatch", BadCode),
    Row("VerifySoftwareToken", "NotAuthorizedException", _REVOKED_ACCESS, SessionEnded),
    Row("SetUserMFAPreference", "InvalidParameterException", "not verified", InvalidRequest),
    *[
        Row(operation, code, message, expected)
        for operation in OPERATIONS
        for code, message, expected in [
            ("TooManyRequestsException", "Rate exceeded", TooManyRequests),
            *[("LimitExceededException", _LIMIT, TooManyRequests)]
            * (operation not in {*_LIMITS_HIDDEN, *_CODE_SENT}),
            ("ForbiddenException", "Request not allowed due to WAF block.", RequestBlocked),
            ("InternalErrorException", "Something went wrong", IdentityUnavailable),
            ("InternalFailure", "Something went wrong", IdentityUnavailable),
            ("ResourceNotFoundException", "no such client", DirectoryMisconfigured),
            ("UnexpectedLambdaException", "arn:aws:lambda…", DirectoryMisconfigured),
            ("InvalidLambdaResponseException", "Unrecognizable output", DirectoryMisconfigured),
            ("AnErrorOfNextYear", "?", DirectoryMisconfigured),
        ]
        # There it is the device, which the caller names.
        if (operation, code) != ("ConfirmDevice", "ResourceNotFoundException")
    ],
]
each_error = pytest.mark.parametrize("row", ROWS, ids=str)


@each_error
def test_each_error_has_its_exception(
    provider: CognitoIdentityProvider, stub: Stubber, row: Row
) -> None:
    """Told apart by operation and code first, by the message last (T23)."""
    stub.add_client_error(METHODS[row.operation], row.code, row.message, http_status_code=400)
    assert type(refusal(provider, row.operation)) is row.expected


# What identity/provider.py says that each method raises, and what any may raise.
_ANY = {TooManyRequests, RequestBlocked, IdentityUnavailable, DirectoryMisconfigured}
_OWN = {SessionEnded, InsufficientScope}
DOCUMENTED: dict[str, set[type[IdentityError]]] = {
    "SignUp": {*(UsernameTaken, PasswordRejected, InvalidRequest, TriggerRejected, SignUpClosed)},
    "ConfirmSignUp": {BadCode, UsernameTaken, InvalidRequest, TriggerRejected},
    "ResendConfirmationCode": {InvalidRequest},
    "InitiateAuth": {
        *{BadCredentials, NotConfirmed, PasswordResetRequired, InvalidRequest, SignInRejected},
    },
    "GlobalSignOut": _OWN,
    "RespondToAuthChallenge": {
        *{BadCode, ExpiredCode, PasswordRejected, InvalidRequest, SignInExpired, SignInRejected},
        *{NotConfirmed, PasswordResetRequired, UsernameTaken, BadCredentials},
    },
    "GetTokensFromRefreshToken": {BadRefreshToken, InvalidRequest, SignInRejected},
    "RevokeToken": {BadRefreshToken},
    "ForgotPassword": {InvalidRequest},
    "ConfirmForgotPassword": {
        *{BadCode, PasswordRejected, InvalidRequest, TriggerRejected},
    },
    "ChangePassword": {WrongPassword, PasswordRejected, InvalidRequest} | _OWN,
    "GetUser": _OWN,
    # Codes belong to changes of an address, which nobody makes here.
    "UpdateUserAttributes": {
        *{InvalidRequest, TriggerRejected, UsernameTaken, BadCode, ExpiredCode},
        *_OWN,
    },
    "ConfirmDevice": {InvalidRequest} | _OWN,
    "DeleteUser": {AccountGone} | _OWN,
    "AssociateSoftwareToken": {ConcurrentChange} | _OWN,
    "VerifySoftwareToken": {BadCode, InvalidRequest} | _OWN,
    "SetUserMFAPreference": {InvalidRequest} | _OWN,
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_cognito_raises_a_method_keeps_its_word(
    provider: CognitoIdentityProvider, stub: Stubber, operation: str
) -> None:
    """No error that botocore's model knows of becomes an exception the method does not name."""
    shapes = stub.client.meta.service_model.operation_model(operation).error_shapes
    surprising = {}
    for code in sorted(shape.name for shape in shapes):
        stub.add_client_error(METHODS[operation], code, "a message", http_status_code=400)
        try:
            CALLS[operation](provider)
        except IdentityError as error:
            if type(error) not in DOCUMENTED[operation] | _ANY:
                surprising[code] = type(error).__name__
    assert surprising == {}


@pytest.mark.parametrize(
    ("row", "seconds"),
    [
        (Row("InitiateAuth", "TooManyRequestsException", "Rate exceeded", TooManyRequests), 5),
        (Row("SignUp", "LimitExceededException", _LIMIT, TooManyRequests), 300),
        (Row("VerifySoftwareToken", "LimitExceededException", _LIMIT, TooManyRequests), 300),
        (Row("ChangePassword", "NotAuthorizedException", _TOO_OFTEN, TooManyRequests), 300),
    ],
    ids=str,
)
def test_too_many_requests_says_how_long_to_wait(
    provider: CognitoIdentityProvider, stub: Stubber, row: Row, seconds: int
) -> None:
    """Throttling lasts seconds, a user's own limit minutes (T24)."""
    stub.add_client_error(METHODS[row.operation], row.code, row.message, http_status_code=400)
    error = refusal(provider, row.operation)
    assert isinstance(error, TooManyRequests)
    assert error.retry_after == seconds


# What is never told


def everything_told(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    """All that an exception and the log show of a call."""
    records = [
        f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records
    ]
    return "\n".join(
        [str(error), repr(error), repr(error.args), *traceback.format_exception(error), *records]
    )


@each_error
def test_no_error_tells_a_secret(
    secret_provider: CognitoIdentityProvider,
    stub: Stubber,
    caplog: pytest.LogCaptureFixture,
    row: Row,
) -> None:
    """Neither exception, traceback nor log repeat Cognito's message or what was sent."""
    caplog.set_level(logging.DEBUG, logger="resource_server")
    poisoned = f"{row.message} text-of-cognito {' '.join(SECRETS)}"
    if row.expected is TriggerRejected:  # its text is for the user, but for what was sent
        poisoned = f"{row.message} {USERNAME} {EMAIL} {PASSWORD}"
    stub.add_client_error(METHODS[row.operation], row.code, poisoned, http_status_code=400)
    error = refusal(secret_provider, row.operation)
    assert error.__cause__ is None
    assert error.__suppress_context__
    told = everything_told(error, caplog)
    never = (*SECRETS, EMAIL, secret_hash(USERNAME), "text-of-cognito")
    assert [secret for secret in never if secret in told] == []


def test_a_value_that_botocore_refuses_is_not_told(
    boto_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The validation of botocore repeats values. Ours names only the parameter."""
    caplog.set_level(logging.DEBUG, logger="resource_server")
    provider = CognitoIdentityProvider(boto_client, client_id=CLIENT_ID)
    wrong: Any = [PASSWORD]
    with pytest.raises(InvalidRequest, match="password") as caught:
        provider.authenticate(USERNAME, wrong)
    assert PASSWORD not in everything_told(caught.value, caplog)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("InitiateAuth", "ResourceNotFoundException"),
        ("SignUp", "InvalidLambdaResponseException"),
        ("GlobalSignOut", "AnErrorOfNextYear"),
    ],
)
def test_an_operator_learns_which_fault_it_is(
    provider: CognitoIdentityProvider,
    stub: Stubber,
    caplog: pytest.LogCaptureFixture,
    operation: str,
    code: str,
) -> None:
    """A fault of the set-up is logged with operation and code, which hold no secret."""
    stub.add_client_error(METHODS[operation], code, "a message", http_status_code=400)
    assert isinstance(refusal(provider, operation), IdentityUnavailable)
    [record] = [record for record in caplog.records if record.name.startswith("resource_server")]
    assert record.levelno == logging.ERROR
    assert operation in record.getMessage()
    assert code in record.getMessage()


def test_no_repr_shows_a_token() -> None:
    """TokenSet and Challenge can be logged by mistake."""
    tokens = TokenSet(TOKEN, 3600, "Bearer", "secret.id.token", "secret-refresh-token")
    challenge = Challenge("SMS_MFA", "a-secret-session", {"CODE_DELIVERY_DESTINATION": "+1secret"})
    shown = f"{tokens} {tokens!r} {challenge} {challenge!r}"
    assert "secret" not in shown
    assert "SMS_MFA" in shown
    assert "3600" in shown


# On the wire


class Wire:
    """Plays Cognito on a real socket: gives its answers in turn and keeps the requests."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        self.requests: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        left = list(answers)
        wire = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                wire.requests.append({k.lower(): v for k, v in self.headers.items()})
                wire.bodies.append(json.loads(body))
                status, answer = left.pop(0) if left else (599, {})
                sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()
        self.client: Any = cognito_client(REGION, endpoint_url=self.url)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def provider(self) -> CognitoIdentityProvider:
        """A provider that asks it."""
        return CognitoIdentityProvider(self.client, client_id=CLIENT_ID)

    def close(self) -> None:
        """Stop listening."""
        self.client.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


@pytest.fixture
def play() -> Iterator[Callable[..., Wire]]:
    """Starts a Wire with the answers it shall give."""
    wires: list[Wire] = []

    def start(*answers: tuple[int, object]) -> Wire:
        wires.append(Wire(*answers))
        return wires[-1]

    yield start
    for wire in wires:
        wire.close()


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container as it comes: no AWS variables, no files in the home directory."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


OK = (200, ANSWERS["InitiateAuth"])
INTERNAL_ERROR = (500, {"__type": "InternalErrorException", "message": "x"})
THROTTLED = (400, {"__type": "TooManyRequestsException", "message": "x"})
LIMITED = (400, {"__type": "LimitExceededException", "message": "x"})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_requests_need_no_credentials(
    play: Callable[..., Wire], no_credentials: None, operation: str
) -> None:
    """A container without AWS credentials can run this service; nobody is asked for any."""
    wire = play((200, ANSWERS[operation]))
    CALLS[operation](wire.provider)
    [request] = wire.requests
    assert "authorization" not in request
    assert request["x-amz-target"] == f"AWSCognitoIdentityProviderService.{operation}"
    assert wire.bodies == [PARAMETERS[operation]]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_requests_are_unsigned_even_with_credentials(
    play: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Credentials that happen to be there are not used for public operations."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    wire = play((200, ANSWERS[operation]))
    CALLS[operation](wire.provider)
    assert "authorization" not in wire.requests[0]


def test_a_500_is_tried_once_more(play: Callable[..., Wire]) -> None:
    """The second try's answer counts."""
    wire = play(INTERNAL_ERROR, OK)
    assert isinstance(CALLS["InitiateAuth"](wire.provider), TokenSet)
    assert len(wire.requests) == 2


def test_two_500s_are_unavailable(play: Callable[..., Wire]) -> None:
    """There is no third try: somebody waits for the answer."""
    wire = play(INTERNAL_ERROR, INTERNAL_ERROR, OK)
    with pytest.raises(IdentityUnavailable):
        CALLS["InitiateAuth"](wire.provider)
    assert len(wire.requests) == 2


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_users_limit_is_not_tried_again(play: Callable[..., Wire], operation: str) -> None:
    """Another try would only prolong LimitExceededException (T24).

    Where a stranger names the user, the limit reads like the response for an unknown name.
    """
    wire = play(LIMITED, (200, ANSWERS[operation]))
    expected = _LIMITS_HIDDEN.get(operation, TooManyRequests)
    if operation in _CODE_SENT:
        CALLS[operation](wire.provider)
    else:
        with pytest.raises(expected) as caught:
            CALLS[operation](wire.provider)
        assert getattr(caught.value, "retry_after", 300) == 300
    assert len(wire.requests) == 1


def test_throttling_is_tried_again(play: Callable[..., Wire]) -> None:
    """Botocore waits and repeats TooManyRequestsException."""
    wire = play(THROTTLED, OK)
    assert isinstance(CALLS["InitiateAuth"](wire.provider), TokenSet)
    assert len(wire.requests) == 2


def test_throttling_that_lasts_is_told(play: Callable[..., Wire]) -> None:
    """After botocore's second try the client is asked to wait."""
    wire = play(THROTTLED, THROTTLED, OK)
    with pytest.raises(TooManyRequests) as caught:
        CALLS["InitiateAuth"](wire.provider)
    assert caught.value.retry_after == 5
    assert len(wire.requests) == 2


def test_a_wrong_password_is_not_tried_again(play: Callable[..., Wire]) -> None:
    """One mistake of the user's counts as one at Cognito, too."""
    refused = (400, {"__type": "NotAuthorizedException", "message": _WRONG_PASSWORD})
    wire = play(refused, OK)
    with pytest.raises(BadCredentials):
        CALLS["InitiateAuth"](wire.provider)
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("InitiateAuth", b"this is no JSON"),
        ("SignUp", b"this is no JSON"),
        ("InitiateAuth", {}),
        ("SignUp", {}),
    ],
    ids=["InitiateAuth-no JSON", "SignUp-no JSON", "InitiateAuth-empty", "SignUp-empty"],
)
def test_an_answer_without_sense_is_unavailable(
    play: Callable[..., Wire], operation: str, answer: object
) -> None:
    """Whoever answered in Cognito's place, a proxy for one: no exception but ours comes of it."""
    wire = play(*[(200, answer)] * 4)
    with pytest.raises(IdentityUnavailable):
        CALLS[operation](wire.provider)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refused_connection_is_unavailable(
    caplog: pytest.LogCaptureFixture, operation: str
) -> None:
    """Nobody listens: the log names the class of the failure, and no parameter."""
    caplog.set_level(logging.DEBUG, logger="resource_server")
    with socket.socket() as reserved:  # bound, never listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        client = cognito_client(REGION, endpoint_url=url)
        provider = CognitoIdentityProvider(client, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        with pytest.raises(IdentityUnavailable) as caught:
            CALLS[operation](provider)
        client.close()
    told = everything_told(caught.value, caplog)
    assert "EndpointConnectionError" in told
    assert not [secret for secret in SECRETS if secret in told]


def test_the_clients_time_is_bounded(boto_client: Any) -> None:
    """Two tries with both timeouts stay within gunicorn's 30 seconds."""
    config = boto_client.meta.config
    assert config.connect_timeout == 2
    assert config.read_timeout == 5
    assert config.retries["mode"] == "standard"
    assert config.retries["total_max_attempts"] == 2


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"])
def test_the_environment_does_not_redirect_the_client(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where Cognito is comes from Settings alone."""
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = cognito_client(REGION)
    assert client.meta.endpoint_url == f"https://cognito-idp.{REGION}.amazonaws.com"
    told = cognito_client(REGION, endpoint_url="http://127.0.0.1:2")
    assert told.meta.endpoint_url == "http://127.0.0.1:2"


def test_a_config_file_does_not_redirect_the_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """~/.aws/config can name endpoints as well."""
    file = tmp_path / "config"
    file.write_text("[default]\nendpoint_url = http://127.0.0.1:1\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    client = cognito_client(REGION)
    assert client.meta.endpoint_url == f"https://cognito-idp.{REGION}.amazonaws.com"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "left-over"),
        ("AWS_DEFAULT_PROFILE", "left-over"),
        ("AWS_CONFIG_FILE", "malformed"),
        ("AWS_SHARED_CREDENTIALS_FILE", "malformed"),
        ("AWS_DEFAULT_REGION", "eu-north-1"),
        ("AWS_MAX_ATTEMPTS", "100"),
        ("AWS_RETRY_MODE", "legacy"),
        ("AWS_MAX_ATTEMPTS", "x"),
        ("AWS_RETRY_MODE", "x"),
        ("AWS_DEFAULTS_MODE", "x"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "x"),
        ("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", "x"),
        ("AWS_RESPONSE_CHECKSUM_VALIDATION", "x"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "x"),
    ],
)
def test_the_environment_of_aws_does_not_reach_the_public_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    """Nothing is signed, so no profile and no file of AWS is needed, whatever is left over."""
    if value == "malformed":
        (tmp_path / value).write_text("this is no section\n", encoding="utf-8")
        value = str(tmp_path / value)
    monkeypatch.setenv(name, value)
    client = cognito_client(REGION)
    assert client.meta.region_name == REGION
    config: Any = client.meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}
    assert admin_client(REGION, endpoint_url="http://127.0.0.1:2", emulated=True) is not None


def test_a_fips_endpoint_is_still_the_platforms_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_USE_FIPS_ENDPOINT says which of AWS's endpoints to use."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert "fips" in cognito_client("us-east-1").meta.endpoint_url


def test_another_endpoint_is_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VPC endpoint gets requests that are signed with the credentials of the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    vpc = "https://vpce-1.cognito-idp.eu-west-2.vpce.amazonaws.com"
    real = admin_client(REGION, endpoint_url=vpc)
    assert real._request_signer._credentials.access_key == "AKIDEXAMPLE"  # type: ignore[attr-defined]
    emulated = admin_client(REGION, endpoint_url=vpc, emulated=True)
    assert emulated._request_signer._credentials.access_key == "emulator"  # type: ignore[attr-defined]


# On moto


@pytest.fixture
def on_moto(mock_cognito_client: CognitoIdp) -> CognitoIdentityProvider:
    """The provider on the test pool."""
    return CognitoIdentityProvider(
        cognito_client(REGION),
        client_id=mock_cognito_client.client_id,
        client_secret=mock_cognito_client.client_secret,
    )


def test_the_whole_way(on_moto: CognitoIdentityProvider) -> None:
    """Sign up, mistype the code, confirm, sign in, sign out; the token is void then."""
    made = on_moto.sign_up(USERNAME, email=EMAIL, password=PASSWORD)
    assert made.sub
    assert made.code_delivered
    with pytest.raises(NotConfirmed):
        on_moto.authenticate(USERNAME, PASSWORD)

    code = gaps.outbox.last_code(USERNAME)
    with pytest.raises(BadCode):
        on_moto.confirm_sign_up(USERNAME, other_than(code))
    on_moto.confirm_sign_up(USERNAME, code)
    with pytest.raises(BadCode):
        on_moto.confirm_sign_up(USERNAME, code)

    tokens = on_moto.authenticate(USERNAME, PASSWORD)
    assert isinstance(tokens, TokenSet)
    assert tokens.token_type == "Bearer"
    assert tokens.expires_in == 3600
    assert tokens.id_token
    assert tokens.refresh_token
    on_moto.sign_out(tokens.access_token)
    with pytest.raises(SessionEnded):
        on_moto.sign_out(tokens.access_token)


def test_a_taken_name_and_a_weak_password(on_moto: CognitoIdentityProvider, user: KitUser) -> None:
    """Both are refused, each as what it is."""
    with pytest.raises(UsernameTaken):
        on_moto.sign_up(user.username, email=EMAIL, password=PASSWORD)
    with pytest.raises(PasswordRejected):
        on_moto.sign_up(USERNAME, email=EMAIL, password="weakling")


def test_unknown_user_and_wrong_password_are_one(
    on_moto: CognitoIdentityProvider, user: KitUser
) -> None:
    """The same exception, with nothing in it that differs (T21)."""
    told = []
    for username in (user.username, "nobody"):
        with pytest.raises(BadCredentials) as caught:
            on_moto.authenticate(username, "Wr0ng-passw0rd!")
        told.append((repr(caught.value), str(caught.value)))
    assert told[0] == told[1]
    with pytest.raises(BadCode):
        on_moto.confirm_sign_up("nobody", CODE)


def test_a_resend_reaches_those_who_wait_for_a_code(
    on_moto: CognitoIdentityProvider, user: KitUser
) -> None:
    """Unknown and confirmed users are sent nothing, and nobody is told so."""
    on_moto.sign_up(USERNAME, email=EMAIL, password=PASSWORD)
    for username in (USERNAME, "nobody", user.username):
        on_moto.resend_confirmation_code(username)
    assert [sent.username for sent in gaps.outbox.sent] == [USERNAME, USERNAME]
    on_moto.confirm_sign_up(USERNAME, gaps.outbox.last_code(USERNAME))


def test_a_temporary_password_is_a_challenge(
    on_moto: CognitoIdentityProvider, mock_cognito_client: CognitoIdp
) -> None:
    """A user whom an administrator made must choose a password."""
    mock_cognito_client.client.admin_create_user(
        UserPoolId=mock_cognito_client.pool_id, Username="new", TemporaryPassword=PASSWORD
    )
    challenge = on_moto.authenticate("new", PASSWORD)
    assert isinstance(challenge, Challenge)
    assert challenge.name == "NEW_PASSWORD_REQUIRED"
    assert challenge.session


# Operations that an access token opens send no secret, and a session is looked at before it.
@pytest.mark.parametrize(
    "operation",
    [name for name in OPERATIONS if "Username" in PARAMETERS[name] or name[-4:] == "Auth"],
)
@pytest.mark.parametrize("secret", [None, "wrong" * 6], ids=["no secret", "wrong secret"])
def test_a_wrong_client_secret_is_no_users_fault(
    mock_cognito_client: CognitoIdp, operation: str, secret: str | None
) -> None:
    """The service cannot use the pool then: whatever it is asked, it says so."""
    provider = CognitoIdentityProvider(
        cognito_client(REGION), client_id=mock_cognito_client.client_id, client_secret=secret
    )
    with pytest.raises(IdentityUnavailable):
        CALLS[operation](provider)
