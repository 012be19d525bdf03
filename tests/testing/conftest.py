"""Projects of other people, in which the kit's tests run pytest."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


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
