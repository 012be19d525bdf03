"""What a pool in a test is like."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from resource_server.emulator.trigger import Handler

Guard = Literal["context", "moto", "responses", "sockets"]
GUARDS: frozenset[Guard] = frozenset({"context", "moto", "responses", "sockets"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CognitoOptions:
    """The pool that tests have, until the fixture `cognito_options` or the mark `cognito` say else.

    - `client_secret`: what the app client's secret is; None for a public client
    - `trigger`: the Pre Token Generation trigger, a Python function `(event, context) -> event`,
      run at sign-in and refresh by `cognito_idp`
    - `jwks`: "intercepted" answers `requests`, urllib and httpx at AWS's own address; "http" serves
      the keys on loopback, for whatever else downloads them, other processes included
    - `unguarded`: guards that are off, by the mark alone (see docs/testing.md)
    """

    pool_id: str = "eu-west-2_TestPool1"
    client_id: str = "1example23456789"
    client_secret: str | None = field(default=None, repr=False)
    trigger: "Handler | None" = None
    jwks: Literal["intercepted", "http"] = "intercepted"
    unguarded: frozenset[Guard] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what would be ignored.

        Raises ValueError.
        """
        object.__setattr__(self, "unguarded", frozenset(self.unguarded))
        if unknown := self.unguarded - GUARDS:
            raise ValueError(f"no such guard: {', '.join(unknown)}; there are {sorted(GUARDS)}")
        if self.client_secret is not None and not 24 <= len(self.client_secret) <= 64:  # noqa: PLR2004 - API reference, ClientSecretType
            raise ValueError("a client secret has 24 to 64 characters")
        if self.jwks not in {"intercepted", "http"}:
            raise ValueError(f"jwks is 'intercepted' or 'http', not {self.jwks!r}")
