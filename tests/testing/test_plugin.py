"""The plugin in projects of other people: each test here runs pytest in a folder of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.conftest import Run

ROOT = Path(__file__).parent.parent.parent
DOCUMENTED = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), re.DOTALL
)

NOTES = """
    from flask import Flask
    from resource_server import CognitoVerifier, ResourceServer, current_principal, require_scope

    def create_app(pool):
        app = Flask("notes")
        ResourceServer(app, CognitoVerifier(pool.user_pool, client_ids={pool.client_id}))

        @app.get("/notes")
        @require_scope("notes")
        def notes():
            return {"owner": current_principal.username, "sub": current_principal.sub}

        return app
"""


@pytest.fixture(autouse=True)
def _notes(pytester: pytest.Pytester) -> None:
    """Put an app into the project."""
    pytester.makepyfile(notes=NOTES)


def test_the_twenty_documented_lines(pytester: pytest.Pytester, run: Run) -> None:
    """docs/testing.md begins with an app of ten lines and tests in ten; they pass as written."""
    app, tests = DOCUMENTED[:2]
    for text in (app, tests):
        assert len([line for line in text.splitlines() if line]) <= 10
    pytester.makepyfile(notes=app, test_notes=tests)
    run().assert_outcomes(passed=1)


def test_the_documented_tests_can_fail(pytester: pytest.Pytester, run: Run) -> None:
    """An app that asks for no scope is found out by these lines."""
    app, tests = DOCUMENTED[:2]
    pytester.makepyfile(notes=app.replace('@require_scope("notes")', ""), test_notes=tests)
    run().assert_outcomes(failed=1)


def test_sign_in_as_with_pytest_flask(pytester: pytest.Pytester, run: Run) -> None:
    """The fixture `client` presents whoever signed in last, and nobody in the next test."""
    pytester.makepyfile("""
        import pytest
        from flask import has_request_context
        from notes import create_app

        @pytest.fixture
        def app(cognito_pool):
            return create_app(cognito_pool)

        def test_two_users(client, sign_in_as, cognito_pool):
            token = sign_in_as("ada", scope="notes")
            assert client.get("/notes").json["owner"] == "ada"
            sign_in_as("bob", scope="notes")
            assert client.get("/notes").json["owner"] == "bob"
            headers = {"Authorization": f"Bearer {token}"}
            assert client.get("/notes", headers=headers).json["owner"] == "ada"

        def test_nobody(client):
            assert not has_request_context()
            assert client.get("/notes").status_code == 401
    """)
    run().assert_outcomes(passed=2)


def test_sign_in_as_is_undone_on_a_client_that_lives_on(
    pytester: pytest.Pytester, run: Run
) -> None:
    """A client of the whole session is signed out after each test; its own headers come back."""
    pytester.makepyfile("""
        import pytest
        from notes import create_app
        from resource_server.testing import CognitoOptions, CognitoPool, bearer

        @pytest.fixture(scope="session")
        def client(cognito_keys):
            client = create_app(CognitoPool(keys=cognito_keys)).test_client()
            client.environ_base["HTTP_AUTHORIZATION"] = "Bearer of.its.own"
            return client

        @pytest.mark.parametrize("turn", range(2))
        def test_turns(client, sign_in_as, turn):
            assert client.get("/notes").status_code == 401
            sign_in_as("ada", scope="notes")
            sign_in_as("bob", scope="notes")
            assert client.get("/notes").json["owner"] == "bob"

        def test_its_own(client):
            assert client.environ_base["HTTP_AUTHORIZATION"] == "Bearer of.its.own"
    """)
    run().assert_outcomes(passed=3)


def test_sign_in_as_with_clients_of_httpx(pytester: pytest.Pytester, run: Run) -> None:
    """Starlette's test client, named or as `client`; anything else is told what to do."""
    pytester.makepyfile("""
        import pytest
        from fastapi import FastAPI, Request
        from fastapi.testclient import TestClient

        @pytest.fixture
        def client():
            app = FastAPI()

            @app.get("/")
            def header(request: Request) -> str:
                return request.headers.get("Authorization", "nobody")

            return TestClient(app)

        def test_presents(client, sign_in_as):
            token = sign_in_as("ada")
            assert client.get("/").json() == f"Bearer {token}"

        def test_another_client(client, sign_in_as):
            other = TestClient(client.app)
            token = sign_in_as("ada", client=other)
            assert other.get("/").json() == f"Bearer {token}"
            assert client.get("/").json() == "nobody"

        def test_no_client(sign_in_as):
            with pytest.raises(TypeError, match="neither a test client of Flask nor one of httpx"):
                sign_in_as("ada", client=object())
    """)
    run().assert_outcomes(passed=3)


