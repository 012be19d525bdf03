"""Settings of one app: the only place that reads the environment.

`load_settings` gathers every fault of the environment into one message that says what to set.
The table of all settings is in docs/settings.md; a test holds the two together.
"""

import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from importlib import import_module
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import click
from pydantic import (
    AfterValidator,
    Field,
    IPvAnyAddress,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from resource_server.addresses import Host, InvalidHost, PublicAddress
from resource_server.rate_limits import IN_MEMORY, is_rate
from resource_server.tokens import UserPool
from resource_server.tokens.keys import is_safe_address, require_https

_POSTGRES = "postgresql+psycopg2"
_REDIS = re.compile(r"rediss?://[^/\s]+(?:/[0-9]{0,4})?(?:\?\S*)?")
# ClientSecretType in the model of the Cognito API has 24 to 64 characters. Emulators use more than
# its letters, digits, `_` and `+`.
_CLIENT_SECRET = re.compile(r"[!-~]{24,64}")
# What libpq looks at only once it has a TCP connection (PostgreSQL manual, "Parameter Key Words").
_LIBPQ_NUMBERS = (
    "connect_timeout keepalives keepalives_count keepalives_idle keepalives_interval "
    "tcp_user_timeout"
)
_NOWHERE = "/dev/null"  # no directory, so no socket of PostgreSQL can be in it
# Exact: a wildcard would let any page call, and flask-cors reads it as a pattern.
# The scheme may be that of an app: capacitor://localhost.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
# Attributes that Cognito does not verify or set itself (guide, "Standard attributes").
_PERSONAL_ATTRIBUTES = (
    "address birthdate family_name gender given_name locale middle_name name nickname "
    "phone_number picture preferred_username profile updated_at website zoneinfo"
)
_CUSTOM_ATTRIBUTE = re.compile(r"custom:[^\s,]{1,25}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")


def _require_rate(text: str) -> str:
    if not is_rate(text):
        raise ValueError("say how often: a number, a slash, second, minute, hour or day")
    return text


Rate = Annotated[str, AfterValidator(_require_rate)]
# ClientIdType in the model of the Cognito API.
ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+]{1,128}$")]


def _require_http_address(text: str) -> str:
    """Return the address of a server.

    Raises ValueError if it has no host, or has a user name, a password, a query or a fragment.
    """
    try:
        parts = urlsplit(text)
        Host.parse(parts.netloc)
    except (InvalidHost, ValueError):
        raise ValueError("it needs a host, and no user name") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("it begins with https:// or http://")
    if "?" in text or "#" in text or " " in text:
        raise ValueError("it has neither query nor fragment nor blanks")
    return text


HttpAddress = Annotated[str, AfterValidator(_require_http_address)]


def _require_postgres_host(text: str) -> None:
    """Raise ValueError unless libpq can connect to a host: a name, an address or a directory."""
    if text.startswith("/"):
        return
    for host in text.split(","):
        name = f"[{host}]" if ":" in host and not host.startswith("[") else host
        try:
            found = Host.parse(name)
        except InvalidHost:
            raise ValueError("a host is a name or an address, without port and path") from None
        if found.port:
            raise ValueError("a host is a name or an address, without port and path")


def _require_libpq_parameters(url: URL) -> None:
    """Raise ValueError if libpq would reject a database URL, without its text."""
    libpq = import_module("psycopg2")  # not needed with SQLite
    try:
        _, parameters = url.get_dialect()().create_connect_args(url)
        import_module("psycopg2.extensions").make_dsn(**parameters)
    except (ArgumentError, libpq.Error, TypeError, ValueError):
        raise ValueError("libpq does not know one of its parameters") from None
    hosts = str(parameters.get("host", ""))
    if hosts:
        _require_postgres_host(hosts)
    for name in _LIBPQ_NUMBERS.split():
        if not re.fullmatch("[0-9]{1,9}", str(parameters.get(name, 0))):
            raise ValueError(f"{name} is a number")
    nowhere = {"host": ",".join(_NOWHERE for _ in hosts.split(",")), "hostaddr": ""}
    try:
        libpq.connect(**{**parameters, **nowhere}).close()
    except ValueError:
        raise ValueError("it has a NUL character") from None
    except libpq.Error as error:  # whose text repeats the value
        found = re.match(r'invalid "?(\w+)|.*for connection option "(\w+)"', str(error))
        if found is not None:
            name = found[2] or found[1]
            raise ValueError(f"{name} has a value that libpq does not know") from None


