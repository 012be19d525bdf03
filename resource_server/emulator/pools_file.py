"""A pools file (TOML): read strictly, every fault told with its place."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import click
from pydantic import Field, ValidationError

from resource_server.emulator.declared import STANDARD_SCOPES, Client, Entry, Pool


class PoolsFileError(click.ClickException):
    """The file cannot be used; the text names every fault and where it is."""


class _File(Entry):
    pools: Annotated[list[Pool], Field(min_length=1)]


def read_pools(file: Path) -> list[Pool]:
    """Read a pools file.

    Raises PoolsFileError.
    """
    try:
        stored = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PoolsFileError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # UnicodeDecodeError and TOMLDecodeError, which tells the line
        raise PoolsFileError(f"{file} is not TOML: {error}") from error
    try:
        pools = _File.model_validate(stored).pools
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        faults = [f"{_place(fault['loc'], stored)}: {_sentence(fault)}" for fault in found]
    else:
        faults = list(_contradictions(pools))
        if not faults:
            return pools
    lines = "\n".join(f"  - {fault}" for fault in faults)
    raise PoolsFileError(f"{file} does not describe pools that can be served:\n{lines}")


def _sentence(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "no such name here; docs/emulator.md lists all"
    if fault["type"] == "missing":
        return "is missing"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _place(path: tuple[int | str, ...], stored: Any) -> str:
    """Name the entry that a fault is in, by its id where it has one."""
    words: list[str] = []
    for step in path:
        if isinstance(step, int):
            stored = stored[step]
            named = stored if isinstance(stored, dict) else {}
            own = next((named[n] for n in ("id", "username", "identifier") if n in named), None)
            words[-1] += f" {own!r}" if isinstance(own, str) else f" number {step + 1}"
        else:
            stored = stored.get(step) if isinstance(stored, dict) else None
            words.append(step)
    return ", ".join(words)


def _contradictions(pools: list[Pool]) -> Iterator[str]:
    """Find what is well formed and cannot be."""
    yield from _repeated("pools", [pool.id for pool in pools])
    # Public operations name no pool: a client id is of one pool alone, as with AWS.
    yield from _repeated("clients", [client.id for pool in pools for client in pool.clients])
    for pool in pools:
        place = f"pools {pool.id!r}"
        yield from _repeated(f"{place}, users", [user.username for user in pool.users])
        yield from _repeated(
            f"{place}, resource_servers", [server.identifier for server in pool.resource_servers]
        )
        for user in pool.users:
            if pool.sign_in_with and not _can_be_typed(pool, user.username):
                yield f"{place}, users {user.username!r}, username: none of the pool's sign_in_with"
            if not pool.password_policy.allows(user.password.get_secret_value()):
                yield (
                    f"{place}, users {user.username!r}, password: weaker than the pool's "
                    "password_policy"
                )
        for client in pool.clients:
            for fault in _of_client(pool, client):
                yield f"{place}, clients {client.id!r}, {fault}"


def _can_be_typed(pool: Pool, username: str) -> bool:
    kinds = {"email": r"[^@\s]+@[^@\s]+\.[^@\s]+", "phone_number": r"\+[0-9]{2,15}"}
    return any(re.fullmatch(kinds[kind], username) for kind in pool.sign_in_with)


def _of_client(pool: Pool, client: Client) -> Iterator[str]:
    if client.client_credentials and client.callback_urls:
        yield "client_credentials: another client's, not one that people sign in to (callback_urls)"
    if client.client_credentials and client.secret is None:
        yield "client_credentials: needs a secret"
    known = pool.custom_scopes
    if not client.client_credentials:
        known = [*known, *STANDARD_SCOPES]
    for scope in client.scopes or []:
        if scope not in known:
            yield f"scopes: {scope!r} is none of a resource server of the pool, nor a standard one"
    if client.client_credentials and not pool.scopes_of(client):
        yield "client_credentials: the pool has no resource server with a scope"


def _repeated(place: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{place}: {name!r} is there more than once"
