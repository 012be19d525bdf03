"""An index that holds all of a page, so that none of its rows is looked for elsewhere.

Without them in it, PostgreSQL takes the primary key for the shorter way to the first rows of
somebody who has many, and reads past everybody else's until it comes upon them.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-30
"""

import contextlib
from typing import Any

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _exchange(
        "ix_randoms_owner_sub_id",
        "ix_randoms_page",
        postgresql_include=["num", "min_value", "max_value"],
    )


def downgrade() -> None:
    _exchange("ix_randoms_page", "ix_randoms_owner_sub_id")


def _exchange(old: str, new: str, **options: Any) -> None:
    """Build one index and then drop the other; PostgreSQL goes on reading and writing meanwhile."""
    context = op.get_context()
    is_postgres = context.dialect.name == "postgresql"
    options["postgresql_concurrently"] = is_postgres
    with context.autocommit_block() if is_postgres else contextlib.nullcontext():
        # A build that was cut short leaves an index that nobody reads and everybody writes.
        op.drop_index(new, "randoms", if_exists=True, postgresql_concurrently=is_postgres)
        op.create_index(new, "randoms", ["owner_sub", "id"], **options)
        op.drop_index(old, "randoms", if_exists=True, postgresql_concurrently=is_postgres)
