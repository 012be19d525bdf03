"""docs/cognito.md: its commands, settings, parameters and outputs are real ones."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from resource_server.emulator import state
from resource_server.settings import Settings

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "cognito.md").read_text(encoding="utf-8")
TEMPLATE = (ROOT / "deploy" / "cloudformation.yaml").read_text(encoding="utf-8")

# Part of the AWS CLI and of no API.
CLI_ALONE = {"package", "deploy", "mb"}
CLI_OPTIONS = {"query", "output", "region", "endpoint-url"}


def _section(name: str) -> set[str]:
    """Return the keys of one section of the template."""
    text = re.split(rf"^{name}:\n", TEMPLATE, flags=re.MULTILINE)[1]
    text = re.split(r"^\w", text, maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"^  (\w+):$", text, flags=re.MULTILINE))


BLOCKS = "\n".join(re.findall(r"```console\n(.*?)```", GUIDE, flags=re.DOTALL))


def _commands() -> Iterator[list[str]]:
    """Yield every `aws` command of the guide, as words."""
    for found in re.finditer(r"\baws ([a-z].*)", BLOCKS.replace("\\\n", " ")):
        words = shlex.shlex(found[1], posix=True, punctuation_chars=True)
        words.whitespace_split = True
        yield list(itertools.takewhile(lambda word: word not in {")", ";"}, words))


COMMANDS = list(_commands())


def test_settings_are_settings() -> None:
    """Every name that looks like one is read by the service, or by the trigger."""
    names = set(re.findall(r"\b(?:AWS|COGNITO|DATABASE|RDS|JWKS|SCOPES)_[A-Z_]+\b", GUIDE))
    known = {name.upper() for name in Settings.model_fields} | {
        "SCOPES_BY_GROUP",
        "SCOPES_BY_CLIENT",
    }
    assert {"AWS_USER_POOL_ID", "DATABASE_URL"} <= names
    assert names <= known


def test_parameters_are_the_templates() -> None:
    """The table names each one, with its default, and no other one."""
    table = GUIDE.partition("| parameter |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]+?)`? \|", table, flags=re.MULTILINE))
    assert set(rows) == _section("Parameters")
    for name, default in rows.items():
        [found] = re.findall(
            rf'^  {name}:\n    Type: \w+\n    Default: "?([^"\n]*)', TEMPLATE, re.MULTILINE
        )
        assert default == (found or "none"), name
    for command in COMMANDS:
        if "--parameter-overrides" in command:
            override = command[command.index("--parameter-overrides") + 1]
            assert override.partition("=")[0] in rows


def test_outputs_are_the_templates() -> None:
    """What the guide asks of the stack, the stack tells."""
    asked = set(re.findall(r"\$\(output (\w+)\)", GUIDE))
    assert asked
    assert asked <= _section("Outputs")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_aws_commands_are_commands(command: list[str]) -> None:
    """Service, operation and options are those of the API, which the CLI's names are made of."""
    service, name, *arguments = command
    if name in CLI_ALONE:
        return
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(known, "-"): known for known in model.operation_names}
    operation = model.operation_model(operations[name])
    assert operation.input_shape is not None
    members = {xform_name(known, "-") for known in operation.input_shape.members}
    options = {word.removeprefix("--") for word in arguments if word.startswith("--")}
    assert options - CLI_OPTIONS <= members
    required = {xform_name(known, "-") for known in operation.input_shape.required_members}
    assert required <= options


def test_all_commands_are_looked_at() -> None:
    """Nothing in a block begins with `aws` and is not checked."""
    names = {command[1] for command in COMMANDS}
    assert {"package", "deploy", "describe-stacks", "admin-create-user"} <= names
    assert len(COMMANDS) == len(re.findall(r"\baws [a-z]", BLOCKS))


def test_the_demo_user_is_the_emulators() -> None:
    """Whoever copies the sign-in gets a token."""
    credentials = f"-d username={state.DEMO_USERNAME} -d 'password={state.DEMO_PASSWORD}'"
    assert credentials in GUIDE
