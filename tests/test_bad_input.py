"""Whatever a client sends, the answer is http.md's: never a 500, no HTML, no password echoed."""

import io
import json
from typing import Any, BinaryIO

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from resource_server.testing import bearer
from resource_server.testing.pool import CognitoPool
from tests.conftest import CHALLENGE, METADATA, both_databases

SECRET = "hunter2-hunter2"
FORM = "application/x-www-form-urlencoded"
CANARY = "qzxhunter"
SIGN_UP = {"username": "ada", "email": "ada@example.com", "password": SECRET}


@pytest.fixture
def ada(cognito_pool: CognitoPool) -> dict[str, str]:
    """Ada's credentials."""
    return bearer(cognito_pool.access_token(scope="me randoms"))


@pytest.mark.parametrize(
    "value",
    [2**53, -(2**53), 10**400, True, False, 1.0, 1.5, "1", None, [], {}, [1]],
    ids=lambda value: repr(value)[:20],
)
def test_a_bound_is_an_integer_within_reach(
    client: FlaskClient, ada: dict[str, str], value: object
) -> None:
    """No boolean, float, text or integer that JavaScript would read as another one."""
    body = {"min_value": value, "max_value": 5}
    refused = client.post("/randoms", headers=ada, json=body)
    assert refused.status_code == 422
    [fault] = refused.json["detail"]
    assert fault["loc"] == ["body", "min_value"]
    assert set(fault) == {"loc", "msg", "type"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"min_value": 1, "max_value": 2}', "text/plain", 415),
        (b'{"min_value": 1, "max_value": 2}', "", 415),
        (b"min_value=1&max_value=2", "application/x-www-form-urlencoded", 415),
        (b'{"min_value": 1, "max_value": 2', "application/json", 400),
        (b'{"min_value": 1, "max_value": 2}}', "application/json", 400),
        (b"not json", "application/json", 400),
        (b'{"min_value": NaN, "max_value": 2}', "application/json", 400),
        (b'{"min_value": -Infinity, "max_value": 2}', "application/json", 400),
        (b'{"min_value": 1, "min_value": 1, "max_value": 2}', "application/json", 400),
        (b'{"min_value": "\xff", "max_value": 2}', "application/json", 400),
        ('{"min_value": 1, "max_value": 2}'.encode("utf-16"), "application/json", 400),
        (b'\xef\xbb\xbf{"min_value": 1, "max_value": 2}', "application/json", 400),
        (b"[" * 20_000, "application/json", 400),
        (b"1" * 5_000, "application/json", 400),
        (b" " * (64 * 1024 + 1), "application/json", 413),
        (b"x" * 10 * 1024 * 1024, "application/json", 413),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'"text"', "application/json", 422),
        (b"{}", "application/json", 422),
        (b"", "application/json", 422),
        (b"", "", 422),
        (b'{"min_value": 2, "max_value": 1}', "application/json", 422),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bodies_are_read_strictly(
    client: FlaskClient, ada: dict[str, str], body: bytes, content_type: str, status: int
) -> None:
    """Each kind of bad body has its status, and a JSON answer with a sentence."""
    refused = client.post("/randoms", headers=ada, data=body, content_type=content_type)
    assert refused.status_code == status
    assert refused.mimetype == "application/json"
    assert refused.json["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"min_value": 1', "Expecting ',' delimiter at line 1, column 16"),
        (b'{"min_value": NaN}', "NaN and Infinity are no JSON"),
        (b'{"min_value": 1, "min_value": 1}', "a member occurs twice"),
        (b'{"min_value": "\xff"}', "it is not UTF-8"),
        (b"[" * 20_000, "nested too deeply"),
        (b"1" * 5_000, "a number is too long"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_is_no_json_is_told_why(
    client: FlaskClient, ada: dict[str, str], body: bytes, reason: str
) -> None:
    """As the document says it, without a part of the body."""
    refused = client.post("/randoms", headers=ada, data=body, content_type="application/json")
    assert refused.json == {"detail": f"The body is not valid JSON: {reason}"}
    unlabelled = client.post("/randoms", headers=ada, data=body, content_type="text/plain")
    assert unlabelled.json == {"detail": "Send the body as application/json"}


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"0", b'""', b'{"everywhere": 0}', b'{"everywhere": "no"}']
)
def test_what_ends_sessions_is_said_clearly(
    client: FlaskClient, ada: dict[str, str], body: bytes
) -> None:
    """All fields may be left out; that makes nothing else an empty object, or a boolean."""
    refused = client.post("/users/logout", headers=ada, data=body, content_type="application/json")
    assert refused.status_code == 422
    assert client.get("/randoms", headers=ada).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@both_databases
