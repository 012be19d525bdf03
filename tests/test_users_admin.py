"""Administration of users over HTTP: who may, what it does, and what half of it leaves behind."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import responses
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from resource_server.database import Connections
from resource_server.emulator import gaps
from resource_server.identity.directory import DirectoryUser, UserDirectory
from resource_server.identity.errors import (
    DirectoryForbidden,
    IdentityError,
    IdentityUnavailable,
    NoSuchUser,
    TooManyRequests,
)
from resource_server.testing import CognitoIdp, KitUser, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users import accounts, administration, projection
from resource_server.users.models import User
from tests.conftest import both_databases, without_aws_credentials
from tests.fake_directory import InMemoryDirectory

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"
FOREIGN_POOL = "eu-west-1_Foreign12"


@pytest.fixture
def admin(cognito_pool: CognitoPool) -> dict[str, str]:
    """The header of an administrator."""
    return bearer(cognito_pool.access_token(scope="me", username="root", groups=["admins", "x"]))


def _use(app: APIFlask, directory: UserDirectory) -> None:
    """Let an app ask another directory."""
    mine = app.extensions["resource_server"]
    replace(mine, directory=directory).attach(app.extensions)


def _log_in(client: FlaskClient, user: KitUser) -> Any:
    return client.post("/users/login", data={"username": user.username, "password": user.password})


# Who may


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/users"), ("POST", f"/users/{SUB}/disable"), ("POST", f"/users/{SUB}/enable")],
)
@pytest.mark.parametrize("groups", [None, [], ["users"], ["Admins"], ["admins2"], ["admins x"]])
def test_whoever_is_no_administrator_is_refused(
    client: FlaskClient,
    cognito_pool: CognitoPool,
    method: str,
    path: str,
    groups: list[str] | None,
) -> None:
    """403 with a sentence and a challenge; the group counts to the letter."""
    headers = bearer(cognito_pool.access_token(scope="me", groups=groups))
    refused = client.open(path, method=method, headers=headers)
    assert (refused.status_code, refused.json) == (403, {"detail": "Not enough permissions"})
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


@sqlite
def test_the_group_is_a_setting(
    mock_cognito_client: CognitoIdp,
    jwks: responses.RequestsMock,
    cognito_pool: CognitoPool,
    database_url: str,
    make_app: Callable[[Mapping[str, str]], APIFlask],
) -> None:
    """It is read at the request, so two apps in one process may differ."""
    common = {**mock_cognito_client.settings, "DATABASE_URL": database_url}
    staff = make_app({**common, "COGNITO_ADMIN_GROUP": "staff"}).test_client()
    default = make_app(common).test_client()
    for group, served in (("staff", staff), ("admins", default)):
        headers = bearer(cognito_pool.access_token(scope="me", groups=[group]))
        for client in (staff, default):
            expected = 200 if client is served else 403
            answered = client.get("/users?limit=1", headers=headers)
            assert answered.status_code == expected


@sqlite
def test_a_group_of_another_pool_makes_no_administrator(
    mock_cognito_client: CognitoIdp,
    cognito_pool: CognitoPool,
    jwks: responses.RequestsMock,
    database_url: str,
    make_app: Callable[[Mapping[str, str]], APIFlask],
) -> None:
    """Whoever administrates a pool that is trusted too does not thereby administrate this one."""
    foreign = CognitoPool(FOREIGN_POOL, "foreignclient", cognito_pool.keys)
    jwks.get(foreign.jwks_uri, json=foreign.jwks())
    app = make_app(
        {
            **mock_cognito_client.settings,
            "DATABASE_URL": database_url,
            "COGNITO_TRUSTED_POOLS": f"{FOREIGN_POOL}=foreignclient",
        }
    )
    headers = bearer(foreign.access_token(scope="me", groups=["admins"]))
    client = app.test_client()
    assert client.get("/users/me", headers=headers).status_code == 200
    assert client.get("/users", headers=headers).status_code == 403


def test_a_disabled_administrator_is_refused(
    app: APIFlask, client: FlaskClient, session: Session, admin: dict[str, str]
) -> None:
    """Before anything is done."""
    directory = InMemoryDirectory([DirectoryUser(SUB, "grace")])
    _use(app, directory)
    assert client.get("/users", headers=admin).status_code == 200
    session.execute(update(User).values(disabled=True))
    session.commit()
    refused = client.post(f"/users/{SUB}/disable", headers=admin)
    assert (refused.status_code, refused.json) == (403, {"detail": "Inactive user"})
    assert directory.calls == []


# The list


@both_databases
def test_the_list_is_read_page_by_page(
    app: APIFlask,
    client: FlaskClient,
    session: Session,
    admin: dict[str, str],
    connections: Connections,
) -> None:
    """By id; the Link leads on until there is no more; Cognito is not asked."""
    directory = InMemoryDirectory()
    _use(app, directory)
    for number in range(4):
        accounts.add(
            connections, sub=f"sub{number}", username=f"user{number}", email=f"{number}@x.org"
        )
    address: str | None = "/users?limit=2"
    pages = []
    while address is not None:
        answer = client.get(address, headers=admin)
        assert answer.status_code == 200
        pages.append([user["username"] for user in answer.get_json()])
        link = answer.headers.get("Link")
        address = None if link is None else link.split(">")[0].removeprefix("<")
    assert pages == [["user0", "user1"], ["user2", "user3"], ["root"]]
    assert answer.json[0].keys() == {"id", "sub", "username", "email", "full_name", "disabled"}
    assert directory.calls == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "after=-1", f"after={2**63}", "after=x"]
)
def test_a_bad_page_is_422(client: FlaskClient, admin: dict[str, str], query: str) -> None:
    """As with every list."""
    refused = client.get(f"/users?{query}", headers=admin)
    assert refused.status_code == 422
    assert refused.json["detail"][0]["loc"] == ["query", query.partition("=")[0]]


# Disabling and enabling, on moto


@both_databases
def test_a_disabled_user_is_out_at_once_and_an_enabled_one_can_come_back(
    client: FlaskClient,
    user: KitUser,
    token: str,
    admin: dict[str, str],
    mock_cognito_client: CognitoIdp,
) -> None:
    """The token that is out is refused, sign-in is refused; afterwards sign-in works again."""
    assert client.get("/users/me", headers=bearer(token)).status_code == 200

    disabled = client.post(f"/users/{user.sub}/disable", headers=admin)
    assert disabled.status_code == 200
    assert (disabled.json["sub"], disabled.json["disabled"]) == (user.sub, True)
    assert client.get("/users/me", headers=bearer(token)).status_code == 401
    assert _log_in(client, user).status_code == 401
    assert _enabled_on_moto(mock_cognito_client, user) is False

    enabled = client.post(f"/users/{user.sub}/enable", headers=admin)
    assert enabled.status_code == 200
    assert enabled.json["disabled"] is False
    assert _log_in(client, user).status_code == 200
    assert _enabled_on_moto(mock_cognito_client, user) is True
    assert client.get("/users/me", headers=bearer(token)).status_code == 401


def _enabled_on_moto(cognito: CognitoIdp, user: KitUser) -> bool:
    found = cognito.client.admin_get_user(UserPoolId=cognito.pool_id, Username=user.username)
    return bool(found["Enabled"])


@pytest.mark.parametrize("action", ["disable", "enable"])
def test_a_user_without_a_row_gets_one(
    client: FlaskClient, admin: dict[str, str], mock_cognito_client: CognitoIdp, action: str
) -> None:
    """With what Cognito knows; twice is like once."""
    user = mock_cognito_client.add_user("newcomer")
    for _ in range(2):
        answer = client.post(f"/users/{user.sub}/{action}", headers=admin)
        assert answer.status_code == 200
        assert (answer.json["username"], answer.json["email"]) == ("newcomer", user.email)
        assert answer.json["disabled"] is (action == "disable")


@pytest.mark.parametrize("action", ["disable", "enable"])
def test_an_unknown_user_is_404(client: FlaskClient, admin: dict[str, str], action: str) -> None:
    """So is what is no `sub` at all."""
    for sub in (str(uuid4()), "grace", "%00", "a" * 500):
        assert client.post(f"/users/{sub}/{action}", headers=admin).status_code == 404


def test_nobody_disables_themself(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool, admin: dict[str, str]
) -> None:
    """409, and nothing is done. Another spelling of the `sub` is 404."""
    directory = InMemoryDirectory()
    _use(app, directory)
    own = cognito_pool.sub_of("root")
    refused = client.post(f"/users/{own}/disable", headers=admin)
    assert refused.status_code == 409
    assert refused.json == {"detail": "You cannot disable your own account"}
    for sub in (own.upper(), own.replace("-", ""), f"{{{own}}}", f"urn:uuid:{own}"):
        assert client.post(f"/users/{sub}/disable", headers=admin).status_code == 404
    assert directory.calls == []
    assert client.get("/users/me", headers=admin).json["disabled"] is False


def test_a_user_who_is_gone_from_cognito_is_disabled_here(
    client: FlaskClient, session: Session, admin: dict[str, str], connections: Connections
) -> None:
    """And cannot be enabled, since there is nobody who could sign in."""
    accounts.add(connections, sub=SUB, username="gone")
    disabled = client.post(f"/users/{SUB}/disable", headers=admin)
    assert (disabled.status_code, disabled.json["disabled"]) == (200, True)
    refused = client.post(f"/users/{SUB}/enable", headers=admin)
    assert (refused.status_code, refused.json) == (404, {"detail": "There is no such user"})


def test_who_did_what_to_whom_is_logged(
    app: APIFlask,
    client: FlaskClient,
    cognito_pool: CognitoPool,
    admin: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both by `sub`; also if it fails half-way. Nothing personal is in the line."""
    caplog.set_level(logging.INFO)
    directory = InMemoryDirectory([DirectoryUser(SUB, "grace", "grace@example.com")])
    _use(app, directory)
    root = cognito_pool.sub_of("root")
    client.post(f"/users/{SUB}/enable", headers=admin)
    directory.faults = [IdentityUnavailable()]
    client.post(f"/users/{SUB}/disable", headers=admin)
    audit = [r.getMessage() for r in caplog.records if r.getMessage().startswith("audit")]
    assert audit == [f"audit: {root} enables user {SUB}", f"audit: {root} disables user {SUB}"]
    assert "example.com" not in caplog.text


