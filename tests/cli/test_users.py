"""`flask users`: what operators type, read, and are told when something is missing."""

import io
import json
import os
import pwd
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import responses
from apiflask import APIFlask
from click.testing import Result
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from resource_server.cli.users import _show_progress
from resource_server.database import Connections
from resource_server.identity.directory import DirectoryUser
from resource_server.identity.errors import (
    DirectoryForbidden,
    IdentityError,
    IdentityUnavailable,
    TooManyRequests,
)
from resource_server.testing import CognitoIdp, KitUser, bearer
from resource_server.users import accounts
from resource_server.users.models import User
from tests.conftest import both_databases
from tests.fake_directory import InMemoryDirectory

SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"
OTHER = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f11"
NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"
GRACE = DirectoryUser(SUB, "grace", "grace@example.com", "Grace Hopper")

Run = Callable[..., Result]


@pytest.fixture
def run(app: APIFlask) -> Run:
    """Run `flask users …`."""
    runner = app.test_cli_runner()

    def run(*arguments: str) -> Result:
        result = runner.invoke(args=["users", *arguments])
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def directory(app: APIFlask) -> InMemoryDirectory:
    """Let the app ask a directory in memory."""
    directory = InMemoryDirectory([GRACE])
    mine = app.extensions["resource_server"]
    replace(mine, directory=directory).attach(app.extensions)
    return directory


# sync


@both_databases
def test_sync_brings_rows_up_to_what_cognito_says(
    run: Run, client: FlaskClient, user: KitUser, token: str, mock_cognito_client: CognitoIdp
) -> None:
    """On moto, the whole way: made, then disabled with the token that is out refused at once."""
    first = run("sync", "--json")
    assert first.exit_code == 0
    assert first.stderr.startswith(
        f"User pool  {mock_cognito_client.pool_id} in eu-west-2\nDatabase   "
    )
    expected = dict.fromkeys(
        ("listed", "made", "changed", "disabled", "enabled", "unchanged", "gone", "deleted"), 0
    )
    told = {"dry_run": False, "complete": True} | expected | {"listed": 1, "made": 1}
    assert json.loads(first.stdout) == told

    me = client.get("/users/me", headers=bearer(token))
    assert (me.status_code, me.json["email"]) == (200, user.email)
    mock_cognito_client.client.admin_disable_user(
        UserPoolId=mock_cognito_client.pool_id, Username=user.username
    )
    second = run("sync")
    assert second.exit_code == 0
    assert second.stdout.splitlines()[:4] == [
        "listed            1",
        "made              0",
        "changed           0",
        "disabled          1",
    ]
    assert client.get("/users/me", headers=bearer(token)).status_code == 401


