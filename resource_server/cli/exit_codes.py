"""Misuse of a command exits with 1 here, where click says 2: that tells that the pool differs."""

from typing import Any

import click
from flask.cli import AppGroup

DIFFERS = 2


class Misuse(click.UsageError):
    """The command was called in a wrong way."""

    exit_code = 1


class Command(click.Command):
    """A command whose misuse exits with 1."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments; see click."""
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise Misuse(error.format_message(), error.ctx) from None


class Group(AppGroup):
    """A group of such commands."""

    command_class = Command
