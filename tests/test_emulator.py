"""The emulator: a restart loses nobody, and `flask run` brings it up by itself.

The first half runs the server in this process, the second half the command line in processes of
their own, on a copy of the package: its instance folder is next to it.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from resource_server.emulator import gaps
from resource_server.emulator.server import (
    ADMIN_GROUP,
    ADMIN_PASSWORD,
    ADMIN_USERNAME,
    EmulatorServer,
)
from resource_server.emulator.state import (
    DEMO_PASSWORD,
    DEMO_USERNAME,
    REGION,
    EmulatorState,
    StateError,
    replace_file,
)
from resource_server.identity.cognito import CognitoIdentityProvider, cognito_client
from resource_server.identity.errors import BadCode, BadCredentials, SessionEnded
from resource_server.identity.provider import Challenge, TokenSet
from resource_server.settings import Settings
from resource_server.testing import bearer
from resource_server.tokens import AccessToken, CognitoVerifier, UserPool
from resource_server.tokens.parsing import unverified_claims
from tests.conftest import PASSWORD, other_than

ROOT = Path(__file__).parent.parent
DEADLINE = 60.0
"""Seconds that a process has for anything; far more than it needs."""


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Ask again and again until a condition holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"it did not happen in {DEADLINE} s: {what}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


# The server


class Emulator:
    """An emulator that a test starts and stops, with what a service has to talk to it."""

    def __init__(self, file: Path, state: EmulatorState) -> None:
        self.file = file
        self.state = state
        self.server = EmulatorServer(state, file)
        self.server.start()
        self.boto: Any = cognito_client(REGION, endpoint_url=state.url)
        # Signed, for what only an administrator may do.
        self.admin: Any = boto3.client(
            "cognito-idp",
            region_name=REGION,
            endpoint_url=state.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    @property
    def provider(self) -> CognitoIdentityProvider:
        """A service's view of the pool."""
        return CognitoIdentityProvider(
            self.boto, client_id=self.state.client_id, client_secret=self.state.client_secret
        )

    def stop(self) -> None:
        """End it; the file stays."""
        self.server.stop()
        self.boto.close()
        self.admin.close()

    def sign_in(self, username: str, password: str) -> str:
        """Sign a user in and return the access token."""
        tokens = self.provider.authenticate(username, password)
        assert isinstance(tokens, TokenSet)
        return tokens.access_token

    def verify(self, token: str) -> AccessToken:
        """Verify a token against the JWKS that is served."""
        jwks_uri = self.state.settings["COGNITO_JWKS_URI"]
        pool = UserPool.parse(self.state.pool_id, jwks_uri=jwks_uri)
        return CognitoVerifier(pool, client_ids={self.state.client_id}).verify(token)

    def jwks(self) -> Any:
        """Return the JWKS that is served."""
        return requests.get(self.state.settings["COGNITO_JWKS_URI"], timeout=5).json()


class Emulators:
    """Starts emulators on one file, one after the other."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.running: Emulator | None = None

    def start(self) -> Emulator:
        """Start the emulator as the file has it; the first one on any free port."""
        state = EmulatorState.load(self.file)
        if state is None:
            state = EmulatorState.new()
            state.port = 0
        self.running = Emulator(self.file, state)
        return self.running

    def restart(self) -> Emulator:
        """Stop it and start another one."""
        self.stop()
        return self.start()

    def stop(self) -> None:
        """Stop the one that runs."""
        if self.running is not None:
            self.running.stop()
            self.running = None


@pytest.fixture
def emulators(tmp_path: Path) -> Iterator[Emulators]:
    """Emulators with a file of the test's own."""
    gaps.outbox.sent.clear()
    made = Emulators(tmp_path / "emulator.json")
    yield made
    made.stop()
    gaps.clock.reset()


def sign_up(emulator: Emulator, username: str = "grace") -> str:
    """Sign up and confirm with the code that was sent; return the sub."""
    made = emulator.provider.sign_up(username, email=f"{username}@example.com", password=PASSWORD)
    emulator.provider.confirm_sign_up(username, gaps.outbox.last_code(username))
    assert made.sub
    return made.sub


def test_the_whole_way(emulators: Emulators) -> None:
    """Sign up, mistype the code, confirm, sign in; the token verifies and has the scopes."""
    emulator = emulators.start()
    made = emulator.provider.sign_up("grace", email="grace@example.com", password=PASSWORD)
    code = gaps.outbox.last_code("grace")
    with pytest.raises(BadCode):
        emulator.provider.confirm_sign_up("grace", other_than(code))
    emulator.provider.confirm_sign_up("grace", code)
    with pytest.raises(BadCredentials):
        emulator.sign_in("grace", "Wr0ng-passw0rd!")
    verified = emulator.verify(emulator.sign_in("grace", PASSWORD))
    assert (verified.sub, verified.username) == (made.sub, "grace")
    assert {"me", "randoms"} <= set(verified.scopes)


