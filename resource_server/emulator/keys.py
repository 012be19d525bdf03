"""A user pool's signing keys: one pair for access tokens, another for ID tokens, as Cognito has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from joserfc import jws
from joserfc.jwk import RSAKey

TokenUse = Literal["access", "id"]


@dataclass(frozen=True, slots=True)
class PoolKeys:
    """The two key pairs of one pool."""

    access: RSAKey
    id: RSAKey

    @classmethod
    def generate(cls) -> Self:
        """Make two pairs of 2048 bits; about 0.1 s each."""
        return cls(access=_generate(), id=_generate())

    @classmethod
    def from_private_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_private_json` gave."""
        return cls(access=RSAKey.import_key(stored["access"]), id=RSAKey.import_key(stored["id"]))

    def to_private_json(self) -> dict[str, Any]:
        """Return both private keys as JWKs."""
        return {"access": self.access.as_dict(private=True), "id": self.id.as_dict(private=True)}

    def jwks(self) -> dict[str, Any]:
        """Return the public key set, as a pool serves it."""
        return {"keys": [key.as_dict(private=False) for key in (self.id, self.access)]}

    def sign(self, use: TokenUse, claims: Mapping[str, Any]) -> str:
        """Sign claims; the header holds `kid` and `alg` alone, as Cognito's does."""
        key = self.access if use == "access" else self.id
        header = {"kid": key.kid, "alg": "RS256"}
        payload = json.dumps(claims, separators=(",", ":"))
        return jws.serialize_compact(header, payload, key)


def _generate() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