def _require_redis_parameters(text: str) -> None:
    """Raise ValueError if the client of Redis would reject an address, without its text."""
    redis = import_module("redis")  # not needed with memory://
    try:
        redis.ConnectionPool.from_url(text).make_connection()  # it connects later
    except (redis.RedisError, TypeError, ValueError):
        raise ValueError("the client of Redis does not know one of its parameters") from None


class SettingsError(click.ClickException, ValueError):
    """The environment does not describe a service that can start; the text says what to set.

    The `flask` command shows it without a trace.
    """


class Settings(BaseSettings):
    """Everything an operator can choose; frozen, and silent about secrets."""

    # Empty variables, as compose files and CI produce them, count as not set.
    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    aws_region: str | None = Field(
        None,
        description="not needed: the id of the user pool names its region",
        examples=["eu-west-2"],
    )
    aws_user_pool_id: str = Field(
        description="the id of the user pool", examples=["eu-west-2_AbCdEf123"]
    )
    aws_cognito_app_client_id: ClientId = Field(
        description="the app client this service signs users in with",
        examples=["1h57kf5cpq17m0eml12EXAMPLE"],
    )
    aws_cognito_app_client_secret: SecretStr | None = Field(
        None,
        description="the secret of that client; leave it out for a public client",
        examples=["…"],
    )

    rds_username: str | None = Field(None, description="the PostgreSQL user", examples=["app"])
    rds_password: SecretStr | None = Field(
        None, description="the PostgreSQL user's password", examples=["…"]
    )
    rds_hostname: str | None = Field(
        None, description="the PostgreSQL server", examples=["db.example.com"]
    )
    rds_port: int = Field(
        5432, description="the PostgreSQL server's port", examples=[5432], ge=1, le=65_535
    )
    rds_db_name: str | None = Field(None, description="the database", examples=["randoms"])
    database_url: SecretStr | None = Field(
        None,
        description="the database's address, before RDS_*; without either, SQLite in instance/",
        examples=["postgresql://app:password@db.example.com/randoms"],
    )

    db_pool_size: int = Field(
        5, description="connections that a process keeps open", examples=[5], ge=1, le=1000
    )
    db_max_overflow: int = Field(
        5, description="further connections while there is a rush", examples=[5], ge=0, le=1000
    )
    db_pool_timeout_seconds: float = Field(
        2, description="how long a request waits for a free connection", examples=[2], gt=0, le=60
    )
    db_pool_recycle_seconds: int = Field(
        1800, description="age at which a connection is replaced", examples=[1800], ge=1
    )
    db_connect_timeout_seconds: int = Field(
        2, description="time for making a connection", examples=[2], ge=2, le=60
    )
    db_statement_timeout_seconds: float = Field(
        5, description="time for one statement", examples=[5], ge=0.1, le=3600
    )
    db_lock_timeout_seconds: float = Field(
        2, description="how long a statement waits for a lock", examples=[2], ge=0.1, le=3600
    )

    db_limits: Literal["options", "set", "role"] = Field(
        "options",
        description="how the server learns the two limits: a start-up parameter, SET, or the role",
        examples=["role"],
    )

    cognito_allowed_client_ids: Annotated[tuple[ClientId, ...], NoDecode] = Field(
        (),
        description="further app clients whose tokens are accepted, comma separated",
        examples=["1h57kf5cpq17m0eml12EXAMPLE,7lhlkkfbfb4q5kpp90urffao"],
    )
    cognito_admin_group: str = Field(
        "admins",
        description="the Cognito group whose members may list, disable and enable users",
        examples=["admins"],
    )
    cognito_writable_attributes: Annotated[tuple[str, ...], NoDecode] = Field(
        tuple(_PERSONAL_ATTRIBUTES.split()),
        description="attributes that users may set at sign-up beside email, comma separated",
        examples=["name,phone_number,custom:team"],
    )
    cognito_send_ip_address: bool = Field(
        False,
        description="send the client's address to the pool's threat protection; the app client "
        "needs a secret and EnablePropagateAdditionalUserContextData",
    )
    cognito_trusted_pools: Annotated[tuple[tuple[str, frozenset[ClientId]], ...], NoDecode] = Field(
        (),
        description="further pools and their app clients, pool=client|client, comma separated",
        examples=["eu-west-1_AbCdEf123=1h57kf5cpq17m0eml12EXAMPLE|7lhlkkfbfb4q5kpp90urffao"],
    )
    cognito_calls_at_once: int = Field(
        4,
        description="calls to Cognito at once in a process, fewer than its threads",
        examples=[4],
        ge=1,
        le=1000,
    )
    gunicorn_threads: int = Field(
        8,
        description="threads of a process; one fewer may wait for Cognito, the database and keys",
        examples=[8],
        ge=1,
        le=1024,
    )
    cognito_endpoint_is_emulator: bool = Field(
        False,
        description=(
            "the endpoint of Cognito is an emulator: send it no AWS credentials, call no Lambda, "
            "and use http for it on any host"
        ),
        examples=["true"],
    )
    cognito_domain: str | None = Field(
        None,
        description="the address of the pool's managed login, where /docs signs people in",
        examples=["https://example.auth.eu-west-2.amazoncognito.com"],
        pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_-]+)*$",
    )
    cognito_issuer: HttpAddress | None = Field(
        None, description="the `iss` to expect, for emulators", examples=["http://127.0.0.1:5001/x"]
    )
    cognito_jwks_uri: HttpAddress | None = Field(
        None,
        description="where the pool's keys are, for emulators",
        examples=["http://127.0.0.1:5001/us-east-1_x/.well-known/jwks.json"],
    )
    aws_endpoint_url_cognito_identity_provider: HttpAddress | None = Field(
        None,
        description="another address for Cognito, such as a VPC endpoint's or an emulator's",
        examples=["http://127.0.0.1:5001"],
    )
    aws_endpoint_url: HttpAddress | None = Field(
        None,
        description="the same for all AWS services; the address for Cognito wins",
        examples=["http://127.0.0.1:4566"],
    )
    aws_ignore_configured_endpoint_urls: bool = Field(
        False, description="ignore AWS_ENDPOINT_URL and its likes", examples=["true"]
    )
    cognito_emulator: Literal["off", "auto", "embedded"] = Field(
        "off",
        description="use the Cognito emulator of `flask run`",
        examples=["embedded"],
    )

    jwt_leeway_seconds: float = Field(
        10, description="clock difference allowed for exp, nbf and iat", examples=[10], ge=0, le=300
    )
    jwks_refresh_seconds: float = Field(
        3600, description="age at which keys are refreshed", examples=[3600], ge=1
    )
    jwks_max_age_seconds: float = Field(
        86_400, description="age past which keys no longer count", examples=[86_400], ge=1
    )
    jwks_cooldown_seconds: float = Field(
        30, description="pause between downloads for unknown keys", examples=[30], ge=1
    )
    jwks_timeout_seconds: float = Field(
        3, description="time for one download of the keys", examples=[3], gt=0, le=60
    )

    token_cache_size: int = Field(
        10_000, description="verified tokens remembered, 0 for none", examples=[10_000], ge=0
    )
    token_cache_bytes: int = Field(
        33_554_432,
        description="memory that the verified tokens of a process may take",
        examples=[33_554_432],
        ge=0,
    )
    revocation_poll_seconds: float = Field(
        2, description="how old the view of the deny list may be", examples=[2], gt=0, le=60
    )
    cognito_refresh_token_days: int = Field(
        30,
        description="how long refresh tokens of your app clients live at most",
        examples=[30],
        ge=1,
        le=3650,
    )

    api_docs: bool = Field(
        True,
        description="serve the API's description and its page, /openapi.json and /docs",
        examples=["false"],
    )
    api_docs_client_id: ClientId | None = Field(
        None,
        description="the app client without a secret that /docs signs people in with",
        examples=["7lhlkkfbfb4q5kpp90urffao"],
    )

    ratelimit_storage_uri: SecretStr = Field(
        SecretStr(IN_MEMORY),
        description="where rate limits are counted: memory:// or redis://…",
        examples=["redis://redis.example.com:6379/0"],
    )
    ratelimit_sign_in_per_address: Rate = Field(
        "60/minute;600/hour",
        description="passwords and codes that an address may try",
        examples=["60/minute;600/hour"],
    )
    ratelimit_sign_in_per_name: Rate = Field(
        "10/minute;60/hour",
        description="passwords and codes that may be tried for a user name",
        examples=["10/minute;60/hour"],
    )
    ratelimit_messages_per_address: Rate = Field(
        "10/minute;60/hour",
        description="messages that an address may have sent",
        examples=["10/minute;60/hour"],
    )
    ratelimit_messages_per_name: Rate = Field(
        "3/minute;10/hour",
        description="messages that a user name may be sent",
        examples=["3/minute;10/hour"],
    )
    ratelimit_refresh_per_address: Rate = Field(
        "300/minute",
        description="refresh tokens that an address may trade in",
        examples=["300/minute"],
    )

    trusted_proxy_hops: int = Field(
        0, description="proxies in front, whose X-Forwarded-For counts", examples=[1], ge=0, le=10
    )
    trusted_proxy_prefix: bool = Field(
        False,
        description="believe X-Forwarded-Prefix of the nearest proxy",
        examples=["true"],
    )
    public_url: str | None = Field(
        None,
        description="the address under which clients reach this service",
        examples=["https://api.example.com/v1"],
    )
    trusted_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="hosts that requests may be for, beside that of PUBLIC_URL, comma separated",
        examples=["api.internal,resource_server"],
    )
    cors_allow_headers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="further request headers that scripts of CORS_ORIGINS may set",
        examples=["sentry-trace,x-client-version"],
    )
    trusted_proxy_header: Literal["X-Forwarded-For", "Forwarded"] = Field(
        "X-Forwarded-For",
        description="the header in which those proxies write the client's address",
        examples=["Forwarded"],
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="origins whose scripts may call this service, comma separated",
        examples=["https://app.example.com,http://localhost:3000"],
    )

    log_format: Literal["json", "text"] = Field(
        "json", description="one JSON object a line, or text", examples=["json"]
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="the least level that is logged", examples=["INFO"]
    )

    metrics_enabled: bool = Field(
        True, description="count, and serve the numbers at /metrics", examples=["false"]
    )
    management_port: int | None = Field(
        None,
        description="the port that serves /metrics, and nothing else but health",
        examples=[9464],
        ge=1,
        le=65_535,
    )
    metrics_on_main_port: bool = Field(
        False, description="serve /metrics on the service's own port, too", examples=["true"]
    )
    otel_exporter_otlp_endpoint: HttpAddress | None = Field(
        None,
        description="a collector's address for traces, with the extra `opentelemetry`",
        examples=["http://127.0.0.1:4318"],
    )
    prometheus_multiproc_dir: str | None = Field(
        None,
        description="where a server's processes keep their metrics; gunicorn.conf.py sets it",
        examples=["/run/resource-server/metrics"],
    )

    @field_validator(
        "cognito_allowed_client_ids",
        "cognito_writable_attributes",
        "cors_origins",
        "cors_allow_headers",
        "trusted_hosts",
        mode="before",
    )
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part for part in (part.strip() for part in value.split(",")) if part)

    @field_validator("cognito_writable_attributes")
    @classmethod
    def _are_for_users(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        personal = _PERSONAL_ATTRIBUTES.split()
        if not all(name in personal or _CUSTOM_ATTRIBUTE.fullmatch(name) for name in names):
            raise ValueError(
                "only custom:… attributes, and standard ones that describe a person but email"
            )
        return names

    @field_validator("cognito_trusted_pools", mode="before")
    @classmethod
    def _read_trusted_pools(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pools = []
        for entry in filter(None, (part.strip() for part in value.split(","))):
            pool_id, _, clients = entry.partition("=")
            client_ids = frozenset(filter(None, (client.strip() for client in clients.split("|"))))
            if not client_ids:
                raise ValueError("each pool needs its app clients")
            UserPool.parse(pool_id.strip())
            pools.append((pool_id.strip(), client_ids))
        return tuple(pools)

    @field_validator("*", mode="before")
    @classmethod
    def _has_no_control_characters(cls, value: object) -> object:
        # A file of a secret often ends with a line break, which is invisible.
        if isinstance(value, str) and any(unicodedata.category(each) == "Cc" for each in value):
            raise ValueError("it has a line break or another control character")
        return value

    @field_validator("aws_cognito_app_client_secret")
    @classmethod
    def _is_client_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _CLIENT_SECRET.fullmatch(value.get_secret_value()):
            raise ValueError("a secret of Cognito has 24 to 64 characters, none of them blank")
        return value

    @field_validator("cognito_admin_group")
    @classmethod
    def _is_group(cls, value: str) -> str:
        # GroupNameType in the model of the Cognito API.
        length = range(1, 129)
        if len(value) not in length or any(
            unicodedata.category(c)[0] not in "LMSNP" for c in value
        ):
            raise ValueError("a group has 1 to 128 characters, none of them blank")
        return value

    @field_validator("rds_hostname")
    @classmethod
    def _is_postgres_host(cls, value: str | None) -> str | None:
        if value is not None:
            _require_postgres_host(value)
        return value

    @field_validator("ratelimit_storage_uri")
    @classmethod
    def _is_rate_limit_storage(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text == IN_MEMORY:
            return value
        if not _REDIS.fullmatch(text):
            raise ValueError(
                "only memory:// and redis://host:port/number, also with rediss://, are supported"
            )
        try:
            _ = urlsplit(text).port
        except ValueError:  # whose text repeats parts of it
            raise ValueError("a port is a number up to 65535") from None
        _require_redis_parameters(text)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError("an origin is a scheme, a host and a port, with nothing after it")
            scheme, _, host = origin.partition("://")
            try:
                parsed = Host.parse(host)
            except InvalidHost:
                raise ValueError("an origin has a host, and a port from 1 to 65535") from None
            if scheme in {"http", "https"} and parsed.origin(scheme) != origin:
                raise ValueError("browsers leave out the standard port of a scheme")
        return value

    @field_validator("cors_allow_headers")
    @classmethod
    def _are_header_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_HEADER_NAME.fullmatch(name) for name in value):
            raise ValueError("a header name is made of letters, digits and hyphens")
        return value

    @field_validator("public_url")
    @classmethod
    def _is_public_address(cls, value: str | None) -> str | None:
        return None if value is None else str(PublicAddress.parse(value))

    @field_validator("trusted_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            hosts = [Host.parse(text) for text in value]
        except InvalidHost:
            raise ValueError("a host is a name or an address") from None
        if any(host.port for host in hosts):
            raise ValueError("leave out the port, any will do")
        return tuple(host.normalized_name for host in hosts)

    @field_validator("cognito_jwks_uri", "cognito_domain")
    @classmethod
    def _is_safe_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not info.data.get("cognito_endpoint_is_emulator"):
            require_https(value)
        return value

    @field_validator("aws_user_pool_id")
    @classmethod
    def _is_pool_id(cls, value: str) -> str:
        UserPool.parse(value)
        return value

    @field_validator("database_url")
    @classmethod
    def _is_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        try:
            url = make_url(value.get_secret_value())
        except (ArgumentError, ValueError):  # whose text repeats parts of it
            raise ValueError("not a database URL") from None
        if url.get_backend_name() not in {"postgresql", "postgres", "sqlite"}:
            raise ValueError("only postgresql:// and sqlite:// are supported")
        if url.get_backend_name() != "sqlite":
            _require_libpq_parameters(url.set(drivername=_POSTGRES))
        return value

    @property
    def region(self) -> str:
        """The region of the user pool."""
        return self.user_pool.region

    @property
    def cognito_endpoint_url(self) -> str | None:
        """Where Cognito is called, or None for AWS's own endpoint of the region.

        The order is that of the AWS SDKs ("Service-specific endpoints" in their guide).
        """
        if self.aws_ignore_configured_endpoint_urls:
            return None
        return self.aws_endpoint_url_cognito_identity_provider or self.aws_endpoint_url

    @property
    def user_pool(self) -> UserPool:
        """The pool whose tokens are accepted."""
        return UserPool.parse(
            self.aws_user_pool_id, issuer=self.cognito_issuer, jwks_uri=self.cognito_jwks_uri
        )

    @property
    def public_address(self) -> PublicAddress | None:
        """The address of PUBLIC_URL."""
        return None if self.public_url is None else PublicAddress.parse(self.public_url)

    @property
    def client_ids(self) -> frozenset[str]:
        """All app clients whose tokens are accepted."""
        return frozenset({self.aws_cognito_app_client_id, *self.cognito_allowed_client_ids})

    @property
    def other_pools(self) -> tuple[str, ...]:
        """The ids of the pools that are trusted beside the service's own."""
        return tuple(pool_id for pool_id, _ in self.cognito_trusted_pools)

    def may_be_elsewhere(self, sub: str) -> bool:
        """Tell whether a `sub` may be an app client's or another pool's, and so not in this one."""
        return bool(self.cognito_trusted_pools) or sub in self.client_ids

    @property
    def sqlalchemy_url(self) -> URL | None:
        """The database of DATABASE_URL or RDS_*; None means SQLite in the instance folder."""
        if self.database_url:
            url = make_url(self.database_url.get_secret_value())
            return url if url.get_backend_name() == "sqlite" else url.set(drivername=_POSTGRES)
        if self.rds_hostname and self.rds_password:
            return URL.create(
                _POSTGRES,
                username=self.rds_username,
                password=self.rds_password.get_secret_value(),
                host=self.rds_hostname,
                port=self.rds_port,
                database=self.rds_db_name,
            )
        return None


class EmulatorSwitch(BaseSettings):
    """Whether to use the emulator of `flask run`. It is read before the pool's settings."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    cognito_emulator: str = "off"

    # What names a pool, and what names a database.
    aws_user_pool_id: object = None
    aws_cognito_app_client_id: object = None
    aws_cognito_app_client_secret: object = None
    aws_endpoint_url_cognito_identity_provider: object = None
    cognito_domain: object = None
    cognito_endpoint_is_emulator: object = None
    cognito_issuer: object = None
    cognito_jwks_uri: object = None
    cognito_trusted_pools: object = None
    database_url: object = None
    rds_db_name: object = None
    rds_hostname: object = None
    rds_password: object = None
    rds_username: object = None

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None) -> Self:
        """Read the environment. `overrides`, a mapping of the same names, wins over it."""
        known = {name.upper(): name for name in cls.model_fields}
        given = {known[name]: value for name, value in (overrides or {}).items() if name in known}
        return cls(**{name: value for name, value in given.items() if value != ""})

    def decide(self, *, is_run: bool) -> Literal["off", "auto", "embedded"]:
        """Return whether a command uses the emulator, and by which setting.

        Args:
            is_run: Whether the command is `flask run`.

        Returns:
            `off` for the pool that the settings name. `embedded` for the emulator, chosen by
            name or by `flask run`. `auto` for the emulator under another command that named
            nothing: such a command may list routes, and changes nothing.

        Raises:
            SettingsError: The emulator and a pool are both named, or a database without a pool, or
                COGNITO_EMULATOR has another value than `off`, `auto` and `embedded`.
        """
        named = sorted(self.model_fields_set - {"cognito_emulator"})
        pool = [name.upper() for name in named if not name.startswith(("database", "rds"))]
        database = [name.upper() for name in named if name.startswith(("database", "rds"))]
        if self.cognito_emulator not in {"off", "auto", "embedded"}:
            raise SettingsError(
                "COGNITO_EMULATOR is wrong: set it to off, auto or embedded, in small letters, or "
                "leave it out."
            )
        if self.cognito_emulator == "embedded":
            if pool:
                raise SettingsError(
                    f"COGNITO_EMULATOR=embedded and {pool[0]} are both set, so it is not clear "
                    f"which user pool is meant. Unset COGNITO_EMULATOR to use the pool, or unset "
                    f"{', '.join(pool)} to use the emulator."
                )
            return "embedded"
        if self.cognito_emulator != "auto" or pool:
            return "off"
        if database:
            raise SettingsError(
                f"{database[0]} is set, but no user pool. Set AWS_USER_POOL_ID and "
                "AWS_COGNITO_APP_CLIENT_ID. To use that database with the emulator's users, set "
                "COGNITO_EMULATOR=embedded."
            )
        return "embedded" if is_run else "auto"


class ServerSettings(BaseSettings):
    """What gunicorn.conf.py is told; an app knows nothing of it (docs/operations.md)."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    web_concurrency: Annotated[int | None, Field(ge=1, le=1024)] = None
    gunicorn_threads: Annotated[int, Field(ge=1, le=1024)] = 8
    gunicorn_graceful_timeout: Annotated[int, Field(ge=1, le=3600)] = 30
    gunicorn_max_requests: Annotated[int, Field(ge=0)] = 100_000
    port: Annotated[int | None, Field(ge=1, le=65_535)] = None
    management_port: Annotated[int | None, Field(ge=1, le=65_535)] = None
    management_host: IPvAnyAddress = IPv4Address("127.0.0.1")
    prometheus_multiproc_dir: str | None = None
    log_format: Literal["json", "text"] = "json"

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.port is not None and self.port == self.management_port:
            raise ValueError("PORT and MANAGEMENT_PORT are the same: give each its own")
        return self

    @property
    def workers(self) -> int:
        """WEB_CONCURRENCY, else one a core and no fewer than two, so that one may go."""
        return self.web_concurrency or max(2, cores())


def load_server_settings() -> ServerSettings:
    """Read the settings of gunicorn.conf.py.

    Raises SettingsError with all errors at once.
    """
    try:
        return ServerSettings()
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
    lines = [
        f"  - {str(fault['loc'][0]).upper()} is wrong: {fault['msg']}"
        if fault["loc"]
        else f"  - {str(fault['msg']).removeprefix('Value error, ')}"
        for fault in faults
    ]
    raise SettingsError("\n".join(["gunicorn cannot start with these settings:", *lines]))


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many cores this process may use, one at least.

    A container's share is none of the operating system's numbers of cores: it is in its control
    group, in microseconds of each period (Linux, cgroup v2, `cpu.max`).
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        share, period = quota.read_text(encoding="ascii").split()
        limit = math.ceil(int(share) / int(period))
    except (OSError, ValueError):  # no such group, or "max": no limit
        limit = allowed or 1
    return max(1, min(allowed or 1, limit))


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the environment; `overrides`, a mapping of the same names, wins over it.

    Raises SettingsError with all faults at once; it never shows a value that may be secret.
    """
    fields = Settings.model_fields
    known = {name.upper(): name for name in fields}
    faults, values = [], {}
    for name, value in (overrides or {}).items():
        if name not in known:
            faults.append(f"{name} is no setting of this service: see docs/settings.md")
        elif value == "" and not fields[known[name]].is_required():
            values[known[name]] = fields[known[name]].default  # as with an empty variable
        else:
            values[known[name]] = value
    wrong = {}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            wrong[str(fault["loc"][0])] = fault
        faults += [_sentence(name, fault) for name, fault in wrong.items()]
        # With what is wrong out of the way, see whether the others agree with each other.
        settings = Settings(**values | {name: _substitute(fields[name]) for name in wrong})
    faults += [text for names, text in _contradictions(settings) if not names & wrong.keys()]
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise SettingsError(f"The service cannot start with these settings:\n{lines}")
    return settings


def _substitute(field: FieldInfo) -> Any:
    return (field.examples or [None])[0] if field.is_required() else field.default


def _sentence(name: str, fault: Mapping[str, Any]) -> str:
    """Say what is wrong with one setting, and what to set instead."""
    field = Settings.model_fields[name]
    example = f", for example {name.upper()}={field.examples[0]}" if field.examples else ""
    if fault["type"] == "missing":
        return f"{name.upper()} is not set: {field.description}{example}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{name.upper()} is wrong ({message}): {field.description}{example}"


_ENDPOINTS = (
    "aws_endpoint_url",
    "aws_endpoint_url_cognito_identity_provider",
    "aws_ignore_configured_endpoint_urls",
)


def _contradictions(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """Find settings that do not go together: which, and what to do."""
    rds = ("rds_hostname", "rds_db_name", "rds_username", "rds_password")
    missing = [name.upper() for name in rds if not getattr(settings, name)]
    if not settings.database_url and 0 < len(missing) < len(rds):
        yield (
            {"database_url", *rds},
            (f"RDS_* is incomplete: set {', '.join(missing)} too, or DATABASE_URL instead of all"),
        )
    pools = [settings.aws_user_pool_id, *(pool_id for pool_id, _ in settings.cognito_trusted_pools)]
    if len(set(pools)) < len(pools):
        yield (
            {"aws_user_pool_id", "cognito_trusted_pools"},
            (
                "COGNITO_TRUSTED_POOLS names a pool twice, or that of AWS_USER_POOL_ID: give all "
                "clients of a pool at once, or in COGNITO_ALLOWED_CLIENT_IDS"
            ),
        )
    endpoint = settings.cognito_endpoint_url
    if settings.cognito_endpoint_is_emulator:
        if endpoint is None:
            yield (
                {"cognito_endpoint_is_emulator", *_ENDPOINTS},
                (
                    "COGNITO_ENDPOINT_IS_EMULATOR is set, but no endpoint, so passwords would go "
                    "to AWS. Set AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER to the emulator's "
                    "address, and leave out AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
                ),
            )
    elif endpoint is not None and not is_safe_address(endpoint):
        name = (
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"
            if settings.aws_endpoint_url_cognito_identity_provider
            else "AWS_ENDPOINT_URL"
        )
        yield (
            {"cognito_endpoint_is_emulator", *_ENDPOINTS},
            (
                f"{name} would send passwords over http to another host. Use https, or set "
                "COGNITO_ENDPOINT_IS_EMULATOR=true if it is an emulator in a network of its own"
            ),
        )
    if settings.trusted_proxy_prefix and not settings.trusted_proxy_hops:
        yield (
            {"trusted_proxy_prefix", "trusted_proxy_hops"},
            (
                "TRUSTED_PROXY_PREFIX believes a proxy, but TRUSTED_PROXY_HOPS is 0: set the "
                "number of proxies"
            ),
        )
    if settings.jwks_max_age_seconds < settings.jwks_refresh_seconds:
        yield (
            {"jwks_max_age_seconds", "jwks_refresh_seconds"},
            ("JWKS_MAX_AGE_SECONDS is less than JWKS_REFRESH_SECONDS: make it greater"),
        )


def server_mount() -> str:
    """Return the path that gunicorn mounts the app at: `SCRIPT_NAME` of its environment."""
    return os.environ.get("SCRIPT_NAME", "")


def is_flask_command() -> bool:
    """Tell whether the `flask` command runs; it says so itself, so this is no setting."""
    return os.environ.get("FLASK_RUN_FROM_CLI") == "true"


def flask_env_file() -> str | None:
    """Return the file that the `flask` command was given in its environment, not by --env-file."""
    return os.environ.get("FLASK_ENV_FILE")
