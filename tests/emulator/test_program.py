"""The emulator as a program: in processes of its own, as anybody starts it."""

import base64
import contextlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from click.testing import CliRunner

from resource_server.emulator.__main__ import main
from resource_server.emulator.state import EmulatorState
from resource_server.tokens import CognitoVerifier, InvalidToken, UserPool
from tests.conftest import PASSWORD
from tests.emulator.conftest import claims
from tests.emulator.pages import sign_in_with_browser

ROOT = Path(__file__).parent.parent.parent
DEADLINE = 60.0
POOL, OTHER = "eu-west-2_Shop00001", "us-east-1_Other0001"
BACK, SIGNED_OUT = "http://127.0.0.1:3000/back", "http://127.0.0.1:3000/"
POOLS = f"""
[[pools]]
id = "{POOL}"
[[pools.resource_servers]]
identifier = "shop"
scopes = ["read"]
[[pools.clients]]
id = "web"
secret = "the-secret-of-the-client-web"
callback_urls = ["{BACK}"]
logout_urls = ["{SIGNED_OUT}"]
scopes = ["openid", "email", "shop/read"]
[[pools.clients]]
id = "nightly"
secret = "the-secret-of-the-client-nightly"
client_credentials = true
[[pools.users]]
username = "ada"
password = "{PASSWORD}"
attributes = {{ email = "ada@example.com" }}
groups = ["admins"]

[[pools]]
id = "{OTHER}"
sign_in_with = ["email"]
trigger = "shop:other"
[[pools.clients]]
id = "other"
[[pools.users]]
username = "bob@example.com"
password = "{PASSWORD}"
"""
TRIGGER = """
def add(event, context, claim="tenant"):
    details = {"claimsToAddOrOverride": {claim: event["triggerSource"]}}
    event["response"] = {"claimsAndScopeOverrideDetails": {"accessTokenGeneration": details}}
    return event


def other(event, context):
    return add(event, context, "other")
"""
SLOW = """
import pathlib, time


def handler(event, context):
    pathlib.Path("began").touch()
    time.sleep(1)
    return event | {"response": {}}
"""


