"""A pool with its client and accounts, to and from JSON, so that a restart loses nobody.

Passwords are kept as scrypt hashes, like a real directory would.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from moto.cognitoidp.models import (
    CognitoIdpGroup,
    CognitoIdpUser,
    CognitoIdpUserPool,
    UserStatus,
)
from moto.cognitoidp.utils import expand_attrs, flatten_attrs
from werkzeug.security import check_password_hash, generate_password_hash

from resource_server.emulator.gaps import user_status


class HashedPassword:
    """Stands where moto keeps a password, which it compares with what was typed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, hashed: str) -> None:
        self.hashed = hashed

    def __eq__(self, typed: object) -> bool:
        return isinstance(typed, str) and check_password_hash(self.hashed, typed)


def dump(pool: CognitoIdpUserPool, still_valid: Iterable[str]) -> dict[str, Any]:
    """Return the accounts and sign-ins of a pool; of the access tokens, those still valid."""
    valid = set(still_valid)
    return {
        "groups": [
            [group.group_name, group.description, group.role_arn, group.precedence]
            for group in pool.groups.values()
        ],
        "users": [_dump_user(user) for user in pool.users.values()],
        "refresh_tokens": {k: list(v) for k, v in pool.refresh_tokens.items() if v is not None},
        "access_tokens": {k: list(v) for k, v in pool.access_tokens.items() if k in valid},
    }


def restore(pool: CognitoIdpUserPool, stored: Mapping[str, Any]) -> None:
    """Put accounts and sign-ins back into a new pool."""
    for name, description, role_arn, precedence in stored["groups"]:
        group = CognitoIdpGroup(pool.id, name, description, role_arn, precedence)
        pool.groups[name] = group
    for entry in stored["users"]:
        user = _restore_user(pool, entry)
        pool.users[user.username] = user
        user.groups = {pool.groups[name] for name in entry["groups"]}
        for group in user.groups:
            group.users.add(user)
    for token, (client_id, username, origin_jti) in stored["refresh_tokens"].items():
        pool.refresh_tokens[token] = (client_id, username, origin_jti)
    for token, (client_id, username) in stored["access_tokens"].items():
        pool.access_tokens[token] = (client_id, username)


def _dump_user(user: CognitoIdpUser) -> dict[str, Any]:
    password: str | HashedPassword | None = user.password
    if isinstance(password, str):
        password = HashedPassword(generate_password_hash(password))
        user.password = password  # type: ignore[assignment]  # moto only compares it
    return {
        "username": user.username,
        "sub": user.id,
        "password": password.hashed if password else None,
        "status": user_status(user),
        "enabled": user.enabled,
        "attributes": flatten_attrs(user.attributes),
        "confirmation_code": user.confirmation_code,
        "groups": sorted(group.group_name for group in user.groups),
    }


def _restore_user(pool: CognitoIdpUserPool, entry: Mapping[str, Any]) -> CognitoIdpUser:
    user = CognitoIdpUser(
        user_pool_id=pool.id,
        username=entry["username"],
        password=None,
        status=UserStatus(entry["status"]),
        attributes=expand_attrs(entry["attributes"]),
    )
    user.id = entry["sub"]
    user.update_attributes([{"Name": "sub", "Value": user.id}])
    if entry["password"]:
        user.password = HashedPassword(entry["password"])  # type: ignore[assignment]
    user.enabled = entry["enabled"]
    user.confirmation_code = entry["confirmation_code"]
    return user
