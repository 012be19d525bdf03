"""Challenges: new passwords and second factors, each answered in its session."""

import json
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from resource_server.emulator import gaps
from tests.conftest import PASSWORD, other_than
from tests.emulator.conftest import EMAIL, NEW_PASSWORD, Cognito, claims, refusal, totp

TOTP, SMS, MAIL = "SOFTWARE_TOKEN_MFA", "SMS_MFA", "EMAIL_OTP"
SPENT = (
    "NotAuthorizedException",
    "Invalid session for the user, session can only be used once.",
)
LOCKED = ("NotAuthorizedException", "Password attempts exceeded")


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_totp_is_that_of_the_rfc(seconds: int, code: str) -> None:
    """RFC 6238, appendix B, SHA-1; its eight digits end in our six."""
    assert gaps.totp_code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", seconds) == code


def test_an_authenticator_app(cognito: Cognito) -> None:
    """Set up, preferred, asked for; the code signs in, and user and administrator see it."""
    secret = cognito.set_up_totp()
    asked = cognito.begin()
    assert asked["ChallengeName"] == TOTP
    assert asked["ChallengeParameters"]["USER_ID_FOR_SRP"] == "grace"
    assert "AuthenticationResult" not in asked
    signed_in = cognito.answer(TOTP, asked["Session"], SOFTWARE_TOKEN_MFA_CODE=totp(secret))
    tokens = signed_in["AuthenticationResult"]
    assert claims(tokens["AccessToken"])["username"] == "grace"
    for seen in (
        cognito.boto.get_user(AccessToken=tokens["AccessToken"]),
        cognito.boto.admin_get_user(**cognito.user()),
    ):
        assert seen["UserMFASettingList"] == [TOTP]
        assert seen["PreferredMfaSetting"] == TOTP


@pytest.mark.parametrize("later", [-30, 30])
def test_a_clock_that_is_one_step_wrong(cognito: Cognito, later: int) -> None:
    """One step either side is near enough."""
    secret = cognito.set_up_totp()
    gaps.clock.advance(30)
    session = cognito.begin()["Session"]
    assert cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(secret, later))


@pytest.mark.parametrize("later", [-60, 60])
def test_a_clock_that_is_two_steps_wrong(cognito: Cognito, later: int) -> None:
    """Two are not."""
    secret = cognito.set_up_totp()
    gaps.clock.advance(60)
    session = cognito.begin()["Session"]
    code = totp(secret, later)
    assert refusal(lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=code)) == (
        "CodeMismatchException",
        "Invalid code received for user",
    )


def test_a_totp_code_serves_once(cognito: Cognito) -> None:
    """Who looked over a shoulder is late, also with the code before."""
    secret = cognito.set_up_totp()
    code, before = totp(secret), totp(secret, -30)
    cognito.answer(TOTP, cognito.begin()["Session"], SOFTWARE_TOKEN_MFA_CODE=code)
    for seen in (code, before):
        session = cognito.begin()["Session"]
        assert refusal(
            lambda session=session, seen=seen: cognito.answer(  # type: ignore[misc]
                TOTP, session, SOFTWARE_TOKEN_MFA_CODE=seen
            )
        ) == ("ExpiredCodeException", "Your software token has already been used once.")
    gaps.clock.advance(30)
    session = cognito.begin()["Session"]
    assert cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(secret))


def test_a_session_serves_once(cognito: Cognito) -> None:
    """Whether the answer was right or wrong (T20)."""
    secret = cognito.set_up_totp()
    session = cognito.begin()["Session"]
    bad = other_than(totp(secret))
    assert refusal(lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=bad))[0] == (
        "CodeMismatchException"
    )
    right = totp(secret)
    assert refusal(lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=right)) == SPENT
    session = cognito.begin()["Session"]
    cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=right)
    assert refusal(lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=right)) == SPENT