class Run:
    """One run of the program; it is ended with the test."""

    def __init__(self, home: Path, options: Sequence[str], port: int) -> None:
        self._ready = home / f"ready-{time.monotonic_ns()}.json"
        self.log = home / f"output-{time.monotonic_ns()}.txt"
        ours = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(home)}
        command = [sys.executable, "-m", "resource_server.emulator", "--port", str(port)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(self._ready), *options],
                cwd=home,
                env=ours,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has printed until now."""
        return self.log.read_text(encoding="utf-8")

    def ready(self) -> Any:
        """Wait until it answers; return what its file says."""
        self.wait_for(self._ready)
        return json.loads(self._ready.read_text(encoding="utf-8"))

    def wait_for(self, file: Path) -> None:
        """Wait until it has written a file."""
        end = time.monotonic() + DEADLINE
        while not file.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"it wrote no {file.name}:\n{self.output}")
            time.sleep(0.05)

    def end(self, name: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(name)
        return self.wait()

    def wait(self) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end:\n{self.output}")


class Program:
    """Starts the program in a folder with a pools file and triggers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runs: list[Run] = []
        (home / "pools.toml").write_text(POOLS, encoding="utf-8")
        (home / "shop.py").write_text(TRIGGER, encoding="utf-8")

    def start(self, *options: str, port: int = 0) -> Run:
        """Start it."""
        run = Run(self.home, options, port)
        self.runs.append(run)
        return run


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program, not started yet."""
    made = Program(tmp_path)
    yield made
    for run in made.runs:
        with contextlib.suppress(ProcessLookupError):
            run.process.kill()
        run.process.wait(DEADLINE)


@pytest.fixture
def boto(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes clients that find the program as any AWS SDK does: by the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")

    made: list[Any] = []

    def make(url: str, region: str = "eu-west-2") -> Any:
        monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", url)
        made.append(boto3.client("cognito-idp", region_name=region))
        return made[-1]

    yield make
    for client in made:
        client.close()


def sign_in(client: Any, client_id: str, username: str, password: str = PASSWORD) -> Any:
    """Sign in over the API as a public client."""
    return client.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": username, "PASSWORD": password},
    )["AuthenticationResult"]


def test_a_life_with_the_program(program: Program, boto: Callable[..., Any]) -> None:
    """Sign-up with the code from its address, the code grant, refresh, sign-out; then a restart."""
    options = ("--pools", "pools.toml", "--state", "kept.json", "--trigger", "shop:add")
    run = program.start(*options)
    told = run.ready()
    shop, other = told["pools"]
    assert requests.get(f"{told['url']}/health", timeout=10).json()["pools"] == [POOL, OTHER]
    client = boto(told["url"])
    public = client.create_user_pool_client(
        UserPoolId=POOL,
        ClientName="cli",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]["ClientId"]

    address = [{"Name": "email", "Value": "grace@example.com"}]
    client.sign_up(ClientId=public, Username="grace", Password=PASSWORD, UserAttributes=address)
    [sent] = requests.get(told["codes"], params={"username": "grace"}, timeout=10).json()
    client.confirm_sign_up(ClientId=public, Username="grace", ConfirmationCode=sent["code"])
    assert f"Code for grace, as e-mailed to g***@e***: {sent['code']}" in run.output
    assert claims(sign_in(client, public, "grace")["AccessToken"])["tenant"] == (
        "TokenGeneration_Authentication"
    )

    found = requests.get(shop["discovery"], timeout=10).json()
    assert found["issuer"] == shop["issuer"] == shop["discovery"].partition("/.well-known")[0]
    asked = {"client_secret": "the-secret-of-the-client-web", "scope": "openid shop/read"}
    tokens = sign_in_with_browser(found, "web", BACK, "grace", PASSWORD, **asked)
    access = tokens["access_token"]
    pool = UserPool.parse(POOL, issuer=found["issuer"], jwks_uri=found["jwks_uri"])
    verified = CognitoVerifier(pool, client_ids={"web"}).verify(access)
    assert (verified.username, set(verified.scopes)) == ("grace", {"openid", "shop/read"})
    assert claims(access)["tenant"] == "TokenGeneration_HostedAuth"
    of_aws = UserPool.parse(POOL, jwks_uri=found["jwks_uri"])
    with pytest.raises(InvalidToken):
        CognitoVerifier(of_aws, client_ids={"web"}).verify(access)

    web = ("web", "the-secret-of-the-client-web")
    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refreshed = requests.post(found["token_endpoint"], data=again, auth=web, timeout=10).json()
    bearer = {"Authorization": f"Bearer {refreshed['access_token']}"}
    told_of = requests.get(found["userinfo_endpoint"], headers=bearer, timeout=10).json()
    assert (told_of["username"], told_of["email"]) == ("grace", "grace@example.com")
    out = requests.get(
        found["end_session_endpoint"],
        params={"client_id": "web", "logout_uri": SIGNED_OUT},
        allow_redirects=False,
        timeout=10,
    )
    assert out.headers["Location"] == SIGNED_OUT

    bob = sign_in(boto(told["url"], "us-east-1"), "other", "bob@example.com")["AccessToken"]
    assert claims(bob)["iss"] == other["issuer"]
    assert claims(bob)["other"] == "TokenGeneration_Authentication"
    assert run.end() == 0
    assert run.output.rstrip().endswith("Stopped.")
    for secret in (PASSWORD, "the-secret-of-the-client-web", access):
        assert secret not in run.output
    assert not list(program.home.glob("ready-*"))

    restarted = program.start(*options)
    url = restarted.ready()["url"]
    token = sign_in(boto(url), public, "grace")["AccessToken"]
    assert claims(token)["sub"] == verified.sub
    assert restarted.end(signal.SIGINT) == 0


def test_a_machine_signs_in(program: Program) -> None:
    """With a token endpoint that discovery names, and nothing else set up."""
    [shop, _] = program.start("--pools", "pools.toml").ready()["pools"]
    found = requests.get(shop["discovery"], timeout=10).json()
    grant = {"grant_type": "client_credentials"}
    machine = ("nightly", "the-secret-of-the-client-nightly")
    made = requests.post(found["token_endpoint"], data=grant, auth=machine, timeout=10).json()
    assert claims(made["access_token"])["scope"] == "shop/read"


def test_without_a_pools_file_there_is_a_demo_user(
    program: Program, boto: Callable[..., Any]
) -> None:
    """And without a state file it says that nothing is kept; tokens can have AWS's issuer."""
    run = program.start("--issuer", "aws")
    told = run.ready()
    [pool] = told["pools"]
    assert pool["issuer"] == f"https://cognito-idp.us-east-1.amazonaws.com/{pool['id']}"
    assert requests.get(pool["discovery"], timeout=10).json()["issuer"] == pool["issuer"]
    assert "kept nowhere" in run.output
    for shown in (told["url"], pool["id"], pool["discovery"], "AWS_ENDPOINT_URL_COGNITO"):
        assert shown in run.output
    [secret] = [client["secret"] for client in pool["clients"] if client["secret"]]
    assert secret not in run.output
    users = boto(told["url"], "us-east-1").list_users(UserPoolId=pool["id"])["Users"]
    assert {user["Username"] for user in users} == {"demo", "admin"}
    assert run.end() == 0
    assert {entry.name for entry in program.home.glob("*.*")} == {
        "pools.toml",
        "shop.py",
        run.log.name,
    }


