"""Run by Alembic for every `flask db` command, in the context of the current app."""

from alembic import context
from flask import current_app

from resource_server.extensions import db


def run_migrations() -> None:
    arguments = {
        "target_metadata": db.metadata,
        **current_app.extensions["migrate"].configure_args,
    }
    if context.is_offline_mode():
        context.configure(
            url=db.engine.url.render_as_string(hide_password=False), literal_binds=True, **arguments
        )
        with context.begin_transaction():
            context.run_migrations()
        return
    with db.engine.connect() as connection:
        context.configure(connection=connection, **arguments)
        with context.begin_transaction():
            context.run_migrations()


run_migrations()
