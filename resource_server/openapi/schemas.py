"""Schemas of the document: of refusals, of views that are not ours, and all of them together."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from resource_server.bodies import Schema, shown

_TEMPLATE = "#/components/schemas/{model}"

Used = tuple[type[BaseModel], JsonSchemaMode]


class Refusal(Schema):
    """Why the request was refused, in a sentence."""

    detail: str


class Fault(Schema):
    """What is wrong at one place of a body or query."""

    loc: list[str | int]
    msg: str
    type: str


class Invalid(Schema):
    """What is wrong with the body or query, place by place."""

    detail: list[Fault]


class OAuthRefusal(Refusal):
    """Why a token endpoint refused the request (RFC 6749 §5.2)."""

    error: Literal[
        "invalid_request",
        "invalid_grant",
        "invalid_token",
        "temporarily_unavailable",
        "server_error",
    ]
    error_description: str


class OAuthInvalid(Invalid):
    """What is wrong with the request of a token endpoint (RFC 6749 §5.2)."""

    error: Literal["invalid_request"]
    error_description: str


class ProtectedResource(Schema):
    """Who signs tokens for this API, and its scopes (RFC 9728)."""

    model_config = shown(
        {
            "resource": "https://api.example.com",
            "authorization_servers": [
                "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_AbCdEf123"
            ],
            "scopes_supported": ["me", "randoms"],
            "bearer_methods_supported": ["header"],
        }
    )

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[Literal["header"]]


class Document(Schema):
    """An OpenAPI document."""

    model_config = shown({"openapi": "3.1.0", "info": {}, "paths": {}})

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


class _Untitled(GenerateJsonSchema):
    """Without a title on each field, which is its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """Never."""
        return False


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """Refer to a model's schema in the document."""
    return {"$ref": _TEMPLATE.format(model=model.__name__)}


def components(used: Iterable[Used]) -> dict[str, Any]:
    """Return the schemas of all models, by the names that `reference` gives them.

    Raises ValueError if two models have one name, or one model is both sent and got.
    """
    models = sorted(set(used), key=lambda pair: (pair[0].__name__, pair[1]))
    references, schemas = models_json_schema(
        models, ref_template=_TEMPLATE, schema_generator=_Untitled
    )
    for model, mode in models:
        if references[model, mode] != reference(model):
            raise ValueError(f"the document needs another name for {model.__qualname__}")
    found: dict[str, Any] = schemas.get("$defs", {})
    for schema in found.values():
        schema.pop("title", None)
    return dict(sorted(found.items()))


def inline(model: type[BaseModel]) -> dict[str, Any]:
    """Return the properties of a model whose fields are parameters or headers, by name.

    A parameter that is left out is no null, so null is left out of its schema.
    """
    schema = model.model_json_schema(schema_generator=_Untitled)
    required = schema.get("required", [])
    properties = {}
    for name, given in schema["properties"].items():
        own = {key: value for key, value in given.items() if key != "anyOf"}
        for choice in given.get("anyOf", []):
            own |= choice if choice != {"type": "null"} else {}
        if own.get("default", ...) is None:
            del own["default"]
        properties[name] = (name in required, own)
    return properties
