"""The verifier: the checks, in their order."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from resource_server.tokens.cache import Remembered, TokenCache
from resource_server.tokens.claims import AccessToken, check_claims, check_times
from resource_server.tokens.clocks import wall
from resource_server.tokens.errors import (
    BadSignature,
    InvalidClaim,
    MalformedToken,
    MissingKeyId,
    RevokedToken,
    TokenError,
    UnsupportedAlgorithm,
    UnsupportedHeader,
    WrongIssuer,
)
from resource_server.tokens.keys import KeyStats, KeyStore
from resource_server.tokens.parsing import (
    MAX_HEADER_BYTES,
    base64url_decode,
    read_object,
    split,
    token_bytes,
)
from resource_server.tokens.pool import UserPool

# Cognito sends no `typ`; RFC 9068 §2.1 names at+jwt; JWT is what most libraries write.
_TYPES = {"jwt", "at+jwt"}
_PADDING, _HASHED = PKCS1v15(), Prehashed(SHA256())


class DenyList(Protocol):
    """Tokens that are refused although they verify."""

    def denies(self, token: AccessToken) -> bool:
        """Return whether a token is revoked.

        `sub`, `jti` and `origin_jti` are unique in one user pool only: with several pools, look
        them up together with `token.pool_id`. Do not use `token.issuer`, of which a pool has two.

        Raises DenyListUnavailable if that cannot be known.
        """


class TrustedPool:
    """A pool whose tokens are accepted, the app clients they may be from, and its keys.

    To accept every client of the pool is something one writes: `client_ids=None`.
    """

    def __init__(
        self,
        pool: UserPool | str,
        *,
        client_ids: Collection[str] | None,
        keys: KeyStore | None = None,
    ) -> None:
        if isinstance(client_ids, str):
            raise TypeError("client_ids is a collection of client ids, not one text")
        if client_ids is not None and not client_ids:
            raise ValueError("client_ids is empty: no token would be accepted")
        self.pool = UserPool.parse(pool) if isinstance(pool, str) else pool
        self.client_ids = None if client_ids is None else frozenset(client_ids)
        self.keys = keys or KeyStore(self.pool.jwks_uri)


@dataclass(frozen=True, slots=True)
class VerifierStats:
    """What happened since the process began, for operators."""

    verified: int
    """Signatures verified and claims accepted; cache hits are not among them."""
    cache_hits: int
    cached: int
    cached_bytes: int
    """About how much memory they take."""
    refused: Mapping[str, int]
    """By reason (errors.py), `keys_unavailable` among them."""
    keys: Mapping[str, KeyStats]
    """By pool id."""


class CognitoVerifier:
    """Verifies access tokens of one user pool, or of several.

    `client_ids` are the app clients whose tokens are accepted. To accept every client of the pool
    write `client_ids=None`. `also_trust` are further pools, each with clients of its own. `leeway`
    is the clock difference allowed, in seconds. `cache_size` is how many verified tokens are
    cached, 0 for none, and `cache_bytes` how much memory they may take. `now` is the wall clock, in
    seconds since the epoch.
    """

    def __init__(
        self,
        pool: UserPool | str,
        *,
        client_ids: Collection[str] | None,
        keys: KeyStore | None = None,
        also_trust: Sequence[TrustedPool] = (),
        deny_list: DenyList | None = None,
        leeway: float = 10,
        cache_size: int = 10_000,
        cache_bytes: int = 32 * 1024 * 1024,
        now: Callable[[], float] = wall,
    ) -> None:
        first = TrustedPool(pool, client_ids=client_ids, keys=keys)
        self.pools = (first, *also_trust)
        self._by_issuer = {issuer: p for p in self.pools for issuer in p.pool.issuers}
        issuers = sum(len(p.pool.issuers) for p in self.pools)
        if len(self._by_issuer) < issuers or len({p.pool.id for p in self.pools}) < len(self.pools):
            raise ValueError("a pool is trusted twice: give all of its clients at once")
        self._deny_list = deny_list
        self._leeway = leeway
        self._now = now
        self._cache = TokenCache(cache_size, max_bytes=cache_bytes)
        self._hits = 0
        self._verified = 0
        self._refused: Counter[str] = Counter()

    def verify(self, token: str) -> AccessToken:
        """Verify a token as it came in the Authorization header.

        The order is size, header, key, signature, claims, deny list: no claim is believed before
        the signature is good. A token that was verified before is not parsed again; its times, its
        key and the deny list are checked all the same.

        Raises an InvalidToken class for each check, or a VerificationUnavailable.
        """
        try:
            data = token_bytes(token)
            digest = sha256(data).digest()
            known = self._cache.get(digest)
            if known is not None and known[1].current() is known[2]:
                verified = known[0]
                check_times(verified.expires_at, verified.not_before, self._now(), self._leeway)
                self._hits += 1
            else:
                known = self._verify_anew(data)
                verified = known[0]
                self._cache.put(digest, known)
                self._verified += 1
            if self._deny_list is not None and self._deny_list.denies(verified):
                self._cache.drop(digest)
                raise RevokedToken
        except TokenError as error:
            self._refused[error.reason] += 1
            raise
        return verified

    def ready(self) -> bool:
        """Tell whether every pool's keys are at hand; those that are not are fetched, unwaited."""
        states = [pool.keys.ready() for pool in self.pools]
        return all(states)

    def stats(self) -> VerifierStats:
        """Return the counters of this process."""
        return VerifierStats(
            verified=self._verified,
            cache_hits=self._hits,
            cached=len(self._cache),
            cached_bytes=self._cache.bytes_used,
            refused=dict(self._refused),
            keys={pool.pool.id: pool.keys.stats() for pool in self.pools},
        )

    def _verify_anew(self, token: bytes) -> Remembered:
        signed, unverified_header, unverified_payload, signature = split(token)
        kid = _checked_key_id(unverified_header)
        trusted = self.pools[0]
        if len(self.pools) > 1:
            trusted = self._pool_of(unverified_payload)
        keys, key = trusted.keys.find(kid)
        # Hashing is quicker here than within the verification.
        hashed = sha256(signed).digest()
        try:
            key.verify(base64url_decode(signature), hashed, _PADDING, _HASHED)
        except InvalidSignature:
            raise BadSignature from None
        verified = check_claims(
            base64url_decode(unverified_payload),
            trusted.pool,
            trusted.client_ids,
            self._now(),
            self._leeway,
        )
        return verified, trusted.keys, keys

    def _pool_of(self, unverified_payload: bytes) -> TrustedPool:
        """Choose whose keys decide: with several pools, and only then, `iss` is read before."""
        unverified_issuer = read_object(base64url_decode(unverified_payload)).get("iss")
        if not isinstance(unverified_issuer, str):
            raise InvalidClaim("iss")
        try:
            return self._by_issuer[unverified_issuer]
        except KeyError:
            raise WrongIssuer from None


@functools.lru_cache(maxsize=64)
def _checked_key_id(unverified_header: bytes) -> str:
    """Check a header and return its `kid`; keys that a token brings along are never looked at.

    All tokens of one key have the same header, so that it is parsed once.

    Raises MalformedToken, UnsupportedAlgorithm, UnsupportedHeader or MissingKeyId.
    """
    data = base64url_decode(unverified_header)
    if len(data) > MAX_HEADER_BYTES:
        raise MalformedToken
    header = read_object(data)
    if header.get("alg") != "RS256":
        raise UnsupportedAlgorithm
    typ = header.get("typ", "JWT")
    if "crit" in header or "b64" in header or not isinstance(typ, str) or typ.lower() not in _TYPES:
        raise UnsupportedHeader
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise MissingKeyId
    return kid
