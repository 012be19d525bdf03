"""What is served over HTTP: to whom, and what tests and containers may ask."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from resource_server.emulator import gaps
from resource_server.emulator.state import DEMO_PASSWORD, DEMO_USERNAME, REGION, EmulatorState
from resource_server.settings import load_settings
from tests.conftest import PASSWORD
from tests.emulator.pages import sign_in_with_browser


@pytest.fixture
def boto(emulator: EmulatorState) -> Iterator[Any]:
    """An administrator's client."""
    client = boto3.client(
        "cognito-idp",
        region_name=REGION,
        endpoint_url=emulator.url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    yield client
    client.close()


def ask(emulator: EmulatorState, path: str, method: str = "GET", **headers: str) -> Any:
    """Send a request."""
    return requests.request(method, f"{emulator.url}{path}", headers=headers, timeout=10)


def test_health_names_the_pools(emulator: EmulatorState) -> None:
    """For containers that wait for it; other tests may have pools in this process, too."""
    answer = ask(emulator, "/health").json()
    assert answer["status"] == "ok"
    assert emulator.pool_id in answer["pools"]


def test_codes_are_read_newest_first(emulator: EmulatorState, boto: Any) -> None:
    """Of one user, by name or address, or of all; once forgotten they still serve."""
    gaps.outbox.sent.clear()
    for username in ("ada", "grace", "ada"):
        boto.admin_create_user(
            UserPoolId=emulator.pool_id,
            Username=username,
            TemporaryPassword=f"{PASSWORD}{len(gaps.outbox.sent)}",
            UserAttributes=[{"Name": "email", "Value": f"{username}@example.com"}],
            **({"MessageAction": "RESEND"} if len(gaps.outbox.sent) == 2 else {}),
        )
    every = ask(emulator, "/_emulator/codes").json()
    assert [sent["username"] for sent in every] == ["ada", "grace", "ada"]
    assert every[0] == {
        "pool": emulator.pool_id,
        "username": "ada",
        "destination": "a***@e***",
        "code": f"{PASSWORD}2",
    }
    sub = boto.admin_get_user(UserPoolId=emulator.pool_id, Username="grace")["UserAttributes"]
    [sub] = [entry["Value"] for entry in sub if entry["Name"] == "sub"]
    assert ask(emulator, f"/_emulator/codes?username={sub}").json() == [every[1]]
    assert ask(emulator, "/_emulator/codes?username=nobody").json() == []
    assert ask(emulator, "/_emulator/codes?pool=eu-west-2_Other0001").json() == []

    assert ask(emulator, "/_emulator/codes?username=ada", "DELETE").status_code == 204
    assert ask(emulator, "/_emulator/codes").json() == [every[1]]
    assert ask(emulator, "/_emulator/codes", "DELETE").status_code == 204
    assert ask(emulator, "/_emulator/codes").json() == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5001", "", "[::1", "127.0.0.1.nip.io"]
)
def test_other_names_of_this_machine_are_refused(emulator: EmulatorState, host: str) -> None:
    """Whoever rebinds a name of theirs to 127.0.0.1 reaches nothing."""
    for path in ("/health", "/_emulator/codes", f"/{emulator.pool_id}/login", "/"):
        answer = ask(emulator, path, Host=host)
        assert answer.status_code in {400, 403}
        assert emulator.pool_id not in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:5000", "null"])
def test_web_pages_reach_neither_api_nor_codes(emulator: EmulatorState, origin: str) -> None:
    """Managed login has its own rules (tests/emulator/managed_login)."""
    for path in ("/health", "/_emulator/codes", "/"):
        assert ask(emulator, path, Origin=origin).status_code == 403
    assert ask(emulator, "/", "POST", Origin=origin).status_code == 403
    assert ask(emulator, "/moto-api/data.json").status_code == 403


def test_an_operation_that_is_not_emulated_is_told(emulator: EmulatorState, boto: Any) -> None:
    """At once, by its name, in a way that every SDK reads."""
    with pytest.raises(ClientError, match="ListUserImportJobs is not emulated") as caught:
        boto.list_user_import_jobs(UserPoolId=emulator.pool_id, MaxResults=1)
    told = caught.value.response
    assert told["Error"]["Code"] == "NotImplementedException"
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert told["ResponseMetadata"]["RetryAttempts"] == 0


def test_an_unknown_address_of_ours_is_not_found(emulator: EmulatorState) -> None:
    """It does not fall through to moto, which would take it for another service's."""
    for path in ("/_emulator/nothing", f"/{emulator.pool_id}/nothing"):
        assert ask(emulator, path).status_code == 404


def test_pages_of_flask_run_sign_people_in(emulator: EmulatorState) -> None:
    """By the client without a secret, whose tokens the service accepts."""
    found = requests.get(emulator.discovery, timeout=10).json()
    back = "http://localhost:5000/docs/oauth2-redirect.html"
    tokens = sign_in_with_browser(
        found, emulator.public_client_id, back, DEMO_USERNAME, DEMO_PASSWORD
    )
    settings = load_settings(emulator.settings)
    assert emulator.public_client_id in settings.client_ids
    answer = requests.get(
        found["userinfo_endpoint"],
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
        timeout=10,
    )
    assert answer.json()["username"] == DEMO_USERNAME
