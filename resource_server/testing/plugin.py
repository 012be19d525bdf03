"""The test kit as a pytest plugin, loaded by its entry point wherever the package is installed.

Every import that costs something stands in the fixture that needs it: a run that uses none of them
pays for this file alone.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import responses

    from resource_server.emulator.keys import PoolKeys
    from resource_server.testing.clients import SignInAs
    from resource_server.testing.cognito_idp import CognitoIdp, KitUser
    from resource_server.testing.identity import FakeIdentity
    from resource_server.testing.options import CognitoOptions, Guard
    from resource_server.testing.pool import CognitoPool
    from resource_server.testing.serving import JwksServer

_FIXTURES = {"cognito_pool", "cognito_idp", "sign_in_as", "fake_identity"}
_MARK, _WATCH = "cognito", "_cognito_guards"
_EMULATED, _SERVED = pytest.StashKey[bool](), pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of pytest's configuration file."""
    parser.addini(
        "cognito_guards",
        "which tests the leak guards of resource_server watch: kit (those that use the kit; the "
        "default), all, or off",
        default="kit",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark and check the option."""
    config.addinivalue_line(
        "markers",
        "cognito(pool_id=, client_id=, client_secret=, trigger=, jwks='http', unguarded={...}): "
        "serve a pool to this test, named or not, and say what it is like (see CognitoOptions of "
        "resource_server.testing)",
    )
    if config.getini("cognito_guards") not in {"kit", "all", "off"}:
        raise pytest.UsageError("cognito_guards is kit, all or off")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give marked tests a pool, and let requests of a guarded test share no context.

    It is pytest-flask that pushes one for all of them.
    """
    for item in items:
        names = getattr(item, "fixturenames", [])
        if item.get_closest_marker(_MARK) and not _FIXTURES.intersection(names):
            # Before the test's own fixtures: they may make an app that downloads at once.
            names.insert(names.index(_WATCH) + 1 if _WATCH in names else 0, "cognito_pool")
        if "_push_request_context" in names and "context" in _guards(item):
            names.remove("_push_request_context")


@pytest.fixture(autouse=True)
def _cognito_guards(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something behind; scope: function; cost: none to speak of."""
    guards = _guards(request.node)
    if not guards:
        yield
        return
    if "sockets" in guards:
        _guard_sockets(request.node)
    from resource_server.testing.guards import watching

    with watching(guards):
        yield


def _guard_sockets(item: Any) -> None:
    """Close the network, unless pytest-socket was told what to do.

    Fixtures of the test alone find it closed, in which apps are made; wider ones came before.
    """
    config = item.config
    if not config.pluginmanager.hasplugin("socket"):
        raise pytest.UsageError(
            "the guard against sockets needs pytest-socket: pip install "
            "'resource-server[testing]', or mark tests cognito(unguarded={'sockets'})"
        )
    options = ("--disable-socket", "--allow-hosts", "--force-enable-socket")
    marks = ("enable_socket", "disable_socket", "allow_hosts")
    told = any(map(config.getoption, options)) or any(map(item.get_closest_marker, marks))
    if not (told or {"socket_enabled", "socket_disabled"}.intersection(item.fixturenames)):
        from resource_server.testing.guards import close_network

        close_network()


def _guards(item: Any) -> "frozenset[Guard]":
    """Tell which guards watch a test."""
    watched = item.config.getini("cognito_guards")
    names = getattr(item, "fixturenames", ())
    if watched == "off" or (watched == "kit" and not _FIXTURES.intersection(names)):
        return frozenset()
    from resource_server.testing.options import GUARDS

    return GUARDS - frozenset(_marked(item).get("unguarded", ()))


def _marked(item: Any) -> dict[str, Any]:
    """Return what the marks of a test say; the nearest mark counts."""
    options: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers(_MARK))):
        if mark.args:
            raise pytest.UsageError(f"{item.nodeid}: the mark cognito takes keywords alone")
        options |= mark.kwargs
    return options


@pytest.fixture(scope="session")
def cognito_options() -> "CognitoOptions":
    """What the pool is like; override it for all tests. Scope: session; cost: none."""
    from resource_server.testing.options import CognitoOptions

    return CognitoOptions()


@pytest.fixture(scope="session")
def cognito_keys() -> "PoolKeys":
    """Two RSA key pairs, as a pool has. Scope: session; cost: 0.2 s, once."""
    from resource_server.emulator.keys import PoolKeys

    return PoolKeys.generate()


@pytest.fixture(scope="session")
def cognito_http() -> "Iterator[JwksServer]":
    """A server on loopback for pools' keys. Scope: session; cost: 10 ms, once."""
    from resource_server.testing.serving import JwksServer

    with JwksServer() as server:
        yield server


@pytest.fixture
def _cognito_pool_unserved(
    request: pytest.FixtureRequest, cognito_options: "CognitoOptions", cognito_keys: "PoolKeys"
) -> "CognitoPool":
    from resource_server.testing.pool import CognitoPool

    options = _options(request, cognito_options)
    return CognitoPool(options.pool_id, options.client_id, cognito_keys)


@pytest.fixture
def _cognito_moto(
    request: pytest.FixtureRequest,
    cognito_options: "CognitoOptions",
    _cognito_pool_unserved: "CognitoPool",
) -> "Iterator[CognitoIdp]":
    if request.node.stash.get(_SERVED, False):
        raise pytest.UsageError("cognito_idp is asked for as an argument, or before cognito_pool")
    request.node.stash[_EMULATED] = True
    _require("moto")
    from resource_server.testing.cognito_idp import emulated

    with emulated(_cognito_pool_unserved, _options(request, cognito_options)) as idp:
        yield idp


@pytest.fixture
def cognito_pool(
    request: pytest.FixtureRequest,
    cognito_options: "CognitoOptions",
    _cognito_pool_unserved: "CognitoPool",
) -> "Iterator[CognitoPool]":
    """A pool that mints tokens, its JWKS served. Scope: function; cost: 1 ms."""
    pool = _cognito_pool_unserved
    with ExitStack() as stack:
        if _options(request, cognito_options).jwks == "http":
            stack.enter_context(request.getfixturevalue("cognito_http").serving(pool))
        request.getfixturevalue("cognito_responses")
        yield pool


@pytest.fixture
def cognito_responses(
    request: pytest.FixtureRequest, _cognito_pool_unserved: "CognitoPool"
) -> "Iterator[responses.RequestsMock]":
    """The mock that answers at the pool's address: add other APIs of yours.

    Scope: function; cost: that of `cognito_pool`.
    """
    _require("responses")
    from resource_server.testing.serving import intercepted

    item = request.node
    if "cognito_idp" in item.fixturenames:
        request.getfixturevalue("_cognito_moto")  # first: the last to start is asked first
    item.stash[_SERVED] = True
    with intercepted(_cognito_pool_unserved, moto=item.stash.get(_EMULATED, False)) as mock:
        yield mock


@pytest.fixture
def cognito_idp(
    _cognito_moto: "CognitoIdp",
    cognito_pool: "CognitoPool",  # noqa: ARG001 - tokens are verified against its JWKS
) -> "CognitoIdp":
    """The same pool on moto, for boto3: sign-up, codes, sign-in. Scope: function; cost: 10 ms."""
    return _cognito_moto


@pytest.fixture
def fake_identity(cognito_pool: "CognitoPool") -> "FakeIdentity":
    """A user directory in memory whose tokens are the pool's. Scope: function; cost: none."""
    from resource_server.testing.identity import FakeIdentity

    return FakeIdentity(cognito_pool)


@pytest.fixture
def sign_in_as(request: pytest.FixtureRequest, cognito_pool: "CognitoPool") -> "Iterator[SignInAs]":
    """Let `client` present somebody's token from now on: `sign_in_as("ada", scope="me")`.

    Takes a user name or a user of `cognito_idp`, then the arguments of `access_token`; `client=`
    names another client. Returns the token. Scope: function; cost: 1 ms a call.
    """
    from resource_server.testing.clients import present

    undone: list[Callable[[], None]] = []

    def sign_in_as(user: "str | KitUser", *, client: Any = None, **claims: Any) -> str:
        name = user if isinstance(user, str) else user.username
        if not isinstance(user, str):
            claims.setdefault("sub", user.sub)
        token = cognito_pool.access_token(username=name, **claims)
        undone.append(present(client or request.getfixturevalue("client"), token))
        return token

    yield sign_in_as
    for undo in reversed(undone):
        undo()


def _require(library: str) -> None:
    """Say what to install, where the package is there without the kit's extra."""
    if find_spec(library) is None:
        raise pytest.UsageError(
            f"the test kit needs {library}: pip install 'resource-server[testing]'"
        )


def _options(request: pytest.FixtureRequest, options: "CognitoOptions") -> "CognitoOptions":
    if options.unguarded:
        raise pytest.UsageError(
            "cognito_options: unguarded is for the mark; for all tests there is cognito_guards in "
            "pytest's configuration"
        )
    return replace(options, **_marked(request.node))