def test_two_answers_at_once(cognito: Cognito) -> None:
    """One of eight is let in; the session was used when the others came."""
    secret = cognito.set_up_totp()
    session, code = cognito.begin()["Session"], totp(secret)
    together, outcomes = threading.Barrier(8), []

    def run() -> None:
        together.wait()
        try:
            cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=code)
            outcomes.append("tokens")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Message"])

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == sorted([SPENT[1]] * 7 + ["tokens"])


@pytest.mark.parametrize(("minutes", "setting"), [(3, {}), (7, {"AuthSessionValidity": 7})])
def test_a_session_expires(cognito: Cognito, minutes: int, setting: dict[str, Any]) -> None:
    """After three minutes, or as many as the client has."""
    secret = cognito.set_up_totp()
    cognito.configure(**setting)
    session = cognito.begin()["Session"]
    gaps.clock.advance(60 * minutes - 1)
    assert cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(secret))
    session = cognito.begin()["Session"]
    gaps.clock.advance(60 * minutes)
    assert refusal(lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(secret))) == (
        "NotAuthorizedException",
        "Invalid session for the user, session is expired.",
    )


def test_whose_session_it_is(cognito: Cognito) -> None:
    """Made up, another user's name, another challenge, a deleted user: all are invalid."""
    secret = cognito.set_up_totp()
    cognito.boto.admin_create_user(**cognito.user("ada"), TemporaryPassword=PASSWORD)
    session, code = cognito.begin()["Session"], totp(secret)
    for call in (
        lambda: cognito.answer(TOTP, "made-up-session-of-nobody", SOFTWARE_TOKEN_MFA_CODE=code),
        lambda: cognito.answer(TOTP, session, username="ada", SOFTWARE_TOKEN_MFA_CODE=code),
        lambda: cognito.answer("NEW_PASSWORD_REQUIRED", session, NEW_PASSWORD=NEW_PASSWORD),
    ):
        assert refusal(call) == ("NotAuthorizedException", "Invalid session for the user.")
    cognito.boto.admin_delete_user(**cognito.user())
    assert refusal(lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=code))[0] == (
        "NotAuthorizedException"
    )


def test_an_answer_needs_the_hash_of_the_real_name(cognito: Cognito) -> None:
    """Not of the alias that signed in, and not none at all (T17); the session stays good."""
    secret = cognito.set_up_totp()
    [pool] = gaps.pools()
    pool.extended_config["AliasAttributes"] = ["email"]
    asked = cognito.begin(username=EMAIL)
    code, session = totp(secret), asked["Session"]
    by_alias = cognito.hash(EMAIL)
    assert refusal(
        lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=code, SECRET_HASH=by_alias)
    )[1].startswith("Unable to verify secret hash")
    name = asked["ChallengeParameters"]["USER_ID_FOR_SRP"]
    without = {"USERNAME": name, "SOFTWARE_TOKEN_MFA_CODE": code}
    assert (
        "SECRET_HASH was not received"
        in (
            refusal(
                lambda: cognito.boto.respond_to_auth_challenge(
                    ClientId=cognito.client_id,
                    ChallengeName=TOTP,
                    Session=session,
                    ChallengeResponses=without,
                )
            )[1]
        )
    )
    by_name = cognito.hash(name)
    assert cognito.answer(
        TOTP, session, username=name, SOFTWARE_TOKEN_MFA_CODE=code, SECRET_HASH=by_name
    )["AuthenticationResult"]


def test_wrong_codes_lock_out(cognito: Cognito) -> None:
    """They count as wrong passwords do, and a right password alone does not forgive them."""
    secret = cognito.set_up_totp()
    for _ in range(5):
        session, bad = cognito.begin()["Session"], other_than(totp(secret))
        assert refusal(
            lambda session=session, bad=bad: cognito.answer(  # type: ignore[misc]
                TOTP, session, SOFTWARE_TOKEN_MFA_CODE=bad
            )
        )[0] == ("CodeMismatchException")
    assert refusal(cognito.begin) == LOCKED
    gaps.clock.advance(1)
    session = cognito.begin()["Session"]
    assert cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(secret))


