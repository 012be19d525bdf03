"""Every response has every header once, in this app and in any other."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import responses
from apiflask import APIFlask
from flask import Blueprint, Flask, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from resource_server import CognitoVerifier, ResourceServer, require_scope
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import DenyListUnavailable, KeyStore
from tests.conftest import MANAGEMENT_PORT, MANAGEMENT_URL

ORIGIN = "https://app.example.com"
SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"
JSON = "application/json"
STATUSES = {200, 201, 204, 304, 400, 401, 403, 404, 405, 413, 415, 421, 422, 429, 500, 503}


def assert_each_header_once(
    response: TestResponse, *, repeated: frozenset[str] = frozenset()
) -> None:
    """Fail if a header field is there twice. `repeated` are names that may be (RFC 9110 §5.3)."""
    counted = Counter(name.lower() for name, _ in response.headers)
    twice = {name for name, count in counted.items() if count > 1} - repeated
    assert not twice, (response.request.method, response.request.path, response.status, twice)


@pytest.fixture
def served(
    mock_cognito_client: CognitoIdp,
    jwks: responses.RequestsMock,
    sqlite_url: str,
    make_app: Callable[[Mapping[str, str]], APIFlask],
    monkeypatch: pytest.MonkeyPatch,
) -> APIFlask:
    """The service with CORS and a low rate limit, and with a view that fails."""
    monkeypatch.setenv("RATELIMIT_MESSAGES_PER_ADDRESS", "1/hour")
    app = make_app(
        {
            **mock_cognito_client.settings,
            "DATABASE_URL": sqlite_url,
            "CORS_ORIGINS": ORIGIN,
            "MANAGEMENT_PORT": str(MANAGEMENT_PORT),
        }
    )

    @app.get("/fails")
    @app.doc(hide=True)
    def fails() -> str:
        raise RuntimeError

    @app.get("/aborts")
    @app.doc(hide=True)
    def aborts() -> str:
        abort(jsonify(detail="Not here"))

    return app


def _addresses(app: Flask) -> Iterator[tuple[str, set[str]]]:
    for rule in app.url_map.iter_rules():
        address = rule.rule.replace("<int:random_id>", "1").replace("<uuid:sub>", SUB)
        address = address.replace("/assets/<name>", "/assets/icon.svg")
        address = address.replace("/docs/<name>", "/docs/swagger-ui.css")
        yield address, {*(rule.methods or ()), "PUT", "TRACE"}
    yield "/nowhere", {"GET", "HEAD", "OPTIONS", "POST"}


def test_every_response_of_the_service_has_every_header_once(
    served: APIFlask, cognito_pool: CognitoPool
) -> None:
    """Every route and method, with whatever can be wrong about a request."""
    client = served.test_client()
    token = bearer(cognito_pool.access_token(scope="me randoms", groups=["admins"]))
    without_scope = bearer(cognito_pool.access_token(scope=None))
    situations: list[dict[str, Any]] = [
        {},
        {"headers": bearer("a.b.c")},
        {"headers": without_scope},
        {"headers": {"Origin": ORIGIN, "Accept": "text/html", "Accept-Encoding": "gzip"}},
        {"headers": {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}},
        {"headers": {"Host": "a b"}},
        {"headers": token | {"X-Request-ID": "abc-123", "Origin": ORIGIN}},
        {"headers": token, "json": {"min_value": 1, "max_value": 2}},
        {"headers": token, "data": b"{", "content_type": JSON},
        {"headers": token, "data": b"x" * 70_000, "content_type": JSON},
        {"headers": token, "data": b"x", "content_type": "text/plain"},
        {"headers": token, "query_string": "limit=0"},
        {"headers": token, "json": {"username": "ada"}},
        {"headers": token, "json": {"username": "ada"}},
    ]
    seen = set()
    for address, methods in _addresses(served):
        base_url = MANAGEMENT_URL if address == "/metrics" else None
        for method in sorted(methods):
            for situation in situations:
                response = client.open(address, method=method, base_url=base_url, **situation)
                assert_each_header_once(response)
                seen.add(response.status_code)
    described = client.get("/openapi.json").headers["ETag"]
    seen.add(client.get("/openapi.json", headers={"If-None-Match": described}).status_code)
    assert seen >= STATUSES - {201, 421, 503}


def test_the_id_of_a_request_is_the_one_that_was_sent(served: APIFlask) -> None:
    """On an error of `require_scope` and on a response that a view aborts with, too."""
    client = served.test_client()
    for address in ("/randoms", "/aborts", "/healthz", "/nowhere", "/fails"):
        response = client.get(address, headers={"X-Request-ID": "abc-123"})
        assert response.headers.getlist("X-Request-ID") == ["abc-123"], address


def test_an_outage_has_every_header_once(
    served: APIFlask, cognito_pool: CognitoPool, jwks: responses.RequestsMock
) -> None:
    """503 of `require_scope`, when the key set cannot be downloaded."""
    jwks.replace(responses.GET, cognito_pool.jwks_uri, status=500)
    refused = served.test_client().get("/randoms", headers=bearer(cognito_pool.access_token()))
    assert refused.status_code == 503
    assert_each_header_once(refused)


def test_trapped_http_errors_are_answered_as_ever(
    served: APIFlask, cognito_pool: CognitoPool
) -> None:
    """Under TRAP_HTTP_EXCEPTIONS no error of a client's becomes a 500."""
    served.config["TRAP_HTTP_EXCEPTIONS"] = True
    client = served.test_client()
    token = bearer(cognito_pool.access_token(scope="me randoms"))
    cases: list[tuple[int, TestResponse]] = [
        (401, client.get("/randoms")),
        (403, client.get("/randoms", headers=bearer(cognito_pool.access_token()))),
        (404, client.get("/nowhere")),
        (404, client.get("/randoms/1", headers=token)),
        (404, client.get("/assets/nothing")),
        (405, client.put("/randoms")),
        (400, client.get("/randoms", headers={"Host": "a b"})),
        (400, client.post("/randoms", headers=token, data=b"{", content_type=JSON)),
        (413, client.post("/randoms", headers=token, data=b"x" * 70_000, content_type=JSON)),
        (415, client.post("/randoms", headers=token, data=b"x", content_type="text/plain")),
        (422, client.post("/randoms", headers=token, json={})),
    ]
    for status, response in cases:
        assert response.status_code == status
        assert response.mimetype == JSON
        assert_each_header_once(response)


