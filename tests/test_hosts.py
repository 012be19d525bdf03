"""Which hosts the service serves, and which addresses it names."""

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from resource_server.addresses import Host, InvalidHost, PublicAddress
from resource_server.testing import bearer
from resource_server.testing.pool import CognitoPool
from tests.conftest import MANAGEMENT_PORT, MANAGEMENT_URL

MakeApp = Callable[..., APIFlask]
METADATA = "/.well-known/oauth-protected-resource"
PUBLIC_URL = "https://api.example.com/v1"
EVERYWHERE = ("/healthz", "/readyz", METADATA, "/openapi.json", "/randoms", "/nowhere")


@pytest.fixture
def make(make_service: MakeApp) -> MakeApp:
    """Make the service with settings of a test's own."""
    return make_service


def _raw(app: APIFlask, path: str, *, host: str | None, **environ: str) -> tuple[int, bytes]:
    """Send a request with exactly this Host field, or without one."""
    made: dict[str, Any] = EnvironBuilder(path=path, environ_overrides=environ).get_environ()
    made.pop("HTTP_HOST", None)
    if host is not None:
        made["HTTP_HOST"] = host
    body, status, _ = run_wsgi_app(app, made, buffered=True)
    return int(status.split()[0]), b"".join(body)


# What Host may hold


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "http://localhost"),
        ("localhost:8000", "http://localhost:8000"),
        ("localhost:80", "http://localhost"),
        ("localhost:443", "http://localhost:443"),
        ("resource_server:8000", "http://resource_server:8000"),
        ("_", "http://_"),
        ("192.0.2.7:8000", "http://192.0.2.7:8000"),
        ("[::1]", "http://[::1]"),
        ("[2001:db8::1]:8000", "http://[2001:db8::1]:8000"),
        ("[::ffff:192.0.2.7]", "http://[::ffff:192.0.2.7]"),
        ("api.example.com.", "http://api.example.com."),
        ("API.Example.com", "http://API.Example.com"),
        ("xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("a" * 63 + ".example", "http://" + "a" * 63 + ".example"),
    ],
)
def test_a_valid_host_is_answered_everywhere_and_named_as_sent(
    make: MakeApp, host: str, address: str
) -> None:
    """The metadata names what the client requested, or the client discards it (RFC 9728 §3.3)."""
    client = make().test_client()
    found = client.get(METADATA, headers={"Host": host})
    assert found.json["resource"] == address
    refused = client.get("/randoms", headers={"Host": host})
    assert refused.status_code == 401
    assert f'resource_metadata="{address}{METADATA}"' in refused.headers["WWW-Authenticate"]
    for path, status in (("/healthz", 200), ("/openapi.json", 200), ("/nowhere", 404)):
        assert client.get(path, headers={"Host": host}).status_code == status


def test_a_name_that_cannot_be_decoded_is_a_name_all_the_same(make: MakeApp) -> None:
    """Nothing decodes it: `xn--a` has no Unicode name (RFC 5891 §4.2)."""
    app = make()
    for path, expected in zip(EVERYWHERE, (200, 503, 200, 200, 401, 404), strict=True):
        assert _raw(app, path, host="xn--a")[0] in {200, expected}, path
    assert b'"resource":"http://xn--a"' in _raw(app, METADATA, host="xn--a")[1]


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        'evil"x',
        'a", error="x',
        "a\\b",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "user@example.com",
        "user:password@example.com",
        "a%20b",
        "a%2eb",
        "a:",
        "a:0",
        "a:00080",
        "a:65536",
        "a:123456",
        "a:abc",
        "a:-1",
        "a:8 0",
        "a:\u00b2",
        "a:80:80",
        ".",
        ".a",
        "a..b",
        "-a",
        "a-",
        "xn--",
        "::1",
        "[::1",
        "[]",
        "[::1]x",
        "[::1%25eth0]",
        "[v1.a]",
        "[12345::1]",
        "[1.2.3.4]",
        "b\u00fccher.example",
        "\u00e4",
        "a" * 64,
        "a." * 127 + "bc",
        "a" * 8000,
        "a\x00b",
        "a\x7fb",
        "a\tb",
    ],
)
def test_an_invalid_host_is_a_bad_request_everywhere(make: MakeApp, host: str) -> None:
    """400 (RFC 9112 §3.2), on health checks and unknown addresses, too. Nothing is echoed."""
    app = make()
    for path in EVERYWHERE:
        status, body = _raw(app, path, host=host)
        assert status == 400, path
        assert body == b'{"detail":"The Host header is invalid"}'


