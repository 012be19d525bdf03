"""The program's file: all pools, of one process at a time."""

import json
from pathlib import Path

import click
from joserfc.errors import JoseError

from resource_server.emulator import snapshots
from resource_server.emulator.state import damaged, lock, replace_file

_VERSION = 1


class Kept:
    """A file that this process alone writes until it ends.

    Raises click.ClickException, saying what to do, if it cannot.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._written = ""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            is_ours = lock(file.with_name(f"{file.name}.lock"))
        except OSError as error:
            raise click.ClickException(
                f"Nothing can be kept in {file}: {error.strerror}. Make its folder writable."
            ) from error
        if not is_ours:
            raise click.ClickException(
                f"Another emulator keeps its users in {file}: end it, or name another file."
            )

    def restore(self) -> None:
        """Bring the pools back, if there is a file."""
        try:
            stored = json.loads(self.file.read_text(encoding="utf-8"))
            if stored["version"] != _VERSION:
                raise damaged(self.file)
            snapshots.restore(stored["pools"])
        except FileNotFoundError:
            return
        except (AttributeError, KeyError, TypeError, ValueError, JoseError) as error:
            raise damaged(self.file) from error

    def save(self) -> None:
        """Write the file, unless nothing changed."""
        text = json.dumps({"version": _VERSION, "pools": snapshots.dump()}, indent=1)
        if text != self._written:
            replace_file(self.file, text)
            self._written = text
