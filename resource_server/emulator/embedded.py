"""The emulator inside `flask run`: it starts by itself and survives the reloader.

With `flask run --debug` the app is loaded in the reloader's parent as well as in its child. The
first process to lock the file runs the emulator, which is the parent; the child, after every
reload, finds the lock held and uses what runs. The system frees the lock when its holder dies.
Other `flask` commands never start one: they learn the pool's ids from the file.
"""

import importlib
import time
from dataclasses import dataclass
from pathlib import Path

import click
from flask import Flask

from resource_server.emulator.state import DEMO_PASSWORD, DEMO_USERNAME, EmulatorState, lock


@dataclass(frozen=True, slots=True)
class EmbeddedEmulator:
    """The emulator that an app uses; `started` tells whether this process began it just now."""

    state: EmulatorState
    started: bool

    @property
    def settings(self) -> dict[str, str]:
        """What the app must be told (names of docs/settings.md)."""
        return self.state.settings

    def welcome(self, app: Flask, database: str) -> None:
        """Print how to begin. `database` says which one is used."""
        server = importlib.import_module("resource_server.emulator.server")
        context = click.get_current_context()
        address = f"http://{context.params['host']}:{context.params['port']}"
        username, password = DEMO_USERNAME, DEMO_PASSWORD
        login = f"curl -s {address}/users/login -d username={username} -d 'password={password}'"
        read = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
        page = f"{address}/docs in a browser, or\n            " if "docs" in app.blueprints else ""
        click.echo(
            f"\n"
            f" Service    {address}\n"
            f" Cognito    {self.state.url}, emulated; pool {self.state.pool_id}\n"
            f" Discovery  {self.state.discovery}\n"
            f" Accounts   {app.instance_path} (and their keys)\n"
            f" Database   {database}\n"
            f" Demo user  {username} / {password}\n"
            f" Admin      {server.ADMIN_USERNAME} / {server.ADMIN_PASSWORD}\n"
            f" Try it     {page}TOKEN=$({login} | {read})\n"
            f'            curl -s {address}/randoms -H "Authorization: Bearer $TOKEN"\n'
        )


def enter(instance: Path, *, is_run: bool) -> EmbeddedEmulator:
    """Start the emulator of this instance folder under `flask run`, or find the one that runs.

    `is_run` says whether the command is `flask run`.

    Raises click.ClickException, saying what to do, if it cannot.
    """
    file = instance / "emulator.json"
    try:
        instance.mkdir(parents=True, exist_ok=True)
        if is_run and lock(instance / "emulator.lock"):
            state = _load_or_begin(file)
            _start(state, file)
            return EmbeddedEmulator(state, started=True)
        return EmbeddedEmulator(_running(file, tries=20 if is_run else 1), started=False)
    except OSError as error:
        raise click.ClickException(
            f"The emulator cannot keep its accounts in {instance}: {error.strerror}. "
            "Make that folder writable."
        ) from error


def _load_or_begin(file: Path) -> EmulatorState:
    """Read the file; if there is none, write one at once, for other processes that look for it."""
    state = EmulatorState.load(file)
    if state is None:
        state = EmulatorState.new()
        state.save(file)
    return state


def _running(file: Path, tries: int) -> EmulatorState:
    """Find what another process runs, or will: it may be about to write its file."""
    for _ in range(tries):
        state = EmulatorState.load(file)
        if state is not None:
            return state
        time.sleep(0.1)
    return _load_or_begin(file)


def _start(state: EmulatorState, file: Path) -> None:
    try:
        server = importlib.import_module("resource_server.emulator.server")
        gaps = importlib.import_module("resource_server.emulator.gaps")
    except ImportError as error:
        raise click.ClickException(
            f"COGNITO_EMULATOR=embedded needs the extra `dev` ({error.name} is missing): "
            "pip install 'resource-server[dev]'. To use a user pool of AWS, unset COGNITO_EMULATOR "
            "and set AWS_USER_POOL_ID and AWS_COGNITO_APP_CLIENT_ID."
        ) from error
    gaps.outbox.listeners.append(lambda sent: click.echo(f" {sent.sentence}"))
    server.EmulatorServer(state, file, click.get_current_context().params["port"]).start()
