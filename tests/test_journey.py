"""A newcomer's way through the service, with Cognito on moto, and a whole life over HTTP."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import delete
from werkzeug.test import TestResponse

from resource_server.emulator import gaps
from resource_server.emulator.server import ADMIN_PASSWORD, ADMIN_USERNAME
from resource_server.emulator.state import EmulatorState
from resource_server.extensions import db
from resource_server.revocations.models import Revocation
from resource_server.testing import CognitoIdp, bearer
from resource_server.users.models import User
from tests.conftest import CHALLENGE, METADATA, PASSWORD, both_databases, other_than

SECOND = "S3cond-passw0rd!"


@both_databases
def test_from_sign_up_to_sign_out(client: FlaskClient) -> None:
    """Sign up, verify with the code, log in, draw a number, read it, log out."""
    signed_up = client.post(
        "/users/signup",
        json={"username": "grace", "email": "grace@example.com", "password": PASSWORD},
    )
    assert signed_up.status_code == 201
    assert signed_up.json["message"] == "User created successfully"
    assert _log_in(client).status_code == 403, "not confirmed yet"

    code = gaps.outbox.last_code("grace")
    wrong = client.post(
        "/users/verify", json={"username": "grace", "confirmation_code": other_than(code)}
    )
    assert wrong.status_code == 400
    verified = client.post("/users/verify", json={"username": "grace", "confirmation_code": code})
    assert verified.json == {"message": "Account verification successful"}

    answer = _log_in(client)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["token_type"] == "bearer"
    assert answer.json["expires_in"] == 3600
    assert answer.json["scope"] == "aws.cognito.signin.user.admin me randoms"
    headers = bearer(answer.json["access_token"])

    drawn = client.post("/randoms", headers=headers, json={"min_value": 1, "max_value": 6})
    assert drawn.status_code == 201
    assert client.get("/randoms", headers=headers).json == [drawn.json]
    me = client.get("/users/me", headers=headers).json
    assert (me["sub"], me["username"], me["email"], me["disabled"]) == (
        signed_up.json["sub"],
        "grace",
        "grace@example.com",
        False,
    )

    signed_out = client.post("/users/logout", headers=headers)
    assert signed_out.json == {"message": "Logged out successfully"}
    again = client.post("/users/logout", headers=headers)
    assert again.status_code == 401
    assert 'error="invalid_token"' in again.headers["WWW-Authenticate"]


def test_scopes_decide(client: FlaskClient, mock_cognito_client: CognitoIdp, token: str) -> None:
    """A pool without the trigger gives tokens without scopes: 403; with it: 200."""
    pool = mock_cognito_client
    username = "test_user"
    assert client.get("/randoms", headers=bearer(token)).status_code == 200

    pool.client.update_user_pool(UserPoolId=pool.pool_id, LambdaConfig={})
    poor = client.post("/users/login", data={"username": username, "password": PASSWORD})
    assert poor.json["scope"] == "aws.cognito.signin.user.admin"
    refused = client.get("/randoms", headers=bearer(poor.json["access_token"]))
    assert refused.status_code == 403
    assert refused.headers["WWW-Authenticate"] == (
        f'{CHALLENGE}, error="insufficient_scope", error_description="Not enough permissions", '
        f'scope="me randoms", {METADATA}'
    )


@both_databases
def test_a_name_taken_again_is_another_person(
    client: FlaskClient, mock_cognito_client: CognitoIdp, token: str
) -> None:
    """Who signs up under a deleted user's name sees nothing of theirs."""
    mine = client.post("/randoms", headers=bearer(token), json={"min_value": 1, "max_value": 1})
    cognito = mock_cognito_client
    cognito.client.admin_delete_user(UserPoolId=cognito.pool_id, Username="test_user")

    signed_up = client.post(
        "/users/signup",
        json={"username": "test_user", "email": "other@example.com", "password": PASSWORD},
    )
    client.post(
        "/users/verify",
        json={
            "username": "test_user",
            "confirmation_code": gaps.outbox.last_code("test_user"),
        },
    )
    other = bearer(_log_in(client, "test_user").json["access_token"])

    assert client.get("/randoms", headers=other).json == []
    assert client.get(f"/randoms/{mine.json['id']}", headers=other).status_code == 404
    assert client.get("/users/me", headers=other).json["sub"] == signed_up.json["sub"]


def _log_in(client: FlaskClient, username: str = "grace") -> TestResponse:
    return client.post("/users/login", data={"username": username, "password": PASSWORD})


# The same service, with Cognito at the other end of a socket


@pytest.fixture
def over_http(
    emulator: EmulatorState, database_url: str, make_app: Callable[[Mapping[str, str]], APIFlask]
) -> Iterator[tuple[APIFlask, FlaskClient]]:
    """The service that uses it, on a database where it writes for good."""
    app = make_app({**emulator.settings, "COGNITO_EMULATOR": "off", "DATABASE_URL": database_url})
    yield app, app.test_client()
    with app.app_context():
        for table in (User, Revocation):
            db.session.execute(delete(table))
        db.session.commit()


