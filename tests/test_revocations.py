"""The deny list: what one process writes, every other one refuses within the poll interval."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.exc import OperationalError

from resource_server.revocations import store
from resource_server.revocations.models import Revocation
from resource_server.revocations.snapshot import LONGEST_TOKEN_SECONDS, DenyListSnapshot
from resource_server.testing import CognitoIdp, KitUser, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import AccessToken, CognitoVerifier, DenyListUnavailable, KeyStore
from resource_server.tokens.flight import WaitLimit

NOW = 1_800_000_000


@dataclass
class World:
    """A database with the deny list in it, and a clock for every process that looks at it."""

    engine: Engine
    seconds: float = 0
    away: bool = False
    reads: int = 0
    waiting: list[Callable[[], None]] = field(default_factory=list)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a transaction, if the database is there."""
        if self.away:
            raise OperationalError("SELECT", {}, Exception("away"))
        self.reads += 1
        with self.engine.begin() as connection:
            yield connection

    def process(self, *, busy: bool = False, crowd: WaitLimit | None = None) -> DenyListSnapshot:
        """Begin a process; a busy one's background reads run when the test says so."""
        connect: Callable[[], AbstractContextManager[Connection]] = self.connect
        return DenyListSnapshot(
            connect,
            clock=lambda: self.seconds,
            now=lambda: NOW + self.seconds,
            spawn=self.waiting.append if busy else lambda run: run(),
            crowd=crowd,
        )


