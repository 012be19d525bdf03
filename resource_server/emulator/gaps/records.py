"""What the emulator remembers beside moto: of a user, a refresh token, a client's secrets."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self, cast

from moto.cognitoidp.models import (
    CognitoIdpUser,
    CognitoIdpUserPool,
    CognitoIdpUserPoolClient,
)

from resource_server.emulator.gaps.clocks import clock

_FREE_FAILURES = 5
_FORGIVEN_SECONDS = 900.0


@dataclass(slots=True)
class Code:
    """A code that was sent, and until when it serves."""

    value: str = field(repr=False)
    expires_at: float


@dataclass(slots=True)
class Failures:
    """Failures in a row; a quarter of an hour without any forgives them."""

    count: int = 0
    last: float = 0.0

    def note(self) -> None:
        """Count one more."""
        self.count = self._remembered() + 1
        self.last = clock.now()

    def are_too_many(self) -> bool:
        """Tell whether it was five in a row: then nothing is tried for a quarter of an hour."""
        return self._remembered() >= _FREE_FAILURES

    def lock_out(self) -> bool:
        """Tell whether a sign-in is refused unseen: 1 s after the fifth failure, then doubling.

        Source: Cognito guide, "Lockout behavior for failed sign-in attempts": 2^(n-5) seconds, up
        to about 15 minutes.
        """
        extra = self._remembered() - _FREE_FAILURES
        return extra >= 0 and clock.now() < self.last + min(2**extra, _FORGIVEN_SECONDS)

    def _remembered(self) -> int:
        return self.count if clock.now() < self.last + _FORGIVEN_SECONDS else 0


@dataclass(slots=True)
class Device:
    """A device of a user, in a pool that remembers them."""

    group_key: str
    confirmed: bool = False


@dataclass(slots=True)
class UserRecord:
    """What moto does not keep of a user."""

    codes: dict[str, Code] = field(default_factory=dict)
    failures: dict[str, Failures] = field(default_factory=dict)
    unverified: dict[str, str] = field(default_factory=dict)
    """New values of attributes that wait for their code."""
    totp_secret: str | None = field(default=None, repr=False)
    totp_candidate: str | None = field(default=None, repr=False)
    """A secret that was given out and not yet proven with a code."""
    totp_step: int = 0
    """The step of the last code that served: none serves twice."""
    email_mfa: bool = False
    devices: dict[str, Device] = field(default_factory=dict)
    """By their keys."""

    def failures_of(self, what: str) -> Failures:
        """Return the failures at one thing."""
        return self.failures.setdefault(what, Failures())

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        plain = dict(stored)
        codes = {what: Code(**code) for what, code in plain.pop("codes").items()}
        failures = {what: Failures(**seen) for what, seen in plain.pop("failures").items()}
        devices = {key: Device(**device) for key, device in plain.pop("devices", {}).items()}
        return cls(codes=codes, failures=failures, devices=devices, **plain)


@dataclass(slots=True)
class RefreshToken:
    """A refresh token; those of one sign-in share `origin_jti`, `auth_time` and `expires_at`."""

    client_id: str
    sub: str
    origin_jti: str
    auth_time: int
    expires_at: float
    scopes: list[str] | None = None
    """What the token endpoint was asked for; None where the API signed in, which has its own."""
    replaced_at: float | None = None
    """When rotation gave another one for it."""
    revoked: bool = False
    device_key: str | None = None
    """The device that refreshes with it, where the pool remembers devices."""


@dataclass(slots=True)
class ClientSecret:
    """One of an app client's secrets (T30: there may be two)."""

    id: str
    value: str = field(repr=False)
    created_at: float


def record_of(user: CognitoIdpUser) -> UserRecord:
    """Return the user's record; it is made when first needed."""
    record = getattr(user, "emulator_record", None)
    if not isinstance(record, UserRecord):
        record = UserRecord()
        set_record(user, record)
    return record


def set_record(user: CognitoIdpUser, record: UserRecord) -> None:
    """Give a user a record."""
    user.emulator_record = record  # type: ignore[attr-defined]


def refresh_tokens_of(pool: CognitoIdpUserPool) -> dict[str, RefreshToken]:
    """Return the pool's refresh tokens, which stand where moto keeps its own."""
    return cast("dict[str, RefreshToken]", pool.refresh_tokens)


def secrets_of(client: CognitoIdpUserPoolClient) -> list[ClientSecret]:
    """Return an app client's secrets, oldest first; a public client has none."""
    kept: list[ClientSecret] | None = getattr(client, "emulator_secrets", None)
    if kept is None:
        # moto makes up a secret for each client; only some have one.
        own = ClientSecret(f"{client.id}--1", client.secret, clock.now())
        kept = [own] if client.generate_secret else []
        set_secrets(client, kept)
    return kept


def set_secrets(client: CognitoIdpUserPoolClient, kept: list[ClientSecret]) -> None:
    """Give an app client its secrets; moto shows the oldest."""
    client.emulator_secrets = kept  # type: ignore[attr-defined]
    if kept:
        client.secret = kept[0].value
