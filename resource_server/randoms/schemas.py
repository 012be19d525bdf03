"""What clients send and get about random numbers."""

from typing import Annotated, Self

from pydantic import Field, StrictInt, model_validator

from resource_server.bodies import MAX_ID, Numbered, OneSpelling, PageQuery, Schema, shown

# Beyond 2^53 - 1 a JavaScript client would read another number (RFC 8259 §6). Strict: true, 1.0 and
# "1" are no integers.
Bound = Annotated[
    StrictInt, Field(ge=-(2**53 - 1), le=2**53 - 1, json_schema_extra={"format": "int64"})
]


class RandomIn(Schema):
    """The bounds to draw between, both included; `min_value` is not the greater one."""

    model_config = shown({"min_value": 1, "max_value": 6})

    min_value: Bound
    max_value: Bound

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_value > self.max_value:
            raise ValueError("min_value must not be greater than max_value")
        return self


class RandomPatch(Schema):
    """New bounds; what is left out, or null, stays. The number is drawn anew."""

    model_config = shown({"max_value": 20})

    min_value: Bound | None = None
    max_value: Bound | None = None


class RandomsQuery(PageQuery):
    """Which part of the list; `offset` counts from `after`, or from the beginning."""

    offset: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_ID,
            description="How many to leave out first",
            json_schema_extra={"format": "int64"},
        ),
        OneSpelling,
    ] = 0


class RandomOut(Numbered):
    """A random number."""

    model_config = shown({"id": 1, "num": 4, "min_value": 1, "max_value": 6})

    num: Bound
    min_value: Bound
    max_value: Bound
