"""FastAPI with SQLAlchemy's ORM on psycopg2, views in threads, and PyJWT."""

import random
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.peers import config
from benchmarks.peers.fastapi_tokens import Bearer, claims_of
from benchmarks.peers.models import Random, RandomIn, RandomOut, User

engine = create_engine(
    config.DATABASE_URL,
    pool_size=config.POOL_SIZE,
    max_overflow=config.MAX_OVERFLOW,
)
sessions = sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


def _session() -> Iterator[Session]:
    with sessions() as session:
        yield session


def _claims(bearer: Bearer) -> dict[str, Any]:
    return claims_of(bearer)


Claims = Annotated[dict[str, Any], Depends(_claims)]
Database = Annotated[Session, Depends(_session)]


def _user(claims: Claims, session: Database) -> User:
    user = session.scalar(select(User).where(User.sub == claims["sub"]))
    if user is None or user.disabled:
        raise HTTPException(403)
    return user


CurrentUser = Annotated[User, Depends(_user)]


@app.get("/randoms", response_model=list[RandomOut])
def list_randoms(
    user: CurrentUser, session: Database, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Sequence[Random]:
    """List the user's numbers."""
    mine = select(Random).where(Random.owner_sub == user.sub)
    return session.scalars(mine.order_by(Random.id).limit(limit)).all()


@app.post("/randoms", status_code=201, response_model=RandomOut)
def create_random(user: CurrentUser, session: Database, bounds: RandomIn) -> Random:
    """Draw a number and keep it."""
    number = Random(
        num=random.randint(bounds.min_value, bounds.max_value),  # noqa: S311 - nothing secret
        min_value=bounds.min_value,
        max_value=bounds.max_value,
        owner_sub=user.sub,
    )
    session.add(number)
    session.commit()
    return number


@app.get("/protected")
def protected(claims: Claims) -> dict[str, str]:
    """Tell whose token it is."""
    return {"sub": claims["sub"]}


@app.get("/bare")
def bare() -> dict[str, bool]:
    """Ask for nothing."""
    return {"ok": True}
