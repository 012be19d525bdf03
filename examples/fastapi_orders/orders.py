"""Orders, in FastAPI: Cognito's access tokens verified by PyJWT, without a line of ours."""

from typing import Annotated, Any

import jwt
from fastapi import FastAPI, HTTPException, Request, Security
from fastapi.security import SecurityScopes

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="orders"'}
_CLAIMS = ["exp", "iat", "iss", "sub", "token_use", "client_id"]


class CognitoBearer:
    """What a route depends on: `Security(cognito, scopes=["orders"])`."""

    def __init__(self, pool_id: str, client_id: str, jwks_uri: str) -> None:
        region = pool_id.partition("_")[0]
        self._issuer = f"https://cognito-idp.{region}.amazonaws.com/{pool_id}"
        self._client_id = client_id
        self._keys = jwt.PyJWKClient(jwks_uri)

    def __call__(self, request: Request, wanted: SecurityScopes) -> dict[str, Any]:
        """Return the claims of the token that the request presents."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or len(request.headers.getlist("Authorization")) != 1:
            raise HTTPException(401, "Not authenticated", _CHALLENGE)
        try:
            claims = self._verified(token)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise HTTPException(401, "The token is not valid", _CHALLENGE) from error
        if not set(wanted.scopes) <= set(claims["scope"].split(" ")):
            raise HTTPException(403, "A scope is missing", _CHALLENGE)
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        key = self._keys.get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            issuer=self._issuer,
            options={"require": _CLAIMS, "verify_aud": False},
        )
        if (claims["token_use"], claims["client_id"]) != ("access", self._client_id):
            raise jwt.InvalidTokenError("not an access token of our client")
        if claims.get("aud", self._client_id) != self._client_id:  # most have none
            raise jwt.InvalidTokenError("bound to another API")
        if not isinstance(claims.setdefault("scope", ""), str):
            raise jwt.InvalidTokenError("no scope")
        return claims


def create_app(pool_id: str, client_id: str, jwks_uri: str) -> FastAPI:
    """Make an app that trusts one client of one pool."""
    app = FastAPI()
    cognito = CognitoBearer(pool_id, client_id, jwks_uri)

    @app.get("/orders")
    def list_orders(
        claims: Annotated[dict[str, Any], Security(cognito, scopes=["orders"])],
    ) -> dict[str, str]:
        return {"owner": claims["username"]}

    return app
