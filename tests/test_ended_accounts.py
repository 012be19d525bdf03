"""What ended stays ended: in another process, in another transaction, and in no other pool."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import responses
from apiflask import APIFlask
from flask.testing import FlaskClient
from flask_migrate import downgrade, upgrade
from sqlalchemy import Engine, create_engine, delete, func, select, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from resource_server.database import Connections
from resource_server.identity import errors
from resource_server.identity.directory import DirectoryUser
from resource_server.randoms.store import OwnedRandoms
from resource_server.revocations import store
from resource_server.revocations.models import Revocation
from resource_server.revocations.snapshot import DenyListSnapshot
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.tokens.claims import SIGN_IN_SCOPE
from resource_server.users import accounts, administration, projection
from resource_server.users.accounts import TokenDenied
from resource_server.users.models import User
from tests.conftest import both_databases
from tests.fake_directory import InMemoryDirectory
from tests.holders import Holder
from tests.test_users import ScriptedIdentity

MakeApp = Callable[[Mapping[str, str]], APIFlask]
REVOKED = {"detail": "The access token was revoked"}
BOUNDS = {"min_value": 1, "max_value": 6}
FOREIGN_POOL = "eu-west-1_Foreign12"
SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"


@pytest.fixture
def config(
    mock_cognito_client: CognitoIdp, database_url: str, jwks: responses.RequestsMock
) -> Iterator[dict[str, str]]:
    """The settings of apps whose transactions are real. What they write goes afterwards."""
    yield {**mock_cognito_client.settings, "DATABASE_URL": database_url}
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(delete(User))
        connection.execute(delete(Revocation))
    engine.dispose()


@pytest.fixture
def engine(config: dict[str, str]) -> Iterator[Engine]:
    """A way to the database beside the apps'."""
    engine = create_engine(config["DATABASE_URL"], poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def processes(make_app: MakeApp, config: dict[str, str]) -> list[FlaskClient]:
    """Two apps on one database, each with a deny list of its own."""
    made = [make_app(config), make_app(config)]
    for app in made:
        mine = app.extensions["resource_server"]
        gone: Any = ScriptedIdentity(errors.AccountGone())
        replace(mine, identity=gone).attach(app.extensions)
    return [app.test_client() for app in made]


def users(engine: Engine) -> int:
    """Count the rows of users."""
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(User)) or 0


@both_databases
@pytest.mark.parametrize(
    ("route", "sent"),
    [
        ("GET /users/me", None),
        ("PATCH /users/me", {"full_name": "Grace"}),
        ("DELETE /users/me", None),
        ("POST /users/me/totp", None),
        ("POST /randoms", BOUNDS),
        ("GET /randoms", None),
        ("PATCH /randoms/1", BOUNDS),
        ("DELETE /randoms/1", None),
    ],
)
def test_a_deleted_account_does_not_come_back(
    processes: list[FlaskClient],
    cognito_pool: CognitoPool,
    engine: Engine,
    route: str,
    sent: dict[str, object] | None,
) -> None:
    """Another process has not read the revocation yet, and makes no row all the same."""
    here, there = processes
    headers = bearer(cognito_pool.access_token(scope=f"{SIGN_IN_SCOPE} me randoms"))
    assert here.post("/randoms", headers=headers, json=BOUNDS).status_code == 201
    assert there.get("/randoms", headers=headers).status_code == 200
    assert here.delete("/users/me", headers=headers).status_code == 204
    method, path = route.split()
    refused = there.open(path, method=method, headers=headers, json=sent)
    assert (refused.status_code, refused.json) == (401, REVOKED)
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert users(engine) == 0


@both_databases
def test_a_token_that_was_signed_out_writes_nothing_elsewhere(
    processes: list[FlaskClient], cognito_pool: CognitoPool, make_app: MakeApp
) -> None:
    """Before the other process has read the revocation: it reads, at most, what was there."""
    here, there = processes
    token = cognito_pool.access_token(scope="me randoms")
    headers = bearer(token)
    item = there.post("/randoms", headers=headers, json=BOUNDS).json
    mine = here.application.extensions["resource_server"]
    mine.revocations.revoke_sessions(mine.verifier.verify(token))
    address = f"/randoms/{item['id']}"
    for method, path in (("POST", "/randoms"), ("PATCH", address), ("DELETE", address)):
        refused = there.open(path, method=method, headers=headers, json=BOUNDS)
        assert (refused.status_code, refused.json) == (401, REVOKED)
    assert there.get(address, headers=headers).json == item