def test_a_users_own_options(pytester: pytest.Pytester, run: Run) -> None:
    """The fixture counts for all tests, the nearest mark for one; a wrong mark is told so."""
    pytester.makepyfile("""
        import pytest
        from resource_server.testing import CognitoOptions

        @pytest.fixture(scope="session")
        def cognito_options():
            return CognitoOptions(pool_id="us-east-1_Mine", client_id="mine")

        def test_fixture(cognito_pool):
            assert (cognito_pool.pool_id, cognito_pool.client_id) == ("us-east-1_Mine", "mine")
            assert cognito_pool.issuer == "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Mine"

        @pytest.mark.cognito(client_id="of-the-class", pool_id="eu-west-1_Class")
        class TestMarks:
            @pytest.mark.cognito(client_id="of-the-test")
            def test_nearest(self, cognito_pool):
                assert (cognito_pool.pool_id, cognito_pool.client_id) == (
                    "eu-west-1_Class", "of-the-test"
                )

        @pytest.mark.cognito(pool="typo")
        def test_unknown(cognito_pool): ...
    """)
    result = run()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*unexpected keyword argument 'pool'*"])


def test_a_mark_serves_a_pool_to_tests_that_do_not_name_it(
    pytester: pytest.Pytester, run: Run
) -> None:
    """The keys are there, for an app that verifies; other tests reach nothing."""
    pytester.makepyfile("""
        import pytest, requests

        URI = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Named/.well-known/jwks.json"

        @pytest.mark.cognito(pool_id="eu-west-1_Named")
        class TestMarked:
            @pytest.fixture
            def keys(self):
                return requests.get(URI).json()["keys"]

            def test_keys(self, keys):
                assert len(keys) == 2

        @pytest.mark.allow_hosts(["127.0.0.1"])
        @pytest.mark.filterwarnings("ignore")
        def test_not_marked():
            with pytest.raises((OSError, RuntimeError)):
                requests.get(URI, timeout=1)
    """)
    run().assert_outcomes(passed=2)


def test_a_mark_with_a_position_is_a_mistake(pytester: pytest.Pytester, run: Run) -> None:
    """What it would mean is anybody's guess, so nothing runs."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.cognito("eu-west-2_Pool")
        def test_positional(cognito_pool): ...
    """)
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_positional: the mark cognito takes keywords alone*"])


