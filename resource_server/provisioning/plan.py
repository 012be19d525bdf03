"""What differs between code and pool, as the calls that mend it.

A plan is made from a state and a target alone and calls nobody. `UpdateUserPool`,
`UpdateUserPoolClient` and `UpdateResourceServer` reset every parameter that is left out (Cognito
API reference), so a step carries all that was read, with the change in it.

Steps are in an order that breaks no sign-in if the process ends in between: the pool is told of
the function when the function is there and may be invoked.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from resource_server.provisioning import bundle
from resource_server.provisioning.state import (
    SCOPES_BY_GROUP,
    Function,
    State,
    Target,
    function_name,
    grants_of,
    name_and_qualifier,
    trigger_of,
)

Sign = Literal["+", "~", "-"]

NEW_RUNTIME = "python3.13"
RUNTIMES = ("python3.11", "python3.12", "python3.13", "python3.14")
# V3_0 is V2_0 for client credentials, too; both may add scopes to access tokens.
VERSIONS = ("V2_0", "V3_0")
PASSWORD_FLOW, REFRESH_FLOW = "ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"
# What a client allows that was given no flows, and what the names mean that came before ALLOW_*,
# which must not be mixed with it (API reference, ExplicitAuthFlows).
_DEFAULT_FLOWS = (REFRESH_FLOW, "ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH")
_OLD_FLOWS = {
    "ADMIN_NO_SRP_AUTH": ("ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_USER_SRP_AUTH"),
    "CUSTOM_AUTH_FLOW_ONLY": ("ALLOW_CUSTOM_AUTH",),
    "USER_PASSWORD_AUTH": (PASSWORD_FLOW, "ALLOW_USER_SRP_AUTH"),
}
# Both are off where Cognito does not mention them.
_CLIENT_MEMBERS = {"PreventUserExistenceErrors": "ENABLED", "EnableTokenRevocation": True}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is to be made (`+`), changed (`~`) or removed (`-`)."""

    sign: Sign
    subject: str
    now: str = ""
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One call, and the differences that it settles.

    `service` is a name of Aws, `operation` botocore's name of the method, `waiter` that of what
    must be waited for before the next step.
    """

    service: Literal["cognito", "functions"]
    operation: str
    differences: tuple[Difference, ...]
    parameters: Mapping[str, Any] = field(repr=False)
    waiter: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps to be made in order; none is made while something is `blocked`.

    `kept` is what the code does not know and `prune` would remove; `unchecked` could not be seen.
    """

    steps: tuple[Step, ...]
    blocked: tuple[str, ...]
    kept: tuple[str, ...]
    unchecked: tuple[str, ...]

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All that differs, in the order in which it will be settled."""
        return tuple(difference for step in self.steps for difference in step.differences)

    @property
    def in_step(self) -> bool:
        """Whether the pool is as the code wants it."""
        return not self.steps and not self.blocked


def make_plan(state: State, target: Target, model: Any, *, has_lambda: bool = True) -> Plan:
    """Compare a pool with what is wanted of it.

    `model` is botocore's service model of Cognito, which tells what can be written. Without
    `has_lambda` (an emulator) the function is left alone.
    """
    planner = _Planner(state, target, model, has_lambda=has_lambda)
    steps = (
        *planner.client(),
        *planner.groups(),
        *planner.resource_server(),
        *(planner.function() if has_lambda else planner.no_function()),
        *planner.pool(),
    )
    return Plan(steps, tuple(planner.blocked), tuple(planner.kept), tuple(planner.unchecked))


def flows_of(client: Mapping[str, Any]) -> list[str]:
    """Return what a client allows, in names of today."""
    flows: Iterable[str] = client.get("ExplicitAuthFlows") or _DEFAULT_FLOWS
    if not any(flow in _OLD_FLOWS for flow in flows):
        return list(flows)
    renamed = [name for flow in flows for name in _OLD_FLOWS.get(flow, (flow,))]
    return list(dict.fromkeys((*renamed, REFRESH_FLOW)))


def rotates(client: Mapping[str, Any]) -> bool:
    """Tell whether refresh tokens rotate, which rules the refresh flow out."""
    return bool(client.get("RefreshTokenRotation", {}).get("Feature") == "ENABLED")


def wanted_flows(client: Mapping[str, Any]) -> list[str]:
    """Return the flows a client must allow: those it allows, and those this service uses."""
    flows = list(dict.fromkeys((*flows_of(client), PASSWORD_FLOW, REFRESH_FLOW)))
    if rotates(client):
        flows.remove(REFRESH_FLOW)
    return flows


class _Planner:
    """Collects what is said beside the steps."""

    def __init__(self, state: State, target: Target, model: Any, *, has_lambda: bool) -> None:
        self.state, self.target, self.model = state, target, model
        self.has_lambda = has_lambda
        self.blocked: list[str] = []
        self.kept: list[str] = []
        self.unchecked: list[str] = []
        self.trigger = trigger_of(state.pool)
        self.name = function_name(target, state.pool)
        self.mapping, self.wanted_mapping = self._mappings()

    def client(self) -> Iterator[Step]:
        """Compare the app client."""
        client = self.state.client
        changes: dict[str, Any] = {}
        differences = []
        flows, wanted = flows_of(client), wanted_flows(client)
        differences += [Difference("+", f"client flow {f}") for f in wanted if f not in flows]
        differences += [Difference("-", f"client flow {f}") for f in flows if f not in wanted]
        if differences:
            changes["ExplicitAuthFlows"] = wanted
        for member, value in _CLIENT_MEMBERS.items():
            if client.get(member) != value:
                now = str(client.get(member, "not set"))
                differences.append(Difference("~", f"client {member}", now, str(value)))
                changes[member] = value
        if self.target.prune:
            removed = {f"{self.target.identifier}/{name}" for name in self._undeclared()}
            scopes = client.get("AllowedOAuthScopes", [])
            if lost := removed.intersection(scopes):
                differences += [Difference("-", f"client scope {name}") for name in sorted(lost)]
                changes["AllowedOAuthScopes"] = [s for s in scopes if s not in removed]
        if differences:
            ids = {"UserPoolId": self.target.pool_id, "ClientId": self.target.client_id}
            written = self._writable("UpdateUserPoolClient", client) | ids | changes
            yield Step("cognito", "update_user_pool_client", tuple(differences), written)

    def groups(self) -> Iterator[Step]:
        """Compare the groups."""
        mapped = dict.fromkeys(self.wanted_mapping.keys() - {"*"}, SCOPES_BY_GROUP)
        wanted = mapped | dict(self.target.groups)
        pool = {"UserPoolId": self.target.pool_id}
        for name, user in sorted(wanted.items()):
            if name not in self.state.groups:
                made = Difference("+", f"group {name}", wanted=f"named by {user}")
                yield Step("cognito", "create_group", (made,), pool | {"GroupName": name})
        for name, found in sorted(self.state.groups.items()):
            # Cognito makes the groups of external providers; a role serves something else.
            foreign = name.startswith(f"{self.target.pool_id}_") or "RoleArn" in found
            if name in wanted or foreign:
                continue
            if self.target.prune:
                gone = Difference("-", f"group {name}", now="named by nobody")
                yield Step("cognito", "delete_group", (gone,), pool | {"GroupName": name})
            else:
                self.kept.append(f"group {name}")

    def resource_server(self) -> Iterator[Step]:
        """Compare the resource server and its scopes."""
        identifier, server = self.target.identifier, self.state.resource_server
        scopes = list(server.get("Scopes", [])) if server else []
        known = {scope["ScopeName"] for scope in scopes}
        new = [name for name in self.target.scope_names if name not in known]
        old = self._undeclared()
        differences = [Difference("+", f"scope {identifier}/{name}") for name in new]
        scopes += [{"ScopeName": name, "ScopeDescription": f"Access to {name}"} for name in new]
        if self.target.prune:
            differences += [Difference("-", f"scope {identifier}/{name}") for name in old]
            scopes = [scope for scope in scopes if scope["ScopeName"] not in old]
        else:
            self.kept += [f"scope {identifier}/{name}" for name in old]
        if not differences:
            return
        ids = {"UserPoolId": self.target.pool_id, "Identifier": identifier}
        if server is None:
            differences.insert(0, Difference("+", f"resource server {identifier}"))
            written = {"Name": identifier, **ids, "Scopes": scopes}
            yield Step("cognito", "create_resource_server", tuple(differences), written)
        else:
            written = self._writable("UpdateResourceServer", server) | ids | {"Scopes": scopes}
            yield Step("cognito", "update_resource_server", tuple(differences), written)

    def function(self) -> Iterator[Step]:
        """Compare the trigger's function: code, configuration, permission."""
        for scope in self.target.never_given(self.wanted_mapping):
            self.blocked.append(
                f"The trigger gives the scope {scope} to nobody: say who gets it, for example "
                f"--grant '*={scope}' (everybody) or --grant 'group={scope}'."
            )
        function = self.state.function
        if function is None:
            yield self._creation()
        else:
            changes = tuple(self._changes(function))
            if changes:
                self._refuse_what_is_not_ours(function)
            yield from changes
        yield from self._permission(function)

    def no_function(self) -> Iterator[Step]:
        """Leave the function alone where there is no Lambda to ask."""
        self.unchecked.append(
            "the trigger's function, its code, permission and SCOPES_BY_GROUP: "
            "the emulator has no Lambda, and runs the trigger from this code"
        )
        yield from ()

    def pool(self) -> Iterator[Step]:
        """Compare the pool's trigger."""
        pool, trigger = self.state.pool, self.trigger
        arn, version = self._arn(), trigger.version if trigger.version in VERSIONS else "V2_0"
        if not self.has_lambda and trigger.arn is None:
            self.blocked.append(
                "The pool has no trigger, and the emulator has no Lambda to make one in: restart "
                "`flask run`, which configures it."
            )
            return
        differences = []
        if trigger.arn is None:
            differences.append(Difference("+", "trigger", wanted=f"{arn} ({version})"))
        elif trigger.arn != arn:
            differences.append(Difference("~", "trigger function", trigger.arn, arn))
        if trigger.arn is not None and trigger.version != version:
            differences.append(Difference("~", "trigger version", str(trigger.version), version))
        if not differences:
            return
        if pool.get("UserPoolTier") == "LITE" and trigger.version != version:
            self.blocked.append(
                "The pool is on the LITE tier, whose triggers cannot change access tokens: choose "
                "ESSENTIALS or PLUS, which cost more, in the console (Settings, Feature plan)."
            )
        config = dict(pool.get("LambdaConfig", {}))
        config["PreTokenGenerationConfig"] = {"LambdaVersion": version, "LambdaArn": arn}
        if "PreTokenGeneration" in config:  # the old member must agree, if it is there
            config["PreTokenGeneration"] = arn
        written = self._writable("UpdateUserPool", pool)
        written |= {"UserPoolId": self.target.pool_id, "LambdaConfig": config}
        if "Name" in pool:
            written["PoolName"] = pool["Name"]
        _leave_out_what_is_said_twice(written)
        yield Step("cognito", "update_user_pool", tuple(differences), written)

    def _creation(self) -> Step:
        name, qualifier = self._name()
        if self.target.role_arn is None:
            self.blocked.append(
                f"The function {name} does not exist, and making it needs a role that Lambda may "
                "assume (with AWSLambdaBasicExecutionRole): name it with --role-arn."
            )
        if qualifier is not None:
            self.blocked.append(
                f"The pool names the version or alias {qualifier} of {name}, which does not exist: "
                "publish it, or name another function with --function."
            )
        made = Difference("+", f"function {name}", wanted=f"{NEW_RUNTIME}, {bundle.HANDLER}")
        parameters: dict[str, Any] = {
            "FunctionName": name,
            "Role": self.target.role_arn,
            "Runtime": NEW_RUNTIME,
            "Handler": bundle.HANDLER,
            "Description": "Adds this service's scopes to access tokens",
            "Code": {"ZipFile": bundle.build()},
        }
        if self.target.grants:
            parameters["Environment"] = {"Variables": self._environment({})}
        return Step("functions", "create_function", (made,), parameters, "function_active_v2")

    def _changes(self, function: Function) -> Iterator[Step]:
        name, _ = self._name()
        now = function.configuration
        if not function.has_our_code:
            code = Difference("~", f"function {name} code", "differs", "the code here")
            parameters = {"FunctionName": name, "ZipFile": bundle.build()}
            if "Architectures" in now:
                parameters["Architectures"] = now["Architectures"]
            yield Step(
                "functions", "update_function_code", (code,), parameters, "function_updated_v2"
            )
        differences = []
        written: dict[str, Any] = {}
        if not function.is_ours:
            found = str(now.get("Handler", "none"))
            differences.append(Difference("~", f"function {name} handler", found, bundle.HANDLER))
            written["Handler"] = bundle.HANDLER
        if now.get("Runtime") not in RUNTIMES:
            found = str(now.get("Runtime", "none"))
            differences.append(Difference("~", f"function {name} runtime", found, NEW_RUNTIME))
            written["Runtime"] = NEW_RUNTIME
        if self.wanted_mapping != self.mapping:
            variables = self._environment(function.variables)
            found = function.variables.get(SCOPES_BY_GROUP, "not set")
            wanted = variables[SCOPES_BY_GROUP]
            differences.append(Difference("~", f"function {name} {SCOPES_BY_GROUP}", found, wanted))
            written["Environment"] = {"Variables": variables}
        if differences:
            written["FunctionName"] = name
            operation = "update_function_configuration"
            yield Step("functions", operation, tuple(differences), written, "function_updated_v2")

    def _refuse_what_is_not_ours(self, function: Function) -> None:
        """Block a change of somebody else's program, or of what is published."""
        name, qualifier = self._name()
        if qualifier is not None:
            self.blocked.append(
                f"The function {name} differs, but the pool names its version or alias "
                f"{qualifier}, which cannot be changed from here: publish it yourself, or name "
                "another function with --function."
            )
        elif function.configuration.get("PackageType") == "Image":
            self.blocked.append(
                f"The function {name} is a container image: name another one with --function."
            )
        elif not function.is_ours and self.target.function is None:
            self.blocked.append(
                f"The pool's trigger {name} is another program. Let it add the scopes itself, or "
                f"name a function with --function: --function {name} writes over it."
            )

    def _permission(self, function: Function | None) -> Iterator[Step]:
        pool_arn = self.state.pool["Arn"]
        if function is not None and function.may_be_invoked_for(pool_arn):
            return
        name, qualifier = self._name()
        taken = {statement.get("Sid") for statement in function.statements} if function else set()
        ids = [f"cognito-{self.target.pool_id}", *(f"cognito-{n}" for n in range(len(taken)))]
        parameters = {
            "FunctionName": name,
            "StatementId": next(sid for sid in ids if sid not in taken),
            "Action": "lambda:InvokeFunction",
            "Principal": "cognito-idp.amazonaws.com",
            "SourceArn": pool_arn,
        }
        if qualifier is not None:
            parameters["Qualifier"] = qualifier
        allowed = Difference("+", f"function {name} permission", wanted="invoked by this pool")
        yield Step("functions", "add_permission", (allowed,), parameters)

    def _mappings(self) -> tuple[dict[str, str] | None, dict[str, str]]:
        """Return what the trigger gives (None: malformed), and what it is to."""
        if not self.has_lambda:
            return {}, {}
        try:
            now = grants_of(self.state.function.variables if self.state.function else {})
        except ValueError:
            now = None
        wanted = dict(now or {})
        for group, scopes in (self.target.grants or {}).items():
            given = wanted.get(group, "").split()
            if not set(scopes.split()) <= set(given):
                wanted[group] = " ".join(dict.fromkeys((*given, *scopes.split())))
        return now, wanted

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {**variables, SCOPES_BY_GROUP: json.dumps(self.wanted_mapping)}

    def _name(self) -> tuple[str, str | None]:
        return name_and_qualifier(self.name) if ":" in self.name else (self.name, None)

    def _arn(self) -> str:
        if ":" in self.name:
            return self.name
        partition, _, region, account = self.state.pool["Arn"].split(":")[1:5]
        return f"arn:{partition}:lambda:{region}:{account}:function:{self.name}"

    def _undeclared(self) -> list[str]:
        server = self.state.resource_server or {}
        names = [scope["ScopeName"] for scope in server.get("Scopes", [])]
        return [name for name in names if name not in self.target.scope_names]

    def _writable(self, operation: str, read: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what an operation takes of what was read."""
        members = self.model.operation_model(operation).input_shape.members
        return {name: value for name, value in read.items() if name in members}


def _leave_out_what_is_said_twice(pool: dict[str, Any]) -> None:
    """Drop the deprecated name of a number that Cognito answers with and refuses beside the new."""
    policy = pool.get("Policies", {}).get("PasswordPolicy", {})
    if "AdminCreateUserConfig" in pool and "TemporaryPasswordValidityDays" in policy:
        config = dict(pool["AdminCreateUserConfig"])
        config.pop("UnusedAccountValidityDays", None)
        pool["AdminCreateUserConfig"] = config