@both_databases
def test_a_new_sign_in_after_signing_out_writes_at_once(
    processes: list[FlaskClient], cognito_pool: CognitoPool
) -> None:
    """In every process: what was revoked is the earlier sign-in."""
    here, there = processes
    old = cognito_pool.access_token(scope="me randoms", origin_jti="old")
    mine = here.application.extensions["resource_server"]
    mine.revocations.revoke_sessions(mine.verifier.verify(old))
    new = bearer(cognito_pool.access_token(scope="me randoms", origin_jti="new"))
    assert there.post("/randoms", headers=new, json=BOUNDS).status_code == 201


def test_who_makes_a_row_waits_for_who_deletes_it(engine: Engine) -> None:
    """A row that would be made while the deletion is under way is not made."""
    holder = Holder("ada", "ada", issued_at=100)
    connections = Connections(engine)
    accounts.add(connections, sub="ada", username="ada")
    with engine.connect() as deleting:
        store.add(deleting, [store.Entry("sub", "ada", 200, 2**40, holder.pool_id)], now=1)
        accounts.remove(deleting, "ada")
        making = threading.Thread(
            target=accounts._add_unless_denied, args=(connections, "ada", holder)
        )
        making.start()
        _wait_for_a_lock(engine)
        deleting.commit()
    making.join(30)
    assert users(engine) == 0
    with pytest.raises(TokenDenied):
        accounts.active_account(connections, holder)


def test_who_deletes_a_row_waits_for_who_makes_it(engine: Engine) -> None:
    """The other way round: the row that was made meanwhile goes, too."""
    connections = Connections(engine)

    def delete_row() -> None:
        with engine.begin() as deleting:
            store.add(deleting, [store.Entry("sub", "ada", 200, 2**40)], now=1)
            accounts.remove(deleting, "ada")

    with engine.connect() as making:
        accounts.lock(making, "ada")
        making.execute(text("INSERT INTO users (sub, username) VALUES ('ada', 'ada')"))
        deleting = threading.Thread(target=delete_row)
        deleting.start()
        _wait_for_a_lock(engine)
        making.commit()
    deleting.join(30)
    assert users(engine) == 0
    with pytest.raises(TokenDenied):
        OwnedRandoms(Holder("ada", issued_at=100), connections).create(1, 6)


def _wait_for_a_lock(engine: Engine) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
    with engine.connect() as connection:
        for _ in range(5_000):
            if connection.scalar(waiting):
                return
            connection.rollback()
    pytest.fail("nobody waits")


@both_databases
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("had_a_row", [True, False])
@pytest.mark.parametrize("as_of", [990, 1_000, 1_010])
def test_a_sync_does_not_bring_a_deleted_account_back(
    engine: Engine, as_of: int, *, enabled: bool, had_a_row: bool
) -> None:
    """The directory listed the user, who then deleted the account, or did so a moment before.

    It makes no difference whether the list says that the user is disabled, or had another name.
    """
    deny_list = DenyListSnapshot(engine.begin, now=lambda: 1_000)
    listed = [DirectoryUser(SUB, "new", enabled=enabled), DirectoryUser("other", "other")]
    if had_a_row:
        accounts.add(Connections(engine), sub=SUB, username="old")
    with Session(engine) as session:
        found = projection.compare(session, listed)
        deny_list.revoke_user(SUB, then=lambda connection: accounts.remove(connection, SUB))
        projection.apply(session, listed, found, deny_list, as_of=as_of)
        assert session.scalars(select(User.sub)).all() == ["other"]


