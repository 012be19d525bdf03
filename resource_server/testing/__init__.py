"""The test kit: real tokens without AWS, for any Cognito-protected app.

Rule of this folder: it is imported by tests, ours and other people's, never by the app, and it
needs no app of ours. pytest loads plugin.py wherever the package is installed, so plugin.py and
this module import nothing that a run without the kit would pay for.

- plugin.py       fixtures, marks and options, for pytest
- options.py      what a pool in a test is like
- pool.py         mints tokens, rotates keys, goes away
- serving.py      the pool's JWKS: intercepted in each client, or by a server on loopback
- imports.py      modules that are imported later than the fixture
- adapters.py     addresses of `requests` that no other mock intercepts
- cognito_idp.py  Cognito on moto, with its gaps filled
- clients.py      test clients that are signed in
- forgeries/      forged tokens by name
- attacks/        a route of anybody's app, put through them
- identity.py     a user directory in memory
- guards.py       what tests must not leave behind
- cloudformation.py  moto's CloudFormation learns Cognito's types
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resource_server.testing.attacks import assert_rejects_forgeries
    from resource_server.testing.clients import SignInAs, bearer
    from resource_server.testing.cognito_idp import CognitoIdp, KitUser
    from resource_server.testing.identity import FakeIdentity
    from resource_server.testing.options import CognitoOptions
    from resource_server.testing.pool import CognitoPool

__all__ = [
    "CognitoIdp",
    "CognitoOptions",
    "CognitoPool",
    "FakeIdentity",
    "KitUser",
    "SignInAs",
    "assert_rejects_forgeries",
    "bearer",
]

_HOMES = {
    "CognitoIdp": "cognito_idp",
    "CognitoOptions": "options",
    "CognitoPool": "pool",
    "FakeIdentity": "identity",
    "KitUser": "cognito_idp",
    "SignInAs": "clients",
    "assert_rejects_forgeries": "attacks",
    "bearer": "clients",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