def test_an_id_that_no_database_can_hold_is_not_found(
    client: FlaskClient, ada: dict[str, str], method: str
) -> None:
    """Past BIGINT, whatever the method: 404 as for other ids that are nobody's."""
    refused = client.open(f"/randoms/{2**63}", method=method, headers=ada)
    assert (refused.status_code, refused.json) == (404, {"detail": "Not found"})


def test_json_with_a_charset_and_unknown_fields_is_fine(
    client: FlaskClient, ada: dict[str, str]
) -> None:
    """Unknown fields are ignored, so that clients may be newer than the service."""
    body = json.dumps({"min_value": 1, "max_value": 1, "colour": "red", "num": 9})
    drawn = client.post(
        "/randoms", headers=ada, data=body, content_type="application/json; charset=utf-8"
    )
    assert drawn.status_code == 201
    assert drawn.json["num"] == 1


def test_a_stranger_is_refused_before_their_body_is_read(client: FlaskClient) -> None:
    """No token: 401, however bad the body."""
    refused = client.post("/randoms", data=b"x" * 10 * 1024 * 1024, content_type="text/plain")
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"username": ""}, "username"),
        ({"username": "a" * 129}, "username"),
        ({"username": "a\x00b"}, "username"),
        ({"username": "a b"}, "username"),
        ({"username": "a\nb"}, "username"),
        ({"username": "a\n"}, "username"),
        ({"username": "\ud800"}, "username"),
        ({"username": 7}, "username"),
        ({"username": None}, "username"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b\x00.example"}, "email"),
        ({"email": "a" * 400 + "@example.com"}, "email"),
        ({"email": "Ada <a@b.c>"}, "email"),
        ({"email": "<a@b.c>"}, "email"),
        ({"email": "a@b.c, d@e.f"}, "email"),
        ({"email": "a b@c.d"}, "email"),
        ({"email": '"a b"@c.d'}, "email"),
        ({"email": " ada@example.com"}, "email"),
        ({"email": "ada@example.com\n"}, "email"),
        ({"email": "ada@exa\u00admple.com"}, "email"),
        ({"email": "a@b@c.d"}, "email"),
        ({"email": ".a@b.c"}, "email"),
        ({"email": "a..b@c.d"}, "email"),
        ({"email": "a@.b"}, "email"),
        ({"email": "a@-b.c"}, "email"),
        ({"email": "a@b."}, "email"),
        ({"email": "@b.c"}, "email"),
        ({"email": ""}, "email"),
        ({"password": ""}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"password": f" {SECRET}"}, "password"),
        ({"password": f"{SECRET}\n"}, "password"),
        ({"password": 12345678}, "password"),
        ({"password": ["hunter2-hunter2"]}, "password"),
        ({"password": "\ud800"}, "password"),
    ],
    ids=repr,
)
def test_sign_up_checks_each_field(client: FlaskClient, change: dict[str, Any], name: str) -> None:
    """The fault is named; what was sent, a password above all, is not repeated."""
    refused = client.post("/users/signup", json=SIGN_UP | change)
    assert refused.status_code == 422
    assert [fault["loc"] for fault in refused.json["detail"]] == [["body", name]]
    assert SECRET not in refused.text


