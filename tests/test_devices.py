"""Pools that remember devices: the key comes with the sign-in, and refreshing needs it."""

from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from resource_server.emulator import gaps
from resource_server.identity import errors
from resource_server.testing import CognitoIdp, KitUser, bearer
from resource_server.testing.pool import CognitoPool
from tests.conftest import PASSWORD, first_challenge
from tests.test_users import ScriptedIdentity, _use

UNKNOWN = "eu-west-2_11111111-1111-1111-1111-111111111111"


@pytest.fixture(params=[False, True], ids=["always", "opt-in"])
def prompts(request: pytest.FixtureRequest, mock_cognito_client: CognitoIdp) -> bool:
    """Let the pool remember devices, always or once the user agreed."""
    pool = gaps.find_pool(mock_cognito_client.pool_id)
    assert pool is not None
    pool.extended_config["DeviceConfiguration"] = {
        "DeviceOnlyRememberedOnUserPrompt": request.param
    }
    return bool(request.param)


def _sign_in(client: FlaskClient, user: KitUser, **more: str) -> Any:
    form = {"username": user.username, "password": PASSWORD} | more
    return client.post("/users/login", data=form)


def _refresh(client: FlaskClient, tokens: dict[str, Any], **more: str) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]} | more
    return client.post("/users/refresh", data=form)


def test_a_confirmed_device_refreshes(client: FlaskClient, user: KitUser, prompts: bool) -> None:
    """Neither without its key, nor before ConfirmDevice (repost.aws, "Invalid Refresh Token")."""
    tokens = _sign_in(client, user).json
    device = tokens["new_device_metadata"]
    assert device.keys() == {"device_key", "device_group_key"}
    key = {"device_key": device["device_key"]}
    assert _refresh(client, tokens).status_code == 401
    assert _refresh(client, tokens, **key).status_code == 401  # not confirmed yet

    verifier = {"password_verifier": "dmVyaWZpZXI=", "salt": "c2FsdA=="}
    sent = key | verifier | {"device_name": "Ada's telephone"}
    headers = bearer(tokens["access_token"])
    confirmed = client.post("/users/me/devices", headers=headers, json=sent)
    assert confirmed.json == {"message": "Device confirmed", "user_confirmation_necessary": prompts}
    assert _refresh(client, tokens).status_code == 401
    assert _refresh(client, tokens, device_key=UNKNOWN).status_code == 401
    refreshed = _refresh(client, tokens, **key)
    assert refreshed.status_code == 200
    assert "new_device_metadata" not in refreshed.json


@pytest.mark.usefixtures("prompts")
def test_a_known_device_signs_in_under_its_key(client: FlaskClient, user: KitUser) -> None:
    """It gets no new one, and its refresh tokens go on."""
    first = _sign_in(client, user).json
    key = {"device_key": first["new_device_metadata"]["device_key"]}
    headers = bearer(first["access_token"])
    assert client.post("/users/me/devices", headers=headers, json=key).status_code == 200
    second = _sign_in(client, user, **key).json
    assert "new_device_metadata" not in second
    assert _refresh(client, second, **key).status_code == 200


@pytest.mark.usefixtures("prompts")
def test_a_sign_in_of_a_device_ends(client: FlaskClient, user: KitUser) -> None:
    """Telling whose the refresh token is needs the key, too."""
    tokens = _sign_in(client, user).json
    key = {"device_key": tokens["new_device_metadata"]["device_key"]}
    headers = bearer(tokens["access_token"])
    assert client.post("/users/me/devices", headers=headers, json=key).status_code == 200
    one = {"everywhere": False, "refresh_token": tokens["refresh_token"]}
    assert client.post("/users/logout", headers=headers, json=one).status_code == 401
    assert client.get("/users/me", headers=headers).status_code == 200
    assert client.post("/users/logout", headers=headers, json=one | key).status_code == 200
    assert client.get("/users/me", headers=headers).status_code == 401


def test_the_access_token_names_the_device_of_a_sign_in(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Cognito's do, so that signing out needs nothing else."""
    asked: list[object] = []

    class Recording(ScriptedIdentity):
        def refresh(self, *_: object, device_key: str | None = None, **__: object) -> object:
            asked.append(device_key)
            raise errors.BadRefreshToken

    _use(app, Recording(None))
    for device in (UNKNOWN, 7, None):
        more: dict[str, Any] = {} if device is None else {"device_key": device}
        headers = bearer(cognito_pool.access_token(scope="me", **more))
        one = {"everywhere": False, "refresh_token": "r" * 40}
        assert client.post("/users/logout", headers=headers, json=one).status_code == 401
    assert asked == [UNKNOWN, None, None]


@pytest.mark.usefixtures("prompts")
def test_a_challenge_takes_the_device_key(
    client: FlaskClient, mock_cognito_client: CognitoIdp
) -> None:
    """DEVICE_KEY among the responses (API reference, RespondToAuthChallenge)."""
    asked = first_challenge(client, mock_cognito_client)
    sent = {name: asked[name] for name in ("username", "session", "challenge")}
    responses = {"NEW_PASSWORD": "An0ther-passw0rd!"}
    done = client.post("/users/login/challenge", json=sent | {"responses": responses})
    assert done.json["new_device_metadata"]["device_key"]


@pytest.mark.usefixtures("prompts")
def test_an_unknown_device_is_the_callers_mistake(client: FlaskClient, user: KitUser) -> None:
    """400, with a sentence that names device_key, not 503."""
    answer = _sign_in(client, user, device_key=UNKNOWN)
    assert answer.status_code == 400
    assert "device_key" in answer.json["detail"]
    headers = bearer(_sign_in(client, user).json["access_token"])
    answer = client.post("/users/me/devices", headers=headers, json={"device_key": UNKNOWN})
    assert answer.status_code == 400


def test_other_pools_tell_of_no_device(client: FlaskClient, user: KitUser) -> None:
    """The token response is RFC 6749's. A key that is sent all the same does no harm."""
    tokens = _sign_in(client, user).json
    assert "new_device_metadata" not in tokens
    assert _refresh(client, tokens, device_key=UNKNOWN).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"device_key": ""},
        {"device_key": "no-underscore"},
        {"device_key": "eu_" + "a" * 60},
        {"device_key": "eu_XYZ"},
        {"device_name": ""},
        {"device_name": "n" * 1025},
        {"salt": "c2FsdA=="},
        {"password_verifier": "dg=="},
    ],
    ids=str,
)
def test_a_device_is_checked_as_cognito_does(
    client: FlaskClient, token: str, change: dict[str, str]
) -> None:
    """API reference, ConfirmDevice: the key's pattern and 55 characters, the name's 1,024."""
    sent = {"device_key": UNKNOWN} | change
    answer = client.post("/users/me/devices", headers=bearer(token), json=sent)
    assert answer.status_code == 422
