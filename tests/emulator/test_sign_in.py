"""Signing up and in: who is let in, who is told what, and who is locked out."""

from typing import Any

import pytest

from resource_server.emulator import gaps
from tests.conftest import PASSWORD, other_than
from tests.emulator.conftest import (
    EMAIL,
    FLOWS,
    NEW_PASSWORD,
    Cognito,
    claims,
    refusal,
)

WRONG = ("NotAuthorizedException", "Incorrect username or password.")
LOCKED = ("NotAuthorizedException", "Password attempts exceeded")
MISMATCH = (
    "CodeMismatchException",
    "Invalid verification code provided, please try again.",
)
EXPIRED = ("ExpiredCodeException", "Invalid code provided, please request a code again.")
LIMIT = ("LimitExceededException", "Attempt limit exceeded, please try after some time.")


def fail(cognito: Cognito, times: int) -> None:
    """Mistype grace's password so many times."""
    for _ in range(times):
        assert refusal(lambda: cognito.sign_in("Wr0ng-passw0rd!")) == WRONG


def sign_up(cognito: Cognito, username: str = "ada") -> str:
    """Sign up; return the code."""
    cognito.boto.sign_up(
        **cognito.public(username),
        Password=PASSWORD,
        UserAttributes=[{"Name": "email", "Value": EMAIL}],
    )
    return gaps.outbox.last_code(username)


def confirm(cognito: Cognito, code: str, username: str = "ada") -> Any:
    """Confirm a sign-up."""
    return cognito.boto.confirm_sign_up(**cognito.public(username), ConfirmationCode=code)


def test_unknown_users_are_hidden(cognito: Cognito) -> None:
    """With PreventUserExistenceErrors nobody learns who exists, from no operation."""
    cognito.configure(PreventUserExistenceErrors="ENABLED")
    assert refusal(lambda: cognito.sign_in(username="nobody")) == WRONG
    nobody = cognito.public("nobody")
    for call in (cognito.boto.forgot_password, cognito.boto.resend_confirmation_code):
        details = call(**nobody)["CodeDeliveryDetails"]
        assert details["DeliveryMedium"] == "EMAIL"
        assert details["Destination"]
    assert refusal(lambda: confirm(cognito, "123456", "nobody")) == MISMATCH
    assert (
        refusal(
            lambda: cognito.boto.confirm_forgot_password(
                **nobody, ConfirmationCode="123456", Password=NEW_PASSWORD
            )
        )
        == MISMATCH
    )
    assert not gaps.outbox.sent


def test_unknown_users_are_told(cognito: Cognito) -> None:
    """With LEGACY, the API's default, it is UserNotFoundException everywhere."""
    nobody = cognito.public("nobody")
    for call in (
        lambda: cognito.sign_in(username="nobody"),
        lambda: cognito.boto.forgot_password(**nobody),
        lambda: cognito.boto.resend_confirmation_code(**nobody),
        lambda: confirm(cognito, "123456", "nobody"),
        lambda: cognito.boto.confirm_forgot_password(
            **nobody, ConfirmationCode="123456", Password=NEW_PASSWORD
        ),
    ):
        assert refusal(call)[0] == "UserNotFoundException"


def test_flows_that_are_off(cognito: Cognito) -> None:
    """A client signs in by what ExplicitAuthFlows allows, and by nothing else."""
    token = cognito.sign_in()["RefreshToken"]
    cognito.configure(ExplicitAuthFlows=["ALLOW_USER_SRP_AUTH"])
    assert refusal(cognito.sign_in) == (
        "InvalidParameterException",
        "USER_PASSWORD_AUTH flow not enabled for this client",
    )
    assert refusal(lambda: cognito.refresh(token))[0] == "InvalidParameterException"
    assert refusal(lambda: administrators_sign_in(cognito))[0] == "NotAuthorizedException"


def test_flows_without_a_setting(cognito: Cognito) -> None:
    """A client that was told nothing refreshes, and takes no password."""
    token = cognito.sign_in()["RefreshToken"]
    cognito.boto.update_user_pool_client(UserPoolId=cognito.pool_id, ClientId=cognito.client_id)
    assert refusal(cognito.sign_in)[0] == "InvalidParameterException"
    assert cognito.refresh(token)["AccessToken"]


def test_srp_is_refused(cognito: Cognito) -> None:
    """What is not emulated says so: moto would let anybody in."""
    cognito.configure(ExplicitAuthFlows=["ALLOW_USER_SRP_AUTH"])
    code, message = refusal(
        lambda: cognito.boto.initiate_auth(
            ClientId=cognito.client_id,
            AuthFlow="USER_SRP_AUTH",
            AuthParameters={
                "USERNAME": "grace",
                "SRP_A": "1",
                "SECRET_HASH": cognito.hash("grace"),
            },
        )
    )
    assert code == "InvalidParameterException"
    assert "USER_PASSWORD_AUTH" in message


