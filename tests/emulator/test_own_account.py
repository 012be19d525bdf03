"""What users do to their own account, and whom it is refused."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from resource_server.emulator import gaps
from tests.conftest import PASSWORD, other_than
from tests.emulator.conftest import EMAIL, NEW_PASSWORD, Cognito, claims, refusal

EXPIRED = ("ExpiredCodeException", "Invalid code provided, please request a code again.")
LIMIT = ("LimitExceededException", "Attempt limit exceeded, please try after some time.")
WRONG = ("NotAuthorizedException", "Incorrect username or password.")
REVOKED = ("NotAuthorizedException", "Access Token has been revoked")

# Every operation that an access token authorizes.
OPERATIONS: dict[str, Callable[[Any, str], Any]] = {
    "GetUser": lambda boto, token: boto.get_user(AccessToken=token),
    "UpdateUserAttributes": lambda boto, token: boto.update_user_attributes(
        AccessToken=token, UserAttributes=[{"Name": "given_name", "Value": "Grace"}]
    ),
    "DeleteUserAttributes": lambda boto, token: boto.delete_user_attributes(
        AccessToken=token, UserAttributeNames=["email"]
    ),
    "GetUserAttributeVerificationCode": lambda boto, token: (
        boto.get_user_attribute_verification_code(AccessToken=token, AttributeName="email")
    ),
    "VerifyUserAttribute": lambda boto, token: boto.verify_user_attribute(
        AccessToken=token, AttributeName="email", Code="123456"
    ),
    "ChangePassword": lambda boto, token: boto.change_password(
        AccessToken=token, PreviousPassword=PASSWORD, ProposedPassword=NEW_PASSWORD
    ),
    "AssociateSoftwareToken": lambda boto, token: boto.associate_software_token(AccessToken=token),
    "VerifySoftwareToken": lambda boto, token: boto.verify_software_token(
        AccessToken=token, UserCode="123456"
    ),
    "SetUserMFAPreference": lambda boto, token: boto.set_user_mfa_preference(
        AccessToken=token, EmailMfaSettings={"Enabled": True}
    ),
    "GlobalSignOut": lambda boto, token: boto.global_sign_out(AccessToken=token),
    "DeleteUser": lambda boto, token: boto.delete_user(AccessToken=token),
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS)


@pytest.fixture
def token(cognito: Cognito) -> str:
    """Grace's access token."""
    access = cognito.sign_in()["AccessToken"]
    assert isinstance(access, str)
    return access


@each_operation
def test_what_a_token_must_be(cognito: Cognito, token: str, operation: str) -> None:
    """Not made up, an ID token, expired, or signed out."""
    call = OPERATIONS[operation]
    identity = cognito.sign_in()["IdToken"]
    assert refusal(lambda: call(cognito.boto, "made-up")) == (
        "NotAuthorizedException",
        "Invalid Access Token",
    )
    assert refusal(lambda: call(cognito.boto, identity))[0] == "NotAuthorizedException"
    gaps.clock.advance(3600)
    assert refusal(lambda: call(cognito.boto, token)) == (
        "NotAuthorizedException",
        "Access Token has expired",
    )
    fresh = cognito.sign_in()["AccessToken"]
    cognito.boto.admin_user_global_sign_out(**cognito.user())
    assert refusal(lambda: call(cognito.boto, fresh)) == REVOKED


@each_operation
def test_what_a_user_must_be(cognito: Cognito, token: str, operation: str) -> None:
    """Neither disabled nor deleted; the next user of that name is somebody else (T12)."""
    call = OPERATIONS[operation]
    [pool] = gaps.pools()
    pool.users["grace"].enabled = False
    assert refusal(lambda: call(cognito.boto, token)) == (
        "NotAuthorizedException",
        "User is disabled.",
    )
    cognito.boto.admin_enable_user(**cognito.user())
    cognito.boto.admin_delete_user(**cognito.user())
    assert refusal(lambda: call(cognito.boto, token)) == REVOKED
    cognito.boto.admin_create_user(**cognito.user(), TemporaryPassword=PASSWORD)
    assert refusal(lambda: call(cognito.boto, token)) == REVOKED


