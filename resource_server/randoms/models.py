"""The table of random numbers."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from resource_server.extensions import Model
from resource_server.users.models import BIG_ID


class RandomNumber(Model):
    """A number drawn between two bounds, both included; it belongs to one user."""

    __tablename__ = "randoms"
    __table_args__ = (
        CheckConstraint("min_value <= num AND num <= max_value", name="num_within_bounds"),
        # A page is read by owner, in the order of ids, and all of it here: twenty rows lie in one
        # block or two of the index, and in twenty of the table.
        Index(
            "ix_randoms_page",
            "owner_sub",
            "id",
            postgresql_include=["num", "min_value", "max_value"],
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    num: Mapped[int] = mapped_column(BigInteger)
    min_value: Mapped[int] = mapped_column(BigInteger)
    max_value: Mapped[int] = mapped_column(BigInteger)
    owner_sub: Mapped[str] = mapped_column(ForeignKey("users.sub", ondelete="CASCADE"))