def test_verifying_wants_the_right_code(cognito: Cognito) -> None:
    """EnableSoftwareTokenMFAException for a wrong one; guessing ends after five."""
    token = {"AccessToken": cognito.sign_in()["AccessToken"]}
    assert refusal(lambda: cognito.boto.verify_software_token(**token, UserCode="123456"))[0] == (
        "InvalidParameterException"
    )
    secret = cognito.boto.associate_software_token(**token)["SecretCode"]
    preference = {"SoftwareTokenMfaSettings": {"Enabled": True, "PreferredMfa": True}}
    assert refusal(lambda: cognito.boto.set_user_mfa_preference(**token, **preference)) == (
        "InvalidParameterException",
        "User has not verified software token mfa",
    )
    for _ in range(5):
        bad = other_than(totp(secret))
        assert refusal(
            lambda bad=bad: cognito.boto.verify_software_token(**token, UserCode=bad)  # type: ignore[misc]
        )[0] == ("EnableSoftwareTokenMFAException")
    right = totp(secret)
    assert refusal(lambda: cognito.boto.verify_software_token(**token, UserCode=right))[0] == (
        "LimitExceededException"
    )
    assert cognito.sign_in()["AccessToken"], "nothing was set up"


def test_a_new_secret_replaces_the_old_one_when_verified(cognito: Cognito) -> None:
    """A lost phone's app serves until the new one has proven itself, and not afterwards."""
    old = cognito.set_up_totp()
    session = cognito.begin()["Session"]
    signed_in = cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(old))
    token = {"AccessToken": signed_in["AuthenticationResult"]["AccessToken"]}
    new = cognito.boto.associate_software_token(**token)["SecretCode"]
    assert new != old
    gaps.clock.advance(30)
    session = cognito.begin()["Session"]
    assert cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(old))
    cognito.boto.verify_software_token(**token, UserCode=totp(new))
    gaps.clock.advance(30)
    session, code = cognito.begin()["Session"], totp(old)
    assert refusal(lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=code))[0] == (
        "CodeMismatchException"
    )
    session = cognito.begin()["Session"]
    assert cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(new))


def test_a_factor_can_be_turned_off(cognito: Cognito) -> None:
    """Then the password is enough again."""
    cognito.set_up_totp()
    cognito.boto.admin_set_user_mfa_preference(
        **cognito.user(), SoftwareTokenMfaSettings={"Enabled": False, "PreferredMfa": False}
    )
    assert cognito.sign_in()["AccessToken"]
    seen = cognito.boto.admin_get_user(**cognito.user())
    assert seen["UserMFASettingList"] == []
    assert "PreferredMfaSetting" not in seen


def test_a_pool_without_second_factors(cognito: Cognito) -> None:
    """None is set up, and none is asked for, whatever users prefer."""
    cognito.set_up_totp()
    cognito.configure_mfa("OFF")
    token = {"AccessToken": cognito.sign_in()["AccessToken"]}
    assert refusal(lambda: cognito.boto.associate_software_token(**token))[0] == (
        "SoftwareTokenMFANotFoundException"
    )


def test_set_up_at_sign_in(cognito: Cognito) -> None:
    """MFA is ON and the user has none: MFA_SETUP, by sessions alone, and asked for ever after."""
    cognito.configure_mfa("ON")
    asked = cognito.begin()
    assert asked["ChallengeName"] == "MFA_SETUP"
    assert json.loads(asked["ChallengeParameters"]["MFAS_CAN_SETUP"]) == [TOTP]
    associated = cognito.boto.associate_software_token(Session=asked["Session"])
    assert refusal(lambda: cognito.boto.associate_software_token(Session=asked["Session"])) == SPENT
    code = totp(associated["SecretCode"])
    verified = cognito.boto.verify_software_token(Session=associated["Session"], UserCode=code)
    assert verified["Status"] == "SUCCESS"
    assert len({asked["Session"], associated["Session"], verified["Session"]}) == 3
    assert cognito.answer("MFA_SETUP", verified["Session"])["AuthenticationResult"]
    gaps.clock.advance(30)
    asked = cognito.begin()
    assert asked["ChallengeName"] == TOTP
    code = totp(associated["SecretCode"])
    assert cognito.answer(TOTP, asked["Session"], SOFTWARE_TOKEN_MFA_CODE=code)