def test_the_demo_user_can_sign_in_at_once(emulators: Emulators) -> None:
    """With the name and password that the banner shows."""
    emulator = emulators.start()
    assert emulator.verify(emulator.sign_in(DEMO_USERNAME, DEMO_PASSWORD)).username == "demo"


def test_a_restart_loses_nobody(emulators: Emulators) -> None:
    """The same ids, keys and sub; the same password, and no other one, signs in."""
    before = emulators.start()
    sub, jwks, port = sign_up(before), before.jwks(), before.state.port
    demo_sub = before.verify(before.sign_in(DEMO_USERNAME, DEMO_PASSWORD)).sub

    after = emulators.restart()
    assert after.state.port == port
    assert after.state.settings == before.state.settings
    assert after.jwks() == jwks
    assert after.verify(after.sign_in("grace", PASSWORD)).sub == sub
    assert after.verify(after.sign_in(DEMO_USERNAME, DEMO_PASSWORD)).sub == demo_sub
    with pytest.raises(BadCredentials):
        after.sign_in("grace", "Wr0ng-passw0rd!")


def test_a_restart_loses_no_session(emulators: Emulators) -> None:
    """An old access token verifies and signs out, once; an old refresh token serves as well."""
    before = emulators.start()
    sub = sign_up(before)
    tokens = before.provider.authenticate("grace", PASSWORD)
    assert isinstance(tokens, TokenSet)

    after = emulators.restart()
    assert after.verify(tokens.access_token).sub == sub
    parameters = {"REFRESH_TOKEN": str(tokens.refresh_token)}
    parameters["SECRET_HASH"] = after.provider._secret_hash(sub)
    refreshed = after.boto.initiate_auth(
        ClientId=after.state.client_id,
        AuthFlow="REFRESH_TOKEN_AUTH",
        AuthParameters=parameters,
    )["AuthenticationResult"]
    assert after.verify(refreshed["AccessToken"]).sub == sub

    after.provider.sign_out(tokens.access_token)
    with pytest.raises(SessionEnded):
        emulators.restart().provider.sign_out(tokens.access_token)


def test_a_restart_loses_no_code(emulators: Emulators) -> None:
    """A code that was sent before still confirms, and a wrong one still does not."""
    before = emulators.start()
    before.provider.sign_up("grace", email="grace@example.com", password=PASSWORD)
    code = gaps.outbox.last_code("grace")
    after = emulators.restart()
    with pytest.raises(BadCode):
        after.provider.confirm_sign_up("grace", other_than(code))
    after.provider.confirm_sign_up("grace", code)
    again = emulators.restart()
    with pytest.raises(BadCode):
        again.provider.confirm_sign_up("grace", code)
    assert again.sign_in("grace", PASSWORD)


def test_a_restart_keeps_what_an_administrator_did(emulators: Emulators) -> None:
    """A disabled user stays disabled, and attributes stay."""
    before = emulators.start()
    sign_up(before)
    user = {"UserPoolId": before.state.pool_id, "Username": "grace"}
    before.admin.admin_update_user_attributes(
        **user, UserAttributes=[{"Name": "family_name", "Value": "Hopper"}]
    )
    before.admin.admin_disable_user(**user)
    after = emulators.restart()
    with pytest.raises(BadCredentials):
        after.sign_in("grace", PASSWORD)
    found = after.admin.admin_get_user(**user)
    attributes = {entry["Name"]: entry["Value"] for entry in found["UserAttributes"]}
    assert attributes["family_name"] == "Hopper"
    assert attributes["email_verified"] == "true"
    assert not found["Enabled"]


def test_a_restart_keeps_groups(emulators: Emulators) -> None:
    """Groups decide about scopes (SCOPES_BY_GROUP): a member stays one."""
    before = emulators.start()
    sign_up(before)
    group = {"UserPoolId": before.state.pool_id, "GroupName": "players"}
    before.admin.create_group(**group)
    before.admin.admin_add_user_to_group(**group, Username="grace")
    assert list(before.verify(before.sign_in("grace", PASSWORD)).groups) == ["players"]
    after = emulators.restart()
    assert list(after.verify(after.sign_in("grace", PASSWORD)).groups) == ["players"]


def test_a_deleted_user_does_not_come_back(emulators: Emulators) -> None:
    """Neither by a restart nor by signing up again: that is another sub (T12)."""
    before = emulators.start()
    sub = sign_up(before)
    before.admin.admin_delete_user(UserPoolId=before.state.pool_id, Username="grace")
    after = emulators.restart()
    with pytest.raises(BadCredentials):
        after.sign_in("grace", PASSWORD)
    assert sign_up(after) != sub
    assert after.verify(after.sign_in("grace", PASSWORD)).sub != sub


def test_an_administrator_is_there(emulators: Emulators) -> None:
    """In the group that settings.md names; both are made once, and a restart keeps them."""
    before = emulators.start()
    verified = before.verify(before.sign_in(ADMIN_USERNAME, ADMIN_PASSWORD))
    assert (
        list(verified.groups)
        == [ADMIN_GROUP]
        == [Settings.model_fields["cognito_admin_group"].default]
    )
    after = emulators.restart()
    again = after.verify(after.sign_in(ADMIN_USERNAME, ADMIN_PASSWORD))
    assert (again.sub, list(again.groups)) == (verified.sub, [ADMIN_GROUP])


