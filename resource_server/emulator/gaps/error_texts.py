"""Errors in AWS's words, where moto says the bare name, another code or nothing.

Clients show these texts and branch on them. Sources: the API reference for codes, and texts as AWS
sends them, from public issues.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

from moto.cognitoidp.exceptions import ResourceNotFoundError, UsernameExistsException
from moto.cognitoidp.models import CognitoIdpBackend, UserStatus
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.exceptions import InvalidToken, JsonRESTError
from moto.core.responses import ActionResult, EmptyResult

from resource_server.emulator.gaps.directory import (
    not_authorized,
    parameter,
    refusal,
    user_status,
)

# AWS's text of ResourceNotFoundException, by the parameter. moto's text is only the name.
_NOT_FOUND = {
    "ClientId": "User pool client {} does not exist.",
    "GroupName": "Group not found.",
    "ProviderName": "Identity provider {} does not exist.",
    "Domain": "Domain {} does not exist.",
}
# AWS makes pools with this policy where none is given (API reference, PasswordPolicyType).
_SHORTEST = 8
_LONGEST = 256
_SYMBOLS = frozenset("^$*.[]{}()?\"!@#%&/\\,><':;|_~`=+- ")
# A text with a blank at its end is no password under any policy.
_PASSWORD = re.compile(r"\S(?:.*\S)?")
_RULES: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("RequireUppercase", "uppercase", lambda char: "A" <= char <= "Z"),
    ("RequireLowercase", "lowercase", lambda char: "a" <= char <= "z"),
    ("RequireNumbers", "numeric", lambda char: "0" <= char <= "9"),
    ("RequireSymbols", "symbol", lambda char: char in _SYMBOLS),
)


def with_aws_texts(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Let an operation's errors have AWS's codes and texts."""

    @functools.wraps(operation)
    def run(self: CognitoIdpResponse) -> Any:
        try:
            return operation(self)
        except ResourceNotFoundError as error:
            raise _not_found(self, error) from error
        except UsernameExistsException as error:
            raise _exists(self, operation.__name__) from error
        except InvalidToken as error:
            raise refusal("InvalidParameterException", "Invalid pagination token.") from error

    return run


def _not_found(call: CognitoIdpResponse, error: JsonRESTError) -> JsonRESTError:
    for name, text in _NOT_FOUND.items():
        if error.message and error.message == parameter(call, name):
            return refusal("ResourceNotFoundException", text.format(error.message))
    return error


def _exists(call: CognitoIdpResponse, operation: str) -> JsonRESTError:
    """Say that a name is taken. In pools without names of their own it is an address."""
    username = str(parameter(call, "Username"))
    client_id, pool_id = parameter(call, "ClientId"), parameter(call, "UserPoolId")
    for pool in call.backend.user_pools.values():
        if pool.id == pool_id or client_id in pool.clients:
            if pool.extended_config.get("UsernameAttributes"):
                kind = "email" if "@" in username else "phone_number"
                text = f"An account with the given {kind} already exists."
                return refusal("UsernameExistsException", text)
            break
    account = "User account" if operation == "admin_create_user" else "User"
    return refusal("UsernameExistsException", f"{account} already exists")


def _validate_password(self: CognitoIdpBackend, user_pool_id: str, password: str) -> None:
    """Say which rule of the policy is broken, the first of them. For moto one is enough."""
    pool = self.describe_user_pool(user_pool_id)
    if not _PASSWORD.fullmatch(password):
        raise refusal(
            "InvalidParameterException",
            "1 validation error detected: Value at 'password' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: ^[\\S]+.*[\\S]+$",
        )
    policy = (pool.extended_config.get("Policies") or {}).get("PasswordPolicy") or {}
    if len(password) < policy.get("MinimumLength", _SHORTEST):
        raise _weak("Password not long enough")
    if len(password) > _LONGEST:
        raise _weak("Password too long")
    for setting, name, has in _RULES:
        if policy.get(setting, True) and not any(has(char) for char in password):
            raise _weak(f"Password must have {name} characters")


def _weak(reason: str) -> JsonRESTError:
    return refusal("InvalidPasswordException", f"Password did not conform with policy: {reason}")


def admin_confirm_sign_up(self: CognitoIdpResponse) -> ActionResult:
    """Refuse to confirm an account that is not waiting for it, where moto confirms any."""
    user = self.backend.admin_get_user(parameter(self, "UserPoolId"), parameter(self, "Username"))
    if user.status != UserStatus.UNCONFIRMED:
        raise not_authorized(f"User cannot be confirmed. Current status is {user_status(user)}")
    user.status = UserStatus.CONFIRMED
    return EmptyResult()


def delete_user_pool(self: CognitoIdpResponse) -> ActionResult:
    """Refuse to delete a protected pool, where moto deletes it."""
    pool = self.backend.describe_user_pool(parameter(self, "UserPoolId"))
    if pool.extended_config.get("DeletionProtection") == "ACTIVE":
        raise refusal(
            "InvalidParameterException",
            "The user pool cannot be deleted because deletion protection is activated. "
            "Deletion protection must be inactivated first.",
        )
    self.backend.delete_user_pool(pool.id)
    return EmptyResult()
