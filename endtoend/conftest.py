"""A service as `make run` starts it, and a browser that forgives nothing."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, FloatRect, Page, Request, ViewportSize

HERE = Path(__file__).parent
ROOT = HERE.parent
SCREENSHOTS = HERE / "screenshots"
STARTS_WITHIN_SECONDS = 60
WITHIN_MS = 10_000
HOSTS = ("127.0.0.1", "localhost")
DESKTOP: "ViewportSize" = {"width": 1280, "height": 900}
PHONE: "ViewportSize" = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `flask run` with the emulator; it keeps its state in a folder of its own."""
    home = tmp_path_factory.mktemp("service")
    shutil.copytree(
        ROOT / "resource_server",
        home / "resource_server",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(home),
        "FLASK_APP": "resource_server",
        "FLASK_SKIP_DOTENV": "1",
        "COGNITO_EMULATOR": "embedded",
        "LOG_FORMAT": "text",
    }
    command = [sys.executable, "-m", "flask", "run", "--host", "127.0.0.1", "--port", str(port)]
    log = home / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_ready(address, process, log)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for /readyz, which makes the service fetch its keys."""
    until = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(URLError), urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310
            if answer.status == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"the service does not get ready:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Headless Chromium, of CHROMIUM or the system's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium: install it, or name one in CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="run it by `make browser`")
    # Chromium's sandbox does not work for root, who in a container is all there is.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=program, args=options)
        yield launched
        launched.close()


@dataclass
class Watched:
    """What went wrong on a page, by the browser's own account."""

    expected: list[str] = field(default_factory=list)
    """What a test provokes: refusals, which the browser writes to its console."""
    faults: list[str] = field(default_factory=list)
    requests: list["Request"] = field(default_factory=list)

    def console(self, message: "ConsoleMessage") -> None:
        """Take errors and warnings; a broken Content-Security-Policy is an error there."""
        if message.type in {"error", "warning"} and not any(
            text in message.text for text in self.expected
        ):
            self.faults.append(f"{message.type}: {message.text}")

    def request(self, request: "Request") -> None:
        """Take note of each request, of which none leaves this machine."""
        self.requests.append(request)
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and address.hostname not in HOSTS:
            self.faults.append(f"asked {request.url}")


@pytest.fixture
def watched() -> Iterator[Watched]:
    """What the browser complains of; a test with complaints fails."""
    found = Watched()
    yield found
    assert found.faults == []


Open = Callable[..., "Page"]


@pytest.fixture
def open_page(service: str, browser: "Browser", watched: Watched) -> Iterator[Open]:
    """Open a path of the service; `before` sets a page up before it loads."""
    contexts = []

    def open_page(
        path: str,
        *,
        host: str = HOSTS[0],
        phone: bool = False,
        scheme: Literal["light", "dark"] = "light",
        scripts: bool = True,
        before: Callable[["Page"], object] = lambda _page: None,
    ) -> "Page":
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            device_scale_factor=2 if phone else 1,
            is_mobile=phone,
            has_touch=phone,
            color_scheme=scheme,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        context.on("console", watched.console)
        context.on("request", watched.request)
        context.on("weberror", lambda error: watched.faults.append(str(error.error)))
        context.set_default_timeout(WITHIN_MS)
        page = context.new_page()
        before(page)
        page.goto(f"{service.replace(HOSTS[0], host)}{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()


def screenshot(
    page: "Page", name: str, *, full_page: bool = False, clip: "FloatRect | None" = None
) -> None:
    """Keep a picture for people to look at: of the screen, the whole page, or a part of that."""
    SCREENSHOTS.mkdir(exist_ok=True)
    full_page = full_page or clip is not None
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page, clip=clip)


def is_as_wide_as_its_screen(page: "Page") -> bool:
    """Tell whether nothing has to be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
