"""Verification of Cognito access tokens, for any Python program.

Rule of this folder: no Flask, no Authlib, no boto3, no SQLAlchemy. A worker, a Lambda or another
framework can use it. What is not verified yet has `unverified_` in its name; an `AccessToken`
exists only if a verifier made it.
"""

from resource_server.tokens.claims import AccessToken
from resource_server.tokens.errors import (
    DenyListUnavailable,
    InvalidToken,
    KeysUnavailable,
    TokenError,
    VerificationUnavailable,
)
from resource_server.tokens.keys import KeySet, KeyStats, KeyStore, fetch_jwks
from resource_server.tokens.pool import UserPool
from resource_server.tokens.verifier import CognitoVerifier, DenyList, TrustedPool, VerifierStats

__all__ = [
    "AccessToken",
    "CognitoVerifier",
    "DenyList",
    "DenyListUnavailable",
    "InvalidToken",
    "KeySet",
    "KeyStats",
    "KeyStore",
    "KeysUnavailable",
    "TokenError",
    "TrustedPool",
    "UserPool",
    "VerificationUnavailable",
    "VerifierStats",
    "fetch_jwks",
]
