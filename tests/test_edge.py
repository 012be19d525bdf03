"""Proxies that are believed and those that are not; browsers at other origins."""

import logging
from collections.abc import Callable

import pytest
from apiflask import APIFlask
from flask import request, url_for
from flask.testing import FlaskClient

from resource_server.auth import token_requirement
from resource_server.testing import bearer
from resource_server.testing.pool import CognitoPool

MakeApp = Callable[..., APIFlask]
ORIGIN = "https://app.example.com"


@pytest.fixture
def make(make_service: MakeApp) -> MakeApp:
    """Make an app with settings of a test's own and a route that tells what it sees."""

    def make(**settings: str) -> APIFlask:
        app = make_service(**settings)

        @app.get("/seen")
        def seen() -> dict[str, object]:
            return {
                "address": request.remote_addr,
                "secure": request.is_secure,
                "url": url_for("seen", _external=True),
            }

        return app

    return make


def seen(client: FlaskClient, **headers: str) -> dict[str, object]:
    """Ask, as a proxy at 10.0.0.1 does, what the service sees."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.get("/seen", headers=named, environ_overrides={"REMOTE_ADDR": "10.0.0.1"})
    assert answer.json is not None
    found: dict[str, object] = answer.json
    found["hsts"] = "Strict-Transport-Security" in answer.headers
    return found


# Proxies


def test_nobody_is_believed_by_default(make: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a client writes there: the address is the peer's; the log asks once whether to."""
    caplog.set_level(logging.WARNING)
    client = make().test_client()
    for _ in range(2):
        found = seen(
            client,
            X_Forwarded_For="203.0.113.7",
            X_Forwarded_Proto="https",
            X_Forwarded_Host="evil.example",
            X_Forwarded_Prefix="/evil",
        )
        assert found == {
            "address": "10.0.0.1",
            "secure": False,
            "url": "http://localhost/seen",
            "hsts": False,
        }
    told = [r.getMessage() for r in caplog.records if r.name.endswith(".edge")]
    assert len(told) == 1
    assert "set TRUSTED_PROXY_HOPS" in told[0]


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        ("1", "203.0.113.7", "203.0.113.7"),
        ("1", "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("2", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("2", "6.6.6.6, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("2", "203.0.113.7", "10.0.0.1"),
        ("1", "", "10.0.0.1"),
    ],
)
def test_as_many_hops_are_believed_as_the_setting_says(
    make: MakeApp, hops: str, forwarded: str, address: str
) -> None:
    """Counted from the end: what a client put in front changes nothing."""
    client = make(TRUSTED_PROXY_HOPS=hops).test_client()
    assert seen(client, X_Forwarded_For=forwarded)["address"] == address


def test_the_scheme_is_the_proxys_and_the_host_is_the_hosts(make: MakeApp) -> None:
    """Behind TLS: addresses are https, and so is HSTS; a client's X-Forwarded-Host is nothing."""
    client = make(TRUSTED_PROXY_HOPS="1").test_client()
    found = seen(
        client,
        Host="api.example.com",
        X_Forwarded_For="203.0.113.7",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil.example",
        X_Forwarded_Port="444",
        X_Forwarded_Prefix="/evil",
    )
    assert found["url"] == "https://api.example.com/seen"
    assert (found["secure"], found["hsts"]) == (True, True)
    assert seen(client, X_Forwarded_Proto="https, http")["secure"] is False


def test_the_challenge_names_the_address_outside(make: MakeApp) -> None:
    """Clients find the metadata where they reached the service (RFC 9728)."""
    client = make(TRUSTED_PROXY_HOPS="1").test_client()
    headers = {"Host": "api.example.com", "X-Forwarded-Proto": "https"}
    challenge = client.get("/randoms", headers=headers).headers["WWW-Authenticate"]
    assert "https://api.example.com/.well-known/oauth-protected-resource" in challenge


