"""All pools to and from JSON, with their clients and configuration, whoever made them."""

from collections.abc import Mapping
from typing import Any

from moto.cognitoidp.models import (
    CognitoIdpUserPool,
    CognitoIdpUserPoolAttribute,
    CognitoResourceServer,
)

from resource_server.emulator import accounts, gaps
from resource_server.emulator.building import new_client, new_pool
from resource_server.emulator.keys import PoolKeys


def dump() -> list[dict[str, Any]]:
    """Return what `restore` reads; it holds private keys and client secrets."""
    return [_dump_pool(pool) for pool in gaps.pools()]


def restore(stored: list[dict[str, Any]]) -> None:
    """Make the pools as they were.

    Raises AttributeError, KeyError, TypeError, ValueError or joserfc's errors if it cannot.
    """
    for entry in stored:
        _restore_pool(entry)


def _dump_pool(pool: CognitoIdpUserPool) -> dict[str, Any]:
    return {
        "id": pool.id,
        "name": pool.name,
        "config": pool.extended_config,
        "attributes": [attribute.to_json() for attribute in pool.schema_attributes.values()],
        "mfa": [pool.mfa_config, pool.sms_mfa_config, pool.token_mfa_config],
        "clients": [
            {
                "id": client.id,
                "secret": client.secret if client.generate_secret else None,
                "config": client.extended_config,
            }
            for client in pool.clients.values()
        ],
        "resource_servers": [
            [server.identifier, server.name, server.scopes]
            for server in pool.resource_servers.values()
        ],
        "keys": gaps.keys_of(pool).to_private_json(),
        "accounts": accounts.dump(pool),
    }


def _restore_pool(entry: Mapping[str, Any]) -> None:
    pool = new_pool(entry["id"], entry["name"], entry["config"])
    made = [_attribute(shown) for shown in entry["attributes"]]
    pool.schema_attributes = {attribute.name: attribute for attribute in made}
    pool.mfa_config, pool.sms_mfa_config, pool.token_mfa_config = entry["mfa"]
    for client in entry["clients"]:
        new_client(pool, client["id"], client["secret"], client["config"])
    for identifier, name, scopes in entry["resource_servers"]:
        pool.resource_servers[identifier] = CognitoResourceServer(pool.id, identifier, name, scopes)
    gaps.set_keys(pool, PoolKeys.from_private_json(entry["keys"]))
    accounts.restore(pool, entry["accounts"])


def _attribute(shown: Mapping[str, Any]) -> CognitoIdpUserPoolAttribute:
    """Make an attribute of a pool's schema; moto puts the prefix of custom ones before the name."""
    custom, name = ":" in shown["Name"], shown["Name"].rpartition(":")[2]
    return CognitoIdpUserPoolAttribute(name, custom, {**shown, "Name": name})
