"""The Pre Token Generation trigger, and what the emulator makes of its answer."""

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from resource_server.emulator import trigger
from resource_server.triggers import pre_token_generation

SIGN_IN_SCOPE = "aws.cognito.signin.user.admin"
BY_GROUP = json.dumps(
    {"*": "me", "players": "randoms", "admins": "admin  me\trandoms", "mute": "", "both": "a b"}
)


def make_event(**request: Any) -> dict[str, Any]:
    """Build the event that Cognito sends (guide, "Pre token generation Lambda trigger")."""
    event = trigger.event(
        region="eu-west-2",
        pool_id="eu-west-2_AbCdEf123",
        client_id="1example23456789",
        username="ada",
        attributes={"sub": "0f3c", "email": "ada@example.com"},
        groups=[],
        source="TokenGeneration_Authentication",
    )
    event["request"].update(request)
    return event


def details_of(event: dict[str, Any]) -> dict[str, Any]:
    """Run our handler and return what its answer says about tokens."""
    answer = pre_token_generation.handler(event, None)
    details = answer["response"]["claimsAndScopeOverrideDetails"]
    assert isinstance(details, dict)
    return details


def scopes_of(groups: list[str]) -> list[str]:
    """Return the scopes that our handler adds for a member of these groups."""
    details = details_of(make_event(groupConfiguration={"groupsToOverride": groups}))
    scopes = details["accessTokenGeneration"]["scopesToAdd"]
    assert isinstance(scopes, list)
    return scopes


# Our function


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of this machine reach the function."""
    monkeypatch.delenv("SCOPES_BY_GROUP", raising=False)
    monkeypatch.delenv("SCOPES_BY_CLIENT", raising=False)


@pytest.mark.parametrize("groups", [[], ["admins"]])
def test_without_configuration_everybody_gets_the_apis_scopes(groups: list[str]) -> None:
    """`me` and `randoms`, whatever groups the user is in."""
    assert scopes_of(groups) == ["me", "randoms"]


@pytest.mark.parametrize("configured", ["", None])
def test_an_empty_configuration_is_none(
    monkeypatch: pytest.MonkeyPatch, configured: str | None
) -> None:
    """A variable that is there and empty counts as not set."""
    if configured is not None:
        monkeypatch.setenv("SCOPES_BY_GROUP", configured)
    assert scopes_of(["players"]) == ["me", "randoms"]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        pytest.param([], ["me"], id="no group: what everybody has"),
        pytest.param(["players"], ["me", "randoms"], id="one group more"),
        pytest.param(["unknown"], ["me"], id="unknown group"),
        pytest.param(["mute"], ["me"], id="group without scopes"),
        pytest.param(["admins"], ["me", "admin", "randoms"], id="everybody's first, each once"),
        pytest.param(["both", "players"], ["me", "a", "b", "randoms"], id="in the groups' order"),
        pytest.param(["players", "both"], ["me", "randoms", "a", "b"], id="in the other order"),
        pytest.param(["players", "players"], ["me", "randoms"], id="a group twice"),
    ],
)
def test_scopes_by_group(
    monkeypatch: pytest.MonkeyPatch, groups: list[str], expected: list[str]
) -> None:
    """`*` is everybody; each scope comes once, in order (T29)."""
    monkeypatch.setenv("SCOPES_BY_GROUP", BY_GROUP)
    assert scopes_of(groups) == expected


def test_a_mapping_without_everybody_gives_strangers_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no hidden default once scopes are configured."""
    monkeypatch.setenv("SCOPES_BY_GROUP", '{"players": "randoms"}')
    assert scopes_of([]) == []
    assert scopes_of(["players"]) == ["randoms"]


@pytest.mark.parametrize(
    "configuration",
    [
        pytest.param({"groupsToOverride": None}, id="no list"),
        pytest.param({"groupsToOverride": []}, id="empty list"),
        pytest.param({}, id="no key"),
        pytest.param(None, id="null"),
    ],
)
@pytest.mark.parametrize("configured", ["", BY_GROUP], ids=["default", "by group"])
def test_a_user_without_groups(
    monkeypatch: pytest.MonkeyPatch, configuration: object, configured: str
) -> None:
    """Cognito has several ways to say that there are none; none blocks the sign-in."""
    monkeypatch.setenv("SCOPES_BY_GROUP", configured)
    details = details_of(make_event(groupConfiguration=configuration))
    assert details["accessTokenGeneration"]["scopesToAdd"][0] == "me"


def test_an_event_without_group_configuration() -> None:
    """The key may be missing as a whole."""
    event = make_event()
    del event["request"]["groupConfiguration"]
    assert details_of(event)["accessTokenGeneration"]["scopesToAdd"] == ["me", "randoms"]


