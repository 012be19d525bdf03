"""Pools as a file declares them (TOML), read strictly: every fault with its place.

docs/emulator.md has an example of everything.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import click
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from resource_server.tokens import UserPool

STANDARD_SCOPES = ("openid", "email", "phone", "profile", "aws.cognito.signin.user.admin")

Flow = Literal[
    "ALLOW_USER_PASSWORD_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"
]
Channel = Literal["email", "phone_number"]


class PoolsFileError(click.ClickException):
    """The file cannot be used; the text names every fault and where it is."""


def _pool_id(text: str) -> str:
    UserPool.parse(text)
    return text


def _address(text: str) -> str:
    parts = urlsplit(text)
    if not parts.scheme or "#" in text:
        raise ValueError("an absolute address without a fragment, as http://localhost:3000/back")
    return text


def _secret(secret: SecretStr) -> SecretStr:
    # What HTTP Basic carries alike, whether or not a client encodes it (RFC 6749 §2.3.1).
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", secret.get_secret_value()):
        raise ValueError("1 to 64 letters, digits and . _ ~ -")
    return secret


Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+]{1,128}$")]
Scope = Annotated[str, StringConstraints(pattern=r"^[!#-.0-\[\]-~]+$")]
Address = Annotated[str, AfterValidator(_address)]
Seconds = Annotated[int, Field(ge=1, le=10 * 366 * 86400)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PasswordPolicy(_Entry):
    """What passwords must have; AWS's default is the default here."""

    minimum_length: Annotated[int, Field(ge=6, le=99)] = 8
    uppercase: bool = True
    lowercase: bool = True
    numbers: bool = True
    symbols: bool = True

    def allows(self, password: str) -> bool:
        """Tell whether a password is good enough."""
        wanted = {
            r"[A-Z]": self.uppercase,
            r"[a-z]": self.lowercase,
            r"[0-9]": self.numbers,
            r"[^A-Za-z0-9\s]": self.symbols,
        }
        has_all = all(re.search(kind, password) for kind, on in wanted.items() if on)
        return has_all and len(password) >= self.minimum_length


class Client(_Entry):
    """An app client; without a secret it is a public one."""

    id: Id
    name: Text | None = None
    secret: Annotated[SecretStr, AfterValidator(_secret)] | None = None
    flows: list[Flow] = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    callback_urls: list[Address] = []
    logout_urls: list[Address] = []
    client_credentials: bool = False
    scopes: list[Text] | None = None
    access_token_seconds: Seconds = 3600
    id_token_seconds: Seconds = 3600
    refresh_token_seconds: Seconds = 30 * 86400
    rotate_refresh_tokens: bool = False


class ResourceServer(_Entry):
    """An API and its scopes, `identifier/scope`."""

    identifier: Text
    scopes: list[Scope] = []


class User(_Entry):
    """Somebody who is there from the beginning."""

    username: Text
    password: SecretStr
    temporary: bool = False
    attributes: dict[str, str] = {}
    groups: list[Text] = []


class Pool(_Entry):
    """A user pool."""

    id: Annotated[str, AfterValidator(_pool_id)]
    name: Text | None = None
    mfa: Literal["off", "optional", "on"] = "off"
    sign_in_with: list[Channel] = []
    verify: list[Channel] = ["email"]
    trigger: Text | None = None
    password_policy: PasswordPolicy = PasswordPolicy()
    clients: Annotated[list[Client], Field(min_length=1)]
    resource_servers: list[ResourceServer] = []
    users: list[User] = []

    @property
    def region(self) -> str:
        """The region that the id names."""
        return self.id.partition("_")[0]

    @property
    def custom_scopes(self) -> list[str]:
        """All scopes of the resource servers."""
        return [f"{s.identifier}/{scope}" for s in self.resource_servers for scope in s.scopes]

    def scopes_of(self, client: Client) -> list[str]:
        """Return what a client may ask for: what it lists, or all that its grant can use."""
        if client.scopes is not None:
            return client.scopes
        return self.custom_scopes if client.client_credentials else list(STANDARD_SCOPES)


class _File(_Entry):
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
