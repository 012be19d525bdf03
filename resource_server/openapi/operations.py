"""One operation of the document, from what its view declares."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resource_server.bodies import MAX_ID
from resource_server.openapi.reading import Declared
from resource_server.openapi.schemas import inline, reference
from resource_server.openapi.security import in_words, requirement
from resource_server.refusals import UNPROCESSABLE, Problem, Response, error_body

JSON = "application/json"
REQUEST_ID = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
HEADERS: Mapping[str, Any] = {
    "X-Request-ID": {
        "description": "The id under which the log has the request: the client's own "
        "`X-Request-ID`, if it is well formed, else a new one",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "9f3c1a527c1e4b7c9d520e6a4d1f7f10",
    },
    "WWW-Authenticate": {
        "description": "How to get in (RFC 6750 §3, RFC 9728 §5.1)",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer realm="resource_server", error="invalid_token"',
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 5,
    },
}
_BY_STATUS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
_FORBIDDEN, _UNAVAILABLE = 403, 503
_INTERNAL_ERROR = {"$ref": "#/components/responses/InternalError"}
_PARAMETER = re.compile(r"<(?:(?P<converter>[^:<>]+):)?(?P<name>[^<>]+)>")


def path_of(rule: str) -> str:
    """Turn a rule of Flask's into a path of OpenAPI's."""
    return _PARAMETER.sub(r"{\g<name>}", rule)


def operation(
    view: Declared, rule: str, *, name: str, tag: str, schemes: list[str]
) -> dict[str, Any]:
    """Describe an operation; `schemes` are the names of the ways to a token."""
    words = "\n\n".join(filter(None, (view.description, in_words(view.needs))))
    made: dict[str, Any] = {"operationId": name, "tags": [tag], "summary": view.summary}
    if words:
        made["description"] = words
    made["security"] = requirement(view.needs, schemes)
    if parameters := [*_path_parameters(rule), *_query_parameters(view)]:
        made["parameters"] = parameters
    if view.body is not None:
        schema, media_type = view.body
        made["requestBody"] = {
            "required": any(field.is_required() for field in schema.model_fields.values()),
            "content": {media_type: {"schema": reference(schema)}},
        }
    made["responses"] = _responses(view)
    return made


def _path_parameters(rule: str) -> Iterator[dict[str, Any]]:
    for found in _PARAMETER.finditer(rule):
        converter = found["converter"] or "string"
        schema: dict[str, Any] = {"type": "string"}
        if converter.startswith("int"):
            schema = {"type": "integer", "format": "int64", "minimum": 0, "examples": [1]}
            schema["maximum"] = MAX_ID
            if limit := re.search(r"max=(\d+)", converter):
                schema["maximum"] = int(limit[1])
        elif converter == "uuid":
            schema |= {"format": "uuid", "examples": ["0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"]}
        yield {"name": found["name"], "in": "path", "required": True, "schema": schema}


def _query_parameters(view: Declared) -> Iterator[dict[str, Any]]:
    if view.query is not None:
        for name, (required, schema) in inline(view.query).items():
            said = {"description": schema.pop("description", name)}
            yield {"name": name, "in": "query", **said, "required": required, "schema": schema}


def _responses(view: Declared) -> dict[str, Any]:
    statuses = {response.status for response in view.responses}
    statuses |= {problem.status for problem in view.refusals}
    statuses |= {UNPROCESSABLE} if view.faults else set()
    found = {str(status): _response(view, status) for status in sorted(statuses)}
    return {**found, "500": _INTERNAL_ERROR}


def _response(view: Declared, status: int) -> dict[str, Any]:
    given = [response for response in view.responses if response.status == status]
    refused = [problem for problem in view.refusals if problem.status == status]
    sentences = [_said(response) for response in given] + [each.sentence for each in refused]
    if status == UNPROCESSABLE and view.faults:
        sentences.insert(0, "A parameter or a field is missing or wrong")
    description = ". ".join(dict.fromkeys(sentence.rstrip(".") for sentence in sentences))
    headers: dict[str, Any] = {**REQUEST_ID}
    if name := _BY_STATUS.get(status):
        headers[name] = {"$ref": f"#/components/headers/{name}"}
    if status == _UNAVAILABLE and any(each.retry_after is None for each in refused):
        # It is not there when trying again is of no use.
        headers["Retry-After"] = {**HEADERS["Retry-After"], "required": False}
    if status == _FORBIDDEN and view.needs is not None:
        # With a token that lacks something; without, if it is the account that is disabled.
        headers["WWW-Authenticate"] = {**HEADERS["WWW-Authenticate"], "required": False}
    for response in given:
        headers |= _own_headers(response)
    made: dict[str, Any] = {"description": description, "headers": headers}
    if content := _content(view, status, given, refused):
        made["content"] = content
    return made


def _said(response: Response) -> str:
    """Say what an answer is: its own words, else the first line of its schema's."""
    if response.description or response.schema is None:
        return response.description or "Done; there is nothing to show"
    if response.many:
        return "A page of the list, in the order of ids"
    return (response.schema.__doc__ or "").strip().splitlines()[0]


def _own_headers(response: Response) -> dict[str, Any]:
    headers = {}
    for name, (required, schema) in inline(response.headers).items() if response.headers else ():
        said = {"description": schema.pop("description", name), "required": required}
        headers[name.replace("_", "-").title()] = {**said, "schema": schema}
    return headers


def _content(
    view: Declared, status: int, given: Sequence[Response], refused: Sequence[Problem]
) -> dict[str, Any]:
    schemas, examples = [], {}
    for response in given:
        if response.schema is not None:
            schema = reference(response.schema)
            schemas.append({"type": "array", "items": schema} if response.many else schema)
            examples[response.schema.__name__] = _example_of(response)
    if bodies := dict(_bodies(view, status, refused)):
        schemas.append(reference(view.refusal_schema(status)))
        examples |= bodies
    content: dict[str, Any] = {}
    if schemas:
        content[JSON] = {
            "schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
            "examples": {name: {"value": value} for name, value in examples.items()},
        }
    content |= {each.also: {"schema": {"type": "string"}} for each in given if each.also}
    return content


def _example_of(response: Response) -> Any:
    """Return the example that a schema has of itself.

    Raises ValueError if it has none.
    """
    extra: Any = response.schema and response.schema.model_config.get("json_schema_extra")
    if not extra:
        raise ValueError(f"{response.schema} needs an example: model_config = shown(…)")
    [example] = extra["examples"]
    return [example] if response.many else example


def _bodies(
    view: Declared, status: int, refused: Sequence[Problem]
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the body of each refusal, under a name made of its sentence."""
    if status == UNPROCESSABLE:
        for fault in view.faults:
            place = fault[0]["loc"]
            name = str(place[0]) if isinstance(place, list) else "fault"
            yield name, error_body(fault, "invalid_request", oauth=view.oauth)
    for problem in refused:
        name = "_".join(re.findall(r"\w+", problem.sentence.lower())[:6])
        yield name, error_body(problem.detail, problem.error, oauth=view.oauth)
