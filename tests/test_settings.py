"""Settings: read once, all faults told together, secrets never."""

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url

from resource_server.settings import Settings, SettingsError, load_settings
from resource_server.tokens import UserPool

ROOT = Path(__file__).parent.parent
POOL = {
    "AWS_USER_POOL_ID": "eu-west-2_AbCdEf123",
    "AWS_COGNITO_APP_CLIENT_ID": "1example23456789",
}
RDS = {
    "RDS_USERNAME": "app",
    "RDS_PASSWORD": "rds-hunter2",
    "RDS_HOSTNAME": "db.example.com",
    "RDS_PORT": "5433",
    "RDS_DB_NAME": "randoms",
}
SECRET = "hunter2-of-the-operators"


def faults_of(config: dict[str, Any]) -> list[str]:
    """Load settings that must not load, and return the sentences of the refusal."""
    with pytest.raises(SettingsError) as caught:
        load_settings(config)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


def fault_of(config: dict[str, Any]) -> str:
    """Load settings that have one fault, and return its sentence."""
    [fault] = faults_of(config)
    return fault


# Faults


def test_an_empty_environment_names_what_is_missing() -> None:
    """Each missing name comes with what it is and an example to copy."""
    pool, client = faults_of({})
    assert pool == (
        "AWS_USER_POOL_ID is not set: the id of the user pool, "
        "for example AWS_USER_POOL_ID=eu-west-2_AbCdEf123"
    )
    assert client == (
        "AWS_COGNITO_APP_CLIENT_ID is not set: the app client this service signs users in with, "
        "for example AWS_COGNITO_APP_CLIENT_ID=1h57kf5cpq17m0eml12EXAMPLE"
    )


def test_the_message_begins_with_a_sentence() -> None:
    """An operator who sees only the first line knows what it is about."""
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).splitlines()[0] == "The service cannot start with these settings:"
    assert isinstance(caught.value, ValueError)


