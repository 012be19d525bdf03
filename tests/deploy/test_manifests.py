"""compose.yaml, Kubernetes, ECS: each by its own schema, and all by what the service reads."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from apiflask import APIFlask
from gunicorn.config import Config  # type: ignore[import-untyped]
from moto import mock_aws

from resource_server.emulator.pools_file import read_pools
from resource_server.settings import Settings, load_settings
from tests.conftest import REGION
from tests.deploy.manifests import (
    DEPLOY,
    ROOT,
    compose,
    dockerfile,
    ecs_task,
    kubernetes,
    lineage,
    of_kind,
    pool,
    read_yaml,
)

KUBERNETES = "1.34"
# Read by gunicorn and gunicorn.conf.py, by botocore, and by the image's health check.
OTHERS = {
    "WEB_CONCURRENCY",
    "GUNICORN_THREADS",
    "PORT",
    "MANAGEMENT_HOST",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}
# What the platform's secret holds, as the manifests ask for it.
SECRETS = {
    "AWS_COGNITO_APP_CLIENT_SECRET": "a_secret_of_24_characters",
    "DATABASE_URL": "postgresql://app:a-secret@db.example.com/app",
    "RATELIMIT_STORAGE_URI": "rediss://cache.example.com:6379/0",
}
IMAGE_USER = 10001


def environments() -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield what a process of ours is told: by which file, and all of it."""
    services = compose()["services"]
    for name in ("service-1", "service-2", "migrate"):
        yield f"compose {name}", services[name]["environment"]
    yield "kubernetes", of_kind("ConfigMap")["data"] | SECRETS
    [container] = ecs_task()["containerDefinitions"]
    told = {entry["name"]: entry["value"] for entry in container["environment"]}
    asked = {entry["name"]: entry["valueFrom"] for entry in container["secrets"]}
    pool = {"AWS_USER_POOL_ID": "eu-west-2_AbCdEf123", "AWS_COGNITO_APP_CLIENT_ID": "client"}
    assert asked.keys() == SECRETS.keys() | pool.keys()
    yield "ecs", told | SECRETS | pool


ENVIRONMENTS = dict(environments())


@pytest.mark.parametrize("where", ENVIRONMENTS)
def test_each_name_is_a_setting(where: str) -> None:
    """A name that nobody reads would be a setting that does nothing."""
    assert {name for name in ENVIRONMENTS[where] if name.lower() not in Settings.model_fields} <= (
        OTHERS
    )


