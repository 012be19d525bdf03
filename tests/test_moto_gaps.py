"""moto's gaps: a canary for each one, and what the emulator puts in its place.

The canaries run moto's own code, in a process of its own: `gaps.fill()` changes moto for good. One
that fails is good news: moto fills that gap itself, and our function can go.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore import xform_name
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client

from resource_server.emulator import gaps
from resource_server.emulator.gaps import tokens as tokens_of_gaps
from resource_server.testing import CognitoIdp
from resource_server.tokens import CognitoVerifier, InvalidToken, KeyStore
from resource_server.tokens.parsing import base64url_decode
from tests.conftest import CLIENT_SECRET, PASSWORD, REGION, other_than

ROOT = Path(__file__).parent.parent
SIGN_IN_SCOPE = "aws.cognito.signin.user.admin"
ARN = f"arn:aws:lambda:{REGION}:123456789012:function:recorder"
EMAIL = [{"Name": "email", "Value": "grace@example.com"}]


def secret_hash(username: str, client_id: str, secret: str) -> str:
    """SECRET_HASH as the Cognito guide writes it down."""
    digest = hmac.new(secret.encode(), (username + client_id).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def part(token: str, index: int) -> dict[str, Any]:
    """Read the header (0) or the claims (1) of a token without verifying it."""
    read = json.loads(base64url_decode(token.split(".")[index].encode()))
    assert isinstance(read, dict)
    return read


def jwks_of(pool_id: str) -> dict[str, Any]:
    """Fetch a pool's keys where every verifier looks for them."""
    address = f"https://cognito-idp.{REGION}.amazonaws.com/{pool_id}/.well-known/jwks.json"
    read = requests.get(address, timeout=5).json()
    assert isinstance(read, dict)
    return read


def make_pool(
    client: Any, version: str | None = None, *, arn: str = ARN, secret: bool = False, **more: Any
) -> tuple[str, dict[str, Any]]:
    """Make a pool, with a trigger if a version is given; return its id and an app client."""
    if version is not None:
        trigger = {"LambdaVersion": version, "LambdaArn": arn}
        more["LambdaConfig"] = {"PreTokenGenerationConfig": trigger}
    pool_id = client.create_user_pool(PoolName="pool", **more)["UserPool"]["Id"]
    made = client.create_user_pool_client(
        UserPoolId=pool_id,
        ClientName="client",
        GenerateSecret=secret,
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )
    return pool_id, made["UserPoolClient"]


def make_user(client: Any, pool_id: str, username: str = "ada") -> None:
    """Make a user who can sign in."""
    client.admin_create_user(
        UserPoolId=pool_id, Username=username, UserAttributes=EMAIL, MessageAction="SUPPRESS"
    )
    client.admin_set_user_password(
        UserPoolId=pool_id, Username=username, Password=PASSWORD, Permanent=True
    )


def sign_in(client: Any, client_id: str, username: str = "ada", **parameters: str) -> Any:
    """Sign a user in and return Cognito's answer."""
    return client.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": username, "PASSWORD": PASSWORD, **parameters},
    )["AuthenticationResult"]


def sign_out_unsigned(access_token: str) -> str:
    """Sign out at moto's server as a public client does; return `done` or the error's code."""
    answer = Client(DomainDispatcherApplication(create_backend_app)).post(
        "/",
        data=json.dumps({"AccessToken": access_token}),
        content_type="application/x-amz-json-1.1",
        headers={"X-Amz-Target": "AWSCognitoIdentityProviderService.GlobalSignOut"},
    )
    return "done" if answer.status_code == 200 else str(json.loads(answer.data)["__type"])


# Canaries


def observe_moto() -> dict[str, Any]:
    """Tell what moto does by itself; runs in a process in which nothing was filled."""
    assert CognitoIdpResponse.sign_up.__module__.startswith("moto."), "the gaps are filled already"
    seen: dict[str, Any] = {}
    with mock_aws():
        client: Any = boto3.client("cognito-idp", region_name=REGION)
        pool_id, app_client = make_pool(client, AutoVerifiedAttributes=["email"])
        user = {"ClientId": app_client["ClientId"], "Username": "ada"}
        client.sign_up(**user, Password=PASSWORD, UserAttributes=EMAIL)
        [pool] = gaps.pools()
        seen["a pool reads a static key"] = pool.json_web_key is not None
        seen["code made at sign-up"] = pool.users["ada"].confirmation_code
        seen["resend"] = _outcome(lambda: client.resend_confirmation_code(**user))
        wrong = {**user, "ConfirmationCode": "wrong"}
        seen["confirmations"] = [_outcome(lambda: client.confirm_sign_up(**wrong)) for _ in "12"]
        tokens = sign_in(client, app_client["ClientId"])
        access, identity = tokens["AccessToken"], tokens["IdToken"]
        seen["access header"], seen["access claims"] = part(access, 0), part(access, 1)
        seen["id header"], seen["id claims"] = part(identity, 0), part(identity, 1)

        other_id, app_client = make_pool(client, secret=True)
        user = {"ClientId": app_client["ClientId"], "Username": "eve"}
        make_user(client, other_id)
        seen["sign-in without hash"] = _outcome(lambda: sign_in(client, app_client["ClientId"]))
        seen["sign-up without hash"] = _outcome(lambda: client.sign_up(**user, Password=PASSWORD))
        confirmation = {**user, "ConfirmationCode": "1"}
        seen["confirmation without hash"] = _outcome(lambda: client.confirm_sign_up(**confirmation))
        seen["other header"] = part(seen["sign-in without hash"]["AccessToken"], 0)
        seen["weak password"] = _text(
            lambda: client.sign_up(ClientId=user["ClientId"], Username="w", Password="Weak")
        )
        seen["AdminConfirmSignUp of a confirmed user"] = _outcome(
            lambda: client.admin_confirm_sign_up(UserPoolId=other_id, Username="eve")
        )
        protected, _ = make_pool(client, DeletionProtection="ACTIVE")
        seen["DeleteUserPool of a protected pool"] = _outcome(
            lambda: client.delete_user_pool(UserPoolId=protected)
        )
        seen["no such group"] = _text(lambda: client.get_group(UserPoolId=other_id, GroupName="zz"))
        seen["jwks"] = [jwks_of(pool_id), jwks_of(other_id), jwks_of(f"{REGION}_Nowhere")]

        triggered_id, app_client = make_pool(client, "V2_0")
        make_user(client, triggered_id)
        triggered = _outcome(lambda: sign_in(client, app_client["ClientId"]))
        seen["scope with a trigger"] = part(triggered["AccessToken"], 1)["scope"]

        seen["unsigned sign-out"] = sign_out_unsigned(access)
        near: Any = boto3.client("cognito-idp", region_name="us-east-1")
        near_id, app_client = make_pool(near)
        make_user(near, near_id)
        token = sign_in(near, app_client["ClientId"])["AccessToken"]
        seen["unsigned sign-out in us-east-1"] = sign_out_unsigned(token)
    with mock_aws():
        seen |= _observe_accounts(boto3.client("cognito-idp", region_name=REGION))
    with mock_aws():
        seen |= _observe_challenges(boto3.client("cognito-idp", region_name=REGION))
    with mock_aws():
        seen |= _observe_configuration(boto3.client("cognito-idp", region_name=REGION))
    return seen


