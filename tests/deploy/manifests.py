"""Reading what deploy/ holds."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def read_yaml(path: Path) -> Any:
    """Read a file of one document."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def kubernetes() -> list[dict[str, Any]]:
    """Read all documents of deploy/kubernetes, but for kustomize's own."""
    found: list[dict[str, Any]] = []
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        if path.name != "kustomization.yaml":
            found += yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return found


def of_kind(kind: str) -> dict[str, Any]:
    """Return the one document of a kind."""
    [found] = [document for document in kubernetes() if document["kind"] == kind]
    return found


def compose() -> dict[str, Any]:
    """Read compose.yaml: anchors and merges resolved."""
    return dict(read_yaml(DEPLOY / "compose.yaml"))


def ecs_task() -> dict[str, Any]:
    """Read the task definition, as `register-task-definition --cli-input-json` does."""
    text = (DEPLOY / "ecs-task-definition.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@dataclass(frozen=True)
class Stage:
    """One FROM of a Dockerfile with what follows: (instruction, the rest of its line)."""

    name: str
    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str | None:
        """Return the last of a kind, which is the one that holds."""
        found = [rest for name, rest in self.steps if name == instruction]
        return found[-1] if found else None


def dockerfile() -> dict[str, Stage]:
    """Read the Dockerfile's stages. It has no here-documents and no ONBUILD."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    stage = None
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            parent, _, name = rest.partition(" AS ")
            stage = stages[name] = Stage(name, parent)
        elif stage is not None:
            stage.steps.append((instruction, rest))
    return stages


def lineage(name: str) -> Iterator[Stage]:
    """Yield a stage and those that it is built from, the first one first."""
    stages = dockerfile()
    if (parent := stages[name].parent) in stages:
        yield from lineage(parent)
    yield stages[name]


def pool() -> dict[str, Any]:
    """Read the pool that compose.yaml's emulator plays."""
    [found] = tomllib.loads((DEPLOY / "pools.toml").read_text(encoding="utf-8"))["pools"]
    return dict(found)
