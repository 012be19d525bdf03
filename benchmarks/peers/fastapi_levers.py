"""FastAPI on asyncpg with this service's levers.

Verified tokens are remembered; SQLAlchemy Core with statements built once, one for the disabled
check and the work, each sent by itself in AUTOCOMMIT; JSON by orjson without a model in between.
"""

import random
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, HTTPException, Query, Response
from sqlalchemy import BigInteger, Executable, bindparam, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.peers import config
from benchmarks.peers.models import Random, RandomIn, User
from benchmarks.peers.remembered_tokens import Claims

engine = create_async_engine(
    "postgresql+asyncpg://postgres@/postgres",
    connect_args={"host": config.SOCKETS, "port": 5432},
    pool_size=config.POOL_SIZE,
    max_overflow=config.MAX_OVERFLOW,
    isolation_level="AUTOCOMMIT",
)
app = FastAPI()

_COLUMNS = (Random.id, Random.num, Random.min_value, Random.max_value)
_ACTIVE = select(User.sub).where(User.sub == bindparam("owner"), ~User.disabled)
_PAGE = (
    select(*_COLUMNS)
    .where(Random.owner_sub == _ACTIVE.scalar_subquery())
    .order_by(Random.id)
    .limit(bindparam("limit", type_=BigInteger))
)
_DRAWN = [bindparam(name, type_=BigInteger) for name in ("num", "low", "high")]
_CREATE = (
    insert(Random)
    .from_select(
        ["owner_sub", "num", "min_value", "max_value"],
        select(User.sub, *_DRAWN).where(User.sub == bindparam("owner"), ~User.disabled),
    )
    .returning(*_COLUMNS)
)


async def _ask(statement: Executable, **values: Any) -> list[dict[str, int]]:
    async with engine.connect() as connection:
        rows = (await connection.execute(statement, values)).all()
    return [{"id": a, "num": b, "min_value": c, "max_value": d} for a, b, c, d in rows]


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


@app.get("/randoms")
async def list_randoms(claims: Claims, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
    """List the user's numbers."""
    found = await _ask(_PAGE, owner=claims["sub"], limit=limit)
    if not found:
        await _refuse_disabled(claims["sub"])
    return _json(found)


@app.post("/randoms")
async def create_random(claims: Claims, bounds: RandomIn) -> Response:
    """Draw a number and keep it."""
    low, high = bounds.min_value, bounds.max_value
    num = random.randint(low, high)  # noqa: S311 - nothing secret
    made = await _ask(_CREATE, owner=claims["sub"], num=num, low=low, high=high)
    if not made:
        raise HTTPException(403)
    return _json(made[0], 201)


@app.get("/protected")
async def protected(claims: Claims) -> Response:
    """Tell whose token it is."""
    return _json({"sub": claims["sub"]})


@app.get("/bare")
async def bare() -> Response:
    """Ask for nothing."""
    return _json({"ok": True})


async def _refuse_disabled(owner: str) -> None:
    async with engine.connect() as connection:
        if not (await connection.execute(_ACTIVE, {"owner": owner})).all():
            raise HTTPException(403)