def administrators_sign_in(cognito: Cognito) -> Any:
    """Sign grace in with the administrator's operation."""
    return cognito.boto.admin_initiate_auth(
        UserPoolId=cognito.pool_id,
        ClientId=cognito.client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={
            "USERNAME": "grace",
            "PASSWORD": PASSWORD,
            "SECRET_HASH": cognito.hash("grace"),
        },
    )


def test_an_administrator_signs_users_in(cognito: Cognito) -> None:
    """The same tokens, and refreshing them the same way."""
    tokens = administrators_sign_in(cognito)["AuthenticationResult"]
    assert claims(tokens["AccessToken"])["username"] == "grace"
    refreshed = cognito.boto.admin_initiate_auth(
        UserPoolId=cognito.pool_id,
        ClientId=cognito.client_id,
        AuthFlow="REFRESH_TOKEN_AUTH",
        AuthParameters={
            "REFRESH_TOKEN": tokens["RefreshToken"],
            "SECRET_HASH": cognito.hash("grace"),
        },
    )["AuthenticationResult"]
    assert (
        claims(refreshed["AccessToken"])["auth_time"]
        == (claims(tokens["AccessToken"])["auth_time"])
    )


def test_a_disabled_user(cognito: Cognito) -> None:
    """Is told so with the right password alone; neither signs in nor refreshes until enabled."""
    tokens = cognito.sign_in()
    cognito.boto.admin_disable_user(**cognito.user())
    disabled = ("NotAuthorizedException", "User is disabled.")
    assert refusal(cognito.sign_in) == disabled
    assert refusal(lambda: cognito.sign_in("Wr0ng-passw0rd!")) == WRONG
    assert refusal(lambda: cognito.exchange(tokens["RefreshToken"])) == disabled
    access = {"AccessToken": tokens["AccessToken"]}
    assert refusal(lambda: cognito.boto.get_user(**access))[0] == "NotAuthorizedException"
    cognito.boto.admin_enable_user(**cognito.user())
    assert cognito.exchange(tokens["RefreshToken"])["AccessToken"]
    # The API reference: AdminDisableUser "revokes all access tokens for the user".
    assert refusal(lambda: cognito.boto.get_user(**access))[0] == "NotAuthorizedException"


def test_a_reset_that_an_administrator_wants(cognito: Cognito) -> None:
    """PasswordResetRequiredException until the code that was sent sets a new password (T31)."""
    token = {"AccessToken": cognito.sign_in()["AccessToken"]}
    cognito.boto.admin_reset_user_password(**cognito.user())
    assert refusal(cognito.sign_in)[0] == "PasswordResetRequiredException"
    assert refusal(lambda: cognito.boto.get_user(**token))[0] == "PasswordResetRequiredException"
    cognito.boto.confirm_forgot_password(
        **cognito.public(),
        ConfirmationCode=gaps.outbox.last_code("grace"),
        Password=NEW_PASSWORD,
    )
    assert cognito.sign_in(NEW_PASSWORD)["AccessToken"]


def test_lock_out(cognito: Cognito) -> None:
    """After the fifth failure 1 s, then twice as long each time, up to a quarter of an hour.

    What is tried meanwhile is refused unseen and counts for nothing.
    """
    fail(cognito, 5)
    for failures in range(5, 17):
        locked = min(2 ** (failures - 5), 900)
        assert refusal(cognito.sign_in) == LOCKED, "the right password does not help"
        if locked == 900:
            break
        gaps.clock.advance(locked - 0.5)
        assert refusal(cognito.sign_in) == LOCKED
        gaps.clock.advance(0.5)
        fail(cognito, 1)
    gaps.clock.advance(900)
    assert cognito.sign_in()["AccessToken"]


def test_success_ends_a_lock_out(cognito: Cognito) -> None:
    """Counting begins anew."""
    fail(cognito, 5)
    gaps.clock.advance(1)
    fail(cognito, 1)
    gaps.clock.advance(2)
    assert cognito.sign_in()["AccessToken"]
    fail(cognito, 4)
    assert cognito.sign_in()["AccessToken"]


def test_four_failures_lock_nobody_out(cognito: Cognito) -> None:
    """Nor do more of them with a quarter of an hour between."""
    fail(cognito, 4)
    gaps.clock.advance(900)
    fail(cognito, 4)
    assert cognito.sign_in()["AccessToken"]


def test_a_lock_out_is_one_users(cognito: Cognito) -> None:
    """Others sign in."""
    code = sign_up(cognito)
    confirm(cognito, code)
    fail(cognito, 5)
    assert refusal(cognito.sign_in) == LOCKED
    assert cognito.sign_in(username="ada")["AccessToken"]


