"""What /metrics counts, in one process."""

import socket
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from apiflask import APIFlask
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from resource_server.extensions import db
from resource_server.telemetry import Metrics, cognito_calls
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from tests.conftest import MANAGEMENT_URL

RANDOM = "/randoms/<int:random_id>"


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read an exposition: by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float | None:
    """Return one sample; None if there is none."""
    return read(text).get((f"resource_server_{name}", frozenset(labels.items())))


@pytest.fixture
def scraped(client: FlaskClient) -> Callable[[], str]:
    """Ask for the metrics."""

    def scrape() -> str:
        answer = client.get("/metrics", base_url=MANAGEMENT_URL)
        assert answer.status_code == 200
        assert answer.content_type.startswith("text/plain; version=")
        return answer.get_data(as_text=True)

    return scrape


def test_requests_are_counted_by_route(
    client: FlaskClient, cognito_pool: CognitoPool, scraped: Callable[[], str]
) -> None:
    """Ids are in no label, and whatever strangers ask for is one series."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    for number in (1, 2, 3):
        client.get(f"/randoms/{number}", headers=headers)
    for address in ("/a", "/b"):
        client.get(address)
    text = scraped()
    assert value(text, "requests_total", method="GET", route=RANDOM, status="404") == 3
    assert value(text, "requests_total", method="GET", route="none", status="404") == 2
    assert value(text, "request_duration_seconds_count", method="GET", route=RANDOM) == 3


def test_verifications_are_counted_by_result(
    client: FlaskClient, cognito_pool: CognitoPool, scraped: Callable[[], str]
) -> None:
    """Verified once, then remembered; refusals by reason, here and where the log has them."""
    headers = bearer(cognito_pool.access_token(scope="me randoms"))
    for _ in range(3):
        client.get("/randoms", headers=headers)
    client.get("/randoms", headers=bearer(cognito_pool.access_token(exp=1)))
    client.get("/randoms")
    for _ in range(2):  # asking changes nothing
        text = scraped()
    judged = "token_verifications_total"
    assert value(text, judged, result="verified", reason="none") == 1
    assert value(text, judged, result="cached", reason="none") == 2
    assert value(text, judged, result="refused", reason="expired") == 1
    assert value(text, "refusals_total", reason="expired") == 1
    assert value(text, "refusals_total", reason="no_token") == 1


def test_keys_and_deny_list_are_shown(
    client: FlaskClient, token: str, cognito_pool: CognitoPool, scraped: Callable[[], str]
) -> None:
    """How old the keys are, how they came; how long the deny list is, and how old."""
    assert client.post("/users/logout", headers=bearer(token)).status_code == 200
    text, pool = scraped(), cognito_pool.pool_id
    assert value(text, "key_downloads_total", pool=pool, outcome="succeeded") == 1
    assert value(text, "key_downloads_total", pool=pool, outcome="failed") == 0
    age = value(text, "key_age_seconds", pool=pool)
    assert age is not None
    assert 0 < age < 60
    assert value(text, "stale_key_serves_total", pool=pool) == 0
    assert value(text, "deny_list_entries") == 2
    lag = value(text, "deny_list_age_seconds")
    assert lag is not None
    assert 0 <= lag < 60


def test_calls_of_cognito_are_counted(
    client: FlaskClient, token: str, user: Any, scraped: Callable[[], str]
) -> None:
    """By operation, and by Cognito's code where it refused; durations with them."""
    client.post("/users/login", data={"username": user.username, "password": "Wr0ng-passw0rd!"})
    text, name = scraped(), "cognito_call_duration_seconds_count"
    assert value(text, name, operation="InitiateAuth", error="none") == 1
    assert value(text, name, operation="InitiateAuth", error="NotAuthorizedException") == 1


def test_what_never_reached_cognito_is_counted_too(aws_credentials: None) -> None:
    """By the class of the error; and no stranger's text becomes a label."""
    metrics = Metrics()
    client = boto3.client("cognito-idp", region_name="eu-west-2", endpoint_url="http://127.0.0.1:9")
    cognito_calls.watch(client, metrics)
    with pytest.raises(Exception, match="Could not connect"):
        client.forget_device(AccessToken="x", DeviceKey="y")
    with Stubber(client) as stub:
        stub.add_client_error("get_user", 'Your "token" eyJ')
        with pytest.raises(client.exceptions.ClientError):
            client.get_user(AccessToken="x")
    text, name = metrics.exposition().decode(), "cognito_call_duration_seconds_count"
    assert value(text, name, operation="ForgetDevice", error="EndpointConnectionError") == 1
    assert value(text, name, operation="GetUser", error="other") == 1


def test_a_cognito_that_never_answers_is_counted_and_told_as_it_is(aws_credentials: None) -> None:
    """The time-out reaches whoever called, as botocore's own; counting it breaks nothing."""
    metrics = Metrics()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        once = Config(read_timeout=0.05, retries={"total_max_attempts": 1})
        client = boto3.client(
            "cognito-idp", region_name="eu-west-2", endpoint_url=address, config=once
        )
        cognito_calls.watch(client, metrics)
        with pytest.raises(ReadTimeoutError):
            client.forget_device(AccessToken="x", DeviceKey="y")
    text, name = metrics.exposition().decode(), "cognito_call_duration_seconds_count"
    assert value(text, name, operation="ForgetDevice", error="ReadTimeoutError") == 1


def test_connections_in_use_are_counted(
    make_app: Callable[[Mapping[str, str]], APIFlask],
    mock_cognito_client: CognitoIdp,
    database_url: str,
) -> None:
    """While a request holds one; after it none is left."""
    config = {"DATABASE_URL": database_url, "METRICS_ON_MAIN_PORT": "true"}
    app = make_app({**mock_cognito_client.settings, **config})

    def in_use() -> float | None:
        text = app.test_client().get("/metrics").get_data(as_text=True)
        return value(text, "database_connections_in_use")

    with app.app_context(), db.engine.connect() as held:
        assert in_use() == 1
        held.invalidate()
    assert in_use() == 0


def test_metrics_can_be_switched_off(
    make_app: Callable[[Mapping[str, str]], APIFlask], mock_cognito_client: CognitoIdp
) -> None:
    """Then there is no such address."""
    config = {"DATABASE_URL": "sqlite://", "METRICS_ENABLED": "false"}
    client = make_app({**mock_cognito_client.settings, **config}).test_client()
    assert client.get("/metrics").status_code == 404
    assert client.get("/healthz").status_code == 200
