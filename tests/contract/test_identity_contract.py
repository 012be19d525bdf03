"""What every IdentityProvider does: the adapter on the emulator, the fake, and a real pool.

The real pool is left alone unless it is named, and must be run by itself, since moto replaces AWS
for the whole process: with COGNITO_CONTRACT_POOL_ID, COGNITO_CONTRACT_CLIENT_ID and, where the
client has one, COGNITO_CONTRACT_CLIENT_SECRET in the environment, and credentials that may create,
disable and delete users::

    make test ARGS="tests/contract -k real_pool --force-enable-socket"

What needs a code from a mailbox is skipped there.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from resource_server.emulator import gaps
from resource_server.emulator.totp import totp_code
from resource_server.identity import errors
from resource_server.identity.cognito import (
    CognitoIdentityProvider,
    admin_client,
    cognito_client,
)
from resource_server.identity.provider import Challenge, IdentityProvider, Profile, TokenSet
from resource_server.testing.identity import FakeIdentity
from resource_server.testing.pool import CognitoPool
from resource_server.tokens.parsing import unverified_claims
from tests.conftest import PASSWORD, REGION, other_than

NEW_PASSWORD, WEAK = "An0ther-passw0rd!", "weak"


@dataclass
class World:
    """A directory, and what its administrator and its users' mailboxes do."""

    identity: IdentityProvider
    add_user: Callable[[str], object]
    """Make a confirmed user with PASSWORD."""
    add_new_user: Callable[[str], object]
    """Make a user whose PASSWORD must be changed at the first sign-in."""
    code_of: Callable[[str], str]
    disable: Callable[[str], object]
    totp_time: Callable[[], float] = time.time
    made: list[str] = field(default_factory=list)
    forget: Callable[[str], object] = lambda _: None

    def signed_in(self, username: str, password: str = PASSWORD) -> TokenSet:
        """Sign a user in."""
        answer = self.identity.authenticate(username, password)
        assert isinstance(answer, TokenSet)
        return answer

    def asked(self, username: str) -> Challenge:
        """Begin a sign-in that is not over with the password."""
        answer = self.identity.authenticate(username, PASSWORD)
        assert isinstance(answer, Challenge)
        return answer


def _with_cognito(boto: Any, client_id: str, secret: str | None, pool_id: str) -> World:
    made: list[str] = []

    def add_new_user(username: str) -> None:
        made.append(username)
        boto.admin_create_user(
            UserPoolId=pool_id,
            Username=username,
            TemporaryPassword=PASSWORD,
            MessageAction="SUPPRESS",
            UserAttributes=[
                {"Name": "email", "Value": f"{username}@example.com"},
                {"Name": "email_verified", "Value": "true"},
            ],
        )

    def add_user(username: str) -> None:
        add_new_user(username)
        boto.admin_set_user_password(
            UserPoolId=pool_id, Username=username, Password=PASSWORD, Permanent=True
        )

    def forget(username: str) -> None:
        with suppress(boto.exceptions.UserNotFoundException):  # the test deleted them
            boto.admin_delete_user(UserPoolId=pool_id, Username=username)

    return World(
        identity=CognitoIdentityProvider(
            cognito_client(pool_id.split("_", maxsplit=1)[0]),
            client_id=client_id,
            client_secret=secret,
        ),
        add_user=add_user,
        add_new_user=add_new_user,
        code_of=gaps.outbox.last_code,
        disable=lambda username: boto.admin_disable_user(UserPoolId=pool_id, Username=username),
        totp_time=gaps.clock.now,
        made=made,
        forget=forget,
    )


def _emulator(request: pytest.FixtureRequest) -> World:
    cognito = request.getfixturevalue("mock_cognito_client")
    return _with_cognito(cognito.client, cognito.client_id, cognito.client_secret, cognito.pool_id)


