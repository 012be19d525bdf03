"""Reading request bodies strictly: what two readers could read differently is refused.

JSON must be UTF-8, labelled as JSON, without NaN and without a member that occurs twice (RFC 8259
§4, §8.1); a form must be labelled as one and name each parameter once (RFC 6749 §3.2).
"""

import functools
import json
from collections.abc import Sequence
from io import BytesIO
from typing import IO, Annotated, Any, NoReturn, TypeVar
from urllib.parse import quote, unquote_plus

import orjson
from flask import Request, Response, current_app, request
from flask.json.provider import DefaultJSONProvider
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticKnownError
from sqlalchemy import Row
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.utils import cached_property

from resource_server.converters import INTEGER

MAX_BODY_BYTES = 64 * 1024
MAX_ID = 2**63 - 1  # BIGINT
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

# What openapi/ shows as examples is what is raised here.
NOT_JSON = "The body is not valid JSON: {reason}"
NOT_UTF8 = "it is not UTF-8"
NOT_LABELLED_JSON = "Send the body as application/json"
NOT_LABELLED_FORM = f"Send the body as {_FORM_TYPES[0]}"
NO_HOST = "The Host header is invalid"
OTHER_HOST = "This service does not serve this host"
TWICE = "A parameter occurs twice"


class Schema(BaseModel):
    """Base of what clients send and get.

    A model's own error never repeats what it was given: that may be a password or a token, and an
    unforeseen error ends in the log.
    """

    model_config = ConfigDict(
        hide_input_in_errors=True,
        from_attributes=True,
        # What has a default is always there in an answer.
        json_schema_serialization_defaults_required=True,
    )


