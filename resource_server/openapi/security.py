"""What `require_scope` demands, as security schemes and requirements."""

from typing import Any

from resource_server.auth import TokenRequirement

SCOPES = {
    "me": "Who you are: your account, and what you do with it",
    "randoms": "Your random numbers",
}
"""Every scope that a route may demand, in words for whoever grants it."""
MANAGED_LOGIN_SCOPES = {
    "openid": "Who you are",
    "aws.cognito.signin.user.admin": "Your account at Cognito, which signing out needs",
}
"""What managed login is asked for: it refuses SCOPES, which the pool's trigger adds unasked."""


def schemes(domain: str | None = None, mount: str = "") -> dict[str, Any]:
    """Return the ways to a token.

    `domain` is the base address of the pool's managed login, `mount` the path of the service.
    """
    found: dict[str, Any] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of the user pool (RFC 6750).",
        },
        "password": {
            "type": "oauth2",
            "description": "Sign in with user name and password. The client needs no id or secret.",
            "flows": {
                "password": {
                    "tokenUrl": f"{mount}/users/login",
                    "refreshUrl": f"{mount}/users/refresh",
                    "scopes": SCOPES,
                }
            },
        },
    }
    if domain is not None:
        found["cognito"] = {
            "type": "oauth2",
            "description": "Sign in at the pool's managed login, with PKCE (RFC 7636).",
            "flows": {
                "authorizationCode": {
                    "authorizationUrl": f"{domain}/oauth2/authorize",
                    "tokenUrl": f"{domain}/oauth2/token",
                    "refreshUrl": f"{domain}/oauth2/token",
                    "scopes": MANAGED_LOGIN_SCOPES,
                }
            },
        }
    return found


def requirement(needed: TokenRequirement | None, names: list[str]) -> list[dict[str, list[str]]]:
    """Return the security requirement of an operation: each entry is one way to be let in.

    `names` are those of the schemes. A public operation has none.

    Raises ValueError for a scope that SCOPES does not describe.
    """
    if needed is None:
        return []
    for scope in (*needed.scopes, *needed.any_of):
        if scope not in SCOPES:
            raise ValueError(f"describe the scope {scope!r} in SCOPES of openapi/security.py")
    choices = [list(dict.fromkeys((*needed.scopes, scope))) for scope in needed.any_of]
    choices = choices or [list(needed.scopes)]
    entries = [
        # The scopes are the same whatever the way, but only one of the ways can be asked for them.
        {name: scopes if name == "password" else []}
        for name in names
        for scopes in (choices if name == "password" else choices[:1])
    ]
    return [*entries, {}] if needed.optional else entries


def in_words(needed: TokenRequirement | None) -> str:
    """Say what a requirement cannot: groups, how recent the sign-in must be."""
    if needed is None:
        return ""
    sentences = []
    if needed.groups:
        names = ", ".join(f"`{name}`" for name in needed.groups)
        sentences.append(f"For members of one of these groups: {names}.")
    if needed.max_age is not None:
        sentences.append(f"The sign-in must not be older than {needed.max_age} seconds.")
    return " ".join(sentences)