def test_http_1_1_needs_a_host_and_http_1_0_does_not(make: MakeApp) -> None:
    """RFC 9112 §3.2. Where HTTP/1.0 names no host, the metadata names the server."""
    app = make()
    for path in EVERYWHERE:
        assert _raw(app, path, host=None, SERVER_PROTOCOL="HTTP/1.1")[0] == 400, path
        assert _raw(app, path, host=None, SERVER_PROTOCOL="HTTP/2")[0] == 400, path
        assert _raw(app, path, host=None, SERVER_PROTOCOL="HTTP/1.0")[0] != 400, path
        # granian, where a request names none
        assert _raw(app, path, host="", SERVER_PROTOCOL="HTTP/1")[0] != 400, path
    named = {"SERVER_PROTOCOL": "HTTP/1.0", "SERVER_NAME": "::1", "SERVER_PORT": "8000"}
    assert b'"resource":"http://[::1]:8000"' in _raw(app, METADATA, host=None, **named)[1]
    nameless = named | {"SERVER_NAME": "/run/app.sock"}
    assert _raw(app, METADATA, host=None, **nameless)[0] == 400
    assert _raw(app, "/randoms", host=None, **nameless)[0] == 401


@pytest.mark.parametrize(
    ("target", "status", "address"),
    [
        ("http://other.example/", 200, b'"resource":"http://other.example"'),
        ("HTTP://other.example:8000/", 200, b'"resource":"http://other.example:8000"'),
        ("http://user@other.example/", 400, b""),
        ("http://a b/", 400, b""),
        ("http://[/", 400, b""),
        ("http:///", 400, b""),
        ("/?next=http://other.example/", 200, b'"resource":"http://localhost"'),
    ],
)
def test_the_host_of_an_absolute_target_counts(
    make: MakeApp, target: str, status: int, address: bytes
) -> None:
    """Not that of the Host header (RFC 9112 §3.2.2), so that the two cannot disagree."""
    for name in ("RAW_URI", "REQUEST_URI"):
        uris = {"RAW_URI": "", "REQUEST_URI": "", name: target}
        found = _raw(make(), METADATA, host="localhost", **uris)
        assert found[0] == status
        assert address in found[1]


# The address that is stated


def _get(app: APIFlask, path: str, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.test_client().get(path, headers=named)


def test_the_stated_address_is_the_only_one_that_is_named(
    make: MakeApp, cognito_pool: CognitoPool
) -> None:
    """Metadata, challenges, links and the document begin with PUBLIC_URL."""
    app = make(PUBLIC_URL=f"{PUBLIC_URL}/")
    token = bearer(cognito_pool.access_token(scope="me randoms"))
    client = app.test_client()
    public = {"Host": "api.example.com:8443"}
    inserted = f"https://api.example.com{METADATA}/v1"
    for path in (METADATA, f"{METADATA}/v1"):
        assert client.get(path, headers=public).json["resource"] == PUBLIC_URL
    assert client.get(f"{METADATA}/v2", headers=public).status_code == 404
    refused = client.get("/randoms", headers=public)
    assert f'resource_metadata="{inserted}"' in refused.headers["WWW-Authenticate"]
    assert "Strict-Transport-Security" in refused.headers

    for number in (1, 2):
        bounds = {"min_value": number, "max_value": number}
        made = client.post("/randoms", headers=public | token, json=bounds)
        assert made.headers["Location"] == f"/v1/randoms/{made.json['id']}"
    listed = client.get("/randoms?limit=1", headers=public | token)
    assert listed.headers["Link"].startswith("</v1/randoms?limit=1&after=")

    described = client.get("/openapi.json", headers=public).json
    assert described["servers"] == [{"url": "/v1"}]
    flow = described["components"]["securitySchemes"]["password"]["flows"]["password"]
    assert (flow["tokenUrl"], flow["refreshUrl"]) == ("/v1/users/login", "/v1/users/refresh")
    for path in ("/", "/docs"):
        page = client.get(path, headers=public | {"Accept": "text/html"}).text
        assert 'href="/v1/' in page
        assert 'href="/assets' not in page
        assert "/v1/assets/icon.svg" in page


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example.com", 401),
        ("api.example.com:443", 401),
        ("api.example.com:8000", 401),
        ("API.EXAMPLE.COM.", 401),
        ("internal", 401),
        ("Resource_Server:8000", 401),
        ("evil.example", 421),
        ("api.example.com.evil.example", 421),
        ("xapi.example.com", 421),
        ("127.0.0.1", 421),
        ("localhost", 421),
    ],
)
def test_other_hosts_are_answered_421(make: MakeApp, host: str, status: int) -> None:
    """With PUBLIC_URL, only for its host and those of TRUSTED_HOSTS. Ports are not compared."""
    app = make(PUBLIC_URL=PUBLIC_URL, TRUSTED_HOSTS="internal, resource_server")
    refused = _get(app, "/randoms", Host=host)
    assert refused.status_code == status
    assert "evil" not in refused.text
    for path in (METADATA, "/openapi.json", "/nowhere", "/", "/docs"):
        answered = _get(app, path, Host=host)
        assert (answered.status_code == 421) == (status == 421), path
    login = app.test_client().post("/users/login", headers={"Host": host})
    assert login.status_code == (421 if status == 421 else 422)


