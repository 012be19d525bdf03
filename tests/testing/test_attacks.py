"""One call attacks a route of anybody's app and names the flaw of its verifier."""

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import jwt
import pytest
import responses
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.testclient import TestClient
from flask import Flask, Response, request
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from resource_server.auth import ResourceServer, require_scope
from resource_server.testing.attacks import TRANSPORTS, assert_rejects_forgeries
from resource_server.testing.forgeries import FORGERIES, Severity
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import CognitoVerifier
from tests.testing.flaws import FLAWS, named, skipped
from tests.testing.verifiers import CHALLENGE, SCOPE, Verifier, app_with, taken_apart

FINDING = re.compile(r"^(CRITICAL|HIGH|MEDIUM|LOW) +(\S+): (.*)$", flags=re.MULTILINE)
UNGUARDED = dict.fromkeys(
    ("signature", "issuer", "client", "audience", "use", "expiry", "not_before", "scope"), skipped
)


def attack(client: Any, pool: CognitoPool, **options: Any) -> int:
    """Attack the route of the apps here."""
    return assert_rejects_forgeries(
        client, "GET", "/orders", pool=pool, **{"scope": SCOPE} | options
    )


def report(app: Flask, pool: CognitoPool, **options: Any) -> str:
    """Attack an app that is faulty, and return what is told."""
    with pytest.raises(AssertionError) as caught:
        attack(app.test_client(), pool, **options)
    return str(caught.value)


def let_in(app: Flask, pool: CognitoPool, **options: Any) -> set[str]:
    """Attack an app that is faulty, and return the names of what it let in."""
    found = FINDING.findall(report(app, pool, **options))
    return {name for _, name, happened in found if happened.startswith("let in")}


@pytest.fixture
def good(pool: CognitoPool) -> Verifier:
    """A verifier that is right, and lenient about spellings."""
    return Verifier(pool)


# Verifiers that are right


def test_a_verifier_that_is_right_passes(pool: CognitoPool, good: Verifier) -> None:
    """Some 140 attacks, fewer where the route needs one scope or none, and never less than 60."""
    client = app_with(good).test_client()
    two = attack(client, pool)
    one = attack(client, pool, genuine=False, scope="orders/read")
    none = attack(client, pool, genuine=False, scope=None)
    assert two > one > none > 60


def test_our_resource_server_passes_all_of_it(pool: CognitoPool) -> None:
    """`require_scope` refuses even what a lenient app may let in."""
    app = Flask("ours")
    ResourceServer(app, CognitoVerifier(pool.pool_id, client_ids={pool.client_id}))
    app.add_url_rule("/orders", view_func=require_scope(SCOPE)(lambda: "orders"))
    with responses.RequestsMock() as mock:
        mock.get(pool.jwks_uri, json=pool.jwks())
        made = attack(app.test_client(), pool, strict=True)
    assert made == len(FORGERIES) + len(TRANSPORTS)


def fastapi_app(pool: CognitoPool, issuer: str | None, *, all_claims: bool) -> FastAPI:
    """Return a FastAPI app that verifies with PyJWT, as its tutorials do."""
    app = FastAPI()
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(pool.jwks()).keys}
    refused = HTTPException(401, "Invalid token", CHALLENGE)

    def verified(
        sent: HTTPAuthorizationCredentials | None = Depends(HTTPBearer(auto_error=False)),  # noqa: B008 - FastAPI's way
    ) -> dict[str, Any]:
        if sent is None:
            raise refused
        try:
            key = keys.get(jwt.get_unverified_header(sent.credentials).get("kid", ""))
            if key is None:
                raise refused
            claims: dict[str, Any] = jwt.decode(
                sent.credentials, key, algorithms=["RS256"], issuer=issuer
            )
        except jwt.PyJWTError as error:
            raise refused from error
        if all_claims and (claims.get("token_use"), claims.get("client_id")) != (
            "access",
            pool.client_id,
        ):
            raise refused
        if not set(SCOPE.split()) <= set(claims.get("scope", "").split(" ")):
            raise HTTPException(403, "Not enough permissions")
        return claims

    @app.get("/orders")
    def orders(_: dict[str, Any] = Depends(verified)) -> str:  # noqa: B008 - FastAPI's way
        return "orders"

    return app


def test_a_fastapi_app_with_pyjwt_passes(pool: CognitoPool) -> None:
    """Starlette's client does, and a library that is used as it should be passes."""
    with TestClient(fastapi_app(pool, pool.issuer, all_claims=True)) as client:
        assert attack(client, pool) > 60