@pytest.mark.parametrize(
    "configured",
    ["not JSON", '{"a": ', "[]", '"me"', "1", "null", '{"a": ["me"]}', '{"a": null}', '{"a": 1}'],
)
def test_a_malformed_configuration_stops_the_sign_in(
    monkeypatch: pytest.MonkeyPatch, configured: str
) -> None:
    """Better no token than one with other scopes than were meant; the text says what is wrong."""
    monkeypatch.setenv("SCOPES_BY_GROUP", configured)
    with pytest.raises(ValueError, match="SCOPES_BY_GROUP"):
        pre_token_generation.handler(make_event(), None)


def machine_event(**changes: Any) -> dict[str, Any]:
    """Build the event of a client credentials grant under V3_0."""
    event = trigger.client_event(
        region="eu-west-2",
        pool_id="eu-west-2_AbCdEf123",
        client_id="nightly",
        scopes=["shop/read"],
        metadata=None,
    )
    return event | changes


@pytest.mark.parametrize("by_group", ["", BY_GROUP], ids=["default", "by group"])
@pytest.mark.parametrize("response", [{}, None, {"claimsAndScopeOverrideDetails": None}], ids=str)
def test_client_credentials_get_nothing_unless_configured(
    monkeypatch: pytest.MonkeyPatch, by_group: str, response: object
) -> None:
    """Guide, version 3: a machine is no user, and `*` of SCOPES_BY_GROUP means users."""
    monkeypatch.setenv("SCOPES_BY_GROUP", by_group)
    event = machine_event(response=response)
    assert pre_token_generation.handler(machine_event(response=response)) == event


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ('{"nightly": "randoms  shop/write"}', ["randoms", "shop/write"]),
        ('{"*": "me", "nightly": "randoms me"}', ["me", "randoms"]),
        ('{"*": "me"}', ["me"]),
    ],
)
def test_scopes_by_client(
    monkeypatch: pytest.MonkeyPatch, configured: str, expected: list[str]
) -> None:
    """SCOPES_BY_CLIENT gives app clients scopes. Users get none of them."""
    monkeypatch.setenv("SCOPES_BY_CLIENT", configured)
    details = details_of(machine_event())
    assert details == {"accessTokenGeneration": {"scopesToAdd": expected}}
    assert scopes_of([]) == ["me", "randoms"]


@pytest.mark.parametrize("configured", ['{"other": "me"}', "{}"])
@pytest.mark.parametrize("caller", [{"clientId": "nightly"}, {}, None], ids=str)
def test_an_app_client_that_is_not_named_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, configured: str, caller: object
) -> None:
    """The event comes back as it is."""
    monkeypatch.setenv("SCOPES_BY_CLIENT", configured)
    event = machine_event(callerContext=caller)
    assert pre_token_generation.handler(machine_event(callerContext=caller)) == event


def test_a_malformed_client_mapping_stops_the_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no sign-in of a user."""
    monkeypatch.setenv("SCOPES_BY_CLIENT", "[]")
    with pytest.raises(ValueError, match="SCOPES_BY_CLIENT"):
        pre_token_generation.handler(machine_event())
    assert scopes_of([]) == ["me", "randoms"]


def test_a_v1_event_comes_back_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """Under V1_0 no access token can be changed: the log says so, and the sign-in goes on."""
    event = make_event() | {"version": "1", "response": {"claimsOverrideDetails": None}}
    del event["request"]["scopes"]
    assert pre_token_generation.handler(json.loads(json.dumps(event))) == event
    assert "V1_0" in caplog.text


@pytest.mark.parametrize("version", ["2", "3"])
@pytest.mark.parametrize(
    "source",
    ["HostedAuth", "Authentication", "NewPasswordChallenge", "AuthenticateDevice", "RefreshTokens"],
)
def test_users_get_their_scopes_under_v2_and_v3(version: str, source: str) -> None:
    """Every source of a user's tokens (guide, "Pre token generation trigger sources")."""
    event = make_event() | {"version": version, "triggerSource": f"TokenGeneration_{source}"}
    assert details_of(event)["accessTokenGeneration"]["scopesToAdd"] == ["me", "randoms"]


@pytest.mark.parametrize("configured", ["", BY_GROUP, "{}"], ids=["default", "by group", "none"])
@pytest.mark.parametrize("groups", [[], ["admins", "players"]], ids=["no groups", "groups"])
def test_the_answer_adds_scopes_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, configured: str, groups: list[str]
) -> None:
    """No groupOverrideDetails (T27), nothing suppressed (T28), no claim and no ID token changed."""
    monkeypatch.setenv("SCOPES_BY_GROUP", configured)
    details = details_of(make_event(groupConfiguration={"groupsToOverride": groups}))
    assert set(details) == {"accessTokenGeneration"}
    assert set(details["accessTokenGeneration"]) == {"scopesToAdd"}


