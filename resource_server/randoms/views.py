"""The five endpoints of random numbers."""

from apiflask import APIBlueprint
from flask import url_for
from flask.typing import ResponseReturnValue

from resource_server.auth import current_principal, principal_or_none, require_scope
from resource_server.bodies import LocationHeaders, PageHeaders, page_answer
from resource_server.problems import answer
from resource_server.randoms.schemas import RandomIn, RandomOut, RandomPatch, RandomsQuery
from resource_server.randoms.store import BoundsOutOfOrder, NoSuchRandom, OwnedRandoms
from resource_server.refusals import CONFLICT, Problem, refuses, responds
from resource_server.services import services

randoms = APIBlueprint(
    "randoms",
    __name__,
    url_prefix="/randoms",
    tag={"name": "randoms", "description": "Random numbers, each its owner's alone."},
)

SCOPES = "me randoms"
NOT_FOUND = Problem(404, "Not found")
OUT_OF_ORDER = Problem(422, "min_value must not be greater than max_value")
_ITEM = "/<int:random_id>"


@randoms.get("")
@require_scope(SCOPES)
@randoms.input(RandomsQuery, location="query", arg_name="query")
@randoms.output(list[RandomOut], headers=PageHeaders)  # type: ignore[arg-type]  # the hint is short
def list_randoms(query: RandomsQuery) -> ResponseReturnValue:
    """List your random numbers by id; `Link: …; rel="next"` leads to the next page."""
    found = _mine().page(limit=query.limit + 1, offset=query.offset, after=query.after or 0)
    return page_answer(found, RandomOut, limit=query.limit)


@randoms.post("")
@require_scope(SCOPES)
@refuses(CONFLICT)
@randoms.input(RandomIn, arg_name="bounds")
@randoms.output(RandomOut, 201, headers=LocationHeaders)
def create_random(bounds: RandomIn) -> tuple[RandomOut, dict[str, str]]:
    """Draw a random number between two bounds and keep it."""
    number = RandomOut.model_validate(_mine().create(bounds.min_value, bounds.max_value))
    return number, {"Location": url_for(".get_random", random_id=number.id)}


@randoms.get(_ITEM)
@require_scope(SCOPES)
@refuses(NOT_FOUND)
@randoms.output(RandomOut)
def get_random(random_id: int) -> RandomOut:
    """Show one of your random numbers."""
    return RandomOut.model_validate(_mine().get(random_id))


@randoms.patch(_ITEM)
@require_scope(SCOPES)
@refuses(NOT_FOUND, OUT_OF_ORDER)
@randoms.input(RandomPatch, arg_name="bounds")
@randoms.output(RandomOut)
def redraw_random(random_id: int, bounds: RandomPatch) -> RandomOut:
    """Draw one of your numbers anew, between new bounds where given."""
    changed = _mine().redraw(random_id, min_value=bounds.min_value, max_value=bounds.max_value)
    return RandomOut.model_validate(changed)


@randoms.delete(_ITEM)
@require_scope(SCOPES)
@refuses(NOT_FOUND)
@responds(204)
def delete_random(random_id: int) -> ResponseReturnValue:
    """Delete one of your random numbers."""
    _mine().delete(random_id)
    return "", 204


@randoms.errorhandler(NoSuchRandom)
def _no_such_random(_error: NoSuchRandom) -> ResponseReturnValue:
    return answer(NOT_FOUND)


@randoms.errorhandler(BoundsOutOfOrder)
def _bounds_out_of_order(_error: BoundsOutOfOrder) -> ResponseReturnValue:
    return answer(OUT_OF_ORDER)


def _mine() -> OwnedRandoms:
    mine = services()
    home = mine.settings.aws_user_pool_id
    # The token itself: each attribute of the proxy would be looked up in the request.
    owner = principal_or_none() or current_principal
    return OwnedRandoms(owner, mine.connections, home=home)
