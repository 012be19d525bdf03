"""A correct verifier in pieces, so that a test can put one faulty piece in its place.

It reads as Python's own base64 and json do, so it is lenient about spellings, and safe.
"""

import base64
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask, Response, request
from joserfc.jwk import RSAKey

from resource_server.testing.pool import CognitoPool

SCOPE = "orders/read orders/write"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="orders"'}


class Unverified(NamedTuple):
    """A token taken apart."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def decoded(part: str) -> bytes:
    """Decode as most programs do."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def taken_apart(token: str) -> Unverified:
    """Read whatever has at least two parts."""
    header, payload, *rest = token.split(".")
    signature = decoded(rest[0]) if rest else b""
    claims = json.loads(decoded(payload))
    return Unverified(
        json.loads(decoded(header)), claims, f"{header}.{payload}".encode(), signature
    )


def three_parts(token: str) -> Unverified:
    """Read what has three parts."""
    if token.count(".") != 2:
        raise ValueError("not three parts")
    return taken_apart(token)


def is_signed(key: RSAPublicKey, token: Unverified) -> bool:
    """Check an RS256 signature."""
    try:
        key.verify(token.signature, token.signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def public_keys(jwks: Mapping[str, Any]) -> dict[str, RSAPublicKey]:
    """Read a JWKS."""
    return {key["kid"]: RSAKey.import_key(key).public_key for key in jwks["keys"]}


Signature = Callable[["Verifier", Unverified], bool]
Check = Callable[["Verifier", dict[str, Any]], bool]


def signed_by_the_pool(verifier: "Verifier", token: Unverified) -> bool:
    """The key is the pool's, the algorithm RS256."""
    kid = token.header.get("kid")
    if token.header.get("alg") != "RS256" or not isinstance(kid, str):
        return False
    key = verifier.keys.get(kid)
    return key is not None and is_signed(key, token)


def is_current(_: "Verifier", claims: dict[str, Any]) -> bool:
    """`exp` is a number in the future."""
    expiry = claims.get("exp")
    return isinstance(expiry, (int, float)) and expiry > time.time()


@dataclass(frozen=True)
class Verifier:
    """Every piece is right as it is."""

    pool: CognitoPool
    read: Callable[[str], Unverified] = three_parts
    signature: Signature = signed_by_the_pool
    issuer: Check = lambda v, claims: claims.get("iss") == v.pool.issuer
    client: Check = lambda v, claims: claims.get("client_id") == v.pool.client_id
    audience: Check = lambda v, claims: claims.get("aud", v.pool.client_id) == v.pool.client_id
    use: Check = lambda _, claims: claims.get("token_use") == "access"
    expiry: Check = is_current
    not_before: Check = lambda _, claims: claims.get("nbf", 0) <= time.time()
    scope: Check = lambda _, claims: set(SCOPE.split()) <= set(claims.get("scope", "").split(" "))
    catches: tuple[type[Exception], ...] = (
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
        InvalidSignature,
    )
    keys: dict[str, RSAPublicKey] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", public_keys(self.pool.jwks()))

    def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a good token.

        Raises ValueError.
        """
        unverified = self.read(token)
        checks = (
            self.issuer,
            self.client,
            self.audience,
            self.use,
            self.expiry,
            self.not_before,
        )
        if self.signature(self, unverified) and all(c(self, unverified.claims) for c in checks):
            return unverified.claims
        raise ValueError("refused")

    def but(self, **pieces: Any) -> "Verifier":
        """Put other pieces in."""
        return dataclasses.replace(self, **pieces)


def app_with(verifier: Verifier) -> Flask:
    """Return an app of a few lines that such a verifier guards."""
    app = Flask("orders")

    @app.get("/orders")
    def orders() -> str | tuple[str, int] | Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return Response("who is there?", 401, CHALLENGE)
        try:
            claims = verifier.verify(token)
            if not verifier.scope(verifier, claims):
                return "not for you", 403
        except verifier.catches:
            return Response("no", 401, CHALLENGE)
        return "orders"

    return app
