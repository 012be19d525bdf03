"""The trigger's package."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import responses

from resource_server.provisioning import bundle
from resource_server.triggers import pre_token_generation

CODE = Path(pre_token_generation.__file__).read_bytes()
ADDRESS = "https://code.example.com/package"


def package(name: str = "pre_token_generation.py", code: bytes = CODE) -> bytes:
    """Zip code as another tool would: compressed, dated now, with more files beside it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, code)
        archive.writestr("README", "built elsewhere")
    return buffer.getvalue()


def test_the_package_is_the_same_whenever_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the date nor zlib nor the system is in it, so that its hash tells the code."""
    first = bundle.build()
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert bundle.build() == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        [member] = archive.infolist()
    assert (member.filename, member.date_time[0]) == ("pre_token_generation.py", 1980)
    assert (member.compress_type, member.create_system) == (zipfile.ZIP_STORED, 3)
    assert member.external_attr >> 16 == 0o644
    assert bundle.code_sha256(first) == base64.b64encode(hashlib.sha256(first).digest()).decode()


def test_the_handler_is_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HANDLER names can be imported from the package alone, and adds scopes."""
    archive = tmp_path / "package.zip"
    archive.write_bytes(bundle.build())
    monkeypatch.syspath_prepend(str(archive))
    module, _, function = bundle.HANDLER.partition(".")
    event: dict[str, Any] = {"request": {}}
    answer = getattr(__import__(module), function)(event)
    added = answer["response"]["claimsAndScopeOverrideDetails"]["accessTokenGeneration"]
    assert added == {"scopesToAdd": ["me", "randoms"]}


@pytest.mark.parametrize(
    ("built", "same"),
    [
        pytest.param(package(), True, id="compressed, with another file"),
        pytest.param(package(code=CODE + b"\n"), False, id="one byte more"),
        pytest.param(package(name="other.py"), False, id="under another name"),
        pytest.param(package(code=b"#" * 2_000_000), False, id="far too large"),
        pytest.param(b"no zip", False, id="no zip"),
    ],
)
def test_what_counts_is_the_file(built: bytes, same: bool) -> None:
    """A package that was built elsewhere has our code if the file in it is the same."""
    assert bundle.holds_our_code(built) is same


def test_a_download_is_bounded() -> None:
    """A package is fetched; one over 1 MiB, a refusal and a broken line count as none."""
    with responses.RequestsMock() as mock:
        mock.get(ADDRESS, body=package())
        assert bundle.holds_our_code(bundle.download(ADDRESS) or b"")
    for refusal in ({"body": b"0" * 1_100_000}, {"status": 403}, {"body": ConnectionError()}):
        with responses.RequestsMock() as mock:
            mock.get(ADDRESS, **refusal)
            assert bundle.download(ADDRESS) is None
