"""Refreshing, rotating, revoking: what becomes of the tokens of a sign-in."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from resource_server.emulator import gaps
from tests.emulator.conftest import EMAIL, Cognito, claims, refusal

ROTATION = {
    "ExplicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH"],
    "RefreshTokenRotation": {"Feature": "ENABLED", "RetryGracePeriodSeconds": 10},
}


def is_refused(call: Any) -> str:
    """Return the error's code."""
    return refusal(call)[0]


@pytest.mark.parametrize("way", ["refresh", "exchange"])
def test_a_refresh_goes_on_with_the_sign_in(cognito: Cognito, way: str) -> None:
    """New tokens keep `auth_time` and `origin_jti` (T33); without rotation there is no new one."""
    first = cognito.sign_in()
    gaps.clock.advance(600)
    second = getattr(cognito, way)(first["RefreshToken"])
    assert "RefreshToken" not in second
    assert set(second) == {"AccessToken", "IdToken", "ExpiresIn", "TokenType"}
    for kind in ("AccessToken", "IdToken"):
        before, after = claims(first[kind]), claims(second[kind])
        assert after["auth_time"] == before["auth_time"] == before["iat"]
        assert after["origin_jti"] == before["origin_jti"]
        assert after["iat"] == before["iat"] + 600
        assert after["jti"] != before["jti"]
    cognito.exchange(first["RefreshToken"])  # it serves again and again


def test_a_refresh_wants_the_hash_of_the_real_name(cognito: Cognito) -> None:
    """The alias, good at sign-in, is refused; name and `sub` are not (T17)."""
    cognito.boto.update_user_pool(UserPoolId=cognito.pool_id, MfaConfiguration="OFF")
    [pool] = gaps.pools()
    pool.extended_config["AliasAttributes"] = ["email"]
    tokens = cognito.sign_in(username=EMAIL)
    sub = claims(tokens["AccessToken"])["sub"]
    assert claims(tokens["AccessToken"])["username"] == "grace"
    assert refusal(lambda: cognito.refresh(tokens["RefreshToken"], EMAIL)) == (
        "NotAuthorizedException",
        f"Unable to verify secret hash for client {cognito.client_id}",
    )
    for name in ("grace", sub):
        assert cognito.refresh(tokens["RefreshToken"], name)["AccessToken"]


def test_rotation_replaces_the_refresh_token(cognito: Cognito) -> None:
    """The old one serves for the grace period, then RefreshTokenReuseException."""
    cognito.configure(**ROTATION)
    first = cognito.sign_in()["RefreshToken"]
    second = cognito.exchange(first)["RefreshToken"]
    assert second != first
    gaps.clock.advance(9)
    assert cognito.exchange(first)["RefreshToken"] not in {first, second}
    gaps.clock.advance(1)
    assert is_refused(lambda: cognito.exchange(first)) == "RefreshTokenReuseException"
    assert cognito.exchange(second)["RefreshToken"] != second


def test_rotation_without_grace(cognito: Cognito) -> None:
    """The old refresh token is done with at once."""
    cognito.configure(**ROTATION | {"RefreshTokenRotation": {"Feature": "ENABLED"}})
    first = cognito.sign_in()["RefreshToken"]
    cognito.exchange(first)
    assert is_refused(lambda: cognito.exchange(first)) == "RefreshTokenReuseException"


def test_rotation_does_not_lengthen_a_sign_in(cognito: Cognito) -> None:
    """The new refresh token ends when the first one would have."""
    cognito.configure(**ROTATION, RefreshTokenValidity=2)
    first = cognito.sign_in()["RefreshToken"]
    gaps.clock.advance(86400)
    second = cognito.exchange(first)["RefreshToken"]
    gaps.clock.advance(86399)
    third = cognito.exchange(second)["RefreshToken"]
    gaps.clock.advance(1)
    assert refusal(lambda: cognito.exchange(third)) == (
        "NotAuthorizedException",
        "Refresh Token has expired",
    )


@pytest.mark.parametrize("allowed", [True, False])
def test_rotation_excludes_the_other_way(cognito: Cognito, allowed: bool) -> None:
    """REFRESH_TOKEN_AUTH is refused, whether or not the client allows it."""
    flows = ["ALLOW_USER_PASSWORD_AUTH", *(["ALLOW_REFRESH_TOKEN_AUTH"] if allowed else [])]
    cognito.configure(**ROTATION | {"ExplicitAuthFlows": flows})
    token = cognito.sign_in()["RefreshToken"]
    assert is_refused(lambda: cognito.refresh(token)) == "InvalidParameterException"
    assert cognito.exchange(token)["AccessToken"]


