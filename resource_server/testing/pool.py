"""A user pool that exists only in a test: it signs real tokens and has a real JWKS."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from resource_server.emulator.keys import PoolKeys, TokenUse
from resource_server.testing.clients import bearer
from resource_server.tokens import UserPool
from resource_server.tokens.claims import SIGN_IN_SCOPE


@dataclass(frozen=True, slots=True)
class JwksAnswer:
    """What a pool answers whoever asks for its keys; `body` is None if it hangs up instead."""

    status: int
    body: bytes | None


_HANGS_UP = JwksAnswer(0, None)
_current: "list[CognitoPool]" = []


def current_pool() -> "CognitoPool":
    """Return the pool of the running test.

    Raises LookupError if there is none.
    """
    if not _current:
        raise LookupError("no test has a pool now: ask for cognito_pool, or say pool=")
    return _current[-1]


@dataclass(slots=True, eq=False)
class CognitoPool:
    """Mints tokens as Cognito does: two key pairs, Cognito's claims, RS256.

    Whatever verifies signatures against `jwks_uri` will verify these. In a test of pytest, the
    fixture `cognito_pool` has that address answered; elsewhere, serve `jwks()` there.
    """

    pool_id: str = "eu-west-2_TestPool1"
    client_id: str = "1example23456789"
    keys: PoolKeys = field(default_factory=PoolKeys.generate, repr=False)
    address: str | None = None
    """Where the keys are served, if not at AWS's own address: the beginning of the URL."""
    downloads: int = 0
    """How often somebody asked for the keys."""
    on_rotation: list[Callable[[PoolKeys], None]] = field(default_factory=list, repr=False)
    """Who else signs for this pool, and so must learn of new keys."""
    _former: list[PoolKeys] = field(default_factory=list, repr=False)
    _outage: JwksAnswer | None = field(default=None, repr=False)

    @property
    def user_pool(self) -> UserPool:
        """The pool as the token core sees it: `CognitoVerifier(pool.user_pool, …)`."""
        if self.address is None:
            return UserPool.parse(self.pool_id)
        uri = f"{self.address}/{self.pool_id}/.well-known/jwks.json"
        return UserPool.parse(self.pool_id, jwks_uri=uri)

    @property
    def region(self) -> str:
        """The pool's region, with which its id begins."""
        return self.pool_id.partition("_")[0]

    @property
    def issuer(self) -> str:
        """The `iss` of this pool's tokens."""
        return self.user_pool.issuers[0]

    @property
    def jwks_uri(self) -> str:
        """Where verifiers look for the keys."""
        return self.user_pool.jwks_uri

    @property
    def settings(self) -> dict[str, str]:
        """What `resource_server` must be told to trust this pool (names of docs/settings.md)."""
        return {
            "AWS_REGION": self.region,
            "AWS_USER_POOL_ID": self.pool_id,
            "AWS_COGNITO_APP_CLIENT_ID": self.client_id,
        } | ({"COGNITO_JWKS_URI": self.jwks_uri} if self.address else {})

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, as the pool would serve them (RFC 7517)."""
        return {"keys": [key for keys in (self.keys, *self._former) for key in keys.jwks()["keys"]]}

    # Tokens

    def access_token(
        self,
        *,
        scope: str | None = SIGN_IN_SCOPE,
        username: str = "ada",
        sub: str | None = None,
        groups: list[str] | None = None,
        expires_in: int = 3600,
        **claims: Any,
    ) -> str:
        """Sign an access token.

        `scope` is one text, separated by spaces (RFC 6749 section 3.3). `expires_in` is in seconds
        and may be negative; `sub` is made of the user name if left out, so that one name is one
        user. Further claims are added or replace Cognito's; one that is None is left out.
        """
        own = {
            "client_id": self.client_id,
            "username": username,
            "scope": scope,
            "version": 2,
            "cognito:groups": groups,
        }
        return self.sign("access", self._common("access", username, sub, expires_in) | own | claims)

    def id_token(
        self,
        *,
        username: str = "ada",
        sub: str | None = None,
        expires_in: int = 3600,
        **claims: Any,
    ) -> str:
        """Sign an ID token, which an API must refuse."""
        own = {"aud": self.client_id, "cognito:username": username}
        return self.sign("id", self._common("id", username, sub, expires_in) | own | claims)

    def bearer(self, **claims: Any) -> dict[str, str]:
        """Return the header that presents a new access token; arguments as for `access_token`."""
        return bearer(self.access_token(**claims))

    def forged(self, name: str, **arguments: Any) -> str:
        """Make the forged token of that name; see `forge` of resource_server.testing.forgeries."""
        from resource_server.testing.forgeries import forge  # noqa: PLC0415 - it imports this module

        return forge(self, name, **arguments)

    def sign(self, use: TokenUse, claims: dict[str, Any]) -> str:
        """Sign any claims with one of the pool's keys; those that are None are left out."""
        return self.keys.sign(use, {k: v for k, v in claims.items() if v is not None})

    def sub_of(self, username: str) -> str:
        """Return the `sub` that tokens of this user name have."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.issuer}/{username}"))

    # Its keys: who is served them, and what happens to them

    @contextmanager
    def current(self) -> Iterator[None]:
        """Be the pool that is meant where none is named, as in a test that has one."""
        _current.append(self)
        try:
            yield
        finally:
            _current.remove(self)

    def rotate(self, *, withdraw: bool = False) -> None:
        """Sign with new keys from now on; about 0.2 s.

        The former keys stay in the JWKS, as with Cognito, or are withdrawn from it.
        """
        self._former = [] if withdraw else [self.keys, *self._former]
        self.keys = PoolKeys.generate()
        for tell in self.on_rotation:
            tell(self.keys)

    @contextmanager
    def outage(self, status: int | None = None, body: bytes = b"") -> Iterator[None]:
        """Serve no keys for a while: hang up, or answer a status and a body."""
        before = self._outage
        self._outage = _HANGS_UP if status is None else JwksAnswer(status, body)
        try:
            yield
        finally:
            self._outage = before

    def answer(self) -> JwksAnswer:
        """Answer somebody who asks for the keys."""
        self.downloads += 1
        return self._outage or JwksAnswer(200, json.dumps(self.jwks()).encode())

    def _common(
        self, use: TokenUse, username: str, sub: str | None, expires_in: int
    ) -> dict[str, Any]:
        now = int(time.time())
        return {
            "sub": sub or self.sub_of(username),
            "iss": self.issuer,
            "token_use": use,
            "auth_time": now,
            "iat": now,
            "exp": now + expires_in,
            "event_id": str(uuid.uuid4()),
            "jti": str(uuid.uuid4()),
            "origin_jti": str(uuid.uuid4()),
        }
