"""What a test must not leave behind: the guards of the kit, in projects of their own."""

import itertools

import pytest

from tests.testing.conftest import Run

LEAKS = {
    "context": (
        "flask.Flask('leaky').app_context().push()",
        "*left an application context of Flask pushed*",
    ),
    "moto": ("moto.mock_aws().start()", "*left moto's mock_aws running*"),
    "patched": ("responses.RequestsMock().start()", "*left `requests` patched*"),
    "default": ("responses.start()", "*left `requests` patched*"),
    "registered": (
        "responses.get('https://example.com/')",
        "*left answers in the default mock of `responses`*",
    ),
}


DEFAULT_MOCK = """
        from contextlib import contextmanager
        import responses

        @contextmanager
        def mock():
            with responses.mock:
                responses.get("https://example.com/", json=[])
                yield
"""


@pytest.mark.parametrize(
    ("kind", "fixture"),
    [(kind, "") for kind in LEAKS]
    # The kit's own mocks end before the guard looks.
    + list(itertools.product(["patched", "default"], ["cognito_pool", "cognito_idp"])),
)
def test_a_leak_fails_the_test_that_leaks(
    pytester: pytest.Pytester, kind: str, fixture: str
) -> None:
    """The test passes, its teardown says what was left and what to do; mocks are put right."""
    leak, says = LEAKS[kind]
    pytester.makepyfile(f"""
        import flask, moto, requests, responses

        send = requests.adapters.HTTPAdapter.send

        def test_leaks({fixture}):
            {leak}

        def test_next():
            assert requests.adapters.HTTPAdapter.send is send
            assert not responses.registered()
            with responses.mock:
                responses.get("https://example.org/")
                assert requests.get("https://example.org/").ok
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-o", "cognito_guards=all")
    result.stdout.fnmatch_lines([says])
    result.assert_outcomes(passed=2, errors=1)


@pytest.mark.parametrize("kind", ["moto", "responses", "default"])
def test_a_mock_of_the_module_is_no_leak(pytester: pytest.Pytester, run: Run, kind: str) -> None:
    """What a wider fixture began, it ends: the tests inside may use it."""
    made = {
        "moto": "from moto import mock_aws as mock",
        "responses": "from responses import RequestsMock as mock",
        "default": DEFAULT_MOCK,
    }
    pytester.makepyfile(f"""
        import pytest
        {made[kind]}

        @pytest.fixture(scope="module")
        def mocked():
            with mock(): yield

        @pytest.mark.parametrize("turn", range(2))
        def test_inside(mocked, cognito_pool, turn): ...
    """)
    run().assert_outcomes(passed=2)


def test_nobody_else_is_watched(pytester: pytest.Pytester, run: Run) -> None:
    """A test that does not use the kit is none of its business, unless it is told so."""
    pytester.makepyfile("""
        import responses

        def test_leaks():
            responses.get("https://example.com/")

        def test_next():
            responses.reset()
    """)
    run().assert_outcomes(passed=2)
    run("-o", "cognito_guards=all").assert_outcomes(passed=2, errors=1)


def test_guards_can_be_left_out(pytester: pytest.Pytester, run: Run) -> None:
    """One for a test, by the mark; all of them, by the configuration."""
    pytester.makepyfile("""
        import pytest, responses

        def leak(): responses.get("https://example.com/")

        @pytest.fixture(autouse=True)
        def tidy():
            yield
            # after the guard

        def test_watched(cognito_pool): leak()

        @pytest.mark.cognito(unguarded={"responses"})
        def test_let_off(cognito_pool): leak()

        @pytest.fixture(scope="module", autouse=True)
        def reset():
            yield
            responses.reset()
    """)
    run().assert_outcomes(passed=2, errors=1)
    run("-o", "cognito_guards=off").assert_outcomes(passed=2)
    result = run("-o", "cognito_guards=sometimes")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*cognito_guards is kit, all or off*"])


def test_requests_of_a_test_share_no_context(pytester: pytest.Pytester, run: Run) -> None:
    """pytest-flask's pushed context would let one request see what another put on `g`."""
    pytester.makepyfile("""
        import pytest
        from flask import Flask, g

        @pytest.fixture
        def app():
            app = Flask("shared")

            @app.get("/")
            def count():
                g.count = getattr(g, "count", 0) + 1
                return str(g.count)

            return app

        def counts(app):
            return [app.test_client().get("/").text for _ in range(2)]

        def test_alone(app, cognito_pool):
            assert counts(app) == ["1", "1"]

        @pytest.mark.cognito(unguarded={"context"})
        def test_let_off(app, cognito_pool):
            assert counts(app) == ["1", "2"]

        def test_without_the_kit(app):
            assert counts(app) == ["1", "2"]
    """)
    run().assert_outcomes(passed=3)


def test_sockets_reach_this_machine_alone(pytester: pytest.Pytester, run: Run) -> None:
    """Loopback and Unix sockets connect; the rest fails at once, until the test is over."""
    pytester.makepyfile("""
        import pathlib, socket, tempfile
        import pytest
        from pytest_socket import SocketConnectBlockedError

        def connect(address):
            with socket.socket() as attempt:
                attempt.settimeout(0.01)
                attempt.connect((address, 9))

        @pytest.mark.filterwarnings("ignore:A test tried")
        def test_beyond(cognito_pool):
            with pytest.raises(SocketConnectBlockedError):
                connect("192.0.2.1")
            with pytest.raises(ConnectionRefusedError):
                connect("127.0.0.1")
            with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
                server.bind(folder + "/s")
                server.listen()
                with socket.socket(socket.AF_UNIX) as attempt:
                    attempt.connect(folder + "/s")

        @pytest.mark.cognito(unguarded={"sockets"})
        def test_let_off(cognito_pool):
            with pytest.raises(OSError):
                connect("192.0.2.1")

        @pytest.mark.allow_hosts(["192.0.2.1"])
        def test_pytest_socket_counts_more(cognito_pool):
            with pytest.raises(OSError):
                connect("192.0.2.1")

        def test_afterwards():
            with pytest.raises(OSError):
                connect("192.0.2.1")
    """)
    run().assert_outcomes(passed=4)


def test_fixtures_of_the_test_are_guarded_too(pytester: pytest.Pytester) -> None:
    """An app that a fixture makes reaches nothing; pytest-socket's fixtures count more."""
    pytester.makepyfile("""
        import socket
        import pytest
        from pytest_socket import SocketConnectBlockedError

        def connect(address):
            with socket.socket() as attempt:
                attempt.settimeout(0.01)
                attempt.connect((address, 9))

        @pytest.fixture
        def made():
            with pytest.raises(SocketConnectBlockedError):
                connect("192.0.2.1")

        def test_made_first(made, cognito_pool): ...

        def test_opened(socket_enabled, cognito_pool):
            with pytest.raises(OSError):
                connect("192.0.2.1")
    """)
    # In a process of its own: here the network is closed already.
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_a_guard_that_cannot_watch_says_so(pytester: pytest.Pytester, run: Run) -> None:
    """Without pytest-socket nothing is skipped in silence."""
    pytester.makepyfile("""
        import pytest

        def test_watched(cognito_pool): ...

        @pytest.mark.cognito(unguarded={"sockets"})
        def test_let_off(cognito_pool): ...
    """)
    result = run("-p", "no:socket")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*needs pytest-socket*"])


def test_the_option_that_would_be_ignored_is_refused(pytester: pytest.Pytester, run: Run) -> None:
    """Guards are told before any fixture is there: by marks and by the configuration."""
    pytester.makepyfile("""
        import pytest
        from resource_server.testing import CognitoOptions

        @pytest.fixture(scope="session")
        def cognito_options():
            return CognitoOptions(unguarded={"sockets"})

        def test_ignored(cognito_pool): ...
    """)
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unguarded is for the mark; for all tests*cognito_guards*"])
