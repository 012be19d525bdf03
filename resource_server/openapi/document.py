"""The document as a whole."""

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import click
from flask import Flask

from resource_server.auth import METADATA_PATH
from resource_server.openapi.operations import HEADERS, JSON, REQUEST_ID, operation, path_of
from resource_server.openapi.reading import Declared, declared, is_hidden
from resource_server.openapi.schemas import Refusal, Used, components, reference
from resource_server.openapi.security import schemes
from resource_server.refusals import INTERNAL_ERROR as INTERNAL
from resource_server.refusals import error_body

ABOUT = {"name": "about", "description": "What this service is, for programs and people."}
"""The tag of what belongs to no blueprint."""

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")  # the order in which they are shown
_DESCRIPTION = """\
Random numbers for whoever signs in with Amazon Cognito.

Sign in at `/users/login`, and send the access token as `Authorization: Bearer …`. Refusals are
`{"detail": …}`: a sentence, or with 422 a list of what is wrong. Unknown fields are ignored.
Addresses that are none answer 404, methods that are none 405 with `Allow`.
"""


class DocumentError(click.ClickException, ValueError):
    """A view lacks what the document needs. The `flask` command shows the text without a trace."""


def document(app: Flask, domain: str | None = None, mount: str = "") -> dict[str, Any]:
    """Describe an app in OpenAPI 3.1.

    `domain` is the base address of the pool's managed login, `mount` the path below which the app
    is reached. Nothing else depends on the settings, and it needs neither a database nor AWS.

    Raises ValueError, saying what a view or schema lacks.
    """
    ways = schemes(domain, mount)
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, dict[str, Any]] = {}
    used: set[Used] = {(Refusal, "serialization")}
    for rule, method, endpoint, view in _views(app):
        used.update(view.models())
        blueprint, _, name = endpoint.rpartition(".")
        tag = getattr(app.blueprints.get(blueprint), "tag", None) or ABOUT
        tags[tag["name"]] = tag
        path = paths.setdefault(path_of(rule), {})
        path[method.lower()] = operation(view, rule, name=name, tag=tag["name"], schemes=list(ways))
    return {
        "openapi": "3.1.0",
        "info": _info(),
        "servers": [{"url": mount or "/"}],
        "tags": _in_order_of_blueprints(app, tags),
        "paths": paths,
        "components": {
            "schemas": components(used),
            "responses": {"InternalError": _internal_error()},
            "headers": dict(HEADERS),
            "securitySchemes": ways,
        },
    }


def check(app: Flask) -> None:
    """Check that every view declares what the document says of it.

    Raises DocumentError, naming what to add.
    """
    try:
        described = document(app)
    except ValueError as error:
        raise DocumentError(f"The service cannot start: {error}.") from None
    operations = [each for path in described["paths"].values() for each in path.values()]
    names = Counter(operation["operationId"] for operation in operations)
    for name, count in names.items():
        if count > 1:
            raise DocumentError(
                f"The service cannot start: {count} views are called {name}. Rename all but one, "
                "since its name is an operation's id in /openapi.json."
            )


def _in_order_of_blueprints(app: Flask, tags: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort tags as their blueprints were registered, which is how pages show them."""
    tagged = (getattr(blueprint, "tag", None) or ABOUT for blueprint in app.blueprints.values())
    order = [tag["name"] for tag in (*tagged, ABOUT)]
    return sorted(tags.values(), key=lambda tag: order.index(tag["name"]))


def _views(app: Flask) -> Iterator[tuple[str, str, str, Declared]]:
    """Yield (rule, method, endpoint, view) of every operation, in a fixed order."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, rule.endpoint)):
        view = app.view_functions[rule.endpoint]
        if rule.endpoint.rpartition(".")[2] == "static" or is_hidden(view):
            continue
        if rule.rule.startswith(f"{METADATA_PATH}/"):  # where PUBLIC_URL has a path
            continue
        for method in _METHODS:
            if method in (rule.methods or ()):
                yield rule.rule, method, rule.endpoint, declared(view, rule.rule)


def _info() -> dict[str, Any]:
    return {
        "title": "Resource server",
        "version": version("resource-server"),
        "description": _DESCRIPTION,
        "license": {"name": "MIT", "identifier": "MIT"},
    }


def _internal_error() -> dict[str, Any]:
    body = error_body(INTERNAL.detail, INTERNAL.error, oauth=False)
    return {
        "description": "Unforeseen. The log has more, under the id of the request",
        "headers": REQUEST_ID,
        "content": {
            JSON: {"schema": reference(Refusal), "examples": {"internal": {"value": body}}}
        },
    }
