"""The document: current, valid, complete, and true of what is answered."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import click
import jsonschema_rs
import openapi_spec_validator
import pytest
from apiflask import APIFlask
from botocore.exceptions import ClientError
from flask.testing import FlaskClient

from resource_server.auth import require_scope
from resource_server.bodies import Schema, shown
from resource_server.identity import cognito_errors as table
from resource_server.identity import errors
from resource_server.identity.cognito import translated
from resource_server.identity.cognito_errors import REFRESH
from resource_server.openapi import DocumentError, check, document
from resource_server.openapi.security import SCOPES
from resource_server.refusals import (
    IDENTITY_PROBLEMS,
    Problem,
    declared_refusals,
    refuses,
    responds,
)
from resource_server.testing import CognitoIdp, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.tokens.claims import SIGN_IN_SCOPE
from tests.documented import FILE, MENDS_IT

ROOT = Path(__file__).parent.parent
SUB = "0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10"
DOMAIN = "https://randoms.auth.eu-west-2.amazoncognito.com"
MakeApp = Callable[[Mapping[str, str]], APIFlask]
UNREAL = {
    "AWS_REGION": "eu-west-2",
    "AWS_USER_POOL_ID": "eu-west-2_Unreal",
    "AWS_COGNITO_APP_CLIENT_ID": "unreal",
    "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/nowhere",
}


@pytest.fixture(scope="module")
def described() -> Any:
    """The committed document."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def _operations(described: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (method, path, operation)."""
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


# The file