# Other apps


class _HeavyResponse(Response):
    """Adds headers as it goes out, as response classes of many apps do."""

    def get_wsgi_headers(self, environ: Any) -> Any:
        """Return the headers to send."""
        headers = super().get_wsgi_headers(environ)
        headers.add("Set-Cookie", "seen=1")
        headers.add("Content-Security-Policy", "default-src 'self'")
        return headers


class _Away:
    """A deny list that cannot be read."""

    def denies(self, _token: object) -> bool:
        """Fail."""
        raise DenyListUnavailable(7)


def _foreign(pool: CognitoPool, *, away: bool = False) -> Flask:
    app = Flask("foreign")
    keys = json.dumps(pool.jwks()).encode()
    verifier = CognitoVerifier(
        pool.user_pool,
        client_ids={pool.client_id},
        keys=KeyStore(pool.jwks_uri, fetch=lambda _uri, _timeout: keys),
        deny_list=_Away() if away else None,
    )
    ResourceServer(app, verifier)

    @app.get("/view")
    @require_scope("orders")
    def view() -> dict[str, str]:
        return {"ok": "yes"}

    return app


def _heavy_response(app: Flask) -> None:
    app.response_class = _HeavyResponse


def _after_request(app: Flask) -> None:
    @app.after_request
    def add(response: Response) -> Response:
        assert not response.is_streamed
        assert response.get_json() is not None
        response.headers.add("Content-Security-Policy", "default-src 'self'")
        response.headers.add("X-Length", str(response.calculate_content_length()))
        response.set_cookie("seen", "1")
        return response


def _http_handler(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def handle(error: HTTPException) -> ResponseReturnValue:
        return jsonify(message=error.name), error.code or 500


def _code_handlers(app: Flask) -> None:
    for status in (401, 403, 503):
        app.register_error_handler(status, lambda _error: ("mine", 418))


def _any_handler(app: Flask) -> None:
    @app.errorhandler(Exception)
    def handle(_error: Exception) -> ResponseReturnValue:
        return {"message": "failed"}, 500


def _trapped(app: Flask) -> None:
    app.config["TRAP_HTTP_EXCEPTIONS"] = True


def _trapped_and_handled(app: Flask) -> None:
    _trapped(app)
    _any_handler(app)
    _http_handler(app)


HABITS = [
    _heavy_response,
    _after_request,
    _http_handler,
    _code_handlers,
    _any_handler,
    _trapped,
    _trapped_and_handled,
]


@pytest.mark.parametrize("habit", HABITS)
def test_an_error_of_require_scope_arrives_whole_in_any_app(
    cognito_pool: CognitoPool, habit: Callable[[Flask], None]
) -> None:
    """Status, challenge and body are ours, whatever the app does with its own. All headers once."""
    app, away = _foreign(cognito_pool), _foreign(cognito_pool, away=True)
    habit(app)
    habit(away)
    client = app.test_client()
    good = bearer(cognito_pool.access_token(scope="orders"))
    poor = bearer(cognito_pool.access_token(scope="other"))
    cases = [
        (client.get("/view"), 401, "Not authenticated"),
        (client.get("/view", headers=bearer("a.b.c")), 401, "The access token is malformed"),
        (client.get("/view", headers=poor), 403, "Not enough permissions"),
        (away.test_client().get("/view", headers=good), 503, None),
    ]
    for response, status, detail in cases:
        assert response.status_code == status
        assert response.json is not None
        assert detail in {None, response.json["detail"]}
        assert set(response.json) == {"detail"}
        named = "Retry-After" if status == 503 else "WWW-Authenticate"
        assert len(response.headers.getlist(named)) == 1
        assert_each_header_once(response)
    assert client.get("/view", headers=good).status_code == 200


def test_an_error_of_a_guard_for_a_blueprint_arrives_whole(cognito_pool: CognitoPool) -> None:
    """`before_request` guards many views. The blueprint's own error handler comes later."""
    app = _foreign(cognito_pool)
    blueprint = Blueprint("orders", __name__)

    @blueprint.before_request
    @require_scope("orders")
    def guard() -> None:
        """Let the view be called."""

    @blueprint.errorhandler(Exception)
    def handle(_error: Exception) -> ResponseReturnValue:
        return {"message": "failed"}, 500

    @blueprint.get("/orders")
    def orders() -> dict[str, str]:
        return {"path": request.path}

    app.register_blueprint(blueprint)
    client = app.test_client()
    refused = client.get("/orders")
    assert (refused.status_code, refused.json) == (401, {"detail": "Not authenticated"})
    assert_each_header_once(refused)
    good = bearer(cognito_pool.access_token(scope="orders"))
    assert client.get("/orders", headers=good).status_code == 200
