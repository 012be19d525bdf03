"""The notes, tested with the kit: no AWS, no mocks of one's own, real signatures."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from notes import create_app

from resource_server.testing import CognitoPool, SignInAs, assert_rejects_forgeries


@pytest.fixture
def app(cognito_pool: CognitoPool) -> Flask:
    """The app, on the pool of the test; pytest-flask makes `client` of it."""
    return create_app(cognito_pool.pool_id, cognito_pool.client_id)


def test_nobody_reads(client: FlaskClient) -> None:
    """Without a token: 401, and what to present."""
    answer = client.get("/notes")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_scopes_count(client: FlaskClient, cognito_pool: CognitoPool) -> None:
    """Who may read may not write."""
    headers = cognito_pool.bearer(scope="notes/read")
    assert client.get("/notes", headers=headers).status_code == 200
    assert client.post("/notes", headers=headers).status_code == 403


def test_groups_count(client: FlaskClient, cognito_pool: CognitoPool) -> None:
    """Deleting is for editors."""
    writer = cognito_pool.bearer(scope="notes/write")
    editor = cognito_pool.bearer(scope="notes/write", username="eve", groups=["editors"])
    number = client.post("/notes", headers=writer, data="a").json["number"]
    assert client.delete(f"/notes/{number}", headers=writer).status_code == 403
    assert client.delete(f"/notes/{number}", headers=editor).status_code == 204


def test_notes_are_their_owners(client: FlaskClient, sign_in_as: SignInAs) -> None:
    """Bob does not see what Ada wrote."""
    sign_in_as("ada", scope="notes/read notes/write")
    client.post("/notes", data="remember the milk")
    assert client.get("/notes").json == {"1": "remember the milk"}
    sign_in_as("bob", scope="notes/read")
    assert client.get("/notes").json == {}


def test_a_rotation_is_not_noticed(client: FlaskClient, cognito_pool: CognitoPool) -> None:
    """Tokens signed with the new keys are read, and the old ones still."""
    old = cognito_pool.bearer(scope="notes/read")
    assert client.get("/notes", headers=old).status_code == 200
    cognito_pool.rotate()
    for headers in (cognito_pool.bearer(scope="notes/read"), old):
        assert client.get("/notes", headers=headers).status_code == 200


def test_an_outage_of_the_keys(client: FlaskClient, cognito_pool: CognitoPool) -> None:
    """Who has seen the keys goes on; an app that has not asks to try again."""
    newcomer = create_app(cognito_pool.pool_id, cognito_pool.client_id).test_client()
    headers = cognito_pool.bearer(scope="notes/read")
    assert client.get("/notes", headers=headers).status_code == 200
    with cognito_pool.outage():
        again = cognito_pool.bearer(scope="notes/read")
        assert client.get("/notes", headers=again).status_code == 200
        assert newcomer.get("/notes", headers=headers).status_code == 503


@pytest.mark.parametrize(
    ("method", "scope"), [("GET", "notes/read"), ("POST", "notes/write")], ids=str
)
def test_forgeries_are_refused(client: FlaskClient, method: str, scope: str) -> None:
    """None of the kit's attacks gets in."""
    assert_rejects_forgeries(client, method, "/notes", scope=scope)
