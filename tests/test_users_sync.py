"""Rows of users follow the directory: on both databases, with connections of their own."""

import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, delete, event, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from resource_server.database import Connections, prepare_sqlite
from resource_server.identity.directory import DirectoryUser
from resource_server.identity.errors import IdentityUnavailable, TooManyRequests
from resource_server.randoms.models import RandomNumber
from resource_server.revocations.models import Revocation
from resource_server.revocations.snapshot import DenyListSnapshot
from resource_server.users import accounts, administration, projection
from resource_server.users.models import User
from resource_server.users.sync import Sync, TooManyGone
from tests.conftest import both_databases
from tests.fake_directory import InMemoryDirectory

pytestmark = both_databases


@dataclass
class World:
    """A database without users, its deny list, and a directory."""

    engine: Engine
    session: Session
    deny_list: DenyListSnapshot
    directory: InMemoryDirectory

    @property
    def connections(self) -> Connections:
        """The database as stores see it."""
        return Connections(self.engine)

    def sync(self, **options: Any) -> Mapping[str, int]:
        """Run a sync; return the counts that are not zero."""
        gone = {name: options.pop(name) for name in ("delete", "many") if name in options}
        run = self.start(**options)
        for _ in run.follow():
            pass
        for _ in run.settle_gone(**gone):
            pass
        return counts(run)

    def start(self, **options: Any) -> Sync:
        """Begin a sync."""
        return Sync(self.session, self.directory, self.deny_list, **options)

    def rows(self) -> dict[str, User]:
        """Read all rows, by `sub`."""
        with Session(self.engine, expire_on_commit=False) as session:
            return {row.sub: row for row in session.scalars(select(User))}

    def denied(self) -> list[str]:
        """Read who is on the deny list."""
        with Session(self.engine) as session:
            return list(session.scalars(select(Revocation.value).order_by(Revocation.id)))


