"""Who is asked for: pools, app clients, users; and who asks: secret hashes and access tokens."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

from moto.cognitoidp.models import (
    CognitoIdpUser,
    CognitoIdpUserPool,
    CognitoIdpUserPoolClient,
    UserStatus,
    cognitoidp_backends,
)
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.exceptions import JsonRESTError

from resource_server.emulator.gaps.clocks import clock
from resource_server.emulator.gaps.records import secrets_of
from resource_server.tokens import TokenError
from resource_server.tokens.claims import SIGN_IN_SCOPE
from resource_server.tokens.parsing import unverified_claims

WRONG_CREDENTIALS = "Incorrect username or password."


def refusal(code: str, message: str) -> JsonRESTError:
    """Make one of Cognito's errors."""
    return JsonRESTError(code, message)


def not_authorized(message: str) -> JsonRESTError:
    """Make the error that stands for a dozen situations (T23)."""
    return refusal("NotAuthorizedException", message)


def parameter(call: CognitoIdpResponse, name: str) -> Any:
    """Read a parameter of an operation; None if it was not sent."""
    return call._get_param(name)  # noqa: SLF001 - how moto's own operations read


def pools() -> Iterator[CognitoIdpUserPool]:
    """Every pool there is. Public operations are unsigned and so tell no region."""
    for regions in cognitoidp_backends.values():
        for backend in regions.values():
            yield from backend.user_pools.values()


def find_pool(pool_id: str) -> CognitoIdpUserPool | None:
    """Find a pool in any region."""
    return next((pool for pool in pools() if pool.id == pool_id), None)


def user_status(user: CognitoIdpUser) -> str:
    """Return a user's status as text; moto keeps an enum there."""
    return UserStatus(user.status).value


def client_of(call: CognitoIdpResponse) -> tuple[CognitoIdpUserPool, CognitoIdpUserPoolClient]:
    """Find the app client that an operation names, and its pool, in any region."""
    client_id = parameter(call, "ClientId")
    for pool in pools():
        if client_id in pool.clients:
            return pool, pool.clients[client_id]
    raise refusal("ResourceNotFoundException", f"User pool client {client_id} does not exist.")


def require_secret_hash(client: CognitoIdpUserPoolClient, sent: str | None, *names: str) -> None:
    """Check SECRET_HASH against any of the names and secrets (guide, "secret hash values")."""
    if not client.generate_secret:
        return
    if sent is None:
        raise not_authorized(
            f"Client {client.id} is configured with secret but SECRET_HASH was not received"
        )
    for secret in secrets_of(client):
        for name in names:
            message = (name + client.id).encode()
            digest = hmac.digest(secret.value.encode(), message, hashlib.sha256)
            if hmac.compare_digest(base64.b64encode(digest), sent.encode()):
                return
    raise not_authorized(f"Unable to verify secret hash for client {client.id}")


def require_client_secret(client: CognitoIdpUserPoolClient, sent: str | None) -> None:
    """Check the client secret itself, which two operations take instead of a hash (T18)."""
    if not client.generate_secret:
        return
    if sent is None:
        raise not_authorized(f"Client {client.id} is configured with secret but none was received")
    if not any(
        hmac.compare_digest(secret.value.encode(), sent.encode()) for secret in secrets_of(client)
    ):
        raise not_authorized(f"Unable to verify secret hash for client {client.id}")


def hides_users(client: CognitoIdpUserPoolClient) -> bool:
    """Tell whether the client must not learn who exists (PreventUserExistenceErrors)."""
    return bool(client.extended_config.get("PreventUserExistenceErrors") == "ENABLED")


def _get_user(self: CognitoIdpUserPool, username: str) -> CognitoIdpUser | None:
    """Find a user by name, alias or `sub`; moto knows no AliasAttributes, and no `sub`."""
    if username in self.users:
        return self.users[username]
    config = self.extended_config
    aliases = {*(config.get("UsernameAttributes") or [])}
    verified = {*(config.get("AliasAttributes") or [])}
    for user in self.users.values():
        own = user.attribute_lookup
        aliases_of_user = {own.get(name) for name in aliases} | {
            own.get(name)
            for name in verified
            if name == "preferred_username" or own.get(f"{name}_verified") == "true"
        }
        if username == user.id or username in aliases_of_user:
            return user
    return None


def find_user(pool: CognitoIdpUserPool, name: str) -> CognitoIdpUser | None:
    """Find a user by name, alias or `sub`."""
    return _get_user(pool, name)


def client_and_user(
    call: CognitoIdpResponse,
) -> tuple[CognitoIdpUserPool, CognitoIdpUserPoolClient, CognitoIdpUser | None]:
    """Read ClientId, SecretHash and Username of a public operation; there may be no such user.

    To a client that may learn it, a user that is not there is UserNotFoundException.
    """
    pool, client = client_of(call)
    username = parameter(call, "Username")
    require_secret_hash(client, parameter(call, "SecretHash"), username)
    user = find_user(pool, username)
    if user is None and not hides_users(client):
        raise refusal("UserNotFoundException", "Username/client id combination not found.")
    return pool, client, user


def bearer(call: CognitoIdpResponse) -> tuple[CognitoIdpUserPool, CognitoIdpUser]:
    """Find pool and user of an operation's access token, in any region.

    A user who has the name of a deleted one is not meant by a token of that one's (T12).
    """
    return bearer_of(parameter(call, "AccessToken"), SIGN_IN_SCOPE)


def bearer_of(token: str, scope: str) -> tuple[CognitoIdpUserPool, CognitoIdpUser]:
    """Find pool and user of an access token that must have a scope.

    Raises NotAuthorizedException.
    """
    for pool in pools():
        if token in pool.access_tokens:
            claims = unverified_claims(token)
            user = pool.users.get(pool.access_tokens[token][1])
            if user is not None and user.id == claims["sub"]:
                _require_usable(claims, user, scope)
                return pool, user
    try:
        unverified_claims(token)
    except TokenError:
        raise not_authorized("Invalid Access Token") from None
    raise not_authorized("Access Token has been revoked")


def _require_usable(claims: dict[str, Any], user: CognitoIdpUser, scope: str) -> None:
    if claims["exp"] <= clock.now():
        raise not_authorized("Access Token has expired")
    if scope not in claims.get("scope", "").split():
        raise not_authorized("Access Token does not have required scopes")
    require_enabled(user)
    require_no_reset(user)


def require_enabled(user: CognitoIdpUser) -> None:
    """Refuse a disabled user."""
    if not user.enabled:
        raise not_authorized("User is disabled.")


def require_no_reset(user: CognitoIdpUser) -> None:
    """Refuse a user whose password an administrator has reset (T31)."""
    if user.status == UserStatus.RESET_REQUIRED:
        raise refusal("PasswordResetRequiredException", "Password reset required for the user")


def require_good_password(pool: CognitoIdpUserPool, password: str) -> None:
    """Check the pool's password policy; moto has the check, not everywhere the call."""
    pool.backend._validate_password(pool.id, password)  # noqa: SLF001 - moto has no other way
