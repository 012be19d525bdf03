"""Two worker processes under gunicorn, as in production, with Cognito emulated beside them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, text

from resource_server.emulator.state import DEMO_PASSWORD, DEMO_USERNAME, EmulatorState
from resource_server.gunicorn_support import every_address
from resource_server.settings import ServerSettings, cores
from resource_server.testing import bearer
from soak.daemons import free_port
from tests.conftest import both_databases

ROOT = Path(__file__).parent.parent
POLL_SECONDS = 1.0
# Tells which worker answered.
WSGI = """
import os
from wsgi import app

@app.after_request
def name_worker(response):
    response.headers["X-Worker"] = str(os.getpid())
    return response
"""


@pytest.fixture
def environment(emulator: EmulatorState, database_url: str) -> Iterator[dict[str, str]]:
    """What the service is told; rows are deleted afterwards."""
    settings = {k: v for k, v in emulator.settings.items() if k != "COGNITO_EMULATOR"}
    yield {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "REVOCATION_POLL_SECONDS": str(POLL_SECONDS),
        **settings,
    }
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for table in ("revocations", "users"):
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - the names above
    engine.dispose()


@contextmanager
def _gunicorn(
    directory: Path, environment: dict[str, str], *options: str
) -> Iterator[Callable[..., requests.Response]]:
    """Serve with two workers; yields a function that asks one of them."""
    (directory / "named.py").write_text(WSGI, encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "named:app", "--workers", "2"]
    command += ["--bind", f"127.0.0.1:{port}", "--no-control-socket", *options]
    log = (directory / "gunicorn.log").open("ab")
    paths = f"{ROOT}{os.pathsep}{directory}"
    process = subprocess.Popen(
        command, env={**environment, "PYTHONPATH": paths}, cwd=directory, stdout=log, stderr=log
    )

    def ask(method: str, path: str, **options: object) -> requests.Response:
        # One connection a request: either worker may take it.
        return requests.request(
            method,
            f"http://127.0.0.1:{port}{path}",
            timeout=10,
            **options,  # type: ignore[arg-type]
        )

    try:
        _until(lambda: ask("GET", "/readyz").ok, directory / "gunicorn.log")
        yield ask
    finally:
        process.terminate()
        with log:
            process.wait(timeout=40)  # gunicorn lets requests end for thirty seconds


def _until(condition: Callable[[], bool], log: Path, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.05)
    pytest.fail(f"it did not happen:\n{log.read_text(encoding='utf-8')[-3000:]}")


@both_databases
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_sign_out_in_one_worker_is_refused_by_the_other(
    tmp_path: Path, environment: dict[str, str], options: tuple[str, ...]
) -> None:
    """At once by the worker that was told, within the poll interval by the other, and for good."""
    with _gunicorn(tmp_path, environment, *options) as ask:
        form = {"username": DEMO_USERNAME, "password": DEMO_PASSWORD}
        token = ask("POST", "/users/login", data=form).json()["access_token"]
        headers = bearer(token)

        def statuses() -> dict[str, int]:
            """Ask until both workers answered; the last answer of each."""
            found: dict[str, int] = {}
            for _ in range(200):
                answer = ask("GET", "/randoms", headers=headers)
                found[answer.headers["X-Worker"]] = answer.status_code
                if len(found) == 2:
                    break
            return found

        assert set(statuses().values()) == {200}
        told = ask("POST", "/users/logout", headers=headers)
        signed_out_at = time.monotonic()
        assert told.status_code == 200

        assert statuses()[told.headers["X-Worker"]] == 401
        time.sleep(max(0.0, POLL_SECONDS - (time.monotonic() - signed_out_at)))
        for _ in range(3):
            assert list(statuses().values()) == [401, 401]

    with _gunicorn(tmp_path, environment, *options) as ask:
        refused = ask("GET", "/randoms", headers=headers)
        assert refused.json() == {"detail": "The access token was revoked"}


def test_a_long_token_reaches_the_verifier(tmp_path: Path, environment: dict[str, str]) -> None:
    """gunicorn.conf.py lets pass what the verifier reads: the answer is ours, and JSON."""
    configuration = ("--config", str(ROOT / "gunicorn.conf.py"))
    with _gunicorn(tmp_path, environment, *configuration) as ask:
        for length in (24_000, 32_900):
            refused = ask("GET", "/randoms", headers=bearer("a" * length))
            assert refused.status_code == 401
            assert refused.json()["detail"].startswith("The access token is")


def _lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_one_word_starts_the_service(tmp_path: Path, environment: dict[str, str]) -> None:
    """`gunicorn` alone: workers as told, keys at hand, every line JSON, nothing left behind."""
    port = free_port()
    log = tmp_path / "log"
    told = {"PORT": str(port), "WEB_CONCURRENCY": "2", "GUNICORN_THREADS": "3"}
    told |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"],
            env={**environment, **told},
            cwd=ROOT,
            stdout=file,
            stderr=file,
        )
        try:
            ready = f"http://127.0.0.1:{port}/readyz"
            _until(lambda: requests.get(ready, timeout=10).ok, log)
            assert len(list(tmp_path.glob("resource-server-metrics-*"))) == 1
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0
    messages = [str(line["message"]) for line in _lines(log)]
    assert sum(message.startswith("Booting worker") for message in messages) == 2
    assert "Using worker: resource_server.worker.Worker" in messages
    address = every_address(port)[-1]
    assert f"http://{address}" in "".join(messages)
    assert {file.name for file in tmp_path.iterdir()} == {"log", "emulator.json"}


def test_workers_follow_the_cores(tmp_path: Path) -> None:
    """A container's share counts, not the machine's cores; part of a core is one, and two work."""
    quota = tmp_path / "cpu.max"
    every = len(os.sched_getaffinity(0))
    for share, expected in (
        ("max 100000", every),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("6400000 100000", every),
        ("nonsense", every),
    ):
        quota.write_text(f"{share}\n", encoding="ascii")
        assert cores(quota) == expected, share
    assert cores(tmp_path / "none") == every
    assert ServerSettings().workers == max(2, cores())


def _sum(text: str, name: str, **labels: str) -> float:
    """Add up the samples of a name that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"resource_server_{name}" and labels.items() <= sample.labels.items()
    )


