"""What holds for every route, read off the app's own map."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from resource_server.auth import token_requirement
from resource_server.emulator import gaps
from resource_server.openapi import document
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.attacks import assert_rejects_forgeries
from resource_server.testing.pool import CognitoPool
from resource_server.users.admin import is_admin
from resource_server.users.models import User
from tests.conftest import CHALLENGE, CLIENT_SECRET, MANAGEMENT_URL, METADATA, PASSWORD

PUBLIC = {
    "GET /",
    "GET /assets/icon.svg",
    "GET /docs",
    "GET /docs/swagger-ui.css",
    "GET /.well-known/oauth-protected-resource",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /openapi.json",
    "POST /users/signup",
    "POST /users/verify",
    "POST /users/resend_confirmation_code",
    "POST /users/login",
    "POST /users/login/challenge",
    "POST /users/refresh",
    "POST /users/forgot_password",
    "POST /users/reset_password",
}
ANY_TOKEN = {"POST /users/logout", "POST /users/change_password"}
BODIES: dict[str, dict[str, object]] = {
    "PATCH /users/me": {"full_name": "Grace"},
    "POST /users/me/devices": {"device_key": "eu-west-2_1a"},
    "POST /users/me/totp/verify": {"confirmation_code": "123456"},
    "PUT /users/me/totp": {"enabled": True},
    "POST /randoms": {"min_value": 1, "max_value": 2},
    "PATCH /randoms/1": {},
}
"""What routes that need a body take."""
FOR_BROWSERS = {"/assets/icon.svg", "/docs", "/docs/swagger-ui.css"}
"""Pages and what they load; their headers are tested in test_pages.py."""
ASK_COGNITO = {
    "POST /users/logout",
    "PATCH /users/me",
    "DELETE /users/me",
    "POST /users/me/devices",
    "POST /users/me/totp",
    "POST /users/me/totp/verify",
    "PUT /users/me/totp",
}
"""Routes that hand the token on, to where nobody signed in for those that a test mints."""
SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"


def _routes(app: APIFlask) -> Iterator[tuple[str, str, str]]:
    """Yield (method, address, endpoint) of every route."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        address = rule.rule.replace("<int:random_id>", "1")
        address = address.replace("<uuid:sub>", SUB)
        address = address.replace("/assets/<name>", "/assets/icon.svg")
        address = address.replace("/docs/<name>", "/docs/swagger-ui.css")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, address, rule.endpoint


def _protected(app: APIFlask) -> Iterator[tuple[str, str, str]]:
    for method, address, endpoint in _routes(app):
        if f"{method} {address}" not in PUBLIC:
            yield method, address, endpoint


def test_every_route_needs_a_scope_or_is_public(app: APIFlask) -> None:
    """A new route states its scope, or takes its place on one of the lists above."""
    seen = set()
    for method, address, endpoint in _routes(app):
        name = f"{method} {address}"
        seen.add(name)
        requirement = token_requirement(app.view_functions[endpoint])
        if name in PUBLIC:
            assert requirement is None, name
        else:
            assert requirement is not None, name
            assert bool(requirement.scopes) != (name in ANY_TOKEN), name
    assert seen >= PUBLIC | ANY_TOKEN


def test_every_protected_route_refuses_strangers(app: APIFlask, client: FlaskClient) -> None:
    """Without a token: 401, the known sentence, and a challenge without an error code."""
    for method, address, _ in _protected(app):
        refused = client.open(address, method=method)
        assert refused.status_code == 401, address
        assert refused.json == {"detail": "Not authenticated"}
        assert refused.headers["WWW-Authenticate"] == f"{CHALLENGE}, {METADATA}"


