"""Schemathesis reads the document and sends what it allows, and what it does not, over WSGI.

Its checks: no 5xx; status, headers, content type and body as declared; what violates a schema is
refused; other methods are 405; without the token, or with a bad one, there is no success. Quick and
the same each time under `make test`; `make fuzz` looks for longer, elsewhere each time.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import schemathesis
from apiflask import APIFlask
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from resource_server.testing import CognitoIdp, bearer
from tests.conftest import PASSWORD
from tests.documented import FILE

ENDING = {"log_out", "delete_me", "change_password"}
"""Operations after which a token, or a password, is of no more use."""
# A schema cannot say that bounds are in order, which name is known or which code was sent.
NOT_EXPECTED: list[Any] = [positive_data_acceptance]

LONG = settings.get_current_profile_name() == "fuzz"
QUICK = settings(max_examples=10, derandomize=True, deadline=None, database=None)


class _CurrentApp:
    """Stands for the app of the test that runs: operations are read before there is one."""

    served: APIFlask

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self.served(environ, start_response)


current = _CurrentApp()
# Of /metrics the port that these requests come to knows nothing, whatever the method.
schema = schemathesis.openapi.from_path(str(FILE)).exclude(path="/metrics")
schema.app = current


@pytest.fixture
def sign_in(app: APIFlask, mock_cognito_client: CognitoIdp) -> Callable[[], str]:
    """Sign a new administrator in, who can be refused nothing but what this is about."""
    current.served = app
    client = app.test_client()
    made: list[str] = []

    def token() -> str:
        made.append(f"user{len(made)}")
        mock_cognito_client.add_user(made[-1], PASSWORD, groups=["admins"])
        form = {"username": made[-1], "password": PASSWORD}
        access_token: str = client.post("/users/login", data=form).get_json()["access_token"]
        # Warms the keys up, without which /readyz is 503.
        assert client.get("/users/me", headers=bearer(access_token)).status_code == 200
        return access_token

    return token


@pytest.fixture
def kept(sign_in: Callable[[], str]) -> str:
    """A token for operations that leave it alive."""
    return sign_in()


@schema.parametrize()
@settings(
    settings.get_profile("fuzz") if LONG else QUICK,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nothing_that_is_sent_breaks_the_contract(
    case: schemathesis.Case[Any], sign_in: Callable[[], str], kept: str
) -> None:
    """Whatever comes in, a declared answer goes out."""
    ends = case.operation.definition.raw["operationId"] in ENDING
    case.call_and_validate(
        headers=bearer(sign_in() if ends else kept), excluded_checks=NOT_EXPECTED
    )