# Half of it


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (IdentityUnavailable(), 503),
        (DirectoryForbidden("cognito-idp:AdminDisableUser"), 503),
        (TooManyRequests(5), 429),
    ],
    ids=lambda value: type(value).__name__,
)
def test_with_cognito_away_the_user_is_out_here_and_again_heals(  # noqa: PLR0917
    app: APIFlask,
    client: FlaskClient,
    cognito_pool: CognitoPool,
    admin: dict[str, str],
    fault: IdentityError,
    status: int,
) -> None:
    """The administrator is told that it is not done; the user is refused all the same."""
    directory = InMemoryDirectory([DirectoryUser(SUB, "grace")])
    _use(app, directory)
    theirs = bearer(cognito_pool.access_token(scope="me", username="grace", sub=SUB))
    assert client.get("/users/me", headers=theirs).status_code == 200

    directory.faults = [fault]
    failed = client.post(f"/users/{SUB}/disable", headers=admin)
    assert failed.status_code == status
    # Waiting does not give this service a permission.
    assert ("Retry-After" in failed.headers) is not isinstance(fault, DirectoryForbidden)
    assert client.get("/users/me", headers=theirs).status_code == 401
    assert directory.users[SUB].enabled

    assert client.post(f"/users/{SUB}/disable", headers=admin).status_code == 200
    assert not directory.users[SUB].enabled


