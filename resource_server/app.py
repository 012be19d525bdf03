"""The app factory: the only place that knows everyone."""

import logging
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiflask import APIFlask
from flask import Response

from resource_server import (
    bodies,
    converters,
    database,
    edge,
    health,
    hosts,
    logs,
    problems,
    telemetry,
    werkzeug_support,
)
from resource_server.auth import ResourceServer
from resource_server.cli import cognito as cli_cognito
from resource_server.cli import users as cli_users
from resource_server.emulator import embedded
from resource_server.extensions import db
from resource_server.flask_command import check_dotenv_files, is_flask_run, require_free_port
from resource_server.identity.cognito import (
    CognitoIdentityProvider,
    admin_client,
    cognito_client,
)
from resource_server.identity.cognito_directory import CognitoUserDirectory
from resource_server.openapi import check, document, openapi
from resource_server.pages.views import docs, pages
from resource_server.randoms.views import randoms
from resource_server.rate_limits import Asking, RateLimits, Rule
from resource_server.revocations.snapshot import DenyListSnapshot
from resource_server.services import Services
from resource_server.settings import EmulatorSwitch, Settings, is_flask_command, load_settings
from resource_server.telemetry import cognito_calls
from resource_server.tokens import (
    CognitoVerifier,
    DenyList,
    KeyStore,
    TrustedPool,
    UserPool,
    fetch_jwks,
)
from resource_server.tokens.flight import WaitLimit
from resource_server.tokens.keys import is_safe_address
from resource_server.users.admin import admin
from resource_server.users.views import users

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger(__name__)


def create_app(config: Mapping[str, Any] | None = None) -> APIFlask:
    """Make an app of its own; two of them live side by side in one process.

    `config` has the names of docs/settings.md and wins over the environment.

    Raises SettingsError, naming everything that is missing or wrong, and DocumentError, naming
    what a view does not declare.
    """
    app = database.RetryingFlask("resource_server", enable_openapi=False, json_errors=False)
    if is_flask_command():
        check_dotenv_files()
    if is_flask_run():
        require_free_port()
    emulator, config = _emulator(app, config or {})
    settings = load_settings(config)
    logs.configure(style=settings.log_format, level=settings.log_level)
    _configure_flask(app, settings)
    connections = database.configure(app, settings)
    hosts.mount(app, settings)
    edge.configure(app, settings)
    metrics = (
        telemetry.Metrics(settings.prometheus_multiproc_dir) if settings.metrics_enabled else None
    )
    made = _services(settings, connections, metrics)
    made.attach(app.extensions)
    telemetry.register(app, made, metrics)
    ResourceServer(app, made.verifier, resource=settings.public_url)
    problems.register(app)
    for blueprint in (randoms, users, admin, health.health, pages):
        app.register_blueprint(blueprint)
    app.spec_processor(lambda _theirs: document(app))  # what `flask spec` prints
    if settings.api_docs:
        app.register_blueprint(openapi)
        app.register_blueprint(docs)
    check(app)
    app.cli.add_command(cli_users.users)
    app.cli.add_command(cli_cognito.cognito)
    app.before_request(edge.check_head)
    hosts.check(app, settings)
    telemetry.trace(app, settings.otel_exporter_otlp_endpoint)
    if emulator is not None and emulator.started:
        _migrate_development_database(app, settings)
        with app.app_context():
            emulator.welcome(app, database.describe(db.engine.url))
    return app


def _emulator(
    app: APIFlask, config: Mapping[str, Any]
) -> tuple[embedded.EmbeddedEmulator | None, dict[str, Any]]:
    """Return the emulator, if it answers for the pool's settings, and the config with those."""
    if config.get("AWS_USER_POOL_ID"):  # in code, which wins over the environment
        return None, {"COGNITO_EMULATOR": "off", **config}
    switch = EmulatorSwitch.load(config).decide(is_run=is_flask_run())
    if switch == "off":
        return None, {**config, "COGNITO_EMULATOR": switch}
    emulator = embedded.enter(Path(app.instance_path), is_run=is_flask_run())
    return emulator, {**emulator.settings, **config, "COGNITO_EMULATOR": switch}


def _migrate_development_database(app: APIFlask, settings: Settings) -> None:
    """Bring the SQLite database in instance/ up to date; others are their owners' to change."""
    if settings.sqlalchemy_url is None:
        from flask_migrate import upgrade  # noqa: PLC0415 - see `database`

        with app.app_context():
            upgrade()


def _configure_flask(app: APIFlask, settings: Settings) -> None:
    if is_flask_command():
        werkzeug_support.install()
    elif "gunicorn" in sys.modules:  # with any configuration; it is no dependency
        import_module("resource_server.gunicorn_support").install()
    app.config["MAX_CONTENT_LENGTH"] = bodies.MAX_BODY_BYTES
    app.request_class = bodies.StrictRequest
    app.response_class = _ApiResponse
    app.json = bodies.StrictJSONProvider(app)
    # /randoms and /randoms/ are the same, and no address is answered by a redirect.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    converters.register(app)
    endpoint = settings.cognito_endpoint_url
    if not is_safe_address(settings.user_pool.jwks_uri) or (
        endpoint is not None and not is_safe_address(endpoint)
    ):
        logger.warning(
            "Passwords are sent, or keys downloaded, over http to another host, because "
            "COGNITO_ENDPOINT_IS_EMULATOR is set. Who controls that network can sign in as anybody."
        )
    if settings.cognito_emulator == "off" and settings.sqlalchemy_url is None:
        logger.warning("no DATABASE_URL or RDS_*: using SQLite in %s", app.instance_path)


