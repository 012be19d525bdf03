"""Plans against a pool on moto, and what applying them does to it."""

import json
from pathlib import Path
from typing import Any

import pytest
import responses
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from resource_server.provisioning import bundle, plan, state
from resource_server.provisioning.apply import Blocked, apply
from resource_server.provisioning.aws import Aws, iam_action
from resource_server.provisioning.plan import Difference
from tests.conftest import REGION
from tests.provisioning.conftest import RICH_CLIENT, RICH_POOL, World
from tests.provisioning.test_bundle import package

DOCS = Path(__file__).parents[2] / "docs" / "provisioning.md"
ACCOUNT = "123456789012"


def signs(world: World, **changes: Any) -> list[str]:
    """List what a plan would do, in short."""
    return [f"{d.sign} {d.subject}" for d in world.plan(**changes).differences]


def sent(world: World, operation: str) -> list[dict[str, Any]]:
    """Record what is sent to an operation of Cognito from now on."""
    calls: list[dict[str, Any]] = []

    def record(params: dict[str, Any], **_: object) -> None:
        calls.append(json.loads(json.dumps(params)))

    event = f"provide-client-params.cognito-idp.{operation}"
    world.aws.cognito.meta.events.register(event, record)
    return calls


def test_a_new_pool_is_made_so_step_by_step(world: World) -> None:
    """Everything is planned, in an order that breaks no sign-in; afterwards pool and code agree."""
    function = world.function
    assert signs(world) == [
        "+ client flow ALLOW_USER_PASSWORD_AUTH",
        "~ client PreventUserExistenceErrors",
        "+ group admins",
        "+ resource server resource-server",
        "+ scope resource-server/me",
        "+ scope resource-server/randoms",
        f"+ function {function}",
        f"+ function {function} permission",
        "+ trigger",
    ]
    world.apply()
    assert world.plan().in_step
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    assert world.pool()["LambdaConfig"] == RICH_POOL["LambdaConfig"] | {
        "PreTokenGenerationConfig": {"LambdaVersion": "V2_0", "LambdaArn": arn}
    }
    assert world.client()["ExplicitAuthFlows"] == [
        *RICH_CLIENT["ExplicitAuthFlows"],
        "ALLOW_USER_PASSWORD_AUTH",
    ]
    found = world.functions.get_function(FunctionName=function)["Configuration"]
    assert (found["Handler"], found["Role"]) == (bundle.HANDLER, world.role_arn)
    assert found["CodeSha256"] == bundle.code_sha256(bundle.build())


