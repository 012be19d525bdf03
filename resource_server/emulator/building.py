"""Declared pools, put into moto."""

from typing import Any

from moto.cognitoidp.models import (
    CognitoIdpUserPool,
    CognitoIdpUserPoolClient,
    CognitoResourceServer,
    cognitoidp_backends,
)
from moto.core.models import DEFAULT_ACCOUNT_ID

from resource_server.emulator import gaps
from resource_server.emulator.declared import Client, Pool, User
from resource_server.emulator.gaps.clocks import clock
from resource_server.emulator.gaps.directory import find_user
from resource_server.emulator.gaps.records import ClientSecret, secrets_of, set_secrets
from resource_server.emulator.trigger import Handler


def new_pool(pool_id: str, name: str, config: dict[str, Any]) -> CognitoIdpUserPool:
    """Make a pool that is found by its id; moto would make the id up."""
    region = pool_id.partition("_")[0]
    pool = CognitoIdpUserPool(DEFAULT_ACCOUNT_ID, region, name, config)
    pool.arn = pool.arn.replace(pool.id, pool_id)
    pool.id = pool_id
    cognitoidp_backends[DEFAULT_ACCOUNT_ID][region].user_pools[pool_id] = pool
    return pool


def new_client(
    pool: CognitoIdpUserPool, client_id: str, secret: str | None, config: dict[str, Any]
) -> CognitoIdpUserPoolClient:
    """Make an app client of a pool; without a secret a public one."""
    client = CognitoIdpUserPoolClient(
        pool.id, generate_secret=secret is not None, extended_config=config
    )
    client.id = client_id
    if secret is not None:
        client.secret = secret
    pool.clients[client_id] = client
    return client


def configure(entry: Pool, trigger: Handler | None = None) -> CognitoIdpUserPool:
    """Make a pool with its clients and resource servers, or give one that is there its settings.

    What others added to it stays.
    """
    config = _pool_config(entry)
    if trigger is not None:
        arn = (
            f"arn:aws:lambda:{entry.region}:{DEFAULT_ACCOUNT_ID}:function:"
            f"{entry.id}-pre-token-generation"
        )
        gaps.register_trigger(arn, trigger)
        config["LambdaConfig"] = {
            "PreTokenGenerationConfig": {"LambdaVersion": "V2_0", "LambdaArn": arn}
        }
    name = entry.name or entry.id
    pool = gaps.find_pool(entry.id)
    if pool is None:
        pool = new_pool(entry.id, name, config)
    pool.name, pool.mfa_config = name, entry.mfa.upper()
    pool.token_mfa_config = {"Enabled": entry.mfa != "off"}
    pool.update_extended_config(config)
    for server in entry.resource_servers:
        scopes = [{"ScopeName": name, "ScopeDescription": name} for name in server.scopes]
        pool.resource_servers[server.identifier] = CognitoResourceServer(
            pool.id, server.identifier, server.identifier, scopes
        )
    for client in entry.clients:
        _configure_client(pool, client, entry.scopes_of(client))
    return pool


def _pool_config(entry: Pool) -> dict[str, Any]:
    policy = entry.password_policy
    config = {
        "AutoVerifiedAttributes": list(entry.verify),
        "MfaConfiguration": entry.mfa.upper(),
        "Policies": {
            "PasswordPolicy": {
                "MinimumLength": policy.minimum_length,
                "RequireUppercase": policy.uppercase,
                "RequireLowercase": policy.lowercase,
                "RequireNumbers": policy.numbers,
                "RequireSymbols": policy.symbols,
            }
        },
    }
    return config | ({"UsernameAttributes": entry.sign_in_with} if entry.sign_in_with else {})


def _configure_client(pool: CognitoIdpUserPool, entry: Client, scopes: list[str]) -> None:
    before = pool.clients.get(entry.id)
    secret = entry.secret.get_secret_value() if entry.secret else None
    client = new_client(pool, entry.id, secret, _client_config(entry, scopes))
    if secret is None:
        return
    own = ClientSecret(f"{client.id}--1", secret, clock.now())
    added = [kept for kept in secrets_of(before) if kept.id != own.id] if before else []
    set_secrets(client, [own, *added])


def _client_config(entry: Client, scopes: list[str]) -> dict[str, Any]:
    grants = ["code"] if entry.callback_urls else []
    grants += ["client_credentials"] if entry.client_credentials else []
    config: dict[str, Any] = {
        "ClientName": entry.name or entry.id,
        "ExplicitAuthFlows": list(entry.flows),
        "EnableTokenRevocation": True,
        "PreventUserExistenceErrors": "ENABLED",
        "AccessTokenValidity": entry.access_token_seconds,
        "IdTokenValidity": entry.id_token_seconds,
        "RefreshTokenValidity": entry.refresh_token_seconds,
        "TokenValidityUnits": dict.fromkeys(("AccessToken", "IdToken", "RefreshToken"), "seconds"),
    }
    if grants:
        config |= {
            "AllowedOAuthFlowsUserPoolClient": True,
            "AllowedOAuthFlows": grants,
            "AllowedOAuthScopes": scopes,
            "CallbackURLs": list(entry.callback_urls),
            "LogoutURLs": list(entry.logout_urls),
            "SupportedIdentityProviders": ["COGNITO"],
        }
    if entry.rotate_refresh_tokens:
        config["RefreshTokenRotation"] = {"Feature": "ENABLED", "RetryGracePeriodSeconds": 0}
    return config


def ensure_users(pool: CognitoIdpUserPool, entry: Pool) -> None:
    """Make the declared users who are not there; the others stay as they are."""
    for user in entry.users:
        if find_user(pool, user.username) is None:
            _make_user(pool, user)


def _make_user(pool: CognitoIdpUserPool, entry: User) -> None:
    backend, password = pool.backend, entry.password.get_secret_value()
    attributes = [{"Name": name, "Value": value} for name, value in entry.attributes.items()]
    made = backend.admin_create_user(pool.id, entry.username, "SUPPRESS", password, attributes)
    if not entry.temporary:
        backend.admin_set_user_password(pool.id, made.username, password, permanent=True)
    for group in entry.groups:
        if group not in pool.groups:
            backend.create_group(pool.id, group, "", "", 0)
        backend.admin_add_user_to_group(pool.id, group, made.username)
