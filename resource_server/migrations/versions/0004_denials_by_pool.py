"""Revocations by pool and by transaction.

Revision ID: 0004
Revises: 0003
Create Date: 2026-12-01

The release before goes on working: what it leaves out may be empty or has a default.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEXES = {"ix_revocations_value": "value", "ix_revocations_written_in": "written_in"}


def upgrade() -> None:
    op.add_column("revocations", sa.Column("pool_id", sa.String(55), nullable=True))
    op.add_column("revocations", sa.Column("written_in", sa.BigInteger(), nullable=True))
    if op.get_context().dialect.name == "postgresql":
        # Set on its own: as part of the column it would rewrite the table.
        op.alter_column("revocations", "written_in", server_default=sa.text("txid_current()"))
    for name, column in _INDEXES.items():  # at once: the table holds a few days of sign-outs
        op.create_index(name, "revocations", [column])


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, "revocations")
    op.drop_column("revocations", "written_in")
    op.drop_column("revocations", "pool_id")