def _observe_accounts(client: Any) -> dict[str, Any]:
    """Tell what moto lets users and administrators do to accounts."""
    seen: dict[str, Any] = {}
    pool_id, app_client = make_pool(client, AutoVerifiedAttributes=["email"])
    [pool] = gaps.pools()
    client_id = app_client["ClientId"]
    make_user(client, pool_id)
    ada = {"UserPoolId": pool_id, "Username": "ada"}
    tokens = sign_in(client, client_id)
    token = {"AccessToken": tokens["AccessToken"]}

    refresh = {"ClientId": client_id, "RefreshToken": tokens["RefreshToken"]}
    device = {"AccessToken": tokens["AccessToken"], "DeviceKey": "r_1a"}
    seen["ConfirmDevice"] = _outcome(lambda: client.confirm_device(**device))
    seen["GetTokensFromRefreshToken"] = _outcome(
        lambda: client.get_tokens_from_refresh_token(**refresh)
    )
    revocation = {"ClientId": client_id, "Token": tokens["RefreshToken"]}
    seen["RevokeToken"] = _outcome(lambda: client.revoke_token(**revocation))
    name = {"AttributeName": "email"}
    seen["GetUserAttributeVerificationCode"] = _outcome(
        lambda: client.get_user_attribute_verification_code(**token, **name)
    )
    seen["VerifyUserAttribute"] = _outcome(
        lambda: client.verify_user_attribute(**token, **name, Code="1")
    )
    seen["DeleteUserAttributes"] = _outcome(
        lambda: client.delete_user_attributes(**token, UserAttributeNames=["email"])
    )
    seen["DeleteUser"] = _outcome(lambda: client.delete_user(**token))
    seen["UpdateUserAttributes"] = _outcome(
        lambda: client.update_user_attributes(
            **token, UserAttributes=[{"Name": "email", "Value": "new@example.com"}]
        )
    )

    expired, _ = pool.create_jwt(client_id, "ada", "access", expires_in=-10)
    pool.access_tokens[expired] = (client_id, "ada")
    seen["expired GetUser"] = _outcome(lambda: client.get_user(AccessToken=expired)["Username"])
    passwords = {"PreviousPassword": PASSWORD, "ProposedPassword": f"{PASSWORD}2"}
    seen["expired ChangePassword"] = _outcome(
        lambda: client.change_password(AccessToken=expired, **passwords)
    )

    public = {"ClientId": client_id, "Username": "ada"}
    seen["ForgotPassword without a verified address"] = _outcome(
        lambda: client.forgot_password(**public)
    )
    seen["ConfirmForgotPassword with any code"] = _outcome(
        lambda: client.confirm_forgot_password(**public, Password="w", ConfirmationCode="1")
    )

    client.admin_update_user_attributes(
        **ada, UserAttributes=[{"Name": "email_verified", "Value": "true"}]
    )
    pool.users["ada"].confirmation_code = None
    client.admin_reset_user_password(**ada)
    seen["code of AdminResetUserPassword"] = pool.users["ada"].confirmation_code
    client.admin_disable_user(**ada)
    seen["tokens after AdminDisableUser"] = len(pool.access_tokens)
    first = pool.users["ada"].id
    seen["AdminGetUser by sub"] = _outcome(
        lambda: client.admin_get_user(UserPoolId=pool_id, Username=first)
    )
    seen["preference of nobody"] = client.admin_get_user(**ada)["PreferredMfaSetting"]
    client.admin_delete_user(**ada)
    seen["tokens after AdminDeleteUser"] = len(pool.access_tokens)
    made = client.admin_create_user(**ada)["User"]["Attributes"]
    again = client.admin_create_user(**ada, MessageAction="RESEND")["User"]["Attributes"]
    seen["RESEND makes another user"] = made != again
    seen["ListUsers of 61"] = _outcome(lambda: client.list_users(UserPoolId=pool_id, Limit=61))
    return seen


