"""A Flask and Authlib OAuth 2.0 resource server for Amazon Cognito.

Importing the package imports nothing else: each name below arrives when it is asked for (PEP 562),
so that the token core or the Lambda trigger can be used without loading Flask.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resource_server.app import create_app
    from resource_server.auth import (
        ResourceServer,
        current_principal,
        principal_or_none,
        require_scope,
    )
    from resource_server.tokens import AccessToken, CognitoVerifier, InvalidToken, UserPool

_HOMES = {
    "create_app": "app",
    "ResourceServer": "auth",
    "current_principal": "auth",
    "principal_or_none": "auth",
    "require_scope": "auth",
    "AccessToken": "tokens",
    "CognitoVerifier": "tokens",
    "InvalidToken": "tokens",
    "UserPool": "tokens",
}

__all__ = [
    "AccessToken",
    "CognitoVerifier",
    "InvalidToken",
    "ResourceServer",
    "UserPool",
    "create_app",
    "current_principal",
    "principal_or_none",
    "require_scope",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"resource_server.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
