"""Forged tokens by name: what a resource server must refuse, and which flaw it is to take one.

forge(pool, "id-token")
FORGERIES["hs256-with-public-key"].flaw
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from resource_server.testing.forgeries.algorithms import ALGORITHMS
from resource_server.testing.forgeries.attacker import documents as attackers_documents
from resource_server.testing.forgeries.claims import CLAIMS
from resource_server.testing.forgeries.draft import Draft
from resource_server.testing.forgeries.encodings import ENCODINGS
from resource_server.testing.forgeries.forgery import Fault, Forgery, Severity
from resource_server.testing.forgeries.headers import HEADERS
from resource_server.testing.forgeries.scopes import SCOPES
from resource_server.testing.forgeries.signatures import SIGNATURES
from resource_server.testing.pool import CognitoPool
from resource_server.tokens.claims import SIGN_IN_SCOPE

__all__ = ["FORGERIES", "Draft", "Fault", "Forgery", "Severity", "attackers_documents", "forge"]

FORGERIES: Mapping[str, Forgery] = MappingProxyType(
    {
        forgery.name: forgery
        for group in (SIGNATURES, ALGORITHMS, HEADERS, CLAIMS, SCOPES, ENCODINGS)
        for forgery in group
    }
)


def forge(
    pool: CognitoPool,
    name: str,
    *,
    scope: str | None = SIGN_IN_SCOPE,
    username: str = "ada",
    **claims: Any,
) -> str:
    """Make the forged token of that name.

    It differs from `pool.access_token(scope=scope, username=username, **claims)` in what its name
    says. `scope` is what the route needs, of which the `scope-…` forgeries are made.

    Raises LookupError for an unknown name, and ValueError where the scope is too short for the
    forgery.
    """
    forgery = FORGERIES.get(name)
    if forgery is None:
        raise LookupError(f"no forgery is called {name!r}{_close_to(name)}")
    draft = Draft.of(pool, pool.access_token(scope=scope, username=username, **claims))
    if not forgery.applies(draft):
        raise ValueError(f"{name} cannot be made of the scope {scope!r}: give what a route needs")
    return forgery.write(draft)


def _close_to(name: str) -> str:
    close = difflib.get_close_matches(name, FORGERIES, n=5, cutoff=0.4)
    return f"; close are {', '.join(close)}" if close else "; FORGERIES has them all"