def test_limits_see_the_address_that_a_proxy_tells(make: MakeApp) -> None:
    """Two clients behind one proxy are two, and none becomes another by a header of its own."""
    client = make(TRUSTED_PROXY_HOPS="1", RATELIMIT_REFRESH_PER_ADDRESS="1/minute").test_client()
    form = {"grant_type": "refresh_token", "refresh_token": "no-such-token"}

    def status(forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return client.post("/users/refresh", data=form, headers=headers).status_code

    assert status("203.0.113.7") == 401
    assert status("6.6.6.6, 203.0.113.7") == 429
    assert status("203.0.113.8") == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_one_client_has_one_key_however_its_address_is_written(
    make: MakeApp, header: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A port, brackets, a zone and an IPv4 address in IPv6 make no further client."""
    settings = {"TRUSTED_PROXY_HOPS": "1", "RATELIMIT_REFRESH_PER_ADDRESS": "1/minute"}
    client = make(**settings, TRUSTED_PROXY_HEADER=header).test_client()
    form = {"grant_type": "refresh_token", "refresh_token": "no-such-token"}

    def status(address: str) -> int:
        value = address if header == "X-Forwarded-For" else f'for="{address}"'
        answer = client.post("/users/refresh", data=form, headers={header: value})
        return answer.status_code

    assert status("203.0.113.7") == 401
    for same in ("203.0.113.7:5678", "::ffff:203.0.113.7", "[::ffff:203.0.113.7]:443"):
        assert status(same) == 429
    assert status("[2001:db8::1]:443") == 401
    for same in ("2001:db8::1", "2001:DB8::2", "[2001:db8::ffff:1]", "2001:db8:0:0::9%eth0"):
        assert status(same) == 429
    assert status("2001:db8:0:1::1") == 401
    assert "203.0.113.7" not in caplog.text


@pytest.mark.parametrize("written", ["unknown", "_hidden", "", "nonsense"])
def test_a_client_that_no_proxy_names_has_the_proxys_address(make: MakeApp, written: str) -> None:
    """Only an address is a key."""
    client = make(TRUSTED_PROXY_HOPS="1").test_client()
    assert seen(client, X_Forwarded_For=f"6.6.6.6, {written}")["address"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "address"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("", ""), ("10.0.0.1", None)],
)
def test_a_peer_of_a_listener_for_both_families_is_itself(
    make: MakeApp, peer: str, address: str | None
) -> None:
    """`[::]` shows IPv4 clients as IPv6 ones."""
    client = make().test_client()
    answer = client.get("/seen", environ_overrides={"REMOTE_ADDR": peer})
    assert answer.json is not None
    assert (answer.json["address"] or "") == (peer if address is None else address)


class _Plain:
    """A TCP socket without TLS."""


class _TLS(_Plain):
    def cipher(self) -> None:
        """Have one, as ssl.SSLSocket does."""


@pytest.mark.parametrize(("connection", "is_secure"), [(_Plain(), False), (_TLS(), True)])
@pytest.mark.parametrize("hops", ["0", "1"])
def test_a_scheme_that_gunicorn_took_from_a_header_is_not_believed(
    make: MakeApp, connection: object, is_secure: bool, hops: str
) -> None:
    """Its socket knows whether there is TLS."""
    environ = {"wsgi.url_scheme": "https", "gunicorn.socket": connection}
    client = make(TRUSTED_PROXY_HOPS=hops).test_client()
    answer = client.get("/seen", environ_overrides=environ, headers={"X-Forwarded-Ssl": "on"})
    assert answer.json is not None
    assert answer.json["secure"] is is_secure


def test_a_mount_that_a_server_took_from_a_header_is_not_believed(make: MakeApp) -> None:
    """Gunicorn believes `SCRIPT_NAME` of a peer on loopback."""
    app = make()
    app.test_client_class = FlaskClient  # the document's client looks where the server points
    client = app.test_client()
    environ = {"SCRIPT_NAME": "/admin", "HTTP_SCRIPT_NAME": "/admin", "PATH_INFO": "/seen"}
    assert client.get("/", environ_overrides=environ).status_code == 404
    environ |= {"SCRIPT_NAME": "/se", "HTTP_SCRIPT_NAME": "/se", "PATH_INFO": "en"}
    answer = client.get("/", environ_overrides=environ)
    assert answer.json is not None
    assert answer.json["url"] == "http://localhost/seen"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-A": "a" * 65_000}, 200),
        ({"X-A": "a" * 65_600}, 431),
        ({f"X-{number}": "a" * 700 for number in range(97)}, 431),
        ({"X-" + "a" * 65_600: "a"}, 431),
    ],
)
def test_the_sum_of_headers_is_bounded(make: MakeApp, headers: dict[str, str], status: int) -> None:
    """Under every server. The longest token has a limit of its own, and is 401."""
    client = make().test_client()
    answer = client.get("/healthz", headers=headers)
    assert answer.status_code == status
    if status == 431:
        assert answer.json == {"detail": "Request header fields too large"}
    assert client.get("/randoms", headers=bearer("a" * 70_000)).status_code == 401


# Browsers


def preflight(client: FlaskClient, path: str, method: str, origin: str = ORIGIN) -> dict[str, str]:
    """Ask leave as a browser does: without credentials."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = client.options(path, headers=headers)
    assert answer.status_code == 200, path
    return {k: v for k, v in answer.headers if k.startswith("Access-Control-")}


def test_every_route_answers_a_preflight_of_a_known_origin(make: MakeApp) -> None:
    """Protected ones, too: a preflight has no credentials."""
    app = make(CORS_ORIGINS=f"https://other.example.com, {ORIGIN}")
    client = app.test_client()
    protected = 0
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<int:random_id>", "1")
        path = path.replace("<uuid:sub>", "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10")
        path = path.replace("<name>", "x").replace("<path:filename>", "x")
        if rule.endpoint == "metrics.metrics":  # not on this port
            continue
        protected += token_requirement(app.view_functions[rule.endpoint]) is not None
        for method in (rule.methods or set()) - {"OPTIONS"}:
            allowed = preflight(client, path, method)
            assert allowed["Access-Control-Allow-Origin"] == ORIGIN
            assert method in allowed["Access-Control-Allow-Methods"]
            assert allowed["Access-Control-Allow-Headers"] == "authorization, content-type"
            assert allowed["Access-Control-Max-Age"] == "600"
            assert "Access-Control-Allow-Credentials" not in allowed
    assert protected > 10


def test_a_known_origin_reads_answers_and_refusals(
    make: MakeApp, cognito_pool: CognitoPool
) -> None:
    """With the headers that mean something, whatever the status; caches tell origins apart."""
    client = make(CORS_ORIGINS=ORIGIN).test_client()
    token = bearer(cognito_pool.access_token(scope="me randoms"))
    for path, headers, status in (
        ("/randoms", token, 200),
        ("/randoms", {}, 401),
        ("/randoms", bearer(cognito_pool.access_token()), 403),
        ("/nowhere", {}, 404),
    ):
        answer = client.get(path, headers={**headers, "Origin": ORIGIN})
        assert answer.status_code == status
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [ORIGIN]
        assert answer.headers["Vary"] == "Origin" == client.get(path).headers["Vary"]
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert exposed == {"Link", "Location", "WWW-Authenticate", "X-Request-ID", "Retry-After"}
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "http://localhost:3000",
        "http://[::1]:3000",
        "http://[::1]",
        "http://app_1.internal:8080",
    ],
)
def test_an_origin_is_compared_as_a_whole(make: MakeApp, origin: str) -> None:
    """Scheme, host and port, whatever characters they have, and no look-alike."""
    client = make(CORS_ORIGINS=origin).test_client()
    assert preflight(client, "/randoms", "GET", origin)["Access-Control-Allow-Origin"] == origin
    scheme, rest = origin.split("://")
    others = [f"https://{rest}", f"x{origin}", f"{origin}x", f"{scheme}://other"]
    others += [
        f"{scheme}://{rest.replace('[::1]', ':')}",
        rest,
        f"{scheme}://x@{rest}",
        f"{origin}/",
    ]
    others += [origin.replace(".", "x"), origin.replace("[::1]", "1")]
    for other in set(others) - {origin}:
        assert preflight(client, "/randoms", "GET", other) == {}