def test_the_verifier_of_the_project_that_this_one_ports_does_not(pool: CognitoPool) -> None:
    """Signature and expiry alone: its faults in `iss`, `client_id` and `token_use` are found."""
    client = TestClient(fastapi_app(pool, None, all_claims=False))
    with pytest.raises(AssertionError) as caught:
        attack(client, pool)
    found = {name for _, name, _ in FINDING.findall(str(caught.value))}
    assert found == named("iss-", "client-", "token-use-", "other-client", but=["client-in-aud"])


# Verifiers with a flaw


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_verifier_with_one_flaw_is_found_out(good: Verifier, flaw: str) -> None:
    """It lets in what its flaw lets in, which is told by name, and nothing else."""
    pieces, expected = FLAWS[flaw]
    assert let_in(app_with(good.but(**pieces)), good.pool) == expected


def test_who_verifies_no_signature_takes_whatever_can_be_read(good: Verifier) -> None:
    """Every forged signature is told, as critical; what the pool signed is still refused."""
    told = FINDING.findall(report(app_with(good.but(signature=skipped)), good.pool))
    by_name = {name: (severity, happened) for severity, name, happened in told}
    forged = named(
        "other-key", "unknown-", "no-", "signature-", "alg-", "hs", "es256-", "jwk", "jku"
    )
    forged |= named("x5", "kid-", "payload-changed", "header-changed")
    assert forged <= set(by_name)
    assert {by_name[name] for name in forged} == {("CRITICAL", "let in, answered 200")}
    assert not (named("iss-", "client-", "token-use-", "exp", "scope-") | {"nbf-future"}) & set(
        by_name
    )


def test_every_forgery_finds_some_verifier(good: Verifier) -> None:
    """None is refused by all: each is let in by a verifier that checks little, or makes it fail."""
    lax = app_with(good.but(**UNGUARDED, read=taken_apart))
    strict = let_in(lax, good.pool, strict=True)
    unprepared = app_with(good.but(catches=()))
    told = report(unprepared, good.pool, strict=True)
    strict |= {name for name in FORGERIES if re.search(rf"(?m)(^| ){name}([:,]|$)", told)}
    assert set(FORGERIES) - strict == set()


def test_what_only_strict_sends_is_no_hole(good: Verifier) -> None:
    """A correct verifier that reads as Python does lets some of it in, and none of the rest."""
    lenient = let_in(app_with(good), good.pool, strict=True)
    assert {"padded", "stray-bits", "stray-characters", "claims-twice", "typ-other"} <= lenient
    assert {FORGERIES.get(name, TRANSPORTS.get(name)).severity for name in lenient} == {  # type: ignore[union-attr]
        Severity.LOW
    }


# Requests without a token, or with one elsewhere


def test_a_route_that_is_open_is_found_out(pool: CognitoPool) -> None:
    """Where nobody looks at tokens everything is let in, and those without a token come first."""
    app = Flask("open")
    app.add_url_rule("/orders", view_func=lambda: "orders")
    assert let_in(app, pool, strict=True) == set(FORGERIES) | set(TRANSPORTS)
    assert FINDING.findall(report(app, pool))[0][:2] == ("CRITICAL", "no-header")


def test_tokens_are_found_wherever_an_app_looks_for_them(good: Verifier) -> None:
    """Query, form, cookie, other headers, other schemes: each is told, the query by default."""
    inner = app_with(good).test_client()
    app = Flask("collector")

    @app.get("/orders")
    def orders() -> TestResponse:
        sent_beside = (*request.args.values(), *request.form.values(), *request.cookies.values())
        places = " ".join((str(request.headers), *sent_beside))
        # The token, or two of them; a good one among what an attacker sent is not looked for.
        found = re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]{300,}(?![\w.=+/!-])", places)
        sent = {"Authorization": f"Bearer {found[0]}"} if found else {}
        return inner.get("/orders", headers=sent)

    found = let_in(app, good.pool, strict=True)
    assert found >= {name for name in TRANSPORTS if name.startswith(("token-", "scheme-", "two-"))}
    assert let_in(app, good.pool) & set(TRANSPORTS) == {"token-in-query"}


def test_a_client_keeps_no_token_as_a_cookie(good: Verifier) -> None:
    """What was set for one attack is gone after it."""
    client = app_with(good).test_client()
    with pytest.raises(AssertionError):
        attack(client, good.pool, strict=True)
    assert client.get_cookie("access_token") is None


# What else is told