def test_the_log_names_who_runs_a_command_and_on_what(
    run: Run, directory: InMemoryDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    """An audit line for each command that changes something, before it does."""
    caplog.set_level("INFO", "resource_server.cli.target")
    assert run("sync").exit_code == 0
    [line] = [each for each in caplog.messages if each.startswith("audit: ")]
    name = pwd.getpwuid(os.getuid()).pw_name
    assert line.startswith(f"audit: command line ({name}) runs ")
    assert "sync on eu-west-2_" in line
    assert "database" in line or "SQLite" in line


def test_a_dry_run_says_so_and_changes_nothing(
    run: Run, directory: InMemoryDirectory, session: Session
) -> None:
    """In words and in JSON."""
    assert "A dry run: nothing was changed." in run("sync", "--dry-run").stdout
    told = json.loads(run("sync", "--dry-run", "--json").stdout)
    assert (told["dry_run"], told["made"]) == (True, 1)
    assert session.scalars(select(User)).all() == []


def test_gone_rows_are_disabled_or_deleted(
    run: Run, directory: InMemoryDirectory, session: Session, connections: Connections
) -> None:
    """Deleting must be asked for."""
    accounts.add(connections, sub=OTHER, username="gone")
    assert json.loads(run("sync", "--json").stdout)["gone"] == 1
    assert session.scalars(select(User.disabled).where(User.sub == OTHER)).all() == [True]
    told = json.loads(run("sync", "--json", "--delete-gone").stdout)
    assert (told["gone"], told["deleted"]) == (1, 1)
    assert session.scalars(select(User.sub)).all() == [SUB]


def test_too_many_gone_stop_the_run(
    run: Run, directory: InMemoryDirectory, session: Session, connections: Connections
) -> None:
    """It says what to look at, and which option goes on."""
    for number in range(12):
        accounts.add(connections, sub=f"sub{number}", username=f"user{number}")
    stopped = run("sync", "--json")
    assert stopped.exit_code == 1
    assert "12 of 12 rows" in stopped.stderr
    assert "--many-gone" in stopped.stderr
    assert json.loads(stopped.stdout)["complete"] is False
    assert run("sync", "--many-gone").exit_code == 0
    assert session.scalars(select(User.username).where(~User.disabled)).all() == ["grace"]


def test_the_app_clients_row_is_left_alone(
    run: Run,
    directory: InMemoryDirectory,
    mock_cognito_client: CognitoIdp,
    session: Session,
    connections: Connections,
) -> None:
    """A client-credentials token made it; no user of the pool has its `sub`."""
    client_id = mock_cognito_client.client_id
    accounts.add(connections, sub=client_id, username=client_id)
    assert json.loads(run("sync", "--json", "--delete-gone").stdout)["gone"] == 0


def test_with_further_pools_nobody_is_gone(
    app: APIFlask,
    run: Run,
    directory: InMemoryDirectory,
    session: Session,
    connections: Connections,
) -> None:
    """A row of another pool's user cannot be told from one whose user is gone, and is kept."""
    mine = app.extensions["resource_server"]
    pools = (("eu-west-1_Foreign12", frozenset({"c"})),)
    settings = mine.settings.model_copy(update={"cognito_trusted_pools": pools})
    replace(mine, settings=settings).attach(app.extensions)
    accounts.add(connections, sub=OTHER, username="elsewhere")

    done = run("sync", "--json")
    assert (done.exit_code, json.loads(done.stdout)["gone"]) == (0, 0)
    assert "there are further pools" in done.stderr
    refused = run("sync", "--delete-gone")
    assert refused.exit_code == 2
    assert "COGNITO_TRUSTED_POOLS" in refused.stderr


def test_an_interrupted_sync_tells_what_was_done(
    run: Run, directory: InMemoryDirectory, session: Session
) -> None:
    """Ctrl-C ends it with 130, as shells expect; the pages before are kept."""
    for number in range(100):
        directory.put(DirectoryUser(f"sub{number}", f"user{number}"))

    def interrupt(page: int) -> None:
        if page == 1:
            raise KeyboardInterrupt

    directory.before_page = interrupt
    stopped = run("sync", "--json")
    assert stopped.exit_code == 130
    assert "Interrupted" in stopped.stderr
    told = json.loads(stopped.stdout)
    assert (told["complete"], told["made"]) == (False, 60)
    assert len(session.scalars(select(User.id)).all()) == 60


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (DirectoryForbidden("cognito-idp:ListUsers"), "allow cognito-idp:ListUsers on the pool"),
        (IdentityUnavailable("Ours to say"), "Error: Ours to say"),
        (IdentityUnavailable(), "Cognito cannot be reached or fails"),
    ],
)
@pytest.mark.parametrize(
    "command", [("sync",), ("show", "grace"), ("disable", "grace"), ("enable", "grace")], ids=str
)
def test_what_is_wrong_with_cognito_is_one_sentence(
    run: Run,
    directory: InMemoryDirectory,
    fault: IdentityError,
    says: str,
    command: tuple[str, ...],
) -> None:
    """It says what to do; the exit code tells scripts."""
    directory.faults = [fault]
    failed = run(*command)
    assert failed.exit_code == 1
    assert says in failed.stderr


def test_throttling_says_when_to_try_again(run: Run, directory: InMemoryDirectory) -> None:
    """Where a command does not wait itself."""
    directory.faults = [TooManyRequests(5)]
    assert "try again in 5 seconds" in run("disable", "grace").stderr


def test_without_a_database_it_says_what_to_see_to(
    mock_cognito_client: CognitoIdp,
    user: KitUser,
    make_app: Callable[[Mapping[str, str]], APIFlask],
) -> None:
    """The address is not repeated: it may hold a password."""
    app = make_app({**mock_cognito_client.settings, "DATABASE_URL": NOWHERE})
    for command in (["sync"], ["show", user.username], ["enable", user.username]):
        failed = app.test_cli_runner().invoke(args=["users", *command])
        assert failed.exit_code == 1
        assert "The database is unavailable (OperationalError)" in failed.stderr
        assert "Check the server and the network" in failed.stderr
        assert "nothing" not in failed.stderr


def test_disabling_without_a_database_closes_sign_in(
    mock_cognito_client: CognitoIdp,
    user: KitUser,
    jwks: responses.RequestsMock,
    make_app: Callable[[Mapping[str, str]], APIFlask],
) -> None:
    """Cognito's half is done, and the message says so."""
    app = make_app({**mock_cognito_client.settings, "DATABASE_URL": NOWHERE})
    failed = app.test_cli_runner().invoke(args=["users", "disable", user.username])
    assert failed.exit_code == 1
    assert "Disabled in Cognito, but not here: run it again." in failed.stderr
    found = mock_cognito_client.client.admin_get_user(
        UserPoolId=mock_cognito_client.pool_id, Username=user.username
    )
    assert found["Enabled"] is False


# disable, enable, show


@pytest.mark.parametrize("name", [SUB, "grace", "grace@example.com"])
def test_a_user_is_disabled_and_enabled_by_any_name(
    run: Run, directory: InMemoryDirectory, session: Session, name: str
) -> None:
    """There and here; twice is like once."""
    for command, disabled in (("disable", True), ("disable", True), ("enable", False)):
        done = run(command, name)
        assert (done.exit_code, done.stdout) == (0, f"{command.capitalize()}d grace ({SUB}).\n")
        assert directory.users[SUB].enabled is not disabled
        session.commit()
        assert session.scalars(select(User.disabled)).all() == [disabled]


