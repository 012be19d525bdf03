"""Who takes part, and how each server is started."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from sqlalchemy import make_url

from benchmarks.servers import Command
from benchmarks.stand import ROOT, Stand

VENV = Path(__file__).with_name(".venv")
OLDER_PYJWT = VENV / "pyjwt-2.13.0"
"""From 2.14 on, PyJWT takes longer to read base64."""
GRANIAN = VENV / "granian"
_PYTHON = VENV / "bin" / "python"
_SERVICE = "benchmarks.service:app"
_LEAST = "benchmarks.least:app"
_HOST = "127.0.0.1"
_Arguments = Callable[[int, int, int], list[str]]


class Kind(StrEnum):
    """What a contestant stands for."""

    OURS = "this service"
    LEAST = "least of Flask"
    WRITTEN = "as people write it"
    LEVERS = "with this service's levers"
    PORTED = "what this service was ported from"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of the servers that are measured side by side."""

    key: str
    label: str
    kind: Kind
    command: Callable[[Stand, str], Command]
    """Makes the command, given the stand and the label."""


def gunicorn(stand: Stand, name: str, *options: str, threads: int = 8, **settings: str) -> Command:
    """Return this service under gunicorn with the project's gunicorn.conf.py."""
    options = ("--config", str(ROOT / "gunicorn.conf.py"), *options)
    return Command(name, _gunicorn(_SERVICE, *options), stand.environment(**settings), threads)


def _gunicorn(app: str, *options: str, python: str = sys.executable) -> _Arguments:
    def arguments(port: int, workers: int, threads: int) -> list[str]:
        return [
            *(python, "-m", "gunicorn", app, "--bind", f"{_HOST}:{port}"),
            *("--workers", str(workers), "--threads", str(threads), *options),
        ]

    return arguments


def granian(stand: Stand, name: str, *, threads: int = 1, **settings: str) -> Command:
    """Return this service under granian's WSGI, with metrics of all its processes together."""
    metrics = stand.home / f"metrics-{threads}"
    metrics.mkdir(exist_ok=True)
    environment = {
        **stand.environment(**settings),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "PYTHONPATH": _path(GRANIAN),
    }
    return Command(name, _granian(_SERVICE), environment, threads)


def _granian(app: str) -> _Arguments:
    def arguments(port: int, workers: int, threads: int) -> list[str]:
        return [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", app),
            *("--workers", str(workers), "--blocking-threads", str(threads)),
            *("--host", _HOST, "--port", str(port), "--http", "1", "--no-ws"),
        ]

    return arguments


def _path(*first: Path) -> str:
    return os.pathsep.join(map(str, [*first, ROOT]))


def _uvicorn(module: str, *first: Path) -> Callable[[Stand, str], Command]:
    """Run a FastAPI peer, on uvloop and httptools; packages of the folders `first` win."""

    def arguments(port: int, workers: int, _threads: int) -> list[str | Path]:
        return [
            *(_PYTHON, "-m", "uvicorn", f"benchmarks.peers.{module}:app"),
            *("--workers", str(workers), "--host", _HOST, "--port", str(port)),
            *("--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--log-level", "warning"),
        ]

    return lambda stand, name: Command(name, arguments, _told(stand, *first))


def _flask(stand: Stand, name: str) -> Command:
    options = ("--worker-class", "gthread", "--no-control-socket")
    arguments = _gunicorn("benchmarks.peers.flask_extensions:app", *options, python=str(_PYTHON))
    return Command(name, arguments, _told(stand), threads=4)


def _least(stand: Stand, name: str) -> Command:
    options = ("--worker-class", "resource_server.worker.Worker", "--no-control-socket")
    return Command(name, _gunicorn(_LEAST, *options), _told(stand), threads=8)


def _least_granian(stand: Stand, name: str) -> Command:
    return Command(name, _granian(_LEAST), _told(stand, GRANIAN))