def _observe_challenges(client: Any) -> dict[str, Any]:
    """Tell how moto signs in in steps."""
    seen: dict[str, Any] = {}
    pool_id, app_client = make_pool(client, secret=True)
    client_id = app_client["ClientId"]
    seen["a flow that is off"] = _outcome(
        lambda: _temporary(client, pool_id, client_id, "ada")["ChallengeName"]
    )
    for username, respond, more in (
        ("eve", client.respond_to_auth_challenge, {}),
        ("joe", client.admin_respond_to_auth_challenge, {"UserPoolId": pool_id}),
    ):
        answer = {
            "ClientId": client_id,
            "ChallengeName": "NEW_PASSWORD_REQUIRED",
            "Session": _temporary(client, pool_id, client_id, username)["Session"],
            "ChallengeResponses": {"USERNAME": username, "NEW_PASSWORD": PASSWORD},
        }
        seen[f"challenge of {username} without hash"] = list(
            _outcome(lambda call=respond, sent=more | answer: call(**sent))  # type: ignore[misc]
        )
    secrets = {}
    for username in ("eve", "joe"):
        token = {"AccessToken": sign_in(client, client_id, username)["AccessToken"]}
        secrets[username] = client.associate_software_token(**token)["SecretCode"]
    seen["secrets"] = secrets
    seen["VerifySoftwareToken"] = client.verify_software_token(**token, UserCode="000000")["Status"]
    factor = {"EmailMfaSettings": {"Enabled": True, "PreferredMfa": True}}
    client.set_user_mfa_preference(**token, **factor)
    seen["factors set by the user"] = client.get_user(**token)["UserMFASettingList"]
    joe = {"UserPoolId": pool_id, "Username": "joe"}
    client.admin_set_user_mfa_preference(**joe, **factor)
    seen["factors set for the user"] = client.admin_get_user(**joe)["UserMFASettingList"]

    by_email, app_client = make_pool(client, UsernameAttributes=["email"])
    make_user(client, by_email, "ada@example.com")
    signed_in = sign_in(client, app_client["ClientId"], "ada@example.com")
    [sub] = [user["Username"] for user in client.list_users(UserPoolId=by_email)["Users"]]
    client.admin_user_global_sign_out(UserPoolId=by_email, Username=sub)
    seen["refresh after sign-out by sub"] = _outcome(
        lambda: client.initiate_auth(
            ClientId=app_client["ClientId"],
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": signed_in["RefreshToken"]},
        )["AuthenticationResult"]
    )
    return seen


def _temporary(client: Any, pool_id: str, client_id: str, username: str) -> Any:
    """Make a user with a temporary password and sign in as an administrator may."""
    client.admin_create_user(
        UserPoolId=pool_id, Username=username, TemporaryPassword=PASSWORD, UserAttributes=EMAIL
    )
    return client.admin_initiate_auth(
        UserPoolId=pool_id,
        ClientId=client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": username, "PASSWORD": PASSWORD},
    )


def _observe_configuration(client: Any) -> dict[str, Any]:
    """Tell what moto makes of changed configurations."""
    seen: dict[str, Any] = {}
    pool_id, app_client = make_pool(
        client, UsernameAttributes=["email"], MfaConfiguration="OFF", secret=True
    )
    client.set_user_pool_mfa_config(
        UserPoolId=pool_id,
        MfaConfiguration="OPTIONAL",
        SoftwareTokenMfaConfiguration={"Enabled": True},
    )
    described = client.describe_user_pool(UserPoolId=pool_id)["UserPool"]
    seen["MFA that is told"] = described["MfaConfiguration"]
    client.update_user_pool(UserPoolId=pool_id)
    updated = client.describe_user_pool(UserPoolId=pool_id)["UserPool"]
    seen["updated pool"] = [updated.get("UsernameAttributes"), updated["MfaConfiguration"]]

    own = {"UserPoolId": pool_id, "ClientId": app_client["ClientId"]}
    client.update_user_pool_client(**own, PreventUserExistenceErrors="ENABLED")
    again = client.update_user_pool_client(**own)["UserPoolClient"]
    seen["left out of a client's update"] = again.get("PreventUserExistenceErrors")

    for name, call in {
        "AddUserPoolClientSecret": lambda: client.add_user_pool_client_secret(**own),
        "ListUserPoolClientSecrets": lambda: client.list_user_pool_client_secrets(**own),
        "DeleteUserPoolClientSecret": lambda: client.delete_user_pool_client_secret(
            **own, ClientSecretId="x"
        ),
        "UpdateResourceServer": lambda: client.update_resource_server(
            UserPoolId=pool_id, Identifier="x", Name="x"
        ),
        "DeleteResourceServer": lambda: client.delete_resource_server(
            UserPoolId=pool_id, Identifier="x"
        ),
    }.items():
        seen[name] = _outcome(call)
    return seen


def _outcome(call: Callable[[], Any]) -> Any:
    """Return a call's result without boto's metadata, or the name of its error."""
    try:
        result = call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    except NotImplementedError:
        return "not implemented"
    if not isinstance(result, dict):
        return result
    return {k: v for k, v in result.items() if k != "ResponseMetadata"}


