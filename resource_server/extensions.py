"""Flask-SQLAlchemy, unbound: a leaf that holds no configuration. The app object owns all state."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase


class Model(DeclarativeBase):
    """Base of all models.

    A declarative class of our own instead of `db.Model`, which type checkers cannot see through;
    `db` shares its metadata, so that sessions, engines and migrations are Flask-SQLAlchemy's.
    """

    # Named constraints, so that a migration can drop one on every database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# What was written is not read again after the commit: a connection that is lost then would turn a
# write that is done into an error, and each creation would cost one more round trip.
db = SQLAlchemy(metadata=Model.metadata, session_options={"expire_on_commit": False})