def test_set_up_cannot_be_skipped(cognito: Cognito) -> None:
    """The session of MFA_SETUP signs nobody in before a code was verified."""
    cognito.configure_mfa("ON")
    session = cognito.begin()["Session"]
    assert refusal(lambda: cognito.answer("MFA_SETUP", session))[0] == "NotAuthorizedException"
    session = cognito.boto.associate_software_token(Session=cognito.begin()["Session"])["Session"]
    assert refusal(lambda: cognito.answer("MFA_SETUP", session))[0] == "NotAuthorizedException"


def test_a_temporary_password(cognito: Cognito) -> None:
    """Must be changed, by the policy; the session outlives a weak one; attributes can be sent."""
    cognito.set_password(PASSWORD, permanent=False)
    asked = cognito.begin()
    assert asked["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
    attributes = json.loads(asked["ChallengeParameters"]["userAttributes"])
    assert attributes["email"] == EMAIL
    session = asked["Session"]
    name = "NEW_PASSWORD_REQUIRED"
    assert refusal(lambda: cognito.answer(name, session, NEW_PASSWORD="weak"))[0] == (
        "InvalidPasswordException"
    )
    answer = {"NEW_PASSWORD": NEW_PASSWORD, "userAttributes.given_name": "Grace"}
    assert cognito.answer(name, session, **answer)["AuthenticationResult"]
    assert refusal(lambda: cognito.answer(name, session, **answer)) == SPENT
    assert refusal(cognito.sign_in)[1] == "Incorrect username or password."
    token = cognito.sign_in(NEW_PASSWORD)
    assert claims(token["IdToken"])["given_name"] == "Grace"


def test_a_new_password_is_followed_by_the_second_factor(cognito: Cognito) -> None:
    """One challenge leads to the next, each with its session."""
    secret = cognito.set_up_totp()
    cognito.set_password(PASSWORD, permanent=False)
    first = cognito.begin()
    second = cognito.answer("NEW_PASSWORD_REQUIRED", first["Session"], NEW_PASSWORD=NEW_PASSWORD)
    assert second["ChallengeName"] == TOTP
    assert second["Session"] != first["Session"]
    assert "AuthenticationResult" not in second
    code = totp(secret)
    assert cognito.answer(TOTP, second["Session"], SOFTWARE_TOKEN_MFA_CODE=code)


def test_a_user_disabled_between_password_and_code(cognito: Cognito) -> None:
    """Is not let in."""
    secret = cognito.set_up_totp()
    session = cognito.begin()["Session"]
    cognito.boto.admin_disable_user(**cognito.user())
    code = totp(secret)
    assert refusal(lambda: cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=code)) == (
        "NotAuthorizedException",
        "User is disabled.",
    )


@pytest.mark.parametrize(
    ("factor", "settings", "destination"),
    [
        (SMS, "SMSMfaSettings", "+*******3456"),
        (MAIL, "EmailMfaSettings", "g***@e***"),
    ],
)
def test_codes_that_are_sent(
    cognito: Cognito, factor: str, settings: str, destination: str
) -> None:
    """By SMS or e-mail; the newest of this sign-in serves, and no other."""
    token = {"AccessToken": cognito.sign_in()["AccessToken"]}
    cognito.boto.set_user_mfa_preference(
        **token, **{settings: {"Enabled": True, "PreferredMfa": True}}
    )
    asked = cognito.begin()
    assert asked["ChallengeName"] == factor
    assert asked["ChallengeParameters"]["CODE_DELIVERY_DESTINATION"] == destination
    code = gaps.outbox.last_code("grace")
    bad = {f"{factor}_CODE": other_than(code)}
    assert refusal(lambda: cognito.answer(factor, asked["Session"], **bad))[0] == (
        "CodeMismatchException"
    )
    session = cognito.begin()["Session"]
    good = {f"{factor}_CODE": gaps.outbox.last_code("grace")}
    assert cognito.answer(factor, session, **good)["AuthenticationResult"]


