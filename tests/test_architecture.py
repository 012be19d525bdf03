"""The structure that docs/architecture.md describes, held by reading the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "resource_server"

# From the top down; an import may only go down. Rooms on one line do not know each other.
LEVELS = [
    ["app"],
    ["worker"],
    ["cli", "draining", "gunicorn_support", "plain"],
    ["randoms"],
    ["users"],
    ["health", "openapi", "pages", "telemetry"],
    ["services", "problems", "edge", "hosts", "flask_command"],
    ["database"],
    ["auth", "refusals", "settings", "revocations", "testing", "provisioning"],
    ["emulator"],
    ["werkzeug_support"],
    [
        "addresses",
        "identity",
        "tokens",
        "extensions",
        "logs",
        "forwarding",
        "bodies",
        "triggers",
        "rate_limits",
        "redis_storage",
        "postgres",
        "sqlstates",
    ],
    ["converters", "terminal"],
]
HEIGHT = {room: -height for height, rooms in enumerate(LEVELS) for room in rooms}

# Foreign packages that only these places may import.
ONLY_IN = {
    "authlib": {"auth"},
    "gunicorn": {"draining.py", "gunicorn_support.py", "plain.py", "worker.py"},
    "boto3": {"identity/cognito.py", "provisioning", "testing"},
    "botocore": {"identity", "provisioning"},
    "flask_cors": {"edge.py"},
    "joserfc": {"emulator", "testing"},
    "limits": {"rate_limits.py", "redis_storage.py"},
    "moto": {"emulator", "testing"},
    "opentelemetry": {"telemetry/tracing.py", "telemetry/statements.py"},
    "prometheus_client": {"telemetry"},
    "psycopg2": {"postgres.py"},
    "redis": {"redis_storage.py"},
}
NO_FLASK = [
    "tokens",
    "identity",
    "triggers",
    "users/models.py",
    "users/accounts.py",
    "provisioning",
]
NO_FLASK += ["randoms/models.py", "randoms/store.py", "users/schemas.py", "randoms/schemas.py"]
NO_FLASK += ["users/sync.py", "users/administration.py", "users/projection.py"]

MODULES = sorted(
    file.relative_to(PACKAGE)
    for file in PACKAGE.rglob("*.py")
    if file.parent != PACKAGE / "migrations" / "versions"
)


def _imports(module: Path) -> list[str]:
    """List what a module imports, type-checking imports included."""
    names = []
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            module_name = node.module or ""
            names += [f"{module_name}.{alias.name}" for alias in node.names]
    return names


def _room(path: str) -> str:
    return path.removesuffix(".py").split("/")[0]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_down(module: Path) -> None:
    """A module imports from lower levels or from its own room."""
    own = _room(module.as_posix())
    for name in _imports(module):
        if not name.startswith("resource_server."):
            continue
        other = name.split(".")[1]
        if own in {"__init__", "migrations"} or other == own:
            continue
        assert HEIGHT[other] < HEIGHT[own], f"{module} must not import {name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_foreign_packages_stay_in_their_place(module: Path) -> None:
    """A library is imported where it is adapted, and nowhere else."""
    place = module.as_posix()
    for name in _imports(module):
        foreign = name.split(".")[0]
        allowed = ONLY_IN.get(foreign)
        if allowed is not None:
            assert {place, _room(place)} & allowed, f"{module} must not import {foreign}"
        if foreign.startswith("flask") or foreign == "apiflask":
            assert not any(place.startswith(room) for room in NO_FLASK), f"{module}: {foreign}"
        if place.startswith("triggers"):
            assert foreign in sys.stdlib_module_names


def test_no_module_reads_the_environment_but_settings() -> None:
    """os.environ is read only in settings.py. A Lambda has its own environment.

    A download looks up the variables that boto3 and requests read for themselves.
    """
    allowed = {
        Path("settings.py"),
        Path("tokens/download.py"),
        Path("triggers/pre_token_generation.py"),
    }
    for module in set(MODULES) - allowed:
        for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                read = f"{node.value.id}.{node.attr}"
                assert read not in {"os.environ", "os.getenv", "os.environb"}, module
        assert not {"os.environ", "os.getenv"} & set(_imports(module)), module


def test_every_room_has_a_level() -> None:
    """A new folder or module takes its place in the order."""
    rooms = {_room(module.as_posix()) for module in MODULES} - {"__init__", "migrations"}
    assert rooms == set(HEIGHT)


def test_importing_does_nothing() -> None:
    """Every module but the emulator's can be imported with an empty environment, silently."""
    names = [
        ".".join(("resource_server", *module.with_suffix("").parts)).removesuffix(".__init__")
        for module in MODULES
        if module.parts[0] != "migrations"
    ]
    script = (
        "import importlib, threading, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT)},
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_a_server_does_not_need_is_not_loaded() -> None:
    """Each costs memory in every worker, and time at start: Alembic alone 11 MB.

    A server that is asked whether it is ready knows the migrations without it.
    """
    script = (
        "import sys\n"
        "from resource_server import create_app\n"
        "app = create_app({'AWS_REGION': 'eu-west-2', 'AWS_USER_POOL_ID': 'eu-west-2_AbCdEf123',"
        " 'AWS_COGNITO_APP_CLIENT_ID': 'x', 'DATABASE_URL': 'sqlite://', 'JWKS_TIMEOUT_SECONDS': 1,"
        " 'COGNITO_EMULATOR': 'off'})\n"
        "answer = app.test_client().get('/readyz')\n"
        "assert 'migrations' in answer.json['missing'], answer.json\n"
        "print({'redis', 'opentelemetry', 'moto', 'joserfc', 'responses', 'alembic', 'mako'}"
        " & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"


def test_the_package_alone_imports_nothing() -> None:
    """`import resource_server` is free: Flask comes with create_app."""
    script = (
        "import sys; before = set(sys.modules); import resource_server\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "assert new <= {'resource_server', 'typing'} | set(sys.stdlib_module_names), new\n"
        "from resource_server import create_app\n"
        "assert 'flask' in sys.modules and callable(create_app)\n"
    )
    subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(ROOT)}, check=True)
