"""The verifier: the checks, in their order."""

import time
from collections.abc import Callable, Collection

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from resource_server.tokens.claims import AccessToken, check_claims
from resource_server.tokens.errors import (
    BadSignature,
    MissingKeyId,
    UnsupportedAlgorithm,
    UnsupportedHeader,
)
from resource_server.tokens.keys import KeyStore
from resource_server.tokens.parsing import UnverifiedToken, read_object, split
from resource_server.tokens.pool import UserPool

# Cognito sends no `typ`; RFC 9068 §2.1 names at+jwt; JWT is what most libraries write.
_TYPES = {"jwt", "at+jwt"}


class CognitoVerifier:
    """Verifies access tokens of one user pool.

    `client_ids` are the app clients whose tokens are accepted; to accept every client of the pool
    is something one writes: `client_ids=None`. `leeway` is the clock difference allowed, in
    seconds; `now` is the wall clock, in seconds since the epoch.
    """

    def __init__(
        self,
        pool: UserPool,
        *,
        client_ids: Collection[str] | None,
        keys: KeyStore | None = None,
        leeway: float = 10,
        now: Callable[[], float] = time.time,
    ) -> None:
        if isinstance(client_ids, str):
            raise TypeError("client_ids is a collection of client ids, not one text")
        if client_ids is not None and not client_ids:
            raise ValueError("client_ids is empty: no token would be accepted")
        self.pool = pool
        self.keys = keys or KeyStore(pool.jwks_uri)
        self._client_ids = None if client_ids is None else frozenset(client_ids)
        self._leeway = leeway
        self._now = now

    def verify(self, token: str) -> AccessToken:
        """Verify a token as it came in the Authorization header.

        The order is size, header, key, signature, claims: nothing of the payload is read before
        the signature is good.

        Raises an InvalidToken class for each check, or KeysUnavailable.
        """
        unverified = split(token)
        key = self.keys.key(_checked_key_id(unverified))
        try:
            key.verify(unverified.signature, unverified.signing_input, PKCS1v15(), SHA256())
        except InvalidSignature as error:
            raise BadSignature from error
        return check_claims(
            read_object(unverified.unverified_payload),
            pool=self.pool,
            client_ids=self._client_ids,
            now=self._now(),
            leeway=self._leeway,
        )


def _checked_key_id(token: UnverifiedToken) -> str:
    """Check the header and return its `kid`; keys that a token brings along are never looked at."""
    header = token.unverified_header
    if header.get("alg") != "RS256":
        raise UnsupportedAlgorithm
    typ = header.get("typ", "JWT")
    if "crit" in header or not isinstance(typ, str) or typ.lower() not in _TYPES:
        raise UnsupportedHeader
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise MissingKeyId
    return kid
