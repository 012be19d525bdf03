"""deploy/cloudformation.yaml, deployed on moto: somebody signs in against what comes out."""

import ast
import importlib
import io
import json
import re
import shlex
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from apiflask import APIFlask
from botocore.exceptions import ClientError
from moto.core.common_models import CloudFormationModel

from resource_server.auth import token_requirement
from resource_server.emulator import gaps
from resource_server.settings import Settings
from resource_server.testing import CognitoIdp, bearer, cloudformation
from resource_server.tokens.parsing import unverified_claims
from resource_server.triggers import pre_token_generation
from tests.conftest import PASSWORD, REGION

TEMPLATE = Path(__file__).parents[2] / "deploy" / "cloudformation.yaml"
STACK = "auth"
BUCKET = "artifacts"
CODE = re.compile(r"^( +Code:) (\S+)$", re.MULTILINE)

MakeApp = Callable[[Mapping[str, str]], APIFlask]
Deploy = Callable[..., "Stack"]


@dataclass(frozen=True)
class Stack:
    """What a deployment made."""

    cognito: Any
    outputs: dict[str, str]

    @property
    def pool(self) -> dict[str, Any]:
        """The pool, described."""
        found = self.cognito.describe_user_pool(UserPoolId=self.outputs["UserPoolId"])
        return dict(found["UserPool"])

    @property
    def client(self) -> dict[str, Any]:
        """The app client, described as ClientSecretCommand does."""
        command, options = _cli(self.outputs["ClientSecretCommand"])
        assert command == ["aws", "cognito-idp", "describe-user-pool-client"]
        found = self.cognito.describe_user_pool_client(
            UserPoolId=options["--user-pool-id"], ClientId=options["--client-id"]
        )
        return dict(found["UserPoolClient"])

    @property
    def parameters(self) -> dict[str, str]:
        """The settings in Parameter Store, by their names."""
        found = boto3.client("ssm", region_name=REGION).get_parameters_by_path(
            Path=self.outputs["ParameterPath"]
        )
        return {entry["Name"].rpartition("/")[2]: entry["Value"] for entry in found["Parameters"]}

    @property
    def resources(self) -> dict[str, str]:
        """The physical ids, by logical id."""
        found = boto3.client("cloudformation", region_name=REGION).describe_stack_resources(
            StackName=STACK
        )["StackResources"]
        # A permission has none on moto.
        return {entry["LogicalResourceId"]: entry.get("PhysicalResourceId", "") for entry in found}


def _cli(command: str) -> tuple[list[str], dict[str, str]]:
    words = shlex.split(command)
    first = next(index for index, word in enumerate(words) if word.startswith("--"))
    return words[:first], dict(zip(words[first::2], words[first + 1 :: 2], strict=True))


def packaged() -> str:
    """Do what `aws cloudformation package` does: zip the folder, upload it, name the zip."""
    template = TEMPLATE.read_text(encoding="utf-8")
    [(_, path)] = CODE.findall(template)
    folder = TEMPLATE.parent / path
    assert folder.is_dir(), "a single file is zipped in its own folder only, and uploaded raw else"
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for file in filter(Path.is_file, folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=BUCKET, Key="trigger.zip", Body=body.getvalue())
    return CODE.sub(rf"\1 {{S3Bucket: {BUCKET}, S3Key: trigger.zip}}", template)


@pytest.fixture
def deploy(mock_cognito_client: CognitoIdp) -> Iterator[Deploy]:
    """Deploy the template; called again, update the stack. It is deleted after the test."""
    cloudformation.register()
    client = boto3.client("cloudformation", region_name=REGION)
    template = packaged()
    stacks: list[Stack] = []

    def _deploy(**parameters: str) -> Stack:
        arguments: Any = {
            "StackName": STACK,
            "TemplateBody": template,
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        }
        (client.update_stack if stacks else client.create_stack)(**arguments)
        [stack] = client.describe_stacks(StackName=STACK)["Stacks"]
        assert stack["StackStatus"] == ("UPDATE_COMPLETE" if stacks else "CREATE_COMPLETE")
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        gaps.register_trigger(outputs["TriggerArn"], pre_token_generation.handler)
        stacks.append(Stack(mock_cognito_client.client, outputs))
        return stacks[-1]

    yield _deploy
    if stacks:
        client.delete_stack(StackName=STACK)
    s3 = boto3.resource("s3", region_name=REGION).Bucket(BUCKET)
    s3.objects.all().delete()
    s3.delete()


