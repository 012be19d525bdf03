"""FastAPI's side of a bearer token: what to answer to a bad one, and to one of too little scope."""

from typing import Annotated, Any

import jwt
from fastapi import Depends, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from benchmarks.peers import config, pyjwt_tokens

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


def claims_of(bearer: HTTPAuthorizationCredentials | None) -> dict[str, Any]:
    """Verify the token and its scope."""
    if bearer is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED)
    try:
        claims = pyjwt_tokens.verified(bearer.credentials)
    except jwt.PyJWTError:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED) from None
    if not config.SCOPES.issubset(claims.get("scope", "").split()):
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return claims
