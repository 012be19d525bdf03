"""The claims of a Cognito access token: what each must be, and the type they come out as."""

import math
from collections.abc import Collection, Mapping
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType
from typing import Any

from resource_server.tokens.errors import (
    ExpiredToken,
    InvalidClaim,
    TokenNotYetValid,
    WrongAudience,
    WrongClient,
    WrongIssuer,
    WrongTokenUse,
)
from resource_server.tokens.pool import UserPool

_SEAL = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A verified Cognito access token; only `CognitoVerifier.verify` makes one.

    Times are seconds since the epoch. The token's text is not kept.
    """

    sub: str
    """The stable key of the user; of a client-credentials token, the client."""
    username: str | None
    """A UUID, an e-mail address or a chosen name; absent from client-credentials tokens."""
    client_id: str
    issuer: str
    scopes: frozenset[str]
    groups: tuple[str, ...]
    jti: str | None
    origin_jti: str | None
    """Shared by every token of one sign-in."""
    issued_at: float
    expires_at: float
    auth_time: float | None
    """When the user signed in; refreshing keeps it."""
    claims: Mapping[str, Any] = field(repr=False)
    """All claims, read-only, for what a Pre Token Generation trigger added."""
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("an AccessToken is made by CognitoVerifier.verify() alone")


def check_claims(
    claims: dict[str, Any],
    *,
    pool: UserPool,
    client_ids: Collection[str] | None,
    now: float,
    leeway: float,
) -> AccessToken:
    """Check the claims of a token whose signature is verified.

    The rules are those of the Cognito guide ("Verifying JSON web tokens") and of RFC 7519 §4.1.
    `now` and `leeway` are in seconds; `client_ids=None` accepts every app client of the pool.

    Raises one InvalidToken class for each rule.
    """
    issuer = _text(claims, "iss")
    if issuer not in pool.issuers:
        raise WrongIssuer
    if _text(claims, "token_use") != "access":
        raise WrongTokenUse
    client_id = _text(claims, "client_id")
    if client_ids is not None and client_id not in client_ids:
        raise WrongClient
    _check_audience(claims, client_ids)
    expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
    if now >= expires_at + leeway:
        raise ExpiredToken
    if now + leeway < issued_at or ("nbf" in claims and now + leeway < _time(claims, "nbf")):
        raise TokenNotYetValid
    return AccessToken(
        sub=_text(claims, "sub"),
        username=_optional_text(claims, "username"),
        client_id=client_id,
        issuer=issuer,
        scopes=frozenset((_optional_text(claims, "scope") or "").split()),
        groups=_groups(claims),
        jti=_optional_text(claims, "jti"),
        origin_jti=_optional_text(claims, "origin_jti"),
        issued_at=issued_at,
        expires_at=expires_at,
        auth_time=_time(claims, "auth_time") if "auth_time" in claims else None,
        claims=MappingProxyType(claims),
        seal=_SEAL,
    )


def _check_audience(claims: dict[str, Any], client_ids: Collection[str] | None) -> None:
    """Accept `aud`, text or a list of text (RFC 7519 §4.1.3), where it names an allowed client."""
    if "aud" not in claims:
        return
    audience = claims["aud"]
    audiences = audience if isinstance(audience, list) else [audience]
    if not audiences or not all(isinstance(name, str) for name in audiences):
        raise InvalidClaim("aud")
    if client_ids is not None and not any(name in client_ids for name in audiences):
        raise WrongAudience


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidClaim(name)
    return value


def _optional_text(claims: dict[str, Any], name: str) -> str | None:
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise InvalidClaim(name)
    return value or None


def _time(claims: dict[str, Any], name: str) -> float:
    """Read a NumericDate (RFC 7519 §2): a finite number, so no text and no boolean."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidClaim(name)
    try:
        seconds = float(value)
    except OverflowError as error:
        raise InvalidClaim(name) from error
    if not math.isfinite(seconds):
        raise InvalidClaim(name)
    return seconds


def _groups(claims: dict[str, Any]) -> tuple[str, ...]:
    """Read `cognito:groups`; absent means that the user is in none."""
    groups = claims.get("cognito:groups", [])
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise InvalidClaim("cognito:groups")
    return tuple(groups)