def test_it_may_be_interrupted_anywhere(world: World) -> None:
    """After any number of steps the rest is planned, and running it again completes it."""
    total = len(world.plan().steps)
    for step in range(total):
        rest = world.plan()
        assert len(rest.steps) == total - step

        def stop(_: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            apply(world.aws, rest, done=stop)
    assert world.plan().in_step


def test_the_pool_is_written_back_whole(world: World) -> None:
    """UpdateUserPool resets what is left out: all that it takes and the pool has is sent."""
    before = world.pool()
    calls = sent(world, "UpdateUserPool")
    world.apply()
    [parameters] = calls
    takes = world.aws.cognito.meta.service_model.operation_model("UpdateUserPool").input_shape
    for member in takes.members.keys() - {"UserPoolId", "PoolName", "LambdaConfig"}:
        wanted = before.get(member)
        if member == "AdminCreateUserConfig":
            # Refused beside TemporaryPasswordValidityDays, which says the same.
            wanted = dict(before[member])
            del wanted["UnusedAccountValidityDays"]
        assert parameters.get(member) == wanted, member
    assert parameters.keys() >= RICH_POOL.keys()
    assert parameters["PoolName"] == "accounts"
    # moto forgets what is left out, as AWS does.
    after = world.pool()
    changed = {"LambdaConfig", "LastModifiedDate", "AdminCreateUserConfig"}
    assert {k: after.get(k) for k in before if k not in changed} == {
        k: before[k] for k in before if k not in changed
    }
    assert after["LambdaConfig"].pop("PreTokenGenerationConfig")
    assert after["LambdaConfig"] == before["LambdaConfig"]


def test_the_client_is_written_back_whole(world: World) -> None:
    """UpdateUserPoolClient resets what is left out, too; its secret is not sent."""
    before = world.client()
    calls = sent(world, "UpdateUserPoolClient")
    world.apply()
    [parameters] = calls
    takes = world.aws.cognito.meta.service_model.operation_model("UpdateUserPoolClient").input_shape
    changed = {"ExplicitAuthFlows", "PreventUserExistenceErrors"}
    for member in takes.members.keys() - changed:
        assert parameters.get(member) == before.get(member), member
    assert parameters.keys() >= RICH_CLIENT.keys()
    assert "ClientSecret" not in parameters


def test_the_resource_server_is_written_back_whole(in_step: World) -> None:
    """A new scope is added beside those that are there, with their descriptions and the name."""
    in_step.aws.cognito.update_resource_server(
        UserPoolId=in_step.pool_id,
        Identifier="resource-server",
        Name="Numbers",
        Scopes=[{"ScopeName": "me", "ScopeDescription": "Your account"}],
    )
    calls = sent(in_step, "UpdateResourceServer")
    in_step.apply()
    assert calls == [
        {
            "UserPoolId": in_step.pool_id,
            "Identifier": "resource-server",
            "Name": "Numbers",
            "Scopes": [
                {"ScopeName": "me", "ScopeDescription": "Your account"},
                {"ScopeName": "randoms", "ScopeDescription": "Access to randoms"},
            ],
        }
    ]


def test_in_step_nothing_is_called(in_step: World) -> None:
    """Applying twice changes nothing: there is no step."""
    made = in_step.plan()
    assert (made.in_step, made.steps, made.kept, made.unchecked) == (True, (), (), ())


def test_nothing_is_removed_without_prune(in_step: World) -> None:
    """Scopes and groups that nobody names are told of and kept, until --prune removes them."""
    cognito = in_step.aws.cognito
    for name, role in (("testers", {}), ("buckets", {"RoleArn": in_step.role_arn})):
        cognito.create_group(UserPoolId=in_step.pool_id, GroupName=name, **role)
    cognito.create_group(UserPoolId=in_step.pool_id, GroupName=f"{in_step.pool_id}_Google")
    in_step.change_client(AllowedOAuthScopes=["openid", "resource-server/randoms"])
    kept = in_step.plan(scopes=("me",))
    assert kept.in_step
    assert kept.kept == ("group testers", "scope resource-server/randoms")

    assert signs(in_step, scopes=("me",), prune=True) == [
        "- client scope resource-server/randoms",
        "- group testers",
        "- scope resource-server/randoms",
    ]
    in_step.apply(scopes=("me",), prune=True)
    assert in_step.plan(scopes=("me",), prune=True).in_step
    groups = cognito.list_groups(UserPoolId=in_step.pool_id)["Groups"]
    # What has a role serves an identity pool, and Cognito itself fills its providers' groups.
    assert {group["GroupName"] for group in groups} == {
        "admins",
        "buckets",
        f"{in_step.pool_id}_Google",
    }
    assert in_step.client()["AllowedOAuthScopes"] == ["openid"]


def test_a_function_needs_a_role(world: World) -> None:
    """Without --role-arn the function cannot be made: that is said, and nothing is changed."""
    made = world.plan(role_arn=None)
    [reason] = made.blocked
    assert "--role-arn" in reason
    before = world.client()
    with pytest.raises(Blocked, match="--role-arn"):
        apply(world.aws, made)
    assert world.client() == before


def test_a_new_scope_is_granted_by_somebody_who_says_to_whom(in_step: World) -> None:
    """No scope is handed out by guess: a new one waits for --grant, which keeps all others."""
    scopes = ("admin", "me", "randoms")
    made = in_step.plan(scopes=scopes)
    assert not made.in_step
    assert "admin" in made.blocked[0]
    assert "--grant" in made.blocked[0]
    in_step.functions.update_function_configuration(
        FunctionName=in_step.function, Environment={"Variables": {"TZ": "UTC"}}
    )
    grants = {"admins": "admin", "staff": "me"}
    in_step.apply(scopes=scopes, grants=grants)
    assert in_step.plan(scopes=scopes).in_step
    found = in_step.functions.get_function(FunctionName=in_step.function)["Configuration"]
    variables = found["Environment"]["Variables"]
    assert variables["TZ"] == "UTC"
    assert json.loads(variables["SCOPES_BY_GROUP"]) == {
        "*": "me randoms",
        "admins": "admin",
        "staff": "me",
    }
    groups = in_step.aws.cognito.list_groups(UserPoolId=in_step.pool_id)["Groups"]
    assert {group["GroupName"] for group in groups} == {"admins", "staff"}


def test_a_malformed_mapping_is_made_anew(in_step: World) -> None:
    """SCOPES_BY_GROUP that is no JSON fails every sign-in: it is replaced by what is granted."""
    in_step.functions.update_function_configuration(
        FunctionName=in_step.function, Environment={"Variables": {"SCOPES_BY_GROUP": "me"}}
    )
    assert len(in_step.plan().blocked) == 2
    in_step.apply(grants={"*": "me randoms"})
    assert in_step.plan().in_step


def test_changed_code_is_put_right(in_step: World) -> None:
    """Other code under our handler differs, and is replaced; its role and memory stay."""
    other = package(code=b"def handler(event, context=None):\n    return event\n")
    in_step.functions.update_function_code(FunctionName=in_step.function, ZipFile=other)
    in_step.functions.update_function_configuration(
        FunctionName=in_step.function, MemorySize=256, Runtime="python3.8"
    )
    assert signs(in_step) == [
        f"~ function {in_step.function} code",
        f"~ function {in_step.function} runtime",
    ]
    in_step.apply()
    assert in_step.plan().in_step
    found = in_step.functions.get_function(FunctionName=in_step.function)["Configuration"]
    assert (found["MemorySize"], found["Role"]) == (256, in_step.role_arn)


def test_code_that_was_built_elsewhere_is_compared_by_its_file(in_step: World) -> None:
    """Another tool's package has another hash; the code is fetched, and found to be the same."""
    functions = in_step.functions
    functions.update_function_code(FunctionName=in_step.function, ZipFile=package())
    assert signs(in_step) == [f"~ function {in_step.function} code"]  # moto serves no code
    location = functions.get_function(FunctionName=in_step.function)["Code"]["Location"]
    with responses.RequestsMock() as mock:
        mock.get(location.partition("?")[0], body=package())
        assert in_step.plan().in_step


def test_somebody_elses_function_is_not_written_over(in_step: World) -> None:
    """A trigger that is another program blocks, unless --function names it or another one."""
    in_step.functions.create_function(
        FunctionName="theirs",
        Runtime="nodejs22.x",
        Role=in_step.role_arn,
        Handler="index.handler",
        Code={"ZipFile": package(name="index.js", code=b"//")},
    )
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:theirs"
    in_step.set_trigger("V1_0", arn)
    [reason] = in_step.plan().blocked
    assert "another program" in reason
    assert in_step.plan(function="theirs").blocked == ()
    assert signs(in_step, function=in_step.function) == ["~ trigger function", "~ trigger version"]
    in_step.apply(function=in_step.function)
    assert in_step.plan().in_step


def test_a_published_version_is_not_ours_to_change(in_step: World) -> None:
    """Where the pool names an alias, the code behind it is for its owner to publish."""
    functions = in_step.functions
    other = package(code=b"# older\n")
    functions.update_function_code(FunctionName=in_step.function, ZipFile=other)
    version = functions.publish_version(FunctionName=in_step.function)["Version"]
    functions.create_alias(FunctionName=in_step.function, Name="live", FunctionVersion=version)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{in_step.function}:live"
    in_step.set_trigger("V2_0", arn)
    assert any("alias live" in reason for reason in in_step.plan().blocked)


def test_a_trigger_of_the_old_kind_is_told_of_v2(in_step: World) -> None:
    """`PreTokenGeneration` means V1_0; it must agree with the new member that stands beside it."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{in_step.function}"
    in_step.change_pool(LambdaConfig={"PreTokenGeneration": arn})
    assert in_step.plan().differences == (Difference("~", "trigger version", "V1_0", "V2_0"),)
    in_step.apply()
    assert in_step.pool()["LambdaConfig"] == {
        "PreTokenGeneration": arn,
        "PreTokenGenerationConfig": {"LambdaVersion": "V2_0", "LambdaArn": arn},
    }


def test_a_pool_on_lite_cannot_have_the_trigger(in_step: World) -> None:
    """The tier LITE has no V2_0: that costs money, so a person must choose it."""
    in_step.change_pool(UserPoolTier="LITE")
    assert in_step.plan().in_step
    in_step.set_trigger("V1_0")
    [reason] = in_step.plan().blocked
    assert "ESSENTIALS" in reason


def test_v3_is_left_as_it_is(in_step: World) -> None:
    """V3_0 can do what V2_0 can, and more."""
    in_step.set_trigger("V3_0")
    assert in_step.plan().in_step


@pytest.mark.parametrize(
    ("condition", "enough"),
    [
        pytest.param({}, True, id="none"),
        pytest.param({"SourceArn": "arn:aws:cognito-idp:*"}, True, id="any pool"),
        pytest.param({"SourceAccount": "999999999999"}, False, id="another account"),
        pytest.param({"SourceArn": "arn:aws:cognito-idp:x:1:userpool/y"}, False, id="another pool"),
        pytest.param(
            {"PrincipalOrgID": "o-1234567890"}, False, id="a condition nobody here can judge"
        ),
    ],
)
def test_the_permission_must_be_for_this_pool(
    in_step: World,
    condition: dict[str, str],
    enough: bool,
) -> None:
    """A permission counts if its conditions let this pool through; else another one is added."""
    functions = in_step.functions
    sid = f"cognito-{in_step.pool_id}"
    functions.remove_permission(FunctionName=in_step.function, StatementId=sid)
    functions.add_permission(
        FunctionName=in_step.function,
        StatementId=sid,
        Action="lambda:InvokeFunction",
        Principal="cognito-idp.amazonaws.com",
        **condition,
    )
    assert in_step.plan().in_step is enough
    in_step.apply()
    assert in_step.plan().in_step


def test_rotation_rules_the_refresh_flow_out(in_step: World) -> None:
    """With rotation on, Cognito refuses ALLOW_REFRESH_TOKEN_AUTH: it is removed, all else stays."""
    in_step.change_client(RefreshTokenRotation={"Feature": "ENABLED"})
    assert signs(in_step) == ["- client flow ALLOW_REFRESH_TOKEN_AUTH"]
    in_step.apply()
    assert in_step.plan().in_step
    assert "ALLOW_REFRESH_TOKEN_AUTH" not in in_step.client()["ExplicitAuthFlows"]


@pytest.mark.parametrize(
    ("flows", "wanted"),
    [
        pytest.param(
            [],
            {
                "ALLOW_REFRESH_TOKEN_AUTH",
                "ALLOW_USER_SRP_AUTH",
                "ALLOW_CUSTOM_AUTH",
                "ALLOW_USER_PASSWORD_AUTH",
            },
            id="none: what Cognito then allows",
        ),
        pytest.param(
            ["ADMIN_NO_SRP_AUTH"],
            {
                "ALLOW_ADMIN_USER_PASSWORD_AUTH",
                "ALLOW_USER_SRP_AUTH",
                "ALLOW_REFRESH_TOKEN_AUTH",
                "ALLOW_USER_PASSWORD_AUTH",
            },
            id="an old name, which must not be mixed with new ones",
        ),
    ],
)
def test_flows_that_were_implied_are_kept(
    in_step: World, flows: list[str], wanted: set[str]
) -> None:
    """Adding a flow takes none away that Cognito allowed before."""
    in_step.change_client(ExplicitAuthFlows=flows)
    in_step.apply()
    assert set(in_step.client()["ExplicitAuthFlows"]) == wanted


def test_cognitos_own_scopes_are_not_declared(in_step: World) -> None:
    """`openid` and the like, and another server's scopes, belong to no resource server of ours."""
    target = in_step.target(
        scopes=("aws.cognito.signin.user.admin", "email", "other/read", "resource-server/me", "x")
    )
    assert target.scope_names == ("me", "x")


def test_what_failed_midway_is_told_and_done_later(world: World) -> None:
    """A call that AWS refuses ends it; what was done before is not planned again."""
    made = world.plan()
    with Stubber(world.functions) as stubber:
        stubber.add_client_error("create_function", "AccessDeniedException")
        done: list[object] = []
        with pytest.raises(ClientError):
            apply(world.aws, made, done=done.append)
    assert len(done) == 3
    assert [step.operation for step in world.plan().steps] == [
        step.operation for step in made.steps[3:]
    ]


def test_an_emulator_has_no_lambda(in_step: World) -> None:
    """Without Lambda the function is left alone, and the plan says that it was not checked."""
    aws, target = Aws(in_step.aws.cognito, None), in_step.target()
    model = aws.cognito.meta.service_model
    made = plan.make_plan(state.read(aws, target), target, model, has_lambda=False)
    assert made.in_step
    assert "no Lambda" in made.unchecked[0]
    in_step.change_pool(LambdaConfig={})
    made = plan.make_plan(state.read(aws, target), target, model, has_lambda=False)
    assert (made.steps, len(made.blocked)) == ((), 1)


def test_the_documented_policy_allows_what_is_called(world: World) -> None:
    """docs/provisioning.md names a permission for every call that plan and apply make."""
    called: set[str] = set()

    def note(model: Any, **_: object) -> None:
        service = "lambda" if model.service_model.service_name == "lambda" else "cognito-idp"
        called.add(f"{service}:{model.name}")
        assert iam_action(model.name) == f"{service}:{model.name}"

    for client in (world.aws.cognito, world.functions):
        client.meta.events.register("before-call", note)
    world.apply()
    world.functions.update_function_code(
        FunctionName=world.function, ZipFile=package(code=b"# other")
    )
    world.aws.cognito.create_group(UserPoolId=world.pool_id, GroupName="testers")
    world.apply(scopes=("me", "admin"), grants={"admins": "admin"}, prune=True)
    policy = json.loads(DOCS.read_text(encoding="utf-8").split("```json")[1].split("```")[0])
    documented = {action for statement in policy["Statement"][:2] for action in statement["Action"]}
    assert called == documented
