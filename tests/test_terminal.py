"""No line for a terminal has a control character in it, whatever the user's name is."""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from apiflask import APIFlask

from resource_server import logs
from resource_server.cli import cognito as commands
from resource_server.emulator import welcome
from resource_server.emulator.gaps.outboxes import SentCode
from resource_server.identity.directory import DirectoryUser
from resource_server.provisioning.doctor import Finding
from resource_server.terminal import printable, printable_lines
from tests.fake_directory import InMemoryDirectory

SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"
CONTROLS = [
    "\x1b[2J",  # ESC: clears the screen
    "\x1b]0;title\x07",
    "\r\nCode for root: 000000",
    "\x08\x08\x08",
    "\x7f",
    "\x9b31m",  # CSI as a C1 control
    "\x85",
    "\u2028",
    "\u2029",
    "\u202e",  # right-to-left override
    "\u2066",
    "\u200b",
    "\ufeff",
    "\x00",
]


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_printable_escapes_what_a_terminal_obeys(control: str) -> None:
    """One line of printable characters. Letters of any script stay as they are."""
    told = printable(f"Ada {control} Ådå 愛達")
    assert told.isprintable()
    assert told.startswith("Ada \\")
    assert told.endswith(" Ådå 愛達")
    assert printable_lines(f"a{control.replace(chr(10), '')}\nb").count("\n") == 1


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_codes_and_banner_of_the_emulator(control: str) -> None:
    """The name at sign-up, an address, the name of an app client."""
    sent = SentCode("pool", f"ada{control}", f"a{control}***@e***", f"1{control}")
    assert sent.sentence.isprintable()
    client = {"id": f"id{control}", "name": f"web{control}", "secret": None}
    pool = {"id": "p", "region": "r", "issuer": "i", "jwks_uri": "j", "discovery": "d"}
    shown = {"url": "u", "codes": "c", "pools": [pool | {"clients": [client]}]}
    text = welcome.text(shown, Path(f"state{control}"))
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_logs_as_text(control: str) -> None:
    """Message, fields and traceback. A traceback keeps its lines."""
    try:
        int(f"1 {control}2")
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("n", logging.ERROR, "f", 1, f"for {control}", None, error)
    record.fields = {"name": f"ada{control}"}
    text = logs.TextFormatter("%(message)s").format(record)
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.partition("\n")[0].startswith("for \\")


@pytest.mark.parametrize("control", [*CONTROLS, "\ud800"], ids=ascii)
def test_logs_as_json(control: str) -> None:
    """A line is printable ASCII, and says the same when it is read."""
    record = logging.LogRecord("n", logging.ERROR, "f", 1, f"for {control}", None, None)
    line = logs.JSONFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == f"for {control}"


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize("command", ["show", "disable", "enable"])
def test_flask_users(app: APIFlask, command: str, control: str) -> None:
    """A name that somebody chose does not reach the operator's terminal as it is."""
    name = f"ada{control}"
    directory = InMemoryDirectory([DirectoryUser(SUB, name, f"{name}@example.com", name)])
    replace(app.extensions["resource_server"], directory=directory).attach(app.extensions)
    result = app.test_cli_runner().invoke(args=["users", command, SUB])
    assert result.exit_code == 0, result.output
    assert all(line.isprintable() for line in result.output.split("\n"))


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_findings_of_the_doctor(capsys: pytest.CaptureFixture[str], control: str) -> None:
    """Names of attributes and groups are text of the pool's."""
    commands._show_findings(
        [Finding("hint", "check", f"The pool requires {control}.", f"mend {control}")]
    )
    lines = capsys.readouterr().out.split("\n")
    assert all(line.isprintable() for line in lines)
