"""`flask cognito plan|apply|doctor`."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.exceptions import JsonRESTError

from resource_server.auth import require_scope
from resource_server.cli.declared import declared_groups, declared_scopes
from resource_server.emulator.server import EmulatorServer
from resource_server.emulator.state import EmulatorState
from tests.cli.conftest import CommandLine
from tests.provisioning.conftest import World


@pytest.fixture
def emulated(
    tmp_path: Path, make_app: Callable[[Mapping[str, str]], APIFlask], sqlite_url: str
) -> Iterator[CommandLine]:
    """The command line of an app on an emulator that is served over HTTP."""
    state = EmulatorState.new()
    state.port = 0
    server = EmulatorServer(state, tmp_path / "emulator.json")
    server.start()
    settings = state.settings | {"COGNITO_EMULATOR": "off"}
    yield CommandLine(make_app({**settings, "DATABASE_URL": sqlite_url}))
    server.stop()


def refuse(monkeypatch: pytest.MonkeyPatch, operation: str, code: str) -> None:
    """Let moto refuse an operation as AWS would."""

    def refused(_: object) -> None:
        raise JsonRESTError(code, "hunter2")

    monkeypatch.setattr(CognitoIdpResponse, operation, refused)


def test_plan_shows_a_table(run: CommandLine, world: World) -> None:
    """One aligned line per difference, status 5, and what is missing for apply."""
    result = run("plan")
    assert result.exit_code == 5
    lines = result.stdout.splitlines()
    assert lines[0] == "+ client flow ALLOW_USER_PASSWORD_AUTH"
    assert "+ scope resource-server/randoms" in lines
    column = {line.index("  ", 2) < line.index("->") for line in lines if "->" in line}
    assert column == {True}
    starts = {line.rindex("named by") for line in lines if "named by" in line} | {
        line.rindex("invoked by") for line in lines if "invoked by" in line
    }
    assert len(starts) == 1
    assert lines[-1].startswith("! The function")
    assert "--role-arn" in lines[-1]
    assert "\x1b" not in result.stdout
    assert "\x1b[32m+" in run("plan", color=True).stdout


def test_plan_in_json(run: CommandLine, world: World) -> None:
    """Programs get the same as objects, and the same exit code."""
    result = run("plan", "--json")
    read = json.loads(result.stdout)
    assert (result.exit_code, read["in_step"]) == (5, False)
    assert {
        "sign": "+",
        "subject": "group admins",
        "now": "",
        "wanted": "named by COGNITO_ADMIN_GROUP",
    } in read["differences"]
    assert len(read["blocked"]) == 1


def test_apply_asks_then_makes_it_so(run: CommandLine, world: World) -> None:
    """No: nothing is changed. Yes: everything is, and the plan is empty."""
    before = world.client()
    refused = run("apply", "--role-arn", world.role_arn, input="n\n")
    assert (refused.exit_code, world.client()) == (1, before)
    done = run("apply", "--role-arn", world.role_arn, input="y\n")
    assert done.exit_code == 0, done.output
    assert "done: + trigger" in done.stdout
    again = run("plan")
    assert (again.exit_code, again.stdout) == (0, "The pool is in step with the code.\n")
    assert run("apply").exit_code == 0


def test_apply_without_asking(run: CommandLine, world: World) -> None:
    """--yes is for CI."""
    assert run("apply", "--yes", "--role-arn", world.role_arn).exit_code == 0
    assert run("plan").exit_code == 0


def test_apply_says_what_must_be_decided_first(run: CommandLine, world: World) -> None:
    """Without a role nothing is changed, --yes or not."""
    before = world.client()
    result = run("apply", "--yes")
    assert (result.exit_code, world.client()) == (1, before)
    assert "Nothing was changed" in result.stderr
    assert "--role-arn" in result.stderr


def test_apply_does_not_write_over_what_others_changed(run: CommandLine, in_step: World) -> None:
    """A pool that changed between the question and the answer is not written back as it was."""
    in_step.change_client(PreventUserExistenceErrors="LEGACY")

    class SlowAnswer(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            in_step.change_client(EnableTokenRevocation=False)
            return super().read1(size)

    result = run("apply", input=SlowAnswer(b"y\n"))
    assert (result.exit_code, "changed meanwhile" in result.stderr) == (1, True)
    assert in_step.client()["PreventUserExistenceErrors"] == "LEGACY"


def test_prune_lists_what_it_removes(run: CommandLine, in_step: World) -> None:
    """Without --prune a strange group is told of; with it, it is listed and removed."""
    in_step.aws.cognito.create_group(UserPoolId=in_step.pool_id, GroupName="testers")
    kept = run("plan")
    assert (kept.exit_code, "group testers is kept" in kept.stdout) == (0, True)
    pruned = run("apply", "--prune", "--yes")
    assert "- group testers" in pruned.stdout
    assert run("plan", "--prune").exit_code == 0


def test_routes_are_the_source(run: CommandLine, in_step: World) -> None:
    """A new route's scopes and groups are wanted of the pool at once."""
    for rule, guard in (
        ("/orders", require_scope("orders", groups="clerks")),
        ("/bills", require_scope(any_of=["bills", "orders"], groups=["clerks", "bosses"])),
        ("/open", lambda view: view),
    ):
        run.app.add_url_rule(rule, rule, guard(lambda: ""))
    assert declared_scopes(run.app) == ("bills", "me", "orders", "randoms")
    assert declared_groups(run.app) == {"clerks": "/orders", "bosses": "/bills"}
    result = run("plan")
    assert result.exit_code == 5
    for line in ("+ group clerks", "+ scope resource-server/orders", "! The trigger gives the"):
        assert line in result.stdout
    grants = ("--grant", "clerks=orders bills", "--grant", "*=me", "--yes")
    assert run("apply", *grants).exit_code == 0
    assert run("plan").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plan", "--nonsense"], "--nonsense"),
        (["apply", "--grant", "admins"], "GROUP=SCOPES"),
        (["plan", "--role-arn"], "requires an argument"),
    ],
)
def test_misuse_is_no_difference(run: CommandLine, arguments: list[str], says: str) -> None:
    """Wrong usage has the status of every command. 5 would say that the pool differs."""
    result = run(*arguments)
    assert (result.exit_code, says in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("AccessDeniedException", "cognito-idp:DescribeUserPool"),
        ("TooManyRequestsException", "throttles"),
        ("ResourceNotFoundException", "AWS_USER_POOL_ID"),
    ],
)
def test_what_aws_refuses_is_one_sentence(
    run: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    """No trace and no text of AWS's: one line on stderr, exit code 1."""
    refuse(monkeypatch, "describe_user_pool", code)
    for command in ("plan", "apply"):
        result = run(command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert says in result.stderr
        assert "hunter2" not in result.stderr
        said = [line for line in result.stderr.splitlines() if not line.startswith("User pool  ")]
        assert len(said) == 1


def test_no_credentials_is_one_sentence(
    run: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without credentials the sentence tells how to give some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    result = run("plan")
    assert (result.exit_code, "AWS_PROFILE" in result.stderr) == (1, True)
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    for command in ("plan", "doctor"):
        result = run(command)
        assert (result.exit_code, "AWS_PROFILE" in result.stderr) == (1, True)


def test_doctor_shows_faults_and_what_mends_them(run: CommandLine, world: World) -> None:
    """Errors first, each with its command, status 5, and no secret anywhere."""
    result = run("doctor")
    assert result.exit_code == 5
    lines = result.stdout.splitlines()
    assert lines[0].startswith("error    trigger-missing  The pool has no")
    assert lines[1].strip() == "-> flask cognito apply --role-arn <role of the function>"
    assert lines[-1] == "2 errors, 3 warnings, 0 hints"
    assert world.client_secret not in result.output
    found = json.loads(run("doctor", "--json").stdout)
    assert [finding["check"] for finding in found] == [
        "trigger-missing",
        "password-flow",
        "device-tracking",
        "user-existence",
        "admin-group",
    ]


def test_doctor_finds_nothing_after_apply(run: CommandLine, world: World) -> None:
    """What apply makes is what doctor wants."""
    assert run("apply", "--yes", "--role-arn", world.role_arn).exit_code == 0
    world.forget_devices()
    result = run("doctor")
    assert (result.exit_code, result.stdout) == (0, "Nothing is wrong.\n")
    assert run("doctor", "--json").stdout == "[]\n"


def test_the_emulator_is_planned_and_examined(emulated: CommandLine) -> None:
    """Over HTTP, without credentials: all but the function, which is told as not checked."""
    result = emulated("plan")
    assert result.exit_code == 5, result.output
    assert "the emulator has no Lambda" in result.stdout
    assert emulated("apply", "--yes").exit_code == 0
    assert emulated("plan").exit_code == 0
    result = emulated("doctor")
    assert (result.exit_code, "not checked" in result.stdout) == (0, True)


@pytest.mark.parametrize("command", ["plan", "apply", "doctor", "token"])
def test_every_command_has_a_help_text(run: CommandLine, command: str) -> None:
    """--help tells what a command does and what each of its options is for."""
    shown = run(command, "--help")
    assert shown.exit_code == 0
    parameters: Any = run.app.cli.commands["cognito"].commands[command].params  # type: ignore[attr-defined]
    assert parameters
    for parameter in parameters:
        assert parameter.help, parameter.name
