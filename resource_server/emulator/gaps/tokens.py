"""Tokens: keys, claims, lifetimes and the trigger; how sign-ins go on and end."""

import base64
import hashlib
import json
import math
import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from moto.cognitoidp import models, urls
from moto.cognitoidp.models import CognitoIdpUser, CognitoIdpUserPool, CognitoIdpUserPoolClient
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.cognitoidp.utils import flatten_attrs
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, EmptyResult

from resource_server.emulator import trigger
from resource_server.emulator.gaps import devices
from resource_server.emulator.gaps.clocks import clock
from resource_server.emulator.gaps.directory import (
    bearer,
    client_of,
    find_pool,
    find_user,
    not_authorized,
    parameter,
    refusal,
    require_client_secret,
    require_enabled,
    user_status,
)
from resource_server.emulator.gaps.records import RefreshToken, record_of, refresh_tokens_of
from resource_server.emulator.keys import PoolKeys, TokenUse
from resource_server.tokens import TokenError
from resource_server.tokens.claims import SIGN_IN_SCOPE
from resource_server.tokens.parsing import unverified_claims

_SIGN_IN, _REFRESH = "TokenGeneration_Authentication", "TokenGeneration_RefreshTokens"
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
# Cognito API reference, CreateUserPoolClient: default value, and the unit if none is given.
_DEFAULTS = {"AccessToken": (1, "hours"), "IdToken": (1, "hours"), "RefreshToken": (30, "days")}

# Guide, "The user attributes endpoint": the attributes that a scope shows.
_PROFILE = (
    "name family_name given_name middle_name nickname preferred_username profile picture website "
    "gender birthdate zoneinfo locale updated_at"
)
_ATTRIBUTES = {
    "profile": frozenset(_PROFILE.split()),
    "email": frozenset({"email", "email_verified"}),
    "phone": frozenset({"phone_number", "phone_number_verified"}),
}
_BOOLEAN = {"email_verified", "phone_number_verified"}

_triggers: dict[str, trigger.Handler] = {}
_default_triggers: list[trigger.Handler] = []
_issuers: dict[str, str | None] = {}


def register_trigger(arn: str, handler: trigger.Handler) -> None:
    """Let a pool's `PreTokenGenerationConfig.LambdaArn` stand for a Python function."""
    _triggers[arn] = handler


def set_default_trigger(handler: trigger.Handler | None) -> None:
    """Let a function be the trigger of pools that have none configured."""
    _default_triggers[:] = [] if handler is None else [handler]


def keys_of(pool: CognitoIdpUserPool) -> PoolKeys:
    """Return the pool's own keys; they are made when first needed."""
    keys = getattr(pool, "emulator_keys", None)
    if not isinstance(keys, PoolKeys):
        keys = PoolKeys.generate()
        set_keys(pool, keys)
    return keys


def set_keys(pool: CognitoIdpUserPool, keys: PoolKeys) -> None:
    """Give a pool its keys."""
    pool.emulator_keys = keys  # type: ignore[attr-defined]


def issuer_of(pool: CognitoIdpUserPool) -> str:
    """Return the `iss` of the pool's tokens: AWS's, unless `set_issuer` says otherwise."""
    base = _issuers.get("base") or f"https://cognito-idp.{pool.region}.amazonaws.com"
    return f"{base}/{pool.id}"


def set_issuer(base: str | None) -> None:
    """Let all pools issue tokens under an address; with None they do so under AWS's."""
    _issuers["base"] = base


# Making them


def complete_sign_in(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    user: CognitoIdpUser,
    device_key: str | None = None,
) -> dict[str, Any]:
    """Finish a sign-in that needs no more. A pool that remembers devices gives a new one a key."""
    made: dict[str, str] | None = None
    if not devices.remembers(pool):
        device_key = None
    elif device_key is None:
        made = devices.make(pool, user)
        device_key = made["DeviceKey"]
    else:
        devices.require_known(user, device_key)
    result = begin_family(
        pool, client, user, _SIGN_IN, auth_time=int(clock.now()), device_key=device_key
    )
    if made is not None:
        result["NewDeviceMetadata"] = made
    record_of(user).failures.pop("sign-in", None)
    return {"ChallengeParameters": {}, "AuthenticationResult": result}