def refused(call: Callable[[], object]) -> str:
    """Return the code of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def exchange(emulator: Emulator, refresh_token: str | None) -> Any:
    """Refresh by GetTokensFromRefreshToken, unsigned."""
    return emulator.boto.get_tokens_from_refresh_token(
        ClientId=emulator.state.client_id,
        ClientSecret=emulator.state.client_secret,
        RefreshToken=refresh_token,
    )["AuthenticationResult"]


def test_a_restart_keeps_what_became_of_refresh_tokens(emulators: Emulators) -> None:
    """Their sign-in's time and family, rotation, and that one was revoked."""
    before = emulators.start()
    sign_up(before)
    one, other = (before.provider.authenticate("grace", PASSWORD) for _ in "12")
    assert isinstance(one, TokenSet)
    assert isinstance(other, TokenSet)
    before.boto.revoke_token(
        ClientId=before.state.client_id,
        ClientSecret=before.state.client_secret,
        Token=other.refresh_token,
    )
    gaps.clock.advance(60)
    after = emulators.restart()
    refreshed = unverified_claims(exchange(after, one.refresh_token)["AccessToken"])
    first = unverified_claims(one.access_token)
    assert refreshed["auth_time"] == first["auth_time"] < refreshed["iat"]
    assert refreshed["origin_jti"] == first["origin_jti"]
    assert refused(lambda: exchange(after, other.refresh_token)) == "NotAuthorizedException"

    [pool] = [pool for pool in gaps.pools() if pool.id == after.state.pool_id]
    client = pool.clients[after.state.client_id]
    client.extended_config["RefreshTokenRotation"] = {"Feature": "ENABLED"}
    second = exchange(after, one.refresh_token)["RefreshToken"]
    last = emulators.restart()
    assert refused(lambda: exchange(last, one.refresh_token)) == "RefreshTokenReuseException"
    assert exchange(last, second)["AccessToken"]


def test_a_restart_keeps_second_factors(emulators: Emulators) -> None:
    """Secret, preference, and which code was used; the file's reader learns no password by it."""
    before = emulators.start()
    sign_up(before)
    token = {"AccessToken": before.sign_in("grace", PASSWORD)}
    secret = before.boto.associate_software_token(**token)["SecretCode"]
    used = gaps.totp_code(secret, gaps.clock.now())
    before.boto.verify_software_token(**token, UserCode=used)
    preference = {"Enabled": True, "PreferredMfa": True}
    before.boto.set_user_mfa_preference(**token, SoftwareTokenMfaSettings=preference)

    after = emulators.restart()

    def answer(code: str) -> Any:
        asked = after.provider.authenticate("grace", PASSWORD)
        assert isinstance(asked, Challenge)
        return after.boto.respond_to_auth_challenge(
            ClientId=after.state.client_id,
            ChallengeName=asked.name,
            Session=asked.session,
            ChallengeResponses={
                "USERNAME": "grace",
                "SOFTWARE_TOKEN_MFA_CODE": code,
                "SECRET_HASH": after.provider._secret_hash("grace"),
            },
        )

    assert refused(lambda: answer(used)) == "ExpiredCodeException"
    gaps.clock.advance(60)
    tokens = answer(gaps.totp_code(secret, gaps.clock.now()))["AuthenticationResult"]
    seen = after.boto.get_user(AccessToken=tokens["AccessToken"])
    assert seen["PreferredMfaSetting"] == "SOFTWARE_TOKEN_MFA"


def test_a_restart_keeps_codes_for_passwords_and_failures(emulators: Emulators) -> None:
    """A restart is no way around a code's limits, and loses no code."""
    before = emulators.start()
    sign_up(before)
    public = before.provider._user("grace")
    before.boto.forgot_password(**public)
    code = gaps.outbox.last_code("grace")
    wrong = {"ConfirmationCode": other_than(code), "Password": PASSWORD}
    for _ in range(5):
        assert refused(lambda: before.boto.confirm_forgot_password(**public, **wrong)) == (
            "CodeMismatchException"
        )
    after = emulators.restart()
    right = {"ConfirmationCode": code, "Password": f"{PASSWORD}2"}
    assert refused(lambda: after.boto.confirm_forgot_password(**public, **right)) == (
        "LimitExceededException"
    )
    gaps.clock.advance(900)
    after.boto.confirm_forgot_password(**public, **right)
    assert after.sign_in("grace", f"{PASSWORD}2")


