"""An app on a pool that is to be provisioned, and its command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from apiflask import APIFlask
from click.testing import Result

from tests.provisioning.conftest import World, in_step, world

__all__ = ["in_step", "world"]


@dataclass
class CommandLine:
    """Runs `flask cognito …` in this process."""

    app: APIFlask

    def __call__(self, *arguments: str, **options: Any) -> Result:
        return self.app.test_cli_runner().invoke(args=["cognito", *arguments], **options)


@pytest.fixture
def run(
    world: World, sqlite_url: str, make_app: Callable[[Mapping[str, str]], APIFlask]
) -> CommandLine:
    """The command line of an app on the world's pool."""
    return CommandLine(make_app({**world.settings, "DATABASE_URL": sqlite_url}))
