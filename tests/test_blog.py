"""The two tests of the application that this one ports, in Flask's client."""

from flask.testing import FlaskClient

from resource_server.testing import bearer


def test_unauthenticated_user_gets_no_randoms(client: FlaskClient) -> None:
    """Without a token there is nothing but the sentence that clients know."""
    response = client.get("/randoms")

    assert response.status_code == 401
    assert response.json == {"detail": "Not authenticated"}


def test_authenticated_user_gets_their_randoms(client: FlaskClient, token: str) -> None:
    """With a token from Cognito, scopes added by the trigger, the list is there."""
    response = client.get("/randoms", headers=bearer(token))

    assert response.status_code == 200
    assert response.json == []
