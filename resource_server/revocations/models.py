"""The table of the deny list."""

from typing import Literal

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from resource_server.extensions import Model

Kind = Literal["jti", "origin_jti", "sub"]


class Revocation(Model):
    """One token (`jti`), one sign-in (`origin_jti`) or one user (`sub`) that is revoked.

    Times are whole seconds since the epoch, by the clock of the process that wrote the row.
    """

    __tablename__ = "revocations"
    # AUTOINCREMENT: ids must never come back, since processes ask for newer ones.
    __table_args__ = (
        Index("ix_revocations_expires_at", "expires_at"),
        Index("ix_revocations_value", "value"),
        Index("ix_revocations_written_in", "written_in"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    pool_id: Mapped[str | None] = mapped_column(String(55))
    """The user pool of the tokens. None revokes the value in every pool, as release 0.1 did."""
    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[str] = mapped_column(String(256))
    issued_before: Mapped[int] = mapped_column(BigInteger)
    """Only tokens with an `iat` below this are denied."""
    expires_at: Mapped[int] = mapped_column(BigInteger)
    """From then on every token that the row denies has expired."""
    written_in: Mapped[int | None] = mapped_column(BigInteger)
    """The transaction that wrote the row (PostgreSQL's `txid_current()`); None on SQLite."""
