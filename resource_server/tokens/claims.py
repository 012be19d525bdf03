"""The claims of a Cognito access token: what each must be, and the type they come out as."""

import functools
import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson

from resource_server.tokens.errors import (
    ExpiredToken,
    InvalidClaim,
    TokenNotYetValid,
    WrongAudience,
    WrongClient,
    WrongIssuer,
    WrongTokenUse,
)
from resource_server.tokens.parsing import read_object
from resource_server.tokens.pool import UserPool

SIGN_IN_SCOPE = "aws.cognito.signin.user.admin"
"""What Cognito's own operations ask of an access token; every sign-in gives it."""

# Characters. Cognito's are UUIDs, and user names of at most 128 (API reference); a store may count
# on it, and on the absence of NUL, which PostgreSQL does not take.
_LONGEST_NAME, _LONGEST_ID = 128, 256
_LENGTHS = {
    "sub": _LONGEST_NAME,
    "username": _LONGEST_NAME,
    "jti": _LONGEST_ID,
    "origin_jti": _LONGEST_ID,
}
# RFC 6749 §3.3: scope-token *( SP scope-token ).
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


class _Claims(NamedTuple):
    sub: str
    """The stable key of the user; of a client-credentials token, the client."""
    username: str | None
    """A UUID, an e-mail address or a chosen name; absent from client-credentials tokens."""
    client_id: str
    issuer: str
    """The `iss` claim. One pool can sign with either of two: compare `pool_id` instead."""
    pool_id: str
    """The user pool that issued the token. A `sub` or a `jti` is unique in its pool only."""
    scopes: frozenset[str]
    groups: tuple[str, ...]
    jti: str | None
    origin_jti: str | None
    """Shared by every token of one sign-in."""
    issued_at: float
    not_before: float
    """The later of `iat` and `nbf`."""
    expires_at: float
    auth_time: float | None
    """When the user signed in; refreshing keeps it."""
    payload: bytes
    """The JSON that was signed, of which `claims` is made."""


class AccessToken(_Claims):
    """A verified Cognito access token; only `CognitoVerifier.verify` makes one.

    Times are seconds since the epoch. The token's text is not kept. It cannot be changed: it is a
    tuple, since a frozen dataclass takes ten times as long to make.
    """

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> Self:
        """Refuse: see above."""
        raise TypeError("an AccessToken is made by CognitoVerifier.verify() alone")

    # What a named tuple has to make another one, and what pickle and copy would call.
    if not TYPE_CHECKING:
        _make = _replace = __reduce_ex__ = __new__

    @property
    def claims(self) -> Mapping[str, Any]:
        """All claims, read-only, for what a Pre Token Generation trigger added.

        They are read anew each time. So nobody can write into what every request that brings the
        token shares, and a remembered token is few objects for the garbage collector to visit.
        """
        return MappingProxyType(orjson.loads(self.payload))

    def __repr__(self) -> str:
        return "<AccessToken>"  # tokens end in logs and traces, claims must not

    # Two verified tokens are the same only if they are one: never by what they say.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__