def test_a_restart_keeps_the_second_client_secret(emulators: Emulators) -> None:
    """Made by an administrator with whatever credentials; either secret is right."""
    before = emulators.start()
    own = {"UserPoolId": before.state.pool_id, "ClientId": before.state.client_id}
    added = before.admin.add_user_pool_client_secret(**own)["ClientSecretDescriptor"]
    after = emulators.restart()
    for secret in (after.state.client_secret, added["ClientSecretValue"]):
        provider = CognitoIdentityProvider(
            after.boto, client_id=after.state.client_id, client_secret=secret
        )
        assert isinstance(provider.authenticate(DEMO_USERNAME, DEMO_PASSWORD), TokenSet)


def test_a_restart_survives_another_client(emulators: Emulators) -> None:
    """The other one is gone, as docs/testing.md says; nobody else is."""
    before = emulators.start()
    sign_up(before)
    made = before.admin.create_user_pool_client(
        UserPoolId=before.state.pool_id, ClientName="other", GenerateSecret=True
    )["UserPoolClient"]
    after = emulators.restart()
    assert after.sign_in("grace", PASSWORD)
    own = {"UserPoolId": after.state.pool_id, "ClientId": made["ClientId"]}
    assert refused(lambda: after.admin.describe_user_pool_client(**own)) == (
        "ResourceNotFoundException"
    )


def test_an_older_versions_file_is_read(emulators: Emulators) -> None:
    """As version 0.1 wrote it: sign-ins go on, codes confirm, and the administrator comes in."""
    before = emulators.start()
    sub = sign_up(before)
    tokens = before.provider.authenticate("grace", PASSWORD)
    assert isinstance(tokens, TokenSet)
    before.provider.sign_up("ada", email="ada@example.com", password=PASSWORD)
    code = gaps.outbox.last_code("ada")
    emulators.stop()

    stored = json.loads(emulators.file.read_text(encoding="utf-8"))
    accounts = stored["accounts"]
    del accounts["client_secrets"]
    accounts["groups"] = []
    accounts["users"] = [user for user in accounts["users"] if user["username"] != ADMIN_USERNAME]
    for user in accounts["users"]:
        sent = user.pop("record")["codes"].get("sign-up")
        del user["factors"]
        user["confirmation_code"] = sent and sent["value"]
    names = {user["sub"]: user["username"] for user in accounts["users"]}
    accounts["refresh_tokens"] = {
        text: [token["client_id"], names[token["sub"]], token["origin_jti"]]
        for text, token in accounts["refresh_tokens"].items()
    }
    accounts["refresh_tokens"]["of-a-deleted-user"] = [before.state.client_id, "nobody", "0"]
    emulators.file.write_text(json.dumps(stored), encoding="utf-8")

    after = emulators.start()
    refreshed = exchange(after, tokens.refresh_token)["AccessToken"]
    assert after.verify(refreshed).sub == sub
    assert (
        unverified_claims(refreshed)["origin_jti"]
        == (unverified_claims(tokens.access_token)["origin_jti"])
    )
    assert refused(lambda: exchange(after, "of-a-deleted-user")) == "NotAuthorizedException"
    after.provider.confirm_sign_up("ada", code)
    assert after.sign_in("ada", PASSWORD)
    verified = after.verify(after.sign_in(ADMIN_USERNAME, ADMIN_PASSWORD))
    assert list(verified.groups) == [ADMIN_GROUP]


def test_the_pool_hides_its_users(emulators: Emulators) -> None:
    """An unknown name is a wrong password, and a password forgotten is pretended to be sent."""
    emulator = emulators.start()
    with pytest.raises(BadCredentials):
        emulator.sign_in("nobody", PASSWORD)
    answer = emulator.boto.forgot_password(**emulator.provider._user("nobody"))
    assert answer["CodeDeliveryDetails"]["Destination"]
    assert not gaps.outbox.sent


def test_the_file_is_the_owners_alone(emulators: Emulators) -> None:
    """It holds private keys: mode 0600, whatever the umask and however often it is written."""
    umask = os.umask(0)
    try:
        sign_up(emulators.start())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(emulators.file.stat().st_mode) == 0o600


def test_the_file_holds_no_password(emulators: Emulators) -> None:
    """Passwords are kept as hashes, that of the demo user too."""
    emulator = emulators.start()
    sign_up(emulator)
    emulator.sign_in("grace", PASSWORD)
    text = emulators.file.read_text(encoding="utf-8")
    for password in (PASSWORD, DEMO_PASSWORD):
        assert password not in text
        assert json.dumps(password)[1:-1] not in text
    stored = {user["username"]: user["password"] for user in json.loads(text)["accounts"]["users"]}
    assert all(hashed.startswith("scrypt:") for hashed in stored.values())


def test_no_repr_shows_keys_or_secrets(emulators: Emulators) -> None:
    """The state can be logged by mistake."""
    state = emulators.start().state
    assert state.client_secret not in repr(state)
    assert state.keys["access"]["d"] not in repr(state)


