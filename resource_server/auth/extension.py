"""The Flask extension that gives an app its verifier.

It is all that another app needs, with or without a database::

    app = Flask(__name__)
    ResourceServer(app, CognitoVerifier("eu-west-2_AbCdEf123", client_ids={"1h57kf5cpq17m0eml12"}))

    @app.get("/orders")
    @require_scope("orders")
    def orders(): ...
"""

from dataclasses import dataclass

from flask import Flask, current_app, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from resource_server.auth.errors import handle_auth_errors
from resource_server.tokens import CognitoVerifier

REALM = "resource_server"
METADATA_PATH = "/.well-known/oauth-protected-resource"
_NAME = "cognito_resource_server"
_METADATA_ENDPOINT = "oauth_protected_resource"


@dataclass(frozen=True, slots=True)
class Guard:
    """What one app's guarded views work with."""

    verifier: CognitoVerifier
    realm: str


class ResourceServer:
    """Gives an app its verifier, and serves the app's metadata (RFC 9728).

    It keeps nothing itself, so one extension object can serve many apps, each with a verifier of
    its own.
    """

    def __init__(
        self, app: Flask | None = None, verifier: CognitoVerifier | None = None, realm: str = REALM
    ) -> None:
        if app is not None:
            if verifier is None:
                raise TypeError("ResourceServer(app, verifier): an app needs its verifier")
            self.init_app(app, verifier, realm)

    def init_app(self, app: Flask, verifier: CognitoVerifier, realm: str = REALM) -> None:
        """Set an app up. `realm` names it in challenges (RFC 9110 §11.5)."""
        if _NAME not in app.extensions:
            handle_auth_errors(app)
        app.extensions[_NAME] = Guard(verifier, realm)
        app.add_url_rule(METADATA_PATH, _METADATA_ENDPOINT, _metadata)


def guard() -> Guard:
    """Return what the current app's guarded views work with.

    Raises RuntimeError for an app that was not set up.
    """
    found = current_app.extensions.get(_NAME)
    if not isinstance(found, Guard):
        raise RuntimeError("this app has no verifier: call ResourceServer(app, verifier) first")  # noqa: TRY004
    return found


def challenge(**attributes: str) -> str:
    """Return a WWW-Authenticate challenge for the current app (RFC 6750 §3, RFC 9728 §5.1)."""
    named = {"realm": guard().realm, **attributes}
    if request.host:  # werkzeug leaves an invalid Host header empty
        named["resource_metadata"] = url_for(_METADATA_ENDPOINT, _external=True)
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in named.items())


def _metadata() -> ResponseReturnValue:
    """Tell clients who signs tokens for this API and which scopes there are (RFC 9728 §2)."""
    scopes: set[str] = set()
    for view in current_app.view_functions.values():
        requirement = getattr(view, "token_requirement", None)
        if requirement is not None:
            scopes.update(requirement.scopes, requirement.any_of)
    return jsonify(
        {
            "resource": request.url_root.rstrip("/"),
            "authorization_servers": [
                trusted.pool.issuers[0] for trusted in guard().verifier.pools
            ],
            "scopes_supported": sorted(scopes),
            "bearer_methods_supported": ["header"],
        }
    )
