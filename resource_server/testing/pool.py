"""A user pool that exists only in a test: it signs real tokens and has a real JWKS."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from resource_server.emulator.keys import PoolKeys, TokenUse
from resource_server.tokens import UserPool
from resource_server.tokens.claims import SIGN_IN_SCOPE


@dataclass(frozen=True, slots=True)
class CognitoPool:
    """Mints tokens as Cognito does: two key pairs, Cognito's claims, RS256.

    Serve `jwks()` at `jwks_uri`, with `responses` for one, and whatever verifies signatures will
    verify these.
    """

    pool_id: str = "eu-west-2_TestPool1"
    client_id: str = "1example23456789"
    keys: PoolKeys = field(default_factory=PoolKeys.generate)

    @property
    def user_pool(self) -> UserPool:
        """The pool as the token core sees it."""
        return UserPool.parse(self.pool_id)

    @property
    def issuer(self) -> str:
        """The `iss` of this pool's tokens."""
        return self.user_pool.issuers[0]

    @property
    def jwks_uri(self) -> str:
        """Where verifiers look for the keys."""
        return self.user_pool.jwks_uri

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, as the pool would serve them."""
        return self.keys.jwks()

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

        `expires_in` is in seconds and may be negative; `sub` is made of the user name if left out,
        so that one name is one user. Further claims are added or replace Cognito's; one that is
        None is left out.
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

    def sign(self, use: TokenUse, claims: dict[str, Any]) -> str:
        """Sign any claims with one of the pool's keys; those that are None are left out."""
        return self.keys.sign(use, {k: v for k, v in claims.items() if v is not None})

    def sub_of(self, username: str) -> str:
        """Return the `sub` that tokens of this user name have."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.issuer}/{username}"))

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