def _text(call: Callable[[], Any]) -> str:
    """Return the text of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Message"])


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What moto does by itself."""
    script = (
        "import json; from tests.test_moto_gaps import observe_moto as o; "
        "print(json.dumps(o(), default=str))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert isinstance(read, dict)
    return read


Canary = Callable[[dict[str, Any]], bool]


def _is_missing(operation: str) -> Canary:
    """Return the canary of an operation that moto lacks."""
    return lambda seen: bool(seen[operation] == "not implemented")


# What moto lacks -> the function of gaps.py that fills it, and how one sees that it is lacking.
CANARIES: dict[str, tuple[str, Canary]] = {
    "tokens of all pools name one key": (
        "initiate_auth",
        lambda seen: seen["access header"]["kid"] == seen["other header"]["kid"] == "dummy",
    ),
    "access and ID token name one key": (
        "initiate_auth",
        lambda seen: seen["access header"]["kid"] == seen["id header"]["kid"],
    ),
    "the header has a typ": ("initiate_auth", lambda seen: "typ" in seen["access header"]),
    "tokens have no event_id": (
        "initiate_auth",
        lambda seen: "event_id" not in seen["access claims"] | seen["id claims"],
    ),
    "access tokens have no version": (
        "initiate_auth",
        lambda seen: "version" not in seen["access claims"],
    ),
    "a trigger is stored and never run": (
        "initiate_auth",
        # There is no such function, so that running it could only fail.
        lambda seen: seen["scope with a trigger"] == SIGN_IN_SCOPE,
    ),
    "ID tokens lack the user's attributes": (
        "initiate_auth",
        lambda seen: "email" not in seen["id claims"],
    ),
    "every pool, even one that is not, has the same JWKS": (
        "trust_nothing_but_own_keys",
        lambda seen: seen["jwks"][0] == seen["jwks"][1] == seen["jwks"][2],
    ),
    "each pool reads the one static key": (
        "trust_nothing_but_own_keys",
        lambda seen: seen["a pool reads a static key"],
    ),
    "the JWKS has one key": (
        "trust_nothing_but_own_keys",
        lambda seen: [key["kid"] for key in seen["jwks"][0]["keys"]] == ["dummy"],
    ),
    "no code is made": ("sign_up", lambda seen: seen["code made at sign-up"] is None),
    "sign-up asks for no SECRET_HASH": (
        "sign_up",
        lambda seen: "UserSub" in seen["sign-up without hash"],
    ),
    "any code confirms": ("confirm_sign_up", lambda seen: seen["confirmations"][0] == {}),
    "a code serves twice": ("confirm_sign_up", lambda seen: seen["confirmations"][1] == {}),
    "confirming asks for no SECRET_HASH": (
        "confirm_sign_up",
        lambda seen: seen["confirmation without hash"] == {},
    ),
    "ResendConfirmationCode is missing": (
        "resend_confirmation_code",
        lambda seen: seen["resend"] == "not implemented",
    ),
    "sign-in asks for no SECRET_HASH": (
        "initiate_auth",
        lambda seen: "AccessToken" in seen["sign-in without hash"],
    ),
    "an unsigned sign-out finds tokens of us-east-1 alone": (
        "global_sign_out",
        lambda seen: (
            (seen["unsigned sign-out in us-east-1"], seen["unsigned sign-out"])
            == ("done", "NotAuthorizedException")
        ),
    ),
    "nobody is found by sub": (
        "_get_user",
        lambda seen: seen["AdminGetUser by sub"] == "UserNotFoundException",
    ),
    "a sign-out goes by the name that was typed": (
        "sign_out",
        lambda seen: "AccessToken" in seen["refresh after sign-out by sub"],
    ),
    "who prefers nothing prefers empty text": (
        "to_json",
        lambda seen: seen["preference of nobody"] == "",
    ),
    "every flow is on": (
        "admin_initiate_auth",
        lambda seen: seen["a flow that is off"] == "NEW_PASSWORD_REQUIRED",
    ),
    "a challenge asks for no SECRET_HASH": (
        "respond_to_auth_challenge",
        lambda seen: "AuthenticationResult" in seen["challenge of eve without hash"],
    ),
    "an administrator's challenge asks for no SECRET_HASH": (
        "admin_respond_to_auth_challenge",
        lambda seen: "AuthenticationResult" in seen["challenge of joe without hash"],
    ),
    "all users have one TOTP secret": (
        "associate_software_token",
        lambda seen: seen["secrets"]["eve"] == seen["secrets"]["joe"],
    ),
    "any TOTP code will do": (
        "verify_software_token",
        lambda seen: seen["VerifySoftwareToken"] == "SUCCESS",
    ),
    "e-mail is no factor": (
        "set_user_mfa_preference",
        lambda seen: "EMAIL_OTP" not in seen["factors set by the user"],
    ),
    "e-mail is no factor that an administrator can set": (
        "admin_set_user_mfa_preference",
        lambda seen: "EMAIL_OTP" not in seen["factors set for the user"],
    ),
    "expired tokens count": ("get_user", lambda seen: seen["expired GetUser"] == "ada"),
    "expired tokens change passwords": (
        "change_password",
        lambda seen: seen["expired ChangePassword"] == {},
    ),
    "a new address is not verified": (
        "update_user_attributes",
        lambda seen: seen["UpdateUserAttributes"] == {},
    ),
    "passwords are reset without a verified address": (
        "forgot_password",
        lambda seen: "CodeDeliveryDetails" in seen["ForgotPassword without a verified address"],
    ),
    "any code resets a password, to anything": (
        "confirm_forgot_password",
        lambda seen: seen["ConfirmForgotPassword with any code"] == {},
    ),
    "RESEND makes another user": (
        "admin_create_user",
        lambda seen: seen["RESEND makes another user"],
    ),
    "tokens outlive their user": (
        "admin_delete_user",
        lambda seen: seen["tokens after AdminDeleteUser"] > 0,
    ),
    "disabling revokes no access token": (
        "admin_disable_user",
        lambda seen: seen["tokens after AdminDisableUser"] > 0,
    ),
    "an administrator's reset sends no code": (
        "admin_reset_user_password",
        lambda seen: seen["code of AdminResetUserPassword"] is None,
    ),
    "pages of more than 60 users": ("list_users", lambda seen: "Users" in seen["ListUsers of 61"]),
    "an updated pool forgets its aliases and keeps its MFA": (
        "update_user_pool",
        lambda seen: seen["updated pool"] == [None, "OPTIONAL"],
    ),
    "the MFA of a pool's creation is told for ever": (
        "set_user_pool_mfa_config",
        lambda seen: seen["MFA that is told"] == "OFF",
    ),
    "an updated client keeps what is left out": (
        "update_user_pool_client",
        lambda seen: seen["left out of a client's update"] == "ENABLED",
    ),
    "no rule of the password policy is named": (
        "_validate_password",
        lambda seen: "not long enough" not in seen["weak password"],
    ),
    "confirmed accounts are confirmed again": (
        "admin_confirm_sign_up",
        lambda seen: seen["AdminConfirmSignUp of a confirmed user"] == {},
    ),
    "a protected pool is deleted": (
        "delete_user_pool",
        lambda seen: seen["DeleteUserPool of a protected pool"] == {},
    ),
    "what is not found is the bare name": ("told", lambda seen: seen["no such group"] == "zz"),
    **{
        f"{operation} is missing": (xform_name(operation), _is_missing(operation))
        for operation in (
            "GetTokensFromRefreshToken",
            "RevokeToken",
            "DeleteUser",
            "DeleteUserAttributes",
            "GetUserAttributeVerificationCode",
            "VerifyUserAttribute",
            "AddUserPoolClientSecret",
            "ListUserPoolClientSecrets",
            "DeleteUserPoolClientSecret",
            "UpdateResourceServer",
            "DeleteResourceServer",
            "ConfirmDevice",
        )
    },
}


@pytest.mark.parametrize("gap", CANARIES)
def test_moto_still_has_this_gap(seen: dict[str, Any], gap: str) -> None:
    """While moto has it, gaps.py is needed."""
    function, is_open = CANARIES[gap]
    assert is_open(seen), f"moto fills this gap now: drop {function} from gaps.py ({seen})"


def test_every_gap_has_a_canary() -> None:
    """What gaps.py puts into moto is what the canaries watch."""
    filled = {function.__name__ for functions in gaps._GAPS.values() for function in functions}
    watched = {function for function, _ in CANARIES.values()}
    assert watched == filled | {"trust_nothing_but_own_keys", "told"}


# The gaps, filled: codes and secret hashes


@pytest.fixture
def cognito(mock_cognito_client: CognitoIdp) -> CognitoIdp:
    """The test pool; its app client has a secret."""
    return mock_cognito_client


def hashed(cognito: CognitoIdp, username: str) -> str:
    """Return the right SECRET_HASH."""
    return secret_hash(username, cognito.client_id, CLIENT_SECRET)


def sign_up(cognito: CognitoIdp, username: str = "grace") -> Any:
    """Sign up with the right hash."""
    return cognito.client.sign_up(
        ClientId=cognito.client_id,
        SecretHash=hashed(cognito, username),
        Username=username,
        Password=PASSWORD,
        UserAttributes=EMAIL,
    )


def confirm(cognito: CognitoIdp, code: str, username: str = "grace") -> None:
    """Confirm with the right hash."""
    cognito.client.confirm_sign_up(
        ClientId=cognito.client_id,
        SecretHash=hashed(cognito, username),
        Username=username,
        ConfirmationCode=code,
    )


def resend(cognito: CognitoIdp, username: str = "grace") -> Any:
    """Ask for a new code with the right hash."""
    return cognito.client.resend_confirmation_code(
        ClientId=cognito.client_id, SecretHash=hashed(cognito, username), Username=username
    )


def _token_of_grace(cognito: CognitoIdp) -> str:
    """Sign grace in with the right hash."""
    answer = sign_in(
        cognito.client, cognito.client_id, "grace", SECRET_HASH=hashed(cognito, "grace")
    )
    return str(answer["AccessToken"])


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """Return code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


CALLS: dict[str, Callable[[Any, str, dict[str, str]], Any]] = {
    "SignUp": lambda client, client_id, sent: client.sign_up(
        ClientId=client_id, Username="grace", Password=PASSWORD, **sent
    ),
    "ConfirmSignUp": lambda client, client_id, sent: client.confirm_sign_up(
        ClientId=client_id, Username="grace", ConfirmationCode="1", **sent
    ),
    "ResendConfirmationCode": lambda client, client_id, sent: client.resend_confirmation_code(
        ClientId=client_id, Username="grace", **sent
    ),
    "InitiateAuth": lambda client, client_id, sent: sign_in(
        client, client_id, "grace", **({"SECRET_HASH": sent["SecretHash"]} if sent else {})
    ),
}
each_operation = pytest.mark.parametrize("operation", CALLS)


@each_operation
def test_a_missing_secret_hash_is_refused(cognito: CognitoIdp, operation: str) -> None:
    """In AWS's words, which name the client."""
    call = CALLS[operation]
    assert refusal(lambda: call(cognito.client, cognito.client_id, {})) == (
        "NotAuthorizedException",
        f"Client {cognito.client_id} is configured with secret but SECRET_HASH was not received",
    )


@each_operation
def test_a_wrong_secret_hash_is_refused(cognito: CognitoIdp, operation: str) -> None:
    """Another user's hash, for one."""
    call, sent = CALLS[operation], {"SecretHash": hashed(cognito, "somebody else")}
    assert refusal(lambda: call(cognito.client, cognito.client_id, sent)) == (
        "NotAuthorizedException",
        f"Unable to verify secret hash for client {cognito.client_id}",
    )


@each_operation
def test_an_unknown_client_is_refused(cognito: CognitoIdp, operation: str) -> None:
    """Before anything else is looked at."""
    code, message = refusal(lambda: CALLS[operation](cognito.client, "nobodys", {}))
    assert code == "ResourceNotFoundException"
    assert "nobodys" in message


def test_a_public_client_needs_no_hash(cognito: CognitoIdp) -> None:
    """An app client without a secret works as it is."""
    pool_id, app_client = make_pool(cognito.client)
    cognito.client.sign_up(
        ClientId=app_client["ClientId"], Username="grace", Password=PASSWORD, UserAttributes=EMAIL
    )
    cognito.client.admin_confirm_sign_up(UserPoolId=pool_id, Username="grace")
    assert sign_in(cognito.client, app_client["ClientId"], "grace")["AccessToken"]


def test_codes_have_six_digits_and_are_delivered(cognito: CognitoIdp) -> None:
    """The answer says where to, and not the whole address."""
    answer = sign_up(cognito)
    assert answer["UserConfirmed"] is False
    assert answer["CodeDeliveryDetails"] == {
        "Destination": "g***@e***",
        "DeliveryMedium": "EMAIL",
        "AttributeName": "email",
    }
    [sent] = gaps.outbox.sent
    assert (sent.pool_id, sent.username, sent.destination) == (
        cognito.pool_id,
        "grace",
        "g***@e***",
    )
    assert len(sent.code) == 6
    assert sent.code.isdigit()
    assert sent.code not in repr(sent)


def test_a_wrong_code_is_refused(cognito: CognitoIdp) -> None:
    """The right one still serves afterwards."""
    sign_up(cognito)
    code = gaps.outbox.last_code("grace")
    for wrong in (other_than(code), "x", f"{code}0", "é"):
        assert refusal(lambda wrong=wrong: confirm(cognito, wrong)) == (  # type: ignore[misc]
            "CodeMismatchException",
            "Invalid verification code provided, please try again.",
        )
    confirm(cognito, code)


def test_a_confirmed_user_can_sign_in(cognito: CognitoIdp) -> None:
    """Not before, and with a verified e-mail address then."""
    answer = sign_up(cognito)
    sent = {"SECRET_HASH": hashed(cognito, "grace")}
    assert refusal(lambda: sign_in(cognito.client, cognito.client_id, "grace", **sent))[0] == (
        "UserNotConfirmedException"
    )
    confirm(cognito, gaps.outbox.last_code("grace"))
    tokens = sign_in(cognito.client, cognito.client_id, "grace", **sent)
    assert part(tokens["AccessToken"], 1)["sub"] == answer["UserSub"]
    assert part(tokens["IdToken"], 1)["email_verified"] is True


def test_a_code_serves_once(cognito: CognitoIdp) -> None:
    """A confirmed user cannot be confirmed again."""
    sign_up(cognito)
    code = gaps.outbox.last_code("grace")
    confirm(cognito, code)
    assert refusal(lambda: confirm(cognito, code)) == (
        "NotAuthorizedException",
        "User cannot be confirmed. Current status is CONFIRMED",
    )


def test_a_resend_replaces_the_code(cognito: CognitoIdp) -> None:
    """Only the newest code serves; chance may make the same one once, not twice in a row."""
    sign_up(cognito)
    first = gaps.outbox.last_code("grace")
    details = resend(cognito)["CodeDeliveryDetails"]
    assert details["Destination"] == "g***@e***"
    if gaps.outbox.last_code("grace") == first:
        resend(cognito)
    second = gaps.outbox.last_code("grace")
    assert second != first
    assert refusal(lambda: confirm(cognito, first))[0] == "CodeMismatchException"
    confirm(cognito, second)


def test_unknown_users_are_unknown(cognito: CognitoIdp) -> None:
    """As a pool answers without PreventUserExistenceErrors."""
    own = {"UserPoolId": cognito.pool_id, "ClientId": cognito.client_id}
    cognito.client.update_user_pool_client(**own, PreventUserExistenceErrors="LEGACY")
    for call in (lambda: confirm(cognito, "1", "nobody"), lambda: resend(cognito, "nobody")):
        assert refusal(call) == (
            "UserNotFoundException",
            "Username/client id combination not found.",
        )


def test_a_confirmed_user_needs_no_code(cognito: CognitoIdp) -> None:
    """Nothing is sent, and Cognito says why."""
    sign_up(cognito)
    confirm(cognito, gaps.outbox.last_code("grace"))
    gaps.outbox.sent.clear()
    assert refusal(lambda: resend(cognito)) == (
        "InvalidParameterException",
        "User is already confirmed.",
    )
    assert not gaps.outbox.sent


def test_a_refused_sign_up_sends_no_code(cognito: CognitoIdp) -> None:
    """Taken name, weak password: there is nobody to confirm."""
    sign_up(cognito)
    gaps.outbox.sent.clear()
    assert refusal(lambda: sign_up(cognito))[0] == "UsernameExistsException"
    weak = {"Password": "weakling", "SecretHash": hashed(cognito, "eve"), "Username": "eve"}
    code, _ = refusal(lambda: cognito.client.sign_up(ClientId=cognito.client_id, **weak))
    assert code == "InvalidPasswordException"
    assert not gaps.outbox.sent


def test_a_pool_that_verifies_nothing_sends_no_code(cognito: CognitoIdp) -> None:
    """Without AutoVerifiedAttributes the sign-up stands, and no code confirms it."""
    _, app_client = make_pool(cognito.client)
    user = {"ClientId": app_client["ClientId"], "Username": "grace"}
    answer = cognito.client.sign_up(**user, Password=PASSWORD, UserAttributes=EMAIL)
    assert "CodeDeliveryDetails" not in answer
    assert not gaps.outbox.sent
    code, _ = refusal(lambda: cognito.client.confirm_sign_up(**user, ConfirmationCode="000000"))
    assert code == "ExpiredCodeException"


def test_a_user_without_an_address_is_sent_nothing(cognito: CognitoIdp) -> None:
    """There is nowhere to send a code to."""
    answer = cognito.client.sign_up(
        ClientId=cognito.client_id,
        SecretHash=hashed(cognito, "grace"),
        Username="grace",
        Password=PASSWORD,
    )
    assert "CodeDeliveryDetails" not in answer
    assert not gaps.outbox.sent
    assert "CodeDeliveryDetails" not in resend(cognito)


def test_the_outbox_tells_its_listeners(cognito: CognitoIdp) -> None:
    """The terminal of `flask run` is one."""
    heard: list[gaps.SentCode] = []
    gaps.outbox.listeners.append(heard.append)
    try:
        sign_up(cognito)
    finally:
        gaps.outbox.listeners.remove(heard.append)
    assert heard == list(gaps.outbox.sent)
    assert gaps.outbox.last_code("grace") == heard[0].code
    with pytest.raises(LookupError, match="nobody"):
        gaps.outbox.last_code("nobody")


# The gaps, filled: the trigger


class Recorder:
    """A trigger that keeps its events and answers as it is told."""

    def __init__(self, details: Any = None) -> None:
        self.details = details
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any], _context: object) -> Any:
        """Answer an event."""
        self.events.append(event)
        return event | {"response": {"claimsAndScopeOverrideDetails": self.details}}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """The trigger behind ARN."""
    made = Recorder()
    gaps.register_trigger(ARN, made)
    yield made
    del tokens_of_gaps._triggers[ARN]