def _told(stand: Stand, *first: Path) -> dict[str, str]:
    """Return what benchmarks.peers.config reads."""
    address = make_url(stand.database_url)
    return {
        "PEER_POOL_ID": stand.pool.pool_id,
        "PEER_ISSUER": stand.pool.issuer,
        "PEER_CLIENT_ID": stand.pool.client_id,
        "PEER_JWKS_URI": stand.pool.jwks_uri,
        "PEER_DATABASE_URL": stand.database_url,
        "PEER_DATABASE_FOLDER": str(address.query["host"]),
        "PYTHONPATH": _path(*first),
    }


def _ported_https(stand: Stand, name: str) -> Command:
    """Download as from Cognito: by HTTPS alone, with every authority that requests knows."""
    plain = _uvicorn("ported")(stand, name)
    [known] = VENV.glob("lib/python*/site-packages/certifi/cacert.pem")
    trusted = stand.home / "trusted.pem"
    trusted.write_bytes(known.read_bytes() + stand.keys.certificate.read_bytes())
    address = stand.pool.jwks_uri.replace(str(stand.pool.address), stand.keys.https_address)
    more = {"PEER_JWKS_URI": address, "REQUESTS_CA_BUNDLE": str(trusted)}
    return replace(plain, environment={**plain.environment, **more})


def _sync(stand: Stand, name: str) -> Command:
    return gunicorn(stand, name, "--worker-class", "sync", threads=1)


def _two_threads(stand: Stand, name: str) -> Command:
    return granian(stand, name, threads=2)


BASELINE = "gunicorn"
_SYNC, _ASYNC = "FastAPI, SQLAlchemy ORM", "FastAPI async, SQLAlchemy ORM on asyncpg"
_OLDER, _NEWEST = "PyJWT 2.13", "newest PyJWT"
CONTESTANTS = [
    Contestant(BASELINE, "this service, gunicorn as shipped", Kind.OURS, gunicorn),
    Contestant("gunicorn-sync", "this service, gunicorn's sync worker", Kind.OURS, _sync),
    Contestant("granian-1", "this service, granian, 1 thread", Kind.OURS, granian),
    Contestant("granian-2", "this service, granian, 2 threads", Kind.OURS, _two_threads),
    Contestant("least", "the least of Flask and Core, gunicorn", Kind.LEAST, _least),
    Contestant("least-granian", "the least of Flask and Core, granian", Kind.LEAST, _least_granian),
    Contestant(
        "fastapi-sync-2.13",
        f"{_SYNC}, {_OLDER}",
        Kind.WRITTEN,
        _uvicorn("fastapi_sync", OLDER_PYJWT),
    ),
    Contestant("fastapi-sync", f"{_SYNC}, {_NEWEST}", Kind.WRITTEN, _uvicorn("fastapi_sync")),
    Contestant(
        "fastapi-async-2.13",
        f"{_ASYNC}, {_OLDER}",
        Kind.WRITTEN,
        _uvicorn("fastapi_async", OLDER_PYJWT),
    ),
    Contestant("fastapi-async", f"{_ASYNC}, {_NEWEST}", Kind.WRITTEN, _uvicorn("fastapi_async")),
    Contestant(
        "flask", "Flask, flask-jwt-extended, Flask-SQLAlchemy, gunicorn", Kind.WRITTEN, _flask
    ),
    Contestant(
        "levers-core",
        "FastAPI async with our levers, SQLAlchemy Core on asyncpg",
        Kind.LEVERS,
        _uvicorn("fastapi_levers"),
    ),
    Contestant(
        "levers-asyncpg",
        "FastAPI async with our levers, asyncpg alone",
        Kind.LEVERS,
        _uvicorn("fastapi_asyncpg"),
    ),
    Contestant(
        "ported",
        "the ported design: JWKS by HTTPS for each request",
        Kind.PORTED,
        _ported_https,
    ),
    Contestant(
        "ported-http",
        "the ported design, let off the HTTPS",
        Kind.PORTED,
        _uvicorn("ported"),
    ),
]
