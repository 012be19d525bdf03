"""The seam between Authlib and the token core; Authlib is imported in this folder alone.

`ResourceServer` gives an app its verifier, `require_scope` guards a view, `current_principal` is
the verified token behind the request. Nothing here needs the application, its settings or its
database.
"""

from resource_server.auth.extension import METADATA_PATH, ResourceServer, challenge, requirements
from resource_server.auth.principal import (
    current_principal,
    note_refusal,
    outcome,
    presented_token,
    principal_or_none,
)
from resource_server.auth.protector import require_scope, token_requirement
from resource_server.auth.requirement import (
    NOT_AUTHENTICATED,
    NOT_ENOUGH,
    SIGN_IN_TOO_OLD,
    TokenRequirement,
)

__all__ = [
    "METADATA_PATH",
    "NOT_AUTHENTICATED",
    "NOT_ENOUGH",
    "SIGN_IN_TOO_OLD",
    "ResourceServer",
    "TokenRequirement",
    "challenge",
    "current_principal",
    "note_refusal",
    "outcome",
    "presented_token",
    "principal_or_none",
    "require_scope",
    "requirements",
    "token_requirement",
]
