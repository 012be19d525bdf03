"""Faults planted in a pool, each of which the doctor must find, and say how to mend."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests
import responses
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber

from resource_server.provisioning import doctor
from resource_server.provisioning.aws import Aws
from resource_server.provisioning.doctor import Finding, Service
from resource_server.tokens import UserPool
from tests.provisioning.conftest import World
from tests.provisioning.test_bundle import package


@dataclass
class Patient:
    """A healthy pool, and a service that fits it, until a test plants a fault."""

    world: World
    service: Service

    def findings(self, aws: Aws | None = None) -> dict[str, Finding]:
        """Return what is found, by the name of its check."""
        found = doctor.examine(aws or self.world.aws, self.service)
        assert len({finding.check for finding in found}) == len(found)
        return {finding.check: finding for finding in found}

    def change(self, **members: Any) -> None:
        """Change what the service is told."""
        self.service = replace(self.service, **members)


@pytest.fixture
def patient(in_step: World, public: Any) -> Patient:
    """A pool in which nothing is wrong."""
    in_step.forget_devices()
    service = Service(
        target=in_step.target(),
        public=public,
        pools=(UserPool.parse(in_step.pool_id),),
        admin_group="admins",
        leeway=10,
        jwks_timeout=3,
        client_secret=in_step.client_secret,
        writable_attributes=("name", "birthdate"),
    )
    return Patient(in_step, service)


def test_a_healthy_pool_has_no_findings(patient: Patient) -> None:
    """In a pool that fits, nothing is found, not even a hint."""
    assert patient.findings() == {}


FLOWS = "ExplicitAuthFlows"
SRP, PASSWORD, REFRESH = (
    f"ALLOW_{name}_AUTH" for name in ("USER_SRP", "USER_PASSWORD", "REFRESH_TOKEN")
)


def _client(**members: Any) -> Callable[[Patient], object]:
    return lambda patient: patient.world.change_client(**members)


def _pool(**members: Any) -> Callable[[Patient], object]:
    return lambda patient: patient.world.change_pool(**members)


def _environment(mapping: str, **more: str) -> Callable[[Patient], object]:
    return lambda patient: patient.world.functions.update_function_configuration(
        FunctionName=patient.world.function,
        Environment={"Variables": {"SCOPES_BY_GROUP": mapping} | more},
    )


def _handler(patient: Patient) -> None:
    patient.world.functions.update_function_configuration(
        FunctionName=patient.world.function, Handler="index.handler"
    )


def _no_function(patient: Patient) -> None:
    patient.world.functions.delete_function(FunctionName=patient.world.function)


def _no_permission(patient: Patient) -> None:
    patient.world.functions.remove_permission(
        FunctionName=patient.world.function, StatementId=f"cognito-{patient.world.pool_id}"
    )


def _other_code(patient: Patient) -> None:
    patient.world.functions.update_function_code(
        FunctionName=patient.world.function, ZipFile=package(code=b"# other")
    )


def _no_group(patient: Patient) -> None:
    patient.world.aws.cognito.delete_group(UserPoolId=patient.world.pool_id, GroupName="admins")


def _target(**members: Any) -> Callable[[Patient], object]:
    return lambda patient: patient.change(target=patient.world.target(**members))


def _public_client(patient: Patient) -> None:
    made = patient.world.aws.cognito.create_user_pool_client(
        UserPoolId=patient.world.pool_id,
        ClientName="public",
        ExplicitAuthFlows=[PASSWORD, REFRESH],
        PreventUserExistenceErrors="ENABLED",
    )["UserPoolClient"]
    patient.change(target=patient.world.target(client_id=made["ClientId"]))


APPLY = "flask cognito apply"


@pytest.mark.parametrize(
    ("plant", "level", "check", "mend"),
    [
        (_target(client_id="nobodys"), "error", "client-not-found", "ids"),
        (_client(**{FLOWS: [SRP, REFRESH]}), "error", "password-flow", APPLY),
        (_client(**{FLOWS: [PASSWORD]}), "error", "refresh-flow", APPLY),
        (
            _client(RefreshTokenRotation={"Feature": "ENABLED"}),
            "error",
            "refresh-flow",
            APPLY,
        ),
        (_pool(LambdaConfig={}), "error", "trigger-missing", f"{APPLY} --role-arn"),
        (lambda p: p.world.set_trigger("V1_0"), "error", "trigger-version", APPLY),
        (_no_function, "error", "function-missing", f"{APPLY} --role-arn"),
        (_no_permission, "error", "function-permission", APPLY),
        (_other_code, "warning", "function-code", APPLY),
        (_handler, "error", "function-handler", f"{APPLY} --function"),
        (_client(PreventUserExistenceErrors="LEGACY"), "warning", "user-existence", APPLY),
        (_public_client, "error", "secret-unneeded", "unset"),
        (lambda p: p.change(client_secret=None), "error", "secret-missing", "set AWS_COGNITO"),
        (lambda p: p.change(client_secret="wrong"), "error", "secret-wrong", "set it anew"),
        (
            _client(AccessTokenValidity=90, TokenValidityUnits={"AccessToken": "minutes"}),
            "warning",
            "access-lifetime",
            "console",
        ),
        (
            _client(
                RefreshTokenValidity=10,
                TokenValidityUnits={"AccessToken": "minutes", "RefreshToken": "minutes"},
            ),
            "warning",
            "refresh-lifetime",
            "console",
        ),
        (
            _client(RefreshTokenValidity=31),
            "warning",
            "revocation-lifetime",
            "COGNITO_REFRESH_TOKEN_DAYS=31",
        ),
        (
            _client(
                RefreshTokenValidity=745,
                TokenValidityUnits={"AccessToken": "minutes", "RefreshToken": "hours"},
            ),
            "warning",
            "revocation-lifetime",
            "COGNITO_REFRESH_TOKEN_DAYS=32",
        ),
        (_client(EnableTokenRevocation=False), "error", "token-revocation", APPLY),
        (_target(scopes=("admin", "me")), "error", "scopes-not-given", "--grant '*=admin'"),
        (_environment('{"*": "me"}'), "error", "scopes-not-given", "--grant '*=randoms'"),
        (_environment("me randoms"), "error", "scopes-malformed", "--grant '*=me randoms'"),
        (
            _environment('{"*": "me randoms"}', SCOPES_BY_CLIENT="[]"),
            "error",
            "client-scopes-malformed",
            "object of text",
        ),
        (_no_group, "warning", "admin-group", APPLY),
        (_target(groups={"staff": "/orders"}), "warning", "group", APPLY),
        (_pool(DeletionProtection="INACTIVE"), "hint", "deletion-protection", "console"),
        (_pool(AutoVerifiedAttributes=[]), "warning", "email-verification", "console"),
        (
            _pool(AdminCreateUserConfig={"AllowAdminCreateUserOnly": True}),
            "warning",
            "sign-up",
            "console",
        ),
    ],
)
def test_a_planted_fault_is_found(
    patient: Patient, plant: Callable[[Patient], object], level: str, check: str, mend: str
) -> None:
    """One fault, one finding: its level, and what mends it."""
    plant(patient)
    found = patient.findings()
    assert list(found) == [check]
    assert (found[check].level, mend in found[check].mend) == (level, True), found[check]


def test_a_pool_that_is_not_there_is_told_once(patient: Patient) -> None:
    """Another account's pool: where to look, and no list of what follows from it."""
    missing = UserPool.parse("eu-west-2_Missing1")
    patient.change(target=patient.world.target(pool_id=missing.id))
    found = patient.findings()
    assert list(found) == ["pool-not-found"]
    assert "AWS_USER_POOL_ID" in found["pool-not-found"].says


