"""The tables as SQLAlchemy's ORM sees them, and what is sent of them."""

from pydantic import BaseModel, ConfigDict
from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""


class User(Base):
    """An account."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    sub: Mapped[str] = mapped_column(unique=True)
    username: Mapped[str]
    disabled: Mapped[bool]


class Random(Base):
    """A number of somebody's."""

    __tablename__ = "randoms"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    num: Mapped[int] = mapped_column(BigInteger)
    min_value: Mapped[int] = mapped_column(BigInteger)
    max_value: Mapped[int] = mapped_column(BigInteger)
    owner_sub: Mapped[str] = mapped_column(ForeignKey("users.sub"))


class RandomIn(BaseModel):
    """The bounds to draw between."""

    min_value: int
    max_value: int


class RandomOut(BaseModel):
    """A number as it is sent."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    num: int
    min_value: int
    max_value: int