def test_what_was_answered_is_in_the_file(emulators: Emulators) -> None:
    """The file is written before the answer leaves, so that a kill loses nothing."""
    emulator = emulators.start()
    emulator.provider.sign_up("grace", email="grace@example.com", password=PASSWORD)
    stored = json.loads(emulators.file.read_text(encoding="utf-8"))["accounts"]
    [grace] = [user for user in stored["users"] if user["username"] == "grace"]
    assert grace["record"]["codes"]["sign-up"]["value"] == gaps.outbox.last_code("grace")
    token = emulator.sign_in(DEMO_USERNAME, DEMO_PASSWORD)
    stored = json.loads(emulators.file.read_text(encoding="utf-8"))["accounts"]
    assert token in stored["access_tokens"]


def test_a_taken_port_is_left_alone(
    emulators: Emulators, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another port is chosen and remembered; the terminal stays quiet about it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        state = EmulatorState.new()
        state.port = taken.getsockname()[1]
        state.save(emulators.file)
        emulator = emulators.start()
        assert emulator.state.port != taken.getsockname()[1]
    assert emulator.sign_in(DEMO_USERNAME, DEMO_PASSWORD)
    stored = EmulatorState.load(emulators.file)
    assert stored is not None
    assert stored.port == emulator.state.port
    assert capfd.readouterr() == ("", "")


def test_only_loopback_is_served(emulators: Emulators) -> None:
    """Nobody on the network reaches the emulator."""
    server = emulators.start().server._server
    assert server is not None
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"pool_id": "us-east-1_abc", "cli', id="cut off"),
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"pool_id": "us-east-1_abc"}', id="something is missing"),
        pytest.param('{"name": "a package.json"}', id="another program's"),
        pytest.param("\x00\x01", id="binary"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    """The error names the file and says what to do; the file is not touched."""
    file = tmp_path / "emulator.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StateError) as caught:
        EmulatorState.load(file)
    assert str(file) in str(caught.value)
    assert "move it away" in str(caught.value)
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"accounts": {"users": []}}, id="an older version's accounts"),
        pytest.param({"accounts": []}, id="accounts are a list"),
        pytest.param({"keys": {"access": {"kty": "RSA"}}}, id="keys are incomplete"),
    ],
)
def test_damage_inside_the_file_is_told(emulators: Emulators, damage: dict[str, Any]) -> None:
    """A file that another version wrote, for one: the same sentence, no KeyError."""
    emulators.start()
    emulators.stop()
    stored = json.loads(emulators.file.read_text(encoding="utf-8"))
    emulators.file.write_text(json.dumps(stored | damage), encoding="utf-8")
    with pytest.raises(StateError, match="move it away"):
        emulators.start()


def test_no_file_is_no_state(tmp_path: Path) -> None:
    """The first start makes it, its folder as well."""
    file = tmp_path / "instance" / "emulator.json"
    assert EmulatorState.load(file) is None
    state = EmulatorState.new()
    state.save(file)
    assert EmulatorState.load(file) == state


def test_a_draft_left_behind_does_no_harm(emulators: Emulators) -> None:
    """A kill in the middle of writing leaves a draft; the file itself is whole."""
    sub = sign_up(emulators.start())
    draft = emulators.file.with_name(f"{emulators.file.name}.new")
    emulators.stop()
    draft.write_text('{"pool_id": "us-ea', encoding="utf-8")
    draft.chmod(0o644)
    after = emulators.start()
    assert after.verify(after.sign_in("grace", PASSWORD)).sub == sub
    assert not draft.exists()
    assert stat.S_IMODE(emulators.file.stat().st_mode) == 0o600


def test_a_draft_is_no_file_of_anybody_else(tmp_path: Path) -> None:
    """Files that differ in their ending alone are written one beside the other."""
    (tmp_path / "emulator.new").write_text("somebody's", encoding="utf-8")
    for name in ("emulator.json", "emulator.new.json"):
        replace_file(tmp_path / name, name)
    assert (tmp_path / "emulator.new").read_text(encoding="utf-8") == "somebody's"
    assert len(list(tmp_path.iterdir())) == 3


def test_two_new_states_have_nothing_in_common() -> None:
    """Ids and secrets are made up anew; the id is one of a pool in the emulator's region."""
    one, other = EmulatorState.new(), EmulatorState.new()
    assert one.pool_id != other.pool_id
    assert one.client_id != other.client_id
    assert one.client_secret != other.client_secret
    assert UserPool.parse(one.pool_id).region == REGION


# The command line