@pytest.mark.parametrize(
    ("writable", "level", "says"),
    [
        (("name",), "error", "requires phone_number, which COGNITO_WRITABLE_ATTRIBUTES does not"),
        (("phone_number",), "hint", "Cognito rejects a sign-up without them"),
    ],
)
def test_attributes_that_the_pool_requires(
    patient: Patient, writable: tuple[str, ...], level: str, says: str
) -> None:
    """An error where users may not set them, else a hint: clients must send them."""
    patient.change(writable_attributes=writable)

    def require(parsed: dict[str, Any], **_: object) -> None:
        parsed["UserPool"]["SchemaAttributes"] = [
            {"Name": name, "Required": True} for name in ("sub", "email", "phone_number")
        ]

    patient.world.aws.cognito.meta.events.register(
        "after-call.cognito-idp.DescribeUserPool", require
    )
    found = patient.findings()
    assert list(found) == ["required-attributes"]
    finding = found["required-attributes"]
    assert (finding.level, says in finding.says) == (level, True)


@pytest.mark.parametrize(
    ("configuration", "prompts"),
    [
        ({"ChallengeRequiredOnNewDevice": True}, False),
        ({"DeviceOnlyRememberedOnUserPrompt": True}, True),
        ({"ChallengeRequiredOnNewDevice": False, "DeviceOnlyRememberedOnUserPrompt": False}, False),
    ],
)
def test_a_pool_that_remembers_devices(
    patient: Patient, configuration: dict[str, bool], prompts: bool
) -> None:
    """Any value turns it on (API reference, DeviceConfigurationType): clients must know."""
    patient.world.change_pool(DeviceConfiguration=configuration)
    finding = patient.findings()["device-tracking"]
    assert finding.level == "warning"
    assert "device_key" in finding.says
    assert ("once its user agreed" in finding.says) == prompts
    assert "POST /users/me/devices" in finding.mend