@both_databases
def test_a_whole_life(over_http: tuple[APIFlask, FlaskClient]) -> None:
    """From sign-up to deletion by way of everything that may happen to an account in between."""
    app, client = over_http
    _sign_up(client, "grace")
    laptop = _a_day_with_two_devices(client)
    _a_new_password(client, laptop)
    _a_second_factor(client, laptop)
    admin = _an_administrator_at_work(client)

    # Nobody at Cognito differs from the rows here.
    synced = app.test_cli_runner().invoke(args=["users", "sync", "--json"])
    assert synced.exit_code == 0, synced.output
    counts = json.loads(synced.stdout)
    assert (counts["changed"], counts["disabled"], counts["gone"]) == (0, 0, 0)

    last = bearer(_log_in(client).json["access_token"])
    assert client.delete("/users/me", headers=last).status_code == 204
    assert client.get("/randoms", headers=last).status_code == 401
    assert _log_in(client).status_code == 401
    assert "grace" not in {user["username"] for user in _users(client, admin)}


def _a_day_with_two_devices(client: FlaskClient) -> dict[str, str]:
    """Draw, refresh, take a name; sign out of the phone and keep the laptop, which is returned."""
    phone = _log_in(client).json
    headers = bearer(phone["access_token"])
    drawn = client.post("/randoms", headers=headers, json={"min_value": 1, "max_value": 6})
    assert drawn.status_code == 201
    form = {"grant_type": "refresh_token", "refresh_token": phone["refresh_token"]}
    headers = bearer(client.post("/users/refresh", data=form).json["access_token"])
    assert client.get("/randoms", headers=headers).json == [drawn.json]
    client.patch("/users/me", headers=headers, json={"full_name": "Grace Hopper"})
    assert client.get("/users/me", headers=headers).json["full_name"] == "Grace Hopper"

    laptop = bearer(_log_in(client).json["access_token"])
    one = {"everywhere": False, "refresh_token": phone["refresh_token"]}
    assert client.post("/users/logout", headers=headers, json=one).status_code == 200
    assert client.get("/randoms", headers=headers).status_code == 401
    assert client.get("/randoms", headers=laptop).status_code == 200
    return laptop


def _a_new_password(client: FlaskClient, laptop: dict[str, str]) -> None:
    """Forget it, reset it, and change it back."""
    client.post("/users/forgot_password", json={"username": "grace"})
    code = gaps.outbox.last_code("grace")
    forgotten = {"username": "grace", "confirmation_code": code, "password": SECOND}
    assert client.post("/users/reset_password", json=forgotten).status_code == 200
    assert _log_in(client).status_code == 401
    both = {"previous_password": SECOND, "password": PASSWORD}
    assert client.post("/users/change_password", headers=laptop, json=both).status_code == 200


def _a_second_factor(client: FlaskClient, laptop: dict[str, str]) -> None:
    """Turn it on, sign in with it, turn it off."""
    secret = client.post("/users/me/totp", headers=laptop).json["secret"]
    proof = {"confirmation_code": gaps.totp_code(secret, gaps.clock.now())}
    assert client.post("/users/me/totp/verify", headers=laptop, json=proof).status_code == 200
    asked = _log_in(client).json
    gaps.clock.advance(30)  # a code serves once
    totp = {"SOFTWARE_TOKEN_MFA_CODE": gaps.totp_code(secret, gaps.clock.now())}
    sent = {name: asked[name] for name in ("username", "session", "challenge")}
    answer = client.post("/users/login/challenge", json={**sent, "responses": totp})
    assert answer.status_code == 200
    gaps.clock.reset()
    off = client.put("/users/me/totp", headers=laptop, json={"enabled": False})
    assert off.status_code == 200


def _an_administrator_at_work(client: FlaskClient) -> dict[str, str]:
    """Shut another account, which ends its tokens, and open it again; return the administrator."""
    _sign_up(client, "ada")
    ada = bearer(_log_in(client, "ada").json["access_token"])
    assert client.get("/randoms", headers=ada).status_code == 200
    form = {"username": ADMIN_USERNAME, "password": ADMIN_PASSWORD}
    admin = bearer(client.post("/users/login", data=form).json["access_token"])
    client.get("/users/me", headers=admin)  # the row learns its e-mail address
    [sub] = [user["sub"] for user in _users(client, admin) if user["username"] == "ada"]
    assert client.post(f"/users/{sub}/disable", headers=admin).json["disabled"]
    assert client.get("/randoms", headers=ada).status_code == 401
    assert _log_in(client, "ada").status_code == 401
    assert not client.post(f"/users/{sub}/enable", headers=admin).json["disabled"]
    assert _log_in(client, "ada").status_code == 200
    return admin


def _sign_up(client: FlaskClient, username: str) -> None:
    """Make an account whose first code is lost in the mail."""
    account = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    assert client.post("/users/signup", json=account).status_code == 201
    client.post("/users/resend_confirmation_code", json={"username": username})
    code = {"username": username, "confirmation_code": gaps.outbox.last_code(username)}
    assert client.post("/users/verify", json=code).status_code == 200


def _users(client: FlaskClient, admin: dict[str, str]) -> list[dict[str, Any]]:
    listed = client.get("/users", headers=admin).json
    assert isinstance(listed, list), listed
    return listed