def test_a_choice_of_factors(cognito: Cognito) -> None:
    """Two and none preferred: SELECT_MFA_TYPE, then the one that was chosen."""
    secret = cognito.set_up_totp()
    cognito.boto.admin_set_user_mfa_preference(
        **cognito.user(),
        SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": False},
        EmailMfaSettings={"Enabled": True, "PreferredMfa": False},
    )
    asked = cognito.begin()
    assert asked["ChallengeName"] == "SELECT_MFA_TYPE"
    assert json.loads(asked["ChallengeParameters"]["MFAS_CAN_CHOOSE"]) == [TOTP, MAIL]
    chosen = cognito.answer("SELECT_MFA_TYPE", asked["Session"], ANSWER=TOTP)
    assert chosen["ChallengeName"] == TOTP
    code = totp(secret)
    assert cognito.answer(TOTP, chosen["Session"], SOFTWARE_TOKEN_MFA_CODE=code)
    session = cognito.begin()["Session"]
    assert refusal(lambda: cognito.answer("SELECT_MFA_TYPE", session, ANSWER=SMS))[0] == (
        "InvalidParameterException"
    )


@pytest.mark.parametrize("settings", ["SMSMfaSettings", "EmailMfaSettings"])
def test_factors_need_an_address(cognito: Cognito, settings: str) -> None:
    """There must be somewhere to send a code to; and what is off cannot be preferred."""
    cognito.boto.admin_create_user(**cognito.user("ada"), TemporaryPassword=PASSWORD)
    for wanted in ({"Enabled": True}, {"Enabled": False, "PreferredMfa": True}):
        assert refusal(
            lambda wanted=wanted: cognito.boto.admin_set_user_mfa_preference(  # type: ignore[misc]
                **cognito.user("ada"), **{settings: wanted}
            )
        )[0] == ("InvalidParameterException")


@pytest.mark.parametrize(
    ("challenge", "missing"), [(TOTP, "SOFTWARE_TOKEN_MFA_CODE"), ("PASSWORD_VERIFIER", None)]
)
def test_answers_that_are_none(cognito: Cognito, challenge: str, missing: str | None) -> None:
    """A missing parameter is named and costs no session; other challenges are not emulated."""
    secret = cognito.set_up_totp()
    session = cognito.begin()["Session"]
    code, message = refusal(lambda: cognito.answer(challenge, session))
    assert code == "InvalidParameterException"
    assert (missing or challenge) in message
    assert cognito.answer(TOTP, session, SOFTWARE_TOKEN_MFA_CODE=totp(secret))


def test_an_administrator_answers(cognito: Cognito) -> None:
    """AdminRespondToAuthChallenge is as strict."""
    secret = cognito.set_up_totp()
    session, code = cognito.begin()["Session"], totp(secret)
    sent = {"USERNAME": "grace", "SOFTWARE_TOKEN_MFA_CODE": code}
    call = {
        "UserPoolId": cognito.pool_id,
        "ClientId": cognito.client_id,
        "ChallengeName": TOTP,
        "Session": session,
    }
    respond = cognito.boto.admin_respond_to_auth_challenge
    assert refusal(lambda: respond(**call, ChallengeResponses=sent))[0] == "NotAuthorizedException"
    sent["SECRET_HASH"] = cognito.hash("grace")
    assert respond(**call, ChallengeResponses=sent)["AuthenticationResult"]
    assert refusal(lambda: respond(**call, ChallengeResponses=sent)) == SPENT


def test_how_a_code_is_sent() -> None:
    """The terminal of `flask run` tells it."""
    sent = [gaps.SentCode("pool", "grace", to, "1") for to in ("+*******3456", "g***@e***")]
    assert [code.way for code in sent] == ["texted", "e-mailed"]
