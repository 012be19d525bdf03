"""The pool as it is: read, never changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

from resource_server.provisioning import bundle
from resource_server.provisioning.aws import NOT_FOUND, Aws, code_of
from resource_server.tokens.claims import SIGN_IN_SCOPE
from resource_server.triggers import pre_token_generation

COGNITO_SCOPES = frozenset({SIGN_IN_SCOPE, "openid", "email", "phone", "profile"})
SCOPES_BY_GROUP, SCOPES_BY_CLIENT = "SCOPES_BY_GROUP", "SCOPES_BY_CLIENT"
_COGNITO = "cognito-idp.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Target:
    """What the code needs of a pool.

    `scopes` are what routes declare, `groups` the names that routes and settings use, each with
    who uses it. `function` and `role_arn` are the Lambda function's, if they were named.
    `grants` maps groups to scopes that SCOPES_BY_GROUP is to give beside those it gives already.
    """

    pool_id: str
    client_id: str
    scopes: tuple[str, ...]
    groups: Mapping[str, str]
    identifier: str = "resource-server"
    function: str | None = None
    role_arn: str | None = None
    grants: Mapping[str, str] | None = None
    prune: bool = False

    @property
    def scope_names(self) -> tuple[str, ...]:
        """The scopes of this service's resource server, without its identifier.

        Cognito's own scopes are nobody's to declare, nor those of another resource server.
        """
        own = (scope.removeprefix(f"{self.identifier}/") for scope in self.scopes)
        return tuple(name for name in own if name not in COGNITO_SCOPES and "/" not in name)

    def never_given(self, mapping: Mapping[str, str]) -> list[str]:
        """Return the declared scopes that a mapping of groups to scopes gives to nobody."""
        given = {scope for scopes in mapping.values() for scope in scopes.split()}
        return [scope for scope in self.scopes if scope not in given | {SIGN_IN_SCOPE}]


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function and who may invoke it."""

    configuration: Mapping[str, Any]
    statements: tuple[Mapping[str, Any], ...]
    has_our_code: bool

    @property
    def variables(self) -> dict[str, str]:
        """Its environment."""
        return dict(self.configuration.get("Environment", {}).get("Variables", {}))

    @property
    def is_ours(self) -> bool:
        """Whether it is this trigger, of whatever version, and not somebody else's program."""
        return self.configuration.get("Handler") == bundle.HANDLER

    def may_be_invoked_for(self, pool_arn: str) -> bool:
        """Tell whether its policy lets Cognito invoke it for a pool."""
        return any(_allows(statement, pool_arn) for statement in self.statements)


