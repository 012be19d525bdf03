"""Accounts over HTTP: sign-up, sign-in, and what is told to whom."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import responses
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from resource_server import create_app
from resource_server.emulator import gaps
from resource_server.identity import errors
from resource_server.identity.provider import Challenge, SignUp, TokenSet
from resource_server.refusals import IDENTITY_PROBLEMS
from resource_server.testing import CognitoIdp, KitUser, bearer
from resource_server.testing.pool import CognitoPool
from resource_server.tokens.claims import SIGN_IN_SCOPE
from resource_server.users.models import User
from tests.conftest import CHALLENGE, METADATA, PASSWORD

SIGN_UP = {"username": "grace", "email": "Grace@Example.COM", "password": PASSWORD}
NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"


class ScriptedIdentity:
    """A directory that gives one answer, or raises one error, whatever it is asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __getattr__(self, _operation: str) -> Callable[..., object]:
        return self._give

    def _give(self, *_: object, **__: object) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _use(app: APIFlask, identity: object) -> None:
    """Let an app ask another directory."""
    mine = app.extensions["resource_server"]
    replace(mine, identity=identity).attach(app.extensions)


def _log_in(client: FlaskClient, username: str = "grace", password: str = PASSWORD) -> Any:
    return client.post("/users/login", data={"username": username, "password": password})


def test_sign_up_makes_a_row_without_the_password(client: FlaskClient, session: Session) -> None:
    """The row has sub, name and e-mail, as they were sent."""
    made = client.post("/users/signup", json=SIGN_UP)
    assert made.status_code == 201
    [row] = session.scalars(select(User)).all()
    assert (row.sub, row.username, row.email) == (made.json["sub"], "grace", "Grace@Example.COM")
    assert not row.disabled


def test_a_taken_name_is_409_and_changes_nothing(client: FlaskClient, session: Session) -> None:
    """The second sign-up under a name is refused; the first one's row stays."""
    client.post("/users/signup", json=SIGN_UP)
    again = client.post("/users/signup", json=SIGN_UP | {"email": "other@example.com"})
    assert (again.status_code, again.json) == (409, {"detail": "The username is taken"})
    assert session.scalars(select(User.email)).all() == ["Grace@Example.COM"]


def test_a_weak_password_is_400_and_not_echoed(client: FlaskClient) -> None:
    """The pool's policy decides."""
    refused = client.post("/users/signup", json=SIGN_UP | {"password": "weakling"})
    assert refused.status_code == 400
    assert refused.json == {"detail": "The password does not meet the password policy"}


def test_resend_replaces_the_code_and_tells_nobody_anything(
    client: FlaskClient, user: KitUser
) -> None:
    """Known, unknown and confirmed names get the same bytes; the old code is void."""
    client.post("/users/signup", json=SIGN_UP)
    first = gaps.outbox.last_code("grace")
    answers = [
        client.post("/users/resend_confirmation_code", json={"username": name})
        for name in ("grace", "nobody", user.username)
    ]
    assert {(answer.status_code, answer.data) for answer in answers} == {(200, answers[0].data)}
    assert answers[0].json == {"message": "Confirmation code sent successfully"}

    second = gaps.outbox.last_code("grace")
    if first != second:
        old = client.post("/users/verify", json={"username": "grace", "confirmation_code": first})
        assert old.status_code == 400
    new = client.post("/users/verify", json={"username": "grace", "confirmation_code": second})
    assert new.status_code == 200


def test_a_code_serves_once_and_unknown_users_have_none(client: FlaskClient) -> None:
    """A used code, a wrong one and an unknown name get the same bytes."""
    client.post("/users/signup", json=SIGN_UP)
    code = gaps.outbox.last_code("grace")
    wrong = client.post("/users/verify", json={"username": "grace", "confirmation_code": "x"})
    sent = {"username": "grace", "confirmation_code": code}
    assert client.post("/users/verify", json=sent).status_code == 200
    again = client.post("/users/verify", json=sent)
    unknown = client.post("/users/verify", json={"username": "nobody", "confirmation_code": "1"})
    assert wrong.status_code == again.status_code == unknown.status_code == 400
    assert wrong.data == again.data == unknown.data