@each_operation
def test_what_a_token_must_allow(cognito: Cognito, operation: str) -> None:
    """The scope of sign-in, which a trigger can take away (T28)."""
    arn = "arn:aws:lambda:eu-west-2:123456789012:function:suppressing"
    details = {"accessTokenGeneration": {"scopesToSuppress": ["aws.cognito.signin.user.admin"]}}
    answer = {"response": {"claimsAndScopeOverrideDetails": details}}
    gaps.register_trigger(arn, lambda event, _context: event | answer)
    trigger = {"LambdaVersion": "V2_0", "LambdaArn": arn}
    cognito.boto.update_user_pool(
        UserPoolId=cognito.pool_id,
        LambdaConfig={"PreTokenGenerationConfig": trigger},
        MfaConfiguration="OPTIONAL",
    )
    token = cognito.sign_in()["AccessToken"]
    assert refusal(lambda: OPERATIONS[operation](cognito.boto, token)) == (
        "NotAuthorizedException",
        "Access Token does not have required scopes",
    )


def test_users_see_themselves(cognito: Cognito, token: str) -> None:
    """Name, attributes and `sub`, as the API reference has them."""
    seen = cognito.boto.get_user(AccessToken=token)
    attributes = {entry["Name"]: entry["Value"] for entry in seen["UserAttributes"]}
    assert seen["Username"] == "grace"
    assert attributes["sub"] == claims(token)["sub"]
    assert attributes["email"] == EMAIL


def test_users_delete_themselves(cognito: Cognito) -> None:
    """User, sign-ins and memberships are gone; the name is free."""
    cognito.boto.create_group(UserPoolId=cognito.pool_id, GroupName="players")
    cognito.boto.admin_add_user_to_group(**cognito.user(), GroupName="players")
    tokens = cognito.sign_in()
    cognito.boto.delete_user(AccessToken=tokens["AccessToken"])
    assert refusal(lambda: cognito.boto.admin_get_user(**cognito.user()))[0] == (
        "UserNotFoundException"
    )
    assert refusal(lambda: cognito.exchange(tokens["RefreshToken"]))[0] == "NotAuthorizedException"
    group = {"UserPoolId": cognito.pool_id, "GroupName": "players"}
    assert cognito.boto.list_users_in_group(**group)["Users"] == []
    cognito.boto.sign_up(**cognito.public(), Password=PASSWORD)


def test_a_password_is_changed(cognito: Cognito, token: str) -> None:
    """With the previous one, by the policy; sign-ins go on."""
    call = cognito.boto.change_password
    weak = {"PreviousPassword": PASSWORD, "ProposedPassword": "weakling"}
    assert refusal(lambda: call(AccessToken=token, **weak))[0] == "InvalidPasswordException"
    unknown = {"PreviousPassword": "Wr0ng-passw0rd!", "ProposedPassword": NEW_PASSWORD}
    assert refusal(lambda: call(AccessToken=token, **unknown)) == WRONG
    call(AccessToken=token, PreviousPassword=PASSWORD, ProposedPassword=NEW_PASSWORD)
    assert refusal(cognito.sign_in) == WRONG
    assert cognito.sign_in(NEW_PASSWORD)["AccessToken"]
    assert cognito.boto.get_user(AccessToken=token)["Username"] == "grace"


def test_previous_passwords_cannot_be_guessed(cognito: Cognito, token: str) -> None:
    """Five wrong ones: LimitExceededException for a quarter of an hour."""
    unknown = {"PreviousPassword": "Wr0ng-passw0rd!", "ProposedPassword": NEW_PASSWORD}
    right = {"PreviousPassword": PASSWORD, "ProposedPassword": NEW_PASSWORD}
    change = cognito.boto.change_password
    for _ in range(5):
        assert refusal(lambda: change(AccessToken=token, **unknown)) == WRONG
    assert refusal(lambda: change(AccessToken=token, **right)) == LIMIT
    gaps.clock.advance(900)
    change(AccessToken=token, **right)


def test_another_address_is_verified(cognito: Cognito, token: str) -> None:
    """It counts at once, unverified until the code comes back."""
    change = [{"Name": "email", "Value": "hopper@navy.example"}]
    answer = cognito.boto.update_user_attributes(AccessToken=token, UserAttributes=change)
    assert answer["CodeDeliveryDetailsList"] == [
        {"Destination": "h***@n***", "DeliveryMedium": "EMAIL", "AttributeName": "email"}
    ]
    assert attributes_of(cognito)["email_verified"] == "false"
    code = gaps.outbox.last_code("grace")
    verify = {"AccessToken": token, "AttributeName": "email"}
    assert refusal(lambda: cognito.boto.verify_user_attribute(**verify, Code=other_than(code)))[
        0
    ] == ("CodeMismatchException")
    cognito.boto.verify_user_attribute(**verify, Code=code)
    assert attributes_of(cognito)["email"] == "hopper@navy.example"
    assert attributes_of(cognito)["email_verified"] == "true"
    assert refusal(lambda: cognito.boto.verify_user_attribute(**verify, Code=code)) == EXPIRED