def test_the_client_secret_is_checked(cognito: Cognito) -> None:
    """A wrong one, none, or another client's token: NotAuthorizedException."""
    token = cognito.sign_in()["RefreshToken"]
    wrong = "x" * 30
    assert is_refused(lambda: cognito.exchange(token, ClientSecret=wrong)) == (
        "NotAuthorizedException"
    )
    without = {"ClientId": cognito.client_id, "RefreshToken": token}
    assert is_refused(lambda: cognito.boto.get_tokens_from_refresh_token(**without)) == (
        "NotAuthorizedException"
    )
    other = cognito.boto.create_user_pool_client(UserPoolId=cognito.pool_id, ClientName="other")
    others = {"ClientId": other["UserPoolClient"]["ClientId"], "RefreshToken": token}
    assert is_refused(lambda: cognito.boto.get_tokens_from_refresh_token(**others)) == (
        "NotAuthorizedException"
    )
    assert is_refused(lambda: cognito.exchange("made-up")) == "NotAuthorizedException"


def test_revoking_ends_one_sign_in(cognito: Cognito) -> None:
    """Its refresh and access tokens (T16), those of a refresh too; another sign-in goes on."""
    one, other = cognito.sign_in(), cognito.sign_in()
    refreshed = cognito.exchange(one["RefreshToken"])
    cognito.revoke(one["RefreshToken"])
    cognito.revoke(one["RefreshToken"])  # a second time changes nothing
    assert refusal(lambda: cognito.exchange(one["RefreshToken"])) == (
        "NotAuthorizedException",
        "Refresh Token has been revoked",
    )
    for tokens in (one, refreshed):
        assert refusal(lambda: cognito.boto.get_user(AccessToken=tokens["AccessToken"])) == (  # noqa: B023
            "NotAuthorizedException",
            "Access Token has been revoked",
        )
    assert cognito.boto.get_user(AccessToken=other["AccessToken"])["Username"] == "grace"
    assert cognito.exchange(other["RefreshToken"])["AccessToken"]


def test_revoking_ends_what_rotation_made(cognito: Cognito) -> None:
    """The whole family, whichever of its refresh tokens is shown."""
    cognito.configure(**ROTATION)
    first = cognito.sign_in()["RefreshToken"]
    second = cognito.exchange(first)["RefreshToken"]
    cognito.revoke(first)
    assert is_refused(lambda: cognito.exchange(second)) == "NotAuthorizedException"


def test_what_cannot_be_revoked(cognito: Cognito) -> None:
    """Access and ID tokens, and anything made up; a wrong secret; another client's token."""
    tokens = cognito.sign_in()
    for text in (tokens["AccessToken"], tokens["IdToken"], "made-up"):
        assert is_refused(lambda text=text: cognito.revoke(text)) == (
            "UnsupportedTokenTypeException"
        )
    refresh = tokens["RefreshToken"]
    assert is_refused(lambda: cognito.revoke(refresh, ClientSecret="x" * 30)) == (
        "UnauthorizedException"
    )
    other = cognito.boto.create_user_pool_client(UserPoolId=cognito.pool_id, ClientName="other")
    client_id = other["UserPoolClient"]["ClientId"]
    assert is_refused(lambda: cognito.boto.revoke_token(Token=refresh, ClientId=client_id)) == (
        "UnauthorizedException"
    )
    assert cognito.exchange(refresh)["AccessToken"], "nothing of that revoked it"


def test_a_client_without_revocation(cognito: Cognito) -> None:
    """RevokeToken is refused, and tokens have no `origin_jti`."""
    cognito.configure(EnableTokenRevocation=False)
    tokens = cognito.sign_in()
    assert "origin_jti" not in claims(tokens["AccessToken"]) | claims(tokens["IdToken"])
    assert is_refused(lambda: cognito.revoke(tokens["RefreshToken"])) == (
        "UnsupportedOperationException"
    )


@pytest.mark.parametrize("by", ["user", "administrator"])
def test_a_global_sign_out_ends_everything(cognito: Cognito, by: str) -> None:
    """All sign-ins of this user, and nobody else's."""
    cognito.boto.admin_create_user(**cognito.user("ada"), TemporaryPassword="Temp0rary-pass!")
    one, other = cognito.sign_in(), cognito.sign_in()
    if by == "user":
        cognito.boto.global_sign_out(AccessToken=one["AccessToken"])
    else:
        cognito.boto.admin_user_global_sign_out(**cognito.user())
    for tokens in (one, other):
        assert is_refused(lambda: cognito.exchange(tokens["RefreshToken"])) == (  # noqa: B023
            "NotAuthorizedException"
        )
        assert is_refused(lambda: cognito.boto.get_user(AccessToken=tokens["AccessToken"])) == (  # noqa: B023
            "NotAuthorizedException"
        )
    assert cognito.sign_in()["AccessToken"], "a new sign-in is no matter of that"