@pytest.fixture
def triggered(cognito: CognitoIdp, recorder: Recorder) -> tuple[str, str]:
    """A pool with that trigger and a user in two groups: the ids of pool and client."""
    pool_id, app_client = make_pool(cognito.client, "V2_0")
    make_user(cognito.client, pool_id)
    for group in ("players", "admins"):
        cognito.client.create_group(UserPoolId=pool_id, GroupName=group)
        cognito.client.admin_add_user_to_group(UserPoolId=pool_id, Username="ada", GroupName=group)
    return pool_id, app_client["ClientId"]


def test_the_event_is_cognitos(
    cognito: CognitoIdp, recorder: Recorder, triggered: tuple[str, str]
) -> None:
    """Version 2, with the user's attributes and groups, and the scope of every sign-in."""
    pool_id, client_id = triggered
    tokens = sign_in(cognito.client, client_id)
    [event] = recorder.events
    assert event["version"] == "2"
    assert event["triggerSource"] == "TokenGeneration_Authentication"
    assert (event["region"], event["userPoolId"], event["userName"]) == (REGION, pool_id, "ada")
    assert event["callerContext"]["clientId"] == client_id
    assert event["request"] == {
        "userAttributes": {
            "sub": part(tokens["AccessToken"], 1)["sub"],
            "email": "grace@example.com",
            "cognito:user_status": "CONFIRMED",
        },
        "groupConfiguration": {
            "groupsToOverride": ["admins", "players"],
            "iamRolesToOverride": [],
            "preferredRole": None,
        },
        "scopes": [SIGN_IN_SCOPE],
    }
    assert event["response"] == {"claimsAndScopeOverrideDetails": None}