@both_databases
def test_a_sync_makes_the_row_of_a_user_who_was_revoked_long_ago(engine: Engine) -> None:
    """Somebody who was disabled once, and is back."""
    deny_list = DenyListSnapshot(engine.begin, now=lambda: 1_000)
    deny_list.revoke_user(SUB)
    with Session(engine) as session:
        projection.follow(session, [DirectoryUser(SUB, "ada")], deny_list, as_of=1_020)
        assert session.scalars(select(User.sub)).all() == [SUB]


class Leaving(InMemoryDirectory):
    """A directory whose user deletes the account between two questions."""

    def __init__(self, deny_list: DenyListSnapshot) -> None:
        super().__init__([DirectoryUser(SUB, "ada")])
        self._deny_list = deny_list

    def get(self, sub: str) -> DirectoryUser:
        """See UserDirectory."""
        user = super().get(sub)
        if self.calls.count("get") == self.leaves_at:
            del self.users[sub]
            self._deny_list.revoke_user(
                sub, then=lambda connection: accounts.remove(connection, sub)
            )
        return user

    leaves_at = 1


@both_databases
@pytest.mark.parametrize("change", [administration.disable, administration.enable])
@pytest.mark.parametrize("leaves_at", [1, 2, 3])
def test_an_administrator_does_not_bring_a_deleted_account_back(
    engine: Engine, change: Callable[..., User], leaves_at: int
) -> None:
    """The row is made of what the directory says, and the user leaves meanwhile."""
    deny_list = DenyListSnapshot(engine.begin)
    directory = Leaving(deny_list)
    directory.leaves_at = leaves_at
    with Session(engine) as session, suppress(errors.NoSuchUser):
        change(session, directory, deny_list, sub=SUB, by="test")
    assert SUB not in directory.users
    assert users(engine) == 0


@both_databases
def test_two_deletions_at_once_end_alike(engine: Engine) -> None:
    """Neither fails, and the row is gone."""
    deny_list = DenyListSnapshot(engine.begin)
    for name in ("ada", "eve"):
        accounts.add(Connections(engine), sub=name, username=name)
    start = threading.Barrier(4)

    def delete_account(name: str) -> None:
        start.wait(30)
        deny_list.revoke_user(name, then=lambda connection: accounts.remove(connection, name))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(delete_account, name) for name in ("ada", "eve", "ada", "eve")]:
            done.result(30)
    assert users(engine) == 0


@both_databases
def test_disabling_while_the_row_is_made_disables_it(engine: Engine) -> None:
    """The first request of a user, and an administrator who shuts the user out."""
    deny_list, connections = DenyListSnapshot(engine.begin), Connections(engine)
    start = threading.Barrier(2)

    def first_request() -> None:
        start.wait(30)
        with suppress(TokenDenied, accounts.AccountDisabled):
            accounts.active_account(connections, Holder(SUB, "ada", issued_at=time.time()))

    with Session(engine) as session, ThreadPoolExecutor(1) as pool:
        making = pool.submit(first_request)
        start.wait(30)
        directory = InMemoryDirectory([DirectoryUser(SUB, "ada")])
        administration.disable(session, directory, deny_list, sub=SUB, by="test")
        making.result(30)
        rows = session.execute(select(User.sub, User.disabled)).all()
    assert [tuple(row) for row in rows] == [(SUB, True)]


def test_a_denial_that_commits_late_is_read(engine: Engine) -> None:
    """It got its id first, and 1,100 others commit before it, which are read meanwhile."""
    seconds = [0.0]
    process = DenyListSnapshot(
        engine.begin, clock=lambda: seconds[0], now=lambda: 1_000, spawn=lambda run: run()
    )

    def denied() -> set[str]:
        seconds[0] += 10
        process._flight.wait()
        return {value for _, _, value in process._denied}

    with engine.connect() as late:
        store.add(late, [store.Entry("sub", "late", 10, 2**40)], now=1)
        for number in range(11):
            with engine.begin() as connection:
                entries = [store.Entry("jti", f"{number}-{n}", 10, 2**40) for n in range(100)]
                store.add(connection, entries, now=1)
            assert len(denied()) == 100 * (number + 1)
        late.commit()
    assert "late" in denied()
    with engine.connect() as connection:
        rows, _ = store.read(connection, process._position, now=1)
    assert rows == [], "a poll reads what is new"


