"""What the `flask` command needs before it has an app: its files, its port."""

import errno
import socket
from pathlib import Path

import click
from flask.helpers import get_load_dotenv
from werkzeug.serving import is_running_from_reloader

from resource_server.settings import SettingsError


def is_flask_run() -> bool:
    """Return whether the command is `flask run`."""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name == "run" and "port" in context.params


def require_free_port() -> None:
    """Check that `flask run` can open its port.

    Raises click.ClickException, saying what to do.
    """
    if is_running_from_reloader():  # its parent has the socket
        return
    parameters = click.get_current_context().params
    host, port = parameters["host"], parameters["port"]
    if host.startswith("unix://"):
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as attempt:
            # As the server does: a port whose last connections still linger is free.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind((host, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return  # the server says it in its own words
        raise click.ClickException(
            f'Port {port} is in use. Choose another one: make run ARGS="--port {port + 50}", '
            f"or flask run --port {port + 50}."
        ) from None


def check_dotenv_files() -> None:
    """Check .flaskenv and .env, which python-dotenv reads as far as it can.

    A line that it cannot read is left out with a warning. The command would then work with another
    pool or database than the file names.

    Raises SettingsError with the file and the number of the line, without its content.
    """
    try:
        from dotenv import find_dotenv  # noqa: PLC0415 - of the extra `dev`, as in Flask
        from dotenv.parser import parse_stream  # noqa: PLC0415
    except ImportError:
        return
    if not get_load_dotenv():  # FLASK_SKIP_DOTENV
        return
    files = [find_dotenv(name, usecwd=True) for name in (".flaskenv", ".env")]
    for file in filter(None, files):
        try:
            with Path(file).open(encoding="utf-8") as stream:
                bindings = list(parse_stream(stream))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} cannot be read ({type(error).__name__}).") from None
        for binding in bindings:
            if binding.error or (binding.key is not None and binding.value is None):
                raise SettingsError(
                    f"{file}, line {binding.original.line}: this is not NAME=value. Correct it, or "
                    "begin the line with # to leave it out."
                )