def test_login_does_not_tell_who_exists(
    client: FlaskClient, user: KitUser, mock_cognito_client: CognitoIdp
) -> None:
    """Unknown user, wrong password and disabled user: the same 401, byte for byte."""
    unknown = _log_in(client, "nobody")
    wrong = _log_in(client, user.username, "Wr0ng-passw0rd!")
    mock_cognito_client.client.admin_disable_user(
        UserPoolId=mock_cognito_client.pool_id, Username=user.username
    )
    disabled = _log_in(client, user.username)
    assert unknown.status_code == wrong.status_code == disabled.status_code == 401
    assert unknown.data == wrong.data == disabled.data
    assert unknown.json == {
        "detail": "Incorrect username or password",
        "error": "invalid_grant",
        "error_description": "Incorrect username or password",
    }
    assert unknown.headers["WWW-Authenticate"] == f"{CHALLENGE}, {METADATA}"


def test_login_answers_as_oauth_says(client: FlaskClient, user: KitUser) -> None:
    """RFC 6749 section 5.1, with or without grant_type; never cached."""
    form = {"username": user.username, "password": user.password}
    for extra in ({}, {"grant_type": "password"}, {"scope": "me", "client_id": ""}):
        answer = client.post("/users/login", data=form | extra)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.get_json().keys() == {
            "access_token", "token_type", "expires_in", "refresh_token", "id_token", "scope",
        }  # fmt: skip