def test_what_may_not_be_read_is_named_and_the_rest_examined(patient: Patient) -> None:
    """A lacking permission is a warning with its name; faults elsewhere are still found."""
    patient.change(client_secret="wrong")
    with Stubber(patient.world.aws.cognito) as cognito:
        for operation in ("describe_user_pool", "describe_user_pool_client", "list_groups"):
            cognito.add_client_error(operation, "AccessDeniedException")
        found = patient.findings()
    assert {check: finding.level for check, finding in found.items()} == {
        "pool-unread": "warning",
        "client-unread": "warning",
        "groups-unread": "warning",
        "secret-wrong": "error",
    }
    assert "cognito-idp:DescribeUserPool:" in found["pool-unread"].says
    assert "cognito-idp:ListGroups" in found["groups-unread"].mend
    with Stubber(patient.world.functions) as functions:
        functions.add_client_error("get_function", "AccessDeniedException")
        found = patient.findings()
    assert "lambda:GetFunction" in found["function-unread"].mend


@pytest.mark.parametrize(
    ("code", "message", "check"),
    [
        (
            "NotAuthorizedException",
            "Client x is configured with secret but SECRET_HASH was not received",
            "secret-missing",
        ),
        ("NotAuthorizedException", "Unable to verify secret hash for client x", "secret-wrong"),
        (
            "InvalidParameterException",
            "USER_PASSWORD_AUTH flow not enabled for this client",
            "password-flow",
        ),
        ("ResourceNotFoundException", "User pool client x does not exist.", "client-not-found"),
        ("NotAuthorizedException", "Incorrect username or password.", None),
    ],
)
def test_without_permissions_a_refused_sign_in_tells_much(
    patient: Patient, code: str, message: str, check: str | None
) -> None:
    """Where the client may not be read, what Cognito answers strangers still tells its faults."""
    if check == "secret-missing":
        patient.change(client_secret=None)
    with (
        Stubber(patient.world.aws.cognito) as cognito,
        Stubber(patient.service.public) as public,
    ):
        for operation in ("describe_user_pool", "describe_user_pool_client", "list_groups"):
            cognito.add_client_error(operation, "AccessDeniedException")
        public.add_client_error("initiate_auth", code, message)
        found = patient.findings()
    errors = [name for name, finding in found.items() if finding.level == "error"]
    assert errors == ([check] if check else [])


def test_no_credentials_are_told_once(patient: Patient) -> None:
    """Without credentials what needs none is examined: the secret and the keys."""

    def refuse(**_: object) -> None:
        raise NoCredentialsError

    patient.world.aws.cognito.meta.events.register("before-call", refuse)
    patient.change(client_secret="wrong")
    found = patient.findings()
    assert list(found) == ["secret-wrong", "pool-unread"]
    assert "AWS_PROFILE" in found["pool-unread"].says


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param({"body": requests.ConnectionError()}, "reached", id="unreachable"),
        pytest.param({"json": {"keys": []}}, "no usable", id="no keys"),
        pytest.param({"body": "<html>", "status": 404}, "no usable", id="not found"),
    ],
)
def test_keys_that_are_no_use(patient: Patient, answer: Any, says: str) -> None:
    """Keys out of reach, or none that verify anything, are an error with their address."""
    [pool] = patient.service.pools
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_passthru(f"https://cognito-idp.{pool.region}.amazonaws.com/$")
        mock.get(pool.jwks_uri, **answer)
        found = patient.findings()
    assert (list(found), says in found["keys"].says) == (["keys"], True), found
    assert pool.jwks_uri in found["keys"].mend


@pytest.mark.parametrize(("seconds", "found"), [(90, True), (-90, True), (5, False)])
def test_a_clock_that_differs(
    patient: Patient,
    seconds: float,
    found: bool,
) -> None:
    """The Date of AWS's answer tells a clock that is further off than is allowed."""

    def change(parsed: dict[str, Any], **_: object) -> None:
        date = datetime.now(UTC) + timedelta(seconds=seconds)
        parsed["ResponseMetadata"]["HTTPHeaders"]["date"] = format_datetime(date, usegmt=True)

    patient.world.aws.cognito.meta.events.register(
        "after-call.cognito-idp.DescribeUserPool", change
    )
    clock = patient.findings().get("clock")
    assert (clock is not None) is found
    if clock is not None:
        assert ("behind" in clock.says) is (seconds > 0)


def test_no_secret_is_shown(patient: Patient) -> None:
    """Neither the set secret nor the client's own is in a finding or a repr."""
    patient.change(client_secret="set-but-wrong")
    shown = json.dumps([str(finding) for finding in patient.findings().values()])
    shown += repr(patient.service)
    assert "set-but-wrong" not in shown
    assert patient.world.client_secret not in shown


def test_an_emulator_is_examined_without_lambda(patient: Patient) -> None:
    """Without Lambda a hint says that the function was not checked."""
    found = patient.findings(Aws(patient.world.aws.cognito, None))
    assert {check: finding.level for check, finding in found.items()} == {"function-unread": "hint"}
