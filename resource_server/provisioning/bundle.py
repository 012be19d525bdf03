"""The trigger's deployment package: one file in a zip that is the same on every machine."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path

from resource_server.tokens import download as tokens_download
from resource_server.triggers import pre_token_generation

HANDLER = "pre_token_generation.handler"
_FILE = "pre_token_generation.py"
_MAX_BYTES = 1024 * 1024
_TIMEOUT = 10  # seconds


def source() -> bytes:
    """Return the trigger's code."""
    return Path(pre_token_generation.__file__).read_bytes()


def build() -> bytes:
    """Zip the trigger.

    Stored, not compressed: what zlib makes of the same bytes depends on its version. Date,
    permissions and system are fixed.
    """
    member = zipfile.ZipInfo(_FILE, date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system = 3  # Unix, wherever it is built
    member.external_attr = 0o644 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(member, source())
    return buffer.getvalue()


def code_sha256(package: bytes) -> str:
    """Return the hash as Lambda's CodeSha256 writes it."""
    return base64.b64encode(hashlib.sha256(package).digest()).decode()


def holds_our_code(package: bytes) -> bool:
    """Tell whether a package, built by whatever tool, has the trigger's file as it is here."""
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            if archive.getinfo(_FILE).file_size > _MAX_BYTES:
                return False
            return archive.read(_FILE) == source()
    except (KeyError, zipfile.BadZipFile, RuntimeError):  # the last: it is encrypted
        return False


def download(address: str) -> bytes | None:
    """Fetch a package from where Lambda says it is; None if that fails or it is over 1 MiB."""
    try:
        return tokens_download.download(address, timeout=_TIMEOUT, max_bytes=_MAX_BYTES)
    except (OSError, ValueError):
        return None
