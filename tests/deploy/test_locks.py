"""The lock files: parts of requirements.lock for images, and the lowest versions for a test run."""

import re
import tomllib
from importlib.metadata import requires, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.manifests import DEPLOY, ROOT

PIN = re.compile(
    r"^([\w.-]+)==(\S+)(?: ; [^\\\n]+)? \\\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE
)

# What each is for; the image's Dockerfile says where.
PARTS = {
    "production": ("resource-server", {"opentelemetry"}),
    "emulator": ("resource-server", {"dev"}),
    "build": ("hatchling", set[str]()),  # and the plug-ins of pyproject.toml's [build-system]
}


def pins(path: str) -> set[tuple[str, str, str]]:
    """Read a lock: names, versions, hashes. A name may have a version for each Python."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = {(name, version, hashes) for name, version, hashes in PIN.findall(text)}
    assert len(found) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)), "a line that is no pin"
    return found


def names(part: str) -> set[str]:
    """List what a part installs."""
    return {name for name, _, _ in pins(f"deploy/requirements/{part}.lock")}


def needed(name: str, extras: set[str]) -> set[str]:
    """Walk what an installed distribution asks for, on this Python and system."""
    found: set[str] = set()
    waiting = [(name, frozenset(extras))]
    seen = set(waiting)
    while waiting:
        name, extras_of_it = waiting.pop()
        for line in requires(name) or []:
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in extras_of_it or [""]]
            if requirement.marker and not any(map(requirement.marker.evaluate, environments)):
                continue
            entry = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            found.add(entry[0])
            if entry not in seen:
                seen.add(entry)
                waiting.append(entry)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_a_part_has_the_versions_and_hashes_of_the_whole(part: str) -> None:
    """What was tested is what is installed: `make lock` makes all at once."""
    others = pins(f"deploy/requirements/{part}.lock") - pins("requirements.lock")
    assert {name for name, _, _ in others} == set(), "make lock"


@pytest.mark.skipif(
    ("flask", version("flask")) not in {pin[:2] for pin in pins("requirements.lock")},
    reason="other versions than those of requirements.lock are installed (make lowest)",
)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_whole(part: str) -> None:
    """With --no-deps pip looks for nothing more: all that is needed is there."""
    name, extras = PARTS[part]
    missing = needed(name, extras) - names(part)
    assert missing - {name} == set(), "make lock"


def test_production_has_no_tools_of_development() -> None:
    """No emulator, no test runner, no compiler of types in what faces the internet."""
    tools = {"moto", "pytest", "mypy", "ruff", "hypothesis", "fastapi", "hatchling"}
    assert not names("production") & tools


def test_each_part_is_installed_somewhere() -> None:
    """A lock that no image uses would go stale unseen."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    files = {path.name for path in (DEPLOY / "requirements").iterdir()}
    assert files == {f"{part}.lock" for part in PARTS}
    assert files == set(re.findall(r"--requirement (\S+)", text))


def requirements_of_the_project() -> list[Requirement]:
    """List what the package and its extras ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for lines in [project["dependencies"], *extras] for line in lines]


@pytest.mark.parametrize("requirement", requirements_of_the_project(), ids=str)
def test_each_lower_bound_is_a_version_that_is_tested(requirement: Requirement) -> None:
    """`make lowest` runs the tests with exactly the versions that pyproject.toml calls enough."""
    pinned = {name: version for name, version, _ in pins("requirements-lowest.lock")}
    [lowest] = [each.version for each in requirement.specifier if each.operator == ">="]
    assert Version(pinned[canonicalize_name(requirement.name)]) == Version(lowest), "make lock"


def test_the_build_lock_has_what_builds_the_package() -> None:
    """The Dockerfile builds without looking for anything beside the lock."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    assert {Requirement(line).name for line in build["requires"]} <= names("build")