def test_the_answer_is_the_event() -> None:
    """Lambda triggers answer with their event: all of it comes back as it was."""
    before = make_event()
    answer = pre_token_generation.handler(make_event(), None)
    assert {k: v for k, v in answer.items() if k != "response"} == {
        k: v for k, v in before.items() if k != "response"
    }
    assert json.loads(json.dumps(answer)) == answer


def test_lambda_calls_it_with_a_context() -> None:
    """The context is not used; its parameter is there."""
    assert pre_token_generation.handler(make_event(), object())
    assert pre_token_generation.handler(make_event())


def test_the_file_is_deployed_as_it_is() -> None:
    """Only the standard library is imported, so that one file is the whole function."""
    tree = ast.parse(Path(pre_token_generation.__file__).read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    assert imported
    assert imported <= set(sys.stdlib_module_names)


# The emulator's side: what an answer does


def run(details: object, groups: list[str] | None = None) -> trigger.TriggerResult:
    """Run a trigger that answers with these details."""

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        return event | {"response": {"claimsAndScopeOverrideDetails": details}}

    return trigger.run(handler, make_event(groupConfiguration={"groupsToOverride": groups or []}))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        pytest.param({}, [SIGN_IN_SCOPE], id="nothing"),
        pytest.param({"scopesToAdd": None}, [SIGN_IN_SCOPE], id="null"),
        pytest.param({"scopesToAdd": ["me", "x"]}, [SIGN_IN_SCOPE, "me", "x"], id="added in order"),
        pytest.param(
            {"scopesToAdd": ["me", "me", SIGN_IN_SCOPE]}, [SIGN_IN_SCOPE, "me"], id="each once"
        ),
        pytest.param({"scopesToSuppress": [SIGN_IN_SCOPE]}, [], id="suppressed"),
        pytest.param(
            {"scopesToAdd": ["me", "x"], "scopesToSuppress": ["me"]},
            [SIGN_IN_SCOPE, "x"],
            id="suppress beats add",
        ),
    ],
)
def test_scopes_of_the_access_token(section: dict[str, Any], expected: list[str]) -> None:
    """The rules of the Cognito guide (T29)."""
    assert run({"accessTokenGeneration": section}).access.scopes([SIGN_IN_SCOPE]) == expected


@pytest.mark.parametrize("use", ["access", "id"])
def test_claims_are_added_changed_and_suppressed(use: str) -> None:
    """In the token that the section names, and in that one alone; suppress beats add."""
    section = {
        "claimsToAddOrOverride": {"tenant": "t1", "email": "new@example.com", "gone": 1},
        "claimsToSuppress": ["gone", "phone_number"],
    }
    result = run({f"{use}TokenGeneration": section})
    before = {"email": "old@example.com", "phone_number": "+1", "zoneinfo": "UTC"}
    changed = {"email": "new@example.com", "zoneinfo": "UTC", "tenant": "t1"}
    access_token, id_token = result.access.claims(before), result.id.claims(before)
    assert (access_token if use == "access" else id_token) == changed
    assert (id_token if use == "access" else access_token) == before


RESERVED = ["sub", "iss", "exp", "iat", "jti", "origin_jti", "token_use", "client_id", "username"]


@pytest.mark.parametrize("claim", [*RESERVED, "auth_time", "event_id", "scope", "version"])
def test_reserved_claims_stay(claim: str) -> None:
    """A trigger can neither forge nor remove what a verifier relies on."""
    section = {"claimsToAddOrOverride": {claim: "forged"}, "claimsToSuppress": [claim]}
    changes = run({"accessTokenGeneration": section, "idTokenGeneration": section})
    for token in (changes.access, changes.id):
        assert token.claims({claim: "ours"}) == {claim: "ours"}
    only_added = run({"accessTokenGeneration": {"claimsToAddOrOverride": {claim: "forged"}}})
    assert only_added.access.claims({}) == {}


def test_a_trigger_replaces_roles_with_the_groups() -> None:
    """`iamRolesToOverride` and `preferredRole` belong to `groupOverrideDetails`."""
    override = {"groupsToOverride": ["a"], "iamRolesToOverride": ["r1"], "preferredRole": "r1"}
    result = run({"groupOverrideDetails": override})
    assert (result.groups, result.roles, result.preferred_role) == (("a",), ("r1",), "r1")