def begin_family(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    user: CognitoIdpUser,
    source: str,
    *,
    auth_time: int,
    scopes: list[str] | None = None,
    nonce: str | None = None,
    device_key: str | None = None,
) -> dict[str, Any]:
    """Make the first tokens of a sign-in; `source` is what the trigger is told.

    `scopes` are those that the token endpoint was asked for; `auth_time` is in seconds since 1970.
    """
    token = RefreshToken(
        client_id=client.id,
        sub=user.id,
        origin_jti=str(uuid.uuid4()),
        auth_time=auth_time,
        expires_at=clock.now() + _lifetime(client, "RefreshToken"),
        scopes=scopes,
        device_key=device_key,
    )
    result = _issue(pool, client, user, token, source, nonce=nonce)
    result["RefreshToken"] = _keep(pool, token)
    return result


def issue_to_client(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    scopes: Iterable[str],
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make an access token that belongs to the client (client credentials).

    Only under V3_0 a trigger runs for it (guide, "Pre token generation Lambda trigger").
    """
    asked = list(scopes)
    changes = trigger.TriggerResult()
    found = _trigger_of(pool)
    if found is not None and found[1] == "3":
        event = trigger.client_event(
            region=pool.region,
            pool_id=pool.id,
            client_id=client.id,
            scopes=asked,
            metadata=metadata,
        )
        changes = _run(found[0], event)
    seconds = _lifetime(client, "AccessToken")
    claims = {"sub": client.id, "auth_time": int(clock.now())}
    claims |= changes.access.claims({"version": 2})
    claims["scope"] = " ".join(changes.access.scopes(asked))
    access = _sign(pool, client, "access", claims, expires_in=seconds)
    return {"AccessToken": access, "ExpiresIn": seconds, "TokenType": "Bearer"}


def _keep(pool: CognitoIdpUserPool, token: RefreshToken) -> str:
    text = secrets.token_urlsafe(96)
    refresh_tokens_of(pool)[text] = token
    return text


def _lifetime(
    client: CognitoIdpUserPoolClient, kind: Literal["AccessToken", "IdToken", "RefreshToken"]
) -> int:
    """Return how long the client's tokens live, in seconds."""
    value, unit = _DEFAULTS[kind]
    unit = (client.extended_config.get("TokenValidityUnits") or {}).get(kind, unit)
    configured = client.extended_config.get(f"{kind}Validity")
    if configured:  # 0 stands for the default
        return int(configured) * _SECONDS[unit]
    return value * _SECONDS[_DEFAULTS[kind][1]]


def _issue(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    user: CognitoIdpUser,
    token: RefreshToken,
    source: str,
    *,
    nonce: str | None = None,
) -> dict[str, Any]:
    """Make an access token and, where it was asked for, an ID token; the trigger runs once."""
    asked = [SIGN_IN_SCOPE] if token.scopes is None else token.scopes
    changes = _run_trigger(pool, client.id, user, source, asked)
    # The claims of a family exist where tokens can be revoked (guide, "Revoking tokens").
    revocable = client.extended_config.get("EnableTokenRevocation") is not False
    family = {"origin_jti": token.origin_jti} if revocable else {}
    common = family | _groups(user, changes)

    of_user = {"sub": user.id, "auth_time": token.auth_time, "event_id": str(uuid.uuid4())}
    access_claims = of_user | {"username": user.username}
    access_claims |= changes.access.claims({"version": 2} | common)
    access_claims["scope"] = " ".join(changes.access.scopes(asked))
    seconds = _lifetime(client, "AccessToken")
    access = _sign(pool, client, "access", access_claims, expires_in=seconds)
    pool.access_tokens[access] = (client.id, user.username)
    result = {"AccessToken": access, "ExpiresIn": seconds, "TokenType": "Bearer"}

    if token.scopes is None or "openid" in token.scopes:
        shown = _as_claims(attributes_within(user, token.scopes))
        id_claims = of_user | {"cognito:username": user.username}
        id_claims |= changes.id.claims(shown | common | _role_claims(user, changes))
        if token.scopes is not None:
            id_claims["at_hash"] = _at_hash(access)
        if nonce is not None:
            id_claims["nonce"] = nonce
        result["IdToken"] = _sign(
            pool, client, "id", id_claims, expires_in=_lifetime(client, "IdToken")
        )
    return result


def attributes_within(user: CognitoIdpUser, scopes: Iterable[str] | None) -> dict[str, str]:
    """Return the attributes that the scopes let be seen, without `sub`.

    `openid` alone shows all; with others it shows theirs (guide, "The user attributes endpoint").
    """
    attributes = {k: v for k, v in flatten_attrs(user.attributes).items() if k != "sub"}
    narrowing = _ATTRIBUTES.keys() & set(scopes or ())
    if not narrowing:
        return attributes
    names = set().union(*(_ATTRIBUTES[scope] for scope in narrowing))
    custom = "profile" in narrowing
    return {k: v for k, v in attributes.items() if k in names or (custom and ":" in k)}


def _as_claims(attributes: dict[str, str]) -> dict[str, str | bool]:
    """Make booleans of what is one in ID tokens (OpenID Connect Core 1.0 §5.1; guide, "ID token").

    User information has them as text, with Cognito as here.
    """
    return {k: v == "true" if k in _BOOLEAN else v for k, v in attributes.items()}


def _at_hash(access_token: str) -> str:
    """Hash an access token for its ID token (OpenID Connect Core 1.0 §3.1.3.6)."""
    half = hashlib.sha256(access_token.encode()).digest()[:16]
    return base64.urlsafe_b64encode(half).rstrip(b"=").decode()


def _sign(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    use: TokenUse,
    more: dict[str, Any],
    *,
    expires_in: int,
) -> str:
    """Sign with the pool's own key; moto has one for all pools, and writes `typ: JWT`."""
    now = int(clock.now())
    claims = {
        "iss": issuer_of(pool),
        "client_id" if use == "access" else "aud": client.id,
        "token_use": use,
        "exp": now + expires_in,
        "iat": now,
        "jti": str(uuid.uuid4()),
    }
    return keys_of(pool).sign(use, claims | more)


def _groups(user: CognitoIdpUser, result: trigger.TriggerResult) -> dict[str, list[str]]:
    groups = sorted(group.group_name for group in user.groups)
    if result.groups is not None:
        groups = list(result.groups)
    return {"cognito:groups": groups} if groups else {}


def _role_claims(user: CognitoIdpUser, result: trigger.TriggerResult) -> dict[str, Any]:
    """Return the claims of the groups' IAM roles, which only ID tokens have."""
    roles, preferred = _roles(user)
    if result.groups is not None:
        roles, preferred = list(result.roles), result.preferred_role
    claims: dict[str, Any] = {"cognito:roles": roles} if roles else {}
    return claims | ({"cognito:preferred_role": preferred} if preferred else {})


def _roles(user: CognitoIdpUser) -> tuple[list[str], str | None]:
    """Return the roles of the user's groups, and the one of the group that takes precedence.

    The lowest value does, and none comes last. Two roles of the same value leave no preferred one
    (guide, "Assigning precedence values to groups").
    """
    ranks = {
        group.role_arn: min(
            math.inf if (value := cast("int | None", other.precedence)) is None else value
            for other in user.groups
            if other.role_arn == group.role_arn
        )
        for group in sorted(user.groups, key=lambda group: str(group.group_name))
        if group.role_arn
    }
    first = [role for role, rank in ranks.items() if rank == min(ranks.values())]
    return list(ranks), first[0] if len(first) == 1 else None


def _run_trigger(
    pool: CognitoIdpUserPool,
    client_id: str,
    user: CognitoIdpUser,
    source: str,
    scopes: list[str],
) -> trigger.TriggerResult:
    """Run the pool's trigger, if it is configured as V2 or V3. V1 changes no access token."""
    found = _trigger_of(pool)
    if found is None:
        return trigger.TriggerResult()
    handler, version = found
    roles, preferred = _roles(user)
    event = trigger.event(
        region=pool.region,
        pool_id=pool.id,
        client_id=client_id,
        username=user.username,
        attributes={**flatten_attrs(user.attributes), "cognito:user_status": user_status(user)},
        groups=sorted(group.group_name for group in user.groups),
        roles=roles,
        preferred_role=preferred,
        source=source,
        scopes=scopes,
        version=version,
    )
    return _run(handler, event)


def _run(handler: trigger.Handler, event: dict[str, Any]) -> trigger.TriggerResult:
    try:
        return trigger.run(handler, event)
    except trigger.InvalidTriggerAnswer as error:
        raise refusal("InvalidLambdaResponseException", str(error)) from error
    except Exception as error:
        message = f"PreTokenGeneration failed with error {error}."
        raise refusal("UserLambdaValidationException", message) from error


def _trigger_of(pool: CognitoIdpUserPool) -> tuple[trigger.Handler, str] | None:
    """Find the pool's trigger and the version of its events. One of the command line is V2."""
    config = pool.extended_config.get("LambdaConfig") or {}
    if not {"PreTokenGenerationConfig", "PreTokenGeneration"} & config.keys():
        return (_default_triggers[0], "2") if _default_triggers else None
    own = config.get("PreTokenGenerationConfig") or {}
    version = {"V2_0": "2", "V3_0": "3"}.get(own.get("LambdaVersion", ""))
    if version is None:
        return None
    if own["LambdaArn"] not in _triggers:
        raise refusal("UnexpectedLambdaException", f"no such function: {own['LambdaArn']}")
    return _triggers[own["LambdaArn"]], version


# Going on


def user_of_refresh_token(
    pool: CognitoIdpUserPool, client: CognitoIdpUserPoolClient, text: str
) -> CognitoIdpUser:
    """Find the user of a client's refresh token, whether or not the token still serves."""
    token = refresh_tokens_of(pool).get(text)
    user = find_user(pool, token.sub) if token and token.client_id == client.id else None
    if user is None:
        raise not_authorized("Invalid Refresh Token")
    return user


def refresh(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    text: str,
    device_key: str | None = None,
) -> dict[str, Any]:
    """Make new tokens for a refresh token; with rotation on there is a new one of these, too.

    The new one ends when the old one would have (guide, "Refresh token rotation").
    """
    user = user_of_refresh_token(pool, client, text)
    token = refresh_tokens_of(pool)[text]
    if token.revoked:
        raise not_authorized("Refresh Token has been revoked")
    if token.expires_at <= clock.now():
        raise not_authorized("Refresh Token has expired")
    rotation = client.extended_config.get("RefreshTokenRotation") or {}
    grace = rotation.get("RetryGracePeriodSeconds") or 0
    if token.replaced_at is not None and clock.now() >= token.replaced_at + grace:
        raise refusal("RefreshTokenReuseException", "Refresh token has been invalidated")
    devices.require_for_refresh(user, token, device_key)
    require_enabled(user)
    result = _issue(pool, client, user, token, _REFRESH)
    if rotates(client):
        if token.replaced_at is None:
            token.replaced_at = clock.now()
        result["RefreshToken"] = _keep(
            pool,
            replace(token, replaced_at=None),
        )
    return {"AuthenticationResult": result}


def rotates(client: CognitoIdpUserPoolClient) -> bool:
    """Tell whether each refresh gives a new refresh token."""
    rotation = client.extended_config.get("RefreshTokenRotation") or {}
    return bool(rotation.get("Feature") == "ENABLED")


def get_tokens_from_refresh_token(self: CognitoIdpResponse) -> ActionResult:
    """Refresh with the client's secret itself (T18); moto lacks the operation."""
    pool, client = client_of(self)
    require_client_secret(client, parameter(self, "ClientSecret"))
    text, device_key = parameter(self, "RefreshToken"), parameter(self, "DeviceKey")
    return ActionResult(refresh(pool, client, text, device_key))


# Ending


def revoke_token(self: CognitoIdpResponse) -> ActionResult:
    """End one sign-in (T16); moto lacks the operation. A second time changes nothing."""
    pool, client = client_of(self)
    try:
        require_client_secret(client, parameter(self, "ClientSecret"))
    except JsonRESTError as error:
        # The operation's model knows no NotAuthorizedException.
        raise refusal("UnauthorizedException", error.message) from error
    if client.extended_config.get("EnableTokenRevocation") is False:
        raise refusal(
            "UnsupportedOperationException", "Token revocation is not enabled for this client"
        )
    token = refresh_tokens_of(pool).get(parameter(self, "Token"))
    if token is None:
        raise refusal("UnsupportedTokenTypeException", "Unsupported token type")
    if token.client_id != client.id:
        raise refusal("UnauthorizedException", "The token was issued to another client")
    end_sign_in(pool, token.origin_jti)
    return EmptyResult()


def end_sign_in(pool: CognitoIdpUserPool, origin_jti: str) -> None:
    """Let all tokens of one sign-in count no more."""
    for token in refresh_tokens_of(pool).values():
        if token.origin_jti == origin_jti:
            token.revoked = True
    for access in list(pool.access_tokens):
        if unverified_claims(access).get("origin_jti") == origin_jti:
            del pool.access_tokens[access]


def sign_out(self: CognitoIdpUserPool, username: str) -> None:
    """End all sign-ins of a user, under whatever name; moto goes by the one that was typed."""
    user = find_user(self, username)
    if user is not None:
        for token in refresh_tokens_of(self).values():
            if token.sub == user.id:
                token.revoked = True
        end_access(self, user)


def end_access(pool: CognitoIdpUserPool, user: CognitoIdpUser) -> None:
    """Let a user's access tokens count no more with Cognito."""
    for access, (_, username) in list(pool.access_tokens.items()):
        if username == user.username:
            del pool.access_tokens[access]


def global_sign_out(self: CognitoIdpResponse) -> ActionResult:
    """Find the token in any region, where moto looks only where the request's address points."""
    pool, user = bearer(self)
    sign_out(pool, user.username)
    return EmptyResult()


def scopes_in(token: str) -> list[str]:
    """Read the scopes of one of our access tokens."""
    scopes: list[str] = unverified_claims(token)["scope"].split()
    return scopes


def still_valid(token: str) -> bool:
    """Tell whether an access token has not expired."""
    try:
        return float(unverified_claims(token)["exp"]) > clock.now()
    except (TokenError, KeyError, ValueError):
        return False


# Keys


def trust_nothing_but_own_keys() -> None:
    """Serve each pool's own JWKS, where moto has one static key for all, and do not load that key.

    Reading it takes 0.2 s a pool, and a token signed with it would be nobody's.
    """
    no_key = SimpleNamespace(RSAKey=SimpleNamespace(import_key=lambda _file: None))
    vars(models)["jwk"] = no_key
    for pattern in urls.url_paths:
        if "jwks.json" in pattern:
            urls.url_paths[pattern] = _serve_jwks


def _serve_jwks(
    _request: object, full_url: str, _headers: object
) -> tuple[int, dict[str, str], str]:
    pool_id = urlsplit(full_url).path.split("/")[1]
    if (pool := find_pool(pool_id)) is not None:
        return 200, {"Content-Type": "application/json"}, json.dumps(keys_of(pool).jwks())
    return 404, {"Content-Type": "application/json"}, '{"message": "User pool does not exist."}'