def test_a_refresh_runs_the_trigger_again(
    cognito: CognitoIdp, recorder: Recorder, triggered: tuple[str, str]
) -> None:
    """The trigger runs at sign-in and at every refresh, and is told which of them it is."""
    _, client_id = triggered
    recorder.details = {"accessTokenGeneration": {"scopesToAdd": ["me"]}}
    tokens = sign_in(cognito.client, client_id)
    refreshed = cognito.client.initiate_auth(
        ClientId=client_id,
        AuthFlow="REFRESH_TOKEN_AUTH",
        AuthParameters={"REFRESH_TOKEN": tokens["RefreshToken"]},
    )["AuthenticationResult"]
    before, after = part(tokens["AccessToken"], 1), part(refreshed["AccessToken"], 1)
    assert after["scope"] == before["scope"] == f"{SIGN_IN_SCOPE} me"
    assert after["origin_jti"] == before["origin_jti"]
    assert [event["triggerSource"] for event in recorder.events] == [
        "TokenGeneration_Authentication",
        "TokenGeneration_RefreshTokens",
    ]


def test_the_answer_changes_both_tokens(
    cognito: CognitoIdp, recorder: Recorder, triggered: tuple[str, str]
) -> None:
    """The trigger runs once for a sign-in, and each token gets its own changes."""
    recorder.details = {
        "accessTokenGeneration": {
            "scopesToAdd": ["me", "randoms", "me"],
            "scopesToSuppress": ["randoms"],
            "claimsToAddOrOverride": {"tenant": "t1", "sub": "forged"},
        },
        "idTokenGeneration": {
            "claimsToAddOrOverride": {"plan": "free"},
            "claimsToSuppress": ["email"],
        },
    }
    tokens = sign_in(cognito.client, triggered[1])
    access, identity = part(tokens["AccessToken"], 1), part(tokens["IdToken"], 1)
    assert len(recorder.events) == 1
    assert access["scope"] == f"{SIGN_IN_SCOPE} me"
    assert access["tenant"] == "t1"
    assert access["sub"] == identity["sub"] != "forged"
    assert identity["plan"] == "free"
    assert "email" not in identity
    assert "tenant" not in identity
    assert access["cognito:groups"] == identity["cognito:groups"] == ["admins", "players"]