def _fake(request: pytest.FixtureRequest) -> World:
    fake = FakeIdentity(
        CognitoPool(f"{REGION}_Fake", "fake", request.getfixturevalue("cognito_keys"))
    )

    def add(username: str, *, must_change_password: bool = False) -> None:
        fake.add_user(
            username,
            PASSWORD,
            email=f"{username}@example.com",
            must_change_password=must_change_password,
        )

    return World(
        identity=fake,
        add_user=add,
        add_new_user=lambda username: add(username, must_change_password=True),
        code_of=fake.code_of,
        disable=fake.disable,
    )


def _real_pool(_: pytest.FixtureRequest) -> World:
    pool_id = os.environ["COGNITO_CONTRACT_POOL_ID"]

    def no_mailbox(_: str) -> str:
        pytest.skip("codes of a real pool go to mailboxes that no test can read")

    world = _with_cognito(
        admin_client(_region(pool_id)),
        os.environ["COGNITO_CONTRACT_CLIENT_ID"],
        os.environ.get("COGNITO_CONTRACT_CLIENT_SECRET"),
        pool_id,
    )
    world.code_of, world.totp_time = no_mailbox, time.time
    return world


WORLDS: dict[str, Callable[[pytest.FixtureRequest], World]] = {"emulator": _emulator, "fake": _fake}
if os.environ.get("COGNITO_CONTRACT_POOL_ID"):
    WORLDS["real_pool"] = _real_pool


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One directory after the other; whom a test made is gone afterwards."""
    world = WORLDS[request.param](request)
    yield world
    for username in world.made:
        world.forget(username)


@pytest.fixture
def ada(world: World) -> str:
    """Somebody who can sign in, under a name that nobody had."""
    name = f"ada-{secrets.token_hex(4)}"
    world.add_user(name)
    return name


@pytest.fixture
def signed_up(world: World) -> str:
    """Somebody who signed up and was not confirmed yet; needs a mailbox to be of use."""
    name = f"grace-{secrets.token_hex(4)}"
    if isinstance(world.identity, FakeIdentity) or world.code_of == gaps.outbox.last_code:
        assert world.identity.sign_up(name, email=f"{name}@example.com", password=PASSWORD).sub
        return name
    pytest.skip("codes of a real pool go to mailboxes that no test can read")


def test_a_real_pool_was_asked() -> None:
    """Says aloud that the contract was not held against AWS itself, where it was not."""
    if "real_pool" not in WORLDS:
        pytest.skip("no real pool: set COGNITO_CONTRACT_POOL_ID, …_CLIENT_ID, …_CLIENT_SECRET")


def test_sign_up_and_confirm(world: World, signed_up: str) -> None:
    """Nobody signs in before the code was given back, which serves once."""
    with pytest.raises(errors.NotConfirmed):
        world.identity.authenticate(signed_up, PASSWORD)
    code = world.code_of(signed_up)
    with pytest.raises(errors.BadCode):
        world.identity.confirm_sign_up(signed_up, other_than(code))
    world.identity.confirm_sign_up(signed_up, code)
    with pytest.raises(errors.BadCode):
        world.identity.confirm_sign_up(signed_up, code)
    world.signed_in(signed_up)


def test_a_new_code_replaces_the_old(world: World, signed_up: str) -> None:
    """Asked for again, the newest code is the one that counts."""
    world.identity.resend_confirmation_code(signed_up)
    world.identity.confirm_sign_up(signed_up, world.code_of(signed_up))


def test_a_taken_name(world: World, ada: str) -> None:
    """A name belongs to one user."""
    with pytest.raises(errors.UsernameTaken):
        world.identity.sign_up(ada, email="other@example.com", password=PASSWORD)


def test_a_weak_password(world: World) -> None:
    """The policy holds from the first password on."""
    with pytest.raises(errors.PasswordRejected):
        world.identity.sign_up("weakling", email="weak@example.com", password=WEAK)


def test_codes_for_nobody(world: World) -> None:
    """Who does not exist is sent nothing and told nothing; no code is theirs."""
    world.identity.resend_confirmation_code("nobody")
    world.identity.forgot_password("nobody")
    with pytest.raises(errors.BadCode):
        world.identity.confirm_sign_up("nobody", "123456")
    with pytest.raises(errors.BadCode):
        world.identity.reset_password("nobody", "123456", PASSWORD)


def test_who_cannot_sign_in(world: World, ada: str) -> None:
    """Wrong password, unknown and disabled users are told apart by nobody."""
    with pytest.raises(errors.BadCredentials):
        world.identity.authenticate(ada, "Wr0ng-passw0rd!")
    with pytest.raises(errors.BadCredentials):
        world.identity.authenticate("nobody", PASSWORD)
    world.disable(ada)
    with pytest.raises(errors.BadCredentials):
        world.identity.authenticate(ada, PASSWORD)


def test_a_refresh_goes_on_with_the_sign_in(world: World, ada: str) -> None:
    """New tokens keep `origin_jti` and `auth_time` (T33), and there is always a refresh token."""
    before = world.signed_in(ada)
    assert before.refresh_token
    after = world.identity.refresh(before.refresh_token)
    old, new = unverified_claims(before.access_token), unverified_claims(after.access_token)
    assert new["jti"] != old["jti"]
    assert (new["origin_jti"], new["auth_time"]) == (old["origin_jti"], old["auth_time"])
    assert after.refresh_token
    world.identity.refresh(after.refresh_token)


def test_bad_refresh_tokens(world: World, ada: str) -> None:
    """Unknown, revoked, and those of disabled users."""
    with pytest.raises(errors.BadRefreshToken):
        world.identity.refresh("none-of-yours")
    one, other = world.signed_in(ada), world.signed_in(ada)
    assert one.refresh_token
    assert other.refresh_token
    world.identity.revoke(one.refresh_token)
    with pytest.raises(errors.BadRefreshToken):
        world.identity.refresh(one.refresh_token)
    world.identity.refresh(other.refresh_token)
    world.disable(ada)
    with pytest.raises(errors.BadRefreshToken):
        world.identity.refresh(other.refresh_token)


def test_revoking(world: World, ada: str) -> None:
    """Once more does no harm (RFC 7009 section 2.2); what is no refresh token is refused."""
    tokens = world.signed_in(ada)
    assert tokens.refresh_token
    world.identity.revoke(tokens.refresh_token)
    world.identity.revoke(tokens.refresh_token)
    with pytest.raises(errors.BadRefreshToken):
        world.identity.revoke(tokens.access_token)


def test_signing_out_ends_every_session(world: World, ada: str) -> None:
    """Afterwards neither access nor refresh tokens of any sign-in count there."""
    one, other = world.signed_in(ada), world.signed_in(ada)
    world.identity.sign_out(one.access_token)
    for tokens in (one, other):
        assert tokens.refresh_token
        with pytest.raises(errors.BadRefreshToken):
            world.identity.refresh(tokens.refresh_token)
        with pytest.raises(errors.SessionEnded):
            world.identity.profile(tokens.access_token)
    world.signed_in(ada)


def test_a_forgotten_password(world: World, ada: str) -> None:
    """With the code a new one is set, which the policy accepts; the old one is void."""
    world.identity.forgot_password(ada)
    code = world.code_of(ada)
    with pytest.raises(errors.BadCode):
        world.identity.reset_password(ada, other_than(code), NEW_PASSWORD)
    with pytest.raises(errors.PasswordRejected):
        world.identity.reset_password(ada, code, WEAK)
    world.identity.reset_password(ada, code, NEW_PASSWORD)
    with pytest.raises((errors.BadCode, errors.ExpiredCode)):
        world.identity.reset_password(ada, code, PASSWORD)
    with pytest.raises(errors.BadCredentials):
        world.identity.authenticate(ada, PASSWORD)
    world.signed_in(ada, NEW_PASSWORD)


def test_changing_the_password(world: World, ada: str) -> None:
    """Only who knows the previous one."""
    token = world.signed_in(ada).access_token
    with pytest.raises(errors.WrongPassword):
        world.identity.change_password(token, previous="Wr0ng-one!", password=NEW_PASSWORD)
    with pytest.raises(errors.PasswordRejected):
        world.identity.change_password(token, previous=PASSWORD, password=WEAK)
    world.identity.change_password(token, previous=PASSWORD, password=NEW_PASSWORD)
    world.signed_in(ada, NEW_PASSWORD)


def test_the_profile(world: World, ada: str) -> None:
    """Who one is, with the full name once there is one."""
    token = world.signed_in(ada).access_token
    sub = str(unverified_claims(token)["sub"])
    assert world.identity.profile(token) == Profile(sub, ada, f"{ada}@example.com", None)
    world.identity.rename(token, "Ada Lovelace")
    assert world.identity.profile(token).full_name == "Ada Lovelace"


def test_deleting_oneself(world: World, ada: str) -> None:
    """Nothing of the user is left that opens anything."""
    tokens = world.signed_in(ada)
    assert tokens.refresh_token
    world.identity.delete_user(tokens.access_token)
    with pytest.raises(errors.SessionEnded):
        world.identity.delete_user(tokens.access_token)
    with pytest.raises(errors.BadRefreshToken):
        world.identity.refresh(tokens.refresh_token)
    with pytest.raises(errors.BadCredentials):
        world.identity.authenticate(ada, PASSWORD)


def test_a_new_password_is_required(world: World) -> None:
    """The user an administrator made chooses one; the session serves once (T20)."""
    name = f"new-{secrets.token_hex(4)}"
    world.add_new_user(name)
    asked = world.asked(name)
    assert asked.name == "NEW_PASSWORD_REQUIRED"
    assert asked.session
    answer = {"NEW_PASSWORD": NEW_PASSWORD}
    done = world.identity.answer_challenge(name, asked.name, asked.session, answer)
    assert isinstance(done, TokenSet)
    with pytest.raises(errors.SignInExpired):
        world.identity.answer_challenge(name, asked.name, asked.session, answer)
    world.signed_in(name, NEW_PASSWORD)


def test_an_authenticator_app(world: World, ada: str) -> None:
    """Proven, it is asked for at sign-in; switched off, it is not."""
    token = world.signed_in(ada).access_token
    with pytest.raises(errors.InvalidRequest):
        world.identity.use_totp(token, enabled=True)
    secret = world.identity.begin_totp(token)
    code = totp_code(secret, world.totp_time())
    with pytest.raises(errors.BadCode):
        world.identity.confirm_totp(token, other_than(code))
    world.identity.confirm_totp(token, totp_code(secret, world.totp_time()), device_name="phone")
    world.identity.use_totp(token, enabled=True)

    asked = world.asked(ada)
    assert asked.name == "SOFTWARE_TOKEN_MFA"
    assert asked.session
    wrong = {"SOFTWARE_TOKEN_MFA_CODE": other_than(totp_code(secret, world.totp_time() - 600))}
    with pytest.raises(errors.BadCode):
        world.identity.answer_challenge(ada, asked.name, asked.session, wrong)

    world.identity.use_totp(token, enabled=False)
    world.signed_in(ada)


def test_an_answer_for_another_user(world: World, ada: str) -> None:
    """A session is its user's."""
    name = f"new-{secrets.token_hex(4)}"
    world.add_new_user(name)
    asked = world.asked(name)
    assert asked.session
    with pytest.raises(errors.SignInExpired):
        world.identity.answer_challenge(
            ada, asked.name, asked.session, {"NEW_PASSWORD": NEW_PASSWORD}
        )


@pytest.mark.parametrize(
    "use",
    [
        lambda identity: identity.profile("x.y.z"),
        lambda identity: identity.rename("x.y.z", "Ada"),
        lambda identity: identity.delete_user("x.y.z"),
        lambda identity: identity.sign_out("x.y.z"),
        lambda identity: identity.begin_totp("x.y.z"),
        lambda identity: identity.confirm_totp("x.y.z", "123456"),
        lambda identity: identity.use_totp("x.y.z", enabled=True),
        lambda identity: identity.change_password("x.y.z", previous=PASSWORD, password=PASSWORD),
    ],
)
def test_an_unknown_access_token(world: World, use: Callable[[IdentityProvider], object]) -> None:
    """It opens nothing."""
    with pytest.raises(errors.SessionEnded):
        use(world.identity)


def _region(pool_id: str) -> str:
    return pool_id.split("_", maxsplit=1)[0]