def _services(
    settings: Settings, connections: database.Connections, metrics: telemetry.Metrics | None
) -> Services:
    # A request that waits for another service holds a thread. One is left for other requests.
    crowd = WaitLimit(max(1, settings.gunicorn_threads - 1), patience=_PATIENCE_SECONDS)
    limited = connections.limited(crowd)
    revocations = DenyListSnapshot(
        limited.transaction,
        connect_to_read=connections.transaction,
        crowd=crowd,
        home=settings.aws_user_pool_id,
        poll=settings.revocation_poll_seconds,
        refresh_days=settings.cognito_refresh_token_days,
    )
    secret = settings.aws_cognito_app_client_secret
    endpoint_url = settings.cognito_endpoint_url
    identity = CognitoIdentityProvider(
        cognito_calls.watch(cognito_client(settings.region, endpoint_url=endpoint_url), metrics),
        client_id=settings.aws_cognito_app_client_id,
        client_secret=secret.get_secret_value() if secret else None,
        calls_at_once=settings.cognito_calls_at_once,
        crowd=crowd,
    )
    directory = CognitoUserDirectory(
        lambda: cognito_calls.watch(
            admin_client(
                settings.region,
                endpoint_url=endpoint_url,
                emulated=settings.cognito_endpoint_is_emulator,
            ),
            metrics,
        ),
        pool_id=settings.aws_user_pool_id,
        crowd=crowd,
    )
    return Services(
        settings=settings,
        connections=limited,
        verifier=_verifier(settings, revocations, crowd),
        revocations=revocations,
        identity=identity,
        directory=directory,
        rate_limits=_rate_limits(settings),
    )


def _rate_limits(settings: Settings) -> RateLimits:
    rules = {
        Asking.SIGN_IN: Rule(
            settings.ratelimit_sign_in_per_address, settings.ratelimit_sign_in_per_name
        ),
        Asking.MESSAGE: Rule(
            settings.ratelimit_messages_per_address, settings.ratelimit_messages_per_name
        ),
        Asking.REFRESH: Rule(settings.ratelimit_refresh_per_address),
    }
    storage = settings.ratelimit_storage_uri.get_secret_value()
    return RateLimits(storage, rules, realm=settings.aws_user_pool_id)


def _verifier(settings: Settings, deny_list: DenyList, crowd: WaitLimit) -> CognitoVerifier:
    fetch = partial(fetch_jwks, allow_http=settings.cognito_endpoint_is_emulator)

    def keys(pool: UserPool) -> KeyStore:
        return KeyStore(
            pool.jwks_uri,
            fetch=fetch,
            timeout=settings.jwks_timeout_seconds,
            cooldown=settings.jwks_cooldown_seconds,
            refresh=settings.jwks_refresh_seconds,
            max_age=settings.jwks_max_age_seconds,
            crowd=crowd,
        )

    further = [
        TrustedPool(pool, client_ids=client_ids, keys=keys(pool))
        for pool_id, client_ids in settings.cognito_trusted_pools
        for pool in [UserPool.parse(pool_id)]
    ]
    return CognitoVerifier(
        settings.user_pool,
        client_ids=settings.client_ids,
        keys=keys(settings.user_pool),
        also_trust=further,
        deny_list=deny_list,
        leeway=settings.jwt_leeway_seconds,
        cache_size=settings.token_cache_size,
        cache_bytes=settings.token_cache_bytes,
    )


_PATIENCE_SECONDS = 0.5
"""A rush waits for its places, unless none was given back for so long."""


class _ApiResponse(Response):
    """An answer with its request id, and with the headers of an API that no browser frames.

    They are added to what goes out: in `headers` each would be looked for, checked and copied.
    """

    def get_wsgi_response(
        self, environ: "WSGIEnvironment"
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Return body, status and headers; werkzeug calls this as an answer goes out."""
        body, status, headers = super().get_wsgi_response(environ)
        if self.status_code == HTTPStatus.NO_CONTENT:
            headers = [each for each in headers if each[0] != "Content-Type"]
        wanted = _HEADERS_HTTPS if environ["wsgi.url_scheme"] == "https" else _HEADERS
        there = {name.lower() for name, _ in headers}
        headers += [each for name, each in wanted.items() if name not in there]
        if "x-request-id" in there:  # of a WSGI app that a view returns
            headers = [each for each in headers if each[0].lower() != "x-request-id"]
        headers.append(("X-Request-ID", logs.request_id(environ)))
        return body, status, headers


def _by_name(*headers: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return {header[0].lower(): header for header in headers}


_HEADERS = _by_name(
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
_HEADERS_HTTPS = _HEADERS | _by_name(
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
)
