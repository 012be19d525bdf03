"""FastAPI with SQLAlchemy's asynchronous ORM on asyncpg, and PyJWT."""

import random
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.peers import config
from benchmarks.peers.fastapi_tokens import Bearer, claims_of
from benchmarks.peers.models import Random, RandomIn, RandomOut, User

engine = create_async_engine(
    "postgresql+asyncpg://postgres@/postgres",
    connect_args={"host": config.SOCKETS, "port": 5432},
    pool_size=config.POOL_SIZE,
    max_overflow=config.MAX_OVERFLOW,
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def _session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


async def _claims(bearer: Bearer) -> dict[str, Any]:
    return claims_of(bearer)


Claims = Annotated[dict[str, Any], Depends(_claims)]
Database = Annotated[AsyncSession, Depends(_session)]


async def _user(claims: Claims, session: Database) -> User:
    user = await session.scalar(select(User).where(User.sub == claims["sub"]))
    if user is None or user.disabled:
        raise HTTPException(403)
    return user


CurrentUser = Annotated[User, Depends(_user)]


@app.get("/randoms", response_model=list[RandomOut])
async def list_randoms(
    user: CurrentUser, session: Database, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Sequence[Random]:
    """List the user's numbers."""
    mine = select(Random).where(Random.owner_sub == user.sub)
    return (await session.scalars(mine.order_by(Random.id).limit(limit))).all()


@app.post("/randoms", status_code=201, response_model=RandomOut)
async def create_random(user: CurrentUser, session: Database, bounds: RandomIn) -> Random:
    """Draw a number and keep it."""
    number = Random(
        num=random.randint(bounds.min_value, bounds.max_value),  # noqa: S311 - nothing secret
        min_value=bounds.min_value,
        max_value=bounds.max_value,
        owner_sub=user.sub,
    )
    session.add(number)
    await session.commit()
    return number


@app.get("/protected")
async def protected(claims: Claims) -> dict[str, str]:
    """Tell whose token it is."""
    return {"sub": claims["sub"]}


@app.get("/bare")
async def bare() -> dict[str, bool]:
    """Ask for nothing."""
    return {"ok": True}