def test_another_address_can_wait_for_its_code(cognito: Cognito, token: str) -> None:
    """With AttributesRequireVerificationBeforeUpdate the old one counts until then."""
    cognito.boto.update_user_pool(
        UserPoolId=cognito.pool_id,
        UserAttributeUpdateSettings={"AttributesRequireVerificationBeforeUpdate": ["email"]},
        AutoVerifiedAttributes=["email"],
    )
    change = [{"Name": "email", "Value": "hopper@navy.example"}]
    cognito.boto.update_user_attributes(AccessToken=token, UserAttributes=change)
    assert (attributes_of(cognito)["email"], attributes_of(cognito)["email_verified"]) == (
        EMAIL,
        "true",
    )
    assert gaps.outbox.sent[-1].destination == "h***@n***"
    cognito.boto.verify_user_attribute(
        AccessToken=token, AttributeName="email", Code=gaps.outbox.last_code("grace")
    )
    assert attributes_of(cognito)["email"] == "hopper@navy.example"


def attributes_of(cognito: Cognito) -> dict[str, str]:
    """Return grace's attributes."""
    seen = cognito.boto.admin_get_user(**cognito.user())["UserAttributes"]
    return {entry["Name"]: entry["Value"] for entry in seen}


def test_a_verification_code_can_be_asked_for(cognito: Cognito, token: str) -> None:
    """For an address that there is."""
    ask = cognito.boto.get_user_attribute_verification_code
    details = ask(AccessToken=token, AttributeName="phone_number")["CodeDeliveryDetails"]
    assert details == {
        "Destination": "+*******3456",
        "DeliveryMedium": "SMS",
        "AttributeName": "phone_number",
    }
    cognito.boto.verify_user_attribute(
        AccessToken=token, AttributeName="phone_number", Code=gaps.outbox.last_code("grace")
    )
    assert attributes_of(cognito)["phone_number_verified"] == "true"
    for name in ("given_name", "nothing"):
        assert refusal(lambda name=name: ask(AccessToken=token, AttributeName=name))[0] == (  # type: ignore[misc]
            "InvalidParameterException"
        )


def test_attributes_that_are_not_the_users(cognito: Cognito, token: str) -> None:
    """Nobody verifies an address by saying so; others are changed and deleted freely."""
    for name in ("sub", "email_verified", "phone_number_verified"):
        change = {"AccessToken": token, "UserAttributes": [{"Name": name, "Value": "true"}]}
        assert refusal(
            lambda change=change: cognito.boto.update_user_attributes(**change)  # type: ignore[misc]
        )[0] == ("NotAuthorizedException")
        assert refusal(
            lambda name=name: cognito.boto.delete_user_attributes(  # type: ignore[misc]
                AccessToken=token, UserAttributeNames=[name]
            )
        )[0] == ("NotAuthorizedException")
    own = [{"Name": "given_name", "Value": "Grace"}]
    assert (
        cognito.boto.update_user_attributes(AccessToken=token, UserAttributes=own).get(
            "CodeDeliveryDetailsList", []
        )
        == []
    )
    assert attributes_of(cognito)["given_name"] == "Grace"
    cognito.boto.delete_user_attributes(AccessToken=token, UserAttributeNames=["given_name"])
    assert "given_name" not in attributes_of(cognito)


def test_tokens_are_found_in_any_region(cognito: Cognito, token: str) -> None:
    """Public operations are unsigned and tell no region."""
    elsewhere: Any = boto3.client("cognito-idp", region_name="ap-southeast-2")
    assert elsewhere.get_user(AccessToken=token)["Username"] == "grace"
    elsewhere.delete_user(AccessToken=token)
    assert refusal(cognito.sign_in)[0] == "UserNotFoundException"


# Forgotten passwords


def reset(cognito: Cognito, code: str, password: str = NEW_PASSWORD) -> Any:
    """Set a new password with a code."""
    return cognito.boto.confirm_forgot_password(
        **cognito.public(), ConfirmationCode=code, Password=password
    )


def forget(cognito: Cognito) -> str:
    """Ask for a code; return it."""
    cognito.boto.forgot_password(**cognito.public())
    return gaps.outbox.last_code("grace")


