"""The orders, tested with the kit on Starlette's test client."""

import pytest
from fastapi.testclient import TestClient
from orders import create_app

from resource_server.testing import CognitoPool, SignInAs, assert_rejects_forgeries


@pytest.fixture
def client(cognito_pool: CognitoPool) -> TestClient:
    """The app's client; the kit answers PyJWT's download at AWS's own address."""
    app = create_app(cognito_pool.pool_id, cognito_pool.client_id, cognito_pool.jwks_uri)
    return TestClient(app, raise_server_exceptions=False)


def test_nobody_reads(client: TestClient) -> None:
    """Without a token: 401."""
    assert client.get("/orders").status_code == 401


def test_scopes_count(client: TestClient, sign_in_as: SignInAs) -> None:
    """Another scope is not enough."""
    sign_in_as("ada", scope="invoices")
    assert client.get("/orders").status_code == 403


def test_owners_read(client: TestClient, sign_in_as: SignInAs) -> None:
    """With the scope, the order's owner is who signed in."""
    sign_in_as("ada", scope="orders")
    assert client.get("/orders").json() == {"owner": "ada"}


def test_forgeries_are_refused(client: TestClient) -> None:
    """None of the kit's attacks gets in."""
    assert_rejects_forgeries(client, "GET", "/orders", scope="orders")


@pytest.mark.cognito(jwks="http")
def test_keys_can_come_from_a_server(client: TestClient, cognito_pool: CognitoPool) -> None:
    """The same keys by HTTP on loopback, as for an app in another process."""
    assert cognito_pool.jwks_uri.startswith("http://127.0.0.1:")
    assert client.get("/orders", headers=cognito_pool.bearer(scope="orders")).status_code == 200
    assert cognito_pool.downloads == 1