@pytest.mark.parametrize(
    "address", ["/users/signup", "/users/verify", "/users/resend_confirmation_code"]
)
def test_missing_fields_are_all_named(client: FlaskClient, address: str) -> None:
    """An empty object gets the whole list."""
    refused = client.post(address, json={})
    assert refused.status_code == 422
    assert {fault["type"] for fault in refused.json["detail"]} == {"missing"}
    assert ["body", "username"] in [fault["loc"] for fault in refused.json["detail"]]


@pytest.mark.parametrize("code", ["", " ", "12 34", "1" * 2049, "12\x0034", "1\n", 123456, None])
def test_a_code_is_text_without_spaces(client: FlaskClient, code: object) -> None:
    """Codes that Cognito's API cannot take are refused here."""
    refused = client.post("/users/verify", json={"username": "ada", "confirmation_code": code})
    assert refused.status_code == 422
    assert refused.json["detail"][0]["loc"] == ["body", "confirmation_code"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (json.dumps(SIGN_UP).encode(), "application/json", 415),
        (b"username=a&username=b&password=hunter2-hunter2", FORM, 400),
        (b"password=hunter2-hunter2", FORM, 422),
        (b"username=&password=hunter2-hunter2", FORM, 422),
        (b"username=a&password=hunter2-hunter2&grant_type=implicit", FORM, 422),
        (b"username=a&password=" + b"hunter2-hunter2" * 20, FORM, 422),
        (b"username=%ff%00&password=hunter2-hunter2", FORM, 422),
        (b"", "", 422),
        (b"username=" + b"a" * 70_000, FORM, 413),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_login_speaks_oauth_about_bad_forms(
    client: FlaskClient, body: bytes, content_type: str, status: int
) -> None:
    """Token endpoints add RFC 6749's error code, and repeat nothing."""
    refused = client.post("/users/login", data=body, content_type=content_type)
    assert refused.status_code == status
    assert refused.json["error"] == "invalid_request"
    assert refused.json["error_description"]
    assert SECRET not in refused.text


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        # Without a value: left out. So a grant type is the default, and what is needed is missing.
        ("/users/login", "username=ada&password=hunter2-hunter2&grant_type=", 401, ""),
        ("/users/login", "username=ada&password=hunter2-hunter2&scope=&client_id=", 401, ""),
        ("/users/login", "username=ada&password=", 422, "missing"),
        ("/users/login", "username=&password=hunter2-hunter2", 422, "missing"),
        ("/users/login", "username&password=hunter2-hunter2", 422, "missing"),
        ("/users/refresh", "grant_type=&refresh_token=r", 422, "missing"),
        ("/users/refresh", "grant_type=refresh_token&refresh_token=", 422, "missing"),
        ("/users/refresh", "grant_type=refresh_token&refresh_token=r&username=", 401, ""),
        # Unknown: ignored.
        ("/users/login", "username=ada&password=hunter2-hunter2&colour=red", 401, ""),
        ("/users/refresh", "grant_type=refresh_token&refresh_token=r&colour=red", 401, ""),
        # More than once: an error, whatever the name and values.
        ("/users/login", "username=ada&password=hunter2-hunter2&username=ada", 400, "twice"),
        ("/users/login", "username=ada&password=hunter2-hunter2&username=", 400, "twice"),
        ("/users/login", "username=ada&password=hunter2-hunter2&x=1&x=1", 400, "twice"),
        ("/users/login", "username=ada&password=hunter2-hunter2&grant_type=&grant_type=", 400, ""),
        ("/users/refresh", "grant_type=refresh_token&refresh_token=r&refresh_token=", 400, ""),
    ],
)
def test_empty_unknown_and_repeated_parameters_of_forms(
    client: FlaskClient, path: str, body: str, status: int, told: str
) -> None:
    """RFC 6749 §3.2: left out, ignored, an error."""
    answered = client.post(path, data=body, content_type=FORM)
    assert answered.status_code == status, answered.text
    assert told in answered.text


