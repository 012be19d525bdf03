"""The Flask extension that gives an app its verifier.

It is all that another app needs, with or without a database::

    app = Flask(__name__)
    ResourceServer(app, CognitoVerifier("eu-west-2_AbCdEf123", client_ids={"1h57kf5cpq17m0eml12"}))

    @app.get("/orders")
    @require_scope("orders")
    def orders(): ...
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flask import Flask, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest
from werkzeug.http import quote_header_value

from resource_server.addresses import PublicAddress, address_of
from resource_server.auth.errors import handle_auth_errors
from resource_server.auth.requirement import TokenRequirement
from resource_server.tokens import CognitoVerifier

REALM = "resource_server"
METADATA_PATH = "/.well-known/oauth-protected-resource"
_NAME = "cognito_resource_server"
_METADATA_ENDPOINT = "oauth_protected_resource"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Guard:
    """What one app's guarded views work with."""

    verifier: CognitoVerifier
    realm: str
    resource: PublicAddress | None = None


class ResourceServer:
    """Gives an app its verifier, and serves the app's metadata (RFC 9728).

    It keeps nothing itself, so one extension object can serve many apps, each with a verifier of
    its own.
    """

    def __init__(
        self,
        app: Flask | None = None,
        verifier: CognitoVerifier | None = None,
        realm: str = REALM,
        resource: str | None = None,
    ) -> None:
        if app is not None:
            if verifier is None:
                raise TypeError("ResourceServer(app, verifier): an app needs its verifier")
            self.init_app(app, verifier, realm, resource)

    def init_app(
        self,
        app: Flask,
        verifier: CognitoVerifier,
        realm: str = REALM,
        resource: str | None = None,
    ) -> None:
        """Set an app up.

        Args:
            app: The app whose views `require_scope` guards.
            verifier: Verifies the access tokens that the app is sent.
            realm: Names the app in challenges (RFC 9110 §11.5).
            resource: The public address of the API (RFC 9728 §1.2), such as
                `https://api.example.com/v1`. Without it, metadata and challenges name the host
                of each request.

        Raises:
            ValueError: `realm` cannot be sent in a header, or `resource` is no such address.
        """
        if not (realm.isascii() and realm.isprintable()):
            raise ValueError("realm: only printable ASCII characters")
        address = None if resource is None else PublicAddress.parse(resource)
        if _NAME not in app.extensions:
            handle_auth_errors(app)
        app.extensions[_NAME] = Guard(verifier, realm, address)
        app.add_url_rule(METADATA_PATH, _METADATA_ENDPOINT, _metadata)
        if address is not None and address.path:
            app.add_url_rule(METADATA_PATH + address.path, _METADATA_ENDPOINT, _metadata)


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
    mine = guard()
    named = {"realm": mine.realm, **attributes}
    here = address_of(request.environ)
    if mine.resource is not None:
        named["resource_metadata"] = mine.resource.well_known(METADATA_PATH)
    elif here is not None:
        # Below the mount, where requests reach the app, not at the root of the host.
        named["resource_metadata"] = f"{here}{METADATA_PATH}"
    return "Bearer " + ", ".join(f"{name}={_quoted(value)}" for name, value in named.items())


def _quoted(value: str) -> str:
    """Return a value as a quoted string (RFC 9110 §5.6.4), with `?` for what is not ASCII."""
    return quote_header_value(_UNPRINTABLE.sub("?", value), allow_token=False)


def _metadata() -> ResponseReturnValue:
    """Tell clients who signs tokens for this API and which scopes there are (RFC 9728 §2)."""
    mine = guard()
    resource = address_of(request.environ) if mine.resource is None else str(mine.resource)
    if resource is None:
        raise BadRequest("The Host header is invalid")
    scopes: set[str] = set()
    for _, requirement in requirements(current_app):
        scopes.update(requirement.scopes, requirement.any_of)
    return jsonify(
        {
            "resource": resource,
            "authorization_servers": [trusted.pool.issuers[0] for trusted in mine.verifier.pools],
            "scopes_supported": sorted(scopes),
            "bearer_methods_supported": ["header"],
        }
    )


def requirements(app: Flask) -> Iterator[tuple[str, TokenRequirement]]:
    """Yield everything that `require_scope` demands in an app, and where.

    It looks at views, at methods and decorators of their classes, and at `before_request` of the
    app and of its blueprints.
    """
    for name, functions in app.before_request_funcs.items():
        for function in functions:
            yield from _demanded(function, f"before_request of {name or app.name}")
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        yield from _demanded(view, rule.rule)
        view_class = getattr(view, "view_class", None)
        if view_class is None:
            continue
        for method in view_class.methods or ():
            yield from _demanded(getattr(view_class, method.lower(), None), rule.rule)
        # Decorators of each method, as Flask-RESTful and Flask-RESTX have them.
        decorators = getattr(view_class, "method_decorators", ())
        if isinstance(decorators, Mapping):
            decorators = [each for several in decorators.values() for each in several]
        for decorator in decorators:
            yield from _demanded(decorator, rule.rule)


def _demanded(guarded: object, where: str) -> Iterator[tuple[str, TokenRequirement]]:
    found = getattr(guarded, "token_requirement", None)
    if found is not None:
        yield where, found
