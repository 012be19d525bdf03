"""What browsers get: the landing page, /docs and the files they load."""

import gzip
import json
import re
from collections.abc import Callable, Mapping
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from resource_server import pages
from resource_server.emulator import gaps
from resource_server.emulator.state import DEMO_PASSWORD, DEMO_USERNAME, EmulatorState
from resource_server.pages import policies
from resource_server.pages.assets import OURS, SWAGGER_UI, Shelf
from resource_server.settings import SettingsError
from resource_server.testing import CognitoIdp, KitUser

MakeApp = Callable[[Mapping[str, str]], APIFlask]

MESSAGE = {"message": "Home page of randomizer"}
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/png,image/svg+xml,*/*;q=0.8"
SAFARI = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
OLD_EDGE = "text/html, application/xhtml+xml, image/jxr, */*"
FOR_PEOPLE = [CHROME, FIREFOX, SAFARI, OLD_EDGE, "text/html", "text/html;q=0.9, */*;q=0.1"]
FOR_PROGRAMS = [
    None,
    "",
    "*/*",  # curl, fetch, Python's requests
    "application/json",
    "application/json, text/plain, */*",  # axios, Angular
    "application/json, text/html",
    "text/html;q=0.5, application/json",
    "text/html;q=0, */*",
    "image/png",
    "nonsense",
    "text/html;q=x;;=,,/",
]
EVERY_FILE = [(shelf, name) for shelf in (OURS, SWAGGER_UI) for name in sorted(shelf.names)]


class _Loaded(HTMLParser):
    """What a page loads or leads to, and what of it would be inline."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.told: dict[str, object] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at a tag."""
        named = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]
        self.inline += [name for name in named if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in named):
            self.inline.append(tag)
        if "data-told" in named:
            self.told = json.loads(named["data-told"] or "")


def _for_browser(client: FlaskClient, address: str) -> TestResponse:
    return client.get(address, headers={"Accept": CHROME})


def _sources(answer: TestResponse) -> dict[str, str]:
    """Take a Content-Security-Policy apart."""
    parts = [part.strip().partition(" ") for part in answer.headers[_CSP].split(";")]
    return {name: sources for name, _, sources in parts}


_CSP = "Content-Security-Policy"


@pytest.mark.parametrize("accept", FOR_PROGRAMS)
def test_programs_get_the_message(client: FlaskClient, accept: str | None) -> None:
    """Whoever does not prefer HTML gets what was always there, and caches keep the two apart."""
    answer = client.get("/", headers={} if accept is None else {"Accept": accept})
    assert (answer.status_code, answer.json) == (200, MESSAGE)
    assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", FOR_PEOPLE)
def test_people_get_a_page(client: FlaskClient, accept: str) -> None:
    """Browsers of any make get HTML."""
    answer = client.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert answer.headers["Vary"] == "Accept"
    assert '<html lang="en">' in answer.text
    assert 'href="/docs"' in answer.text


@pytest.mark.parametrize("accept", [CHROME, "*/*"])
@pytest.mark.parametrize("address", ["/", "/docs", "/docs/swagger-ui.css", "/assets/icon.svg"])
def test_head_tells_what_get_would(client: FlaskClient, address: str, accept: str) -> None:
    """HEAD has the headers of GET, and no body."""
    got = client.get(address, headers={"Accept": accept})
    asked = client.head(address, headers={"Accept": accept})
    assert (asked.status_code, asked.data) == (200, b"")
    for name in ("Content-Type", "Content-Length", "Vary", "ETag", _CSP):
        assert asked.headers.get(name) == got.headers.get(name), name


def test_the_landing_page_asks_nobody(mock_cognito_client: CognitoIdp, make_app: MakeApp) -> None:
    """It is there at once while database and keys are away: the browser asks /readyz."""
    away = {"DATABASE_URL": "postgresql://x:x@127.0.0.1:1/x"}
    client = make_app({**mock_cognito_client.settings, **away}).test_client()
    answer = _for_browser(client, "/")
    assert answer.status_code == 200
    assert 'data-readyz="/readyz"' in answer.text
    assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("address", ["/", "/docs", "/docs/oauth2-redirect.html"])
def test_pages_load_nothing_from_elsewhere(client: FlaskClient, address: str) -> None:
    """All that a page names is a path of ours, which exists; nothing is inline."""
    page = _for_browser(client, address)
    loaded = _Loaded(page.text)
    assert loaded.addresses
    assert loaded.inline == []
    for found in loaded.addresses:
        assert re.match(r"/(?!/)|[a-z0-9-]+\.js$", found), found
        there = found if found.startswith("/") else f"/docs/{found}"
        if there != "/openapi.json":
            assert client.get(there).status_code in {200, 503}, there  # /readyz may not be yet


