"""What the `flask` command needs before it has an app: its files, its port."""

import errno
import re
import socket
import sys
from pathlib import Path

import click
from click.core import ParameterSource
from flask.helpers import get_load_dotenv
from werkzeug.serving import is_running_from_reloader

from resource_server.settings import SettingsError, flask_env_file

_PORTS = range(1024, 65_536)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


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
    if not 0 <= port <= _PORTS[-1]:
        raise click.ClickException(f"{port} is no port. Choose one up to {_PORTS[-1]}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as attempt:
            # As the server does: a port whose last connections still linger is free.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            happened = f"Port {port} is in use."
        elif error.errno == errno.EACCES:
            happened = f"Port {port} is for the administrator of this machine."
        else:
            raise click.ClickException(
                f"This machine cannot listen on {host} ({error.strerror}). Choose another address: "
                'make run ARGS="--host 127.0.0.1", or flask run --host 127.0.0.1.'
            ) from None
        other = port + 50 if port in _PORTS and port + 50 in _PORTS else 5050
        raise click.ClickException(
            f'{happened} Choose another one: make run ARGS="--port {other}", '
            f"or flask run --port {other}."
        ) from None


def check_dotenv_files() -> None:
    """Check .flaskenv, .env and the file of --env-file, which python-dotenv reads as far as it can.

    A line that it cannot read is left out with a warning, and a byte order mark becomes a part of
    the first name. The command would then work with another pool or database than the file names.

    Raises SettingsError with the file and the number of the line, without its content.
    """
    try:
        from dotenv import find_dotenv  # noqa: PLC0415 - of the extra `dev`, as in Flask
        from dotenv.parser import parse_stream  # noqa: PLC0415
    except ImportError:
        return
    files = [_chosen_file()]
    if get_load_dotenv():  # FLASK_SKIP_DOTENV
        files += [find_dotenv(name, usecwd=True) for name in (".flaskenv", ".env")]
    for file in filter(None, files):
        try:
            with Path(file).open(encoding="utf-8") as stream:
                bindings = list(parse_stream(stream))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} cannot be read ({type(error).__name__}).") from None
        for binding in bindings:
            name = binding.key
            is_wrong = name is not None and (binding.value is None or not _NAME.fullmatch(name))
            if binding.error or is_wrong:
                raise SettingsError(
                    f"{file}, line {binding.original.line}: this is not NAME=value. Correct it, or "
                    "begin the line with # to leave it out."
                )


def _chosen_file() -> str | None:
    """Return the file of --env-file or FLASK_ENV_FILE, which Flask keeps to itself."""
    context = click.get_current_context(silent=True)
    if context is None:
        return None
    flask = context.find_root()
    source = flask.get_parameter_source("env_file")
    if source is ParameterSource.COMMANDLINE:
        options, _, _ = flask.command.make_parser(flask).parse_args(sys.argv[1:])
        return str(options["env_file"])
    return flask_env_file() if source is ParameterSource.ENVIRONMENT else None
