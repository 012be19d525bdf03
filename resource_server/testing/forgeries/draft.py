"""A genuine token, taken apart, to be written anew with changes.

Written by hand: a library refuses, rightly, to write most of what is needed here.
"""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import RSAKey

from resource_server.testing.pool import CognitoPool

ABSENT = object()
"""Stands for a member that is left out; None is null."""

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Draft:
    """A genuine access token of a pool, and what can be made of it."""

    pool: CognitoPool
    genuine: str
    claims: Mapping[str, Any]
    scopes: tuple[str, ...]
    """What the route needs: all of what the token carries, or nothing."""

    @classmethod
    def of(cls, pool: CognitoPool, genuine: str, *, needs_scope: bool = True) -> Self:
        """Take a token of the pool apart."""
        payload = genuine.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        scopes = claims.get("scope", "").split() if needs_scope else ()
        return cls(pool, genuine, claims, tuple(scopes))

    @property
    def parts(self) -> list[str]:
        """The genuine header, payload and signature."""
        return self.genuine.split(".")

    @property
    def kid(self) -> str:
        """The id of the key that signs the pool's access tokens."""
        return str(self.pool.keys.access.kid)

    def header(self, **changes: object) -> dict[str, object]:
        """Return the header Cognito writes, with changes; what is ABSENT is left out."""
        return _changed({"kid": self.kid, "alg": "RS256"}, changes)

    def claiming(self, changes: Mapping[str, object] | None = None, **more: object) -> str:
        """Let the pool sign what it never would; what is ABSENT is left out."""
        return self.token(claims=_changed(self.claims, {**(changes or {}), **more}))

    def token(
        self,
        header: Mapping[str, object] | bytes | None = None,
        claims: Mapping[str, object] | bytes | None = None,
        sign: Sign | None = None,
    ) -> str:
        """Write a token; what is not given is as the pool does it."""
        signed = ".".join(
            (
                encoded(written(self.header() if header is None else header)),
                encoded(written(self.claims if claims is None else claims)),
            )
        )
        sign = sign or rs256(self.pool.keys.access)
        return f"{signed}.{encoded(sign(signed.encode()))}"


def written(members: Mapping[str, object] | bytes) -> bytes:
    """Write JSON; bytes are written already."""
    if isinstance(members, bytes):
        return members
    return json.dumps(members, separators=(",", ":")).encode()


def encoded(data: bytes) -> str:
    """Encode a part of a token (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(_: bytes) -> bytes:
    """Sign nothing (RFC 7518 §3.6)."""
    return b""


def rs256(key: RSAKey) -> Sign:
    """Sign with a key (RFC 7518 §3.3)."""
    return lambda data: private_key(key).sign(data, PKCS1v15(), SHA256())


def hs(secret: bytes, bits: int = 256) -> Sign:
    """Sign with a secret, or what a verifier may take for one (RFC 7518 §3.2)."""
    return lambda data: hmac.digest(secret, data, f"sha{bits}")


def private_key(key: RSAKey) -> RSAPrivateKey:
    """Take the private key out of a JWK.

    Raises TypeError if there is none.
    """
    if not isinstance(key.private_key, RSAPrivateKey):
        raise TypeError("the pool cannot sign: its key is a public one")
    return key.private_key


def public_key(pool: CognitoPool) -> RSAPublicKey:
    """Return what everybody can have: the key that the pool's access tokens are verified with."""
    return private_key(pool.keys.access).public_key()


def _changed(members: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    return {name: v for name, v in {**members, **changes}.items() if v is not ABSENT}