def test_the_committed_document_is_current() -> None:
    """`flask spec` prints it from settings that lead nowhere; no database, no AWS, no surprise."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "resource_server", "spec"],
        cwd=ROOT,
        env={"FLASK_SKIP_DOTENV": "1", **UNREAL},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == FILE.read_text(encoding="utf-8"), f"write it anew: {MENDS_IT}"


def test_the_document_is_valid_openapi(described: Any) -> None:
    """The schema of OpenAPI 3.1 and the rules beyond it."""
    openapi_spec_validator.validate(described)


def test_every_example_is_what_its_schema_says(described: Any) -> None:
    """Of answers and of what is sent."""
    schemas = {"components": {"schemas": described["components"]["schemas"]}}
    seen = 0
    for method, path, operation in _operations(described):
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                validator = jsonschema_rs.Draft202012Validator({**content["schema"], **schemas})
                for name, example in content.get("examples", {}).items():
                    seen += 1
                    assert validator.is_valid(example["value"]), (method, path, status, name)
    for name, schema in described["components"]["schemas"].items():
        validator = jsonschema_rs.Draft202012Validator({**schema, **schemas})
        for example in schema.get("examples", ()):
            seen += 1
            assert validator.is_valid(example), name
    assert seen > 200


def test_secrets_are_not_shown(described: Any) -> None:
    """Forms hide what is typed, and nobody expects it back."""
    hidden = {"password", "previous_password", "refresh_token", "session"}
    seen = set()
    for name, schema in described["components"]["schemas"].items():
        if name.endswith(("In", "Form")):
            for field in hidden & schema["properties"].keys():
                given = schema["properties"][field]
                [text] = [each for each in given.get("anyOf", [given]) if each["type"] != "null"]
                assert (text["format"], text["writeOnly"]) == ("password", True), (name, field)
                seen.add(field)
    assert seen == hidden


# What it says is what is answered


class _Refusing:
    """A directory that refuses whatever it is asked."""

    def __init__(self, error: errors.IdentityError) -> None:
        self.error = error

    def __getattr__(self, _operation: str) -> Callable[..., object]:
        return self._refuse

    def _refuse(self, *_: object, **__: object) -> object:
        raise self.error


def test_the_directorys_refusals_are_answered_as_shown(
    app: APIFlask, client: FlaskClient, described: Any, cognito_pool: CognitoPool
) -> None:
    """Each error that a view declares, raised there: status, body and headers of the document."""
    named = {problem: error for error, problem in reversed(IDENTITY_PROBLEMS.items())}
    named[IDENTITY_PROBLEMS[errors.SessionEnded]] = errors.SessionEnded
    views = {name.rpartition(".")[2]: view for name, view in app.view_functions.items()}
    mine, seen = app.extensions["resource_server"], set()
    scope = f"{SIGN_IN_SCOPE} me randoms"
    for method, path, operation in _operations(described):
        for problem in declared_refusals(views[operation["operationId"]]):
            if problem not in named:
                continue
            asked: Any = _Refusing(_made(named[problem]))
            replace(mine, identity=asked, directory=asked).attach(app.extensions)
            headers = bearer(cognito_pool.access_token(scope=scope, groups=["admins"]))
            answer = client.open(
                path.replace("{sub}", SUB),
                method=method,
                headers=headers if operation["security"] else {},
                **_body(described, operation),
            )
            shown = operation["responses"][str(problem.status)]["content"]["application/json"]
            assert answer.status_code == problem.status, (path, problem)
            values = [example["value"] for example in shown["examples"].values()]
            assert answer.json in values, (path, problem)
            seen.add(named[problem])
    # AccountGone is SessionEnded to clients.
    assert seen == set(IDENTITY_PROBLEMS) - {errors.AccountGone}


def _made(error: type[errors.IdentityError]) -> errors.IdentityError:
    if error is errors.TooManyRequests:
        return errors.TooManyRequests(5)
    if error is errors.DirectoryForbidden:
        return errors.DirectoryForbidden("cognito-idp:AdminGetUser")
    return error()


def _body(described: Any, operation: dict[str, Any]) -> dict[str, Any]:
    """Return what to send: the example that the document gives."""
    for media_type, content in operation.get("requestBody", {"content": {}})["content"].items():
        name = content["schema"]["$ref"].rpartition("/")[2]
        [example] = described["components"]["schemas"][name]["examples"]
        return {"json" if media_type == "application/json" else "data": example}
    return {}


ASKED = {
    "sign_up": ["SignUp"],
    "verify": ["ConfirmSignUp"],
    "resend_confirmation_code": ["ResendConfirmationCode"],
    "forgot_password": ["ForgotPassword"],
    "log_in": ["InitiateAuth"],
    "answer_challenge": ["RespondToAuthChallenge"],
    "refresh": ["GetTokensFromRefreshToken", REFRESH],
    "log_out": ["GlobalSignOut", "RevokeToken"],
    "reset_password": ["ConfirmForgotPassword"],
    "change_password": ["ChangePassword"],
    "change_me": ["UpdateUserAttributes"],
    "delete_me": ["DeleteUser"],
    "begin_totp": ["AssociateSoftwareToken"],
    "confirm_totp": ["VerifySoftwareToken", "SetUserMFAPreference"],
    "use_totp": ["SetUserMFAPreference"],
}
"""What each view asks of Cognito, where it passes every error on."""
NEVER = {
    # Of attributes that are an alias or were verified; a view changes the name alone.
    ("UpdateUserAttributes", "AliasExistsException"),
    ("UpdateUserAttributes", "CodeMismatchException"),
    ("UpdateUserAttributes", "ExpiredCodeException"),
}


@pytest.mark.parametrize("name", ASKED)
def test_whatever_cognito_may_answer_is_declared(app: APIFlask, name: str) -> None:
    """Whatever error, message and parameter of AWS's: its response is declared at the view."""
    model = boto3.client("cognito-idp", "eu-west-2").meta.service_model
    views = {each.rpartition(".")[2]: view for each, view in app.view_functions.items()}
    declared = declared_refusals(views[name])
    messages = ["", *(each.begins for each in table.MESSAGES), "PreSignUp failed with error no."]
    for asked in ASKED[name]:
        operation = model.operation_model(asked.partition(" ")[0])
        # A session is of a sign-in. The same operations with an access token take none.
        shape = operation.input_shape
        members = set(shape.members if shape else ()) - ({"Session"} if "totp" in name else set())
        parameters = [f"{each[0].lower()}{each[1:]}" for each in members]
        named = [f"Value at '{each}' failed to satisfy" for each in parameters]
        for error_shape in operation.error_shapes:
            if (asked, error_shape.name) in NEVER:
                continue
            for message in [*messages, *named]:
                error = _client_error(error_shape.name, message, asked)
                found = translated(error, {}, meaning=asked)
                if not isinstance(found, errors.IdentityError):
                    continue  # which the caller does not see
                problem = IDENTITY_PROBLEMS[type(found)]
                assert problem in declared, f"{asked}: {error_shape.name} {message}, {type(found)}"


