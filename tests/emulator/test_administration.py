"""What administrators do to accounts, pools, app clients and resource servers."""

from typing import Any

from resource_server.emulator import gaps
from tests.conftest import PASSWORD
from tests.emulator.conftest import EMAIL, NEW_PASSWORD, Cognito, refusal


def create(cognito: Cognito, username: str, **more: Any) -> Any:
    """Make a user as an administrator."""
    attributes = [{"Name": "email", "Value": f"{username}@example.com"}]
    return cognito.boto.admin_create_user(
        **cognito.user(username), UserAttributes=attributes, **more
    )["User"]


def test_an_invitation(cognito: Cognito) -> None:
    """A temporary password is made up and sent; RESEND sends another one to the same user."""
    made = create(cognito, "ada")
    assert made["UserStatus"] == "FORCE_CHANGE_PASSWORD"
    first = gaps.outbox.last_code("ada")
    assert cognito.begin(first, "ada")["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
    again = create(cognito, "ada", MessageAction="RESEND")
    assert again["Attributes"] == made["Attributes"]
    second = gaps.outbox.last_code("ada")
    assert second != first
    assert refusal(lambda: cognito.begin(first, "ada"))[0] == "NotAuthorizedException"
    assert cognito.begin(second, "ada")["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
    assert refusal(lambda: create(cognito, "grace", MessageAction="RESEND"))[0] == (
        "UnsupportedUserStateException"
    )


def test_a_quiet_invitation(cognito: Cognito) -> None:
    """SUPPRESS sends nothing; a given temporary password follows the policy."""
    create(cognito, "ada", MessageAction="SUPPRESS", TemporaryPassword=NEW_PASSWORD)
    assert not gaps.outbox.sent
    assert cognito.begin(NEW_PASSWORD, "ada")["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
    assert refusal(lambda: create(cognito, "eve", TemporaryPassword="weakling"))[0] == (
        "InvalidPasswordException"
    )
    assert refusal(lambda: create(cognito, "ada"))[0] == "UsernameExistsException"


def test_users_are_listed_in_pages(cognito: Cognito) -> None:
    """Of 60 at most; all pages together are all users, each once."""
    names = {"grace", *(f"user{number:03}" for number in range(130))}
    for name in names - {"grace"}:
        create(cognito, name, MessageAction="SUPPRESS", TemporaryPassword=PASSWORD)
    for limit, sizes in ((None, [60, 60, 11]), (60, [60, 60, 11]), (50, [50, 50, 31])):
        pages, more = [], {} if limit is None else {"Limit": limit}
        while True:
            page = cognito.boto.list_users(UserPoolId=cognito.pool_id, **more)
            pages.append([user["Username"] for user in page["Users"]])
            if "PaginationToken" not in page:
                break
            more["PaginationToken"] = page["PaginationToken"]
        assert [len(page) for page in pages] == sizes
        assert sorted(name for page in pages for name in page) == sorted(names)
    assert refusal(lambda: cognito.boto.list_users(UserPoolId=cognito.pool_id, Limit=61))[0] == (
        "InvalidParameterException"
    )


def test_users_are_found(cognito: Cognito) -> None:
    """By the filters of the API reference: equal, or beginning alike."""
    create(cognito, "ada")
    cognito.boto.admin_disable_user(**cognito.user("ada"))
    sub = next(
        entry["Value"]
        for entry in cognito.boto.admin_get_user(**cognito.user())["UserAttributes"]
        if entry["Name"] == "sub"
    )
    for text, found in (
        (f'sub = "{sub}"', ["grace"]),
        (f'email = "{EMAIL}"', ["grace"]),
        ('username ^= "a"', ["ada"]),
        ('status = "Disabled"', ["ada"]),
        ('cognito:user_status = "CONFIRMED"', ["grace"]),
        ('email = "nobody@example.com"', []),
    ):
        users = cognito.boto.list_users(UserPoolId=cognito.pool_id, Filter=text)["Users"]
        assert [user["Username"] for user in users] == found, text


def test_groups(cognito: Cognito) -> None:
    """Members are listed from both sides, and no longer once they left or the group is gone."""
    create(cognito, "ada")
    group = {"UserPoolId": cognito.pool_id, "GroupName": "players"}
    cognito.boto.create_group(**group)
    for name in ("ada", "grace"):
        cognito.boto.admin_add_user_to_group(**group, Username=name)
    members = cognito.boto.list_users_in_group(**group)["Users"]
    assert {user["Username"] for user in members} == {"ada", "grace"}
    cognito.boto.admin_remove_user_from_group(**group, Username="ada")
    of_ada = cognito.boto.admin_list_groups_for_user(**cognito.user("ada"))["Groups"]
    of_grace = cognito.boto.admin_list_groups_for_user(**cognito.user())["Groups"]
    assert (of_ada, [entry["GroupName"] for entry in of_grace]) == ([], ["players"])
    cognito.boto.delete_group(**group)
    assert cognito.boto.admin_list_groups_for_user(**cognito.user())["Groups"] == []


def test_users_are_found_by_sub(cognito: Cognito) -> None:
    """Administrators' operations take name or `sub`."""
    seen = cognito.boto.admin_get_user(**cognito.user())
    [sub] = [entry["Value"] for entry in seen["UserAttributes"] if entry["Name"] == "sub"]
    assert cognito.boto.admin_get_user(**cognito.user(sub))["Username"] == "grace"
    cognito.boto.admin_disable_user(**cognito.user(sub))
    assert not cognito.boto.admin_get_user(**cognito.user())["Enabled"]


def test_an_updated_pool(cognito: Cognito) -> None:
    """What is left out is reset, MFA too; what is set for ever stays; the rest can be read back."""
    made = cognito.boto.create_user_pool(
        PoolName="before",
        UsernameAttributes=["email"],
        AutoVerifiedAttributes=["email"],
        Policies={"PasswordPolicy": {"MinimumLength": 20}},
    )["UserPool"]
    own = {"UserPoolId": made["Id"]}
    cognito.boto.set_user_pool_mfa_config(
        **own, MfaConfiguration="OPTIONAL", SoftwareTokenMfaConfiguration={"Enabled": True}
    )
    described = cognito.boto.describe_user_pool(**own)["UserPool"]
    assert described["MfaConfiguration"] == "OPTIONAL"
    cognito.boto.update_user_pool(
        **own, PoolName="after", MfaConfiguration="OPTIONAL", AutoVerifiedAttributes=["email"]
    )
    described = cognito.boto.describe_user_pool(**own)["UserPool"]
    assert described["Name"] == "after"
    assert described["MfaConfiguration"] == "OPTIONAL"
    assert described["AutoVerifiedAttributes"] == ["email"]
    assert described["UsernameAttributes"] == ["email"]
    assert described["Policies"]["PasswordPolicy"]["MinimumLength"] == 8
    cognito.boto.update_user_pool(**own)
    described = cognito.boto.describe_user_pool(**own)["UserPool"]
    assert described["MfaConfiguration"] == "OFF"
    assert cognito.boto.get_user_pool_mfa_config(**own)["MfaConfiguration"] == "OFF"
    assert "AutoVerifiedAttributes" not in described
    assert described["UsernameAttributes"] == ["email"]


def test_an_updated_client(cognito: Cognito) -> None:
    """What is left out is reset to its default; name and secret stay."""
    own = {"UserPoolId": cognito.pool_id, "ClientId": cognito.client_id}
    settings = {
        "AccessTokenValidity": 5,
        "EnableTokenRevocation": False,
        "PreventUserExistenceErrors": "ENABLED",
        "RefreshTokenRotation": {"Feature": "ENABLED", "RetryGracePeriodSeconds": 5},
        "RefreshTokenValidity": 7,
    }
    updated = cognito.boto.update_user_pool_client(**own, **settings)["UserPoolClient"]
    assert settings.items() <= updated.items()
    again = cognito.boto.update_user_pool_client(**own)["UserPoolClient"]
    assert again == cognito.boto.describe_user_pool_client(**own)["UserPoolClient"]
    assert not {"AccessTokenValidity", "PreventUserExistenceErrors", "ExplicitAuthFlows"} & set(
        again
    )
    assert "RefreshTokenRotation" not in again
    assert again["EnableTokenRevocation"] is True
    assert again["RefreshTokenValidity"] == 30
    assert (again["ClientName"], again["ClientSecret"]) == ("test", cognito.secret)


def test_resource_servers(cognito: Cognito) -> None:
    """Name and scopes are replaced, scopes that are left out are gone; deleted is not found."""
    own = {"UserPoolId": cognito.pool_id, "Identifier": "https://api.example.com"}
    scope = {"ScopeName": "me", "ScopeDescription": "Yourself"}
    cognito.boto.create_resource_server(**own, Name="API", Scopes=[scope])
    other = {"ScopeName": "randoms", "ScopeDescription": "Numbers"}
    cognito.boto.update_resource_server(**own, Name="New", Scopes=[scope, other])
    described = cognito.boto.describe_resource_server(**own)["ResourceServer"]
    assert (described["Name"], described["Scopes"]) == ("New", [scope, other])
    cognito.boto.update_resource_server(**own, Name="New")
    assert not cognito.boto.describe_resource_server(**own)["ResourceServer"].get("Scopes")
    cognito.boto.delete_resource_server(**own)
    for call in (
        lambda: cognito.boto.describe_resource_server(**own),
        lambda: cognito.boto.delete_resource_server(**own),
        lambda: cognito.boto.update_resource_server(**own, Name="New"),
    ):
        assert refusal(call)[0] == "ResourceNotFoundException"
