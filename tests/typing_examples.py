"""What type checkers see of the public names; checked by `make types`, never run."""

from typing import assert_type

from flask import Flask

from resource_server import (
    AccessToken,
    CognitoVerifier,
    ResourceServer,
    current_principal,
    principal_or_none,
    require_scope,
)
from resource_server.tokens import TrustedPool, VerifierStats


def a_script() -> None:
    """The verifier gives typed tokens; what must be written cannot be left out."""
    verifier = CognitoVerifier("eu-west-2_AbCdEf123", client_ids={"c"})
    token = verifier.verify("text")
    assert_type(token, AccessToken)
    assert_type(token.sub, str)
    assert_type(token.username, str | None)
    assert_type(token.scopes, frozenset[str])
    assert_type(token.groups, tuple[str, ...])
    assert_type(verifier.stats(), VerifierStats)
    CognitoVerifier("eu-west-2_x", client_ids=None, also_trust=[TrustedPool("x", client_ids=["c"])])
    CognitoVerifier("eu-west-2_x")  # type: ignore[call-arg]  # client_ids is missing
    verifier.verify(b"bytes")  # type: ignore[arg-type]
    token.sub = "other"  # type: ignore[misc]  # read-only


def an_app(app: Flask, verifier: CognitoVerifier) -> None:
    """A guarded view keeps its signature; who asks has a type."""
    ResourceServer(app, verifier)

    @require_scope("orders", any_of=["a", "b"], groups="admins", max_age=300)
    def view(order_id: int) -> dict[str, str]:
        assert_type(current_principal, AccessToken)
        assert_type(principal_or_none(), AccessToken | None)
        return {"owner": current_principal.sub, "id": str(order_id)}

    assert_type(view(1), dict[str, str])
    view("1")  # type: ignore[arg-type]
    require_scope(check=lambda token: token.claims["tenant"] == "t1")
    require_scope(check=lambda token: token.nothing)  # type: ignore[attr-defined]