@pytest.mark.parametrize(
    ("override", "groups"),
    [
        pytest.param({}, None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param({"groupsToOverride": ["vip"]}, ["vip"], id="replaced"),
    ],
)
def test_groups_can_be_taken_away(
    cognito: CognitoIdp,
    recorder: Recorder,
    triggered: tuple[str, str],
    override: object,
    groups: list[str] | None,
) -> None:
    """An empty override removes the claim (T27), as for a user who is in no group (T13)."""
    recorder.details = {"groupOverrideDetails": override}
    tokens = sign_in(cognito.client, triggered[1])
    for token in (tokens["AccessToken"], tokens["IdToken"]):
        assert part(token, 1).get("cognito:groups") == groups


def test_a_v1_trigger_changes_no_access_token(cognito: CognitoIdp, recorder: Recorder) -> None:
    """A V2 answer under a V1 configuration is ignored (T26)."""
    recorder.details = {"accessTokenGeneration": {"scopesToAdd": ["me"]}}
    pool_id, app_client = make_pool(cognito.client, "V1_0")
    make_user(cognito.client, pool_id)
    tokens = sign_in(cognito.client, app_client["ClientId"])
    assert part(tokens["AccessToken"], 1)["scope"] == SIGN_IN_SCOPE


def test_a_failing_trigger_stops_the_sign_in(
    cognito: CognitoIdp, triggered: tuple[str, str]
) -> None:
    """UserLambdaValidationException, with the function's own words (T25); there is no token."""

    def fail(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        raise ValueError("SCOPES_BY_GROUP is not JSON")

    gaps.register_trigger(ARN, fail)
    assert refusal(lambda: sign_in(cognito.client, triggered[1])) == (
        "UserLambdaValidationException",
        "PreTokenGeneration failed with error SCOPES_BY_GROUP is not JSON.",
    )
    [pool] = [pool for pool in gaps.pools() if pool.id == triggered[0]]
    assert not pool.access_tokens


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="nothing"),
        pytest.param({"response": {1, 2}}, id="no JSON"),
        pytest.param(
            {
                "response": {
                    "claimsAndScopeOverrideDetails": {
                        "accessTokenGeneration": {"scopesToAdd": ["me randoms"]}
                    }
                }
            },
            id="scope with a space",
        ),
    ],
)
def test_an_invalid_answer_stops_the_sign_in(
    cognito: CognitoIdp, triggered: tuple[str, str], answer: Any
) -> None:
    """InvalidLambdaResponseException (T25)."""
    gaps.register_trigger(ARN, lambda _event, _context: answer)
    code, _ = refusal(lambda: sign_in(cognito.client, triggered[1]))
    assert code == "InvalidLambdaResponseException"


