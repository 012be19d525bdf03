"""A TypeScript client, generated from /openapi.json, compiled strictly, calling the service."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import HERE

SOURCES = HERE / "typescript"
MODULES = SOURCES / "node_modules"
USERNAME, PASSWORD = "demo", "Demo-Passw0rd!"


def _run(folder: Path, *command: str) -> str:
    """Run a program of a client's folder; what it complains of is the test's message."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def client(service: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with types generated from what the service tells, and our calls, compiled."""
    if shutil.which("node") is None or not MODULES.exists():
        pytest.skip("no Node.js, or not its packages: install node and npm, run `make clients`")
    folder = tmp_path_factory.mktemp("client")
    for file in ("package.json", "tsconfig.json", "call.ts", "misuse.ts"):
        shutil.copy(SOURCES / file, folder)
    (folder / "node_modules").symlink_to(MODULES)
    _run(
        folder, "node_modules/.bin/openapi-typescript", f"{service}/openapi.json", "-o", "schema.ts"
    )
    _run(folder, "node_modules/.bin/tsc", "--project", ".")
    return folder


def test_it_signs_in_draws_and_lists(service: str, client: Path) -> None:
    """Tokens, numbers and refusals arrive with the types that the description promises."""
    told = json.loads(_run(client, "node", "call.js", service, USERNAME, PASSWORD))
    assert told["refused"] == {"status": 401, "detail": "Incorrect username or password"}
    assert told["made"]["status"] == 201
    assert 1 <= told["made"]["num"] <= 6
    assert told["listed"]["status"] == 200
    assert told["made"]["id"] in told["listed"]["ids"]
    assert told["wrong"]["status"] == 422
    [fault] = told["wrong"]["faults"]
    assert "min_value" in fault
