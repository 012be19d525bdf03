"""`flask cognito token`."""

import json
from typing import Any

import pytest
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult

from tests.cli.conftest import CommandLine
from tests.conftest import PASSWORD
from tests.provisioning.conftest import World

NEW_PASSWORD = "An0ther-passw0rd!"


@pytest.fixture
def ada(world: World) -> str:
    """Somebody who can sign in."""
    world.change_client(ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"])
    create(world, "ada", permanent=True)
    return "ada"


def create(world: World, username: str, *, permanent: bool) -> None:
    """Make a user with a password, which may be a temporary one."""
    cognito = world.aws.cognito
    cognito.admin_create_user(UserPoolId=world.pool_id, Username=username, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(
        UserPoolId=world.pool_id, Username=username, Password=PASSWORD, Permanent=permanent
    )


def challenge(name: str, parameters: dict[str, str]) -> Any:
    """Let Cognito ask for something."""

    def answer(_: object) -> ActionResult:
        return ActionResult(
            {"ChallengeName": name, "Session": "s" * 20, "ChallengeParameters": parameters}
        )

    return answer


def test_only_the_token_is_on_stdout(run: CommandLine, ada: str) -> None:
    """`$(flask cognito token)` is the access token: prompts are on stderr, the password nowhere."""
    result = run("token", input=f"{ada}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    token = result.stdout.strip()
    assert (result.stdout, token.count(".")) == (f"{token}\n", 2)
    assert "Password" in result.stderr
    assert PASSWORD not in result.output


def test_a_password_from_stdin(run: CommandLine, ada: str) -> None:
    """--password-stdin reads one line, and asks nothing."""
    result = run("token", "--username", ada, "--password-stdin", input=f"{PASSWORD}\nmore")
    assert (result.exit_code, result.stderr) == (0, "")


def test_further_tokens(run: CommandLine, ada: str) -> None:
    """--id and --refresh print the other two, --json all that came."""
    common = ("token", "--username", ada, "--password-stdin")
    answer = json.loads(run(*common, "--json", input=PASSWORD).stdout)
    assert answer["expires_in"] == 900  # as the client is configured
    assert answer.keys() == {
        "access_token",
        "expires_in",
        "token_type",
        "id_token",
        "refresh_token",
        "new_device",  # the pool remembers devices
    }
    assert run(*common, "--id", input=PASSWORD).stdout.count(".") == 2
    assert run(*common, "--refresh", input=PASSWORD).stdout.count(".") == 0


def test_decode_tells_the_verifiers_mind(run: CommandLine, ada: str) -> None:
    """Header and claims, and whether this service accepts the token, or why not."""
    common = ("token", "--username", ada, "--password-stdin", "--decode")
    read = json.loads(run(*common, input=PASSWORD).stdout)
    assert read["header"]["alg"] == "RS256"
    assert (read["claims"]["username"], read["claims"]["token_use"]) == (ada, "access")
    assert (read["accepted"], read["refused_because"]) == (True, None)
    read = json.loads(run(*common, "--id", input=PASSWORD).stdout)
    assert (read["accepted"], read["refused_because"]) == (
        False,
        "token_use: The token is not an access token",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password-stdin"],
        ["--username", "ada", "--json", "--decode"],
        ["--username", "ada", "--refresh", "--decode"],
    ],
)
def test_options_that_exclude_each_other(run: CommandLine, arguments: list[str]) -> None:
    """Such a call needs no password, and is wrong usage."""
    result = run("token", *arguments, input=PASSWORD)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Password" not in result.stderr


def test_refusals_are_sentences(
    run: CommandLine, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password is said to be one; a fault of the set-up sends to the doctor."""
    common = ("token", "--username", ada, "--password-stdin")
    wrong = run(*common, input="wrong")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert "user name or the password" in wrong.stderr

    def refuse(_: object) -> None:
        raise JsonRESTError("InvalidParameterException", "hunter2")

    monkeypatch.setattr(CognitoIdpResponse, "initiate_auth", refuse)
    broken = run(*common, input=PASSWORD)
    assert (broken.exit_code, "flask cognito doctor" in broken.stderr) == (1, True)
    assert "hunter2" not in broken.output


def test_a_new_password_is_asked_for(run: CommandLine, world: World, ada: str) -> None:
    """Somebody with a temporary password chooses one, twice, and gets the token."""
    create(world, "grace", permanent=False)
    answers = f"{PASSWORD}\n{NEW_PASSWORD}\n{NEW_PASSWORD}\n"
    result = run("token", "--username", "grace", input=answers)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().count(".") == 2
    assert NEW_PASSWORD not in result.output
    again = run("token", "--username", "grace", "--password-stdin", input=NEW_PASSWORD)
    assert again.exit_code == 0


def test_a_code_is_asked_for(run: CommandLine, ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code of an authenticator goes to Cognito with the real user name; a wrong one is told."""
    asked: list[dict[str, Any]] = []

    def respond(self: CognitoIdpResponse) -> ActionResult:
        responses = self._get_param("ChallengeResponses")
        asked.append(responses)
        if responses["SOFTWARE_TOKEN_MFA_CODE"] != "123456":
            raise JsonRESTError("CodeMismatchException", "hunter2")
        result = {"AccessToken": "a.b.c", "ExpiresIn": 60, "TokenType": "Bearer"}
        return ActionResult({"AuthenticationResult": result, "ChallengeParameters": {}})

    wanted = challenge("SOFTWARE_TOKEN_MFA", {"USER_ID_FOR_SRP": "real-name"})
    monkeypatch.setattr(CognitoIdpResponse, "initiate_auth", wanted)
    monkeypatch.setattr(CognitoIdpResponse, "respond_to_auth_challenge", respond)
    good = run("token", "--username", ada, input=f"{PASSWORD}\n123456\n")
    assert (good.exit_code, good.stdout) == (0, "a.b.c\n")
    assert asked[0]["USERNAME"] == "real-name"
    assert asked[0]["SECRET_HASH"]
    bad = run("token", "--username", ada, input=f"{PASSWORD}\n000000\n")
    assert (bad.exit_code, "The code is wrong" in bad.stderr) == (1, True)
    assert run("token", "--username", ada, "--id", input=f"{PASSWORD}\n123456\n").exit_code == 1


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("SELECT_MFA_TYPE", {}),
        ("NEW_PASSWORD_REQUIRED", {"requiredAttributes": '["userAttributes.name"]'}),
    ],
)
def test_other_challenges_are_said_clearly(
    run: CommandLine,
    ada: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    parameters: dict[str, str],
) -> None:
    """What no single prompt can answer is named."""
    monkeypatch.setattr(CognitoIdpResponse, "initiate_auth", challenge(name, parameters))
    result = run("token", "--username", ada, input=f"{PASSWORD}\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert name in result.stderr


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (
            ("UserLambdaValidationException", "PreAuthentication failed with error No."),
            "Error: No\n",
        ),
        (("ForbiddenException", "Request not allowed due to WAF block."), "WAF"),
        (("ResourceNotFoundException", "no such client"), "check AWS_USER_POOL_ID"),
        (("InvalidParameterException", "Value at 'username' failed to satisfy"), "accept username"),
    ],
)
def test_what_cognito_refuses_is_a_sentence(
    run: CommandLine,
    ada: str,
    monkeypatch: pytest.MonkeyPatch,
    refusal: tuple[str, str],
    says: str,
) -> None:
    """Of the trigger, of the parameter, or of what an operator has to do."""

    def refused(_: object) -> None:
        raise JsonRESTError(*refusal)

    monkeypatch.setattr(CognitoIdpResponse, "initiate_auth", refused)
    result = run("token", "--username", ada, "--password-stdin", input=PASSWORD)
    assert result.exit_code == 1
    assert says in result.stderr
    assert PASSWORD not in result.output
