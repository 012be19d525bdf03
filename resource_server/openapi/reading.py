"""What the decorators of a view declare: the only place that looks into APIFlask's notes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from resource_server.auth import METADATA_PATH, TokenRequirement, token_requirement
from resource_server.hosts import is_for_any_host
from resource_server.openapi import derived
from resource_server.openapi.schemas import (
    Invalid,
    OAuthInvalid,
    OAuthRefusal,
    ProtectedResource,
    Refusal,
    Used,
)
from resource_server.refusals import (
    UNPROCESSABLE,
    Problem,
    Response,
    declared_refusals,
    declared_responses,
    is_token_endpoint,
)

# Views of auth/, which any Flask app may use, and which knows nothing of documents.
_OF_OTHERS = {METADATA_PATH: (Response(200, ProtectedResource),)}


@dataclass(frozen=True, slots=True)
class Declared:
    """All that is known of one view."""

    summary: str
    description: str
    needs: TokenRequirement | None
    body: tuple[type[BaseModel], str] | None
    """What is sent, and its media type."""
    query: type[BaseModel] | None
    responses: tuple[Response, ...]
    refusals: tuple[Problem, ...]
    faults: tuple[list[dict[str, object]], ...]
    """What the schemas find wrong, as an example."""
    oauth: bool
    """Whether errors are those of a token endpoint."""

    def refusal_schema(self, status: int) -> type[BaseModel]:
        """Return the model of what is refused with a status."""
        if status == UNPROCESSABLE:
            return OAuthInvalid if self.oauth else Invalid
        return OAuthRefusal if self.oauth else Refusal

    def models(self) -> Iterator[Used]:
        """Yield every model that the document shows of this view."""
        if self.body is not None:
            yield self.body[0], "validation"
        for response in self.responses:
            if response.schema is not None:
                yield response.schema, "serialization"
        for problem in self.refusals:
            yield self.refusal_schema(problem.status), "serialization"
        if self.faults:
            yield self.refusal_schema(UNPROCESSABLE), "serialization"


def is_hidden(view: Callable[..., Any]) -> bool:
    """Tell whether a view is left out of the document (`@blueprint.doc(hide=True)`)."""
    return bool(_notes(view).get("hide"))


def declared(view: Callable[..., Any], path: str) -> Declared:
    """Read what the view of a path declares.

    Raises ValueError if it does not say what it answers.
    """
    notes = _notes(view)
    summary, _, rest = (view.__doc__ or "").strip().partition("\n")
    responses = (*_output(notes), *declared_responses(view), *_OF_OTHERS.get(path, ()))
    if not responses or not summary:
        raise ValueError(f"{path}: give {view.__name__} a docstring, and @output or @responds")
    body = (notes["body"], notes["content_type"]) if "body" in notes else None
    query = next((schema for schema, place in notes.get("args", ()) if place == "query"), None)
    for schema in (*(each.schema for each in responses), query, *(body or ())[:1]):
        if schema is not None and not (isinstance(schema, type) and issubclass(schema, BaseModel)):
            raise ValueError(f"{path}: the schemas of {view.__name__} must be pydantic models")
    needs = token_requirement(view)
    location = None if body is None else "json" if body[1] == "application/json" else "form"
    own = (*declared_refusals(view), *derived.of_token(needs), *derived.of_body(location))
    faults = [derived.fault_of(body[0], "json")] if body is not None else []
    faults += [derived.fault_of(query, "query")] if query is not None else []
    return Declared(
        summary=summary.removesuffix("."),
        description="\n".join(line.strip() for line in rest.strip().splitlines()),
        needs=needs,
        body=body,
        query=query,
        responses=responses,
        refusals=(
            *derived.of_host(is_for_any_host(view)),
            derived.HEADERS_TOO_LARGE,
            *own,
        ),
        faults=tuple(faults),
        oauth=is_token_endpoint(view),
    )


def _notes(view: Callable[..., Any]) -> dict[str, Any]:
    """Return what APIFlask's decorators noted on a view."""
    notes: dict[str, Any] = getattr(view, "_spec", {})
    return notes


def _output(notes: dict[str, Any]) -> Iterator[Response]:
    """Yield the answer that `@output` declares."""
    noted = notes.get("response")
    # APIFlask's own generator notes an empty schema where there is no `@output`.
    if noted is not None and isinstance(noted["schema"], type):
        yield Response(
            noted["status_code"],
            noted["schema"],
            noted["description"] or "",
            noted["headers"],
            many=noted["schema_adapter_many"],
        )
