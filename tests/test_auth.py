"""`require_scope` and `ResourceServer`, in an app that is not ours and has no database."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import responses
from flask import Blueprint, Flask, jsonify
from flask.views import MethodView
from werkzeug.exceptions import HTTPException

import resource_server
from resource_server import (
    AccessToken,
    CognitoVerifier,
    ResourceServer,
    current_principal,
    principal_or_none,
    require_scope,
)
from resource_server.auth import challenge
from resource_server.cli.declared import declared_scopes
from resource_server.testing import bearer
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import DenyListUnavailable, KeyStore

ROOT = Path(__file__).parent.parent
METADATA = 'resource_metadata="http://localhost/.well-known/oauth-protected-resource"'


def _verifier(pool: CognitoPool, **options: Any) -> CognitoVerifier:
    keys = json.dumps(pool.jwks()).encode()
    return CognitoVerifier(
        pool.user_pool,
        client_ids={pool.client_id},
        keys=KeyStore(pool.jwks_uri, fetch=lambda _uri, _timeout: keys),
        **options,
    )


@pytest.fixture(scope="module")
def pool() -> CognitoPool:
    """A pool that exists here alone."""
    return CognitoPool()


@pytest.fixture
def foreign(pool: CognitoPool) -> Flask:
    """A plain Flask app with a JSON handler for every HTTP error, as many have."""
    app = Flask("foreign")
    app.testing = True
    ResourceServer(app, _verifier(pool), realm="orders")

    @app.errorhandler(HTTPException)
    def handler(error: HTTPException) -> Any:
        return jsonify(message=error.name), error.code or 500

    return app


def _view(foreign: Flask, **requirement: Any) -> Callable[..., Any]:
    """Guard a view and return a function that calls it with a token."""

    @foreign.get("/view")
    @require_scope(**requirement)
    def view() -> dict[str, str | None]:
        principal = principal_or_none()
        return {"sub": principal.sub if principal else None}

    client = foreign.test_client()
    return lambda token=None: client.get("/view", headers=bearer(token) if token else {})


def test_a_foreign_apps_error_handler_does_not_eat_the_challenge(foreign: Flask) -> None:
    """Status, challenge and body are ours, whatever handler the app has for its own errors."""
    refused = _view(foreign, scope="orders")()
    assert (refused.status_code, refused.json) == (401, {"detail": "Not authenticated"})
    assert refused.headers["WWW-Authenticate"] == f'Bearer realm="orders", {METADATA}'


@pytest.mark.parametrize(
    ("requirement", "claims", "status"),
    [
        ({"scope": "a b"}, {"scope": "a b c"}, 200),
        ({"scope": "a b"}, {"scope": "a"}, 403),
        ({"scope": "a"}, {"scope": "ab"}, 403),
        ({"scope": "a"}, {"scope": None}, 403),
        ({"scope": ""}, {"scope": None}, 200),
        ({"any_of": "a b"}, {"scope": "b"}, 200),
        ({"any_of": ["a", "b"]}, {"scope": "a"}, 200),
        ({"any_of": ["a", "b"]}, {"scope": "c"}, 403),
        ({"scope": "x", "any_of": "a b"}, {"scope": "a b"}, 403),
        ({"scope": "x", "any_of": "a b"}, {"scope": "x b"}, 200),
        ({"groups": "admins"}, {"groups": ["admins", "staff"]}, 200),
        ({"groups": ["admins", "staff"]}, {"groups": ["staff"]}, 200),
        ({"groups": "admins"}, {"groups": ["Admins"]}, 403),
        ({"groups": "admins"}, {}, 403),
        ({"groups": "my group"}, {"groups": ["my", "group"]}, 403),
        ({"check": lambda token: token.claims.get("tenant") == "t1"}, {"tenant": "t1"}, 200),
        ({"check": lambda token: token.claims.get("tenant") == "t1"}, {"tenant": "t2"}, 403),
    ],
)
def test_each_demand_is_made(
    foreign: Flask,
    pool: CognitoPool,
    requirement: dict[str, Any],
    claims: dict[str, Any],
    status: int,
) -> None:
    """All parts of a requirement must be met; what is left out demands nothing."""
    answer = _view(foreign, **requirement)(pool.access_token(**claims))
    assert answer.status_code == status
    if status == 403:
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_a_missing_scope_is_told_with_all_that_the_view_names(
    foreign: Flask, pool: CognitoPool
) -> None:
    """The challenge lists every scope, so that a client can ask for them at once."""
    refused = _view(foreign, scope="x", any_of="a b")(pool.access_token(scope="x"))
    assert refused.headers["WWW-Authenticate"] == (
        'Bearer realm="orders", error="insufficient_scope", '
        f'error_description="Not enough permissions", scope="x a b", {METADATA}'
    )


@pytest.mark.parametrize(
    ("age", "status"), [(0, 200), (290, 200), (310, 401), (None, 401), (-60, 200)]
)
def test_max_age_wants_a_recent_sign_in(
    foreign: Flask, pool: CognitoPool, age: int | None, status: int
) -> None:
    """RFC 9470: refreshing keeps auth_time (T33), so it is the sign-in that must be recent."""
    auth_time = None if age is None else int(time.time()) - age
    answer = _view(foreign, max_age=300)(pool.access_token(auth_time=auth_time))
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == (
            'Bearer realm="orders", error="insufficient_user_authentication", '
            f'error_description="A more recent sign-in is required", max_age="300", {METADATA}'
        )


def test_optional_lets_nobody_in_but_no_bad_token(foreign: Flask, pool: CognitoPool) -> None:
    """No header: nobody. A good token: its user. A bad one, or another scheme: 401."""
    call = _view(foreign, optional=True)
    assert call().json == {"sub": None}
    token = pool.access_token()
    assert call(token).json == {"sub": pool.sub_of("ada")}
    assert call(token + "x").status_code == 401
    assert call(pool.id_token()).status_code == 401
    other = foreign.test_client().get("/view", headers={"Authorization": "Basic YTpi"})
    assert other.status_code == 401


def test_async_views_are_awaited(foreign: Flask, pool: CognitoPool) -> None:
    """A coroutine is not handed to Flask unawaited; the guard is before it."""

    @foreign.get("/async")
    @require_scope("orders")
    async def view() -> dict[str, str]:
        return {"sub": current_principal.sub}

    client = foreign.test_client()
    assert client.get("/async").status_code == 401
    answer = client.get("/async", headers=bearer(pool.access_token(scope="orders", sub="s")))
    assert answer.json == {"sub": "s"}


def test_options_needs_no_token_and_calls_no_view(foreign: Flask) -> None:
    """A CORS preflight carries no credentials; what the view guards is not shown to it."""

    @foreign.route("/view", methods=["GET", "OPTIONS"])
    @require_scope("orders")
    def view() -> str:
        raise AssertionError("called")

    preflight = foreign.test_client().options("/view")
    assert (preflight.status_code, preflight.data) == (200, b"")
    assert {"GET", "OPTIONS"} <= set(preflight.headers["Allow"].split(", "))


def test_metadata_tells_clients_where_to_go(foreign: Flask, pool: CognitoPool) -> None:
    """RFC 9728: the resource, who signs its tokens, and the scopes its routes declare."""
    _view(foreign, scope="orders", any_of="read write")
    document = foreign.test_client().get("/.well-known/oauth-protected-resource")
    assert document.json == {
        "resource": "http://localhost",
        "authorization_servers": [pool.issuer],
        "scopes_supported": ["orders", "read", "write"],
        "bearer_methods_supported": ["header"],
    }


def test_a_host_header_cannot_break_out_of_the_challenge(foreign: Flask) -> None:
    """The address in the challenge is quoted text, whatever host a client claims."""
    _view(foreign, scope="orders")
    refused = foreign.test_client().get("/view", headers={"Host": 'a", error="x'})
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="orders"'


def test_one_extension_serves_many_apps(pool: CognitoPool) -> None:
    """It keeps nothing itself: each app has the verifier it was given."""
    other_pool = CognitoPool("eu-west-2_Other")
    extension = ResourceServer()
    clients = []
    blueprint = Blueprint("shared", __name__)

    @blueprint.get("/view")
    @require_scope()
    def view() -> str:
        return current_principal.issuer

    for each in (pool, other_pool):
        app = Flask("many")
        extension.init_app(app, _verifier(each))
        app.register_blueprint(blueprint)
        clients.append(app.test_client())

    token = pool.access_token()
    assert clients[0].get("/view", headers=bearer(token)).text == pool.issuer
    assert clients[1].get("/view", headers=bearer(token)).status_code == 401


def test_an_app_that_was_not_set_up_is_told_so() -> None:
    """The error says what to call; without a verifier no app is set up."""
    app = Flask("bare")
    app.testing = True
    call = _view(app)
    with pytest.raises(RuntimeError, match=re.escape("ResourceServer(app, verifier)")):
        call("x.y.z")
    with pytest.raises(TypeError, match="verifier"):
        ResourceServer(app)


def test_a_deny_list_of_ones_own(pool: CognitoPool) -> None:
    """Any object that denies will do; one that cannot tell is 503."""

    class DenyList:
        away = False

        def denies(self, token: AccessToken) -> bool:
            if self.away:
                raise DenyListUnavailable(7)
            return token.sub == "bad"

    app, deny_list = Flask("denying"), DenyList()
    ResourceServer(app, _verifier(pool, deny_list=deny_list))
    call = _view(app)
    good, bad = pool.access_token(sub="good"), pool.access_token(sub="bad")
    assert (call(good).status_code, call(bad).status_code) == (200, 401)
    deny_list.away = True
    assert call(good).status_code == 503
    assert call(good).headers["Retry-After"] == "7"


def test_the_token_core_needs_no_flask() -> None:
    """A script or a Lambda imports the verifier alone."""
    script = (
        "import sys\n"
        "from resource_server import CognitoVerifier, UserPool\n"
        "verifier = CognitoVerifier('eu-west-2_AbCdEf123', client_ids={'c'})\n"
        "foreign = {'flask', 'authlib', 'boto3', 'sqlalchemy', 'pydantic', 'joserfc', 'moto'}\n"
        "assert not foreign & set(sys.modules), foreign & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(ROOT)}, check=True)


def test_every_public_name_arrives() -> None:
    """What the package names, it has; anything else is an AttributeError."""
    for name in resource_server.__all__:
        assert getattr(resource_server, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = resource_server.nothing


def test_the_documented_examples_run(pool: CognitoPool) -> None:
    """The Python blocks of docs/tokens.md work as they stand, against a JWKS that is served."""
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(blocks) >= 2
    docs_pool = CognitoPool("eu-west-2_AbCdEf123", "1h57kf5cpq17m0eml12EXAMPLE", pool.keys)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(docs_pool.jwks_uri, json=docs_pool.jwks())
        for block in blocks:
            names: dict[str, Any] = {"text": docs_pool.access_token(scope="orders")}
            exec(compile(block, "docs/tokens.md", "exec"), names)  # noqa: S102 - our own examples
            if "app" in names:
                client = names["app"].test_client()
                assert client.get("/orders").status_code == 401
                answer = client.get("/orders", headers=bearer(names["text"]))
                assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("resource", "metadata"),
    [
        ("https://api.example.com", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/orders", "/.well-known/oauth-protected-resource/orders"),
    ],
)
def test_an_api_states_its_public_address(pool: CognitoPool, resource: str, metadata: str) -> None:
    """`resource=`: no Host changes what metadata and challenges name (RFC 9728 §3)."""
    app = Flask("stated")
    ResourceServer(app, _verifier(pool), resource=resource)
    _view(app, scope="orders")
    client = app.test_client()
    for host in ("localhost", "evil.example", "a b"):
        refused = client.get("/view", headers={"Host": host})
        address = f"https://api.example.com{metadata}"
        assert f'resource_metadata="{address}"' in refused.headers["WWW-Authenticate"]
        assert client.get(metadata, headers={"Host": host}).json == {
            "resource": resource,
            "authorization_servers": [pool.issuer],
            "scopes_supported": ["orders"],
            "bearer_methods_supported": ["header"],
        }


def test_what_cannot_be_a_resource_or_a_realm_is_refused(pool: CognitoPool) -> None:
    """When the app is set up, with a sentence."""
    with pytest.raises(ValueError, match="https"):
        ResourceServer(Flask("a"), _verifier(pool), resource="http://api.example.com")
    with pytest.raises(ValueError, match="realm"):
        ResourceServer(Flask("a"), _verifier(pool), realm="a\r\nSet-Cookie: b")


def test_values_of_a_challenge_are_quoted(pool: CognitoPool) -> None:
    """Quotes and backslashes are escaped (RFC 9110 §5.6.4)."""
    app = Flask("quoting")
    ResourceServer(app, _verifier(pool), realm='my "own" \\o/')
    refused = _view(app)()
    assert refused.headers["WWW-Authenticate"].startswith(r'Bearer realm="my \"own\" \\o/", ')
    with app.test_request_context():
        sent = challenge(error_description='f\u00fcr "Ada"\r\nX: y')
    assert r'error_description="f?r \"Ada\"??X: y"' in sent


def test_metadata_names_scopes_wherever_they_are_guarded(pool: CognitoPool) -> None:
    """`before_request` of an app and of blueprints, methods of classes, decorators of classes."""
    app = Flask("guards")
    ResourceServer(app, _verifier(pool))
    blueprint, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)

    @app.before_request
    @require_scope("app", optional=True)
    def for_all() -> None:
        """Let the view be called."""

    @blueprint.before_request
    @require_scope("outer")
    def for_some() -> None:
        """Let the view be called."""

    @inner.before_request
    @require_scope(any_of="a b")
    def for_few() -> None:
        """Let the view be called."""

    class Orders(MethodView):
        @require_scope("read")
        def get(self) -> str:
            return "read"

        @require_scope("write")
        def post(self) -> str:
            return "written"

    class Admin(MethodView):
        decorators = [require_scope("admin")]  # noqa: RUF012 - as Flask has it

        def get(self) -> str:
            return "admin"

    class Restful(MethodView):
        method_decorators = MappingProxyType({"get": [require_scope("restful")]})

        def get(self) -> str:
            return "restful"

    for number, view in enumerate((Orders, Admin, Restful)):
        app.add_url_rule(f"/{number}", view_func=view.as_view(view.__name__))
    blueprint.register_blueprint(inner)
    app.register_blueprint(blueprint)
    document = app.test_client().get("/.well-known/oauth-protected-resource")
    expected = "a admin app b outer read restful write"
    assert document.json is not None
    assert document.json["scopes_supported"] == expected.split()
    assert declared_scopes(app) == tuple(expected.split())  # of the pool, too
