"""Users, and the random numbers they own.

Revision ID: 0001
Revises:
Create Date: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("sub", sa.String(128), nullable=False),
        sa.Column("username", sa.String(128), nullable=False),
        sa.Column("email", sa.String(320), nullable=True),
        sa.Column("full_name", sa.String(256), nullable=True),
        sa.Column("disabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("sub", name=op.f("uq_users_sub")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "randoms",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("num", sa.BigInteger(), nullable=False),
        sa.Column("min_value", sa.BigInteger(), nullable=False),
        sa.Column("max_value", sa.BigInteger(), nullable=False),
        sa.Column("owner_sub", sa.String(128), nullable=False),
        sa.CheckConstraint(
            "min_value <= num AND num <= max_value", name=op.f("ck_randoms_num_within_bounds")
        ),
        sa.ForeignKeyConstraint(
            ["owner_sub"],
            ["users.sub"],
            name=op.f("fk_randoms_owner_sub_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_randoms")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_randoms_owner_sub_id", "randoms", ["owner_sub", "id"])


def downgrade() -> None:
    op.drop_table("randoms")
    op.drop_table("users")