def test_a_forgotten_password(cognito: Cognito) -> None:
    """Code by e-mail, once, by the policy; sign-ins go on, and a lock-out ends."""
    token = cognito.sign_in()["AccessToken"]
    details = cognito.boto.forgot_password(**cognito.public())["CodeDeliveryDetails"]
    assert details == {
        "Destination": "g***@e***",
        "DeliveryMedium": "EMAIL",
        "AttributeName": "email",
    }
    code = gaps.outbox.last_code("grace")
    for _ in range(5):
        assert refusal(lambda: cognito.sign_in("Wr0ng-passw0rd!")) == WRONG
    assert refusal(lambda: reset(cognito, code, "weakling"))[0] == "InvalidPasswordException"
    reset(cognito, code)
    assert refusal(lambda: reset(cognito, code)) == EXPIRED
    assert cognito.sign_in(NEW_PASSWORD)["AccessToken"]
    assert refusal(cognito.sign_in) == WRONG
    assert cognito.boto.get_user(AccessToken=token)["Username"] == "grace"


def test_a_reset_code_expires(cognito: Cognito) -> None:
    """After an hour; without one there is nothing to confirm."""
    assert refusal(lambda: reset(cognito, "123456")) == EXPIRED
    code = forget(cognito)
    gaps.clock.advance(3600)
    assert refusal(lambda: reset(cognito, code)) == EXPIRED
    code = forget(cognito)
    gaps.clock.advance(3599)
    reset(cognito, code)


def test_reset_codes_cannot_be_guessed(cognito: Cognito) -> None:
    """Five wrong ones: LimitExceededException for a quarter of an hour, for new codes as well."""
    code = forget(cognito)
    for _ in range(5):
        assert refusal(lambda: reset(cognito, other_than(code)))[0] == "CodeMismatchException"
    assert refusal(lambda: reset(cognito, code)) == LIMIT
    assert refusal(lambda: forget(cognito)) == LIMIT
    gaps.clock.advance(900)
    reset(cognito, code)


def test_a_sign_up_code_resets_nothing(cognito: Cognito) -> None:
    """A code serves what it was sent for."""
    code = forget(cognito)
    verify = {"AccessToken": cognito.sign_in()["AccessToken"], "AttributeName": "email"}
    assert refusal(lambda: cognito.boto.verify_user_attribute(**verify, Code=code)) == EXPIRED
    reset(cognito, code)


@pytest.mark.parametrize("hidden", ["ENABLED", "LEGACY"])
def test_users_who_cannot_be_sent_a_code(cognito: Cognito, hidden: str) -> None:
    """Unconfirmed, unverified or disabled: told, or pretended where users are hidden."""
    cognito.configure(PreventUserExistenceErrors=hidden)
    cognito.boto.sign_up(
        **cognito.public("ada"),
        Password=PASSWORD,
        UserAttributes=[{"Name": "email", "Value": "ada@example.com"}],
    )
    cognito.boto.admin_disable_user(**cognito.user())
    gaps.outbox.sent.clear()
    for username, code in (
        ("ada", "InvalidParameterException"),
        ("grace", "NotAuthorizedException"),
    ):
        public = cognito.public(username)
        if hidden == "ENABLED":
            assert cognito.boto.forgot_password(**public)["CodeDeliveryDetails"]["Destination"]
        else:
            assert refusal(lambda public=public: cognito.boto.forgot_password(**public))[0] == code  # type: ignore[misc]
    assert not gaps.outbox.sent


def test_a_temporary_password_cannot_be_forgotten(cognito: Cognito) -> None:
    """NotAuthorizedException: an administrator sends another one."""
    cognito.set_password(PASSWORD, permanent=False)
    assert refusal(lambda: cognito.boto.forgot_password(**cognito.public())) == (
        "NotAuthorizedException",
        "User password cannot be reset in the current state.",
    )


def test_where_a_reset_code_goes(cognito: Cognito) -> None:
    """As AccountRecoverySetting orders; nowhere if administrators alone reset passwords."""
    cognito.boto.admin_update_user_attributes(
        **cognito.user(), UserAttributes=[{"Name": "phone_number_verified", "Value": "true"}]
    )

    def recover_by(*names: str) -> None:
        ways = [{"Priority": number, "Name": name} for number, name in enumerate(names, start=1)]
        cognito.boto.update_user_pool(
            UserPoolId=cognito.pool_id, AccountRecoverySetting={"RecoveryMechanisms": ways}
        )

    for ways, medium in (
        (["verified_phone_number", "verified_email"], "SMS"),
        (["verified_email", "verified_phone_number"], "EMAIL"),
    ):
        recover_by(*ways)
        answer = cognito.boto.forgot_password(**cognito.public())
        assert answer["CodeDeliveryDetails"]["DeliveryMedium"] == medium
    recover_by("admin_only")
    assert refusal(lambda: cognito.boto.forgot_password(**cognito.public())) == (
        "NotAuthorizedException",
        "Contact administrator to reset password.",
    )
