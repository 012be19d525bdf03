"""All contestants answer the same and refuse the same, or nothing is measured."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.servers import OPEN_PAGE, Server
from benchmarks.stand import HIGH, LOW, Stand
from benchmarks.wrk import Load

LIST = Load("/randoms?limit=20")
CREATE = Load("/randoms", "POST", json.dumps({"min_value": LOW, "max_value": HIGH}))
PROTECTED = Load("/protected")
BARE = Load(OPEN_PAGE)
_TOKEN_ROUTES = (LIST, CREATE, PROTECTED)
_USER = 7
_OK, _CREATED, _UNAUTHORIZED, _FORBIDDEN = 200, 201, 401, 403


class Unequal(AssertionError):
    """A contestant answers otherwise than the first one, so that comparing them means nothing."""


def check(stand: Stand, servers: Sequence[Server]) -> None:
    """Hold each server's answers against the database and against the first server's.

    Raises Unequal.
    """
    disabled = stand.users  # a user beyond those whose tokens are measured
    stand.execute(
        "INSERT INTO users (sub, username, disabled) VALUES (:sub, 'disabled', true)"
        " ON CONFLICT DO NOTHING",
        sub=stand.sub(disabled),
    )
    told = _answers(stand, servers[0])
    if len(told[LIST.path]) != stand.items:
        raise Unequal(f"{servers[0].name}: {len(told[LIST.path])} items instead of {stand.items}")
    for server in servers:
        for path, answer in _answers(stand, server).items():
            _hold(server, path, answer, told[path])
        _check_creation(stand, server)
        _check_refusals(stand, server, stand.token(disabled))


def _answers(stand: Stand, server: Server) -> dict[str, Any]:
    found = {}
    for load in (LIST, PROTECTED, BARE):
        status, body = server.ask("GET", load.path, token=stand.tokens[_USER])
        _hold(server, load.path, status, _OK)
        found[load.path] = json.loads(body)
    return found


def _check_creation(stand: Stand, server: Server) -> None:
    status, body = server.ask("POST", CREATE.path, token=stand.tokens[_USER], body=CREATE.body)
    _hold(server, "POST", status, _CREATED)
    made = json.loads(body)
    stored = stand.execute(
        "SELECT json_build_object('id', id, 'num', num, 'min_value', min_value,"
        " 'max_value', max_value) FROM randoms WHERE id = :id AND owner_sub = :sub",
        id=made["id"],
        sub=stand.sub(_USER),
    )
    _hold(server, "what it stored", stored, made)
    _hold(server, "bounds", (made["min_value"], made["max_value"]), (LOW, HIGH))
    _hold(server, "number within bounds", LOW <= made["num"] <= HIGH, True)
    stand.execute("DELETE FROM randoms WHERE id = :id", id=made["id"])


def _check_refusals(stand: Stand, server: Server, disabled: str) -> None:
    head, payload, signature = stand.tokens[_USER].split(".")
    tampered = f"{head}.{stand.tokens[_USER + 1].split('.')[1]}.{signature}"
    refused = {
        "no token": (None, _UNAUTHORIZED),
        "another user's claims": (tampered, _UNAUTHORIZED),
        "no signature": (f"{head}.{payload}.", _UNAUTHORIZED),
        "an expired token": (stand.token(_USER, expires_in=-60), _UNAUTHORIZED),
        "another issuer": (stand.token(_USER, iss="https://example.com"), _UNAUTHORIZED),
        "another client": (stand.token(_USER, client_id="another"), _UNAUTHORIZED),
        "an ID token": (stand.pool.id_token(username=f"user-{_USER}"), _UNAUTHORIZED),
        "too little scope": (stand.token(_USER, scope="me"), _FORBIDDEN),
    }
    for load in _TOKEN_ROUTES:
        for what, (token, expected) in refused.items():
            status, _ = server.ask(load.method, load.path, token=token, body=load.body)
            _hold(server, f"{load.method} {load.path} with {what}", status, expected)
    for load in (LIST, CREATE):
        status, _ = server.ask(load.method, load.path, token=disabled, body=load.body)
        _hold(server, f"{load.method} {load.path} of a disabled user", status, _FORBIDDEN)


def _hold(server: Server, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Unequal(f"{server.name}, {what}: {found!r} instead of {expected!r}")