@pytest.mark.parametrize(
    ("details", "groups"),
    [
        pytest.param({}, None, id="left out: kept"),
        pytest.param(None, None, id="no details: kept"),
        pytest.param({"groupOverrideDetails": {}}, (), id="empty: removed"),
        pytest.param({"groupOverrideDetails": None}, (), id="null: removed"),
        pytest.param({"groupOverrideDetails": {"groupsToOverride": []}}, (), id="none: removed"),
        pytest.param(
            {"groupOverrideDetails": {"groupsToOverride": ["b", "a"]}}, ("b", "a"), id="replaced"
        ),
    ],
)
def test_groups_after_the_trigger(details: object, groups: tuple[str, ...] | None) -> None:
    """An empty or null override takes all groups away (T27); None means they stay."""
    assert run(details, ["players"]).groups == groups


def test_a_trigger_may_hand_the_groups_back() -> None:
    """`request.groupConfiguration`, copied into the answer, keeps them."""

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        kept = event["request"]["groupConfiguration"]
        event["response"] = {"claimsAndScopeOverrideDetails": {"groupOverrideDetails": kept}}
        return event

    event = make_event(groupConfiguration={"groupsToOverride": ["players"]})
    assert trigger.run(handler, event).groups == ("players",)


@pytest.mark.parametrize(
    "details",
    [
        pytest.param({"accessTokenGeneration": {"scopesToAdd": ["me randoms"]}}, id="space"),
        pytest.param({"accessTokenGeneration": {"scopesToAdd": [1]}}, id="scope is a number"),
        pytest.param({"accessTokenGeneration": {"scopesToAdd": "me"}}, id="scopes are text"),
        pytest.param({"accessTokenGeneration": {"scopesToSuppress": "me"}}, id="suppressed text"),
        pytest.param({"accessTokenGeneration": {"scopesToAdd": 1}}, id="scopes are a number"),
        pytest.param({"accessTokenGeneration": ["me"]}, id="section is a list"),
        pytest.param(
            {"idTokenGeneration": {"claimsToAddOrOverride": ["a"]}}, id="claims are a list"
        ),
        pytest.param({"idTokenGeneration": {"claimsToSuppress": "email"}}, id="claims are text"),
        pytest.param({"groupOverrideDetails": ["a"]}, id="groups are a list"),
        pytest.param({"groupOverrideDetails": {"groupsToOverride": "abc"}}, id="groups are text"),
        pytest.param({"groupOverrideDetails": {"preferredRole": 1}}, id="role is a number"),
        pytest.param(["me"], id="details are a list"),
        pytest.param("me", id="details are text"),
    ],
)
def test_an_answer_of_the_wrong_shape_is_refused(details: object) -> None:
    """Cognito refuses it with InvalidLambdaResponseException; it is never half applied."""
    with pytest.raises(trigger.InvalidTriggerAnswer):
        run(details)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"response": {"claimsAndScopeOverrideDetails": {1, 2}}}, id="a set"),
        pytest.param({"response": b"bytes"}, id="bytes"),
        pytest.param({"response": object()}, id="an object"),
        pytest.param({}, id="no response"),
        pytest.param({"response": None}, id="null response"),
        pytest.param(None, id="nothing"),
        pytest.param([], id="a list"),
    ],
)
def test_an_answer_that_is_no_event_is_refused(answer: Any) -> None:
    """Lambda hands on JSON alone, and Cognito wants its event back."""
    with pytest.raises(trigger.InvalidTriggerAnswer):
        trigger.run(lambda _event, _context: answer, make_event())


def test_events_go_through_json() -> None:
    """What a handler gets is plain JSON and its own: the caller's event does not change."""
    seen: list[dict[str, Any]] = []

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        seen.append(event)
        event["request"]["userAttributes"]["email"] = "changed"
        return event

    event = make_event(clientMetadata={"a": ("tuple",)})
    trigger.run(handler, event)
    assert event["request"]["userAttributes"]["email"] == "ada@example.com"
    assert seen[0]["request"]["clientMetadata"] == {"a": ["tuple"]}


def test_a_handlers_own_error_comes_through() -> None:
    """The emulator tells it apart from an answer that it cannot use."""

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        raise LookupError(event["userName"])

    with pytest.raises(LookupError, match="ada"):
        trigger.run(handler, make_event())


def test_our_function_passes_the_emulators_checks() -> None:
    """Its answer adds the scopes and keeps groups and claims."""
    result = trigger.run(pre_token_generation.handler, make_event())
    assert result.access.scopes([SIGN_IN_SCOPE]) == [SIGN_IN_SCOPE, "me", "randoms"]
    assert result.groups is None
    assert result.access.claims({"sub": "0f3c"}) == {"sub": "0f3c"}
    assert result.id == trigger.TokenChanges()