def shown(example: dict[str, Any]) -> ConfigDict:
    """Return a `model_config` with an example for the document."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class MessageOut(Schema):
    """It worked."""

    model_config = shown({"message": "Done"})

    message: str


def _require_one_spelling(value: object) -> object:
    """Reject `+1`, `01`, `1_0`, ` 1` and digits of other scripts, which `int` takes."""
    if isinstance(value, str) and not INTEGER.fullmatch(value):
        raise PydanticKnownError("int_parsing")
    return value


OneSpelling = BeforeValidator(_require_one_spelling)
"""Of an integer in a query string: ASCII digits, without zeros in front. Put it after `Field`."""


class PageQuery(Schema):
    """Which part of a list by id; `after` is an id and does not slow down with depth."""

    limit: Annotated[int, Field(ge=1, le=100, description="How many, at most"), OneSpelling] = 100
    after: Annotated[
        Annotated[int, Field(ge=0, le=MAX_ID, json_schema_extra={"format": "int64"}), OneSpelling]
        | None,
        Field(description="Only what comes after this id"),
    ] = None


class Numbered(Schema):
    """What has an id, by which lists are in order."""

    id: Annotated[int, Field(ge=1, le=MAX_ID, json_schema_extra={"format": "int64"})]


class PageHeaders(Schema):
    """What comes with a list."""

    link: Annotated[
        str | None,
        Field(
            description="The next page, if there is one (RFC 8288)",
            examples=['</randoms?limit=100&after=100>; rel="next"'],
        ),
    ] = None


class LocationHeaders(Schema):
    """What comes with something new."""

    location: Annotated[
        str,
        Field(description="The address of what was made", examples=["/randoms/1"]),
    ]


Shown = TypeVar("Shown", bound=Numbered)
_OF_A_PAGE = frozenset({"limit", "after", "offset"})
_IN_QUERIES = "%!$'()*+,;=:@/?-._~"


def page_answer(
    found: Sequence[Row[*tuple[Any, ...]]], schema: type[Shown], *, limit: int
) -> Response:
    """Answer a request with a page, and with a link to the next one (RFC 8288) if there is one.

    `found` is what was asked for by `limit + 1`: the one too many tells that there is more. Its
    columns have the names of the schema's fields.
    """
    shown = _list_of(schema)
    # A row's columns by position: by name, it takes as long as all else here.
    names = found[0]._fields if found else ()
    page = shown.validate_python([dict(zip(names, row, strict=True)) for row in found[:limit]])
    response = current_app.response_class(shown.dump_json(page), mimetype="application/json")
    if len(found) > len(page):
        here = quote(request.root_path + request.path)  # `url_for` takes as long as the checks
        query = f"{_other_parameters(request.query_string)}limit={limit}&after={page[-1].id}"
        response.headers["Link"] = f'<{here}?{query}>; rel="next"'
    return response


def _other_parameters(query: bytes) -> str:
    """Return a query string without what says which page it is, ready for more parameters.

    All others stay as they were sent: their order, repeats and encoding. What may not be in an
    address (RFC 3986 §3.4) is encoded, since it would end the link.
    """
    if not query:
        return ""
    others = [
        part
        for part in query.split(b"&")
        if part and unquote_plus(part.partition(b"=")[0].decode("latin-1")) not in _OF_A_PAGE
    ]
    return "".join(f"{quote(part, safe=_IN_QUERIES)}&" for part in others)


@functools.cache
def _list_of(schema: type[Shown]) -> TypeAdapter[list[Shown]]:
    """Return what checks and writes a whole list at once; per item it would cost three times."""
    return TypeAdapter(list[schema])  # type: ignore[valid-type]  # a type known at run time


class StrictJSONProvider(DefaultJSONProvider):
    """Flask's JSON, strict when it reads; in declared order, and by orjson, when it answers."""

    sort_keys = False

    def response(self, *args: Any, **kwargs: Any) -> Any:
        """Answer with JSON; readable for people under `--debug`, as Flask has it."""
        if self._app.debug:
            return super().response(*args, **kwargs)
        written = orjson.dumps(self._prepare_response_obj(args, kwargs), default=self.default)
        return current_app.response_class(written, mimetype=self.mimetype)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Read JSON; every fault is a ValueError."""
        return strict_json(s.decode("utf-8") if isinstance(s, bytes) else s, **kwargs)


def strict_json(text: str, **kwargs: Any) -> Any:
    """Read JSON text, for example in a parameter of a form. Every error is a ValueError."""
    try:
        return json.loads(
            text, object_pairs_hook=_unique_members, parse_constant=_refuse_constant, **kwargs
        )
    except RecursionError:
        raise _NotStrict("nested too deeply") from None


class StrictRequest(Request):
    """A request whose body is read only as what its Content-Type says."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002, FBT
        """Read a JSON body; no body at all reads as an empty object.

        `force` is ignored: APIFlask sets it, and with it text/plain would pass, which a browser
        sends to other sites without asking (a CORS "simple request").
        """
        if not self._has_body:
            return {}
        read = super().get_json(force=False, silent=silent, cache=cache)
        # APIFlask takes null for an empty object; a list is what no schema takes.
        return [] if read is None else read

    @cached_property
    def form(self) -> ImmutableMultiDict[str, str]:
        """Read a form (RFC 6749 §3.2).

        A parameter without a value counts as left out. One that occurs twice is rejected,
        whatever its name and values.
        """
        if self._has_body and self.mimetype not in _FORM_TYPES:
            raise UnsupportedMediaType(NOT_LABELLED_FORM)
        form = super().form
        for _, values in form.lists():
            if len(values) > 1:
                raise BadRequest(TWICE)
        return ImmutableMultiDict((name, value) for name, value in form.items() if value)

    @cached_property
    def stream(self) -> IO[bytes]:
        """Hand out the body; a chunked one is read here, whole or not at all.

        Werkzeug would cut it at the limit without a word, and the errors of a server that takes
        chunks apart are no ValueErrors: gunicorn's derive from Exception alone.
        """
        if self.content_length is not None or not self.environ.get("wsgi.input_terminated"):
            return super().stream
        raw, limit, body = self.environ["wsgi.input"], MAX_BODY_BYTES, bytearray()
        try:
            while len(body) <= limit and (chunk := raw.read(limit + 1 - len(body))):
                body += chunk
        except Exception:  # noqa: BLE001 - each server has classes of its own
            raise BadRequest("The body could not be read") from None
        if len(body) > limit:
            raise RequestEntityTooLarge
        return BytesIO(body)

    @property
    def _has_body(self) -> bool:
        return bool(self.content_length) or self.headers.get("Transfer-Encoding") is not None

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        """Answer 415 for another content type, 400 for bytes that are no strict JSON."""
        if e is None:
            raise UnsupportedMediaType(NOT_LABELLED_JSON)
        raise BadRequest(NOT_JSON.format(reason=_reason(e)))


def _reason(error: ValueError) -> str:
    """Say what is wrong without repeating any of the body."""
    if isinstance(error, UnicodeDecodeError):
        return NOT_UTF8
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return str(error) if isinstance(error, _NotStrict) else "a number is too long"


class _NotStrict(ValueError):
    """JSON that other readers take. The text says what is wrong with it."""


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NotStrict("a member occurs twice")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise _NotStrict("NaN and Infinity are no JSON")
