"""The watch over the suite's logs sees what it is there for (tests/redaction.py)."""

import logging
from collections.abc import Callable, Iterator

import pytest
from apiflask import APIFlask
from flask import request
from flask.testing import FlaskClient

from resource_server.testing import CognitoIdp, KitUser, bearer
from tests.conftest import CLIENT_SECRET
from tests.redaction import SecretWatch

logger = logging.getLogger("resource_server.careless")


@pytest.fixture
def leaks(secret_watch: SecretWatch) -> Iterator[Callable[[], list[str]]]:
    """The watch of the whole session; what it found here is no fault of the service's."""
    yield secret_watch.leaks
    secret_watch.reset()


def test_a_client_secret_is_seen(leaks: Callable[[], list[str]]) -> None:
    """Whoever logs it, and be it within a longer text."""
    logger.warning("calling with secret=%s", CLIENT_SECRET)
    [found] = leaks()
    assert "resource_server.careless" in found
    assert CLIENT_SECRET not in found


def test_what_a_client_sends_is_seen(
    app: APIFlask, client: FlaskClient, leaks: Callable[[], list[str]]
) -> None:
    """A password or a code that no test declared, in a message, a field, or a trace."""

    @app.before_request
    def log_all() -> None:
        if request.is_json:
            logger.warning("json", extra={"fields": {"body": request.get_json()}})
            return
        logger.warning("form %s", request.form["password"])
        try:
            int(request.form["password"])
        except ValueError:
            logger.exception("it failed")

    client.post("/users/login", data={"username": "nobody", "password": "never-seen-before"})
    assert len(leaks()) == 2
    client.post("/users/verify", json={"username": "nobody", "confirmation_code": "864209"})
    assert len(leaks()) == 3


def test_tokens_are_seen(
    client: FlaskClient, token: str, user: KitUser, leaks: Callable[[], list[str]]
) -> None:
    """Signed ones by their shape, whoever made them; a refresh token since it was answered."""
    form = {"username": user.username, "password": user.password}
    refresh_token = client.post("/users/login", data=form).json["refresh_token"]
    assert leaks() == []
    logger.warning("got %s", refresh_token)
    logger.warning("checking %s", token)
    assert len(leaks()) == 2


def test_a_quiet_journey_has_no_leak(
    client: FlaskClient, token: str, mock_cognito_client: CognitoIdp, leaks: Callable[[], list[str]]
) -> None:
    """What the service itself logs on the way is no finding."""
    client.get("/randoms", headers=bearer(token))
    client.post("/users/logout", headers=bearer(token))
    assert leaks() == []