def test_an_arn_without_a_function_stops_the_sign_in(
    cognito: CognitoIdp, recorder: Recorder
) -> None:
    """UnexpectedLambdaException (T25) names the ARN."""
    pool_id, app_client = make_pool(cognito.client, "V2_0", arn=f"{ARN}-unknown")
    make_user(cognito.client, pool_id)
    code, message = refusal(lambda: sign_in(cognito.client, app_client["ClientId"]))
    assert code == "UnexpectedLambdaException"
    assert f"{ARN}-unknown" in message


def test_a_pool_without_a_trigger(cognito: CognitoIdp) -> None:
    """Its tokens have the one scope of every sign-in."""
    pool_id, app_client = make_pool(cognito.client)
    make_user(cognito.client, pool_id)
    tokens = sign_in(cognito.client, app_client["ClientId"])
    assert part(tokens["AccessToken"], 1)["scope"] == SIGN_IN_SCOPE


# The gaps, filled: tokens and keys


def test_access_tokens_are_cognitos(
    cognito: CognitoIdp, recorder: Recorder, triggered: tuple[str, str]
) -> None:
    """Cognito's claims and no other ones; the header has kid and alg alone."""
    pool_id, client_id = triggered
    token = sign_in(cognito.client, client_id)["AccessToken"]
    header, claims = part(token, 0), part(token, 1)
    assert header == {"kid": header["kid"], "alg": "RS256"}
    assert claims["iss"] == f"https://cognito-idp.{REGION}.amazonaws.com/{pool_id}"
    assert (claims["client_id"], claims["username"]) == (client_id, "ada")
    assert (claims["token_use"], claims["version"]) == ("access", 2)
    assert claims["exp"] == claims["iat"] + 3600
    named = "sub iss client_id token_use auth_time iat exp jti origin_jti event_id username"
    assert set(claims) == {*named.split(), "version", "scope", "cognito:groups"}


def test_each_kind_of_token_has_its_key(
    cognito: CognitoIdp, recorder: Recorder, triggered: tuple[str, str]
) -> None:
    """Both keys are in the pool's JWKS (T1), and an access token verifies against it."""
    pool_id, client_id = triggered
    tokens = sign_in(cognito.client, client_id)
    kids = [part(tokens[name], 0)["kid"] for name in ("AccessToken", "IdToken")]
    jwks = jwks_of(pool_id)
    assert kids[0] != kids[1]
    assert sorted(kids) == sorted(key["kid"] for key in jwks["keys"])
    assert all("d" not in key for key in jwks["keys"])
    assert [pool.json_web_key for pool in gaps.pools()] == [None] * len(list(gaps.pools()))

    verifier = CognitoVerifier(pool_id, client_ids={client_id})  # fetches the JWKS itself
    assert verifier.verify(tokens["AccessToken"]).username == "ada"
    with pytest.raises(InvalidToken):
        verifier.verify(tokens["IdToken"])


def test_pools_do_not_share_keys(
    cognito: CognitoIdp, recorder: Recorder, triggered: tuple[str, str]
) -> None:
    """Another pool's keys do not verify the token; a pool that is not has no keys."""
    other_id, _ = make_pool(cognito.client)
    token = sign_in(cognito.client, triggered[1])["AccessToken"]
    document = json.dumps(jwks_of(other_id)).encode()
    keys = KeyStore("https://keys.example.com", fetch=lambda _uri, _timeout: document)
    verifier = CognitoVerifier(triggered[0], client_ids=None, keys=keys)
    with pytest.raises(InvalidToken):
        verifier.verify(token)
    assert "keys" not in jwks_of(f"{REGION}_Nowhere")


def test_an_unsigned_sign_out_finds_the_token_in_any_region(cognito: CognitoIdp) -> None:
    """Public operations tell no region: the server looks everywhere."""
    client: Any = boto3.client("cognito-idp", region_name="us-west-2")
    pool_id, app_client = make_pool(client)
    make_user(client, pool_id)
    token = sign_in(client, app_client["ClientId"])["AccessToken"]
    assert sign_out_unsigned(token) == "done"
    assert sign_out_unsigned(token) == "NotAuthorizedException", "it no longer counts"


def test_filling_twice_changes_nothing(cognito: CognitoIdp) -> None:
    """Tests and emulator may both do it: codes are sent once, hashes checked once."""
    before = {name: vars(CognitoIdpResponse)[name] for name in ("sign_up", "initiate_auth")}
    gaps.fill()
    gaps.fill()
    assert {name: vars(CognitoIdpResponse)[name] for name in before} == before
    sign_up(cognito)
    assert len(gaps.outbox.sent) == 1
    confirm(cognito, gaps.outbox.last_code("grace"))
    sent = {"SECRET_HASH": hashed(cognito, "grace")}
    assert sign_in(cognito.client, cognito.client_id, "grace", **sent)["AccessToken"]


def test_a_deleted_users_token_does_not_sign_out_the_next_of_that_name(
    cognito: CognitoIdp,
) -> None:
    """Tokens are kept by user name; a name that comes back is another person (T12)."""
    sign_up(cognito)
    confirm(cognito, gaps.outbox.last_code("grace"))
    old = _token_of_grace(cognito)
    cognito.client.admin_delete_user(UserPoolId=cognito.pool_id, Username="grace")
    sign_up(cognito)
    confirm(cognito, gaps.outbox.last_code("grace"))
    new = _token_of_grace(cognito)
    refused = refusal(lambda: cognito.client.global_sign_out(AccessToken=old))
    assert refused[0] == "NotAuthorizedException"
    cognito.client.global_sign_out(AccessToken=new)