def test_probes_may_name_any_host(make: MakeApp) -> None:
    """A load balancer, an orchestrator and Prometheus name a machine by its address."""
    app = make(PUBLIC_URL=PUBLIC_URL, MANAGEMENT_PORT=str(MANAGEMENT_PORT))
    for path in ("/healthz", "/readyz"):
        assert _get(app, path, Host="10.0.0.7:8000").status_code in {200, 503}, path
    metrics = app.test_client().get("/metrics", base_url=MANAGEMENT_URL)
    assert metrics.status_code == 200
    assert _raw(app, "/randoms", host=None, SERVER_PROTOCOL="HTTP/1.0")[0] == 401


def test_an_absolute_target_does_not_get_past_the_trusted_hosts(make: MakeApp) -> None:
    """Its host is the one that must be trusted."""
    app = make(PUBLIC_URL=PUBLIC_URL)
    found = _raw(app, "/randoms", host="api.example.com", RAW_URI="http://evil.example/randoms")
    assert found[0] == 421


def test_trusted_hosts_hold_without_a_public_address(make: MakeApp) -> None:
    """Addresses then follow the request's host."""
    app = make(TRUSTED_HOSTS="a.example,[::1]")
    assert _get(app, METADATA, Host="a.example").json["resource"] == "http://a.example"
    assert _get(app, METADATA, Host="[::1]:80").json["resource"] == "http://[::1]"
    assert _get(app, METADATA, Host="b.example").status_code == 421


@pytest.mark.parametrize(
    ("text", "address", "metadata"),
    [
        ("https://api.example.com", "https://api.example.com", ""),
        ("https://api.example.com/", "https://api.example.com", ""),
        ("HTTPS://API.example.com:443", "https://api.example.com", ""),
        ("https://api.example.com:8443/v1/", "https://api.example.com:8443/v1", "/v1"),
        ("https://api.example.com/a/b-c_d.e~f", "https://api.example.com/a/b-c_d.e~f", "same"),
        ("http://localhost:5000", "http://localhost:5000", ""),
        ("http://[::1]:5000/x", "http://[::1]:5000/x", "/x"),
    ],
)
def test_a_stated_address_is_read(text: str, address: str, metadata: str) -> None:
    """The path goes behind the well-known one (RFC 9728 §3.1)."""
    found = PublicAddress.parse(text)
    assert str(found) == address
    path = found.path if metadata == "same" else metadata
    assert found.well_known(METADATA) == f"{found.host.origin(found.scheme)}{METADATA}{path}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.example.com",
        "http://api.example.com",
        "ftp://localhost",
        "https://",
        "https:///v1",
        "https://user@api.example.com",
        "https://api.example.com:0",
        "https://api.example.com/?a=b",
        "https://api.example.com/#a",
        "https://api.example.com/v1?",
        "https://api.example.com//v1",
        "https://api.example.com/a//b",
        "https://api.example.com/a/../b",
        "https://api.example.com/./b",
        "https://api.example.com/a b",
        "https://api.example.com/a%20b",
        'https://api.example.com/a"b',
        "https://b\u00fccher.example",
        "https://api.example.com/\u00fc",
        "https://api.example.com\n",
        "https://[::1",
    ],
)
def test_what_is_no_public_address_is_refused(text: str) -> None:
    """At start, with a sentence."""
    with pytest.raises(ValueError, match=r"[a-z]{2}"):
        PublicAddress.parse(text)