def test_failures_are_told_by_status_or_exception(good: Verifier) -> None:
    """A 500, or what the client lets through, with its place and without its text."""
    text = report(app_with(good.but(catches=())), good.pool)
    assert re.search(r"^MEDIUM   \d+ attacks: answered 500$", text, re.MULTILINE)
    assert re.search(r"(?m) header-list,", text)
    # Which nesting json can read depends on Python's version, so these few may be listed singly.
    app = app_with(good.but(catches=(ValueError, RecursionError)))
    text = report(app, good.pool)
    assert re.search(r"^MEDIUM   header-list: answered 500$", text, re.MULTILINE)
    app.testing = True
    with pytest.raises(AssertionError) as caught:
        attack(app.test_client(), good.pool)
    assert re.search(
        r"header-list: raised AttributeError at verifiers.py:\d+ \(signed_by_the_pool\)\n",
        str(caught.value),
    )
    assert isinstance(caught.value.__cause__, AttributeError)


def test_a_report_is_sorted_and_says_why(good: Verifier) -> None:
    """The worst first, each with its flaw and its rule, and no token in it."""
    flawed = good.but(signature=FLAWS["believes alg none"][0]["signature"], use=skipped)
    text = report(app_with(flawed), good.pool, strict=True)
    order = [Severity[severity] for severity, _, _ in FINDING.findall(text)]
    assert order == sorted(order, reverse=True)
    assert (
        "CRITICAL alg-none: let in, answered 200\n"
        "         It lets the token's header say that there is no signature.\n"
        "         RFC 8725 section 3.2; RFC 7518 section 3.6\n"
    ) in text
    assert text.startswith("GET /orders: of ")
    assert "eyJ" not in text


def test_another_status_is_told(good: Verifier) -> None:
    """Refusals with 422, which clients do not understand, are told as one habit, all by name."""
    app = app_with(good)
    app.after_request(lambda answer: _with_status(answer, 422))
    text = report(app, good.pool)
    assert text.startswith("GET /orders: of ")
    assert re.search(r"^LOW      \d+ attacks: answered 422, not 401$", text, re.MULTILINE)
    assert all(re.search(rf"(?m) {name}(,|$)", text) for name in ("expired", "kid-sql", "alg-none"))
    assert len(FINDING.findall(text)) < 8
    assert "scope-missing" not in text  # 403 as it should be


def _with_status(answer: Response, status: int) -> Response:
    if answer.status_code == 401:
        answer.status_code = status
    return answer


def test_a_401_without_a_challenge_is_told_once(good: Verifier) -> None:
    """In one finding for all of them, which can be turned off."""
    app = app_with(good)
    app.after_request(_without_challenge)
    told = FINDING.findall(report(app, good.pool))
    assert [(severity, name) for severity, name, _ in told] == [("LOW", "challenge-missing")]
    assert attack(app.test_client(), good.pool, challenges=False) > 60


def _without_challenge(answer: Response) -> Response:
    answer.headers.pop("WWW-Authenticate", None)
    return answer


# Known exceptions


def test_what_is_allowed_is_not_told(good: Verifier) -> None:
    """An exception with its reason holds for its own attack alone."""
    app = app_with(good.but(audience=skipped, not_before=skipped))
    assert let_in(app, good.pool, allow={"aud-other": "tokens are bound to nothing"}) == {
        "nbf-future"
    }


def test_what_is_allowed_in_vain_is_told(good: Verifier) -> None:
    """An exception outlives its reason unseen, unless its attack was not made at all."""
    allow = {"aud-other": "tokens are bound to nothing", "typ-other": "only strict sends it"}
    text = report(app_with(good), good.pool, allow=allow)
    assert [name for _, name, _ in FINDING.findall(text)] == ["aud-other"]
    assert "although allowed" in text


def test_exceptions_have_a_name_and_a_reason(good: Verifier) -> None:
    """A slip of the pen would allow nothing, or nobody knows what."""
    client = app_with(good).test_client()
    with pytest.raises(LookupError, match="no attack is called 'alg-non'; close are alg-none"):
        attack(client, good.pool, allow={"alg-non": "why"})
    with pytest.raises(ValueError, match="say why alg-none is let in"):
        attack(client, good.pool, allow={"alg-none": " "})


# Genuine tokens


def test_a_genuine_token_must_be_let_in_first(good: Verifier) -> None:
    """Else every attack would be refused for nothing; what to look at is told."""
    stranger = CognitoPool("eu-west-2_Another", keys=good.pool.keys)
    text = report(app_with(good), stranger)
    assert text.startswith(
        "GET /orders: a genuine token was not let in before the attacks: answered 401 "
        '(Bearer realm="orders")\n'
    )
    for hint in (stranger.issuer, stranger.client_id, SCOPE, stranger.jwks_uri):
        assert hint in text


