"""Fixtures of the kit's own tests: a pool that nobody serves, projects of other people."""

from collections.abc import Callable

import pytest

from resource_server.emulator.keys import PoolKeys
from resource_server.testing.pool import CognitoPool

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def pool(cognito_keys: PoolKeys) -> CognitoPool:
    """A pool that exists only here."""
    return CognitoPool(keys=cognito_keys)


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run a project's tests in this process, warnings being errors."""
    pytester.syspathinsert()

    def run(*arguments: str) -> pytest.RunResult:
        # hypothesis' own plugin would be imported anew each time: a second.
        return pytester.runpytest(
            "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-W", "error", *arguments
        )

    return run