def test_moto_with_its_gaps_filled(pytester: pytest.Pytester, run: Run) -> None:
    """Codes, the trigger, secrets, groups, refreshing, by boto3; nobody is left for the next."""
    pytester.makepyfile("""
        import pytest
        from notes import create_app
        from resource_server import InvalidToken
        from resource_server.testing import CognitoOptions, bearer

        def trigger(event, context):
            scopes = {"scopesToAdd": ["notes"]}
            event["response"] = {"claimsAndScopeOverrideDetails": {"accessTokenGeneration": scopes}}
            return event

        pytestmark = pytest.mark.cognito(trigger=trigger, client_secret="s" * 24)

        @pytest.fixture
        def client(cognito_idp):
            return create_app(cognito_idp.pool).test_client()

        def test_from_code_to_token(client, cognito_idp):
            idp = cognito_idp.identity
            idp.sign_up("ada", email="ada@example.com", password="C0rrect-horse!")
            idp.confirm_sign_up("ada", cognito_idp.last_code("ada"))
            tokens = idp.authenticate("ada", "C0rrect-horse!")
            assert client.get("/notes", headers=bearer(tokens.access_token)).json["owner"] == "ada"
            assert idp.refresh(tokens.refresh_token, username="ada").access_token

        def test_a_user_at_once(client, cognito_idp, sign_in_as):
            assert cognito_idp.client.list_users(UserPoolId=cognito_idp.pool_id)["Users"] == []
            with pytest.raises(LookupError):
                cognito_idp.last_code("ada")
            bob = cognito_idp.add_user("bob", groups=["writers"], attributes={"name": "Bob"})
            tokens = cognito_idp.sign_in(bob)
            signed_in = client.get("/notes", headers=bearer(tokens.access_token)).json
            sign_in_as(bob, scope="notes")
            assert client.get("/notes").json == signed_in == {"owner": "bob", "sub": bob.sub}

        def test_time_passes(cognito_idp):
            tokens = cognito_idp.sign_in(cognito_idp.add_user("eve"))
            cognito_idp.clock.advance(31 * 24 * 3600)
            with pytest.raises(Exception) as refused:
                cognito_idp.identity.refresh(tokens.refresh_token, username="eve")
            assert type(refused.value).__name__ == "BadRefreshToken"

        def test_time_is_back(cognito_idp):
            import time
            assert abs(cognito_idp.clock.now() - time.time()) < 5

        def test_rotation(client, cognito_idp):
            user = cognito_idp.add_user("ada")
            cognito_idp.pool.rotate(withdraw=True)
            token = cognito_idp.sign_in(user).access_token
            assert client.get("/notes", headers=bearer(token)).status_code == 200

        def test_an_outage(client, cognito_idp):
            token = cognito_idp.sign_in(cognito_idp.add_user("ada")).access_token
            with cognito_idp.pool.outage():
                assert client.get("/notes", headers=bearer(token)).status_code == 503

        @pytest.mark.cognito(trigger=None)
        def test_without_trigger(client, cognito_idp):
            token = cognito_idp.sign_in(cognito_idp.add_user("ada")).access_token
            assert client.get("/notes", headers=bearer(token)).status_code == 403

        def test_a_challenge_is_no_sign_in(cognito_idp):
            whose = {"UserPoolId": cognito_idp.pool_id, "Username": "new"}
            cognito_idp.client.admin_create_user(**whose, TemporaryPassword="Temp-0rary!")
            from resource_server.testing import KitUser
            with pytest.raises(ValueError, match="NEW_PASSWORD_REQUIRED"):
                cognito_idp.sign_in(KitUser("new", "Temp-0rary!", "", ""))
    """)
    run().assert_outcomes(passed=8)


def test_moto_begins_before_the_pool_is_served(pytester: pytest.Pytester, run: Run) -> None:
    """In whatever order a test names them; too late is told, not guessed."""
    pytester.makepyfile("""
        import pytest, requests

        def uri(pool_id):
            return f"https://cognito-idp.eu-west-2.amazonaws.com/{pool_id}/.well-known/jwks.json"

        def test_named_second(cognito_pool, cognito_idp):
            requests.get(cognito_pool.jwks_uri)
            assert cognito_pool.downloads == 1

        def test_further_pools_are_motos(cognito_pool, cognito_idp):
            made = cognito_idp.client.create_user_pool(PoolName="other")["UserPool"]["Id"]
            assert len(requests.get(uri(made)).json()["keys"]) == 2
            assert cognito_pool.downloads == 0

        def test_asked_for_by_name(request):
            idp = request.getfixturevalue("cognito_idp")
            requests.get(idp.pool.jwks_uri)
            assert idp.pool.downloads == 1

        def test_too_late(request, cognito_pool):
            request.getfixturevalue("cognito_idp")
    """)
    result = run()
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["*cognito_idp is asked for as an argument, or before cognito_pool*"]
    )