def test_every_protected_route_refuses_every_forgery(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Whatever the kit sends is refused everywhere, with a challenge; what is genuine is let in."""
    for method, address, endpoint in _protected(app):
        requirement = token_requirement(app.view_functions[endpoint])
        assert requirement is not None
        assert_rejects_forgeries(
            client,
            method,
            address,
            pool=cognito_pool,
            scope=" ".join(requirement.scopes) or None,
            json=BODIES.get(f"{method} {address}"),
            genuine=f"{method} {address}" not in ASK_COGNITO,
            strict=True,
            groups=["admins"],
        )


def test_every_scoped_route_refuses_a_token_without_its_scope(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """With a good token that lacks any one of the scopes: 403, and a challenge naming them all."""
    for method, address, endpoint in _protected(app):
        requirement = token_requirement(app.view_functions[endpoint])
        assert requirement is not None
        for missing in requirement.scopes:
            rest = " ".join(scope for scope in requirement.scopes if scope != missing)
            headers = bearer(cognito_pool.access_token(scope=rest or None))
            refused = client.open(address, method=method, headers=headers)
            assert refused.status_code == 403, address
            assert f'scope="{" ".join(requirement.scopes)}"' in refused.headers["WWW-Authenticate"]
            assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


def test_every_scoped_route_refuses_a_disabled_user(
    app: APIFlask, client: FlaskClient, session: Session, cognito_pool: CognitoPool
) -> None:
    """A user who was disabled here is told so, whatever they ask for."""
    # An administrator's, lest the lack of a group be the reason.
    headers = bearer(cognito_pool.access_token(scope="me randoms", groups=["admins"]))
    assert client.get("/users/me", headers=headers).status_code == 200
    session.execute(update(User).values(disabled=True))
    session.commit()

    for method, address, endpoint in _protected(app):
        requirement = token_requirement(app.view_functions[endpoint])
        if requirement is None or not requirement.scopes:
            continue
        refused = client.open(
            address, method=method, headers=headers, json=BODIES.get(f"{method} {address}")
        )
        assert (refused.status_code, refused.json) == (403, {"detail": "Inactive user"}), address


def test_every_route_is_described(app: APIFlask) -> None:
    """In the document each has a name, a tag, words, its scopes, and an example of each answer."""
    described = document(app)
    tags = {tag["name"] for tag in described["tags"] if tag["description"]}
    operations = {
        f"{method.upper()} {path}": operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
    }
    names = [operation["operationId"] for operation in operations.values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names), names
    for method, address, endpoint in _routes(app):
        if address in FOR_BROWSERS:
            continue
        path = address.replace("/1", "/{random_id}").replace(SUB, "{sub}")
        operation = operations.pop(f"{method} {path}")
        assert operation["summary"], path
        assert set(operation["tags"]) <= tags, path
        requirement = token_requirement(app.view_functions[endpoint])
        assert bool(operation["security"]) == (requirement is not None), path
        if requirement is not None:
            assert {"password": list(requirement.scopes)} in operation["security"], path
            assert not requirement.check or "administrators" in operation["description"], path
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                plain = content["schema"] == {"type": "string"}  # a page for people
                assert plain or content["examples"], (path, status)
            assert response.get("content") or status in {"204", "304", "500"}, (path, status)
    assert operations == {}


def test_every_answer_carries_its_headers(app: APIFlask, client: FlaskClient) -> None:
    """Success or refusal: request id, no sniffing, no framing; to programs JSON, never cached."""
    for method, address, _ in [*_routes(app), ("GET", "/nowhere", ""), ("PUT", "/", "")]:
        base_url = MANAGEMENT_URL if address == "/metrics" else None
        headers = {"X-Request-ID": "abc-123"}
        answer = client.open(address, method=method, base_url=base_url, headers=headers)
        assert answer.headers["X-Request-ID"] == "abc-123"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        if address in FOR_BROWSERS:
            continue
        expected = "text/plain" if (method, address) == ("GET", "/metrics") else "application/json"
        assert answer.mimetype == expected, address
        kept = "no-cache" if address == "/openapi.json" else "no-store"
        assert answer.headers["Cache-Control"] == kept


@pytest.mark.parametrize("sent", ["", "a" * 129, "a b", "<script>", "ü"])
def test_a_malformed_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    """What could forge log lines is not taken over."""
    answered = client.get("/", headers={"X-Request-ID": sent.encode().decode("latin-1")})
    assert answered.headers["X-Request-ID"].isalnum()
    assert len(answered.headers["X-Request-ID"]) == 32


def test_no_secret_in_any_log_record(
    client: FlaskClient, mock_cognito_client: CognitoIdp, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is logged at whatever level, no password, code, token or client secret is in it."""
    caplog.set_level(logging.DEBUG)
    account = {"username": "grace", "email": "grace@example.com", "password": PASSWORD}
    client.post("/users/signup", json=account)
    client.post("/users/signup", json=account)
    code = gaps.outbox.last_code("grace")
    client.post("/users/verify", json={"username": "grace", "confirmation_code": code})
    client.post("/users/login", data={"username": "grace", "password": PASSWORD + "x"})
    tokens = client.post("/users/login", data={"username": "grace", "password": PASSWORD}).json
    headers = bearer(tokens["access_token"])
    client.post("/randoms", headers=headers, json={"min_value": 1, "max_value": 2})
    client.get("/randoms", headers=bearer(tokens["id_token"]))
    client.post("/users/logout", headers=headers)

    # moto's own loggers are no part of the service.
    ours = [r for r in caplog.records if not r.name.startswith("moto")]
    text = "\n".join(f"{record.getMessage()} {record.args!r}" for record in ours)
    secrets = [PASSWORD, code, CLIENT_SECRET]
    secrets += [tokens[name] for name in ("access_token", "id_token", "refresh_token")]
    assert not [secret for secret in secrets if secret in text]


def test_every_route_is_documented(app: APIFlask) -> None:
    """docs/http.md has a row for each route, with its scopes, and none for routes that are gone."""
    text = (Path(__file__).parent.parent / "docs" / "http.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z]+ /\S*)` \|\s+([^|]*)\|", text, flags=re.MULTILINE))
    routes = {}
    for method, address, endpoint in _routes(app):
        requirement = token_requirement(app.view_functions[endpoint])
        needs = ""
        if requirement is not None:
            needs = f"`{' '.join(requirement.scopes)}`" if requirement.scopes else "any token"
            needs += ", administrators" if requirement.check is is_admin else ""
        shown = f"{method} {address}".replace("/1", "/{id}").replace(SUB, "{sub}")
        shown = re.sub(r"/(icon\.svg|swagger-ui\.css)$", "/{name}", shown)
        routes[shown] = needs
    assert {name: needs.strip() for name, needs in rows.items()} == routes