def test_nothing_that_was_sent_is_in_an_error(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Not in a sentence, a place, a type or a header: neither values nor names of the client's."""
    headers = bearer(cognito_pool.access_token(scope="me randoms", groups=["admins"]))
    schemas = [
        (rule.rule, min((rule.methods or set()) - {"HEAD", "OPTIONS"}), spec)
        for rule in app.url_map.iter_rules()
        for spec in [getattr(app.view_functions[rule.endpoint], "_spec", {})]
        if "body" in spec
    ]
    assert len(schemas) > 10
    for address, method, spec in schemas:
        names = list(spec["body"].model_fields)
        values: list[Any] = [CANARY, {CANARY: CANARY}, {CANARY: ""}, [CANARY], {CANARY: {}}]
        values += [f"{CANARY}@{CANARY}", f"{CANARY}@b\x00", f"{CANARY} x@[{CANARY}]", CANARY * 200]
        values += [f"{CANARY}@{CANARY}€.example", f"€{CANARY}@example.com"]
        for value in values:
            if spec["content_type"] == "application/json":
                sent: dict[str, Any] = {"json": dict.fromkeys(names, value) | {CANARY: value}}
            else:
                sent = {"data": dict.fromkeys(names, str(value)) | {CANARY: str(value)}}
            address = address.replace("<int:random_id>", "1")  # noqa: PLW2901
            refused = client.open(address, method=method, headers=headers, **sent)
            if refused.status_code >= 400:
                _assert_silent(refused)
    raw: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/randoms", {"data": f'{{"{CANARY}'}),
        ("POST", "/randoms", {"data": f'{{"{CANARY}": 1, "{CANARY}": 2}}'}),
        ("POST", "/randoms", {"data": f'{{"a": {CANARY}}}'}),
        ("POST", "/randoms", {"data": '{"a": ' + "987654321" * 600 + "}"}),
        ("POST", "/randoms", {"data": "{}", "content_type": f"text/{CANARY}"}),
        ("POST", "/users/login", {"data": f"{CANARY}=1&{CANARY}=2", "content_type": FORM}),
        ("POST", "/users/login", {"data": f"{CANARY}", "content_type": f"text/{CANARY}"}),
        ("GET", f"/randoms?limit={CANARY}&after={CANARY}&{CANARY}=1", {}),
        ("GET", f"/randoms?offset=1{CANARY}", {}),
        ("GET", f"/users?after={CANARY}", {}),
        ("GET", f"/{CANARY}", {}),
        ("GET", f"/randoms/{CANARY}", {}),
        ("POST", f"/users/{CANARY}/disable", {}),
        (CANARY.upper(), "/randoms", {}),
        ("GET", f"/docs/{CANARY}", {}),
        ("GET", f"/assets/{CANARY}", {}),
    ]
    for method, address, sent in raw:
        if sent and "content_type" not in sent:
            sent["content_type"] = "application/json"
        refused = client.open(address, method=method, headers=headers, **sent)
        assert refused.status_code >= 400, address
        _assert_silent(refused)
    named: list[dict[str, str]] = [
        {"Authorization": f"Bearer {CANARY}"},
        {"Authorization": CANARY},
        {"Host": f"{CANARY} x"},
        {"X-Request-ID": f"{CANARY} x"},
        {"Origin": f"https://{CANARY}"},
    ]
    for each in named:
        _assert_silent(client.get("/randoms", headers=each))


def _assert_silent(refused: TestResponse) -> None:
    said = f"{refused.text}\n{refused.headers}".lower()
    assert CANARY not in said, (refused.request.path, said)
    assert "987654321" not in said


