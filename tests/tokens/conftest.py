"""Fixtures of the token core's tests; the doubles themselves are in doubles.py."""

import pytest

from resource_server.emulator.keys import PoolKeys
from tests.tokens.doubles import Forge, JwksServer


@pytest.fixture(scope="session")
def other_keys() -> PoolKeys:
    """Keys that the pool does not publish: an attacker's, or those to which it rotates later."""
    return PoolKeys.generate()


@pytest.fixture
def forge(cognito_keys: PoolKeys, other_keys: PoolKeys) -> Forge:
    """A pool and an attacker."""
    return Forge(cognito_keys, other_keys)


@pytest.fixture
def server(forge: Forge) -> JwksServer:
    """The server of the pool's keys, which works."""
    return forge.server
