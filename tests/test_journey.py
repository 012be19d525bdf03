"""A newcomer's way through the service, over HTTP, with Cognito on moto."""

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from resource_server.emulator import gaps
from tests.conftest import CHALLENGE, METADATA, PASSWORD, MockCognito, bearer, both_databases


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
        "/users/verify", json={"username": "grace", "confirmation_code": _other_than(code)}
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


def test_scopes_decide(client: FlaskClient, mock_cognito_client: MockCognito, token: str) -> None:
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
    client: FlaskClient, mock_cognito_client: MockCognito, token: str
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


def _other_than(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"
