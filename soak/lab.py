"""All processes of one run, and what scenarios need of them."""

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from flask_migrate import upgrade

from resource_server import create_app
from resource_server.extensions import db
from soak import ledger, neighbours
from soak.daemons import Daemon
from soak.faulty import Fault, FaultyProxy
from soak.findings import Findings
from soak.instance import Instance, sign_in
from soak.load import Record
from tests.postgres import DisposablePostgres

POLL_SECONDS = 2.0


class Lab:
    """PostgreSQL, Cognito behind a proxy that breaks, and gunicorn; a context.

    Start it from the main thread, with which PostgreSQL ends. `short` asks for the form that CI
    runs; `minutes` is how long full load lasts in the long one.
    """

    def __init__(self, *, short: bool, minutes: float = 10) -> None:
        self.short = short
        self.minutes = minutes
        self._stack = contextlib.ExitStack()
        self._shared: Instance | None = None
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        self.home = Path(enter(tempfile.TemporaryDirectory(prefix="soak-")))
        self.postgres = enter(DisposablePostgres(durable=True))
        emulator, told = neighbours.emulator(self.home)
        self._stack.callback(emulator.end)
        self.cognito = self.proxy(told["port"])
        self.keys = self.proxy(told["port"])
        [self._pool] = told["pools"]
        self._migrate()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def proxy(self, port: int) -> FaultyProxy:
        """Put a proxy that can break before a port, until the run ends."""
        proxy = FaultyProxy(port)
        self._stack.callback(proxy.close)
        return proxy

    def environment(self, **more: str) -> dict[str, str]:
        """Return the settings of an instance."""
        path = f"/{neighbours.POOL}/.well-known/jwks.json"
        return {
            "AWS_REGION": neighbours.REGION,
            "AWS_USER_POOL_ID": neighbours.POOL,
            "AWS_COGNITO_APP_CLIENT_ID": neighbours.CLIENT,
            "AWS_COGNITO_APP_CLIENT_SECRET": neighbours.SECRET,
            "COGNITO_ISSUER": self._pool["issuer"],
            "COGNITO_JWKS_URI": f"http://127.0.0.1:{self.keys.port}{path}",
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": f"http://127.0.0.1:{self.cognito.port}",
            "DATABASE_URL": self.postgres.url,
            "REVOCATION_POLL_SECONDS": str(POLL_SECONDS),
            # All clients here have one address and few names: limits have a scenario of their own.
            "RATELIMIT_SIGN_IN_PER_ADDRESS": "100000/minute",
            "RATELIMIT_SIGN_IN_PER_NAME": "100000/minute",
            **more,
        }

    def begin(self, *options: str, workers: int = 2, **settings: str) -> Instance:
        """Start an instance; it ends with the run, if not before."""
        environment = self.environment(**settings)
        made = Instance(self.home, environment, workers=workers, options=options)
        self._stack.callback(made.daemon.end)
        return made

    @contextlib.contextmanager
    def instance(self, *options: str, workers: int = 2, **settings: str) -> Iterator[Instance]:
        """Start an instance of a scenario's own, and end it."""
        made = self.begin(*options, workers=workers, **settings)
        try:
            yield made.wait_until_ready()
        finally:
            made.daemon.end()

    def shared(self) -> Instance:
        """Return the instance that most scenarios use one after the other, never restarted."""
        if self._shared is None or self._shared.daemon.process.poll() is not None:
            self._shared = self.begin().wait_until_ready()
        return self._shared

    def tokens(self, port: int) -> Sequence[str]:
        """Return tokens of three users, who are never signed out."""
        if not self._tokens:
            self._tokens = {name: sign_in(port, name) for name in neighbours.USERS[1:]}
        return list(self._tokens.values())

    def stored(self) -> Counter[int]:
        """Count the numbers in the table."""
        return ledger.stored(self.postgres.url)

    def balance(self, records: Sequence[Record], findings: Findings) -> ledger.Balance:
        """Hold the writes of a load against the table, and say so."""
        found = ledger.balance(records, self.stored())
        findings.see(str(found))
        findings.hold(found.acknowledged > 0, "no write was acknowledged")
        findings.hold(not found.lost, f"{len(found.lost)} acknowledged writes were lost")
        findings.hold(not found.doubled, f"{len(found.doubled)} writes were doubled")
        return found

    def neighbour(self, made: Daemon) -> Daemon:
        """End a neighbour with the run."""
        self._stack.callback(made.end)
        return made

    def traces(self, most: int = 3) -> list[str]:
        """Return the last exceptions that the service logged, for whoever asks why it broke."""
        logs = sorted(self.home.glob("gunicorn-*.log"))
        lines = (line for log in logs for line in log.read_text(errors="replace").splitlines())
        found = [str(json.loads(line)["exception"]) for line in lines if '"exception"' in line]
        return found[-most:]

    def mend(self) -> None:
        """Break nothing any more."""
        self.cognito.set(Fault.NONE)
        self.keys.set(Fault.NONE)

    def _migrate(self) -> None:
        app = create_app(self.environment())
        with app.app_context():
            upgrade()
            db.engine.dispose()
