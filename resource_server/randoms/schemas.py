"""What clients send and get about random numbers."""

from typing import Annotated, Self

from pydantic import Field, StrictInt, model_validator

from resource_server.bodies import Schema

MAX_ID = 2**63 - 1  # BIGINT

# Beyond 2^53 - 1 a JavaScript client would read another number (RFC 8259 §6). Strict: true, 1.0 and
# "1" are no integers.
Bound = Annotated[StrictInt, Field(ge=-(2**53 - 1), le=2**53 - 1)]


class RandomIn(Schema):
    """The bounds to draw between, both included."""

    min_value: Bound
    max_value: Bound

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_value > self.max_value:
            raise ValueError("min_value must not be greater than max_value")
        return self


class RandomPatch(Schema):
    """New bounds; what is left out, or null, stays. The number is drawn anew."""

    min_value: Bound | None = None
    max_value: Bound | None = None


class PageQuery(Schema):
    """Which part of the list; `after` is an id and does not slow down with depth."""

    limit: Annotated[int, Field(ge=1, le=100)] = 100
    offset: Annotated[int, Field(ge=0, le=MAX_ID)] = 0
    after: Annotated[int, Field(ge=0, le=MAX_ID)] | None = None


class RandomOut(Schema):
    """A random number."""

    id: int
    num: int
    min_value: int
    max_value: int