@pytest.mark.parametrize("address", ["/", "/docs", "/docs/oauth2-redirect.html"])
def test_pages_are_confined(client: FlaskClient, address: str) -> None:
    """A policy that begins with nothing, allows no inline code and no other origin."""
    sources = _sources(_for_browser(client, address))
    assert sources["default-src"] == "'none'"
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert sources[name] == "'none'"
    assert set(" ".join(sources.values()).split()) <= {"'none'", "'self'", "data:"}
    assert sources["script-src"] == "'self'"


def test_docs_may_ask_the_managed_login(mock_cognito_client: CognitoIdp, make_app: MakeApp) -> None:
    """The managed login's origin is added to what the page connects to, and to nothing else."""
    login = {"COGNITO_DOMAIN": "https://shop.auth.eu-west-2.amazoncognito.com/x"}
    client = make_app({**mock_cognito_client.settings, **login}).test_client()
    sources = _sources(client.get("/docs"))
    assert sources["connect-src"] == "'self' https://shop.auth.eu-west-2.amazoncognito.com"
    del sources["connect-src"]
    assert "amazoncognito" not in str(sources)


@pytest.mark.parametrize(
    "address",
    [
        "http://login.example.com",
        "https://login.example.com; script-src *",
        "https://login.example.com 'unsafe-inline'",
        "https://login.example.com/",
        "https://login.example.com?x",
        "//login.example.com",
        "https://*",
    ],
)
def test_a_managed_login_cannot_loosen_the_policy(
    mock_cognito_client: CognitoIdp, make_app: MakeApp, address: str
) -> None:
    """What is no https address of one host is refused at the start."""
    with pytest.raises(SettingsError, match="COGNITO_DOMAIN is wrong"):
        make_app({**mock_cognito_client.settings, "COGNITO_DOMAIN": address})


def test_every_file_of_the_shelves_is_served(app: APIFlask, client: FlaskClient) -> None:
    """With its type, to be kept for a year at the address that pages name, else asked for anew."""
    for shelf, name in EVERY_FILE:
        with app.test_request_context():
            address = shelf.address(name)
        plain, _, _ = address.partition("?")
        kept, asked = client.get(address), client.get(plain)
        assert kept.status_code == asked.status_code == 200, name
        assert kept.data == asked.data != b""
        assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert asked.headers["Cache-Control"] == "no-cache"
        kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        assert asked.mimetype == kinds.get(name.rpartition(".")[2], "text/html")
        stale = client.get(f"{plain}?v=0123456789abcdef")
        assert stale.headers["Cache-Control"] == "no-cache"