def check_claims(
    payload: bytes,
    pool: UserPool,
    client_ids: Collection[str] | None,
    now: float,
    leeway: float,
) -> AccessToken:
    """Read and check the claims of a token whose signature is verified.

    The rules are those of the Cognito guide ("Verifying JSON web tokens") and of RFC 7519 §4.1.
    `payload` is the JSON that was signed; `now` and `leeway` are in seconds; `client_ids=None`
    accepts every app client of the pool.

    Raises MalformedToken, or one InvalidToken class for each rule.
    """
    claims = read_object(payload)
    get: Callable[..., Any] = claims.get
    try:
        issuer, token_use, client_id = claims["iss"], claims["token_use"], claims["client_id"]
        sub, expires_at, issued_at = claims["sub"], claims["exp"], claims["iat"]
    except KeyError:
        _check_types(claims)
        raise
    username, scope, jti = get("username", ""), get("scope", ""), get("jti", "")
    origin_jti, not_before, auth_time = get("origin_jti", ""), get("nbf", 0), get("auth_time", 0)
    # An ordinary token's types, seen at a glance; anything else is looked at claim by claim.
    if not (
        type(issuer) is type(token_use) is type(client_id) is type(sub) is str
        and type(username) is type(scope) is type(jti) is type(origin_jti) is str
        and type(expires_at) is type(issued_at) is type(not_before) is type(auth_time) is int
        and issuer and token_use and client_id and 0 < len(sub) <= _LONGEST_NAME
        and len(username) <= _LONGEST_NAME and len(jti) <= _LONGEST_ID >= len(origin_jti)
        and "\0" not in sub + username + jti + origin_jti
    ):  # fmt: skip
        _check_types(claims)
    if issuer not in pool.issuers:
        raise WrongIssuer
    if token_use != "access":  # noqa: S105 - no password
        raise WrongTokenUse
    if client_ids is not None and client_id not in client_ids:
        raise WrongClient
    if "aud" in claims:
        _check_audience(claims["aud"], client_ids)
    not_before = max(not_before, issued_at)
    check_times(expires_at, not_before, now, leeway)
    values = (
        sub,
        username or None,
        client_id,
        issuer,
        pool.id,
        _scopes(scope),
        _groups(claims["cognito:groups"]) if "cognito:groups" in claims else (),
        jti or None,
        origin_jti or None,
        issued_at,
        not_before,
        expires_at,
        auth_time if "auth_time" in claims else None,
        payload,
    )
    return tuple.__new__(AccessToken, values)


def check_times(expires_at: float, not_before: float, now: float, leeway: float) -> None:
    """Check that a token is valid at this time, all in seconds (RFC 7519 §4.1.4, §4.1.5).

    Raises ExpiredToken or TokenNotYetValid.
    """
    if now >= expires_at + leeway:
        raise ExpiredToken
    if now + leeway < not_before:
        raise TokenNotYetValid


def _check_audience(audience: object, client_ids: Collection[str] | None) -> None:
    """Accept `aud`, text or a list of text (RFC 7519 §4.1.3), where it names an allowed client."""
    audiences = audience if isinstance(audience, list) else [audience]
    if not audiences or not all(isinstance(name, str) for name in audiences):
        raise InvalidClaim("aud")
    if client_ids is not None and not any(name in client_ids for name in audiences):
        raise WrongAudience


def _check_types(claims: dict[str, Any]) -> None:
    """Find the claim that is missing or of the wrong type, if there is one.

    An ID token, which lacks `client_id`, is told as what it is.
    """
    if isinstance(claims.get("token_use"), str) and claims["token_use"] not in {"access", ""}:
        raise WrongTokenUse
    for name in ("iss", "token_use", "client_id", "sub"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise InvalidClaim(name)
    for name in ("username", "scope", "jti", "origin_jti"):
        if not isinstance(claims.get(name, ""), str):
            raise InvalidClaim(name)
    for name, longest in _LENGTHS.items():
        if len(claims.get(name, "")) > longest or "\0" in claims.get(name, ""):
            raise InvalidClaim(name)
    for name in ("exp", "iat", "nbf", "auth_time"):
        # A NumericDate (RFC 7519 §2) is a number, so no text and no boolean.
        value = claims.get(name, 0 if name in {"nbf", "auth_time"} else None)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidClaim(name)


@functools.lru_cache(maxsize=256)
def _scopes(scope: str) -> frozenset[str]:
    """Split a list of scopes; a pool gives out few different ones.

    Only U+0020 parts them: nobody gains a scope by a tab or a newline, or whatever else `split`
    takes for a space.
    """
    if scope and not _SCOPES.fullmatch(scope):
        raise InvalidClaim("scope")
    return frozenset(scope.split())


def _groups(groups: object) -> tuple[str, ...]:
    """Read `cognito:groups`; absent means that the user is in none."""
    if not isinstance(groups, list):
        raise InvalidClaim("cognito:groups")
    try:
        "".join(groups)  # the quickest way to see that all of them are text
    except TypeError:
        raise InvalidClaim("cognito:groups") from None
    return tuple(groups)