class Process:
    """A command that runs on a copy of the package, with its output in a file."""

    def __init__(self, home: Path, arguments: list[str], environment: Mapping[str, str]) -> None:
        self._log = home / f"output-{time.monotonic_ns()}.txt"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=home,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its children are ended with it
            )

    @property
    def output(self) -> str:
        """What it has printed until now."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        """Wait until it ends by itself."""
        try:
            return self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end:\n{self.output}")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something that it shall do while it runs."""

        def happened() -> object:
            if self._process.poll() is not None:
                pytest.fail(f"it ended before this happened: {what}\n{self.output}")
            return condition()

        wait_for(happened, what)

    def end(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """End it and what it started."""
        with contextlib.suppress(ProcessLookupError):  # all of it ended by itself
            os.killpg(self._process.pid, with_signal)
        self._process.wait(DEADLINE)


class CommandLine:
    """Runs commands on a copy of the package, of whose folder nobody else knows."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.instance = home / "instance"
        self.processes: list[Process] = []
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "resource_server", home / "resource_server", ignore=ignored)
        shutil.copy(ROOT / "wsgi.py", home)

    def run(self, *arguments: str, **environment: str) -> Process:
        """Start `python -m …` with no other environment than this."""
        inherited = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        ours = {"PYTHONPATH": str(self.home), "PYTHONUNBUFFERED": "1", "FLASK_SKIP_DOTENV": "1"}
        process = Process(self.home, list(arguments), inherited | ours | environment)
        self.processes.append(process)
        return process

    def flask(self, *arguments: str, **environment: str) -> Process:
        """Start a `flask` command as `.flaskenv` has it, with more of an environment."""
        settings = {
            "COGNITO_EMULATOR": "auto",
            "FLASK_APP": "resource_server",
            "LOG_FORMAT": "text",
        }
        return self.run("flask", *arguments, **(settings | environment))

    def serve(self, port: int, *options: str) -> Process:
        """Start `flask run` and wait until it answers."""
        process = self.flask("run", "--port", str(port), *options)
        process.wait_for(lambda: is_up(port), "the service answers")
        return process

    def state(self) -> EmulatorState:
        """Read the emulator's file."""
        state = EmulatorState.load(self.instance / "emulator.json")
        assert state is not None
        return state


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    """A copy of the package; whatever was started is ended."""
    made = CommandLine(tmp_path)
    yield made
    for process in made.processes:
        process.end()


def is_up(port: int) -> bool:
    """Tell whether a service answers there."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def log_in(port: int, username: str = DEMO_USERNAME, password: str = DEMO_PASSWORD) -> str:
    """Sign in over HTTP and return the access token."""
    form = {"username": username, "password": password}
    answer = requests.post(f"http://127.0.0.1:{port}/users/login", data=form, timeout=30)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    assert isinstance(token, str)
    return token


def randoms(port: int, token: str) -> tuple[int, Any]:
    """Read the user's numbers over HTTP."""
    address = f"http://127.0.0.1:{port}/randoms"
    answer = requests.get(address, headers=bearer(token), timeout=30)
    return answer.status_code, answer.json()


def test_flask_run_is_all_it_takes(command_line: CommandLine) -> None:
    """A banner, a demo user, codes in the terminal; after a kill all of it still counts."""
    port = free_port()
    first = command_line.serve(port)
    emulator = command_line.state()
    passwords = (DEMO_PASSWORD, ADMIN_PASSWORD)
    page = f"http://127.0.0.1:{port}/docs"
    for told in (page, emulator.url, emulator.pool_id, *passwords):
        assert told in first.output
    token = log_in(port)
    assert randoms(port, token) == (200, [])

    new = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    assert requests.post(f"http://127.0.0.1:{port}/users/signup", json=new, timeout=30).ok
    first.wait_for(lambda: "Code for ada" in first.output, "the code is printed")
    [code] = re.findall(r"Code for ada, as e-mailed to a\*\*\*@e\*\*\*: (\d{6})", first.output)
    assert PASSWORD not in first.output
    assert token not in first.output
    first.end(signal.SIGKILL)

    command_line.serve(port)
    assert command_line.state().pool_id == emulator.pool_id
    assert randoms(port, token) == (200, [])
    confirmation = {"username": "ada", "confirmation_code": code}
    address = f"http://127.0.0.1:{port}/users/verify"
    assert requests.post(address, json=confirmation, timeout=30).status_code == 200
    assert randoms(port, log_in(port, "ada", PASSWORD)) == (200, [])


def test_the_reloader_keeps_the_emulator(command_line: CommandLine) -> None:
    """A changed source file restarts the app alone: same emulator, same port, same tokens."""
    port = free_port()
    process = command_line.serve(port, "--debug")
    token, emulator_port = log_in(port), command_line.state().port
    assert randoms(port, token) == (200, [])

    source = command_line.home / "resource_server" / "pages" / "views.py"
    text = source.read_text(encoding="utf-8")
    assert "Home page of randomizer" in text
    source.write_text(text.replace("Home page of randomizer", "Changed"), encoding="utf-8")

    def changed() -> bool:
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/", timeout=5)
        except (requests.ConnectionError, requests.Timeout):  # between the two processes
            return False
        return bool(answer.json() == {"message": "Changed"})

    process.wait_for(changed, "the changed source is served")
    assert randoms(port, token) == (200, [])
    assert command_line.state().port == emulator_port
    assert f":{emulator_port}/" in command_line.state().settings["COGNITO_JWKS_URI"]
    assert randoms(port, log_in(port)) == (200, [])
    assert process.output.count("Demo user") == 1


def test_a_second_service_finds_the_first_ones_emulator(command_line: CommandLine) -> None:
    """Two `flask run` on one folder share a pool: a token of one is good at the other."""
    one, other = free_port(), free_port()
    command_line.serve(one)
    command_line.serve(other)
    assert randoms(other, log_in(one)) == (200, [])


def test_other_commands_start_no_emulator(command_line: CommandLine) -> None:
    """`flask routes` works while nothing runs: it has the pool's ids, and starts no server."""
    process = command_line.flask("routes")
    assert process.wait() == 0, process.output
    assert "/randoms" in process.output
    assert "Demo user" not in process.output
    state = command_line.state()
    assert state.keys == {}, "a server would have made the keys"
    assert command_line.flask("routes").wait() == 0
    assert command_line.state() == state


POOL_OF_PRODUCTION = {
    "AWS_USER_POOL_ID": "eu-west-2_Production",
    "AWS_COGNITO_APP_CLIENT_ID": "production",
    "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
}


@pytest.mark.parametrize(
    "command", [("users", "sync", "--delete-gone"), ("cognito", "apply", "--yes")], ids=" ".join
)
def test_a_pool_that_is_named_is_the_one_that_is_used(
    command_line: CommandLine, command: tuple[str, ...]
) -> None:
    """After `make run`, an exported pool wins. The command says so before it does anything."""
    emulator = EmulatorState.new()
    emulator.save(command_line.instance / "emulator.json")
    process = command_line.flask(*command, **POOL_OF_PRODUCTION)
    assert process.wait() != 0  # nothing listens there
    first = next(line for line in process.output.splitlines() if line.startswith("User pool"))
    assert "eu-west-2_Production in eu-west-2, at http://127.0.0.1:9" in first
    assert emulator.pool_id not in process.output
    assert emulator.url not in process.output


@pytest.mark.parametrize(
    "command",
    [
        ("users", "sync"),
        ("users", "show", "demo"),
        ("users", "disable", "demo"),
        ("users", "enable", "demo"),
        ("cognito", "plan"),
        ("cognito", "apply", "--yes"),
        ("cognito", "doctor"),
        ("cognito", "token", "--username", "demo", "--password-stdin"),
        ("db", "upgrade"),
        ("db", "downgrade"),
    ],
    ids=" ".join,
)
def test_a_command_that_names_no_pool_does_not_use_the_emulator(
    command_line: CommandLine, command: tuple[str, ...]
) -> None:
    """It says what to set instead."""
    process = command_line.flask(*command)
    assert process.wait() == 1
    assert "No user pool is named" in process.output
    assert "COGNITO_EMULATOR=embedded" in process.output
    assert "Traceback" not in process.output
    assert not (command_line.instance / "resource_server.sqlite").exists()


@pytest.mark.parametrize("command", [("run",), ("routes",), ("users", "sync")], ids=" ".join)
def test_emulator_and_pool_together_stop_the_command(
    command_line: CommandLine, command: tuple[str, ...]
) -> None:
    """It is unclear which one was meant."""
    process = command_line.flask(*command, COGNITO_EMULATOR="embedded", AWS_USER_POOL_ID="x_1")
    assert process.wait() == 1
    assert "COGNITO_EMULATOR=embedded and AWS_USER_POOL_ID are both set" in process.output
    assert "Traceback" not in process.output


def test_the_emulator_is_not_put_on_a_database_that_is_named(command_line: CommandLine) -> None:
    """Its users do not get into the database of production, unless both are named."""
    process = command_line.flask("run", DATABASE_URL="postgresql://db.example.com/app")
    assert process.wait() == 1
    assert "DATABASE_URL is set, but no user pool" in process.output


def test_the_emulator_can_be_named(command_line: CommandLine) -> None:
    """Then the commands work beside `flask run`, and say where."""
    command_line.serve(free_port())
    process = command_line.flask("users", "sync", COGNITO_EMULATOR="embedded")
    assert process.wait() == 0, process.output
    state = command_line.state()
    assert f"User pool  {state.pool_id} in us-east-1, at {state.url}, an emulator" in process.output
    assert f"Database   SQLite in {command_line.instance}/" in process.output


def test_env_file_wins_over_flaskenv(command_line: CommandLine) -> None:
    """A pool of `.env` is used, though `.flaskenv` has the emulator."""
    shutil.copy(ROOT / ".flaskenv", command_line.home)
    lines = "".join(f"{name}={value}\n" for name, value in POOL_OF_PRODUCTION.items())
    (command_line.home / ".env").write_text(lines, encoding="utf-8")
    process = command_line.run("flask", "users", "sync", FLASK_SKIP_DOTENV="0")
    assert process.wait() == 1
    assert "User pool  eu-west-2_Production in eu-west-2" in process.output


@pytest.mark.parametrize(
    "line",
    ["AWS_USER_POOL_ID", "DATABASE_URL='postgresql://h/d", "a b=c", "\ufeffAWS_USER_POOL_ID=x"],
)
def test_a_malformed_env_file_stops_the_command(command_line: CommandLine, line: str) -> None:
    """It would run on SQLite otherwise. The message has the number of the line, not its text."""
    shutil.copy(ROOT / ".flaskenv", command_line.home)
    (command_line.home / ".env").write_text(f"LOG_LEVEL=INFO\n{line}\n", encoding="utf-8")
    process = command_line.run("flask", "routes", FLASK_SKIP_DOTENV="0")
    assert process.wait() == 1
    assert ".env, line 2: this is not NAME=value" in process.output
    assert line not in process.output
    assert "Traceback" not in process.output


@pytest.mark.parametrize("option", [True, False], ids=["--env-file", "FLASK_ENV_FILE"])
def test_a_malformed_file_of_ones_own_stops_the_command(
    command_line: CommandLine, option: bool
) -> None:
    """It is read like .env."""
    file = command_line.home / "production.env"
    file.write_text("LOG_LEVEL=INFO\nDATABASE URL=postgresql://h/d\n", encoding="utf-8")
    arguments = ("--env-file", str(file)) if option else ()
    environment = {} if option else {"FLASK_ENV_FILE": str(file)}
    process = command_line.flask(*arguments, "routes", **environment)
    assert process.wait() == 1
    assert "production.env, line 2: this is not NAME=value" in process.output
    assert "Traceback" not in process.output


@pytest.mark.parametrize("value", ["true", "Embedded", "on"])
@pytest.mark.parametrize("pool", [{}, POOL_OF_PRODUCTION], ids=["no pool", "pool"])
def test_a_misspelt_switch_stops_the_command(
    command_line: CommandLine, value: str, pool: dict[str, str]
) -> None:
    """It does not mean `off`."""
    process = command_line.flask("routes", COGNITO_EMULATOR=value, **pool)
    assert process.wait() == 1
    assert "COGNITO_EMULATOR is wrong: set it to off, auto or embedded" in process.output


def test_a_wrong_setting_has_one_exit_status_for_all_flask_commands(
    command_line: CommandLine,
) -> None:
    """With --app wsgi, too, as deployments run `flask db upgrade`."""
    wrong = POOL_OF_PRODUCTION | {"AWS_USER_POOL_ID": "wrong"}
    process = command_line.flask("--app", str(ROOT / "wsgi.py"), "db", "upgrade", **wrong)
    assert process.wait() == 1
    assert "Error: The service cannot start with these settings:" in process.output
    assert "Traceback" not in process.output


def test_the_emulator_is_called_although_endpoints_are_ignored(command_line: CommandLine) -> None:
    """The passwords of its users do not go to AWS."""
    EmulatorState.new().save(command_line.instance / "emulator.json")
    ignore = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    process = command_line.flask("users", "sync", COGNITO_EMULATOR="embedded", **ignore)
    process.wait()
    assert "at http://127.0.0.1:" in process.output


@pytest.mark.parametrize("host", ["203.0.113.9", "unknown.invalid"])
def test_an_address_that_cannot_be_served_is_told_before_the_banner(
    command_line: CommandLine, host: str
) -> None:
    """RFC 5737's addresses and RFC 6761's names are of no machine."""
    process = command_line.flask("run", "--host", host, "--port", str(free_port()))
    assert process.wait() == 1
    assert f"This machine cannot listen on {host}" in process.output
    assert "Demo user" not in process.output


def test_a_port_in_use_is_told_before_the_banner(command_line: CommandLine) -> None:
    """And how to choose another one, under make as well."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = command_line.flask("run", "--port", str(port))
        assert process.wait() == 1
    assert f"Port {port} is in use" in process.output
    assert 'ARGS="--port ' in process.output
    assert "Demo user" not in process.output
    assert not (command_line.instance / "emulator.json").exists()


def test_a_number_that_is_no_port_is_one_sentence(command_line: CommandLine) -> None:
    """Python raises OverflowError for it."""
    process = command_line.flask("run", "--port", "65536")
    assert process.wait() == 1
    assert "65536 is no port. Choose one up to 65535." in process.output
    assert "Traceback" not in process.output


def test_flask_run_tells_about_a_damaged_file(command_line: CommandLine) -> None:
    """One sentence with what to do, no trace; the file is left as it is."""
    command_line.instance.mkdir()
    file = command_line.instance / "emulator.json"
    file.write_text('{"pool_id": "us-ea', encoding="utf-8")
    process = command_line.flask("run", "--port", str(free_port()))
    assert process.wait() != 0
    assert "move it away" in process.output
    assert "Traceback" not in process.output
    assert file.read_text(encoding="utf-8") == '{"pool_id": "us-ea'


def test_gunicorn_never_starts_the_emulator(command_line: CommandLine) -> None:
    """A production server without pool settings ends and names them, whatever is switched on."""
    process = command_line.run(
        "gunicorn",
        "wsgi:app",
        "--bind",
        f"127.0.0.1:{free_port()}",
        "--no-control-socket",
        COGNITO_EMULATOR="embedded",
    )
    assert process.wait() != 0
    for name in ("AWS_USER_POOL_ID", "AWS_COGNITO_APP_CLIENT_ID"):
        assert f"{name} is not set" in process.output
    assert not (command_line.instance / "emulator.json").exists()