@pytest.mark.parametrize("where", ENVIRONMENTS)
def test_the_service_starts_with_what_it_is_told(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing required is missing, nothing contradicts; the database is PostgreSQL."""
    for name, value in ENVIRONMENTS[where].items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.sqlalchemy_url is not None
    assert settings.sqlalchemy_url.get_backend_name() == "postgresql"


# Secrets


def test_no_file_holds_a_secret() -> None:
    """ECS and Kubernetes refer to them; compose.yaml's and pools.toml's are for one machine."""
    names = "|".join(SECRETS)
    for path in (*(DEPLOY / "kubernetes").iterdir(), DEPLOY / "ecs-task-definition.json"):
        found = re.findall(rf"^.*(?:{names})\W+\S+:\S*", path.read_text(encoding="utf-8"))
        assert not [line for line in found if "arn:aws" not in line], path
    [container] = ecs_task()["containerDefinitions"]
    assert not {entry["name"] for entry in container["environment"]} & SECRETS.keys()
    assert not of_kind("ConfigMap")["data"].keys() & SECRETS.keys()
    for stage in dockerfile().values():
        assert "ARG" not in {name for name, _ in stage.steps}, "arguments stay in the history"


# The image


def test_the_image_is_not_root_and_has_what_it_starts() -> None:
    """A numeric user, one place to write to, commands in list form: signals reach gunicorn."""
    for name in ("service", "emulator"):
        stages = list(lineage(name))
        users = [user for stage in stages if (user := stage.last("USER"))]
        assert users == [f"{IMAGE_USER}:{IMAGE_USER}"]
        assert [stage.last("VOLUME") for stage in stages if stage.last("VOLUME")] == ['["/tmp"]']
        assert isinstance(json.loads(stages[-1].last("CMD") or ""), list)
        assert not [step for step in stages[-1].steps if step[0] == "RUN"]


def test_what_is_copied_exists_and_is_let_through() -> None:
    """.dockerignore names what goes in, and every COPY finds its file."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word
        for stage in dockerfile().values()
        for name, rest in stage.steps
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    for path in copied:
        assert (ROOT / path).exists()
        assert path in allowed or path.rpartition("/")[0] in allowed
    for path in allowed:
        assert path in copied or any(word.startswith(f"{path}/") for word in copied), path


def test_what_is_installed_is_checked_by_hash() -> None:
    """Each pip line demands hashes, or takes the wheel that was built a stage before."""
    lines = [
        rest
        for stage in dockerfile().values()
        for name, rest in stage.steps
        if name == "RUN" and " pip " in rest
    ]
    assert lines
    for line in lines:
        assert "--no-deps" in line
        assert "--require-hashes" in line or line.endswith("--no-index --no-deps dist/*.whl")


# compose.yaml


def test_the_emulator_plays_the_pool_that_the_service_is_told() -> None:
    """Pool, client and secret of pools.toml are those of the environment."""
    read_pools(DEPLOY / "pools.toml")
    [client] = pool()["clients"]
    told = ENVIRONMENTS["compose service-1"]
    assert told["AWS_USER_POOL_ID"] == pool()["id"]
    assert told["AWS_COGNITO_APP_CLIENT_ID"] == client["id"]
    assert told["AWS_COGNITO_APP_CLIENT_SECRET"] == client["secret"]


def test_two_instances_share_all_but_the_port() -> None:
    """One of them alone would hide what must be shared; nginx knows both ports."""
    services = compose()["services"]
    first, second = services["service-1"], services["service-2"]
    ports = [service["environment"].pop("PORT") for service in (first, second)]
    management = [service["environment"].pop("MANAGEMENT_PORT") for service in (first, second)]
    assert len({*ports, *management}) == 4  # they share a network
    assert first == second
    upstream = re.findall(r"server service:(\d+)", (DEPLOY / "nginx.conf").read_text("utf-8"))
    assert ports == upstream


def test_only_loopback_is_published_and_ours_are_read_only() -> None:
    """Nobody outside reads the emulator's codes; what faces requests can write to /tmp alone."""
    services = compose()["services"]
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    for name in ("service-1", "service-2", "migrate", "cognito", "nginx"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


# Kubernetes


@pytest.mark.parametrize("document", kubernetes(), ids=lambda document: document["kind"])
def test_kubernetes_takes_it(document: dict[str, Any]) -> None:
    """By the schema of its API, strictly: an unknown field is an error."""
    kubernetes_validate.validate(document, KUBERNETES, strict=True)
    assert document["kind"] == "Namespace" or (
        document["metadata"]["namespace"] == of_kind("Namespace")["metadata"]["name"]
    )


def test_kustomize_knows_every_file_but_the_job() -> None:
    """A job of a fixed name could run once: it is created for each release."""
    folder = DEPLOY / "kubernetes"
    known = set(read_yaml(folder / "kustomization.yaml")["resources"])
    files = {path.name for path in folder.iterdir()}
    assert known == files - {"kustomization.yaml", "migrate.yaml"}


def _pods() -> list[dict[str, Any]]:
    return [of_kind(kind)["spec"]["template"] for kind in ("Deployment", "Job")]


def test_pods_are_as_restricted_as_the_namespace_wants() -> None:
    """Pod Security Standards, "restricted"; and read-only, with the image's user."""
    for pod in _pods():
        assert pod["spec"]["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": IMAGE_USER,
            "runAsGroup": IMAGE_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        [container] = pod["spec"]["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108


def test_service_budget_scaler_and_policy_mean_the_deployments_pods() -> None:
    """A selector that matches nothing is no error anywhere else."""
    deployment = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("Service")["spec"]["selector"] == labels
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    target = of_kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"], "each apply would undo the autoscaler"
    job = of_kind("Job")["spec"]["template"]
    assert job["metadata"]["labels"] != labels, "the service would send requests to it"


def test_probes_ask_routes_that_exist(app: APIFlask) -> None:
    """Readiness asks for what is missing; liveness must not, or an outage restarts everything."""
    [container] = _pods()[0]["spec"]["containers"]
    paths = {
        probe: container[f"{probe}Probe"]["httpGet"]["path"]
        for probe in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert set(paths.values()) <= {rule.rule for rule in app.url_map.iter_rules()}


# Time to end, and one image


def test_all_platforms_leave_gunicorn_time_for_requests_under_way() -> None:
    """SIGKILL comes after graceful_timeout, and after preStop where there is one."""
    needed = Config().graceful_timeout
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    waits = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= waits + needed + 5
    assert ecs_task()["containerDefinitions"][0]["stopTimeout"] >= needed + 5
    assert int(compose()["services"]["service-1"]["stop_grace_period"][:-1]) >= needed + 5
    unit = (DEPLOY / "systemd" / "resource-server.service").read_text(encoding="utf-8")
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[0]) >= needed + 5


def test_job_and_deployment_are_of_one_image() -> None:
    """Migrations come from the very release that needs them; its tag is the project's version."""
    images = {pod["spec"]["containers"][0]["image"] for pod in _pods()}
    [version] = {image.rpartition(":")[2] for image in images}
    assert len(images) == 1
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert ecs_task()["containerDefinitions"][0]["image"].endswith(f":{version}")


# ECS


def test_ecs_takes_the_task_definition(aws_credentials: None) -> None:
    """Botocore checks names and types, moto what it knows; nothing is lost on the way."""
    task = ecs_task()
    with mock_aws():
        client = boto3.client("ecs", region_name=REGION)
        taken = client.register_task_definition(**task)["taskDefinition"]
    for name in ("family", "cpu", "memory", "networkMode", "taskRoleArn"):
        assert taken[name] == task[name]
    [container] = taken["containerDefinitions"]
    [ours] = task["containerDefinitions"]
    assert ours.items() <= container.items()
    assert container["readonlyRootFilesystem"] is True
    assert container["user"] == f"{IMAGE_USER}:{IMAGE_USER}"


# The management port


def test_nothing_leads_to_the_management_port_from_outside() -> None:
    """No published port, Service or mapping: on loopback, or behind a rule of its own."""
    services = compose()["services"]
    for name in ("service-1", "service-2"):
        assert "MANAGEMENT_HOST" not in services[name]["environment"]
        assert "ports" not in services[name]
    image = list(lineage("service"))[-1]
    assert "MANAGEMENT_PORT=9464" in (image.last("ENV") or "")
    assert image.last("EXPOSE") == "8000"
    [container] = ecs_task()["containerDefinitions"]
    assert [mapping["containerPort"] for mapping in container["portMappings"]] == [8000]
    assert [port["targetPort"] for port in of_kind("Service")["spec"]["ports"]] == ["http"]
    rules = of_kind("NetworkPolicy")["spec"]["ingress"]
    opened = {port["port"]: rule["from"] for rule in rules for port in rule["ports"]}
    assert set(opened) == {"http", "management"}
    assert opened["http"] != opened["management"]


def test_probes_and_scrapes_have_the_management_port() -> None:
    """Of Kubernetes: one number in the ConfigMap, the container and the annotations."""
    template = of_kind("Deployment")["spec"]["template"]
    [container] = template["spec"]["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    told = of_kind("ConfigMap")["data"]
    assert ports["management"] == told["MANAGEMENT_PORT"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == told["MANAGEMENT_PORT"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "management"
