"""A test client that takes no answer which docs/openapi.json does not declare.

Addresses and methods that lead to no view are no operations: their 404 and 405 are held to the form
of any refusal. Routes that a test adds to an app are not looked at; that all others are in the
document is for test_policies.py to say. OPTIONS is Flask's, HEAD is a GET without a body.
"""

import functools
import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from resource_server.openapi.operations import path_of

FILE = Path(__file__).parent.parent / "docs" / "openapi.json"
MENDS_IT = "flask spec --quiet --output docs/openapi.json"
_ALL = ("Location", "Link", "WWW-Authenticate", "Retry-After")
"""Headers that mean something: none is sent undeclared."""


class Undeclared(AssertionError):
    """The service said what its document does not."""


class DocumentedClient(FlaskClient):
    """Flask's test client; an undeclared answer fails the test."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request.

        Raises Undeclared, naming operation, status and what differs.
        """
        response = super().open(*args, **kwargs)
        if not response.history:
            self._judge(response)
        return response

    def _judge(self, response: TestResponse) -> None:
        environ = response.request.environ
        method = environ["REQUEST_METHOD"]
        operation: dict[str, Any] | None
        try:
            adapter = self.application.url_map.bind_to_environ(environ)
            rule, _ = adapter.match(return_rule=True)
        except HTTPException as nowhere:
            path, operation = "an address without a view", _nowhere(nowhere.code or 500)
        else:
            path = path_of(rule.rule)
            operation = _document()["paths"].get(path, {}).get(_described(method))
        if operation is None:
            return
        if differences := list(_differences(operation, response, is_head=method == "HEAD")):
            said = response.get_data(as_text=True)[:500]
            found = "\n".join(f"  - {difference}" for difference in differences)
            raise Undeclared(f"{method} {path} answered {response.status_code}: {said}\n{found}")


def _described(method: str) -> str:
    return "get" if method == "HEAD" else method.lower()


@functools.cache
def _document() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


@functools.cache
def _strict() -> Any:
    """Return the schemas, with nothing allowed that they do not name."""
    schemas = deepcopy(_document()["components"]["schemas"])
    for schema in schemas.values():
        schema.setdefault("additionalProperties", False)
    del schemas["Document"]["additionalProperties"]  # OpenAPI's own to say
    return schemas


@functools.cache
def _validator(schema: str) -> Any:
    """Compile a schema, given as JSON."""
    whole = {**json.loads(schema), "components": {"schemas": _strict()}}
    return jsonschema_rs.Draft202012Validator(whole)


def _nowhere(status: int) -> dict[str, Any]:
    """Describe the response where no view is. Before that, Host may be rejected."""
    refusal = {
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
        "headers": {"X-Request-ID": {"required": True}},
    }
    return {"responses": {str(status): refusal, "400": refusal, "421": refusal}}


def _differences(
    operation: dict[str, Any], response: TestResponse, *, is_head: bool
) -> Iterator[str]:
    declared = operation["responses"].get(str(response.status_code))
    if declared is None:
        yield f"declared are {', '.join(operation['responses'])}"
        return
    declared = _resolved(declared)
    yield from _headers(declared.get("headers", {}), response)
    content = declared.get("content", {})
    if not content:
        if response.data:
            yield "no body is declared"
    elif response.mimetype not in content:
        yield f"{response.mimetype} is none of {', '.join(content)}"
    elif response.mimetype == "application/json" and not is_head:
        validator = _validator(json.dumps(content["application/json"]["schema"]))
        for error in validator.iter_errors(response.get_json()):
            yield f"at /{'/'.join(map(str, error.instance_path))}: {error.message}"


def _headers(declared: dict[str, Any], response: TestResponse) -> Iterator[str]:
    for name, header in declared.items():
        if _resolved(header).get("required") and name not in response.headers:
            yield f"the header {name} is missing"
    for name in _ALL:
        if name in response.headers and name not in declared:
            yield f"the header {name} is not declared"


def _resolved(found: dict[str, Any]) -> Any:
    if "$ref" not in found:
        return found
    return functools.reduce(lambda part, key: part[key], found["$ref"][2:].split("/"), _document())
