""".github/workflows/ci.yml: what it calls exists, and it may do little."""

import re
from typing import Any

import pytest

from tests.deploy.manifests import ROOT, read_yaml

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
JOBS: dict[str, Any] = read_yaml(WORKFLOW)["jobs"]


def commands() -> list[str]:
    """List what all jobs run."""
    return [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]


def test_it_calls_make_targets_that_exist_and_nothing_else() -> None:
    """Whatever CI does, a developer does with the same word."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for command in commands():
        called = re.fullmatch(r'make ([a-z-]+)(?: ARGS="[^"$]*")?', command)
        assert called, f"not a make target: {command}"
        assert called[1] in targets


def test_it_does_all_that_a_change_must_pass() -> None:
    """`make check` and the workflow do not drift apart."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [check] = re.findall(r"^check: (.*?) *##", makefile, re.MULTILINE)
    called = {command.split()[1] for command in commands()}
    assert set(check.split()) <= called
    assert "audit" in called


def test_all_supported_pythons_are_tested() -> None:
    """Each of the classifiers in pyproject.toml, with PostgreSQL and Redis beside it."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    job = JOBS["tests"]
    assert job["strategy"]["matrix"]["python"] == supported
    assert job["services"].keys() == {"postgres", "redis"}
    assert job["env"].keys() == {"TEST_DATABASE_URL", "TEST_REDIS_URL"}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_may_read_the_code_and_no_more(name: str) -> None:
    """No token that writes, none left in the checkout, no secret, no step of unknown content."""
    workflow = read_yaml(WORKFLOW)
    assert workflow["permissions"] == {}
    job = JOBS[name]
    assert job["permissions"] == {"contents": "read"}
    assert job["timeout-minutes"] <= 60
    for step in job["steps"]:
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]), "pin the commit"
    assert job["steps"][0]["with"] == {"persist-credentials": False}
    assert "secrets." not in WORKFLOW.read_text(encoding="utf-8")


def test_a_newer_push_ends_the_older_run() -> None:
    """One run for a branch at a time."""
    concurrency = read_yaml(WORKFLOW)["concurrency"]
    assert concurrency["cancel-in-progress"] is True
    assert "github.ref" in concurrency["group"]