def test_any_worker_tells_the_metrics_of_all(tmp_path: Path, environment: dict[str, str]) -> None:
    """Counters add up over workers and outlive one that is killed, gauges tell of the living."""
    configuration = ("--config", str(ROOT / "gunicorn.conf.py"))
    port = free_port()
    environment |= {"TMPDIR": str(tmp_path), "MANAGEMENT_PORT": str(port)}

    def scrape() -> str:
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text

    with _gunicorn(tmp_path, environment, *configuration) as ask:
        form = {"username": DEMO_USERNAME, "password": DEMO_PASSWORD}
        headers = bearer(ask("POST", "/users/login", data=form).json()["access_token"])
        workers: set[str] = set()
        asked = 0

        def ask_both() -> bool:
            nonlocal asked
            answer = ask("GET", "/randoms", headers=headers)
            asked += answer.status_code == 200
            workers.add(answer.headers["X-Worker"])
            return len(workers) >= 2

        _until(ask_both, tmp_path / "gunicorn.log")
        count = {"method": "GET", "route": "/randoms", "status": "200"}

        def counted() -> bool:
            """Whoever answers, all is told; what the token core counts, a second later."""
            text = scrape()
            assert _sum(text, "requests_total", **count) == asked
            assert _sum(text, "cognito_call_duration_seconds_count", error="none") == 1
            ask("GET", "/healthz")
            return _sum(text, "token_verifications_total") == asked

        _until(counted, tmp_path / "gunicorn.log")
        text = scrape()
        assert _sum(text, "token_verifications_total", result="verified") == 2
        assert _sum(text, "key_downloads_total", outcome="succeeded") == 2
        assert 0 <= _sum(text, "key_age_seconds") < 60
        assert _sum(text, "database_connections_in_use") == 0

        files = {file.name for file in _metrics_files(tmp_path)}
        os.kill(int(workers.pop()), signal.SIGKILL)
        survivor = next(iter(workers))
        _until(
            lambda: ask("GET", "/healthz").headers["X-Worker"] != survivor,
            tmp_path / "gunicorn.log",
        )
        assert _sum(scrape(), "requests_total", **count) == asked
        assert {file.name for file in _metrics_files(tmp_path)} == files
    assert not _metrics_files(tmp_path)


def _metrics_files(directory: Path) -> list[Path]:
    return list(directory.glob("resource-server-metrics-*/*.db"))


def test_gunicorn_never_starts_the_emulator(tmp_path: Path) -> None:
    """Without its pool settings it refuses to start, naming each, whatever the environment says."""
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", "127.0.0.1:0"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COGNITO_EMULATOR": "embedded"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    for name in ("AWS_USER_POOL_ID", "AWS_COGNITO_APP_CLIENT_ID"):
        assert f"{name} is not set" in done.stderr
    assert not (tmp_path / "instance").exists()
