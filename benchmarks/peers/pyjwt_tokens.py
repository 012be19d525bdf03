"""Cognito's access tokens by PyJWT; keys are downloaded once and kept parsed."""

from typing import Any

import jwt

from benchmarks.peers import config

_keys = jwt.PyJWKClient(config.JWKS_URI, cache_keys=True)


def verified(token: str) -> dict[str, Any]:
    """Return the claims.

    Raises jwt.PyJWTError.
    """
    kid = jwt.get_unverified_header(token).get("kid", "")
    claims: dict[str, Any] = jwt.decode(
        token,
        _keys.get_signing_key(kid).key,
        algorithms=["RS256"],
        issuer=config.ISSUER,
        options={"require": ["exp", "iss", "sub"], "verify_aud": False},
    )
    if claims.get("token_use") != "access" or claims.get("client_id") != config.CLIENT_ID:
        raise jwt.InvalidTokenError("no access token of this client")
    return claims