def test_lifetimes_are_the_clients(cognito: Cognito) -> None:
    """In the units it names; `expires_in` tells that of the access token."""
    cognito.configure(
        AccessTokenValidity=10,
        IdTokenValidity=2,
        RefreshTokenValidity=3,
        TokenValidityUnits={"AccessToken": "minutes", "IdToken": "hours", "RefreshToken": "hours"},
    )
    tokens = cognito.sign_in()
    access, identity = claims(tokens["AccessToken"]), claims(tokens["IdToken"])
    assert access["exp"] - access["iat"] == tokens["ExpiresIn"] == 600
    assert identity["exp"] - identity["iat"] == 7200
    gaps.clock.advance(3 * 3600 - 1)
    assert cognito.exchange(tokens["RefreshToken"])["AccessToken"]
    gaps.clock.advance(1)
    for way in (cognito.exchange, cognito.refresh):
        assert refusal(lambda way=way: way(tokens["RefreshToken"])) == (  # type: ignore[misc]
            "NotAuthorizedException",
            "Refresh Token has expired",
        )


def test_lifetimes_without_settings(cognito: Cognito) -> None:
    """An hour, an hour, thirty days."""
    tokens = cognito.sign_in()
    for kind in ("AccessToken", "IdToken"):
        assert claims(tokens[kind])["exp"] - claims(tokens[kind])["iat"] == 3600
    gaps.clock.advance(30 * 86400 - 1)
    assert cognito.exchange(tokens["RefreshToken"])["ExpiresIn"] == 3600
    gaps.clock.advance(1)
    assert is_refused(lambda: cognito.exchange(tokens["RefreshToken"])) == "NotAuthorizedException"


def test_the_unit_of_a_lifetime_is_hours_or_days(cognito: Cognito) -> None:
    """Hours for access and ID tokens, days for refresh tokens, if the client names none."""
    cognito.configure(AccessTokenValidity=2, IdTokenValidity=3, RefreshTokenValidity=1)
    tokens = cognito.sign_in()
    assert tokens["ExpiresIn"] == 7200
    assert claims(tokens["IdToken"])["exp"] - claims(tokens["IdToken"])["iat"] == 10800
    gaps.clock.advance(86400)
    assert is_refused(lambda: cognito.exchange(tokens["RefreshToken"])) == "NotAuthorizedException"


def test_refreshing_runs_the_trigger_as_a_refresh(cognito: Cognito) -> None:
    """The trigger's scopes are in refreshed tokens, too, whichever operation asked."""
    tokens = cognito.sign_in()
    scope = claims(tokens["AccessToken"])["scope"]
    assert "me" in scope.split()
    assert claims(cognito.exchange(tokens["RefreshToken"])["AccessToken"])["scope"] == scope


def test_many_refreshes_at_once(cognito: Cognito) -> None:
    """Eight threads with one refresh token and no grace: one gets tokens, seven are told."""
    cognito.configure(**ROTATION | {"RefreshTokenRotation": {"Feature": "ENABLED"}})
    token = cognito.sign_in()["RefreshToken"]
    outcomes: list[str] = []
    together = threading.Barrier(8)

    def run() -> None:
        together.wait()
        try:
            cognito.exchange(token)
            outcomes.append("tokens")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["RefreshTokenReuseException"] * 7 + ["tokens"]


ROLE = "arn:aws:iam::123456789012:role/"


@pytest.mark.parametrize(
    ("groups", "preferred"),
    [
        pytest.param({"a": 5, "z": 1}, "z", id="the lowest value"),
        pytest.param({"a": None, "z": 9}, "z", id="a value before none"),
        pytest.param({"a": 0, "z": 1}, "a", id="0 is the lowest"),
        pytest.param({"a": None}, "a", id="a single role"),
        pytest.param({"a": 1, "z": 1}, None, id="two of the same value"),
        pytest.param({"a": None, "z": None}, None, id="two without a value"),
    ],
)
def test_roles_of_groups_go_by_precedence(
    cognito: Cognito, groups: dict[str, int | None], preferred: str | None
) -> None:
    """Guide, "Assigning precedence values to groups". Only ID tokens have the roles."""
    for name, precedence in [*groups.items(), ("plain", 0)]:
        more: dict[str, Any] = {} if precedence is None else {"Precedence": precedence}
        if name != "plain":
            more |= {"RoleArn": ROLE + name}
        cognito.boto.create_group(UserPoolId=cognito.pool_id, GroupName=name, **more)
        cognito.boto.admin_add_user_to_group(**cognito.user(), GroupName=name)
    tokens = cognito.sign_in()
    said = claims(tokens["IdToken"])
    assert said["cognito:roles"] == [ROLE + name for name in groups]
    assert said.get("cognito:preferred_role") == (ROLE + preferred if preferred else None)
    assert not {"cognito:roles", "cognito:preferred_role"} & set(claims(tokens["AccessToken"]))


def test_groups_without_roles_bring_no_claims_of_roles(cognito: Cognito) -> None:
    """Neither claim is there."""
    cognito.boto.create_group(UserPoolId=cognito.pool_id, GroupName="plain")
    cognito.boto.admin_add_user_to_group(**cognito.user(), GroupName="plain")
    said = claims(cognito.sign_in()["IdToken"])
    assert said["cognito:groups"] == ["plain"]
    assert not {"cognito:roles", "cognito:preferred_role"} & set(said)
