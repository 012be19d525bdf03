"""The emulator as an HTTP server on 127.0.0.1, one pool in it, everything kept in a file."""

import contextlib
import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from moto.cognitoidp.models import CognitoIdpUserPool, CognitoIdpUserPoolClient, cognitoidp_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from resource_server.emulator import accounts, gaps
from resource_server.emulator.keys import PoolKeys
from resource_server.emulator.state import REGION, EmulatorState, damaged
from resource_server.triggers import pre_token_generation

DEMO_USERNAME, DEMO_PASSWORD = "demo", "Demo-Passw0rd!"
ADMIN_USERNAME, ADMIN_PASSWORD = "admin", "Admin-Passw0rd!"
ADMIN_GROUP = "admins"  # the default of COGNITO_ADMIN_GROUP
_TRIGGER_ARN = f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:pre-token-generation"
_POOL = {
    "AutoVerifiedAttributes": ["email"],
    "MfaConfiguration": "OPTIONAL",
    "LambdaConfig": {
        "PreTokenGenerationConfig": {"LambdaVersion": "V2_0", "LambdaArn": _TRIGGER_ARN}
    },
    "Policies": {
        "PasswordPolicy": {
            "MinimumLength": 8,
            "RequireUppercase": True,
            "RequireLowercase": True,
            "RequireNumbers": True,
            "RequireSymbols": True,
        }
    },
}
_CLIENT = {
    "ClientName": "development",
    "ExplicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    "EnableTokenRevocation": True,
    "PreventUserExistenceErrors": "ENABLED",
}


class EmulatorServer:
    """Serves one pool. The file is written before an answer leaves, so what was answered stays."""

    def __init__(self, state: EmulatorState, file: Path) -> None:
        gaps.fill()
        gaps.register_trigger(_TRIGGER_ARN, pre_token_generation.handler)
        self._state = state
        self._file = file
        try:
            self._pool = _pool(state)
        except (AttributeError, KeyError, TypeError, ValueError, JoseError) as error:
            raise damaged(file) from error
        self._moto = DomainDispatcherApplication(create_backend_app)
        # moto's models know no locks, and a file is written: one request at a time.
        self._lock = threading.Lock()
        self._server: BaseWSGIServer | None = None

    def start(self) -> None:
        """Serve in a thread; on another port if somebody has the usual one."""
        self._server = _bind(self._state.port, self)
        self._state.port = self._server.server_port
        self._save()
        threading.Thread(target=self._server.serve_forever, name="emulator", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and forget the pool; the file stays."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        del self._pool.backend.user_pools[self._pool.id]

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request (WSGI); web pages, and moto's own controls, are kept out."""
        if _is_foreign(environ):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"The emulator is for programs on this machine.\n"]
        with self._lock:
            body = list(self._moto(environ, start_response))
            if environ["REQUEST_METHOD"] == "POST":
                self._save()
        return body

    def _save(self) -> None:
        self._state.keys = gaps.keys_of(self._pool).to_private_json()
        self._state.accounts = accounts.dump(self._pool)
        self._state.save(self._file)


def _is_foreign(environ: dict[str, Any]) -> bool:
    """Tell whether a browser sent this for some page, under whatever name it knows us."""
    host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname
    return (
        host not in {"127.0.0.1", "localhost"}
        or "HTTP_ORIGIN" in environ
        or environ["PATH_INFO"].startswith("/moto-api")
    )


def _pool(state: EmulatorState) -> CognitoIdpUserPool:
    """Make the pool as it was when it was saved; a demo user and an administrator are in it."""
    backend = cognitoidp_backends[DEFAULT_ACCOUNT_ID][REGION]
    pool = CognitoIdpUserPool(DEFAULT_ACCOUNT_ID, REGION, "development", dict(_POOL))
    pool.id = state.pool_id
    pool.token_mfa_config = {"Enabled": True}
    backend.user_pools[pool.id] = pool
    client = CognitoIdpUserPoolClient(pool.id, generate_secret=True, extended_config=dict(_CLIENT))
    client.id, client.secret = state.client_id, state.client_secret
    pool.clients[client.id] = client
    if state.keys:
        gaps.set_keys(pool, PoolKeys.from_private_json(state.keys))
        accounts.restore(pool, state.accounts)
    _ensure_user(pool, DEMO_USERNAME, DEMO_PASSWORD)
    if _ensure_user(pool, ADMIN_USERNAME, ADMIN_PASSWORD):
        if ADMIN_GROUP not in pool.groups:
            backend.create_group(pool.id, ADMIN_GROUP, "May administrate users", "", 0)
        backend.admin_add_user_to_group(pool.id, ADMIN_GROUP, ADMIN_USERNAME)
    return pool


def _ensure_user(pool: CognitoIdpUserPool, username: str, password: str) -> bool:
    """Make a user who can sign in at once; False if there is one of that name."""
    if username in pool.users:
        return False
    attributes = [
        {"Name": "email", "Value": f"{username}@example.com"},
        {"Name": "email_verified", "Value": "true"},
    ]
    pool.backend.admin_create_user(pool.id, username, "SUPPRESS", password, attributes)
    pool.backend.admin_set_user_password(pool.id, username, password, permanent=True)
    return True


class _QuietHandler(MotoRequestHandler):
    """The terminal belongs to `flask run`."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def _bind(port: int, app: EmulatorServer) -> BaseWSGIServer:
    # make_server says on stderr that a port is taken, then exits the process.
    for candidate in (port, 0):
        with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            return make_server(
                "127.0.0.1", candidate, app, threaded=True, request_handler=_QuietHandler
            )
    raise OSError("the emulator found no free port on 127.0.0.1")