def test_a_route_that_lies_elsewhere_is_told(good: Verifier) -> None:
    """A redirect to the address with its slash is no answer of the route."""
    app = app_with(good)
    app.add_url_rule("/carts/", view_func=lambda: "carts")
    with pytest.raises(AssertionError, match="redirected to http://localhost/carts/"):
        assert_rejects_forgeries(app.test_client(), "GET", "/carts", pool=good.pool)
    with pytest.raises(AssertionError, match="answered 405"):
        assert_rejects_forgeries(app.test_client(), "PUT", "/orders", pool=good.pool)


def test_a_genuine_token_must_be_let_in_last(good: Verifier) -> None:
    """Attacks of others must not lock anybody out."""
    app, refused = app_with(good), []

    @app.after_request
    def lock_out(answer: Response) -> Response:
        if answer.status_code == 401:
            refused.append(answer)
        elif len(refused) > 50:
            answer.status_code = 429
        return answer

    text = report(app, good.pool)
    assert "not let in after the attacks, though not before them: answered 429" in text


def test_a_failure_with_a_genuine_token_is_told(good: Verifier) -> None:
    """What the client lets through is named, and kept as the cause."""
    app = Flask("broken")
    app.testing = True
    app.add_url_rule("/orders", view_func=lambda: {}["key"])
    assert "before the attacks: raised KeyError at test_attacks.py" in report(app, good.pool)


def test_a_route_that_ends_tokens_is_attacked_without_one(good: Verifier) -> None:
    """`genuine=False` sends none in the way it would be taken."""
    app, statuses = app_with(good), set()

    @app.after_request
    def note(answer: Response) -> Response:
        statuses.add(answer.status_code)
        return answer

    attack(app.test_client(), good.pool, genuine=False)
    assert statuses == {401, 403}
    attack(app.test_client(), good.pool)
    assert statuses == {200, 401, 403}


# Clients


def test_a_route_is_sent_what_it_wants(good: Verifier) -> None:
    """Body, headers and claims of the caller's go with every request; forms replace the body."""
    guarded = app_with(good).test_client()
    app, bodies = Flask("posted"), set()

    @app.post("/orders")
    def orders() -> TestResponse:
        bodies.add((request.mimetype, request.headers["X-Version"]))
        return guarded.get("/orders", headers=dict(request.headers))

    made = assert_rejects_forgeries(
        app.test_client(),
        "post",
        "/orders?x=1",
        pool=good.pool,
        scope=SCOPE,
        json={"n": 1},
        headers={"X-Version": "2"},
        username="grace",
    )
    assert made > 60
    assert bodies == {("application/json", "2")}


def signed_in(app: Flask) -> Any:
    """Return a client that sends a token by itself."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer x"
    return client


CLIENTS: list[tuple[Callable[[Flask], Any], type[Exception], str]] = [
    (lambda _: object(), TypeError, "neither Flask's test client"),
    (signed_in, ValueError, "sends an Authorization header itself"),
    (
        lambda _: httpx2.Client(headers={"authorization": "Bearer x"}),
        ValueError,
        "sends an Authorization header itself",
    ),
    (lambda _: httpx2.Client(auth=("a", "b")), ValueError, "sends an Authorization header"),
]


@pytest.mark.parametrize(("make", "error", "message"), CLIENTS)
def test_clients_that_will_not_do_are_refused(
    good: Verifier, make: Callable[[Flask], Any], error: type[Exception], message: str
) -> None:
    """One that is none, or that signs in by itself, could not be attacked with."""
    with pytest.raises(error, match=message):
        attack(make(app_with(good)), good.pool)


def test_an_asynchronous_client_is_refused(pool: CognitoPool) -> None:
    """What would never be awaited is no request."""
    client = httpx2.AsyncClient(base_url="http://localhost")
    with pytest.raises(TypeError, match="asynchronous"):
        attack(client, pool, genuine=False)
    asyncio.run(client.aclose())


def test_an_app_in_another_place_is_attacked_over_http(good: Verifier) -> None:
    """A real server strips, joins and cuts off what it likes: no attack depends on it."""
    server = make_server("127.0.0.1", 0, app_with(good), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
            assert attack(client, good.pool) > 60
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_httpx_serves_for_wsgi_apps_too(good: Verifier) -> None:
    """A client on any transport is as good as a framework's, but for what it cannot send."""
    transport = httpx2.WSGITransport(app=app_with(good))
    with httpx2.Client(transport=transport, base_url="http://localhost") as client:
        allow = {"not-ascii": "its WSGI transport fails before the app sees the header"}
        assert attack(client, good.pool, allow=allow) > 60
