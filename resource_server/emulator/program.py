"""The emulator as a program: what is served, kept and told, until a signal ends it."""

import contextlib
import importlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import click

from resource_server.emulator import building, declared, gaps, welcome
from resource_server.emulator.kept import Kept
from resource_server.emulator.server import development_pool
from resource_server.emulator.serving import CannotServe, Server
from resource_server.emulator.state import EmulatorState, replace_file
from resource_server.emulator.trigger import Handler
from resource_server.tokens.keys import LOOPBACK

_ENDS = frozenset({signal.SIGINT, signal.SIGTERM})


class Program:
    """One run of the emulator."""

    def __init__(
        self,
        pools: Sequence[declared.Pool],
        *,
        trigger: str | None = None,
        state: Path | None = None,
        local_issuer: bool = True,
        public_url: str | None = None,
        ready_file: Path | None = None,
    ) -> None:
        self._pools = pools
        self._trigger = trigger
        self._kept = Kept(state) if state else None
        self._local_issuer = local_issuer
        self._public_url = _address(public_url)
        self._ready_file = ready_file

    def run(self, host: str, port: int) -> None:
        """Serve until SIGINT or SIGTERM; then let requests be answered, and return.

        Raises click.ClickException, saying what to do, if it cannot.
        """
        server = Server(self._save)
        self._prepare()
        try:
            url = server.bind(port, host=host, public_url=self._public_url)
        except CannotServe as error:
            raise click.ClickException(
                f"Nothing can be served on {host}, port {port}: {error}. "
                "Choose others with --host and --port, or end what is there."
            ) from error
        # Threads inherit this: the signals wait for `sigwait`, and interrupt nobody.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        try:
            self._begin(server, url, host)
            signal.sigwait(_ENDS)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)  # a second one ends us at once
            server.stop()
            if self._ready_file is not None:
                with contextlib.suppress(OSError):
                    self._ready_file.unlink()
        self._save()
        click.echo(" Stopped.")

    def _prepare(self) -> None:
        """Bring back what was kept, and put what is declared over it."""
        if self._kept is not None:
            self._kept.restore()
        pools = self._pools
        if not pools and not any(gaps.pools()):
            pools = [development_pool(EmulatorState.new())]
        gaps.set_default_trigger(_load(self._trigger) if self._trigger else None)
        for entry in pools:
            pool = building.configure(entry, _load(entry.trigger) if entry.trigger else None)
            building.ensure_users(pool, entry)

    def _begin(self, server: Server, url: str, host: str) -> None:
        gaps.set_issuer(url if self._local_issuer else None)
        gaps.outbox.listeners.append(lambda sent: click.echo(f" {sent.sentence}"))
        self._save()
        server.serve()
        shown = welcome.describe(url, server.port)
        if self._ready_file is not None:
            _write(self._ready_file, json.dumps(shown, indent=1))
        click.echo(welcome.text(shown, self._kept.file if self._kept else None))
        if host not in LOOPBACK:
            click.echo(" WARNING: whoever reaches this address can read codes and change users.")
        click.echo(" Ready.")

    def _save(self) -> None:
        if self._kept is not None:
            self._kept.save()


def _address(public_url: str | None) -> str | None:
    if public_url is None:
        return None
    plain = public_url.rstrip("/")
    parts = urlsplit(plain)
    if parts.scheme not in {"http", "https"} or plain != f"{parts.scheme}://{parts.netloc}":
        raise click.ClickException("--public-url is an address such as http://cognito:5001")
    return plain


def _write(file: Path, text: str) -> None:
    try:
        replace_file(file, text)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from error


def _load(path: str) -> Handler:
    """Import a trigger by `module:function`, from the current folder, too.

    Raises click.ClickException.
    """
    module, _, name = path.partition(":")
    if not (module and name):
        raise click.ClickException(f"{path} is no trigger: write module:function")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise click.ClickException(f"The trigger {path} cannot be imported: {error}") from error
    if not callable(found):
        raise click.ClickException(f"The trigger {path} is no function")
    return cast("Handler", found)
