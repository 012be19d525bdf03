"""Sign-up where a pool requires more, and what triggers and threat protection get."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from resource_server.emulator import gaps
from resource_server.identity.errors import BadCredentials
from resource_server.identity.provider import Context, SignUp
from resource_server.testing import CognitoIdp, bearer
from tests.conftest import PASSWORD, first_challenge

SIGN_UP = {"username": "grace", "email": "grace@example.com", "password": PASSWORD}
PERSON = {"name": "Grace Hopper", "phone_number": "+15550123456", "birthdate": "1906-12-09"}
NOT_ALLOWED = "An attribute may not be set by users"


@pytest.fixture
def pool(mock_cognito_client: CognitoIdp) -> Any:
    """A pool that requires name, telephone number and date of birth, and has a custom attribute."""
    found = gaps.find_pool(mock_cognito_client.pool_id)
    assert found is not None
    for name in PERSON:
        found.schema_attributes[name].required = True
    found.add_custom_attributes([{"Name": "team", "AttributeDataType": "String"}])
    return found


@pytest.fixture
def open_client(
    pool: Any,
    mock_cognito_client: CognitoIdp,
    sqlite_url: str,
    make_app: Callable[[Mapping[str, str]], APIFlask],
) -> FlaskClient:
    """An app whose users may set `custom:team`, on SQLite."""
    names = ",".join([*PERSON, "custom:team"])
    return make_app(
        {
            **mock_cognito_client.settings,
            "DATABASE_URL": sqlite_url,
            "COGNITO_WRITABLE_ATTRIBUTES": names,
        }
    ).test_client()


@pytest.mark.usefixtures("pool")
def test_what_the_pool_requires_can_be_sent(
    client: FlaskClient, mock_cognito_client: CognitoIdp
) -> None:
    """Standard attributes without any setting. They are in Cognito as they were sent."""
    made = client.post("/users/signup", json=SIGN_UP | {"attributes": PERSON})
    assert made.status_code == 201
    user = mock_cognito_client.client.admin_get_user(
        UserPoolId=mock_cognito_client.pool_id, Username="grace"
    )
    attributes = {entry["Name"]: entry["Value"] for entry in user["UserAttributes"]}
    assert attributes | PERSON == attributes


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("missing", PERSON)
def test_what_is_missing_is_the_callers_mistake(client: FlaskClient, missing: str) -> None:
    """400 with the name of the attribute."""
    sent = {name: value for name, value in PERSON.items() if name != missing}
    answer = client.post("/users/signup", json=SIGN_UP | {"attributes": sent})
    assert answer.status_code == 400
    assert missing in answer.json["detail"]


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    ("name", "value"), [("phone_number", "0155 50123456"), ("birthdate", "9 December 1906")]
)
def test_a_malformed_value_is_the_callers_mistake(
    client: FlaskClient, name: str, value: str
) -> None:
    """Cognito checks the form, and the sentence names the attribute without its value."""
    sent = SIGN_UP | {"attributes": PERSON | {name: value}}
    answer = client.post("/users/signup", json=sent)
    assert (answer.status_code, name in answer.json["detail"]) == (400, True)
    assert value not in answer.text


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    "name", ["custom:team", "email", "email_verified", "sub", "identities", "dev:custom:role"]
)
def test_users_set_no_other_attributes(client: FlaskClient, name: str) -> None:
    """Neither Cognito's own nor custom ones, unless a setting names them: Cognito is not called."""
    sent = SIGN_UP | {"attributes": PERSON | {name: "true"}}
    answer = client.post("/users/signup", json=sent)
    assert (answer.status_code, answer.json["detail"]) == (400, NOT_ALLOWED)


def test_the_app_client_decides_on_custom_attributes(
    open_client: FlaskClient, pool: Any, mock_cognito_client: CognitoIdp
) -> None:
    """The setting opens them, WriteAttributes may still reject: 400, since the caller chose it."""
    sent = SIGN_UP | {"attributes": PERSON | {"custom:team": "navy"}}
    answer = open_client.post("/users/signup", json=sent)
    assert (answer.status_code, answer.json["detail"]) == (400, NOT_ALLOWED)
    app_client = pool.clients[mock_cognito_client.client_id]
    app_client.extended_config["WriteAttributes"] = ["email", *PERSON, "custom:team"]
    assert open_client.post("/users/signup", json=sent).status_code == 201


@pytest.mark.parametrize(
    "attributes",
    [
        {"n" * 33: "x"},
        {"": "x"},
        {"name": "x" * 2049},
        {"name": 1},
        {"name": None},
        {"name": ["x"]},
        [],
        "name",
    ],
    ids=lambda value: str(value)[:30],
)
def test_attributes_are_an_object_of_text(client: FlaskClient, attributes: object) -> None:
    """Names of 1-32 and values of up to 2,048 characters. Neither is repeated."""
    answer = client.post("/users/signup", json=SIGN_UP | {"attributes": attributes})
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json["detail"]] == [["body", "attributes"]]


