"""What the test kit costs a run of pytest: the plugin's import, and each fixture a test.

A project of tests that do nothing is run with each fixture and without; the table tells the first
test, which imports what it needs and makes keys, and the median of the others.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FIXTURES = ("cognito_pool", "cognito_idp", "fake_identity")
CONFTEST = """
import json, pytest
spent = {}

def pytest_runtest_logreport(report):
    spent[report.nodeid] = spent.get(report.nodeid, 0) + report.duration

def pytest_unconfigure(config):
    open("spent.json", "w").write(json.dumps(list(spent.values())))
"""
IMPORTING = """
import pytest, time
began = time.perf_counter()
import resource_server.testing.plugin
print((time.perf_counter() - began) * 1e3)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=int, default=100, help="tests a fixture (100)")
    parser.add_argument("--runs", type=int, default=5, help="imports of the plugin (5)")
    options = parser.parse_args()
    imports = [_import() for _ in range(options.runs)]
    print(f"{'plugin imported':24} {statistics.median(imports):8.1f} ms")
    print(f"{'a test with':24} {'first':>11} {'others':>11}")
    for name in ("", *FIXTURES):
        first, *others = _spent(name, options.tests)
        print(f"{name or 'no fixture':24} {first:8.1f} ms {statistics.median(others):8.2f} ms")


def _import() -> float:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def _spent(fixture: str, tests: int) -> list[float]:
    """Return what each test took, in milliseconds: set-up, call and teardown."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        arguments = f"turn, {fixture}".removesuffix(", ")
        (project / "test_nothing.py").write_text(
            "import pytest\n"
            f"@pytest.mark.parametrize('turn', range({tests}))\n"
            f"def test_nothing({arguments}): ...\n",
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        spent: list[float] = json.loads((project / "spent.json").read_text(encoding="utf-8"))
        return [seconds * 1e3 for seconds in spent]


if __name__ == "__main__":
    main()