def test_a_sign_up_code_expires(cognito: Cognito) -> None:
    """After 24 hours; a new one serves."""
    code = sign_up(cognito)
    gaps.clock.advance(24 * 3600)
    assert refusal(lambda: confirm(cognito, code)) == EXPIRED
    cognito.boto.resend_confirmation_code(**cognito.public("ada"))
    gaps.clock.advance(24 * 3600 - 1)
    confirm(cognito, gaps.outbox.last_code("ada"))
    assert cognito.sign_in(username="ada")["AccessToken"]


def test_sign_up_codes_cannot_be_guessed(cognito: Cognito) -> None:
    """Five wrong ones, and not even the right one serves for a quarter of an hour."""
    code = sign_up(cognito)
    for _ in range(5):
        assert refusal(lambda: confirm(cognito, other_than(code))) == MISMATCH
    assert refusal(lambda: confirm(cognito, code)) == LIMIT
    assert refusal(lambda: cognito.boto.resend_confirmation_code(**cognito.public("ada"))) == LIMIT
    gaps.clock.advance(900)
    confirm(cognito, code)


def test_sign_up_can_be_closed(cognito: Cognito) -> None:
    """AllowAdminCreateUserOnly leaves it to administrators."""
    [pool] = gaps.pools()
    pool.extended_config["AdminCreateUserConfig"] = {"AllowAdminCreateUserOnly": True}
    assert refusal(lambda: sign_up_only(cognito)) == (
        "NotAuthorizedException",
        "SignUp is not permitted for this user pool",
    )


def sign_up_only(cognito: Cognito) -> Any:
    """Sign up, and look for no code."""
    return cognito.boto.sign_up(**cognito.public("ada"), Password=PASSWORD)


def test_a_name_with_letters_of_any_language(cognito: Cognito) -> None:
    """Its SECRET_HASH is that of its UTF-8 bytes."""
    confirm(cognito, sign_up(cognito, "grâce-łucja"), "grâce-łucja")
    assert cognito.sign_in(username="grâce-łucja")["AccessToken"]


@pytest.mark.parametrize("missing", ["USERNAME", "PASSWORD"])
def test_what_a_sign_in_needs(cognito: Cognito, missing: str) -> None:
    """A missing parameter is named."""
    sent = {"USERNAME": "grace", "PASSWORD": PASSWORD, "SECRET_HASH": cognito.hash("grace")}
    del sent[missing]
    assert refusal(
        lambda: cognito.boto.initiate_auth(
            ClientId=cognito.client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=sent
        )
    ) == ("InvalidParameterException", f"Missing required parameter {missing}")


def test_two_secrets_live_side_by_side(cognito: Cognito) -> None:
    """A hash by either is right (T30); a deleted one's is wrong; the last one stays."""
    own = {"UserPoolId": cognito.pool_id, "ClientId": cognito.client_id}
    old = cognito.secret
    made = cognito.boto.add_user_pool_client_secret(**own)["ClientSecretDescriptor"]
    new = made["ClientSecretValue"]
    listed = cognito.boto.list_user_pool_client_secrets(**own)["ClientSecrets"]
    assert [set(secret) for secret in listed] == 2 * [{"ClientSecretId", "ClientSecretCreateDate"}]
    assert refusal(lambda: cognito.boto.add_user_pool_client_secret(**own))[0] == (
        "LimitExceededException"
    )
    for secret in (old, new):
        cognito.secret = secret
        token = cognito.sign_in()["RefreshToken"]
        assert cognito.refresh(token)["AccessToken"]
        assert cognito.exchange(token)["AccessToken"]
    [first] = [s["ClientSecretId"] for s in listed if s["ClientSecretId"] != made["ClientSecretId"]]
    cognito.boto.delete_user_pool_client_secret(**own, ClientSecretId=first)
    assert cognito.sign_in()["AccessToken"]
    described = cognito.boto.describe_user_pool_client(**own)["UserPoolClient"]
    assert described["ClientSecret"] == new
    cognito.secret = old
    assert refusal(cognito.sign_in)[0] == "NotAuthorizedException"
    last = {**own, "ClientSecretId": made["ClientSecretId"]}
    assert refusal(lambda: cognito.boto.delete_user_pool_client_secret(**last))[0] == (
        "InvalidParameterException"
    )
    gone = {**own, "ClientSecretId": first}
    assert refusal(lambda: cognito.boto.delete_user_pool_client_secret(**gone))[0] == (
        "ResourceNotFoundException"
    )


def test_a_public_client_gets_no_secret(cognito: Cognito) -> None:
    """It is made without one, and stays so."""
    made = cognito.boto.create_user_pool_client(
        UserPoolId=cognito.pool_id, ClientName="public", ExplicitAuthFlows=FLOWS
    )["UserPoolClient"]
    own = {"UserPoolId": cognito.pool_id, "ClientId": made["ClientId"]}
    assert refusal(lambda: cognito.boto.add_user_pool_client_secret(**own))[0] == (
        "InvalidParameterException"
    )
    assert cognito.boto.list_user_pool_client_secrets(**own)["ClientSecrets"] == []
