"""The seam between Authlib and the token core; Authlib is imported in this folder alone.

`require_scope` guards a view, `current_principal` is the verified token behind the request.
"""

from resource_server.auth.principal import current_principal, presented_token
from resource_server.auth.protector import ScopeRequirement, require_scope, scope_requirement

__all__ = [
    "ScopeRequirement",
    "current_principal",
    "presented_token",
    "require_scope",
    "scope_requirement",
]
