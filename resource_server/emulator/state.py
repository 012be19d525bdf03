"""The emulator's file: what must be the same after a restart."""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import string
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import click

REGION = "us-east-1"  # where moto looks for operations that are not signed
DEFAULT_PORT = 5001
DEMO_USERNAME, DEMO_PASSWORD = "demo", "Demo-Passw0rd!"

_LOCKS: list[int] = []
"""Descriptors of the locks this process holds; they are held as long as it lives."""


class StateError(click.ClickException):
    """The file cannot be used; the text says what to do, and `flask` shows it without a trace."""


@dataclass(slots=True)
class EmulatorState:
    """The pool's ids, its keys and accounts, and the port it is served on."""

    pool_id: str
    client_id: str
    client_secret: str = field(repr=False)
    port: int = DEFAULT_PORT
    keys: dict[str, Any] = field(default_factory=dict, repr=False)
    accounts: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def new(cls) -> Self:
        """Make up the ids of a pool that nobody has."""
        return cls(
            pool_id=f"{REGION}_{_random(9)}",
            client_id=_random(26).lower(),
            client_secret=secrets.token_urlsafe(38),
        )

    @classmethod
    def load(cls, file: Path) -> Self | None:
        """Read the file; None if there is none yet.

        Raises StateError.
        """
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            return cls(**stored)
        except FileNotFoundError:
            return None
        except (TypeError, ValueError) as error:
            raise damaged(file) from error

    def save(self, file: Path) -> None:
        """Write the file."""
        replace_file(file, json.dumps(asdict(self), indent=1))

    @property
    def public_client_id(self) -> str:
        """The id of the client without a secret; derived, so that older files have it, too."""
        digest = hashlib.sha256(f"public {self.client_id}".encode()).digest()
        return base64.b32encode(digest).decode().lower()[:26]

    @property
    def url(self) -> str:
        """Where the emulator is served."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def discovery(self) -> str:
        """Where OpenID Connect clients learn the pool's endpoints."""
        return f"{self.url}/{self.pool_id}/.well-known/openid-configuration"

    @property
    def settings(self) -> dict[str, str]:
        """What a service must be told to use this pool (names of docs/settings.md)."""
        return {
            "AWS_USER_POOL_ID": self.pool_id,
            "AWS_COGNITO_APP_CLIENT_ID": self.client_id,
            "AWS_COGNITO_APP_CLIENT_SECRET": self.client_secret,
            "COGNITO_ALLOWED_CLIENT_IDS": self.public_client_id,
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": self.url,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "COGNITO_JWKS_URI": f"{self.url}/{self.pool_id}/.well-known/jwks.json",
            "COGNITO_DOMAIN": f"{self.url}/{self.pool_id}",
            "API_DOCS_CLIENT_ID": self.public_client_id,
            "COGNITO_ENDPOINT_IS_EMULATOR": "true",
            "COGNITO_EMULATOR": "embedded",
        }


def replace_file(file: Path, text: str) -> None:
    """Write a file in one step, so that a kill leaves the old one or the new one whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.new")
    # It holds private keys: for the owner alone, from the first byte on.
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    draft.replace(file)


def lock(file: Path) -> bool:
    """Lock a file until this process ends; False if another one has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _LOCKS.append(descriptor)
    return True


def damaged(file: Path) -> StateError:
    """Say what to do with a file that cannot be used."""
    return StateError(
        f"{file} is not the emulator's, or damaged: move it away to begin with a new pool"
    )


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))