WRONG = [
    ("AWS_REGION", "eu-west-2\n"),
    ("AWS_USER_POOL_ID", "AbCdEf123"),
    ("AWS_USER_POOL_ID", "eu-west-2_AbC/../x"),
    ("AWS_COGNITO_APP_CLIENT_ID", "has a space"),
    ("AWS_COGNITO_APP_CLIENT_ID", "a" * 129),
    ("RDS_PORT", "many"),
    ("DATABASE_URL", "not a URL"),
    ("DATABASE_URL", "mysql://db.example.com/randoms"),
    ("COGNITO_TRUSTED_POOLS", "eu-west-1_AbCdEf123"),
    ("COGNITO_TRUSTED_POOLS", "eu-west-1_AbCdEf123="),
    ("COGNITO_TRUSTED_POOLS", "nonsense=client"),
    ("COGNITO_DOMAIN", "http://login.example.com"),
    ("COGNITO_DOMAIN", "https://login.example.com/"),
    ("COGNITO_DOMAIN", "http://localhost.example.com"),
    ("API_DOCS", "perhaps"),
    ("COGNITO_JWKS_URI", "ftp://example.com/jwks.json"),
    ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "127.0.0.1:5001"),
    ("COGNITO_EMULATOR", "on"),
    ("COGNITO_ADMIN_GROUP", "a b"),
    ("COGNITO_ALLOWED_CLIENT_IDS", "a,b c"),
    ("COGNITO_ISSUER", "issuer"),
    ("AWS_ENDPOINT_URL", "localhost:4566"),
    ("AWS_COGNITO_APP_CLIENT_SECRET", "only-for-development"),
    ("AWS_COGNITO_APP_CLIENT_SECRET", "x" * 65),
    ("AWS_COGNITO_APP_CLIENT_SECRET", "a-secret-of-24-to-64-chars\n"),
    ("RDS_PASSWORD", "of-a-file\n"),
    ("RDS_HOSTNAME", "db.example.com:5432"),
    ("RDS_HOSTNAME", "postgresql://db.example.com"),
    ("RDS_HOSTNAME", "db.example.com/app"),
    ("DATABASE_URL", "postgresql://db.example.com/app\n"),
    ("DATABASE_URL", "postgresql://db.example.com/app?sslmod=require"),
    ("DATABASE_URL", "postgresql://db.example.com/app?sslmode=yes"),
    ("DATABASE_URL", "postgresql:///app?host=db.example.com%3A5432,b%2Fc"),
    ("DATABASE_URL", "postgresql://db.example.com:99999/app"),
    ("DATABASE_URL", "postgresql:///app?host=db.example.com&port=five"),
    ("DATABASE_URL", "postgresql:///app?host=a:99999&host=b:5432"),
    ("DATABASE_URL", "postgresql://app:%00@db.example.com/app"),
    ("DATABASE_URL", "postgresql://db.example.com/app?channel_binding=yes"),
    ("DATABASE_URL", "postgresql://db.example.com/app?ssl_min_protocol_version=TLS9"),
    ("DATABASE_URL", "postgresql://db.example.com/app?keepalives_idle=long"),
    ("DATABASE_URL", "postgresql://db.example.com/app?connect_timeout=-1"),
    ("RATELIMIT_STORAGE_URI", "redis://redis.example.com/0?db=one"),
    ("RATELIMIT_STORAGE_URI", "redis://redis.example.com/0?timeout=1"),
    ("RATELIMIT_STORAGE_URI", "redis://redis.example.com/0?ssl_cert_reqs=none"),
    ("RATELIMIT_STORAGE_URI", "redis://redis.example.com/one"),
    ("RATELIMIT_STORAGE_URI", "redis://redis.example.com:99999"),
    ("JWKS_REFRESH_SECONDS", "inf"),
    ("JWKS_MAX_AGE_SECONDS", "nan"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
    ("JWT_LEEWAY_SECONDS", "ten"),
    ("TOKEN_CACHE_SIZE", "1.5"),
    ("RATELIMIT_STORAGE_URI", "memcached://127.0.0.1"),
    ("RATELIMIT_STORAGE_URI", "redis://"),
    ("RATELIMIT_SIGN_IN_PER_NAME", "often"),
    ("RATELIMIT_SIGN_IN_PER_NAME", "10/fortnight"),
    ("RATELIMIT_REFRESH_PER_ADDRESS", "0/minute"),
    ("CORS_ORIGINS", "*"),
    ("CORS_ORIGINS", "https://*.example.com"),
    ("CORS_ORIGINS", "https://app.example.com/"),
    ("CORS_ORIGINS", "https://a.example.com,null"),
    ("CORS_ORIGINS", "app.example.com"),
    ("CORS_ORIGINS", "https://user@app.example.com"),
    ("CORS_ORIGINS", "http://[::1]/"),
    ("CORS_ORIGINS", "capacitor://"),
    ("CORS_ORIGINS", "https?://app.example.com"),
    ("CORS_ORIGINS", "https://app.example.com:443"),
    ("CORS_ORIGINS", "http://localhost:0"),
    ("CORS_ORIGINS", "http://localhost:65536"),
    ("CORS_ORIGINS", "http://[::g]"),
    ("CORS_ALLOW_HEADERS", "*"),
    ("CORS_ALLOW_HEADERS", "x y"),
    ("PUBLIC_URL", "http://api.example.com"),
    ("PUBLIC_URL", "api.example.com"),
    ("PUBLIC_URL", "https://api.example.com/?a=b"),
    ("TRUSTED_HOSTS", "*"),
    ("TRUSTED_HOSTS", "https://api.example.com"),
    ("TRUSTED_HOSTS", "api.example.com:443"),
    ("TRUSTED_PROXY_PREFIX", "/v1"),
    ("LOG_FORMAT", "yaml"),
    ("LOG_LEVEL", "VERBOSE"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{n}={v[:24]}" for n, v in WRONG])
def test_a_wrong_value_is_told_with_an_example(name: str, value: str) -> None:
    """The sentence has the name, what is wrong, what the setting is for, and an example."""
    fault = fault_of(POOL | {name: value})
    field = Settings.model_fields[name.lower()]
    assert re.match(rf"{name} is wrong \(.+\): ", fault), fault
    assert str(field.description) in fault
    assert f"for example {name}=" in fault


def test_all_wrong_values_are_told_at_once() -> None:
    """Nobody mends a deployment one fault a start; unknown names are among the faults."""
    wrong = dict(WRONG) | {"NO_SUCH_SETTING": "x", "aws_region": "eu-west-2"}
    named = [fault.split()[0] for fault in faults_of(wrong)]
    assert sorted(named) == sorted(wrong)


def test_faults_between_settings_are_told_at_once() -> None:
    """Settings that contradict each other are told in one message."""
    faults = faults_of(
        POOL
        | {
            "RDS_HOSTNAME": "db.example.com",
            "COGNITO_TRUSTED_POOLS": "eu-west-2_AbCdEf123=client",
            "JWKS_MAX_AGE_SECONDS": "60",
        }
    )
    assert [fault.split()[0] for fault in faults] == [
        "RDS_*",
        "COGNITO_TRUSTED_POOLS",
        "JWKS_MAX_AGE_SECONDS",
    ]


def test_wrong_values_and_contradictions_are_told_at_once() -> None:
    """A wrong value does not hide that two others contradict each other."""
    config = POOL | {
        "RDS_HOSTNAME": "db.example.com",
        "LOG_LEVEL": "VERBOSE",
    }
    named = {fault.split()[0] for fault in faults_of(config)}
    assert named == {"RDS_*", "LOG_LEVEL"}


def test_an_unknown_name_in_the_mapping_is_a_fault() -> None:
    """A slip of the pen does not leave a setting at its default."""
    fault = fault_of(POOL | {"JWT_LEEWAY_SECOND": 5})
    assert fault == "JWT_LEEWAY_SECOND is no setting of this service: see docs/settings.md"


@pytest.mark.parametrize("region", ["us-east-1", "", None])
def test_the_region_is_that_of_the_pool(region: str | None) -> None:
    """A platform sets AWS_REGION to where it runs, which may be elsewhere."""
    assert load_settings(POOL | {"AWS_REGION": region}).region == "eu-west-2"


@pytest.mark.parametrize(
    "left_out", ["RDS_USERNAME", "RDS_PASSWORD", "RDS_HOSTNAME", "RDS_DB_NAME"]
)
def test_an_incomplete_database_is_a_fault(left_out: str) -> None:
    """A forgotten variable does not make a production server write to SQLite."""
    config = POOL | {name: value for name, value in RDS.items() if name != left_out}
    fault = fault_of(config)
    assert fault == f"RDS_* is incomplete: set {left_out} too, or DATABASE_URL instead of all"


@pytest.mark.parametrize("empty", ["RDS_PASSWORD", "RDS_HOSTNAME"])
def test_an_empty_value_in_the_mapping_does_not_choose_sqlite(empty: str) -> None:
    """A database that is half configured is told, wherever the empty value stands."""
    assert empty in fault_of(POOL | RDS | {empty: ""})


def test_a_trusted_pool_is_named_once() -> None:
    """Two lists of clients for one pool would be two truths."""
    pools = "eu-west-1_AbCdEf123=a,eu-west-1_AbCdEf123=b"
    assert "names a pool twice" in fault_of(POOL | {"COGNITO_TRUSTED_POOLS": pools})


# Secrets

WRONG_URLS = [
    f"mysql://app:{SECRET}@db.example.com/randoms",
    f"postgresql//app:{SECRET}@db.example.com/randoms",
    f"postgresql://app:{SECRET}@db.example.com:port/randoms",
    f"postgresql://app:p@ss:{SECRET}@db.example.com/randoms",
    SECRET,
]


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_wrong_database_url_is_not_shown(url: str) -> None:
    """A password in a URL that cannot be read is a password all the same."""
    with pytest.raises(SettingsError) as caught:
        load_settings(POOL | {"DATABASE_URL": url})
    assert "DATABASE_URL is wrong" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_no_fault_shows_a_secret() -> None:
    """Neither the message nor the chain of exceptions behind it."""
    secrets = {
        "AWS_COGNITO_APP_CLIENT_SECRET": SECRET,
        "RDS_PASSWORD": SECRET,
        "DATABASE_URL": f"postgresql://app:{SECRET}@db.example.com/randoms",
        "RATELIMIT_STORAGE_URI": f"redis://:{SECRET}@redis.example.com",
    }
    for config in (secrets, POOL | secrets | {"LOG_LEVEL": "VERBOSE"}, dict(WRONG) | secrets):
        with pytest.raises(SettingsError) as caught:
            load_settings(config)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert SECRET not in repr(caught.value)


@pytest.mark.parametrize(
    "name",
    ["AWS_COGNITO_APP_CLIENT_SECRET", "RDS_PASSWORD", "DATABASE_URL", "RATELIMIT_STORAGE_URI"],
)
def test_a_secret_of_the_wrong_type_is_not_shown(name: str) -> None:
    """A mapping can hold anything."""
    assert SECRET not in fault_of(POOL | {name: [SECRET]})


def test_settings_do_not_show_secrets() -> None:
    """They can be logged by mistake; the secrets are there when asked for."""
    settings = load_settings(
        POOL
        | RDS
        | {"RDS_PASSWORD": SECRET, "AWS_COGNITO_APP_CLIENT_SECRET": SECRET}
        | {"DATABASE_URL": f"postgresql://app:{SECRET}@db.example.com/randoms"}
    )
    assert (
        SECRET not in f"{settings!r} {settings} {settings.sqlalchemy_url} {settings.model_dump()}"
    )
    secret = settings.aws_cognito_app_client_secret
    assert secret is not None
    assert secret.get_secret_value() == SECRET


# Where values come from


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are those of the table in docs/settings.md."""
    for name, value in (POOL | {"JWT_LEEWAY_SECONDS": "3", "LOG_FORMAT": "text"}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.aws_user_pool_id == POOL["AWS_USER_POOL_ID"]
    assert settings.jwt_leeway_seconds == 3
    assert settings.log_format == "text"


def test_the_mapping_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even over a value that would be a fault."""
    monkeypatch.setenv("JWT_LEEWAY_SECONDS", "ten")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = load_settings(POOL | {"JWT_LEEWAY_SECONDS": 7})
    assert settings.jwt_leeway_seconds == 7
    assert settings.log_level == "DEBUG"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and CI produce them: defaults hold, and what is required is missing."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    assert load_settings(POOL) == Settings(**{k.lower(): v for k, v in POOL.items()})  # type: ignore[arg-type]
    assert [fault.split(":")[0] for fault in faults_of({})] == [f"{n} is not set" for n in POOL]


def test_files_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.env` is for the `flask` command; a server is told by its environment."""
    lines = "".join(f"{name}={value}\n" for name, value in POOL.items())
    for name in (".env", ".flaskenv"):
        (tmp_path / name).write_text(lines, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert len(faults_of({})) == len(POOL)


def test_other_variables_are_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment holds much that is no setting."""
    monkeypatch.setenv("NO_SUCH_SETTING", "x")
    load_settings(POOL)


def test_settings_are_frozen() -> None:
    """What an app began with stays."""
    settings: Any = load_settings(POOL)
    with pytest.raises(ValidationError, match="frozen"):
        settings.aws_region = "eu-west-1"


# The database


def test_without_a_database_it_is_sqlite() -> None:
    """None stands for SQLite in the instance folder."""
    assert load_settings(POOL).sqlalchemy_url is None


def test_rds_variables_make_a_url() -> None:
    """As Elastic Beanstalk and ECS hand them over."""
    url = load_settings(POOL | RDS).sqlalchemy_url
    assert url is not None
    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg2://app:rds-hunter2@db.example.com:5433/randoms"
    )


def test_the_rds_port_has_a_default() -> None:
    """5432, as PostgreSQL has it."""
    config = {name: value for name, value in RDS.items() if name != "RDS_PORT"}
    url = load_settings(POOL | config).sqlalchemy_url
    assert url is not None
    assert url.port == 5432


@pytest.mark.parametrize("password", ["p@ss:w/rd?#%25&+ =", "ünï¢ødé", "'\"\\", "%40", " x "])
def test_any_character_may_be_in_the_rds_password(password: str) -> None:
    """The URL is built, not pasted together: it reads back as it was."""
    url = load_settings(POOL | RDS | {"RDS_PASSWORD": password}).sqlalchemy_url
    assert url is not None
    again = make_url(url.render_as_string(hide_password=False))
    for read in (url, again):
        assert read.password == password
        assert (read.username, read.host, read.port) == ("app", "db.example.com", 5433)
        assert read.database == "randoms"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://a:b@h/d", "postgresql+psycopg2://a:b@h/d"),
        ("postgresql://a:b@h/d", "postgresql+psycopg2://a:b@h/d"),
        ("postgresql+psycopg2://a:b@h:1/d", "postgresql+psycopg2://a:b@h:1/d"),
        ("postgresql://a:p%40ss@h/d", "postgresql+psycopg2://a:p%40ss@h/d"),
        ("postgresql://h/d?sslmode=require", "postgresql+psycopg2://h/d?sslmode=require"),
        ("postgresql:///d?host=/run/pg", "postgresql+psycopg2:///d?host=/run/pg"),
        ("sqlite:////srv/data.sqlite", "sqlite:////srv/data.sqlite"),
        ("sqlite://", "sqlite://"),
    ],
)
def test_database_urls_name_our_driver(given: str, expected: str) -> None:
    """Heroku's spelling works as well; options and escaped characters stay."""
    url = load_settings(POOL | {"DATABASE_URL": given}).sqlalchemy_url
    assert url is not None
    assert make_url(url.render_as_string(hide_password=False)) == make_url(expected)


def test_database_url_wins_over_rds() -> None:
    """Then RDS_* may be incomplete, too."""
    for rds in (RDS, {"RDS_HOSTNAME": "db.example.com"}):
        url = load_settings(POOL | rds | {"DATABASE_URL": "postgresql://other/db"}).sqlalchemy_url
        assert url is not None
        assert url.host == "other"


# Clients and pools


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        (" a , b ,", ("a", "b")),
        (",, ,", ()),
    ],
)
def test_allowed_clients_are_comma_separated(text: str, expected: tuple[str, ...]) -> None:
    """Blanks and empty entries do not count, so that no empty client id is ever accepted."""
    settings = load_settings(POOL | {"COGNITO_ALLOWED_CLIENT_IDS": text})
    assert settings.cognito_allowed_client_ids == expected
    assert settings.client_ids == {POOL["AWS_COGNITO_APP_CLIENT_ID"], *expected}


def test_allowed_clients_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is plain text, not JSON."""
    monkeypatch.setenv("COGNITO_ALLOWED_CLIENT_IDS", "a,b")
    assert load_settings(POOL).cognito_allowed_client_ids == ("a", "b")


def test_trusted_pools_are_read() -> None:
    """Each pool comes with its own clients."""
    text = "eu-west-1_AbCdEf123=a|b, us-east-1_Other=c ,"
    assert load_settings(POOL | {"COGNITO_TRUSTED_POOLS": text}).cognito_trusted_pools == (
        ("eu-west-1_AbCdEf123", frozenset({"a", "b"})),
        ("us-east-1_Other", frozenset({"c"})),
    )


def test_the_user_pool_is_parsed() -> None:
    """Issuer and address of the keys follow from the id."""
    assert load_settings(POOL).user_pool == UserPool.parse("eu-west-2_AbCdEf123")


def test_an_emulator_may_be_elsewhere() -> None:
    """Issuer and address of the keys can be told."""
    told = {
        "COGNITO_ISSUER": "http://127.0.0.1:5001/x",
        "COGNITO_JWKS_URI": "http://127.0.0.1/jwks",
    }
    pool = load_settings(POOL | told).user_pool
    assert pool.issuers == ("http://127.0.0.1:5001/x",)
    assert pool.jwks_uri == "http://127.0.0.1/jwks"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "AWS_ENDPOINT_URL"])
def test_passwords_are_not_sent_over_http_to_another_host(name: str) -> None:
    """Only an emulator may be called so, if a setting says that it is one."""
    config = POOL | {name: "http://cognito:5001"}
    assert fault_of(config).startswith(f"{name} would send passwords over http to another host.")
    assert load_settings(config | {"COGNITO_ENDPOINT_IS_EMULATOR": "true"}).cognito_endpoint_url
    ignored = load_settings(config | {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"})
    assert ignored.cognito_endpoint_url is None


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:5001", "http://localhost:4566", "https://vpce-1.example.com"]
)
def test_an_endpoint_on_this_machine_or_by_https_is_safe(endpoint: str) -> None:
    """It wins over the address for all services, which is then not called."""
    given = {
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": endpoint,
        "AWS_ENDPOINT_URL": "http://localstack:4566",
    }
    assert load_settings(POOL | given).cognito_endpoint_url == endpoint


@pytest.mark.parametrize(
    "given",
    [
        {},
        {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        },
    ],
    ids=["none", "ignored"],
)
def test_an_emulator_needs_an_endpoint(given: dict[str, str]) -> None:
    """Its users' passwords would go to AWS."""
    fault = fault_of(POOL | given | {"COGNITO_ENDPOINT_IS_EMULATOR": "true"})
    assert fault.startswith("COGNITO_ENDPOINT_IS_EMULATOR is set, but no endpoint")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///app?host=/var/run/postgresql",
        "postgresql://app:p%40ss@db.example.com:5433/app?sslmode=verify-full&sslrootcert=/rds.pem",
        "postgresql:///app?host=a:5432&host=b:5433&target_session_attrs=read-write",
        "postgresql://db.example.com/app?connect_timeout=3&keepalives_idle=30&application_name=a",
    ],
)
def test_what_libpq_takes_is_taken(url: str) -> None:
    """Nothing is connected to."""
    assert load_settings(POOL | {"DATABASE_URL": url}).sqlalchemy_url


# Numbers

BOUNDS = [
    ("RDS_PORT", ["1", "65535"], ["0", "65536", "-1", "5432.5"]),
    ("DB_POOL_SIZE", ["1", "1000"], ["0", "1001", "1.5"]),
    ("DB_MAX_OVERFLOW", ["0", "1000"], ["-1", "1001", "1.5"]),
    ("DB_POOL_TIMEOUT_SECONDS", ["0.1", "60"], ["0", "61", "nan"]),
    ("DB_POOL_RECYCLE_SECONDS", ["1", "86400"], ["0", "-1", "1.5"]),
    ("DB_CONNECT_TIMEOUT_SECONDS", ["2", "60"], ["1", "61", "2.5"]),
    ("DB_STATEMENT_TIMEOUT_SECONDS", ["0.1", "3600"], ["0", "3601", "nan"]),
    ("DB_LOCK_TIMEOUT_SECONDS", ["0.1", "3600"], ["0", "3601", "nan"]),
    ("COGNITO_CALLS_AT_ONCE", ["1", "1000"], ["0", "1001", "2.5"]),
    ("GUNICORN_THREADS", ["1", "1024"], ["0", "1025", "2.5"]),
    ("JWT_LEEWAY_SECONDS", ["0", "0.5", "300"], ["-1", "300.5", "nan", "inf"]),
    ("JWKS_REFRESH_SECONDS", ["1", "86400"], ["0", "-3600", "nan"]),
    ("JWKS_MAX_AGE_SECONDS", ["3600"], ["0", "3599", "nan"]),
    ("JWKS_COOLDOWN_SECONDS", ["1"], ["0", "0.5", "nan"]),
    ("JWKS_TIMEOUT_SECONDS", ["0.1", "60"], ["0", "-3", "61", "nan"]),
    ("TRUSTED_PROXY_HOPS", ["0", "10"], ["-1", "11", "1.5"]),
    ("TOKEN_CACHE_SIZE", ["0", "1"], ["-1", "1.5", "many"]),
    ("TOKEN_CACHE_BYTES", ["0", "1000000"], ["-1", "2.5"]),
    ("REVOCATION_POLL_SECONDS", ["0.1", "60"], ["0", "61", "nan"]),
    ("COGNITO_REFRESH_TOKEN_DAYS", ["1", "3650"], ["0", "3651", "1.5"]),
]
GOOD_NUMBERS = [(name, value) for name, good, _ in BOUNDS for value in good]
BAD_NUMBERS = [(name, value) for name, _, bad in BOUNDS for value in bad]


@pytest.mark.parametrize(("name", "value"), GOOD_NUMBERS)
def test_numbers_at_their_bounds(name: str, value: str) -> None:
    """The bounds themselves are allowed."""
    settings = load_settings(POOL | {name: value})
    assert getattr(settings, name.lower()) == float(value)


@pytest.mark.parametrize(("name", "value"), BAD_NUMBERS)
def test_numbers_out_of_bounds(name: str, value: str) -> None:
    """A number that makes no sense stops the start, not the service later."""
    assert name in fault_of(POOL | {name: value})


def test_every_number_has_a_bounds_test() -> None:
    """A new number brings its bounds."""
    numbers = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if field.annotation in {int, float}
    }
    assert numbers == {name for name, _, _ in BOUNDS}


# Documentation, and importing


def test_every_setting_is_documented() -> None:
    """docs/settings.md has exactly the settings there are."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    documented = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(documented) == len(set(documented))
    assert set(documented) == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize(
    "script",
    [
        "import sys, resource_server; print(sorted(m for m in sys.modules if 'flask' in m))",
        "from resource_server import create_app; print([] if callable(create_app) else 'no')",
    ],
    ids=["import resource_server", "from resource_server import create_app"],
)
def test_importing_needs_no_environment(script: str) -> None:
    """The package brings no Flask; create_app comes when asked for, and reads nothing yet."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
