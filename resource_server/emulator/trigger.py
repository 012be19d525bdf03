"""The Pre Token Generation trigger: the event it gets and what its response does to tokens.

Source: Cognito guide, "Pre token generation Lambda trigger" (event versions V2_0 and V3_0).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resource_server.tokens.claims import SIGN_IN_SCOPE

CLIENT_CREDENTIALS = "TokenGeneration_ClientCredentials"
Handler = Callable[[dict[str, Any], object], dict[str, Any]]

# What a trigger may neither add, change nor take away (guide, "Excluded claims").
_RESERVED_CLAIMS = (
    "acr amr at_hash auth_time azp client_id event_id exp iat iss jti nbf nonce origin_jti s_hash "
    "scope sub token_use username version"
)
_RESERVED = frozenset(_RESERVED_CLAIMS.split())


class InvalidTriggerAnswer(ValueError):
    """The function returned what Cognito would refuse."""


@dataclass(frozen=True, slots=True)
class TokenChanges:
    """What a trigger wants changed."""

    add: Mapping[str, Any] = field(default_factory=dict)
    suppress: frozenset[str] = frozenset()
    add_scopes: tuple[str, ...] = ()
    suppress_scopes: frozenset[str] = frozenset()

    def scopes(self, before: Iterable[str]) -> list[str]:
        """Return the scopes of the token: each once, suppressing beats adding."""
        wanted = dict.fromkeys([*before, *self.add_scopes])
        return [scope for scope in wanted if scope not in self.suppress_scopes]

    def claims(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claims of the token; reserved ones stay as they are."""
        kept = {k: v for k, v in before.items() if k in _RESERVED or k not in self.suppress}
        added = {k: v for k, v in self.add.items() if k not in _RESERVED and k not in self.suppress}
        return kept | added


@dataclass(frozen=True, slots=True)
class TriggerResult:
    """Changes to both tokens. `groups` is None where the user's groups and their roles stay."""

    access: TokenChanges = TokenChanges()
    id: TokenChanges = TokenChanges()
    groups: tuple[str, ...] | None = None
    roles: tuple[str, ...] = ()
    preferred_role: str | None = None


def event(
    *,
    region: str,
    pool_id: str,
    client_id: str,
    username: str,
    attributes: Mapping[str, str],
    groups: list[str],
    source: str,
    scopes: Iterable[str] = (SIGN_IN_SCOPE,),
    version: str = "2",
    roles: Iterable[str] = (),
    preferred_role: str | None = None,
) -> dict[str, Any]:
    """Build the event for a user's tokens. `version` is 2 for V2_0, 3 for V3_0."""
    return {
        "version": version,
        "triggerSource": source,
        "region": region,
        "userPoolId": pool_id,
        "userName": username,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": client_id},
        "request": {
            "userAttributes": dict(attributes),
            "groupConfiguration": {
                "groupsToOverride": groups,
                "iamRolesToOverride": list(roles),
                "preferredRole": preferred_role,
            },
            "scopes": list(scopes),
        },
        "response": {"claimsAndScopeOverrideDetails": None},
    }


def client_event(
    *,
    region: str,
    pool_id: str,
    client_id: str,
    scopes: Iterable[str],
    metadata: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Build the V3 event for an app client's own token, which has no user."""
    return {
        "version": "3",
        "triggerSource": CLIENT_CREDENTIALS,
        "region": region,
        "userPoolId": pool_id,
        "userName": client_id,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": client_id},
        "request": {
            "userAttributes": {},
            "groupConfiguration": None,
            "scopes": list(scopes),
            "clientMetadata": None if metadata is None else dict(metadata),
        },
        "response": {"claimsAndScopeOverrideDetails": None},
    }


def run(handler: Handler, the_event: dict[str, Any]) -> TriggerResult:
    """Run a trigger as Lambda does, with JSON going in and coming out.

    Raises InvalidTriggerAnswer, or whatever the handler raises.
    """
    returned = handler(json.loads(json.dumps(the_event)), None)
    try:
        response = json.loads(json.dumps(returned))["response"]
        details = response.get("claimsAndScopeOverrideDetails") or {}
        groups, override = None, details.get("groupOverrideDetails") or {}
        if "groupOverrideDetails" in details:  # empty or null: it takes all groups away
            groups = _texts(override, "groupsToOverride")
        preferred = override.get("preferredRole")
        if preferred is not None and not isinstance(preferred, str):
            raise InvalidTriggerAnswer("preferredRole is text")
        return TriggerResult(
            access=_changes(details.get("accessTokenGeneration") or {}),
            id=_changes(details.get("idTokenGeneration") or {}),
            groups=groups,
            roles=_texts(override, "iamRolesToOverride"),
            preferred_role=preferred,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidTriggerAnswer(str(error)) from error


def _changes(section: Mapping[str, Any]) -> TokenChanges:
    claims = section.get("claimsToAddOrOverride") or {}
    if not isinstance(claims, dict):
        raise InvalidTriggerAnswer("claimsToAddOrOverride is an object")
    scopes = _texts(section, "scopesToAdd")
    if any(" " in scope for scope in scopes):
        raise InvalidTriggerAnswer("a scope is text without spaces")
    return TokenChanges(
        add=claims,
        suppress=frozenset(_texts(section, "claimsToSuppress")),
        add_scopes=scopes,
        suppress_scopes=frozenset(_texts(section, "scopesToSuppress")),
    )


def _texts(section: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = section.get(name) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidTriggerAnswer(f"{name} is a list of text")
    return tuple(texts)
