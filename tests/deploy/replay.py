"""`make image`: the Dockerfile's steps and compose.yaml's commands, replayed without Docker.

Each stage is a folder; what a step calls /opt/venv lies in there. RUN lines run as they are
written, COPY sees what .dockerignore lets through. Then emulator, migrations and one instance
start with compose.yaml's commands and environment, the HEALTHCHECK runs, the demo user signs in.
Not replayed: the base image, the user, the read-only root (instead: nothing in there may change).
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.journey import travel, wait_for
from tests.deploy.manifests import DEPLOY, ROOT, compose, dockerfile, lineage

_OURS = re.compile(r"(?<![\w.:/])/(?=(?:opt|app|src|build)\b)")


class Replay:
    """The stages of the Dockerfile, as folders of `work`."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.context = work / "context"
        self.stages = dockerfile()
        self._take_context()

    def _take_context(self) -> None:
        lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        first, *others = [line for line in lines if not line.startswith("#")]
        assert first == "*"
        for pattern in others:
            if not pattern.startswith("!"):
                assert pattern == "**/__pycache__"
                continue
            _copy(ROOT / pattern[1:], self.context / pattern[1:])

    def root(self, stage: str) -> Path:
        """Return a stage's root folder."""
        return self.work / stage

    def environment(self, stage: str) -> dict[str, str]:
        """Return what ENV says, with our folders."""
        found = {"PATH": os.environ["PATH"]}
        for ancestor in lineage(stage):
            for _, rest in filter(lambda step: step[0] == "ENV", ancestor.steps):
                for word in shlex.split(rest):
                    name, _, value = word.partition("=")
                    found[name] = self.mapped(stage, value).replace("$PATH", found["PATH"])
        return found

    def folder(self, stage: str) -> Path:
        """Return the WORKDIR that holds at a stage's end."""
        found = [ancestor.last("WORKDIR") for ancestor in lineage(stage)]
        return self.root(stage) / next(filter(None, reversed(found)), "/").lstrip("/")

    def mapped(self, stage: str, text: str) -> str:
        """Put a stage's folders for its absolute paths."""
        return _OURS.sub(f"{self.root(stage)}/", text)

    def build(self, stage: str) -> None:
        """Do what its lines say; stages that it copies from come first."""
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        for instruction, rest in self.stages[stage].steps:
            if instruction == "COPY":
                self._copy(stage, folder, rest)
            elif instruction == "RUN":
                self._run(stage, folder, rest)

    def _copy(self, stage: str, folder: Path, rest: str) -> None:
        words = rest.split()
        origin, target = self.context, folder / words[-1]
        if words[0].startswith("--from="):
            source = words.pop(0).removeprefix("--from=")
            if not self.root(source).exists():
                self.build(source)
            origin = self.root(source)
            target = self.root(stage) / words[-1].lstrip("/") if words[-1][0] == "/" else target
        for word in words[:-1]:
            found = origin / word.lstrip("/")
            _copy(found, target / found.name if words[-1].endswith("./") else target)
        if origin is not self.context:  # scripts name their interpreter by its path
            for script in target.glob("bin/*"):
                if script.is_file() and not script.is_symlink():
                    text = script.read_bytes()
                    script.write_bytes(text.replace(bytes(origin), bytes(self.root(stage))))

    def _run(self, stage: str, folder: Path, rest: str) -> None:
        sys.stdout.write(f"{stage}: RUN {rest}\n")
        command = re.sub(r"^python\b", sys.executable, self.mapped(stage, rest))
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment = {"HOME": os.environ.get("HOME", "/")} | pip | self.environment(stage)
        subprocess.run(["/bin/sh", "-ec", command], cwd=folder, env=environment, check=True)

    @contextmanager
    def running(
        self, stage: str, command: Sequence[str], settings: Mapping[str, str]
    ) -> Iterator[None]:
        """Run a container's command until the end of the block; SIGTERM must end it with 0."""
        process = subprocess.Popen(**self._call(stage, command, settings))
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=40)
        assert code == 0, f"{command} ended with {code}"

    def run(self, stage: str, command: Sequence[str], settings: Mapping[str, str]) -> None:
        """Run a container's command to its end."""
        subprocess.run(**self._call(stage, command, settings), check=True, timeout=60)

    def _call(
        self, stage: str, command: Sequence[str], settings: Mapping[str, str]
    ) -> dict[str, Any]:
        temporary = {"HOME": str(self.work / "tmp"), "TMPDIR": str(self.work / "tmp")}
        program = str(self.root(stage) / "opt/venv/bin" / command[0])
        return {
            "args": [program, *command[1:]],
            "cwd": self.folder(stage),
            "env": self.environment(stage) | temporary | dict(settings),
        }


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__") if source.is_relative_to(ROOT) else None
        shutil.copytree(source, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _contents(folder: Path) -> dict[Path, tuple[int, int]]:
    found = ((path, path.lstat()) for path in folder.rglob("*"))
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found}


def _settings(work: Path, emulator_port: int, service: str) -> dict[str, str]:
    """Return compose.yaml's environment, with a database and ports of this machine."""
    told: dict[str, str] = compose()["services"][service]["environment"]
    here = {
        name: value.replace("127.0.0.1:5001", f"127.0.0.1:{emulator_port}")
        for name, value in told.items()
        if name != "RATELIMIT_STORAGE_URI"  # no Redis here: limits are in memory
    }
    return here | {"DATABASE_URL": f"sqlite:///{work}/app.db"}


def main() -> None:
    """Build, start, sign in; raises at the first thing that is not as it should be."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "tmp").mkdir()
        replay = Replay(work)
        for stage in ("emulator", "service"):
            replay.build(stage)
        before = _contents(replay.root("service"))
        _try_out(replay)
        assert _contents(replay.root("service")) == before, "something was written to the image"
    sys.stdout.write("The Dockerfile's steps work; emulator, migrations and service do, too.\n")


def _try_out(replay: Replay) -> None:
    cognito, port = _free_port(), _free_port()
    services = compose()["services"]
    emulator = [
        word.replace("127.0.0.1:5001", f"127.0.0.1:{cognito}")
        .replace("/etc/cognito", str(DEPLOY))
        .replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - of a container
        for word in services["cognito"]["command"]
    ]
    settings = _settings(replay.work, cognito, "service-1") | {"PORT": str(port)}
    service = json.loads(replay.stages["service"].last("CMD") or "")
    check = (replay.stages["service"].last("HEALTHCHECK") or "").partition(" CMD ")[2]
    with replay.running("emulator", [*emulator, f"--port={cognito}"], {}):
        wait_for(f"http://127.0.0.1:{cognito}/health")
        replay.run("service", services["migrate"]["command"], settings)
        with replay.running("service", service, settings):
            wait_for(f"http://127.0.0.1:{port}/healthz")
            replay.run("service", json.loads(check), settings)
            travel(f"http://127.0.0.1:{port}")


if __name__ == "__main__":
    main()