def test_a_disabled_user_is_out_at_once(
    run: Run, client: FlaskClient, user: KitUser, token: str
) -> None:
    """On moto: the token is refused."""
    assert client.get("/users/me", headers=bearer(token)).status_code == 200
    assert run("disable", user.email).exit_code == 0
    assert client.get("/users/me", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("command", ["disable", "enable", "show"])
def test_an_unknown_user_is_an_error(run: Run, directory: InMemoryDirectory, command: str) -> None:
    """Neither Cognito nor the database has them."""
    failed = run(command, "nobody")
    assert failed.exit_code == 1
    assert failed.stderr.endswith("Error: There is no such user, in Cognito or here.\n")


@pytest.mark.parametrize("command", ["disable", "enable", "show"])
def test_an_address_of_several_users_is_an_error(
    run: Run, directory: InMemoryDirectory, command: str
) -> None:
    """They are listed, and nothing is done."""
    directory.put(DirectoryUser(OTHER, "ada", GRACE.email))
    failed = run(command, "grace@example.com")
    assert failed.exit_code == 1
    assert f"{SUB}  grace" in failed.stderr
    assert f"{OTHER}  ada" in failed.stderr
    assert all(user.enabled for user in directory.users.values())


def test_with_cognito_away_a_known_user_is_disabled_here(
    run: Run, directory: InMemoryDirectory, session: Session, connections: Connections
) -> None:
    """It is an error that says which half is done; doing it again does the other."""
    accounts.add(connections, sub=SUB, username="grace")
    directory.faults = [IdentityUnavailable(), IdentityUnavailable()]
    failed = run("disable", "grace")
    assert failed.exit_code == 1
    assert "Disabled here, but not in Cognito: run it again." in failed.stderr
    session.commit()
    assert session.scalars(select(User.disabled)).all() == [True]
    assert directory.users[SUB].enabled
    assert run("disable", "grace").exit_code == 0
    assert not directory.users[SUB].enabled


def test_show_puts_both_side_by_side(
    run: Run, directory: InMemoryDirectory, session: Session, connections: Connections
) -> None:
    """And says whether they differ."""
    accounts.add(connections, sub=SUB, username="grace", email="old@example.com")
    shown = run("show", "grace")
    assert shown.exit_code == 0
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["Cognito", "here"],
        ["sub", SUB, SUB],
        ["username", "grace", "grace"],
        ["email", "grace@example.com", "old@example.com"],
        ["full_name", "Grace", "Hopper"],
        ["enabled", "yes", "yes"],
        ["status", "CONFIRMED"],
        ["They", "differ:", "`flask", "users", "sync`", "makes", "them", "alike."],
    ]
    run("sync")
    told = json.loads(run("show", SUB, "--json").stdout)
    assert told["differs"] is False
    assert told["cognito"] == {
        "sub": SUB,
        "username": "grace",
        "email": "grace@example.com",
        "full_name": "Grace Hopper",
        "enabled": True,
        "status": "CONFIRMED",
    }
    row_id = told["here"].pop("id")
    assert isinstance(row_id, int)
    assert told["here"] == {k: v for k, v in told["cognito"].items() if k != "status"}


def test_show_tells_who_is_missing_where(
    run: Run, directory: InMemoryDirectory, session: Session, connections: Connections
) -> None:
    """A user without a row, and a row without a user."""
    assert "There is no row yet" in run("show", "grace").stdout
    assert json.loads(run("show", "grace", "--json").stdout)["here"] is None
    accounts.add(connections, sub=OTHER, username="gone")
    assert "Cognito does not have this user" in run("show", "gone").stdout
    told = json.loads(run("show", "gone", "--json").stdout)
    assert (told["cognito"], told["differs"]) == (None, True)


@pytest.mark.parametrize("command", ["sync", "disable", "enable", "show"])
def test_each_command_has_help(run: Run, command: str) -> None:
    """With a sentence on what it does."""
    helped = run(command, "--help")
    assert helped.exit_code == 0
    assert f"users {command}" in helped.stdout
    assert command in run("--help").stdout


# The progress bar


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(("total", "shown"), [(120, "120/120"), (None, ""), (0, "")])
def test_a_terminal_gets_a_bar_if_the_total_is_known(
    monkeypatch: pytest.MonkeyPatch, total: int | None, shown: str
) -> None:
    """Every page is walked, with the bar or without."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    pages = iter([60, 60])
    _show_progress(pages, lambda: total)
    assert next(pages, None) is None
    assert shown in terminal.getvalue()
    assert bool(terminal.getvalue()) is bool(shown)


def test_a_pipe_gets_no_bar_and_costs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool is not asked for its size."""
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    asked: list[int] = []
    _show_progress(iter([60]), lambda: asked.append(1))
    assert (asked, pipe.getvalue()) == ([], "")