@pytest.mark.usefixtures("pool")
def test_a_first_sign_in_asks_for_what_is_required(
    client: FlaskClient, mock_cognito_client: CognitoIdp
) -> None:
    """NEW_PASSWORD_REQUIRED names the attributes, takes them, and takes no others."""
    asked = first_challenge(client, mock_cognito_client)
    required = json.loads(asked["parameters"]["requiredAttributes"])
    assert set(required) >= {f"userAttributes.{name}" for name in PERSON}
    sent = {name: asked[name] for name in ("username", "session", "challenge")}
    responses = {f"userAttributes.{name}": value for name, value in PERSON.items()}
    responses |= {"NEW_PASSWORD": "An0ther-passw0rd!"}
    more = responses | {"userAttributes.custom:team": "navy"}
    refused = client.post("/users/login/challenge", json=sent | {"responses": more})
    assert (refused.status_code, refused.json["detail"]) == (400, NOT_ALLOWED)
    lacking = {name: value for name, value in responses.items() if "birth" not in name}
    refused = client.post("/users/login/challenge", json=sent | {"responses": lacking})
    assert (refused.status_code, "birthdate" in refused.json["detail"]) == (400, True)
    done = client.post("/users/login/challenge", json=sent | {"responses": responses})
    assert done.status_code == 200


# ClientMetadata and UserContextData

METADATA, DATA = {"campaign": "spring"}, "ZGV2aWNlIGRhdGE="
IN_BODY = {"client_metadata": METADATA, "user_context_data": DATA}
IN_FORM = {"client_metadata": json.dumps(METADATA), "user_context_data": DATA}
ACCOUNT = {"username": "grace"}
SENT: dict[str, Callable[[FlaskClient], Any]] = {
    "sign_up": lambda client: client.post("/users/signup", json=SIGN_UP | IN_BODY),
    "confirm_sign_up": lambda client: client.post(
        "/users/verify", json=ACCOUNT | IN_BODY | {"confirmation_code": "123456"}
    ),
    "resend_confirmation_code": lambda client: client.post(
        "/users/resend_confirmation_code", json=ACCOUNT | IN_BODY
    ),
    "forgot_password": lambda client: client.post("/users/forgot_password", json=ACCOUNT | IN_BODY),
    "reset_password": lambda client: client.post(
        "/users/reset_password",
        json=ACCOUNT | IN_BODY | {"confirmation_code": "123456", "password": PASSWORD},
    ),
    "authenticate": lambda client: client.post(
        "/users/login", data=ACCOUNT | IN_FORM | {"password": PASSWORD}
    ),
    "answer_challenge": lambda client: client.post(
        "/users/login/challenge",
        json=ACCOUNT
        | IN_BODY
        | {"session": "s" * 20, "challenge": "SMS_MFA", "responses": {"SMS_MFA_CODE": "123456"}},
    ),
    "refresh": lambda client: client.post(
        "/users/refresh",
        data={"grant_type": "refresh_token", "refresh_token": "r"}
        | {"client_metadata": json.dumps(METADATA)},
    ),
}


class Recording:
    """A directory that keeps the contexts it gets."""

    def __init__(self) -> None:
        self.contexts: list[tuple[str, Context]] = []

    def __getattr__(self, operation: str) -> Callable[..., object]:
        def call(*_: object, context: Context, **__: object) -> object:
            self.contexts.append((operation, context))
            if operation in {"authenticate", "answer_challenge", "refresh"}:
                raise BadCredentials
            return SignUp(sub="0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10")

        return call


@pytest.mark.parametrize("operation", SENT)
@pytest.mark.parametrize("sends_address", [True, False])
def test_metadata_and_context_are_passed_on(
    app: APIFlask, client: FlaskClient, operation: str, sends_address: bool
) -> None:
    """The address is the connection's, and only where a setting says so."""
    directory = Recording()
    mine = app.extensions["resource_server"]
    settings = mine.settings.model_copy(update={"cognito_send_ip_address": sends_address})
    replace(mine, identity=directory, settings=settings).attach(app.extensions)
    SENT[operation](client)
    expected = Context(METADATA, DATA, "127.0.0.1" if sends_address else None)
    if operation == "refresh":  # GetTokensFromRefreshToken takes no UserContextData
        expected = Context(METADATA)
    assert directory.contexts == [(operation, expected)]


def test_a_change_of_the_profile_has_metadata(
    app: APIFlask, client: FlaskClient, token: str
) -> None:
    """UpdateUserAttributes has triggers, too, and no UserContextData."""
    directory = Recording()
    replace(app.extensions["resource_server"], identity=directory).attach(app.extensions)
    sent = {"full_name": "Grace", "client_metadata": METADATA}
    assert client.patch("/users/me", headers=bearer(token), json=sent).status_code == 200
    assert directory.contexts == [("rename", Context(METADATA))]


@pytest.mark.parametrize(
    "metadata",
    ["text", "[]", '{"a": 1}', '{"a": null}', '{"a": "b", "a": "c"}', "{", "NaN", "1" * 9999],
    ids=lambda value: value[:12],
)
def test_metadata_in_a_form_is_a_json_object_of_text(client: FlaskClient, metadata: str) -> None:
    """Anything else is 422, on a form's field of its own."""
    form = ACCOUNT | {"password": PASSWORD, "client_metadata": metadata}
    answer = client.post("/users/login", data=form)
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json["detail"]] == [["body", "client_metadata"]]
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("metadata", [{"SECRET-name": 1}, [], "text", None], ids=str)
def test_metadata_in_a_body_is_an_object_of_text(client: FlaskClient, metadata: object) -> None:
    """And its names are not repeated."""
    answer = client.post("/users/signup", json=SIGN_UP | {"client_metadata": metadata})
    assert answer.status_code == 422
    assert "SECRET-name" not in answer.text