def test_scripts_may_send_what_traces_need_and_what_a_setting_adds(make: MakeApp) -> None:
    """W3C Trace Context and Baggage, beside what the API takes, and nothing else."""
    asked = "authorization,baggage,sentry-trace,traceparent,tracestate,x-other"
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": asked,
    }
    for more, expected in (("", "sentry-trace, x-other"), ("Sentry-Trace", "x-other")):
        client = make(CORS_ORIGINS=ORIGIN, CORS_ALLOW_HEADERS=more).test_client()
        allowed = client.options("/randoms", headers=headers).headers
        refused = set(asked.split(",")) - set(allowed["Access-Control-Allow-Headers"].split(", "))
        assert refused == set(expected.split(", "))


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.example",
        "https://evil.example",
        "https://appxexample.com",
        "http://app.example.com",
        "https://app.example.com:444",
        "null",
        "",
    ],
)
def test_other_origins_are_let_in_nowhere(make: MakeApp, origin: str) -> None:
    """Nothing but the same text is the same origin."""
    client = make(CORS_ORIGINS=ORIGIN).test_client()
    assert preflight(client, "/randoms", "GET", origin) == {}
    headers = client.get("/", headers={"Origin": origin} if origin else {}).headers
    assert not [name for name, _ in headers if name.startswith("Access-Control-")]


def test_by_default_no_origin_is_let_in(make: MakeApp) -> None:
    """Whoever serves a page elsewhere names it first."""
    assert preflight(make().test_client(), "/randoms", "GET") == {}


def test_answers_are_nobody_elses_pictures(make: MakeApp) -> None:
    """A page at another site cannot load an answer as an image or a script (Spectre)."""
    for path in ("/", "/randoms", "/nowhere", "/docs"):
        headers = make().test_client().get(path).headers
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