@dataclass(frozen=True, slots=True)
class Trigger:
    """The pool's Pre Token Generation trigger, as far as it is configured."""

    arn: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a plan compares. `function` is None where it does not exist or is unread."""

    pool: Mapping[str, Any]
    client: Mapping[str, Any]
    resource_server: Mapping[str, Any] | None
    groups: Mapping[str, Mapping[str, Any]]
    function: Function | None


def read(aws: Aws, target: Target) -> State:
    """Read a pool.

    Raises ClientError or BotoCoreError.
    """
    pool = read_pool(aws, target)
    name = function_name(target, pool)
    return State(
        pool=pool,
        client=read_client(aws, target),
        resource_server=read_resource_server(aws, target),
        groups=read_groups(aws, target),
        function=read_function(aws.functions, name) if aws.functions else None,
    )


def read_pool(aws: Aws, target: Target) -> dict[str, Any]:
    """Describe the pool."""
    answer = aws.cognito.describe_user_pool(UserPoolId=target.pool_id)
    return dict(answer["UserPool"])


def read_client(aws: Aws, target: Target) -> dict[str, Any]:
    """Describe the app client; its secret is among what comes back."""
    answer = aws.cognito.describe_user_pool_client(
        UserPoolId=target.pool_id, ClientId=target.client_id
    )
    return dict(answer["UserPoolClient"])


def read_resource_server(aws: Aws, target: Target) -> dict[str, Any] | None:
    """Describe the resource server; None if there is none under this identifier."""
    try:
        answer = aws.cognito.describe_resource_server(
            UserPoolId=target.pool_id, Identifier=target.identifier
        )
    except ClientError as error:
        if code_of(error) == NOT_FOUND:
            return None
        raise
    return dict(answer["ResourceServer"])


def read_groups(aws: Aws, target: Target) -> dict[str, dict[str, Any]]:
    """List the groups by name."""
    pages = aws.cognito.get_paginator("list_groups").paginate(UserPoolId=target.pool_id)
    return {group["GroupName"]: dict(group) for page in pages for group in page["Groups"]}


def read_function(functions: Any, name: str) -> Function | None:
    """Read a function by name or ARN; None if there is none."""
    try:
        answer = functions.get_function(FunctionName=name)
    except ClientError as error:
        if code_of(error) == NOT_FOUND:
            return None
        raise
    configuration = answer["Configuration"]
    same = configuration.get("CodeSha256") == bundle.code_sha256(bundle.build())
    if not same and (address := answer.get("Code", {}).get("Location")):
        package = bundle.download(address)
        same = package is not None and bundle.holds_our_code(package)
    return Function(configuration, _read_statements(functions, name), same)


def _read_statements(functions: Any, name: str) -> tuple[Mapping[str, Any], ...]:
    try:
        policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
    except ClientError as error:
        if code_of(error) == NOT_FOUND:
            return ()
        raise
    return tuple(policy["Statement"])


def trigger_of(pool: Mapping[str, Any]) -> Trigger:
    """Find the trigger; without a version it was configured in the old way, which is V1_0."""
    config = pool.get("LambdaConfig", {})
    current = config.get("PreTokenGenerationConfig", {})
    arn = current.get("LambdaArn") or config.get("PreTokenGeneration")
    return Trigger(arn, current.get("LambdaVersion", "V1_0") if arn else None)


def function_name(target: Target, pool: Mapping[str, Any]) -> str:
    """Choose the function: the one that was named, or is configured, or the pool's own name."""
    configured = trigger_of(pool).arn
    if configured and target.function in {None, *name_and_qualifier(configured)[:1]}:
        return configured
    return target.function or f"{target.pool_id}-pre-token-generation"


def name_and_qualifier(arn: str) -> tuple[str, str | None]:
    """Take the ARN of a function apart: its name, and the version or alias if it has one."""
    _, _, rest = arn.partition(":function:")
    name, _, qualifier = rest.partition(":")
    return name, qualifier or None


def grants_of(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what a function with this environment gives, by group; `*` is everybody.

    Raises ValueError if SCOPES_BY_GROUP is malformed, which fails every sign-in.
    """
    if not variables.get(SCOPES_BY_GROUP):
        return {"*": " ".join(pre_token_generation.DEFAULT_SCOPES)}
    return pre_token_generation.read_mapping(variables[SCOPES_BY_GROUP])


def has_malformed_clients(variables: Mapping[str, str]) -> bool:
    """Return whether SCOPES_BY_CLIENT is malformed, which fails every client credentials grant."""
    try:
        pre_token_generation.read_mapping(variables.get(SCOPES_BY_CLIENT) or "{}")
    except ValueError:
        return True
    return False


def _allows(statement: Mapping[str, Any], pool_arn: str) -> bool:
    """Tell whether one statement is enough; a condition we cannot judge makes it too little."""
    principal = statement.get("Principal")
    services = principal.get("Service") if isinstance(principal, dict) else principal
    judged = {"aws:sourcearn": pool_arn, "aws:sourceaccount": pool_arn.split(":")[4]}
    return (
        statement.get("Effect") == "Allow"
        and bool({_COGNITO, "*"} & _texts(services))
        and any(fnmatchcase("lambda:InvokeFunction", a) for a in _texts(statement.get("Action")))
        and all(
            any(fnmatchcase(judged.get(name.lower(), ""), pattern) for pattern in _texts(wanted))
            for condition in statement.get("Condition", {}).values()
            for name, wanted in condition.items()
        )
    )


def _texts(value: object) -> set[str]:
    if isinstance(value, str):
        return {value}
    return {str(part) for part in value} if isinstance(value, list) else set()
