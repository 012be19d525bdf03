"""The table of users."""

from sqlalchemy import BigInteger, Boolean, Integer, String, false
from sqlalchemy.orm import Mapped, mapped_column

from resource_server.extensions import Model

# SQLite numbers rows by themselves only for INTEGER.
BIG_ID = BigInteger().with_variant(Integer, "sqlite")


class User(Model):
    """What the application knows of a Cognito user.

    `sub` is the key: a user name that is deleted and taken again is another person.
    """

    __tablename__ = "users"
    # AUTOINCREMENT: as on PostgreSQL, the id of a deleted row never comes back.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    sub: Mapped[str] = mapped_column(String(128), unique=True)
    username: Mapped[str] = mapped_column(String(128))
    email: Mapped[str | None] = mapped_column(String(320))
    full_name: Mapped[str | None] = mapped_column(String(256))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