def _client_error(code: str, message: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


# Over HTTP


def test_the_document_is_kept_until_it_changes(client: FlaskClient) -> None:
    """An ETag, and 304 for whoever has it."""
    first = client.get("/openapi.json")
    assert first.json["openapi"] == "3.1.0"
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_document_can_be_switched_off(
    mock_cognito_client: CognitoIdp, make_app: Callable[[Mapping[str, str]], APIFlask]
) -> None:
    """API_DOCS=off: there is no such address."""
    app = make_app({**mock_cognito_client.settings, **_sqlite(), "API_DOCS": "off"})
    assert app.test_client().get("/openapi.json").status_code == 404


def test_the_managed_login_is_offered_where_there_is_one(
    mock_cognito_client: CognitoIdp, make_app: Callable[[Mapping[str, str]], APIFlask]
) -> None:
    """COGNITO_DOMAIN names it: the authorization code flow, for every operation with scopes."""
    app = make_app({**mock_cognito_client.settings, **_sqlite(), "COGNITO_DOMAIN": DOMAIN})
    served: Any = app.test_client().get("/openapi.json").json
    flow = served["components"]["securitySchemes"]["cognito"]["flows"]["authorizationCode"]
    assert flow["authorizationUrl"] == f"{DOMAIN}/oauth2/authorize"
    assert flow["tokenUrl"] == f"{DOMAIN}/oauth2/token"
    openapi_spec_validator.validate(served)
    ways = served["paths"]["/randoms"]["get"]["security"]
    assert {"cognito": []} in ways  # its scopes are the trigger's to add
    assert set(document(app)["components"]["securitySchemes"]) == {"bearer", "password"}


def _sqlite() -> dict[str, str]:
    return {"DATABASE_URL": "sqlite:///:memory:"}


# Other apps


class Thing(Schema):
    """A thing."""

    model_config = shown({"name": "a"})

    name: str


def _described_alone(view: Callable[..., Any]) -> Any:
    """Describe an app of one view."""
    app = APIFlask("small", enable_openapi=False)
    app.add_url_rule("/things/<name>", "things", view)
    return document(app)["paths"]["/things/{name}"]["get"]


def test_what_a_token_must_be_is_told() -> None:
    """Any one of some scopes is so many ways in; groups and age are told in words."""

    @require_scope("me", any_of="me randoms", groups="staff", max_age=60, optional=True)
    @responds(200, Thing)
    def things(name: str) -> dict[str, str]:
        """Show a thing."""
        return {"name": name}

    operation = _described_alone(things)
    assert operation["security"] == [
        {"bearer": []},
        {"password": ["me"]},
        {"password": ["me", "randoms"]},
        {},
    ]
    assert "`staff`" in operation["description"]
    assert "60 seconds" in operation["description"]
    assert "Not authenticated" not in json.dumps(operation["responses"]["401"])
    assert "A more recent sign-in" in json.dumps(operation["responses"]["401"])


def test_a_public_view_says_so() -> None:
    """An empty list is not the same as none: it overrides whatever else would hold."""

    @refuses(Problem(404, "No such thing"))
    @responds(200, Thing)
    def things(name: str) -> dict[str, str]:
        """Show a thing."""
        return {"name": name}

    operation = _described_alone(things)
    assert operation["security"] == []
    assert set(operation["responses"]) == {"200", "400", "404", "421", "431", "500"}


def _silent(name: str) -> str:
    return name


@responds(200, Thing)
def _without_words(name: str) -> str:
    return name


@responds(200, Schema)
def _without_example(name: str) -> str:
    """Show a thing."""
    return name


@responds(200, dict)  # type: ignore[arg-type]
def _of_foreign_schema(name: str) -> str:
    """Show a thing."""
    return name


@require_scope("orders")
@responds(200, Thing)
def _of_unknown_scope(name: str) -> str:
    """Show a thing."""
    return name


@pytest.mark.parametrize(
    ("view", "missing"),
    [
        (_silent, "docstring"),
        (_without_words, "docstring"),
        (_without_example, "example"),
        (_of_unknown_scope, "SCOPES"),
    ],
)
def test_what_a_view_lacks_is_named(view: Callable[..., Any], missing: str) -> None:
    """Half of a description is an error that says what to add."""
    with pytest.raises(ValueError, match=missing):
        _described_alone(view)


@pytest.mark.parametrize(
    ("view", "missing"),
    [
        (_silent, "@output"),
        (_without_example, "example"),
        (_of_unknown_scope, "describe the scope 'orders'"),
        (_of_foreign_schema, "pydantic"),
    ],
)
def test_a_view_that_lacks_something_is_told_at_start(
    make_app: MakeApp, view: Callable[..., Any], missing: str
) -> None:
    """In a sentence, which `flask` shows without a trace."""
    app = make_app(UNREAL)
    app.add_url_rule("/things/<name>", view_func=view)
    with pytest.raises(DocumentError, match="The service cannot start: ") as told:
        check(app)
    assert missing in str(told.value)
    assert isinstance(told.value, click.ClickException)


def test_a_scope_without_words_keeps_the_app_from_being_made(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`create_app` fails, not the first request for the document."""
    monkeypatch.delitem(SCOPES, "randoms")
    for api_docs in ("true", "false"):
        with pytest.raises(DocumentError, match="describe the scope 'randoms'"):
            make_app(UNREAL | {"API_DOCS": api_docs})


def test_two_views_of_one_name_are_refused(make_app: MakeApp) -> None:
    """Clients are made with a method for each."""
    app = make_app(UNREAL)

    @responds(200, Thing)
    def list_randoms() -> str:
        """List things."""
        return ""

    app.add_url_rule("/things", view_func=list_randoms)
    with pytest.raises(DocumentError, match="2 views are called list_randoms"):
        check(app)


def test_two_models_of_one_name_are_refused() -> None:
    """They would be one schema to clients."""

    def other() -> type[Schema]:
        class Thing(Schema):
            """Another thing."""

            model_config = shown({"size": 1})

            size: int

        return Thing

    @responds(202, other())
    @responds(200, Thing)
    def things(name: str) -> dict[str, str]:
        """Show a thing."""
        return {"name": name}

    with pytest.raises(ValueError, match="another name"):
        _described_alone(things)