def test_other_methods_and_addresses(client: FlaskClient) -> None:
    """404 and 405 are JSON; 405 tells what is allowed."""
    nowhere = client.get("/no/such/place")
    assert (nowhere.status_code, nowhere.json) == (404, {"detail": "Not found"})
    wrong = client.put("/randoms")
    assert (wrong.status_code, wrong.json) == (405, {"detail": "Method not allowed"})
    assert {"GET", "POST"} <= set(wrong.headers["Allow"].split(", "))
    assert client.get("/users//me").status_code == 404


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "bearer", "Token abc", "Negotiate x"],
)
def test_other_schemes_are_no_credentials(client: FlaskClient, header: str) -> None:
    """No bearer token, no error code in the challenge (RFC 6750 section 3.1)."""
    refused = client.get("/randoms", headers={"Authorization": header})
    assert refused.status_code == 401
    assert refused.json == {"detail": "Not authenticated"}
    assert refused.headers["WWW-Authenticate"] == f"{CHALLENGE}, {METADATA}"


def test_tokens_elsewhere_are_not_looked_at(client: FlaskClient, cognito_pool: CognitoPool) -> None:
    """A token in a query string, form or cookie does not count (RFC 9700 section 4.3.2)."""
    token = cognito_pool.access_token(scope="me randoms")
    client.set_cookie("access_token", token)
    in_query = client.get(f"/randoms?access_token={token}")
    in_form = client.post("/randoms", data={"access_token": token})
    assert (in_query.status_code, in_form.status_code) == (401, 401)


def test_two_authorization_headers_are_refused(
    client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Servers hand them over joined by a comma, which no token contains."""
    token = cognito_pool.access_token(scope="me randoms")
    refused = client.get("/randoms", headers={"Authorization": f"Bearer {token}, Bearer {token}"})
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


def _chunked(
    client: FlaskClient, path: str, body: BinaryIO, content_type: str, **headers: str
) -> TestResponse:
    """Send a body of no declared length, as a server hands a chunked one over."""
    return client.post(
        path,
        input_stream=body,
        content_type=content_type,
        headers={"Transfer-Encoding": "chunked", **headers},
        environ_overrides={"wsgi.input_terminated": True},
    )


class BrokenChunks(io.BytesIO):
    """What gunicorn's body raises for a chunk whose size is no number: no ValueError."""

    def read(self, *_: object) -> bytes:
        """Fail."""
        raise Exception("Invalid chunk size")  # noqa: TRY002 - gunicorn's derives from it


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"min_value": 1, "max_value": 1}', 201),
        (b'{"min_value": 1, "max_value": 1}' + b" " * 200_000, 413),
        (b" " * 70_000 + b'{"min_value": 1, "max_value": 1}', 413),
        (b"", 400),
    ],
    ids=["whole", "too long behind", "too long in front", "empty"],
)
def test_a_chunked_body_is_read_whole_or_not_at_all(
    client: FlaskClient, ada: dict[str, str], body: bytes, status: int
) -> None:
    """What is cut at the limit could say something else: it is refused."""
    answer = _chunked(client, "/randoms", io.BytesIO(body), "application/json", **ada)
    assert answer.status_code == status


def test_a_chunked_form_is_not_cut(client: FlaskClient) -> None:
    """Cognito is not asked with half of a form."""
    body = io.BytesIO(b"username=ada&password=hunter2-hunter2&z=" + b"a" * 70_000)
    assert _chunked(client, "/users/login", body, FORM).status_code == 413


def test_broken_chunks_are_a_bad_request(client: FlaskClient, ada: dict[str, str]) -> None:
    """Whatever the server raises while it takes a body apart, the client is told."""
    json_answer = _chunked(client, "/randoms", BrokenChunks(), "application/json", **ada)
    form_answer = _chunked(client, "/users/login", BrokenChunks(), FORM)
    assert (json_answer.status_code, form_answer.status_code) == (400, 400)


@pytest.mark.parametrize("host", ["a b", 'evil"x', "a:abc", ""])
def test_a_host_that_is_none_is_a_bad_request(client: FlaskClient, host: str) -> None:
    """No address is built from it."""
    refused = client.get("/.well-known/oauth-protected-resource", headers={"Host": host})
    assert refused.status_code == 400
    assert client.get("/randoms", headers={"Host": host}).status_code == 400
