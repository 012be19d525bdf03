"""What a command works on: which user pool and which database."""

import getpass
import importlib
import logging
import os
import sys

import click

from resource_server.database import describe
from resource_server.extensions import db
from resource_server.services import services
from resource_server.settings import Settings
from resource_server.terminal import printable

logger = logging.getLogger(__name__)

_NOTHING_NAMED = (
    "No user pool is named, and this command does not use the emulator unless you say so. Set "
    "AWS_USER_POOL_ID, AWS_COGNITO_APP_CLIENT_ID and DATABASE_URL. For the emulator of `make run`, "
    "set COGNITO_EMULATOR=embedded."
)


def require_named(settings: Settings) -> None:
    """Stop a command that would use the emulator without its name.

    Raises click.ClickException.
    """
    if settings.cognito_emulator == "auto":
        raise click.ClickException(_NOTHING_NAMED)


def announce(*, pool: bool = True, database: bool = True) -> None:
    """Say on stderr and in the log which user pool and database a command is about to change.

    Raises click.ClickException if neither is named.
    """
    settings = services().settings
    require_named(settings)
    named = {}
    if pool:
        named["User pool"] = pool_of(settings)
    if database:
        named["Database"] = printable(describe(db.engine.engine.url))
    for name, value in named.items():
        click.echo(f"{name:9}  {value}", err=True)
    # Before the change, which may stop half-way.
    command = click.get_current_context().command_path
    logger.info("audit: %s runs %s on %s", operator(), command, ", ".join(named.values()))


def is_flask_db() -> bool:
    """Return whether the command is one of `flask db`."""
    context = click.get_current_context(silent=True)
    return context is not None and context.parent is not None and context.parent.info_name == "db"


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is deleted, if stdin is a terminal.

    Raises click.Abort.
    """
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def pool_of(settings: Settings) -> str:
    """Return the id of the user pool and where it is."""
    where = settings.region
    if settings.cognito_endpoint_url:
        where += f", at {printable(settings.cognito_endpoint_url)}"
    if settings.cognito_endpoint_is_emulator:
        where += ", an emulator"
    return f"{settings.aws_user_pool_id} in {where}"


def operator() -> str:
    """Return who runs this command, for audit lines of the log, such as `command line (ada)`.

    It is the user of the operating system. CloudTrail has the AWS identity of each call.
    """
    try:
        pwd = importlib.import_module("pwd")  # not on Windows
        name = pwd.getpwuid(os.getuid()).pw_name
    except ImportError:
        name = getpass.getuser()
    except KeyError:  # a user without a name, as containers have
        name = f"uid {os.getuid()}"
    return f"command line ({name})"