def test_with_cognito_away_nobody_is_enabled(
    app: APIFlask,
    client: FlaskClient,
    session: Session,
    admin: dict[str, str],
    connections: Connections,
) -> None:
    """Cognito goes first, so the row stays as it is."""
    directory = InMemoryDirectory([DirectoryUser(SUB, "grace", enabled=False)])
    _use(app, directory)
    accounts.add(connections, sub=SUB, username="grace")
    projection.set_disabled(session, [SUB], disabled=True)
    directory.faults = [IdentityUnavailable()]
    assert client.post(f"/users/{SUB}/enable", headers=admin).status_code == 503
    session.commit()
    assert session.scalars(select(User.disabled).where(User.sub == SUB)).all() == [True]


class Away:
    """A deny list whose database is away."""

    def revoke_users(self, subs: object, **_: object) -> None:  # noqa: ARG002
        """Fail."""
        raise OperationalError("INSERT", {}, Exception("away"))


def test_with_the_database_away_sign_in_is_closed_all_the_same(session: Session) -> None:
    """And the fault is told; doing it again does the rest."""
    directory = InMemoryDirectory([DirectoryUser(SUB, "grace")])
    with pytest.raises(OperationalError):
        administration.disable(session, directory, Away(), sub=SUB, by="test")
    assert not directory.users[SUB].enabled


def test_with_both_away_nothing_is_said_to_be_done(session: Session) -> None:
    """Whatever fails last is told."""
    directory = InMemoryDirectory([DirectoryUser(SUB, "grace")])
    directory.faults = [IdentityUnavailable()]
    with pytest.raises(IdentityUnavailable):
        administration.disable(session, directory, Away(), sub=SUB, by="test")
    assert directory.users[SUB].enabled


def test_someone_who_may_be_elsewhere_is_enabled_here(
    session: Session, connections: Connections
) -> None:
    """A user of another trusted pool, or an app client: this directory does not have them."""
    accounts.add(connections, sub="client1", username="client1")
    projection.set_disabled(session, ["client1"], disabled=True)
    directory, deny_list = InMemoryDirectory(), Away()
    row = administration.enable(
        session, directory, deny_list, sub="client1", by="test", only_here=True
    )
    assert not row.disabled
    with pytest.raises(NoSuchUser):
        administration.enable(session, directory, deny_list, sub="x", by="test", only_here=True)


def test_an_app_without_credentials_serves_everything_else(
    app: APIFlask,
    client: FlaskClient,
    admin: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are looked for at the first administrative call, which is 503 with a line in the log."""
    without_aws_credentials(monkeypatch)
    assert client.get("/users", headers=admin).status_code == 200
    sign_up = {"username": "new", "email": "new@example.com", "password": "Str0ng-passw0rd!"}
    assert client.post("/users/signup", json=sign_up).status_code == 201
    assert gaps.outbox.last_code("new")
    refused = client.post(f"/users/{SUB}/disable", headers=admin)
    assert refused.status_code == 503
    assert "Contact the operator" in refused.json["detail"]
    assert "Retry-After" not in refused.headers
