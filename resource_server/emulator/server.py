"""The emulator of `flask run`: one pool for development, everything kept in a file."""

from pathlib import Path

from joserfc.errors import JoseError
from pydantic import SecretStr

from resource_server.emulator import accounts, building, declared, gaps
from resource_server.emulator.keys import PoolKeys
from resource_server.emulator.serving import Server
from resource_server.emulator.state import DEMO_PASSWORD, DEMO_USERNAME, EmulatorState, damaged
from resource_server.triggers import pre_token_generation

ADMIN_USERNAME, ADMIN_PASSWORD = "admin", "Admin-Passw0rd!"
ADMIN_GROUP = "admins"  # the default of COGNITO_ADMIN_GROUP
SERVICE_PORT = 5000
_HOSTS = ("127.0.0.1", "localhost")


class EmulatorServer(Server):
    """Serves one pool. The file is written before an answer leaves, so what was answered stays.

    `service_port` is where the app is served, whose pages may sign people in.
    """

    def __init__(self, state: EmulatorState, file: Path, service_port: int = SERVICE_PORT) -> None:
        super().__init__(self._write)
        self._state = state
        self._file = file
        entry = development_pool(state, service_port)
        try:
            self._pool = building.configure(entry, pre_token_generation.handler)
            if state.keys:
                gaps.set_keys(self._pool, PoolKeys.from_private_json(state.keys))
                accounts.restore(self._pool, state.accounts)
            building.ensure_users(self._pool, entry)
        except (AttributeError, KeyError, TypeError, ValueError, JoseError) as error:
            self._forget()
            raise damaged(file) from error

    def start(self) -> None:
        """Serve in a thread; on another port if somebody has the usual one."""
        self.bind(self._state.port, 0)
        self._state.port = self.port
        self._write()
        self.serve()

    def stop(self) -> None:
        """Stop serving and forget the pool; the file stays."""
        super().stop()
        self._forget()

    def _forget(self) -> None:
        if (pool := gaps.find_pool(self._state.pool_id)) is not None:
            del pool.backend.user_pools[pool.id]

    def _write(self) -> None:
        self._state.keys = gaps.keys_of(self._pool).to_private_json()
        self._state.accounts = accounts.dump(self._pool)
        self._state.save(self._file)


def development_pool(state: EmulatorState, service_port: int = SERVICE_PORT) -> declared.Pool:
    """Declare a pool with a client for programs, one for web pages, a user and an administrator."""
    ports = sorted({SERVICE_PORT, service_port})
    pages = [f"http://{host}:{port}/" for port in ports for host in _HOSTS]
    return declared.Pool(
        id=state.pool_id,
        name="development",
        mfa="optional",
        clients=[
            declared.Client(
                id=state.client_id,
                name="development",
                secret=SecretStr(state.client_secret),
            ),
            declared.Client(
                id=state.public_client_id,
                name="development pages",
                callback_urls=[f"{page}docs/oauth2-redirect.html" for page in pages],
                logout_urls=pages,
            ),
        ],
        users=[
            _user(DEMO_USERNAME, DEMO_PASSWORD),
            _user(ADMIN_USERNAME, ADMIN_PASSWORD, ADMIN_GROUP),
        ],
    )


def _user(username: str, password: str, *groups: str) -> declared.User:
    return declared.User(
        username=username,
        password=SecretStr(password),
        attributes={"email": f"{username}@example.com", "email_verified": "true"},
        groups=list(groups),
    )
