"""One file, read from top to bottom: an app whose users sign up and in through Cognito.

moto plays Cognito, with its gaps filled: codes are real, the Pre Token Generation trigger runs, and
tokens are signed with keys that the app verifies them against.
"""

from typing import Any

import boto3
import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from resource_server import CognitoVerifier, ResourceServer, current_principal, require_scope
from resource_server.testing import CognitoIdp, CognitoOptions, bearer

# The trigger, as it would be deployed as a Lambda function.


def add_scopes(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Give members of the group `writers` one scope more."""
    groups = event["request"]["groupConfiguration"]["groupsToOverride"]
    scopes = ["posts/read", "posts/write"] if "writers" in groups else ["posts/read"]
    event["response"] = {
        "claimsAndScopeOverrideDetails": {"accessTokenGeneration": {"scopesToAdd": scopes}}
    }
    return event


# The app.


def create_app(region: str, pool_id: str, client_id: str) -> Flask:
    """Make the blog."""
    app = Flask(__name__)
    ResourceServer(app, CognitoVerifier(pool_id, client_ids={client_id}))
    cognito = boto3.client("cognito-idp", region_name=region)

    @app.post("/login")
    def login() -> tuple[dict[str, str], int]:
        password = {"USERNAME": request.form["username"], "PASSWORD": request.form["password"]}
        try:
            answer = cognito.initiate_auth(
                ClientId=client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=password
            )
        except (
            cognito.exceptions.NotAuthorizedException,
            cognito.exceptions.UserNotConfirmedException,
        ):
            return {"detail": "Wrong user name or password, or not confirmed yet"}, 401
        return {"access_token": answer["AuthenticationResult"]["AccessToken"]}, 200

    @app.get("/posts")
    @require_scope("posts/read")
    def list_posts() -> dict[str, str | None]:
        return {"reader": current_principal.username}

    @app.post("/posts")
    @require_scope("posts/write")
    def write_post() -> tuple[dict[str, str | None], int]:
        return {"writer": current_principal.username}, 201

    return app


# The tests.


@pytest.fixture(scope="session")
def cognito_options() -> CognitoOptions:
    """The kit's pool, with our trigger."""
    return CognitoOptions(trigger=add_scopes)


@pytest.fixture
def client(cognito_idp: CognitoIdp) -> FlaskClient:
    """The app's client, on the kit's pool."""
    pool = cognito_idp.pool
    return create_app(pool.region, pool.pool_id, pool.client_id).test_client()


def test_from_sign_up_to_a_post(client: FlaskClient, cognito_idp: CognitoIdp) -> None:
    """Who signed up can sign in once the code is confirmed, and read, but not write."""
    ada = {"ClientId": cognito_idp.client_id, "Username": "ada"}
    form = {"username": "ada", "password": "C0rrect-horse!"}
    cognito_idp.client.sign_up(
        **ada,
        Password=form["password"],
        UserAttributes=[{"Name": "email", "Value": "ada@example.com"}],
    )
    assert client.post("/login", data=form).status_code == 401

    code = cognito_idp.last_code("ada")
    cognito_idp.client.confirm_sign_up(**ada, ConfirmationCode=code)
    login = client.post("/login", data=form)
    assert login.status_code == 200

    headers = bearer(login.json["access_token"])
    assert client.get("/posts", headers=headers).json == {"reader": "ada"}
    refused = client.post("/posts", headers=headers)
    assert refused.status_code == 403
    assert 'scope="posts/write"' in refused.headers["WWW-Authenticate"]


def test_writers_write(client: FlaskClient, cognito_idp: CognitoIdp) -> None:
    """The trigger sees groups, and adds a scope."""
    bob = cognito_idp.add_user("bob", groups=["writers"])
    login = client.post("/login", data={"username": "bob", "password": bob.password})
    posted = client.post("/posts", headers=bearer(login.json["access_token"]))
    assert (posted.status_code, posted.json) == (201, {"writer": "bob"})


def test_a_wrong_password(client: FlaskClient, cognito_idp: CognitoIdp) -> None:
    """There is one answer for whatever is wrong."""
    cognito_idp.add_user("bob")
    assert client.post("/login", data={"username": "bob", "password": "no"}).status_code == 401


def test_another_test_left_nobody(cognito_idp: CognitoIdp) -> None:
    """Each test begins with an empty pool."""
    assert cognito_idp.client.list_users(UserPoolId=cognito_idp.pool_id)["Users"] == []