def counts(run: Sync) -> Mapping[str, int]:
    """Return the counts that are not zero."""
    return {name: number for name, number in asdict(run.counts).items() if number}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """An empty world; what is written into it is real, and deleted after the test."""
    engine = create_engine(database_url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", prepare_sqlite)
    with Session(engine) as session:
        yield World(engine, session, DenyListSnapshot(engine.begin), InMemoryDirectory())
        session.rollback()
        for model in (RandomNumber, User, Revocation):
            session.execute(delete(model))
        session.commit()
    engine.dispose()


def person(number: int, **more: Any) -> DirectoryUser:
    """Make somebody up."""
    given = {"email": f"user{number}@example.com", "full_name": f"User {number}"} | more
    return DirectoryUser(f"00000000-0000-4000-8000-{number:012}", f"user{number}", **given)


def fill(world: World, number: int) -> None:
    """Let the directory and the rows have the same users."""
    for each in range(number):
        world.directory.put(person(each))
    world.sync()


# What a run does


def test_rows_are_made_and_the_next_run_finds_nothing_to_do(world: World) -> None:
    """Each row has what the directory says; a run that changes nothing writes nothing."""
    for number in range(130):
        world.directory.put(person(number, enabled=number != 7))
    assert world.sync() == {"listed": 130, "made": 130, "disabled": 1}
    rows = world.rows()
    assert len(rows) == 130
    row = rows[person(5).sub]
    assert (row.username, row.email, row.full_name) == ("user5", "user5@example.com", "User 5")
    assert [sub for sub, row in rows.items() if row.disabled] == [person(7).sub]

    written: list[str] = []
    event.listen(
        world.engine, "before_cursor_execute", lambda *args: written.append(args[2].split()[0])
    )
    assert world.sync() == {"listed": 130, "unchanged": 130}
    assert set(written) == {"SELECT"}


def test_changes_are_followed(world: World) -> None:
    """User name, e-mail and name; an address that is gone there is gone here."""
    fill(world, 3)
    world.directory.put(replace(person(0), username="other", full_name="Other"))
    world.directory.put(replace(person(1), email=None))
    assert world.sync() == {"listed": 3, "changed": 2, "unchanged": 1}
    rows = world.rows()
    assert (rows[person(0).sub].username, rows[person(0).sub].full_name) == ("other", "Other")
    assert rows[person(1).sub].email is None


def test_a_full_name_that_the_directory_lacks_is_kept(world: World) -> None:
    """It may have been given here; it does not count as a difference."""
    fill(world, 1)
    world.directory.put(replace(person(0), full_name=None))
    assert world.sync() == {"listed": 1, "unchanged": 1}
    world.directory.put(replace(person(0), full_name=None, email="new@example.com"))
    assert world.sync() == {"listed": 1, "changed": 1}
    assert world.rows()[person(0).sub].full_name == "User 0"


def test_what_a_column_cannot_hold_is_no_error(world: World) -> None:
    """A name is cut, an address left out, NUL dropped; the next run finds no difference."""
    world.directory.put(person(0, full_name="N" * 2048, email="a" * 400 + "@example.com"))
    world.directory.put(person(1, full_name="A\0B", email="\0a@example.com"))
    assert world.sync() == {"listed": 2, "made": 2}
    rows = world.rows()
    assert (rows[person(0).sub].full_name, rows[person(0).sub].email) == ("N" * 256, None)
    assert rows[person(1).sub].full_name == "AB"
    assert rows[person(1).sub].email == "a@example.com"
    assert world.sync() == {"listed": 2, "unchanged": 2}


def test_a_user_disabled_there_is_disabled_and_denied_here(world: World) -> None:
    """Tokens that are out already are denied, once; enabling again denies nothing."""
    fill(world, 2)
    world.directory.disable("user1")
    assert world.sync() == {"listed": 2, "disabled": 1, "unchanged": 1}
    assert world.rows()[person(1).sub].disabled
    assert world.denied() == [person(1).sub]
    assert world.sync() == {"listed": 2, "unchanged": 2}

    world.directory.enable("user1")
    assert world.sync() == {"listed": 2, "enabled": 1, "unchanged": 1}
    assert not world.rows()[person(1).sub].disabled
    assert world.denied() == [person(1).sub]


def test_a_disabled_user_without_a_row_is_denied_too(world: World) -> None:
    """Whoever signed in and never came here may hold a token as well."""
    world.directory.put(person(0, enabled=False))
    assert world.sync() == {"listed": 1, "made": 1, "disabled": 1}
    assert world.denied() == [person(0).sub]


def test_without_the_deny_list_the_row_stays_and_the_next_run_denies(world: World) -> None:
    """The deny list goes first, so a failure half-way is found again."""
    fill(world, 1)
    world.directory.disable("user0")
    real, world.deny_list = world.deny_list, Away()  # type: ignore[assignment]
    with pytest.raises(OperationalError):
        world.sync()
    assert not world.rows()[person(0).sub].disabled

    world.deny_list = real
    assert world.sync() == {"listed": 1, "disabled": 1}
    assert world.denied() == [person(0).sub]


class Away:
    """A deny list whose database is away."""

    def revoke_users(self, subs: object, **_: object) -> None:  # noqa: ARG002
        """Fail."""
        raise OperationalError("INSERT", {}, Exception("away"))


def test_a_dry_run_tells_the_same_and_does_nothing(world: World) -> None:
    """The counts are those of the run that follows."""
    fill(world, 4)
    world.directory.put(person(9, enabled=False))
    world.directory.put(replace(person(0), email="new@example.com"))
    world.directory.disable("user1")
    del world.directory.users[person(2).sub]
    before = {sub: (row.email, row.disabled) for sub, row in world.rows().items()}

    told = world.sync(dry_run=True, delete=True)
    assert told == {
        "listed": 4, "made": 1, "changed": 1, "disabled": 2, "unchanged": 1,
        "gone": 1, "deleted": 1,
    }  # fmt: skip
    assert {sub: (row.email, row.disabled) for sub, row in world.rows().items()} == before
    assert world.denied() == []
    assert world.sync(delete=True) == told


# Who is gone


def test_a_row_without_a_user_is_disabled_and_denied(world: World) -> None:
    """It is counted by every run, acted on by one; whoever is back is enabled."""
    fill(world, 3)
    kept = world.directory.users.pop(person(1).sub)
    assert world.sync() == {"listed": 2, "unchanged": 2, "gone": 1}
    assert world.rows()[person(1).sub].disabled
    assert world.denied() == [person(1).sub]

    world.directory.calls.clear()
    assert world.sync() == {"listed": 2, "unchanged": 2, "gone": 1}
    assert world.denied() == [person(1).sub]
    assert world.directory.calls == ["page"], "nobody asks for a user who is disabled already"

    world.directory.put(kept)
    assert world.sync() == {"listed": 3, "unchanged": 2, "enabled": 1}


def test_gone_users_can_be_deleted_with_all_they_own(world: World) -> None:
    """Disabled before or not; their tokens are denied, lest one make the row anew."""
    fill(world, 3)
    for number in range(3):
        owner = person(number).sub
        world.session.add(RandomNumber(num=1, min_value=1, max_value=1, owner_sub=owner))
    world.session.commit()
    del world.directory.users[person(0).sub]
    world.sync()
    del world.directory.users[person(1).sub]
    assert world.sync(delete=True) == {"listed": 1, "unchanged": 1, "gone": 2, "deleted": 2}
    assert set(world.rows()) == {person(2).sub}
    assert world.session.scalars(select(RandomNumber.owner_sub)).all() == [person(2).sub]
    assert set(world.denied()) == {person(0).sub, person(1).sub}


def test_the_row_of_an_app_client_is_not_gone(world: World) -> None:
    """A client-credentials token has a row, and no user in the directory."""
    fill(world, 1)
    accounts.add(world.connections, sub="client1", username="client1")
    assert world.sync(not_ours={"client1"}, delete=True) == {"listed": 1, "unchanged": 1}
    assert set(world.rows()) == {person(0).sub, "client1"}


def test_whoever_signs_up_meanwhile_is_not_gone(world: World) -> None:
    """Their row is newer than the run, whether the list still had them or not."""
    fill(world, 90)

    def sign_up(page: int) -> None:
        if page == 1:
            accounts.add(world.connections, sub="late", username="late")

    world.directory.before_page = sign_up
    assert world.sync(delete=True) == {"listed": 90, "unchanged": 90}
    assert "late" in world.rows()


def test_whoever_signs_up_before_their_page_is_made_once(world: World) -> None:
    """A row that appears between looking and writing is no conflict."""
    found = projection.compare(world.session, [person(0)])
    accounts.add(world.connections, sub=person(0).sub, username="typed")
    projection.apply(world.session, [person(0)], found, world.deny_list)
    [row] = world.rows().values()
    assert (row.username, row.email) == ("user0", "user0@example.com")


def test_a_user_whom_the_list_left_out_is_not_gone(world: World) -> None:
    """No list is a snapshot: whoever was not in it is asked for before anything is done."""
    fill(world, 3)
    hidden = world.directory.users.pop(person(1).sub)

    run = world.start()
    assert list(run.follow()) == [2]
    world.directory.put(hidden)
    assert list(run.settle_gone(delete=True)) == [1]
    assert counts(run) == {"listed": 2, "unchanged": 2}
    assert len(world.rows()) == 3


def test_a_list_that_lags_behind_enables_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was disabled a moment ago stays disabled, whatever the list still says."""
    fill(world, 2)
    stale = world.directory.page()
    world.directory.disable("user1")
    projection.set_disabled(world.session, [person(1).sub], disabled=True)
    monkeypatch.setattr(world.directory, "page", lambda _: stale)
    assert world.sync() == {"listed": 2, "unchanged": 2}
    assert world.rows()[person(1).sub].disabled


def test_if_most_are_gone_it_is_rather_the_wrong_pool(world: World) -> None:
    """More than a tenth, and more than ten: nothing is done unless it is meant."""
    fill(world, 25)
    for number in range(11):
        del world.directory.users[person(number).sub]
    with pytest.raises(TooManyGone) as caught:
        world.sync()
    assert (caught.value.gone, caught.value.rows) == (11, 25)
    assert not any(row.disabled for row in world.rows().values())

    assert world.sync(many=True)["gone"] == 11
    assert sum(row.disabled for row in world.rows().values()) == 11
    assert world.sync()["gone"] == 11, "those who are disabled already are no surprise"
    with pytest.raises(TooManyGone):
        world.sync(delete=True)
    assert world.sync(delete=True, many=True)["deleted"] == 11


# What may go wrong


def test_an_interrupted_run_is_finished_by_the_next(world: World) -> None:
    """Each page that was told is committed; nobody is taken for gone."""
    for number in range(200):
        world.directory.put(person(number))

    def interrupt(page: int) -> None:
        if page == 2:
            raise KeyboardInterrupt

    world.directory.before_page = interrupt
    run = world.start()
    with pytest.raises(KeyboardInterrupt):
        list(run.follow())
    assert counts(run) == {"listed": 120, "made": 120}
    assert len(world.rows()) == 120

    world.directory.before_page = lambda _: None
    assert world.sync() == {"listed": 200, "made": 80, "unchanged": 120}


def test_throttling_is_waited_out(world: World) -> None:
    """The same page is asked for again after the time that the directory says."""
    fill(world, 70)
    waits: list[float] = []
    world.directory.faults = [TooManyRequests(5), TooManyRequests(7)]
    assert world.sync(sleep=waits.append) == {"listed": 70, "unchanged": 70}
    assert waits == [5, 7]


def test_endless_throttling_ends(world: World) -> None:
    """After five minutes on one page the run says so."""
    waits: list[float] = []
    world.directory.faults = [TooManyRequests(5) for _ in range(1000)]
    with pytest.raises(TooManyRequests):
        world.sync(sleep=waits.append)
    assert sum(waits) == 300


def test_a_directory_that_goes_away_leaves_whole_pages(world: World) -> None:
    """What was told is done, and nobody is taken for gone."""
    fill(world, 100)
    world.directory.put(replace(person(0), email="new@example.com"))

    def fail(page: int) -> None:
        if page == 1:
            raise IdentityUnavailable

    world.directory.before_page = fail
    run = world.start()
    with pytest.raises(IdentityUnavailable):
        list(run.follow())
    assert counts(run) == {"listed": 60, "changed": 1, "unchanged": 59}
    assert world.rows()[person(0).sub].email == "new@example.com"


def test_two_runs_at_once_end_alike(world: World) -> None:
    """Each makes what the other has not; neither fails, no row is there twice."""
    for number in range(600):
        world.directory.put(person(number, enabled=number % 50 != 0))
    together = threading.Barrier(2, timeout=20)
    world.directory.before_page = lambda page: together.wait() if page < 9 else None

    def run() -> Mapping[str, int]:
        with Session(world.engine) as session:
            return replace(world, session=session).sync()

    with ThreadPoolExecutor(2) as pool:
        done = [future.result() for future in [pool.submit(run), pool.submit(run)]]
    assert [each["listed"] for each in done] == [600, 600]
    rows = world.rows()
    assert len(rows) == 600
    assert {sub for sub, row in rows.items() if row.disabled} == {
        person(number).sub for number in range(0, 600, 50)
    }
    world.directory.before_page = lambda _: None
    assert world.sync() == {"listed": 600, "unchanged": 600}


def test_one_connection_is_enough(database_url: str, world: World) -> None:
    """Session and deny list never hold one each: many threads would wait for each other."""
    engine = create_engine(
        database_url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=1
    )
    world.directory.put(person(0, enabled=False))
    world.directory.put(person(1))
    deny_list = DenyListSnapshot(engine.begin)
    with Session(engine) as session:
        narrow = replace(world, session=session, deny_list=deny_list)
        accounts.add(Connections(engine), sub="gone", username="gone")
        assert narrow.sync() == {"listed": 2, "made": 2, "disabled": 1, "gone": 1}
        projection.page(session, limit=1)  # as a view does, looking for the administrator
        administration.disable(session, world.directory, deny_list, sub=person(1).sub, by="test")
        administration.enable(session, world.directory, deny_list, sub=person(1).sub, by="test")
    engine.dispose()


def test_many_users_take_little_memory(world: World) -> None:
    """Eight bytes a user and a page at a time: 20,000 users stay below three megabytes."""
    number = 20_000
    world.directory = Endless(number)
    assert world.sync() == {"listed": number, "made": number}
    tracemalloc.start()
    try:
        assert world.sync() == {"listed": number, "unchanged": number}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
    assert world.session.scalar(select(func.count(User.id))) == number


class Endless(InMemoryDirectory):
    """A directory that makes its users up as they are asked for, and so takes no memory itself."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def page(self, following: str | None = None) -> Any:
        """See UserDirectory."""
        start = int(following or 0)
        end = min(start + 60, self.number)
        part = InMemoryDirectory([person(each) for each in range(start, end)]).page()
        return replace(part, following=str(end) if end < self.number else None)


# The functions that the rest of the application uses


def test_follow_does_it_for_a_few_users(world: World) -> None:
    """Made, and told what was different."""
    found = projection.follow(world.session, [person(0), person(1)], world.deny_list)
    assert found.made == {person(0).sub, person(1).sub}
    assert set(world.rows()) == found.made
    assert projection.follow(world.session, [], world.deny_list).same == frozenset()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda user: user, False),
        (lambda user: replace(user, enabled=False), True),
        (lambda user: replace(user, email="x@example.com"), True),
        (lambda user: replace(user, full_name=None), False),
    ],
)
def test_differs_tells_what_follow_would_change(
    world: World, change: Callable[[DirectoryUser], DirectoryUser], expected: bool
) -> None:
    """The same rule, for one user."""
    projection.follow(world.session, [person(0)], world.deny_list)
    user = change(person(0))
    row = projection.by_sub(world.session, user.sub)
    assert row is not None
    assert projection.differs(row, user) is expected
    found = projection.compare(world.session, [user])
    assert bool(found.changed | found.disabled | found.enabled) is expected


def test_rows_are_found_by_sub_name_or_address(world: World) -> None:
    """In this order; several rows may have one address."""
    accounts.add(world.connections, sub="a", username="b", email="office@example.com")
    accounts.add(world.connections, sub="b", username="c", email="office@example.com")

    def subs(name: str) -> list[str]:
        return sorted(row.sub for row in projection.named(world.session, name))

    assert subs("a") == ["a"]
    assert subs("b") == ["b"]
    assert subs("c") == ["b"]
    assert subs("office@example.com") == ["a", "b"]
    assert subs("nobody") == []


def test_pages_of_rows_go_on_after_an_id(world: World) -> None:
    """By id, up to the limit."""
    fill(world, 5)
    first = projection.page(world.session, limit=3)
    rest = projection.page(world.session, limit=3, after=first[-1].id)
    assert [row.username for row in (*first, *rest)] == [f"user{number}" for number in range(5)]