def sign_in(stack: Stack, app: APIFlask, *groups: str) -> str:
    """Make a user in the stack's pool and return the access token that the service gives them."""
    pool_id = stack.outputs["UserPoolId"]
    stack.cognito.admin_create_user(
        UserPoolId=pool_id,
        Username="ada",
        UserAttributes=[
            {"Name": "email", "Value": "ada@example.com"},
            {"Name": "email_verified", "Value": "true"},
        ],
        MessageAction="SUPPRESS",
    )
    stack.cognito.admin_set_user_password(
        UserPoolId=pool_id, Username="ada", Password=PASSWORD, Permanent=True
    )
    for group in groups:
        stack.cognito.admin_add_user_to_group(UserPoolId=pool_id, Username="ada", GroupName=group)
    answer = app.test_client().post("/users/login", data={"username": "ada", "password": PASSWORD})
    assert answer.status_code == 200, answer.json
    token = answer.json["access_token"]
    assert isinstance(token, str)
    return token


@pytest.fixture
def app_of(make_app: MakeApp, database_url: str) -> Callable[[Stack], APIFlask]:
    """Make an app of what a stack tells: its parameters, and the secret that its command reads."""

    def make(stack: Stack) -> APIFlask:
        secret = stack.client["ClientSecret"]
        return make_app(
            stack.parameters
            | {"AWS_COGNITO_APP_CLIENT_SECRET": secret, "DATABASE_URL": database_url}
        )

    return make


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


# The journey


@on_sqlite
def test_a_user_of_the_stacks_pool_reads_their_randoms(
    deploy: Deploy, app_of: Callable[[Stack], APIFlask]
) -> None:
    """Template, settings, sign-in, the trigger, the pool's keys: GET /randoms answers 200."""
    stack = deploy()
    app = app_of(stack)
    token = sign_in(stack, app)
    claims = unverified_claims(token)
    assert claims["iss"] == stack.outputs["Issuer"]
    assert claims["client_id"] == stack.outputs["AppClientId"]
    assert claims["scope"] == "aws.cognito.signin.user.admin me randoms"
    answer = app.test_client().get("/randoms", headers=bearer(token))
    assert (answer.status_code, answer.json) == (200, [])


