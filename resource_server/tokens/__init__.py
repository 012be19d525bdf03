"""Verification of Cognito access tokens, for any Python program.

Rule of this folder: no Flask, no Authlib, no boto3, no SQLAlchemy. A worker, a Lambda or another
framework can use it. What is not verified yet has `unverified_` in its name; an `AccessToken`
exists only if a verifier made it.
"""

from resource_server.tokens.claims import AccessToken
from resource_server.tokens.errors import InvalidToken, KeysUnavailable, TokenError
from resource_server.tokens.keys import KeySet, KeyStore, fetch_jwks
from resource_server.tokens.pool import UserPool
from resource_server.tokens.verifier import CognitoVerifier

__all__ = [
    "AccessToken",
    "CognitoVerifier",
    "InvalidToken",
    "KeySet",
    "KeyStore",
    "KeysUnavailable",
    "TokenError",
    "UserPool",
    "fetch_jwks",
]
