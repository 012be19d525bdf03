"""A pool with its client and accounts, to and from JSON, so that a restart loses nobody.

Passwords are kept as scrypt hashes, like a real directory would.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from moto.cognitoidp.models import (
    CognitoIdpGroup,
    CognitoIdpUser,
    CognitoIdpUserPool,
    UserStatus,
)
from moto.cognitoidp.utils import expand_attrs, flatten_attrs
from werkzeug.security import check_password_hash, generate_password_hash

from resource_server.emulator.gaps import clock, user_status
from resource_server.emulator.gaps.codes import SIGN_UP
from resource_server.emulator.gaps.directory import find_user
from resource_server.emulator.gaps.records import (
    ClientSecret,
    Code,
    RefreshToken,
    UserRecord,
    record_of,
    refresh_tokens_of,
    secrets_of,
    set_record,
    set_secrets,
)
from resource_server.emulator.gaps.tokens import still_valid

# What versions without these records promised: see `_refresh_token`, `_restore_record`.
_OLD_REFRESH_SECONDS, _OLD_CODE_SECONDS = 30 * 86400.0, 86400.0


class HashedPassword:
    """Stands where moto keeps a password, which it compares with what was typed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, hashed: str) -> None:
        self.hashed = hashed

    def __eq__(self, typed: object) -> bool:
        return isinstance(typed, str) and check_password_hash(self.hashed, typed)


def dump(pool: CognitoIdpUserPool) -> dict[str, Any]:
    """Return the accounts and sign-ins of a pool, without tokens that have expired."""
    now = clock.now()
    return {
        "groups": [
            [group.group_name, group.description, group.role_arn, group.precedence]
            for group in pool.groups.values()
        ],
        "users": [_dump_user(user) for user in pool.users.values()],
        "refresh_tokens": {
            text: asdict(token)
            for text, token in refresh_tokens_of(pool).items()
            if token.expires_at > now
        },
        "access_tokens": {k: list(v) for k, v in pool.access_tokens.items() if still_valid(k)},
        "client_secrets": {
            client.id: [asdict(secret) for secret in secrets_of(client)]
            for client in pool.clients.values()
        },
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
    for text, entry in stored["refresh_tokens"].items():
        if (refresh_token := _refresh_token(pool, entry)) is not None:
            refresh_tokens_of(pool)[text] = refresh_token
    for token, (client_id, username) in stored["access_tokens"].items():
        pool.access_tokens[token] = (client_id, username)
    for client_id, kept in stored.get("client_secrets", {}).items():
        if client_id in pool.clients:  # others of this pool may not be kept
            set_secrets(pool.clients[client_id], [ClientSecret(**secret) for secret in kept])


def _refresh_token(pool: CognitoIdpUserPool, entry: Any) -> RefreshToken | None:
    """Read a refresh token; version 0.1 kept client, user name and `origin_jti` alone."""
    if isinstance(entry, dict):
        return RefreshToken(**entry)
    client_id, username, origin_jti = entry
    user, now = find_user(pool, username), clock.now()
    if user is None:
        return None
    return RefreshToken(client_id, user.id, origin_jti, int(now), now + _OLD_REFRESH_SECONDS)


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
        "groups": sorted(group.group_name for group in user.groups),
        "factors": {
            "software_token": user.software_token_mfa_enabled,
            "sms": user.sms_mfa_enabled,
            "preferred": user.preferred_mfa_setting,
        },
        "record": record_of(user).to_json(),
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
    factors = entry.get("factors", {})
    user.software_token_mfa_enabled = factors.get("software_token", False)
    user.sms_mfa_enabled = factors.get("sms", False)
    user.preferred_mfa_setting = factors.get("preferred")
    set_record(user, _restore_record(entry))
    user.token_verified = record_of(user).totp_secret is not None
    return user


def _restore_record(entry: Mapping[str, Any]) -> UserRecord:
    """Read a user's record; version 0.1 kept the code of a sign-up alone."""
    if "record" in entry:
        return UserRecord.from_json(entry["record"])
    record = UserRecord()
    if code := entry["confirmation_code"]:
        record.codes[SIGN_UP] = Code(code, clock.now() + _OLD_CODE_SECONDS)
    return record
