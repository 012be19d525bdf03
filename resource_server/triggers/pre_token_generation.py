"""Pre Token Generation trigger (event version V2_0): puts the API's scopes into access tokens.

A token from InitiateAuth carries only `aws.cognito.signin.user.admin`; custom scopes are what this
function adds (Cognito guide, "Pre token generation Lambda trigger"). Configure the pool with
`PreTokenGenerationConfig: {LambdaVersion: V2_0}`: under V1_0 Cognito ignores the answer.

Without configuration every user gets `me` and `randoms`. `SCOPES_BY_GROUP`, in the function's
environment, maps Cognito groups to scopes instead; `*` stands for every user::

    SCOPES_BY_GROUP={"*": "me", "players": "randoms", "admins": "me randoms admin"}

The function uses the standard library only and is deployed as this one file.
"""

import json
import os
from typing import Any

DEFAULT_SCOPES = ("me", "randoms")


def handler(event: dict[str, Any], context: object = None) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer the event with the scopes to add; nothing else about the tokens changes.

    No `groupOverrideDetails` is sent, since an empty one would take the user's groups away, and no
    scope is suppressed: `aws.cognito.signin.user.admin` is needed to sign out.

    Raises ValueError if SCOPES_BY_GROUP is malformed: the sign-in fails and the log says why,
    which is better than tokens with other scopes than were meant.
    """
    groups = (event["request"].get("groupConfiguration") or {}).get("groupsToOverride") or []
    event["response"] = {
        "claimsAndScopeOverrideDetails": {
            "accessTokenGeneration": {"scopesToAdd": scopes_for(groups)},
        }
    }
    return event


def scopes_for(groups: list[str]) -> list[str]:
    """Return the scopes of a member of these groups, each once, in order."""
    configured = os.environ.get("SCOPES_BY_GROUP")
    if not configured:
        return list(DEFAULT_SCOPES)
    mapping = read_mapping(configured)
    scopes = [scope for group in ("*", *groups) for scope in mapping.get(group, "").split()]
    return list(dict.fromkeys(scopes))


def read_mapping(text: str) -> dict[str, str]:
    """Read SCOPES_BY_GROUP.

    Raises ValueError if it is malformed.
    """
    try:
        mapping = json.loads(text)
    except ValueError as error:
        raise ValueError("SCOPES_BY_GROUP is not JSON") from error
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        raise ValueError('SCOPES_BY_GROUP must map groups to scopes: {"players": "me randoms"}')
    return mapping