@pytest.fixture
def world() -> Iterator[World]:
    """An empty deny list in SQLite."""
    engine = create_engine("sqlite://")
    Revocation.metadata.create_all(engine, tables=[Revocation.__table__])  # type: ignore[list-item]
    yield World(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def mint() -> Callable[..., AccessToken]:
    """Make verified tokens, as of NOW."""
    pool = CognitoPool()
    keys = json.dumps(pool.jwks()).encode()
    verifier = CognitoVerifier(
        pool.user_pool,
        client_ids=None,
        keys=KeyStore(pool.jwks_uri, fetch=lambda _uri, _timeout: keys),
        now=lambda: NOW,
        leeway=60,  # lets tests mint what is issued a little later
    )

    def make(**claims: Any) -> AccessToken:
        return verifier.verify(pool.access_token(**{"iat": NOW, "exp": NOW + 60} | claims))

    return make


def test_what_a_process_writes_it_sees_at_once(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """Signing out is over when it is answered."""
    here, token = world.process(), mint()
    assert not here.denies(token)
    here.revoke_sessions(token)
    assert here.denies(token)


def test_other_processes_see_it_within_the_poll_interval(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """Not before they look; and they look in time, even after a quiet while."""
    here, there, token = world.process(), world.process(), mint()
    assert not there.denies(token)
    here.revoke_sessions(token)
    world.seconds += 0.9
    assert not there.denies(token)
    world.seconds += 1.1
    assert there.denies(token)


def test_a_restarted_process_knows_what_was_denied(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """The list is read before the first token is let in."""
    token = mint()
    world.process().revoke_sessions(token)
    assert world.process().denies(token)


def test_under_load_no_request_waits(world: World, mint: Callable[..., AccessToken]) -> None:
    """Half-way through the interval one read begins in the background; nobody waits for it."""
    busy, token = world.process(busy=True), mint()
    world.waiting.append(lambda: None)
    with pytest.raises(DenyListUnavailable):
        _with_short_wait(busy).denies(token)
    [_, first] = world.waiting
    first()
    assert not busy.denies(token)
    world.process().revoke_sessions(token)

    world.seconds += 1.2
    for _ in range(5):
        assert not busy.denies(token)
    assert len(world.waiting) == 3, "one read for five requests"
    world.waiting[-1]()
    assert busy.denies(token)


def test_a_slow_read_never_holds_all_threads(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """The last thread is told to come back, and no old list lets a revoked token in."""
    crowd, token = WaitLimit(1), mint()
    busy = world.process(busy=True, crowd=crowd)
    busy.ready()
    world.waiting[-1]()
    assert not busy.denies(token)
    world.seconds += 60
    with crowd.place():
        with pytest.raises(DenyListUnavailable):
            busy.denies(token)
        world.waiting[-1]()
        assert not busy.denies(token)
        world.seconds += 60
        world.away = True
        with pytest.raises(DenyListUnavailable):
            busy.denies(token)
        world.waiting[-1]()  # it fails: from here on the rows at hand count
        assert not busy.denies(token)


def _with_short_wait(snapshot: DenyListSnapshot) -> DenyListSnapshot:
    snapshot._flight._timeout = 0.01
    return snapshot


def test_nothing_is_asked_between_polls(world: World, mint: Callable[..., AccessToken]) -> None:
    """A thousand tokens in a second cost one round trip."""
    here, token = world.process(), mint()
    for _ in range(1000):
        assert not here.denies(token)
    assert world.reads == 1


def test_the_rows_at_hand_count_while_the_database_is_away(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """Denied stays denied, others go on, and nobody waits more than once in a while."""
    here, denied, other = world.process(), mint(), mint(sub="other")
    here.revoke_sessions(denied)
    assert not here.denies(other)
    world.away = True
    for _ in range(10):
        world.seconds += 60
        assert here.denies(denied)
        assert not here.denies(other)


def test_after_an_outage_the_view_is_young_again_in_time(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """However long the database was away, within the poll interval of its return it counts."""
    here, there, token = world.process(), world.process(), mint()
    assert not here.denies(token)
    world.away = True
    for _ in range(700):
        world.seconds += 0.1
        here.denies(token)
    world.away = False
    there.revoke_sessions(token)
    world.seconds += 2
    assert here.denies(token)


def test_a_process_that_never_read_the_list_cannot_tell(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """It answers "unavailable", with the time to wait, and recovers by itself."""
    world.away = True
    here, token = world.process(), mint()
    with pytest.raises(DenyListUnavailable) as caught:
        here.denies(token)
    assert caught.value.retry_after >= 1
    world.away = False
    world.seconds += 1
    assert not here.denies(token)


def test_a_process_reads_the_list_before_its_first_request(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """Asking whether it is ready begins the read, waits for nothing, and reads no second time."""
    here = world.process(busy=True)
    assert not here.ready()
    [read] = world.waiting
    read()
    assert here.ready()
    assert not here.denies(mint())
    assert world.reads == 1


def test_signing_out_ends_all_sessions_and_none_that_begins_later(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """Earlier sign-ins of the user are denied; one in the same second, made after, is not."""
    here = world.process()
    signed_out, earlier = mint(), mint(iat=NOW - 100)
    later, somebody = mint(origin_jti="new"), mint(sub="somebody", iat=NOW - 100)
    here.revoke_sessions(signed_out)
    assert here.denies(signed_out)
    assert here.denies(earlier)
    assert not here.denies(later)
    assert not here.denies(somebody)


def test_refreshed_tokens_of_an_ended_session_are_denied_too(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """All tokens of one sign-in share its `origin_jti`, whenever they were issued."""
    here = world.process()
    signed_out = mint(origin_jti="o-1")
    here.revoke_sessions(signed_out)
    assert here.denies(mint(origin_jti="o-1", iat=NOW + 5, jti="another"))


@pytest.mark.parametrize("missing", [{"origin_jti": None}, {"origin_jti": None, "jti": None}])
def test_tokens_that_name_no_session_can_be_signed_out(
    world: World, mint: Callable[..., AccessToken], missing: dict[str, None]
) -> None:
    """The token's own id will do, or else its user and time."""
    here, token = world.process(), mint(**missing)
    here.revoke_sessions(token)
    assert here.denies(token)


def test_a_disabled_user_is_denied_what_they_were_issued_until_now(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """By whichever clock; what they are issued once enabled again is fine."""
    here = world.process()
    here.revoke_user("ada")
    assert here.denies(mint(sub="ada"))
    assert here.denies(mint(sub="ada", iat=NOW + 5)), "by a clock that is ahead"
    assert not here.denies(mint(sub="ada", iat=NOW + 11, exp=NOW + 60))


def test_expired_rows_go(world: World, mint: Callable[..., AccessToken]) -> None:
    """Once no token they deny can be alive, they leave memory and, at the next write, the table."""
    here, token = world.process(), mint(sub="other")
    here.revoke_user("ada")
    here.revoke_sessions(mint(origin_jti=None))
    assert len(here) == 3
    world.seconds += LONGEST_TOKEN_SECONDS + 1
    here.denies(token)
    assert len(here) == 0
    here.revoke_user("somebody")
    with world.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Revocation)) == 1


def test_an_ended_sign_in_stays_denied_while_it_can_be_renewed(
    world: World, mint: Callable[..., AccessToken]
) -> None:
    """A renewed token has the `origin_jti` of its sign-in while its refresh token lives."""
    here = world.process()
    here.revoke_sign_in(mint(origin_jti="o-1"))
    renewed = mint(origin_jti="o-1", jti="renewed")
    world.seconds += 30 * 86_400
    assert here.denies(renewed)
    assert world.process().denies(renewed), "a process that begins later"
    world.seconds += LONGEST_TOKEN_SECONDS
    here.denies(renewed)
    assert len(here) == 0


def test_a_read_asks_for_what_is_new(world: World) -> None:
    """However long the list, a poll reads its newest rows alone."""
    with world.engine.begin() as connection:
        entries = [store.Entry("jti", f"j-{index}", 2**53, NOW + 100) for index in range(5000)]
        store.add(connection, entries, now=NOW)
        rows, position = store.read(connection, None, now=NOW)
        assert len(rows) == 5000
        assert store.read(connection, position, now=NOW) == ([], position)
        store.add(connection, [store.Entry("sub", "ada", 1, NOW + 100)], now=NOW)
        [new], _ = store.read(connection, position, now=NOW)
        assert new.value == "ada"
        assert store.read(connection, None, now=NOW + 100)[0] == []


def test_logout_is_refused_by_the_next_request(
    client: FlaskClient, token: str, user: KitUser
) -> None:
    """Over HTTP: the signed-out token is invalid, a new sign-in works at once."""
    assert client.get("/randoms", headers=bearer(token)).status_code == 200
    assert client.post("/users/logout", headers=bearer(token)).status_code == 200

    refused = client.get("/randoms", headers=bearer(token))
    assert refused.status_code == 401
    assert refused.json == {"detail": "The access token was revoked"}
    form = {"username": user.username, "password": user.password}
    again = client.post("/users/login", data=form).json["access_token"]
    assert client.get("/randoms", headers=bearer(again)).status_code == 200


def test_a_session_that_ended_at_cognito_ends_here(
    client: FlaskClient, token: str, mock_cognito_client: CognitoIdp, user: KitUser
) -> None:
    """Who was signed out by an administrator and signs out is told so, and denied from then on."""
    mock_cognito_client.client.admin_user_global_sign_out(
        UserPoolId=mock_cognito_client.pool_id, Username=user.username
    )
    assert client.get("/randoms", headers=bearer(token)).status_code == 200, "nobody told us"
    ended = client.post("/users/logout", headers=bearer(token))
    assert (ended.status_code, ended.json) == (401, {"detail": "The session has ended"})
    assert client.get("/randoms", headers=bearer(token)).status_code == 401


def test_a_request_costs_no_round_trip_for_the_list(client: FlaskClient, token: str) -> None:
    """Once read, the list is in memory: a request asks the database for its data alone."""
    client.get("/users/me", headers=bearer(token))
    statements = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        client.get("/users/me", headers=bearer(token))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert not [each for each in statements if "txid_snapshot_xmin" in each]
    assert [each for each in statements if each.startswith("SELECT users.id")]


def test_several_users_are_denied_in_one_transaction(world: World) -> None:
    """Nobody, like a page without disabled users, costs none."""
    process = world.process()
    process.revoke_users(iter(["a", "b"]))
    assert world.reads == 1
    process.revoke_users([])
    assert world.reads == 1
    with world.engine.connect() as connection:
        rows = connection.execute(select(Revocation.kind, Revocation.value)).all()
    assert sorted(tuple(row) for row in rows) == [("sub", "a"), ("sub", "b")]
