"""Errors have AWS's codes and texts, which clients show and branch on."""

from typing import Any

import pytest

from tests.conftest import PASSWORD
from tests.emulator.conftest import Cognito, refusal

PAGINATION = ("InvalidParameterException", "Invalid pagination token.")
CONFIRMED = ("NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED")


def _not_found(text: str) -> tuple[str, str]:
    return "ResourceNotFoundException", text


@pytest.mark.parametrize(
    ("operation", "parameters", "error"),
    [
        (
            "admin_create_user",
            {"Username": "grace"},
            ("UsernameExistsException", "User account already exists"),
        ),
        ("get_group", {"GroupName": "zz"}, _not_found("Group not found.")),
        ("update_group", {"GroupName": "zz"}, _not_found("Group not found.")),
        ("delete_group", {"GroupName": "zz"}, _not_found("Group not found.")),
        ("list_users_in_group", {"GroupName": "zz"}, _not_found("Group not found.")),
        (
            "admin_add_user_to_group",
            {"GroupName": "zz", "Username": "grace"},
            _not_found("Group not found."),
        ),
        (
            "describe_user_pool_client",
            {"ClientId": "nope"},
            _not_found("User pool client nope does not exist."),
        ),
        (
            "update_user_pool_client",
            {"ClientId": "nope"},
            _not_found("User pool client nope does not exist."),
        ),
        (
            "delete_user_pool_client",
            {"ClientId": "nope"},
            _not_found("User pool client nope does not exist."),
        ),
        (
            "describe_identity_provider",
            {"ProviderName": "Google"},
            _not_found("Identity provider Google does not exist."),
        ),
        ("admin_confirm_sign_up", {"Username": "grace"}, CONFIRMED),
        ("list_users", {"PaginationToken": "junk"}, PAGINATION),
        ("list_groups", {"NextToken": "junk"}, PAGINATION),
        ("list_user_pool_clients", {"NextToken": "junk"}, PAGINATION),
    ],
)
def test_an_error_has_awss_words(
    cognito: Cognito, operation: str, parameters: dict[str, Any], error: tuple[str, str]
) -> None:
    """Moto says the bare name, or has a code of its own."""
    call: Any = getattr(cognito.boto, operation)
    assert refusal(lambda: call(UserPoolId=cognito.pool_id, **parameters)) == error


def test_a_taken_name_is_told_without_the_name(cognito: Cognito) -> None:
    """In a pool whose names are addresses, the address is taken."""
    sent = {**cognito.public(), "Password": PASSWORD}
    taken = ("UsernameExistsException", "User already exists")
    assert refusal(lambda: cognito.boto.sign_up(**sent)) == taken
    pool = cognito.boto.create_user_pool(PoolName="mail", UsernameAttributes=["email"])
    user = {"UserPoolId": pool["UserPool"]["Id"], "Username": "ada@example.com"}
    cognito.boto.admin_create_user(**user)
    assert refusal(lambda: cognito.boto.admin_create_user(**user)) == (
        "UsernameExistsException",
        "An account with the given email already exists.",
    )


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("Ab1!xyz", "Password not long enough"),
        ("str0ng-passw0rd!", "Password must have uppercase characters"),
        ("STR0NG-PASSW0RD!", "Password must have lowercase characters"),
        ("Strong-password!", "Password must have numeric characters"),
        ("Str0ngpassw0rd", "Password must have symbol characters"),
    ],
)
def test_a_weak_password_is_told_the_rule(cognito: Cognito, password: str, rule: str) -> None:
    """The first that it breaks, wherever a password is set. A blank inside is a symbol."""
    told = ("InvalidPasswordException", f"Password did not conform with policy: {rule}")
    pool_id = cognito.boto.create_user_pool(PoolName="default")["UserPool"]["Id"]
    user = {"UserPoolId": pool_id, "Username": "w"}
    create = cognito.boto.admin_create_user
    assert refusal(lambda: create(**user, TemporaryPassword=password)) == told
    create(**user, TemporaryPassword="Str0ng passw0rd")
    change = cognito.boto.admin_set_user_password
    assert refusal(lambda: change(**user, Password=password, Permanent=True)) == told


@pytest.mark.parametrize("password", [" Str0ng-passw0rd!", "Str0ng-passw0rd! "])
def test_a_password_has_no_blank_at_its_ends(cognito: Cognito, password: str) -> None:
    """Guide, "Password policies": a space may stand inside."""
    call = cognito.boto.admin_set_user_password
    code, text = refusal(lambda: call(**cognito.user(), Password=password, Permanent=True))
    assert code == "InvalidParameterException"
    assert password not in text


def test_a_protected_pool_is_not_deleted(cognito: Cognito) -> None:
    """API reference, DeletionProtection."""
    made = cognito.boto.create_user_pool(PoolName="kept", DeletionProtection="ACTIVE")
    pool_id = made["UserPool"]["Id"]
    delete = cognito.boto.delete_user_pool
    assert refusal(lambda: delete(UserPoolId=pool_id))[0] == "InvalidParameterException"
    cognito.boto.update_user_pool(UserPoolId=pool_id, DeletionProtection="INACTIVE")
    delete(UserPoolId=pool_id)