@on_sqlite
def test_scopes_by_group_reach_the_trigger(
    deploy: Deploy, app_of: Callable[[Stack], APIFlask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parameter is the function's environment: its admins get a scope that others do not."""
    stack = deploy(ScopesByGroup='{"*": "me", "admins": "staff"}')
    [configured] = _function(stack)["Environment"]["Variables"].items()
    monkeypatch.setenv(*configured)
    app = app_of(stack)
    token = sign_in(stack, app, "admins")
    claims = unverified_claims(token)
    assert claims["scope"] == "aws.cognito.signin.user.admin me staff"
    assert claims["cognito:groups"] == ["admins"]
    assert app.test_client().get("/randoms", headers=bearer(token)).status_code == 403


def test_the_outputs_and_the_parameters_tell_the_same(deploy: Deploy) -> None:
    """Settings come by either way; the secret by neither."""
    stack = deploy(ParameterPrefix="/teams/api")
    assert stack.outputs["ParameterPath"] == f"/teams/api/{STACK}"
    assert stack.parameters == {
        "AWS_REGION": stack.outputs["Region"],
        "AWS_USER_POOL_ID": stack.outputs["UserPoolId"],
        "AWS_COGNITO_APP_CLIENT_ID": stack.outputs["AppClientId"],
    }
    secret = stack.client["ClientSecret"]
    assert secret not in json.dumps([stack.outputs, stack.parameters])
    assert {name.lower() for name in stack.parameters} <= set(Settings.model_fields)


# What is made


def _function(stack: Stack) -> dict[str, Any]:
    client = boto3.client("lambda", region_name=REGION)
    return dict(client.get_function_configuration(FunctionName=stack.outputs["TriggerArn"]))


def test_the_pool_is_as_the_service_needs_it(deploy: Deploy) -> None:
    """V2_0, the plan that allows it, verified addresses, recovery by e-mail, protection, TOTP."""
    stack = deploy()
    pool = stack.pool
    assert pool["UserPoolTier"] == "ESSENTIALS"
    assert pool["LambdaConfig"] == {
        "PreTokenGenerationConfig": {
            "LambdaVersion": "V2_0",
            "LambdaArn": stack.outputs["TriggerArn"],
        }
    }
    assert pool["AutoVerifiedAttributes"] == ["email"]
    assert pool["AccountRecoverySetting"] == {
        "RecoveryMechanisms": [{"Name": "verified_email", "Priority": 1}]
    }
    assert pool["EmailConfiguration"] == {"EmailSendingAccount": "COGNITO_DEFAULT"}
    assert pool["DeletionProtection"] == "ACTIVE"
    assert pool["MfaConfiguration"] == "OPTIONAL"
    mfa = stack.cognito.get_user_pool_mfa_config(UserPoolId=pool["Id"])
    assert mfa["SoftwareTokenMfaConfiguration"] == {"Enabled": True}


def test_parameters_change_the_pool(deploy: Deploy) -> None:
    """Plan, MFA, protection and sender are the team's choice."""
    identity = f"arn:aws:ses:{REGION}:123456789012:identity/example.com"
    stack = deploy(
        Tier="PLUS",
        Mfa="OFF",
        DeletionProtection="INACTIVE",
        EmailIdentityArn=identity,
        EmailFrom="no-reply@example.com",
    )
    pool = stack.pool
    assert (pool["UserPoolTier"], pool["MfaConfiguration"]) == ("PLUS", "OFF")
    assert pool["DeletionProtection"] == "INACTIVE"
    assert pool["EmailConfiguration"] == {
        "EmailSendingAccount": "DEVELOPER",
        "SourceArn": identity,
        "From": "no-reply@example.com",
    }
    mfa = stack.cognito.get_user_pool_mfa_config(UserPoolId=pool["Id"])
    assert mfa["SoftwareTokenMfaConfiguration"] == {"Enabled": False}


def test_the_app_client_is_as_the_service_needs_it(deploy: Deploy) -> None:
    """A secret, the two flows that are used, no word on who exists, revocation, lifetimes."""
    client = deploy(AccessTokenMinutes="15", RefreshTokenDays="7").client
    assert client["ClientSecret"]
    assert client["ExplicitAuthFlows"] == ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    assert client["PreventUserExistenceErrors"] == "ENABLED"
    assert client["EnableTokenRevocation"] is True
    assert (client["AccessTokenValidity"], client["IdTokenValidity"]) == (15, 15)
    assert client["RefreshTokenValidity"] == 7
    units = {"AccessToken": "minutes", "IdToken": "minutes", "RefreshToken": "days"}
    assert client["TokenValidityUnits"] == units


def test_the_scopes_are_those_of_the_apps_routes(deploy: Deploy, app: APIFlask) -> None:
    """A scope that a view demands is declared here, and given by the trigger; and no other one."""
    stack = deploy()
    server = stack.cognito.describe_resource_server(
        UserPoolId=stack.outputs["UserPoolId"], Identifier="resource-server"
    )["ResourceServer"]
    declared = {scope["ScopeName"] for scope in server["Scopes"]}
    demanded: set[str] = set()
    for rule in app.url_map.iter_rules():
        if requirement := token_requirement(app.view_functions[rule.endpoint]):
            demanded |= {*requirement.scopes, *requirement.any_of}
    assert declared == demanded == set(pre_token_generation.DEFAULT_SCOPES)


def test_the_group_is_the_one_that_the_service_asks_for(deploy: Deploy) -> None:
    """COGNITO_ADMIN_GROUP needs no setting after a deployment."""
    stack = deploy()
    found = stack.cognito.list_groups(UserPoolId=stack.outputs["UserPoolId"])["Groups"]
    default = Settings.model_fields["cognito_admin_group"].default
    assert [group["GroupName"] for group in found] == [default]


def test_the_trigger_is_the_tested_file(deploy: Deploy) -> None:
    """The zip has resource_server/triggers/pre_token_generation.py at its top, with the handler."""
    stack = deploy()
    source = Path(pre_token_generation.__file__)
    body = boto3.client("s3", region_name=REGION).get_object(Bucket=BUCKET, Key="trigger.zip")
    with zipfile.ZipFile(io.BytesIO(body["Body"].read())) as archive:
        assert archive.read(source.name) == source.read_bytes()
    module, _, name = _function(stack)["Handler"].partition(".")
    assert module == source.stem
    assert getattr(importlib.import_module(f"resource_server.triggers.{module}"), name)


def test_cognito_alone_and_this_pool_alone_calls_the_trigger(deploy: Deploy) -> None:
    """The permission names service and pool."""
    stack = deploy()
    client = boto3.client("lambda", region_name=REGION)
    policy = client.get_policy(FunctionName=stack.outputs["TriggerArn"])["Policy"]
    [statement] = json.loads(policy)["Statement"]
    assert statement["Principal"] == {"Service": "cognito-idp.amazonaws.com"}
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Condition"] == {"ArnLike": {"AWS:SourceArn": stack.pool["Arn"]}}


def test_the_trigger_may_write_its_own_log_and_nothing_else(deploy: Deploy) -> None:
    """One inline policy, two actions, one log group, which is kept for the days that are asked."""
    stack = deploy(LogRetentionDays="7")
    logs = boto3.client("logs", region_name=REGION)
    name = stack.resources["TriggerLog"]
    [group] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert group["retentionInDays"] == 7

    iam, role = boto3.client("iam", region_name=REGION), stack.resources["TriggerRole"]
    assert not iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    [policy] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = str(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
    [statement] = ast.literal_eval(document)["Statement"]  # moto keeps a repr, where AWS has JSON
    assert statement["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert statement["Resource"].removesuffix(":*") == group["arn"].removesuffix(":*")


# The types that moto lacks

TYPES: list[Any] = [
    cloudformation.UserPool,
    cloudformation.UserPoolClient,
    cloudformation.UserPoolGroup,
    cloudformation.UserPoolResourceServer,
]


@pytest.mark.parametrize("model", TYPES, ids=lambda model: model.type_name)
def test_canary_moto_lacks_the_type(model: Any) -> None:
    """Once moto has it, ours goes."""
    theirs = {
        known.cloudformation_type()
        for known in CloudFormationModel.__subclasses__()
        if known.__module__.startswith("moto.")
    }
    assert "AWS::Lambda::Function" in theirs, "moto's types are not found this way any more"
    assert model.type_name not in theirs


def test_the_template_uses_the_types_that_are_registered() -> None:
    """No more are kept than the template needs."""
    used = set(re.findall(r"Type: (AWS::Cognito::\w+)", TEMPLATE.read_text(encoding="utf-8")))
    assert used == {model.type_name for model in TYPES}


def test_an_update_changes_what_is_there(deploy: Deploy) -> None:
    """The pool and its client stay the same ones, with their users."""
    before = deploy(AccessTokenMinutes="15")
    users = {"UserPoolId": before.outputs["UserPoolId"], "Username": "ada"}
    before.cognito.admin_create_user(**users, MessageAction="SUPPRESS")
    after = deploy(AccessTokenMinutes="30", Mfa="OFF", Tier="PLUS")
    assert after.outputs["UserPoolId"] == before.outputs["UserPoolId"]
    assert after.client["ClientId"] == before.outputs["AppClientId"]
    assert after.client["AccessTokenValidity"] == 30
    assert (after.pool["MfaConfiguration"], after.pool["UserPoolTier"]) == ("OFF", "PLUS")
    assert after.cognito.admin_get_user(**users)["Username"] == "ada"


def test_a_deleted_stack_leaves_nothing(deploy: Deploy) -> None:
    """Pool, client, group and resource server go, in whatever order moto takes them."""
    stack = deploy()
    boto3.client("cloudformation", region_name=REGION).delete_stack(StackName=STACK)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        stack.cognito.describe_user_pool(UserPoolId=stack.outputs["UserPoolId"])
    assert stack.parameters == {}


SMALL: dict[str, Any] = {
    "Resources": {
        "Pool": {"Type": "AWS::Cognito::UserPool"},
        "Public": {
            "Type": "AWS::Cognito::UserPoolClient",
            "Properties": {"UserPoolId": {"Ref": "Pool"}, "ClientName": "public"},
        },
        "Group": {
            "Type": "AWS::Cognito::UserPoolGroup",
            "Properties": {"UserPoolId": {"Ref": "Pool"}, "GroupName": "players", "Precedence": 1},
        },
        "Server": {
            "Type": "AWS::Cognito::UserPoolResourceServer",
            "Properties": {"UserPoolId": {"Ref": "Pool"}, "Identifier": "api", "Name": "API"},
        },
    },
    "Outputs": {
        "Pool": {"Value": {"Fn::GetAtt": ["Pool", "UserPoolId"]}},
        "Provider": {"Value": {"Fn::GetAtt": ["Pool", "ProviderName"]}},
        "Client": {"Value": {"Fn::GetAtt": ["Public", "ClientId"]}},
        "ClientName": {"Value": {"Fn::GetAtt": ["Public", "Name"]}},
        "Group": {"Value": {"Ref": "Group"}},
        "Server": {"Value": {"Ref": "Server"}},
    },
}


@pytest.fixture
def small(mock_cognito_client: CognitoIdp) -> Iterator[dict[str, str]]:
    """The outputs of a stack of the four types, with as few properties as there can be."""
    cloudformation.register()
    client = boto3.client("cloudformation", region_name=REGION)
    client.create_stack(StackName="small", TemplateBody=json.dumps(SMALL))
    [stack] = client.describe_stacks(StackName="small")["Stacks"]
    yield {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    client.delete_stack(StackName="small")


def test_ref_and_get_att_answer_as_documented(
    small: dict[str, str], mock_cognito_client: CognitoIdp
) -> None:
    """Ids, names, and the provider, which is the issuer without its scheme."""
    client = mock_cognito_client.client.describe_user_pool_client(
        UserPoolId=small["Pool"], ClientId=small["Client"]
    )["UserPoolClient"]
    assert client["ClientName"] == small["ClientName"] == "public"
    assert "ClientSecret" not in client
    assert (small["Group"], small["Server"]) == ("players", "api")
    assert small["Provider"] == f"cognito-idp.{REGION}.amazonaws.com/{small['Pool']}"


def test_an_update_reaches_every_type(
    small: dict[str, str], mock_cognito_client: CognitoIdp
) -> None:
    """What the new template says is what the pool then has."""
    changed = json.loads(json.dumps(SMALL))
    properties = {name: made.get("Properties") for name, made in changed["Resources"].items()}
    changed["Resources"]["Pool"]["Properties"] = {"AutoVerifiedAttributes": ["email"]}
    properties["Public"]["AccessTokenValidity"] = 2
    properties["Group"]["Description"] = "Those who play"
    properties["Server"]["Scopes"] = [{"ScopeName": "me", "ScopeDescription": "You"}]
    boto3.client("cloudformation", region_name=REGION).update_stack(
        StackName="small", TemplateBody=json.dumps(changed)
    )
    cognito, pool = mock_cognito_client.client, {"UserPoolId": small["Pool"]}
    assert cognito.describe_user_pool(**pool)["UserPool"]["AutoVerifiedAttributes"] == ["email"]
    client = cognito.describe_user_pool_client(**pool, ClientId=small["Client"])["UserPoolClient"]
    assert client["AccessTokenValidity"] == 2
    group = cognito.get_group(**pool, GroupName="players")["Group"]
    assert (group["Description"], group["Precedence"]) == ("Those who play", 1)
    server = cognito.describe_resource_server(**pool, Identifier="api")["ResourceServer"]
    assert [scope["ScopeName"] for scope in server["Scopes"]] == ["me"]


@pytest.mark.parametrize("name", ["Pool", "Public", "Group", "Server"])
def test_an_attribute_that_is_none_is_refused(mock_cognito_client: CognitoIdp, name: str) -> None:
    """A slip in a template shows in the test, not in the account."""
    cloudformation.register()
    template = SMALL | {"Outputs": {"Wrong": {"Value": {"Fn::GetAtt": [name, "Nonsense"]}}}}
    client = boto3.client("cloudformation", region_name=REGION)
    with pytest.raises(ClientError, match="Nonsense"):
        client.create_stack(StackName="wrong", TemplateBody=json.dumps(template))