def test_a_challenge_is_403_with_what_is_needed_next(
    client: FlaskClient, mock_cognito_client: CognitoIdp
) -> None:
    """A temporary password is answered with the challenge, not with a KeyError."""
    mock_cognito_client.client.admin_create_user(
        UserPoolId=mock_cognito_client.pool_id, Username="new", TemporaryPassword=PASSWORD
    )
    answer = _log_in(client, "new")
    assert answer.status_code == 403
    assert answer.json["error"] == "challenge_required"
    assert answer.json["challenge"] == "NEW_PASSWORD_REQUIRED"
    assert answer.json["session"]
    assert answer.json["detail"]
    assert answer.json["parameters"]["USER_ID_FOR_SRP"] == "new"


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (errors.BadCredentials(), 401, {"WWW-Authenticate": f"{CHALLENGE}, {METADATA}"}),
        (errors.NotConfirmed(), 403, {}),
        (errors.PasswordResetRequired(), 403, {}),
        (errors.UsernameTaken(), 409, {}),
        (errors.PasswordRejected(), 400, {}),
        (errors.SignUpClosed(), 403, {}),
        (errors.TriggerRejected(), 400, {}),
        (errors.SignInRejected(), 403, {}),
        (errors.InvalidRequest(), 400, {}),
        (errors.BadCode(), 400, {}),
        (errors.ExpiredCode(), 400, {}),
        (errors.SessionEnded(), 401, {}),
        (
            errors.InsufficientScope(),
            403,
            {
                "WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", error_description='
                f'"The access token lacks the scope {SIGN_IN_SCOPE}", scope="{SIGN_IN_SCOPE}", '
                f"{METADATA}"
            },
        ),
        (errors.RequestBlocked(), 403, {}),
        (errors.ConcurrentChange(), 409, {}),
        (errors.NoSuchUser(), 404, {}),
        (errors.DirectoryForbidden("cognito-idp:ListUsers"), 503, {}),
        (errors.TooManyRequests(300), 429, {"Retry-After": "300"}),
        (errors.IdentityUnavailable(), 503, {"Retry-After": "10"}),
        (errors.DirectoryMisconfigured("check the settings"), 503, {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_refusal_of_the_directory_has_its_answer(
    app: APIFlask,
    error: errors.IdentityError,
    status: int,
    headers: Mapping[str, str],
) -> None:
    """The table of problems.py, over HTTP; each answer has a sentence and its headers."""
    _use(app, ScriptedIdentity(error))
    client = FlaskClient(app, app.response_class)  # unchecked: most are no errors of this view's
    answer = client.post("/users/verify", json={"username": "a", "confirmation_code": "1"})
    assert answer.status_code == status
    assert set(answer.get_json()) == {"detail"}
    assert {name: answer.headers.get(name) for name in ("Retry-After", "WWW-Authenticate")} == {
        "Retry-After": None,
        "WWW-Authenticate": answer.headers["WWW-Authenticate"] if status == 401 else None,
        **headers,
    }


@pytest.mark.parametrize(
    "error", [errors.InvalidRequest("username is wrong"), errors.TriggerRejected("No robots")]
)
def test_a_sentence_of_the_directory_is_told(
    app: APIFlask, client: FlaskClient, error: errors.IdentityError
) -> None:
    """What names the mistake goes before the general sentence."""
    _use(app, ScriptedIdentity(error))
    answer = client.post("/users/verify", json={"username": "a", "confirmation_code": "1"})
    assert (answer.status_code, answer.json) == (400, {"detail": str(error)})


def test_every_identity_error_has_an_answer() -> None:
    """A new error of the directory cannot be forgotten."""
    assert set(_below(errors.IdentityError)) == set(IDENTITY_PROBLEMS)


def _below(error: type[errors.IdentityError]) -> Iterator[type[errors.IdentityError]]:
    for each in error.__subclasses__():
        yield each
        yield from _below(each)


def test_sign_up_without_delivery_is_202(app: APIFlask, client: FlaskClient) -> None:
    """The account was made, so it is no error; the user is told what to do (T22)."""
    _use(app, ScriptedIdentity(SignUp(sub=None, code_delivered=False)))
    answer = client.post("/users/signup", json=SIGN_UP)
    assert answer.status_code == 202
    assert "ask for a new one" in answer.json["message"]


def test_sign_up_stands_when_the_database_is_away(
    mock_cognito_client: CognitoIdp, jwks: responses.RequestsMock
) -> None:
    """Cognito has the account, so the answer is 201; the row is made when the user comes."""
    away = create_app({**mock_cognito_client.settings, "DATABASE_URL": NOWHERE}).test_client()
    made = away.post("/users/signup", json=SIGN_UP)
    assert made.status_code == 201

    code = {"username": "grace", "confirmation_code": gaps.outbox.last_code("grace")}
    assert away.post("/users/verify", json=code).status_code == 200
    token = _log_in(away).json["access_token"]
    unavailable = away.get("/users/me", headers=bearer(token))
    assert unavailable.status_code == 503
    assert int(unavailable.headers["Retry-After"]) >= 1


def test_me_makes_the_row_that_is_missing(client: FlaskClient, token: str, user: KitUser) -> None:
    """A user who signed up elsewhere is known by `sub` and name from the token."""
    me = client.get("/users/me", headers=bearer(token))
    assert me.status_code == 200
    assert me.get_json().keys() == {"id", "sub", "username", "email", "full_name", "disabled"}
    assert (me.json["sub"], me.json["username"]) == (user.sub, user.username)
    assert client.get("/users/me", headers=bearer(token)).json == me.json


# What Cognito's operations take is what the service takes (API reference, SignUp and others)

TAKEN_AS_SENT = [
    ("ada", "ada@raspberrypi.local"),
    ("ada", "ada@mail.test"),
    ("ada", "ada@router.home.arpa"),
    ("ada", "ada@localhost"),
    ("ada", "ada@xn--mnchen-3ya.example"),
    ("ada", "ada@münchen.example"),
    ("ada", "Ada.Lovelace+News@EXAMPLE.com"),
    ("ada", "o'neill@example.com"),
    ("ada", "用户@例え.jp"),
    ("a" * 128, "ada@example.com"),
    ("ﬁ\N{ANGSTROM SIGN}", "ada@example.com"),  # NFKC would make other names of these
    (f"{'a' * 60}@example.com", f"{'a' * 60}@example.com"),
]


@pytest.mark.parametrize(("username", "email"), TAKEN_AS_SENT)
def test_sign_up_passes_on_what_was_sent(
    app: APIFlask, client: FlaskClient, username: str, email: str
) -> None:
    """Names of up to 128 characters and any mailbox, with no normalisation of either."""
    calls: list[tuple[str, str]] = []

    class Recording(ScriptedIdentity):
        def sign_up(self, username: str, *, email: str, **_: object) -> SignUp:
            calls.append((username, email))
            return SignUp(sub="0f3c1a52-7c1e-4b7c-9d52-0e6a4d1f7f10")

    _use(app, Recording(None))
    sent = {"username": username, "email": email, "password": "with a blank inside 1A!"}
    assert client.post("/users/signup", json=sent).status_code == 201
    assert calls == [(username, email)]


@pytest.mark.parametrize(
    ("challenge", "responses"),
    [
        ("SELECT_CHALLENGE", {"ANSWER": "EMAIL_OTP"}),
        ("SELECT_CHALLENGE", {"ANSWER": "PASSWORD", "PASSWORD": PASSWORD}),
        ("SELECT_CHALLENGE", {"ANSWER": "PASSWORD_SRP", "SRP_A": "ab12"}),
        ("SELECT_CHALLENGE", {"ANSWER": "WEB_AUTHN", "CREDENTIAL": "{}" + " " * 4000}),
        ("PASSWORD", {"PASSWORD": PASSWORD}),
        ("PASSWORD_SRP", {"SRP_A": "ab12"}),
        (
            "PASSWORD_VERIFIER",
            {
                "PASSWORD_CLAIM_SIGNATURE": "s",
                "PASSWORD_CLAIM_SECRET_BLOCK": "b",
                "TIMESTAMP": "Tue Dec 1 03:33:24 UTC 2026",
            },
        ),
        ("WEB_AUTHN", {"CREDENTIAL": "{}"}),
        ("SMS_MFA", {"SMS_MFA_CODE": "123456"}),
        ("SMS_OTP", {"SMS_OTP_CODE": "12345678"}),
        ("EMAIL_OTP", {"EMAIL_OTP_CODE": "12345678"}),
        ("SOFTWARE_TOKEN_MFA", {"SOFTWARE_TOKEN_MFA_CODE": "123456"}),
        ("SOFTWARE_TOKEN_MFA", {"SOFTWARE_TOKEN_MFA_CODE": "123456", "DEVICE_KEY": "r_1a"}),
        ("SELECT_MFA_TYPE", {"ANSWER": "SMS_MFA"}),
        ("MFA_SETUP", {}),
        ("CUSTOM_CHALLENGE", {"ANSWER": "42"}),
        ("NEW_PASSWORD_REQUIRED", {"NEW_PASSWORD": PASSWORD, "userAttributes.nickname": ""}),
        ("DEVICE_SRP_AUTH", {"DEVICE_KEY": "r_1a", "SRP_A": "ab12"}),
    ],
)
def test_each_challenge_takes_the_responses_of_the_api_reference(
    app: APIFlask, client: FlaskClient, challenge: str, responses: dict[str, str]
) -> None:
    """API reference, RespondToAuthChallenge: all that it lists reaches Cognito, unchanged."""
    calls: list[tuple[str, object]] = []

    class Recording(ScriptedIdentity):
        def answer_challenge(
            self, _username: str, name: str, _session: str | None, sent: object, **_: object
        ) -> object:
            calls.append((name, sent))
            raise errors.SignInExpired

    _use(app, Recording(None))
    sent = {"username": "ada", "session": "s" * 4096, "challenge": challenge}
    answer = client.post("/users/login/challenge", json=sent | {"responses": responses})
    assert answer.status_code == 401
    assert calls == [(challenge, responses)]


def test_a_sign_in_says_when_its_token_ends(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Cognito may leave ExpiresIn out. Then the token's own `exp` says it."""
    token = cognito_pool.access_token(expires_in=900)
    _use(app, ScriptedIdentity(TokenSet(token, None, "Bearer")))
    answer = _log_in(client, "grace")
    assert answer.status_code == 200
    assert 890 <= answer.json["expires_in"] <= 900


def test_a_sign_in_without_an_end_is_503(app: APIFlask, client: FlaskClient) -> None:
    """Neither the response nor the token says it, so that it is no token of Cognito's."""
    _use(app, ScriptedIdentity(TokenSet("no.token.at-all", None, "Bearer")))
    assert _log_in(client, "grace").status_code == 503


def test_a_sign_in_ends_without_cognitos_scope(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """RevokeToken needs only the refresh token, so that every client can sign out."""
    token = cognito_pool.access_token(scope="me randoms")
    _use(app, ScriptedIdentity(TokenSet(token, 900, "Bearer")))
    headers = bearer(token)
    one = {"everywhere": False, "refresh_token": "r" * 40}
    assert client.post("/users/logout", json=one, headers=headers).status_code == 200
    assert client.get("/users/me", headers=headers).status_code == 401


@pytest.mark.parametrize("name", ["USER_ID_FOR_SRP", "USERNAME"])
def test_a_challenge_says_which_name_answers_it(
    app: APIFlask, client: FlaskClient, name: str
) -> None:
    """The one that came with the challenge, which an alias is not."""
    _use(app, ScriptedIdentity(Challenge("CUSTOM_CHALLENGE", "s" * 20, {name: "0f3c"})))
    answer = _log_in(client, "grace@example.com")
    assert (answer.status_code, answer.json["username"]) == (403, "0f3c")