def test_hosts_are_compared_without_case_and_final_dot() -> None:
    """Both name the same host (RFC 9110 §4.2.3, RFC 1034 §3.1)."""
    assert Host.parse("A.Example.:80").normalized_name == "a.example"
    with pytest.raises(InvalidHost):
        Host.parse("a.example..")


# Where it is mounted


@pytest.mark.parametrize(
    ("settings", "headers", "environ", "mount"),
    [
        ({}, {}, {}, ""),
        ({}, {}, {"SCRIPT_NAME": "/v1"}, "/v1"),
        ({}, {"X-Forwarded-Prefix": "/v1"}, {}, ""),
        ({"TRUSTED_PROXY_HOPS": "1"}, {"X-Forwarded-Prefix": "/v1"}, {}, ""),
        ("prefix", {"X-Forwarded-Prefix": "/v1"}, {}, "/v1"),
        ("prefix", {"X-Forwarded-Prefix": "/v1/"}, {}, "/v1"),
        ("prefix", {"X-Forwarded-Prefix": "/evil, /v1"}, {}, "/v1"),
        ("prefix", {"X-Forwarded-Prefix": "/a/b"}, {}, "/a/b"),
        ("prefix", {"X-Forwarded-Prefix": "//evil.example"}, {}, ""),
        ("prefix", {"X-Forwarded-Prefix": "https://evil.example"}, {}, ""),
        ("prefix", {"X-Forwarded-Prefix": "v1"}, {}, ""),
        ("prefix", {"X-Forwarded-Prefix": "/../v1"}, {}, ""),
        ("prefix", {"X-Forwarded-Prefix": '/a">b'}, {}, ""),
        ("prefix", {}, {"SCRIPT_NAME": "/v1"}, "/v1"),
        ({"PUBLIC_URL": "http://localhost/v2"}, {}, {"SCRIPT_NAME": "/v1"}, "/v2"),
        ({"PUBLIC_URL": "http://localhost"}, {}, {"SCRIPT_NAME": "/v1"}, ""),
    ],
)
def test_every_address_follows_the_mount(  # noqa: PLR0917 - a table
    make: MakeApp,
    cognito_pool: CognitoPool,
    settings: Any,
    headers: dict[str, str],
    environ: dict[str, str],
    mount: str,
) -> None:
    """SCRIPT_NAME, the prefix of a proxy that is believed, or the path of PUBLIC_URL."""
    if settings == "prefix":
        settings = {"TRUSTED_PROXY_HOPS": "1", "TRUSTED_PROXY_PREFIX": "true"}
    client = make(**settings).test_client()
    headers |= bearer(cognito_pool.access_token(scope="me randoms"))
    where: dict[str, Any] = {"headers": headers, "environ_overrides": environ}
    made = client.post("/randoms", json={"min_value": 1, "max_value": 1}, **where)
    assert made.headers["Location"] == f"{mount}/randoms/{made.json['id']}"
    client.post("/randoms", json={"min_value": 1, "max_value": 1}, **where)
    listed = client.get("/randoms?limit=1", **where)
    assert listed.headers["Link"].startswith(f"<{mount}/randoms?")
    assert client.get(METADATA, **where).json["resource"] == f"http://localhost{mount}"
    described = client.get("/openapi.json", **where).json
    assert described["servers"] == [{"url": mount or "/"}]
    page = client.get("/", **where | {"headers": headers | {"Accept": "text/html"}})
    assert f'href="{mount}/openapi.json"' in page.text
    headers.pop("Authorization")
    refused = client.get("/randoms", **where)
    found = METADATA + mount if "PUBLIC_URL" in settings else mount + METADATA
    expected = f'resource_metadata="http://localhost{found}"'
    assert expected in refused.headers["WWW-Authenticate"]
