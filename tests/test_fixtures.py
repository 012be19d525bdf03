"""What the fixtures promise to every other test."""

import os
import socket

import pytest
import requests
import responses
from flask.testing import FlaskClient
from pytest_socket import SocketConnectBlockedError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from resource_server.revocations.models import Revocation
from resource_server.settings import Settings
from resource_server.testing import CognitoIdp, KitUser, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users.models import User
from tests.conftest import both_databases


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "10.0.0.1"])
def test_no_socket_reaches_beyond_loopback(address: str) -> None:
    """A test that would talk to the network fails at once."""
    with socket.socket() as attempt, pytest.raises(SocketConnectBlockedError):
        attempt.connect((address, 443))


def test_no_other_host_is_reached_over_http(jwks: responses.RequestsMock) -> None:
    """Beside the JWKS that a test serves, there is nothing."""
    with pytest.raises(requests.ConnectionError):
        requests.get("https://example.com/other", timeout=1)


@both_databases
@pytest.mark.parametrize("turn", [1, 2])
def test_what_a_test_writes_is_gone_in_the_next(
    client: FlaskClient, session: Session, token: str, turn: int
) -> None:
    """Rows, deny list and Cognito's users: each test begins with none, whichever comes first."""
    assert session.scalar(select(func.count()).select_from(User)) == 0, turn
    assert session.scalar(select(func.count()).select_from(Revocation)) == 0
    headers = bearer(token)
    drawn = client.post("/randoms", headers=headers, json={"min_value": 1, "max_value": 2})
    assert drawn.status_code == 201
    assert client.post("/users/logout", headers=headers).status_code == 200
    assert session.scalar(select(func.count()).select_from(User)) == 1
    assert session.scalar(select(func.count()).select_from(Revocation)) == 2


@pytest.mark.parametrize("turn", [1, 2])
def test_cognitos_users_are_gone_in_the_next(
    mock_cognito_client: CognitoIdp, user: KitUser, turn: int
) -> None:
    """A name that another test used is free."""
    found = mock_cognito_client.client.list_users(UserPoolId=mock_cognito_client.pool_id)["Users"]
    assert [entry["Username"] for entry in found] == [user.username], turn


def test_no_setting_of_this_machine_reaches_a_test() -> None:
    """Not even the database that the tests themselves use; limits are out of the way."""
    found = {name: os.environ.get(name.upper()) for name in Settings.model_fields}
    given = {name: value for name, value in found.items() if value is not None}
    assert all(name.startswith("ratelimit_") for name in given), given
    assert set(given.values()) == {"1000000/second"}


def test_minted_tokens_and_signed_in_ones_are_of_one_pool(
    client: FlaskClient, token: str, cognito_pool: CognitoPool
) -> None:
    """A test may take either; the app verifies both against the same JWKS."""
    minted = cognito_pool.access_token(scope="me randoms")
    for each in (token, minted):
        assert client.get("/randoms", headers=bearer(each)).status_code == 200