def test_a_trigger_is_what_this_run_was_told(program: Program, boto: Callable[..., Any]) -> None:
    """It comes and goes with the option, for pools that are kept as well."""
    for options, seen in (
        (["--trigger", "shop:add"], True),
        ([], False),
        (["--trigger", "shop:add"], True),
    ):
        run = program.start("--state", "kept.json", *options)
        told = run.ready()
        [pool] = told["pools"]
        [public] = [client["id"] for client in pool["clients"] if not client["secret"]]
        client = boto(told["url"], "us-east-1")
        token = sign_in(client, public, "demo", "Demo-Passw0rd!")["AccessToken"]
        assert ("tenant" in claims(token)) == seen
        assert run.end() == 0


def test_others_may_call_it_by_its_public_url(program: Program) -> None:
    """Containers do; the issuer is that name, and loopback still works."""
    options = ("--public-url", "http://cognito:5001/", "--pools", "pools.toml")
    run = program.start(*options, "--host", "0.0.0.0")  # noqa: S104 - as a container does
    told = run.ready()
    assert "WARNING" in run.output
    assert told["url"] == "http://cognito:5001"
    assert told["pools"][0]["issuer"] == f"http://cognito:5001/{POOL}"
    local = f"http://127.0.0.1:{told['port']}/health"
    for host, status in {"cognito:5001": 200, "localhost": 200, "evil.example": 403}.items():
        answer = requests.get(local, headers={"Host": host}, timeout=10)
        assert answer.status_code == status, host
    assert "--public-url" in requests.get(local, headers={"Host": "db"}, timeout=10).text


