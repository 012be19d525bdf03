"""The source distribution is whole, and its metadata makes sense away from the repository."""

import re
import tarfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution and return the folder that it unpacks to."""
    folder = tmp_path_factory.mktemp("sdist")
    [archive] = SdistBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    # Python 3.11 has filters from 3.11.4 on; Debian 12 has 3.11.2.
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as opened:
        opened.extractall(folder, **safely)  # noqa: S202 - we made it
    [unpacked] = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


@pytest.fixture(scope="module")
def metadata(sdist: Path) -> Message:
    """Read PKG-INFO (core metadata specification 2.4)."""
    return Parser().parsestr((sdist / "PKG-INFO").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name",
    [
        "Makefile",
        "requirements.lock",
        "requirements-lowest.lock",
        "gunicorn.conf.py",
        "wsgi.py",
        ".flaskenv",
        ".ci/run",
        ".github/workflows/ci.yml",
        "deploy/Dockerfile",
        "deploy/nginx.conf",
        "deploy/requirements/production.lock",
        "soak/__main__.py",
        "tests/conftest.py",
        "examples/blog_flow/test_blog_flow.py",
    ],
)
def test_the_source_distribution_has_what_its_makefile_and_tests_need(
    sdist: Path, name: str
) -> None:
    """The archive is enough to install by the lock and run the tests."""
    assert (sdist / name).is_file()


def test_the_source_distribution_has_nothing_of_this_checkout(sdist: Path) -> None:
    """No environment, database, key or cache of a developer is published."""
    names = {path.relative_to(sdist).parts[0] for path in sdist.rglob("*")}
    assert not names & {".venv", ".venv-lowest", ".git", ".env", ".mypy_cache", ".hypothesis"}
    assert [path.name for path in (sdist / "instance").iterdir()] == [".gitkeep"]


def test_the_metadata_names_where_the_project_is(metadata: Message) -> None:
    """An index of packages shows these as links."""
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    assert urls.keys() >= {"Documentation", "Source", "Issues", "Changelog"}
    assert all(url.startswith("https://") for url in urls.values())


def test_the_description_has_no_relative_link(metadata: Message) -> None:
    """The README is shown without the files that it links to."""
    text = str(metadata.get_payload())
    targets = re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    assert len(targets) > 10
    for target in map("".join, targets):
        assert target.startswith(("https://", "#")), target
