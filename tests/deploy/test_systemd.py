"""deploy/systemd, with systemd's own judgement where there is systemd."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from resource_server.gunicorn_support import CANNOT_START
from tests.deploy.manifests import DEPLOY, ROOT

UNITS = DEPLOY / "systemd"
UNIT = (UNITS / "resource-server.service").read_text(encoding="utf-8")
SYSTEMD = shutil.which("systemd-analyze")

needs_systemd = pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not installed")


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Copy the units, with a program and a folder that exist here."""
    for path in UNITS.iterdir():
        text = path.read_text(encoding="utf-8")
        text = text.replace("/opt/resource-server/.venv/bin/gunicorn", sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    return sorted(str(path) for path in tmp_path.iterdir())


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert SYSTEMD
    return subprocess.run([SYSTEMD, *arguments], capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_takes_the_units(units: list[str]) -> None:
    """No unknown directive, no value that it would ignore with a line in the journal."""
    run = _analyze("verify", "--man=no", *units)
    assert run.returncode == 0, run.stderr
    about_ours = [line for line in run.stderr.splitlines() if "resource-server" in line]
    assert about_ours == []


@needs_systemd
def test_systemd_finds_the_service_well_locked_in(units: list[str]) -> None:
    """An exposure of 2.0 at most, of 10; what is left is the network it serves."""
    [service] = [unit for unit in units if unit.endswith(".service")]
    run = _analyze("security", "--offline=true", "--no-pager", "--threshold=20", service)
    assert run.returncode == 0, run.stdout


def test_it_starts_what_make_install_made_and_reads_its_settings_from_root() -> None:
    """One folder, one file of settings; no setting, so no secret, stands in the unit."""
    folder = re.findall(r"^WorkingDirectory=(.+)$", UNIT, re.MULTILINE)[0]
    [start] = re.findall(r"^ExecStart=(.+)$", UNIT, re.MULTILINE)
    assert start == f"{folder}/.venv/bin/gunicorn wsgi:app"
    assert (ROOT / "wsgi.py").exists()
    named = re.findall(r"^Environment=(\w+)=", UNIT, re.MULTILINE)
    assert named == ["PYTHONDONTWRITEBYTECODE", "MANAGEMENT_PORT"]


def test_gunicorn_takes_the_socket_that_systemd_holds_and_says_when_it_is_ready(
    tmp_path: Path,
) -> None:
    """What Type=notify and the socket unit rest on: LISTEN_FDS, NOTIFY_SOCKET, SIGTERM."""
    application = "def app(environ, start):\n    start('204 No Content', [])\n    return []\n"
    (tmp_path / "application.py").write_text(application, encoding="utf-8")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
    ):
        told.bind(str(tmp_path / "notify"))
        told.settimeout(20)
        # As systemd does it: the socket is descriptor 3, and the process is told its own id.
        start = f"LISTEN_PID=$$ LISTEN_FDS=1 exec {sys.executable} -m gunicorn application:app 3<&0"
        with subprocess.Popen(
            ["/bin/sh", "-c", start],
            cwd=tmp_path,
            stdin=listener.fileno(),
            env={
                "PATH": os.environ["PATH"],
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "HOME": str(tmp_path),
            },
        ) as process:
            try:
                assert b"READY=1" in told.recv(4096)
                with socket.create_connection(listener.getsockname(), timeout=20) as client:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    assert client.recv(4096).startswith(b"HTTP/1.0 204")
            finally:
                process.terminate()
        assert process.returncode == 0


def test_the_socket_opens_the_management_port_on_loopback() -> None:
    """Gunicorn binds nothing where systemd hands sockets over, so both are in the unit."""
    socket_unit = (UNITS / "resource-server.socket").read_text(encoding="utf-8")
    [port] = re.findall(r"^Environment=MANAGEMENT_PORT=(\d+)$", UNIT, re.MULTILINE)
    streams = re.findall(r"^ListenStream=(.+)$", socket_unit, re.MULTILINE)
    assert streams == ["127.0.0.1:8000", f"127.0.0.1:{port}"]


def test_a_wrong_setting_is_not_tried_again() -> None:
    """Gunicorn's status for an app that it cannot load."""
    assert f"RestartPreventExitStatus={CANNOT_START}" in UNIT
