"""Pre Token Generation trigger (V2_0, V3_0): puts the API's scopes into access tokens.

A token from InitiateAuth carries only `aws.cognito.signin.user.admin`; custom scopes are what this
function adds (Cognito guide, "Pre token generation Lambda trigger"). Configure the pool with
`PreTokenGenerationConfig: {LambdaVersion: V2_0}`: under V1_0 no access token can be changed.

Without configuration every user gets `me` and `randoms`. `SCOPES_BY_GROUP`, in the function's
environment, maps Cognito groups to scopes instead; `*` stands for every user::

    SCOPES_BY_GROUP={"*": "me", "players": "randoms", "admins": "me randoms admin"}

Under V3_0 Cognito also runs the function for the client credentials grant. A machine is no user and
gets no scope from the settings above. `SCOPES_BY_CLIENT` maps ids of app clients to scopes. `*`
stands for every app client::

    SCOPES_BY_CLIENT={"1example23456789": "randoms"}

The function uses the standard library only and is deployed as this one file.
"""

import json
import logging
import os
from typing import Any

DEFAULT_SCOPES = ("me", "randoms")
_CLIENT_CREDENTIALS = "TokenGeneration_ClientCredentials"
_V1 = "1"

logger = logging.getLogger(__name__)


def handler(event: dict[str, Any], context: object = None) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Return the event with the scopes to add. Nothing else about the tokens changes.

    No `groupOverrideDetails` is sent, since an empty one would take the user's groups away, and no
    scope is suppressed: `aws.cognito.signin.user.admin` is needed to sign out. An event to which
    there is nothing to say comes back as it is.

    Raises ValueError if SCOPES_BY_GROUP or SCOPES_BY_CLIENT is malformed: the sign-in fails and the
    log says why, which is better than tokens with other scopes than were meant.
    """
    if event.get("version") == _V1:
        logger.warning("LambdaVersion is V1_0: no scope was added. Configure V2_0 or V3_0.")
        return event
    if event.get("triggerSource") == _CLIENT_CREDENTIALS:
        scopes = scopes_for_client((event.get("callerContext") or {}).get("clientId"))
        if not scopes:
            return event
    else:
        configuration = event["request"].get("groupConfiguration") or {}
        scopes = scopes_for(configuration.get("groupsToOverride") or [])
    event["response"] = {
        "claimsAndScopeOverrideDetails": {"accessTokenGeneration": {"scopesToAdd": scopes}}
    }
    return event


def scopes_for(groups: list[str]) -> list[str]:
    """Return the scopes of a member of these groups, each once, in order."""
    configured = os.environ.get("SCOPES_BY_GROUP")
    if not configured:
        return list(DEFAULT_SCOPES)
    return _scopes(read_mapping(configured), groups)


def scopes_for_client(client_id: str | None) -> list[str]:
    """Return the scopes to add to an app client's own token: none unless they are configured."""
    configured = os.environ.get("SCOPES_BY_CLIENT")
    if not configured:
        return []
    return _scopes(read_mapping(configured, "SCOPES_BY_CLIENT"), [client_id or ""])


def _scopes(mapping: dict[str, str], names: list[str]) -> list[str]:
    scopes = [scope for name in ("*", *names) for scope in mapping.get(name, "").split()]
    return list(dict.fromkeys(scopes))


def read_mapping(text: str, name: str = "SCOPES_BY_GROUP") -> dict[str, str]:
    """Read SCOPES_BY_GROUP or SCOPES_BY_CLIENT.

    Raises ValueError if it is malformed.
    """
    try:
        mapping = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is not JSON") from error
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        raise ValueError(f'{name} must map names to scopes: {{"players": "me randoms"}}')
    return mapping