def test_a_request_under_way_is_answered(program: Program) -> None:
    """SIGTERM ends nothing that has begun; what it changed is kept."""
    (program.home / "slow.py").write_text(SLOW, encoding="utf-8")
    options = ("--pools", "pools.toml", "--state", "kept.json")
    run = program.start(*options, "--trigger", "slow:handler")
    told = run.ready()
    body = json.dumps(
        {
            "ClientId": "web",
            "AuthFlow": "USER_PASSWORD_AUTH",
            "AuthParameters": {
                "USERNAME": "ada",
                "PASSWORD": PASSWORD,
                "SECRET_HASH": secret_hash(),
            },
        }
    )
    with socket.create_connection(("127.0.0.1", told["port"]), timeout=DEADLINE) as connection:
        connection.sendall(
            (
                "POST / HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\n"
                "X-Amz-Target: AWSCognitoIdentityProviderService.InitiateAuth\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        run.wait_for(program.home / "began")
        assert run.end() == 0
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    result = json.loads(answer.partition(b"\r\n\r\n")[2])["AuthenticationResult"]
    [shop, _] = program.start(*options).ready()["pools"]
    found = requests.get(shop["discovery"], timeout=10).json()
    answered = requests.post(
        found["token_endpoint"],
        data={"grant_type": "refresh_token", "refresh_token": result["RefreshToken"]},
        auth=("web", "the-secret-of-the-client-web"),
        timeout=10,
    )
    assert answered.status_code == 200, answered.text


def secret_hash() -> str:
    """SECRET_HASH of ada with the client `web`."""
    digest = hmac.digest(b"the-secret-of-the-client-web", b"adaweb", "sha256")
    return base64.b64encode(digest).decode()


def test_a_taken_port_is_an_error(program: Program) -> None:
    """Other programs were told this port: another one would help nobody."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = program.start(port=taken.getsockname()[1])
        assert run.wait() == 1
    assert "Address already in use" in run.output
    assert "--port" in run.output


def test_two_programs_do_not_share_a_file(program: Program) -> None:
    """Each would overwrite the other's users."""
    program.start("--state", "kept.json").ready()
    second = program.start("--state", "kept.json")
    assert second.wait() == 1
    assert "Another emulator keeps its users in kept.json" in second.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trigger", "shop"], "write module:function"),
        (["--trigger", "shop:nothing"], "cannot be imported"),
        (["--trigger", "nothing:handler"], "cannot be imported"),
        (["--trigger", "os:sep"], "is no function"),
        (["--public-url", "cognito:5001"], "--public-url is an address"),
        (["--public-url", "http://cognito/path"], "--public-url is an address"),
        (["--pools", "shop.py"], "is not TOML"),
        (["--pools", "nothing.toml"], "does not exist"),
        (["--state", "flask.json"], "move it away"),
        (["--state", "shop.py"], "move it away"),
        (["--ready-file", "shop.py/ready.json"], "shop.py/ready.json cannot be written"),
        (["--host", "256.256.256.256"], "Nothing can be served on 256.256.256.256"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told_in_a_sentence(
    program: Program, options: list[str], said: str
) -> None:
    """No trace, an exit code, and files are left as they are."""
    flask = program.home / "flask.json"
    EmulatorState.new().save(flask)
    before = flask.read_text(encoding="utf-8")
    run = program.start(*options)
    assert run.wait() in {1, 2}
    assert said in " ".join(run.output.split())
    assert "Traceback" not in run.output
    assert flask.read_text(encoding="utf-8") == before


def test_help_needs_no_moto(program: Program) -> None:
    """The console script is there without the extra; only serving needs it."""
    script = (
        "import sys; sys.modules['moto'] = None\n"
        "from resource_server.emulator.__main__ import main; main(sys.argv[1:])\n"
    )
    for options, code, said in (
        ([], 1, "pip install 'resource-server[dev]'"),
        (["-h"], 0, "Usage"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *options],
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )
        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr


def test_it_tells_its_version() -> None:
    """The version is that of the distribution, and nothing is served."""
    shown = CliRunner().invoke(main, ["--version"])
    expected = f"cognito-emulator, version {version('resource-server')}\n"
    assert (shown.exit_code, shown.output) == (0, expected)


def test_ctrl_c_while_it_starts_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes time to import is imported by the command, which ends without a traceback."""

    def interrupt(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resource_server.emulator.__main__.importlib.import_module", interrupt)
    stopped = CliRunner().invoke(main, [])
    assert (stopped.exit_code, stopped.output) == (1, "\nAborted!\n")


def test_the_command_itself_imports_little() -> None:
    """Python ends with a traceback where Ctrl-C interrupts an import at the top of a module."""
    code = "import sys, resource_server.emulator.__main__; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
