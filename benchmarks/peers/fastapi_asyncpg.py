"""FastAPI with this service's levers, and asyncpg by itself instead of SQLAlchemy."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import orjson
from fastapi import FastAPI, HTTPException, Query, Request, Response

from benchmarks.peers import config
from benchmarks.peers.models import RandomIn
from benchmarks.peers.remembered_tokens import Claims

# asyncpg prepares a statement once a connection, and knows it again.
_ACTIVE = "SELECT sub FROM users WHERE sub = $1 AND NOT disabled"
_PAGE = f"""
SELECT id, num, min_value, max_value FROM randoms
WHERE owner_sub = ({_ACTIVE}) ORDER BY id LIMIT $2
"""  # noqa: S608 - a constant
_CREATE = """
INSERT INTO randoms (owner_sub, num, min_value, max_value)
SELECT sub, $2, $3, $4 FROM users WHERE sub = $1 AND NOT disabled
RETURNING id, num, min_value, max_value
"""


@asynccontextmanager
async def _pooled(app: FastAPI) -> AsyncIterator[None]:
    size = config.POOL_SIZE + config.MAX_OVERFLOW
    async with asyncpg.create_pool(
        host=config.SOCKETS,
        port=5432,
        user="postgres",
        database="postgres",
        min_size=config.POOL_SIZE,
        max_size=size,
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_pooled)


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


@app.get("/randoms")
async def list_randoms(
    request: Request, claims: Claims, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Response:
    """List the user's numbers."""
    pool = request.app.state.pool
    rows = await pool.fetch(_PAGE, claims["sub"], limit)
    if not rows and not await pool.fetchval(_ACTIVE, claims["sub"]):
        raise HTTPException(403)
    return _json([dict(row) for row in rows])


@app.post("/randoms")
async def create_random(request: Request, claims: Claims, bounds: RandomIn) -> Response:
    """Draw a number and keep it."""
    low, high = bounds.min_value, bounds.max_value
    num = random.randint(low, high)  # noqa: S311 - nothing secret
    made = await request.app.state.pool.fetchrow(_CREATE, claims["sub"], num, low, high)
    if made is None:
        raise HTTPException(403)
    return _json(dict(made), 201)


@app.get("/protected")
async def protected(claims: Claims) -> Response:
    """Tell whose token it is."""
    return _json({"sub": claims["sub"]})


@app.get("/bare")
async def bare() -> Response:
    """Ask for nothing."""
    return _json({"ok": True})