def test_another_server_is_read_from_the_beginning(engine: Engine) -> None:
    """After a fail-over or a restore transactions are counted again."""
    with engine.begin() as connection:
        store.add(connection, [store.Entry("sub", "ada", 10, 2**40)], now=1)
        _, here = store.read(connection, None, now=1)
    with engine.connect() as connection:
        _, here = store.read(connection, None, now=1)
        assert store.read(connection, here, now=1)[0] == []
        for elsewhere in (here._replace(server=1), here._replace(place=here.place + 1000)):
            rows, position = store.read(connection, elsewhere, now=1)
            assert [row.value for row in rows] == ["ada"]
            assert position == here


@both_databases
def test_the_same_sub_in_another_pool_is_another_user(
    make_app: MakeApp,
    config: dict[str, str],
    cognito_pool: CognitoPool,
    jwks: responses.RequestsMock,
    engine: Engine,
) -> None:
    """Accounts, items and revocations of one are nothing to the other."""
    foreign = CognitoPool(FOREIGN_POOL, "foreignclient", cognito_pool.keys)
    jwks.get(foreign.jwks_uri, json=foreign.jwks())
    app = make_app({**config, "COGNITO_TRUSTED_POOLS": f"{FOREIGN_POOL}=foreignclient"})
    client, mine = app.test_client(), app.extensions["resource_server"]
    names: dict[str, Any] = {"sub": SUB, "jti": "j", "origin_jti": "o", "scope": "me randoms"}
    tokens = [pool.access_token(**names) for pool in (cognito_pool, foreign)]
    ours, theirs = map(bearer, tokens)
    for headers in (ours, theirs):
        assert client.post("/randoms", headers=headers, json=BOUNDS).status_code == 201
    items: list[Any] = [client.get("/randoms", headers=headers).json for headers in (ours, theirs)]
    assert [len(found) for found in items] == [1, 1]
    assert items[0] != items[1]
    assert client.get(f"/randoms/{items[0][0]['id']}", headers=theirs).status_code == 404
    accounts_seen: list[Any] = [
        client.get("/users/me", headers=headers).json for headers in (ours, theirs)
    ]
    assert [seen["sub"] for seen in accounts_seen] == [SUB, SUB]
    assert accounts_seen[0]["id"] != accounts_seen[1]["id"]

    mine.revocations.revoke_sessions(mine.verifier.verify(tokens[1]))
    assert client.get("/randoms", headers=theirs).status_code == 401
    assert client.post("/randoms", headers=ours, json=BOUNDS).status_code == 201
    mine.revocations.revoke_user(SUB)
    assert client.get("/randoms", headers=ours).status_code == 401


@both_databases
def test_the_release_before_works_on_these_tables(engine: Engine) -> None:
    """What it writes is read here: its statements name no column of this release."""
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO users (sub, username) VALUES ('ada', 'ada') ON CONFLICT (sub) DO NOTHING",
            """INSERT INTO revocations (kind, value, issued_before, expires_at)
               VALUES ('sub', 'ada', 200, 4102444800)""",
        ):
            connection.execute(text(statement))
    process = DenyListSnapshot(engine.begin, now=lambda: 1_000, spawn=lambda run: run())
    process._flight.wait()
    assert set(process._denied) == {(None, "sub", "ada")}
    with pytest.raises(TokenDenied):
        accounts.active_account(Connections(engine), Holder("ada", issued_at=100))


@both_databases
def test_the_tables_of_the_release_before_are_migrated(
    make_app: MakeApp, config: dict[str, str], engine: Engine
) -> None:
    """With rows in them, there and back."""
    with make_app(config).app_context():
        downgrade(revision="0003")
        with engine.begin() as connection:
            statement = (
                "INSERT INTO revocations (kind, value, issued_before, expires_at) "
                "VALUES ('jti', 'old', 9007199254740992, 4102444800)"
            )
            connection.execute(text(statement))
        upgrade()
    with engine.connect() as connection:
        rows, _ = store.read(connection, None, now=1)
        assert [(row.value, row.pool_id) for row in rows] == [("old", None)]
        assert connection.scalars(select(Revocation.value)).all() == ["old"]