def test_a_directory_in_memory(pytester: pytest.Pytester) -> None:
    """FakeIdentity signs its users' tokens with the pool's keys; moto is not even imported."""
    pytester.makepyfile("""
        import sys

        def test_fake(fake_identity, cognito_pool):
            fake_identity.add_user("ada", "C0rrect-horse!")
            tokens = fake_identity.authenticate("ada", "C0rrect-horse!")
            from resource_server import CognitoVerifier
            verifier = CognitoVerifier(cognito_pool.user_pool, client_ids=None)
            assert verifier.verify(tokens.access_token).username == "ada"
            assert not {"moto", "boto3"} & set(sys.modules)
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_a_run_without_the_kit_imports_none_of_it(pytester: pytest.Pytester) -> None:
    """The plugin is one small file: what costs is imported by the fixture that needs it."""
    pytester.makepyfile("""
        import sys

        def test_nothing():
            own = {name for name in sys.modules if name.startswith("resource_server")}
            assert own == {
                "resource_server", "resource_server.testing", "resource_server.testing.plugin"
            }
            costly = {"boto3", "cryptography", "joserfc", "moto", "requests", "responses"}
            assert not costly & set(sys.modules)
    """)
    others = [f"-pno:{plugin}" for plugin in ("flask", "schemathesis", "cacheprovider")]
    result = pytester.runpytest_subprocess(*others)
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("library", "fixture"), [("responses", "cognito_pool"), ("moto", "cognito_idp")]
)
def test_without_the_extra_it_says_what_to_install(
    pytester: pytest.Pytester, library: str, fixture: str
) -> None:
    """The plugin comes with the package, what it needs with the extra alone."""
    pytester.makeconftest(f"import sys; sys.modules[{library!r}] = None")
    pytester.makepyfile(f"def test_it({fixture}): ...")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*needs {library}: pip install 'resource-server?testing?'*"])


def test_fixtures_say_their_scope_and_cost(pytester: pytest.Pytester, run: Run) -> None:
    """`pytest --fixtures` documents each."""
    lines = run("--fixtures", "-v").stdout.str()
    for name in [
        "cognito_options",
        "cognito_keys",
        "cognito_http",
        "cognito_pool",
        "cognito_idp",
        "cognito_responses",
        "fake_identity",
        "sign_in_as",
    ]:
        text = lines[re.search(rf"^{name}\b", lines, re.MULTILINE).start() :]  # type: ignore[union-attr]
        assert re.match(r".*?\n(?:    .*\n|\n)*?.*Scope: \w+; cost: ", text), name
    assert "cognito(pool_id=" in run("--markers").stdout.str()


def test_parallel_runs_do_not_meet(pytester: pytest.Pytester) -> None:
    """Under pytest-xdist each process has its pool, its moto and its server."""
    pytester.makepyfile("""
        import pytest, requests

        @pytest.mark.parametrize("turn", range(12))
        @pytest.mark.cognito(jwks="http")
        def test_turns(cognito_idp, turn):
            pool = cognito_idp.pool
            assert cognito_idp.client.list_users(UserPoolId=pool.pool_id)["Users"] == []
            cognito_idp.sign_in(cognito_idp.add_user("ada"))
            kids = [key["kid"] for key in requests.get(pool.jwks_uri).json()["keys"]]
            assert kids == [pool.keys.id.kid, pool.keys.access.kid]
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2")
    result.assert_outcomes(passed=12)


def test_another_process_gets_the_keys(pytester: pytest.Pytester, run: Run) -> None:
    """An app that a test starts as a process downloads them from loopback."""
    script = pytester.path / "fetch.py"
    script.write_text(
        "import sys, json, urllib.request\n"
        "print(len(json.load(urllib.request.urlopen(sys.argv[1]))['keys']))\n",
        encoding="utf-8",
    )
    pytester.makepyfile(f"""
        import pytest, subprocess, sys

        @pytest.mark.cognito(jwks="http")
        def test_process(cognito_pool):
            command = [sys.executable, {str(script)!r}, cognito_pool.jwks_uri]
            assert subprocess.check_output(command, text=True).strip() == "2"
            assert cognito_pool.downloads == 1
    """)
    run().assert_outcomes(passed=1)


@pytest.mark.parametrize("example", ["flask_notes", "fastapi_orders", "blog_flow"])
def test_the_examples_pass(example: str) -> None:
    """Each is a project of its own, tested with the kit alone."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=ROOT / "examples" / example,  # configured by examples/pytest.ini, not by our pyproject
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("order", ["theirs, cognito_pool", "cognito_pool, theirs"])
@pytest.mark.parametrize("kind", ["of_responses", "of_moto"])
def test_mocks_of_others_answer_beside_the_pool(
    pytester: pytest.Pytester, run: Run, kind: str, order: str
) -> None:
    """Whoever starts first, the pool's keys are the pool's, and the rest is the other mock's."""
    pytester.makepyfile(f"""
        from contextlib import contextmanager

        import boto3, pytest, requests, responses
        from moto import mock_aws

        @contextmanager
        def of_responses():
            with responses.RequestsMock() as mock:
                mock.get("https://api.example/", json={{"keys": []}})
                yield "https://api.example/"

        @contextmanager
        def of_moto():
            with mock_aws():
                who = {{"aws_access_key_id": "any", "aws_secret_access_key": "any"}}
                client = boto3.client("cognito-idp", region_name="eu-west-2", **who)
                made = client.create_user_pool(PoolName="other")["UserPool"]["Id"]
                at_aws = "https://cognito-idp.eu-west-2.amazonaws.com"
                yield f"{{at_aws}}/{{made}}/.well-known/jwks.json"

        @pytest.fixture
        def theirs():
            with {kind}() as address:
                yield address

        def test_both({order}):
            for query in ("", "?a=b"):
                keys = requests.get(cognito_pool.jwks_uri + query).json()
                assert keys == cognito_pool.jwks()
            assert cognito_pool.downloads == 2
            assert "keys" in requests.get(theirs).json()

        def test_afterwards(theirs):
            assert "keys" in requests.get(theirs).json()
    """)
    run().assert_outcomes(passed=2)


def test_an_adapter_of_the_apps_own_is_asked(pytester: pytest.Pytester, run: Run) -> None:
    """A session that keeps answers in its own way goes on doing so."""
    pytester.makepyfile("""
        import requests
        from requests.adapters import HTTPAdapter

        class Keeping(HTTPAdapter):
            kept = None

            def send(self, request, **kwargs):
                self.kept = self.kept or super().send(request, **kwargs)
                return self.kept

        def test_downloads_once(cognito_pool):
            session = requests.Session()
            session.mount("https://", Keeping())
            for _ in range(2):
                assert session.get(cognito_pool.jwks_uri).json() == cognito_pool.jwks()
            assert cognito_pool.downloads == 1
    """)
    run().assert_outcomes(passed=1)


def test_an_app_of_the_whole_session_downloads_at_once(pytester: pytest.Pytester, run: Run) -> None:
    """As docs/testing.md says: a pool with the session's keys is served while it is made."""
    pytester.makepyfile("""
        import pytest, requests, resource_server.testing.serving
        from resource_server.testing import CognitoPool

        @pytest.fixture(scope="session")
        def keys(cognito_keys):
            pool = CognitoPool(keys=cognito_keys)
            with resource_server.testing.serving.intercepted(pool):
                return requests.get(pool.jwks_uri).json()

        @pytest.mark.parametrize("turn", range(2))
        def test_the_tests_tokens_are_signed_with_them(keys, cognito_pool, turn):
            assert keys == cognito_pool.jwks()
    """)
    run().assert_outcomes(passed=2)