def test_files_are_not_sent_twice(client: FlaskClient) -> None:
    """Whoever has a file gets 304, compressed or not; the two are told apart."""
    for encoding in ("gzip", "identity"):
        headers = {"Accept-Encoding": encoding}
        first = client.get("/docs/swagger-ui.css", headers=headers)
        again = client.get(
            "/docs/swagger-ui.css", headers={**headers, "If-None-Match": first.headers["ETag"]}
        )
        assert (again.status_code, again.data) == (304, b"")
        assert first.headers["Vary"] == again.headers["Vary"] == "Accept-Encoding"
    other = {"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]}
    assert client.get("/docs/swagger-ui.css", headers=other).status_code == 200


def test_files_are_compressed_for_who_can_read_it(client: FlaskClient) -> None:
    """Swagger UI is 1.7 MB; what arrives is a third of it, and the same."""
    address = "/docs/swagger-ui-bundle.js"
    plain = client.get(address, headers={"Accept-Encoding": "gzip;q=0, identity"})
    small = client.get(address, headers={"Accept-Encoding": "br, gzip"})
    assert "Content-Encoding" not in plain.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert len(small.data) < len(plain.data) / 3
    assert gzip.decompress(small.data) == plain.data


@pytest.mark.parametrize("root", ["/docs", "/assets"])
@pytest.mark.parametrize(
    "climbing",
    [
        "../app.py",
        "..%2fapp.py",
        "..%2f..%2fapp.py",
        "%2e%2e/app.py",
        "..\\app.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "swagger-ui.css/../index.css",
        "index.html",
        "VERSION",
        "__init__.py",
        "swagger-ui.css%00",
    ],
)
def test_what_is_not_on_the_shelf_is_not_found(
    client: FlaskClient, root: str, climbing: str
) -> None:
    """No name leads to another file, on the shelf's folder or anywhere."""
    answer = client.get(f"{root}/{climbing}")
    assert (answer.status_code, answer.json) == (404, {"detail": "Not found"})


def test_every_file_of_ours_is_on_the_shelf() -> None:
    """The folder and the list agree."""
    folder = Path(pages.__file__).with_name("static")
    assert {file.name for file in folder.iterdir()} == OURS.names


def test_docs_can_be_switched_off(mock_cognito_client: CognitoIdp, make_app: MakeApp) -> None:
    """With API_DOCS=false there is no page, no file of it, and no link to it."""
    client = make_app({**mock_cognito_client.settings, "API_DOCS": "false"}).test_client()
    for address in ("/docs", "/docs/", "/docs/swagger-ui.css", "/docs/oauth2-redirect.html"):
        assert client.get(address).status_code == 404, address
    landing = _for_browser(client, "/")
    assert landing.status_code == 200
    assert "/docs" not in landing.text
    assert "openapi.json" not in landing.text


def test_the_demo_user_is_the_emulators_alone(
    client: FlaskClient, emulator: EmulatorState, make_app: MakeApp
) -> None:
    """Both pages tell the demo user under the emulator, and neither does elsewhere."""
    emulated = make_app({**emulator.settings, "DATABASE_URL": "sqlite://"}).test_client()
    for address in ("/", "/docs"):
        assert DEMO_PASSWORD in unescape(_for_browser(emulated, address).text)
        page = _for_browser(client, address).text
        assert DEMO_PASSWORD not in unescape(page)
        assert not re.search(rf"\b{DEMO_USERNAME}\b", page)
    assert _Loaded(_for_browser(client, "/docs").text).told["demoUser"] is None


def test_no_page_shows_a_secret(client: FlaskClient, mock_cognito_client: CognitoIdp) -> None:
    """The client's id is public; its secret is in no page."""
    secret = mock_cognito_client.settings["AWS_COGNITO_APP_CLIENT_SECRET"]
    for address in ("/", "/docs"):
        assert secret not in unescape(_for_browser(client, address).text)


def test_docs_sign_in_with_a_client_without_secret(
    mock_cognito_client: CognitoIdp, make_app: MakeApp
) -> None:
    """A page keeps no secret: the client of API_DOCS_CLIENT_ID, or the service's if it has none."""
    ours = mock_cognito_client.settings

    def told(settings: Mapping[str, str]) -> object:
        page = make_app(settings).test_client().get("/docs").text
        return _Loaded(page).told["pageClient"]

    assert ours["AWS_COGNITO_APP_CLIENT_SECRET"]
    assert told(ours) == ""
    assert told({**ours, "AWS_COGNITO_APP_CLIENT_SECRET": ""}) == ours["AWS_COGNITO_APP_CLIENT_ID"]
    assert told({**ours, "API_DOCS_CLIENT_ID": "web"}) == "web"


def test_pages_stand_below_a_prefix(client: FlaskClient) -> None:
    """Behind a proxy that serves the app under a path, pages name that path."""
    for address in ("/", "/docs"):
        page = client.get(address, headers={"Accept": CHROME}, base_url="http://localhost/api")
        for found in _Loaded(page.text).addresses:
            assert found.startswith("/api/"), found
    told = _Loaded(page.text).told
    assert told["description"] == "/api/openapi.json"
    assert told["redirect"] == "/api/docs/oauth2-redirect.html"


@pytest.mark.parametrize("place", ["basic", "request-body"])
def test_the_sign_in_of_swagger_ui_is_understood(
    client: FlaskClient, user: KitUser, place: str
) -> None:
    """Its client id with an empty secret, in the header or the form, is nobody's credential."""
    form = {
        "grant_type": "password",
        "scope": "me randoms",
        "username": user.username,
        "password": user.password,
    }
    headers = {"X-Requested-With": "XMLHttpRequest"}
    if place == "basic":
        headers["Authorization"] = "Basic d2ViOg=="  # web:
    else:
        form["client_id"] = "web"
    answer = client.post("/users/login", data=form, headers=headers)
    assert (answer.status_code, answer.json["token_type"]) == (200, "bearer")

    wrong = client.post("/users/login", data={**form, "password": "wrong"}, headers=headers)
    assert (wrong.status_code, wrong.json["error"]) == (401, "invalid_grant")


def test_the_emulator_knows_the_pages(emulator: EmulatorState) -> None:
    """Its public client may come back to the page of `flask run`, and its tokens are accepted."""
    settings = emulator.settings
    assert settings["API_DOCS_CLIENT_ID"] == settings["COGNITO_ALLOWED_CLIENT_IDS"]
    [pool] = [pool for pool in gaps.pools() if pool.id == emulator.pool_id]
    web = pool.clients[settings["API_DOCS_CLIENT_ID"]]
    assert not web.generate_secret
    for host in ("127.0.0.1", "localhost"):
        back = f"http://{host}:5000/docs/oauth2-redirect.html"
        assert back in web.extended_config["CallbackURLs"]


def test_policies_name_origins_alone() -> None:
    """A managed login under a path, as the emulator's, is its origin in a policy."""
    assert "connect-src 'self' http://127.0.0.1:5001;" in policies.docs("http://127.0.0.1:5001/p")


def test_shelves_are_apart(client: FlaskClient) -> None:
    """A name of one is not found on the other."""
    both: list[tuple[Shelf, str]] = [(OURS, "/docs"), (SWAGGER_UI, "/assets")]
    for shelf, other in both:
        for name in shelf.names:
            assert client.get(f"{other}/{name}").status_code == 404
