"""An account after its first sign-in: refreshing, challenges, passwords, profile, leaving."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from resource_server.emulator import gaps
from resource_server.identity import errors
from resource_server.randoms.models import RandomNumber
from resource_server.revocations.snapshot import DenyListSnapshot
from resource_server.testing import CognitoIdp, KitUser, bearer
from resource_server.testing.identity import FakeIdentity
from resource_server.testing.pool import CognitoPool
from resource_server.users.models import User
from tests.conftest import PASSWORD, both_databases, other_than
from tests.test_users import ScriptedIdentity, _use

NEW_PASSWORD = "An0ther-passw0rd!"
INVALID_GRANT = {
    "detail": "The refresh token is invalid or has expired",
    "error": "invalid_grant",
    "error_description": "The refresh token is invalid or has expired",
}


@pytest.fixture
def tokens(client: FlaskClient, user: KitUser) -> dict[str, Any]:
    """What the user's sign-in brought."""
    return _signed_in(client, user.username)


def _signed_in(client: FlaskClient, username: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = client.post("/users/login", data={"username": username, "password": password})
    assert answer.status_code == 200, answer.json
    assert isinstance(answer.json, dict)
    return answer.json


def _refresh(client: FlaskClient, refresh_token: str) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return client.post("/users/refresh", data=form)


def _twice_at_once(app: APIFlask, ask: Callable[[FlaskClient], Any]) -> list[int]:
    """Ask from two threads that start together; return both statuses, in order."""
    ready, statuses = threading.Barrier(2), []

    def run() -> None:
        client = app.test_client()
        ready.wait()
        statuses.append(ask(client).status_code)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


def _rotate(cognito: CognitoIdp, grace: int = 0) -> None:
    cognito.client.update_user_pool_client(
        UserPoolId=cognito.pool_id,
        ClientId=cognito.client_id,
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"],
        EnableTokenRevocation=True,
        RefreshTokenRotation={"Feature": "ENABLED", "RetryGracePeriodSeconds": grace},
    )


# Refreshing


def test_a_refresh_is_a_token_answer(client: FlaskClient, tokens: dict[str, Any]) -> None:
    """New access and ID tokens with the scopes; the refresh token that was sent comes back."""
    answer = _refresh(client, tokens["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["refresh_token"] == tokens["refresh_token"]
    assert answer.json["access_token"] != tokens["access_token"]
    assert answer.json["scope"] == "aws.cognito.signin.user.admin me randoms"
    assert client.get("/randoms", headers=bearer(answer.json["access_token"])).status_code == 200


def test_a_rotated_refresh_token_serves_once(
    client: FlaskClient, user: KitUser, mock_cognito_client: CognitoIdp
) -> None:
    """With rotation a new one comes, and the old one is refused from then on (T18)."""
    _rotate(mock_cognito_client)
    old = _signed_in(client, user.username)["refresh_token"]
    new = _refresh(client, old).json["refresh_token"]
    assert new != old
    again = _refresh(client, old)
    assert (again.status_code, again.json) == (401, INVALID_GRANT)


@pytest.mark.parametrize("grace", [0, 60])
def test_two_refreshes_at_once(
    app: APIFlask, user: KitUser, mock_cognito_client: CognitoIdp, grace: int
) -> None:
    """With rotation one wins, or both within the grace period; nobody is told of a fault."""
    _rotate(mock_cognito_client, grace)
    old = _signed_in(app.test_client(), user.username)["refresh_token"]
    statuses = _twice_at_once(app, lambda client: _refresh(client, old))
    assert statuses == ([200, 200] if grace else [200, 401])


@pytest.mark.parametrize(
    "form",
    [
        {"refresh_token": "x"},
        {"grant_type": "password", "refresh_token": "x"},
        {"grant_type": "refresh_token"},
        {"grant_type": "refresh_token", "refresh_token": ""},
        {"grant_type": "refresh_token", "refresh_token": "a b"},
    ],
)
def test_a_malformed_refresh_is_422(client: FlaskClient, form: dict[str, str]) -> None:
    """In the words of RFC 6749 section 5.2, and without repeating the token."""
    answer = client.post("/users/refresh", data=form)
    assert (answer.status_code, answer.json["error"]) == (422, "invalid_request")
    assert "a b" not in answer.text


def test_an_unknown_refresh_token_is_invalid_grant(client: FlaskClient) -> None:
    """As RFC 6749 section 5.2 has it."""
    answer = _refresh(client, "made-up")
    assert (answer.status_code, answer.json) == (401, INVALID_GRANT)


def test_a_client_with_two_secrets(
    client: FlaskClient, user: KitUser, mock_cognito_client: CognitoIdp
) -> None:
    """While a secret is changed both are good, so the service's own goes on working (T30)."""
    mock_cognito_client.client.add_user_pool_client_secret(
        UserPoolId=mock_cognito_client.pool_id, ClientId=mock_cognito_client.client_id
    )
    tokens = _signed_in(client, user.username)
    assert _refresh(client, tokens["refresh_token"]).status_code == 200


# Challenges


@pytest.fixture
def challenged(client: FlaskClient, mock_cognito_client: CognitoIdp) -> dict[str, Any]:
    """The challenge of a user whom an administrator made."""
    mock_cognito_client.client.admin_create_user(
        UserPoolId=mock_cognito_client.pool_id,
        Username="new",
        TemporaryPassword=PASSWORD,
        MessageAction="SUPPRESS",
    )
    answer = client.post("/users/login", data={"username": "new", "password": PASSWORD})
    assert answer.status_code == 403
    assert isinstance(answer.json, dict)
    return answer.json


def _answer_to(challenged: dict[str, Any], **responses: str) -> dict[str, Any]:
    kept = {name: challenged[name] for name in ("username", "session", "challenge")}
    return {**kept, "responses": responses}


def test_a_new_password_ends_in_tokens_once(
    client: FlaskClient, challenged: dict[str, Any]
) -> None:
    """The challenge tells what is needed to answer it; its session serves once (T20)."""
    assert challenged["error"] == "challenge_required"
    assert challenged["challenge"] == "NEW_PASSWORD_REQUIRED"
    assert challenged["username"] == "new"
    sent = _answer_to(challenged, NEW_PASSWORD=NEW_PASSWORD)
    done = client.post("/users/login/challenge", json=sent)
    assert done.status_code == 200
    assert done.json["scope"] == "aws.cognito.signin.user.admin me randoms"
    again = client.post("/users/login/challenge", json=sent)
    assert (again.status_code, again.json["error"]) == (401, "invalid_grant")
    _signed_in(client, "new", NEW_PASSWORD)


def test_a_challenge_answered_twice_at_once(app: APIFlask, challenged: dict[str, Any]) -> None:
    """One answer wins."""
    sent = _answer_to(challenged, NEW_PASSWORD=NEW_PASSWORD)
    statuses = _twice_at_once(app, lambda client: client.post("/users/login/challenge", json=sent))
    assert statuses == [200, 401]


def test_a_weak_new_password_is_400(client: FlaskClient, challenged: dict[str, Any]) -> None:
    """The policy decides, and the answer does not repeat it."""
    answer = client.post("/users/login/challenge", json=_answer_to(challenged, NEW_PASSWORD="weak"))
    assert answer.status_code == 400
    assert answer.json["detail"] == "The password does not meet the password policy"


@pytest.mark.parametrize(
    "change",
    [
        {"challenge": "ADMIN_NO_SRP_AUTH"},
        {"challenge": "DEVICE_SRP_AUTH"},
        {"responses": {}},
        {"responses": {"NEW_PASSWORD": PASSWORD, "USERNAME": "ada"}},
        {"responses": {"NEW_PASSWORD": PASSWORD, "SECRET_HASH": "x"}},
        {"responses": {"SMS_MFA_CODE": "123456"}},
        {"responses": {"NEW_PASSWORD": ""}},
        {"responses": {"NEW_PASSWORD": NEW_PASSWORD, PASSWORD: 1}},
        {"session": "short"},
        {"session": "x" * 4097},
    ],
    ids=str,
)
def test_an_answer_that_fits_no_challenge_is_422(
    client: FlaskClient, challenged: dict[str, Any], change: dict[str, Any]
) -> None:
    """It says what fits, costs no session, and repeats nothing that was sent."""
    sent = _answer_to(challenged, NEW_PASSWORD=NEW_PASSWORD)
    answer = client.post("/users/login/challenge", json=sent | change)
    assert answer.status_code == 422
    assert PASSWORD not in answer.text
    assert client.post("/users/login/challenge", json=sent).status_code == 200


def test_a_second_factor(client: FlaskClient, tokens: dict[str, Any], user: KitUser) -> None:
    """Set up, proven, asked for at the next sign-in, and switched off."""
    headers = bearer(tokens["access_token"])
    begun = client.post("/users/me/totp", headers=headers).json
    assert begun["otpauth_uri"].startswith("otpauth://totp/resource_server%3A")
    assert f"secret={begun['secret']}" in begun["otpauth_uri"]
    assert client.put("/users/me/totp", headers=headers, json={"enabled": True}).status_code == 400
    code = gaps.totp_code(begun["secret"], gaps.clock.now())
    for typed, status in ((other_than(code), 400), (code, 200)):
        proof = {"confirmation_code": typed, "device_name": "phone"}
        proven = client.post("/users/me/totp/verify", headers=headers, json=proof)
        assert proven.status_code == status

    asked = client.post("/users/login", data={"username": user.username, "password": PASSWORD})
    assert (asked.status_code, asked.json["challenge"]) == (403, "SOFTWARE_TOKEN_MFA")
    assert isinstance(asked.json, dict)
    gaps.clock.advance(30)  # a code serves once
    code = gaps.totp_code(begun["secret"], gaps.clock.now())
    sent = _answer_to(asked.json, SOFTWARE_TOKEN_MFA_CODE=code)
    assert client.post("/users/login/challenge", json=sent).status_code == 200

    off = client.put("/users/me/totp", headers=headers, json={"enabled": False})
    assert off.json == {"message": "Authenticator app disabled"}
    _signed_in(client, user.username)


# Passwords


def test_a_forgotten_password(client: FlaskClient, user: KitUser) -> None:
    """Known and unknown names get the same bytes; with the code a new one is set."""
    answers = [
        client.post("/users/forgot_password", json={"username": name})
        for name in (user.username, "nobody")
    ]
    assert {(answer.status_code, answer.data) for answer in answers} == {(200, answers[0].data)}
    code = gaps.outbox.last_code(user.username)
    sent = {"username": user.username, "confirmation_code": code, "password": NEW_PASSWORD}
    weak = client.post("/users/reset_password", json=sent | {"password": "weak"})
    assert weak.json == {"detail": "The password does not meet the password policy"}
    assert client.post("/users/reset_password", json=sent).status_code == 200
    _signed_in(client, user.username, NEW_PASSWORD)
    refused = [
        client.post("/users/reset_password", json=sent | change)
        for change in ({"confirmation_code": "x"}, {"username": "nobody"})
    ]
    assert {answer.status_code for answer in refused} == {400}


def test_changing_the_password(client: FlaskClient, tokens: dict[str, Any], user: KitUser) -> None:
    """Who does not know the previous one is told so, and the session goes on."""
    headers = bearer(tokens["access_token"])
    wrong = {"previous_password": "Wr0ng-one!", "password": NEW_PASSWORD}
    refused = client.post("/users/change_password", headers=headers, json=wrong)
    assert (refused.status_code, refused.json["detail"]) == (400, "The previous password is wrong")
    right = wrong | {"previous_password": PASSWORD}
    assert client.post("/users/change_password", headers=headers, json=right).status_code == 200
    _signed_in(client, user.username, NEW_PASSWORD)
    assert client.get("/users/me", headers=headers).status_code == 200


# Profile


@both_databases
def test_a_row_without_an_address_is_filled(
    client: FlaskClient, tokens: dict[str, Any], session: Session, user: KitUser
) -> None:
    """The row made from a token learns e-mail and name from Cognito, once."""
    headers = bearer(tokens["access_token"])
    assert client.get("/randoms", headers=headers).status_code == 200
    assert session.scalars(select(User.email)).one() is None
    assert client.get("/users/me", headers=headers).json["email"] == user.email
    session.expire_all()
    assert session.scalars(select(User.email)).one() == user.email


@pytest.mark.parametrize("error", [errors.IdentityUnavailable(), errors.TooManyRequests(5)])
def test_me_does_without_cognito(
    app: APIFlask, client: FlaskClient, tokens: dict[str, Any], error: Exception
) -> None:
    """Who is signed in is known without it."""
    _use(app, ScriptedIdentity(error))
    answer = client.get("/users/me", headers=bearer(tokens["access_token"]))
    assert (answer.status_code, answer.json["email"]) == (200, None)


def test_a_token_that_cannot_ask_cognito_does_not(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Without Cognito's own scope the question would be refused, each time anew."""
    _use(app, ScriptedIdentity(AssertionError("nobody may ask")))
    token = cognito_pool.access_token(scope="me")
    assert client.get("/users/me", headers=bearer(token)).status_code == 200


@both_databases
def test_a_new_name_is_in_both_places(
    client: FlaskClient, tokens: dict[str, Any], mock_cognito_client: CognitoIdp
) -> None:
    """Cognito first, the row after it: a sync changes nothing then."""
    headers = bearer(tokens["access_token"])
    renamed = client.patch("/users/me", headers=headers, json={"full_name": "  Grace Hopper "})
    assert (renamed.status_code, renamed.json["full_name"]) == (200, "Grace Hopper")
    assert client.get("/users/me", headers=headers).json["full_name"] == "Grace Hopper"
    attributes = mock_cognito_client.client.get_user(AccessToken=tokens["access_token"])
    assert {"Name": "name", "Value": "Grace Hopper"} in attributes["UserAttributes"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 257, "a\nb", "a\0b", 7, None])
def test_what_is_no_name_is_422(client: FlaskClient, tokens: dict[str, Any], name: object) -> None:
    """Blank, too long, unprintable or no text."""
    headers = bearer(tokens["access_token"])
    answer = client.patch("/users/me", headers=headers, json={"full_name": name})
    assert (answer.status_code, answer.json["detail"][0]["loc"]) == (422, ["body", "full_name"])


def test_a_name_that_cognito_did_not_take_stays_out(
    app: APIFlask, client: FlaskClient, tokens: dict[str, Any]
) -> None:
    """With Cognito away nothing changes here either."""
    headers = bearer(tokens["access_token"])
    before = client.get("/users/me", headers=headers).json
    _use(app, ScriptedIdentity(errors.IdentityUnavailable()))
    answer = client.patch("/users/me", headers=headers, json={"full_name": "Grace"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert client.get("/users/me", headers=headers).json == before


# Leaving


def test_signing_out_of_one_sign_in(client: FlaskClient, user: KitUser) -> None:
    """That one's tokens end, refreshed ones included; another device goes on."""
    phone, laptop = _signed_in(client, user.username), _signed_in(client, user.username)
    newer = _refresh(client, phone["refresh_token"]).json["access_token"]
    one = {"everywhere": False, "refresh_token": phone["refresh_token"]}
    done = client.post("/users/logout", headers=bearer(phone["access_token"]), json=one)
    assert done.json == {"message": "Logged out successfully"}
    for token in (phone["access_token"], newer):
        assert client.get("/users/me", headers=bearer(token)).status_code == 401
    assert _refresh(client, phone["refresh_token"]).status_code == 401
    assert client.get("/users/me", headers=bearer(laptop["access_token"])).status_code == 200
    assert _refresh(client, laptop["refresh_token"]).status_code == 200


def test_signing_out_everywhere(client: FlaskClient, user: KitUser) -> None:
    """The default, with a refresh token or without one."""
    phone, laptop = _signed_in(client, user.username), _signed_in(client, user.username)
    sent = {"refresh_token": phone["refresh_token"]}
    client.post("/users/logout", headers=bearer(phone["access_token"]), json=sent)
    assert client.get("/users/me", headers=bearer(phone["access_token"])).status_code == 401
    assert _refresh(client, laptop["refresh_token"]).status_code == 401


@pytest.mark.parametrize("whose", ["test_user", "somebody"])
@pytest.mark.parametrize("rotation", [False, True])
def test_another_sign_ins_refresh_token_ends_nothing(
    client: FlaskClient,
    mock_cognito_client: CognitoIdp,
    user: KitUser,
    whose: str,
    *,
    rotation: bool,
) -> None:
    """It is an error, and both sign-ins go on. Where refresh tokens rotate, with the new one."""
    if rotation:
        _rotate(mock_cognito_client)
    if whose != user.username:
        mock_cognito_client.add_user(whose, PASSWORD)
    mine, other = _signed_in(client, user.username), _signed_in(client, whose)
    headers = bearer(mine["access_token"])
    sent = {"everywhere": False, "refresh_token": other["refresh_token"]}
    refused = client.post("/users/logout", headers=headers, json=sent)
    assert refused.status_code == 400
    body: Any = refused.json
    assert body["detail"] == "The refresh token is of another sign-in: nothing was ended"
    assert ("refresh_token" in body) == rotation
    assert client.get("/users/me", headers=headers).status_code == 200
    assert client.get("/users/me", headers=bearer(other["access_token"])).status_code == 200
    assert _refresh(client, mine["refresh_token"]).status_code == 200
    left = body.get("refresh_token", other["refresh_token"])
    assert _refresh(client, left).status_code == 200


@both_databases
@pytest.mark.parametrize("rotation", [False, True])
def test_a_sign_in_that_ended_at_cognito_alone_is_ended_by_the_next_try(
    client: FlaskClient,
    mock_cognito_client: CognitoIdp,
    user: KitUser,
    monkeypatch: pytest.MonkeyPatch,
    *,
    rotation: bool,
) -> None:
    """The database failed after RevokeToken. The caller hears 503, and the next try finishes."""
    headers, one = _one_sign_in(client, mock_cognito_client, user, rotation=rotation)
    with monkeypatch.context() as patch:
        patch.setattr(DenyListSnapshot, "_write", _fail)
        assert client.post("/users/logout", headers=headers, json=one).status_code == 503
    again = client.post("/users/logout", headers=headers, json=one)
    assert (again.status_code, again.json) == (401, {"detail": "The session has ended"})
    refused = client.get("/randoms", headers=headers)
    assert (refused.status_code, refused.json) == (401, {"detail": "The access token was revoked"})


@pytest.mark.parametrize("rotation", [False, True])
def test_a_sign_in_that_cognito_could_not_end_can_still_be_ended(
    app: APIFlask,
    client: FlaskClient,
    mock_cognito_client: CognitoIdp,
    user: KitUser,
    monkeypatch: pytest.MonkeyPatch,
    *,
    rotation: bool,
) -> None:
    """By the next try. A rotated refresh token is lost, so the sign-in ends here at once."""
    headers, one = _one_sign_in(client, mock_cognito_client, user, rotation=rotation)

    def away(*_: object) -> None:
        raise errors.IdentityUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(app.extensions["resource_server"].identity, "revoke", away)
        assert client.post("/users/logout", headers=headers, json=one).status_code == 503
    again = client.post("/users/logout", headers=headers, json=one)
    assert again.status_code == (401 if rotation else 200)
    assert client.get("/users/me", headers=headers).status_code == 401


def _one_sign_in(
    client: FlaskClient, cognito: CognitoIdp, user: KitUser, *, rotation: bool
) -> tuple[dict[str, str], dict[str, Any]]:
    """Sign in. Return the header of the token, and the body that ends this sign-in."""
    if rotation:
        _rotate(cognito)
    tokens = _signed_in(client, user.username)
    one = {"everywhere": False, "refresh_token": tokens["refresh_token"]}
    return bearer(tokens["access_token"]), one


def _fail(*_: object) -> None:
    raise OperationalError("INSERT", {}, Exception("away"))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"everywhere": False}, 422),
        ({"everywhere": "perhaps"}, 422),
        ({"everywhere": False, "refresh_token": "made-up"}, 401),
    ],
)
def test_a_sign_in_that_cannot_be_named_goes_on(
    client: FlaskClient, tokens: dict[str, Any], sent: dict[str, Any], status: int
) -> None:
    """Nothing is half signed out."""
    headers = bearer(tokens["access_token"])
    assert client.post("/users/logout", headers=headers, json=sent).status_code == status
    assert client.get("/users/me", headers=headers).status_code == 200


@both_databases
def test_deleting_oneself(
    client: FlaskClient, tokens: dict[str, Any], session: Session, user: KitUser
) -> None:
    """The Cognito user, the row and its items are gone, and the token makes no new row."""
    headers = bearer(tokens["access_token"])
    client.post("/randoms", headers=headers, json={"min_value": 1, "max_value": 2})
    gone = client.delete("/users/me", headers=headers)
    assert (gone.status_code, gone.data) == (204, b"")
    for table in (User, RandomNumber):
        assert session.scalar(select(func.count()).select_from(table)) == 0
    assert client.get("/users/me", headers=headers).status_code == 401
    refused = client.post("/users/login", data={"username": user.username, "password": PASSWORD})
    assert refused.status_code == 401
    assert session.scalar(select(func.count()).select_from(User)) == 0


def test_a_deletion_that_cognito_refuses_deletes_nothing(
    app: APIFlask, client: FlaskClient, tokens: dict[str, Any], session: Session
) -> None:
    """Away or throttled: the account is whole, and the token still good."""
    headers = bearer(tokens["access_token"])
    client.get("/users/me", headers=headers)
    asked = app.extensions["resource_server"].identity
    for error, status in ((errors.IdentityUnavailable(), 503), (errors.TooManyRequests(5), 429)):
        _use(app, ScriptedIdentity(error))
        assert client.delete("/users/me", headers=headers).status_code == status
    _use(app, asked)
    assert client.get("/users/me", headers=headers).status_code == 200
    assert session.scalar(select(func.count()).select_from(User)) == 1


def test_a_deletion_that_the_database_interrupts_is_finished_by_the_next_try(
    app: APIFlask, client: FlaskClient, tokens: dict[str, Any], session: Session
) -> None:
    """Cognito has no such user any more; what is left here goes when it can."""
    headers = bearer(tokens["access_token"])
    client.get("/users/me", headers=headers)
    deny_list = app.extensions["resource_server"].revocations
    with _broken(deny_list):
        interrupted = client.delete("/users/me", headers=headers)
    assert interrupted.status_code == 503
    assert session.scalar(select(func.count()).select_from(User)) == 1
    gone = ScriptedIdentity(errors.AccountGone())
    _use(app, gone)
    assert client.delete("/users/me", headers=headers).status_code == 204
    assert session.scalar(select(func.count()).select_from(User)) == 0


@contextmanager
def _broken(deny_list: DenyListSnapshot) -> Iterator[None]:
    """Let the deny list's writes fail, as when the database goes away in between."""

    def connect() -> AbstractContextManager[Connection]:
        raise OperationalError("INSERT", {}, ConnectionError())

    connected = deny_list._connect
    deny_list._connect = connect
    yield
    deny_list._connect = connected


# Without any Cognito


def test_the_fake_runs_the_whole_app(
    app: APIFlask, client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """What a project tests with it is the real thing: signatures, scopes, sign-out."""
    fake = FakeIdentity(cognito_pool)
    _use(app, fake)
    account = {"username": "grace", "email": "grace@example.com", "password": PASSWORD}
    assert client.post("/users/signup", json=account).status_code == 201
    sent = {"username": "grace", "confirmation_code": fake.code_of("grace")}
    assert client.post("/users/verify", json=sent).status_code == 200
    tokens = _signed_in(client, "grace")
    headers = bearer(_refresh(client, tokens["refresh_token"]).json["access_token"])
    assert client.get("/randoms", headers=headers).status_code == 200
    client.post("/users/logout", headers=headers)
    assert client.get("/randoms", headers=headers).status_code == 401


CHANGES: list[Callable[[FlaskClient, dict[str, str]], Any]] = [
    lambda client, headers: client.post("/users/me/totp", headers=headers),
    lambda client, headers: client.patch("/users/me", headers=headers, json={"full_name": "G"}),
    lambda client, headers: client.delete("/users/me", headers=headers),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_session_that_ended_at_cognito_is_401(
    app: APIFlask, client: FlaskClient, tokens: dict[str, Any], change: Callable[..., Any]
) -> None:
    """Signed out by other means: the token verifies, but Cognito does nothing for it."""
    _use(app, ScriptedIdentity(errors.SessionEnded()))
    refused = change(client, bearer(tokens["access_token"]))
    assert (refused.status_code, refused.json) == (401, {"detail": "The session has ended"})
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
