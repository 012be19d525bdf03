"""What is wrong with a pool for this service, in plain words, and how to mend it.

Nothing is changed. Whatever cannot be read becomes a finding of its own, and the rest is examined.
"""

import math
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from resource_server.identity.cognito import message_of, secret_hash
from resource_server.provisioning import plan
from resource_server.provisioning.aws import (
    DENIED,
    NOT_FOUND,
    Aws,
    code_of,
    explain,
    iam_action,
)
from resource_server.provisioning.state import (
    SCOPES_BY_CLIENT,
    SCOPES_BY_GROUP,
    Function,
    Target,
    function_name,
    grants_of,
    has_malformed_clients,
    read_client,
    read_function,
    read_groups,
    trigger_of,
)
from resource_server.tokens import KeySet, UserPool, fetch_jwks

T = TypeVar("T")
Level = Literal["error", "warning", "hint"]
LEVELS: tuple[Level, ...] = ("error", "warning", "hint")

_APPLY = "flask cognito apply"
_AGAIN = "mend that, then run flask cognito doctor again"
_NOT_BY_CLI = (
    "not with `aws cognito-idp update-user-pool`, which resets every setting that is left out"
)
_HOUR = 3600
_DAY = 24 * _HOUR
# Cognito's units of a token's life, in seconds.
_UNITS = {"seconds": 1, "minutes": 60, "hours": _HOUR, "days": _DAY}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: `check` is its short name, `mend` what to do, `flask` command or not."""

    level: Level
    check: str
    says: str
    mend: str


@dataclass(frozen=True, slots=True)
class Service:
    """What the service is set up for, to be compared with the pool.

    `public` is a client of boto3 for unsigned calls, `pools` those whose tokens are accepted,
    `leeway` the clock difference it allows, `jwks_timeout` in seconds as well,
    `writable_attributes` what users may set, `refresh_days` how many days an ended sign-in stays
    revoked (COGNITO_REFRESH_TOKEN_DAYS). `emulated` says that the endpoint of Cognito is an
    emulator.
    """

    target: Target
    public: Any
    pools: tuple[UserPool, ...]
    admin_group: str
    leeway: float
    jwks_timeout: float
    client_secret: str | None = field(default=None, repr=False)
    writable_attributes: tuple[str, ...] = ()
    refresh_days: int = 30
    emulated: bool = False


def examine(aws: Aws, service: Service) -> list[Finding]:
    """Look for every fault there is; errors come first. Raises nothing of AWS's."""
    found = list(_Examination(aws, service).findings())
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


class _Examination:
    """One look at a pool; `unread` gathers what could not be read."""

    def __init__(self, aws: Aws, service: Service) -> None:
        self.aws, self.service, self.target = aws, service, service.target
        self.unread: list[Finding] = []

    def findings(self) -> Iterator[Finding]:
        """Look at everything that can be read."""
        described = self._read("pool", self._describe_pool)
        client = groups = None
        # Without credentials, or without the pool, all further questions have the same answer.
        if not any(finding.level == "error" for finding in self.unread):
            client = self._read("client", lambda: read_client(self.aws, self.target))
            groups = self._read("groups", lambda: read_groups(self.aws, self.target))
        if described is not None:
            pool, ahead = described
            yield from self._clock(ahead)
            yield from self._pool(pool)
            yield from self._trigger(pool)
        if client is not None:
            yield from self._flows(client)
            yield from self._client(client)
        if groups is not None:
            yield from self._groups(groups)
        yield from self._secret(client)
        yield from self._keys()
        yield from self.unread

    def _read(self, check: str, read: Callable[[], T]) -> T | None:
        """Read something; if that fails, note why and go on."""
        try:
            return read()
        except ClientError as error:
            denied, missing = code_of(error) in DENIED, code_of(error) == NOT_FOUND
            action = iam_action(error.operation_name)
            if denied:
                says = f"Your credentials may not do {action}: the {check} was not checked."
                self.unread.append(
                    Finding(
                        "warning", f"{check}-unread", says, f"allow {action} to this user or role"
                    )
                )
            else:
                name = f"{check}-not-found" if missing else f"{check}-unread"
                mend = "set the right ids, region and credentials" if missing else _AGAIN
                self.unread.append(Finding("error", name, explain(error), mend))
        except BotoCoreError as error:
            self.unread.append(Finding("error", f"{check}-unread", explain(error), _AGAIN))
        return None

    def _describe_pool(self) -> tuple[dict[str, Any], float]:
        """Read the pool, and by how many seconds AWS's clock is ahead of ours."""
        before = time.time()
        answer = self.aws.cognito.describe_user_pool(UserPoolId=self.target.pool_id)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        middle = (before + time.time()) / 2
        ahead = parsedate_to_datetime(date).timestamp() - middle if date else 0.0
        return dict(answer["UserPool"]), ahead

    def _clock(self, ahead: float) -> Iterator[Finding]:
        # The header has whole seconds.
        if abs(ahead) > max(self.service.leeway, 2):
            late = "behind" if ahead > 0 else "ahead of"
            yield Finding(
                "warning",
                "clock",
                f"This machine's clock is {abs(ahead):.0f} s {late} AWS's, and "
                f"{self.service.leeway:g} s are allowed: good tokens may be refused, or expired "
                "ones accepted.",
                "synchronise the clock (timedatectl set-ntp true)",
            )

    def _pool(self, pool: Mapping[str, Any]) -> Iterator[Finding]:
        if "email" not in pool.get("AutoVerifiedAttributes", []):
            yield Finding(
                "warning",
                "email-verification",
                "The pool does not verify e-mail addresses: nobody who signs up gets a code.",
                f"console: Sign-up, Attribute verification, e-mail; {_NOT_BY_CLI}",
            )
        if pool.get("AdminCreateUserConfig", {}).get("AllowAdminCreateUserOnly"):
            yield Finding(
                "warning",
                "sign-up",
                "Only administrators may make accounts: POST /users/signup is refused.",
                f"console: Sign-up, Self-service sign-up; {_NOT_BY_CLI}",
            )
        yield from self._attributes(pool)
        yield from self._devices(pool)
        if pool.get("DeletionProtection") != "ACTIVE":
            yield Finding(
                "hint",
                "deletion-protection",
                "One call deletes the pool with every account in it.",
                f"console: Settings, Deletion protection; {_NOT_BY_CLI}",
            )

    def _attributes(self, pool: Mapping[str, Any]) -> Iterator[Finding]:
        required = [
            attribute["Name"]
            for attribute in pool.get("SchemaAttributes", [])
            if attribute.get("Required") and attribute["Name"] not in {"sub", "email"}
        ]
        closed = [name for name in required if name not in self.service.writable_attributes]
        if closed:
            yield Finding(
                "error",
                "required-attributes",
                f"The pool requires {', '.join(closed)}, which COGNITO_WRITABLE_ATTRIBUTES does "
                "not let users set. Cognito rejects every sign-up.",
                "add them to COGNITO_WRITABLE_ATTRIBUTES",
            )
        elif required:
            yield Finding(
                "hint",
                "required-attributes",
                f"The pool requires {', '.join(required)}: Cognito rejects a sign-up without them.",
                "let clients send them as attributes of POST /users/signup",
            )

    def _devices(self, pool: Mapping[str, Any]) -> Iterator[Finding]:
        """Say what DeviceConfiguration requires of clients. Any value in it turns it on."""
        devices = pool.get("DeviceConfiguration")
        if devices is None:
            return
        says = (
            "The pool remembers devices: a refresh token serves only with the device_key of its "
            "sign-in, and only after the device was confirmed."
        )
        if devices.get("DeviceOnlyRememberedOnUserPrompt"):
            says += " A device is remembered once its user agreed."
        yield Finding(
            "warning",
            "device-tracking",
            says,
            "let clients confirm the device of new_device_metadata (POST /users/me/devices) and "
            "send device_key, or turn it off in the console: Sign-in, Device tracking; "
            f"{_NOT_BY_CLI}",
        )

    def _trigger(self, pool: Mapping[str, Any]) -> Iterator[Finding]:
        """Look at the pool's side of the trigger, then at the function's."""
        trigger = trigger_of(pool)
        tier = ""
        if pool.get("UserPoolTier") == "LITE":
            tier = " The pool's tier LITE allows no other: choose ESSENTIALS in the console first."
        if trigger.arn is None:
            yield Finding(
                "error",
                "trigger-missing",
                "The pool has no Pre Token Generation trigger: tokens carry no scope, and every "
                f"guarded route answers 403.{tier}",
                f"{_APPLY} --role-arn <role of the function>",
            )
            return
        if trigger.version not in plan.VERSIONS:
            yield Finding(
                "error",
                "trigger-version",
                f"The trigger is configured as {trigger.version}, under which Cognito ignores "
                f"what it says of access tokens: they carry no scope.{tier}",
                _APPLY,
            )
        if self.aws.functions is None:
            yield Finding(
                "hint",
                "function-unread",
                "The trigger's function was not checked: the emulator has no Lambda.",
                "nothing to do here",
            )
            return
        name, functions = function_name(self.target, pool), self.aws.functions
        before = len(self.unread)
        function = self._read("function", lambda: read_function(functions, name))
        if function is not None:
            yield from self._function(function, pool["Arn"])
        elif len(self.unread) == before:
            yield Finding(
                "error",
                "function-missing",
                "The trigger's function does not exist: every sign-in fails.",
                f"{_APPLY} --role-arn <role of the function>",
            )

    def _function(self, function: Function, pool_arn: str) -> Iterator[Finding]:
        if not function.may_be_invoked_for(pool_arn):
            yield Finding(
                "error",
                "function-permission",
                "The function does not let Cognito invoke it for this pool: every sign-in fails.",
                _APPLY,
            )
        if not function.has_our_code:
            yield Finding(
                "warning",
                "function-code",
                "The function's code is not the resource_server/triggers/pre_token_generation.py "
                "that is installed here.",
                f"{_APPLY} (it writes over the function's code)",
            )
        elif not function.is_ours:
            yield Finding(
                "error",
                "function-handler",
                "The function's handler is not where its code is: every sign-in fails.",
                f"{_APPLY} --function {function.configuration['FunctionName']}",
            )
        if has_malformed_clients(function.variables):
            yield Finding(
                "error",
                "client-scopes-malformed",
                f"{SCOPES_BY_CLIENT} in the function's environment is malformed: under V3_0 no "
                "app client gets a token of its own.",
                'set it to an object of text, {"<id of the app client>": "<scopes>"}, or delete it',
            )
        try:
            mapping = grants_of(function.variables)
        except ValueError:
            yield Finding(
                "error",
                "scopes-malformed",
                f"{SCOPES_BY_GROUP} in the function's environment is malformed: sign-ins fail.",
                f"{_APPLY} --grant '*={' '.join(self.target.scopes)}' (or other groups)",
            )
            return
        if never := self.target.never_given(mapping):
            grants = " ".join(f"--grant '*={scope}'" for scope in never)
            yield Finding(
                "error",
                "scopes-not-given",
                f"Routes demand scopes that the trigger gives to nobody: {', '.join(never)}.",
                f"{_APPLY} {grants} (or a group instead of *)",
            )

    def _flows(self, client: Mapping[str, Any]) -> Iterator[Finding]:
        flows = plan.flows_of(client)
        if plan.PASSWORD_FLOW not in flows:
            yield _PASSWORD_FLOW_OFF
        if plan.rotates(client) and plan.REFRESH_FLOW in flows:
            yield Finding(
                "error",
                "refresh-flow",
                "The app client rotates refresh tokens and allows ALLOW_REFRESH_TOKEN_AUTH, which "
                "exclude each other.",
                _APPLY,
            )
        elif not plan.rotates(client) and plan.REFRESH_FLOW not in flows:
            yield Finding(
                "error",
                "refresh-flow",
                "The app client does not allow ALLOW_REFRESH_TOKEN_AUTH: nobody's sign-in outlives "
                "the first access token.",
                _APPLY,
            )

    def _client(self, client: Mapping[str, Any]) -> Iterator[Finding]:
        if client.get("PreventUserExistenceErrors") != "ENABLED":
            yield Finding(
                "warning",
                "user-existence",
                "PreventUserExistenceErrors is LEGACY: Cognito tells strangers who has an account.",
                _APPLY,
            )
        if not client.get("EnableTokenRevocation"):
            yield Finding(
                "error",
                "token-revocation",
                "Token revocation is off: refresh tokens cannot be revoked, and tokens carry no "
                "origin_jti, by which a sign-out denies one session.",
                _APPLY,
            )
        access = _seconds(client, "AccessToken", "hours", default=_HOUR)
        refresh = _seconds(client, "RefreshToken", "days", default=30 * _DAY)
        if access > _HOUR:
            yield Finding(
                "warning",
                "access-lifetime",
                f"Access tokens live {access / _HOUR:g} h. Revoked ones verify until they expire: "
                "the deny list keeps each sign-out that long, and is all that refuses them; a "
                "service without it accepts them.",
                "console: App clients, Access token expiration: 1 hour or less",
            )
        if refresh < access:
            yield Finding(
                "warning",
                "refresh-lifetime",
                "Refresh tokens expire before access tokens do: they are of no use.",
                "console: App clients, Refresh token expiration",
            )
        days = math.ceil(refresh / _DAY)
        if days > self.service.refresh_days:
            yield Finding(
                "warning",
                "revocation-lifetime",
                f"Refresh tokens live {days} days, and COGNITO_REFRESH_TOKEN_DAYS is "
                f"{self.service.refresh_days}: a sign-in that ended is no longer revoked while its "
                "tokens can be renewed.",
                f"set COGNITO_REFRESH_TOKEN_DAYS={days}",
            )

    def _groups(self, groups: Mapping[str, object]) -> Iterator[Finding]:
        for name, user in self.target.groups.items():
            if name in groups:
                continue
            is_admin = name == self.service.admin_group
            says = "nobody can administrate users" if is_admin else "nobody can use those routes"
            yield Finding(
                "warning",
                "admin-group" if is_admin else "group",
                f"The pool has no group {name}, which {user} names: {says}.",
                _APPLY,
            )

    def _secret(self, client: Mapping[str, Any] | None) -> Iterator[Finding]:
        """Compare the client secret with the app client's, by a sign-in that cannot succeed.

        DescribeUserPoolClient tells one secret where a client may have two.
        """
        secret = self.service.client_secret
        if client is not None and (secret is None) != ("ClientSecret" not in client):
            yield _SECRET_UNNEEDED if secret is not None else _SECRET_MISSING
            return
        # Where the pool or the client is known not to be there, this would say it again.
        if any(finding.check.endswith("-not-found") for finding in self.unread):
            return
        try:
            _sign_nobody_in(self.service)
        except ClientError as error:
            yield from _read_refusal(error, secret is not None, client_known=client is not None)
        except BotoCoreError as error:
            if not self.unread:
                yield Finding("error", "sign-in", explain(error), _AGAIN)

    def _keys(self) -> Iterator[Finding]:
        for pool in self.service.pools:
            try:
                document = fetch_jwks(
                    pool.jwks_uri, self.service.jwks_timeout, allow_http=self.service.emulated
                )
                KeySet.parse(document)
            except OSError:
                says = f"The keys at {pool.jwks_uri} cannot be reached: every request answers 503."
                mend = f"curl {pool.jwks_uri} from here; allow HTTPS out, or set COGNITO_JWKS_URI"
            except ValueError:
                says = (
                    f"There are no usable RS256 keys at {pool.jwks_uri}: every request answers 503."
                )
                mend = f"curl {pool.jwks_uri}; check AWS_USER_POOL_ID and COGNITO_JWKS_URI"
            else:
                continue
            yield Finding("error", "keys", says, mend)


_PASSWORD_FLOW_OFF = Finding(
    "error",
    "password-flow",
    "The app client does not allow ALLOW_USER_PASSWORD_AUTH: nobody can sign in here.",
    _APPLY,
)
_SECRET_MISSING = Finding(
    "error",
    "secret-missing",
    "The app client has a secret, and AWS_COGNITO_APP_CLIENT_SECRET is not set: Cognito refuses "
    "every sign-in.",
    "set AWS_COGNITO_APP_CLIENT_SECRET; `aws cognito-idp describe-user-pool-client` tells it",
)
_SECRET_UNNEEDED = Finding(
    "error",
    "secret-unneeded",
    "AWS_COGNITO_APP_CLIENT_SECRET is set, and the app client has no secret: Cognito refuses "
    "every sign-in.",
    "unset AWS_COGNITO_APP_CLIENT_SECRET",
)
_SECRET_WRONG = Finding(
    "error",
    "secret-wrong",
    "AWS_COGNITO_APP_CLIENT_SECRET is not the app client's secret: Cognito refuses every sign-in.",
    "set it anew; `aws cognito-idp describe-user-pool-client` tells it",
)


def _sign_nobody_in(service: Service) -> None:
    """Try to sign in a user whom nobody has, which raises ClientError."""
    client_id, username = service.target.client_id, f"doctor-{uuid.uuid4()}"
    parameters = {"USERNAME": username, "PASSWORD": f"Aa1!{secrets.token_urlsafe(24)}"}
    if service.client_secret is not None:
        hashed = secret_hash(username, client_id, service.client_secret)
        parameters["SECRET_HASH"] = hashed
    service.public.initiate_auth(
        ClientId=client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=parameters
    )


def _read_refusal(error: ClientError, has_secret: bool, *, client_known: bool) -> Iterator[Finding]:
    """Tell what a refused sign-in says of the client; an unknown user is what was asked for."""
    code, message = code_of(error), message_of(error)
    if code == "NotAuthorizedException" and message.startswith("Unable to verify secret hash"):
        yield _SECRET_WRONG
    elif code == "NotAuthorizedException" and message.startswith("Client "):
        yield _SECRET_UNNEEDED if has_secret else _SECRET_MISSING
    elif client_known:
        return
    elif code == NOT_FOUND:
        yield Finding(
            "error",
            "client-not-found",
            "There is no such app client in the pool.",
            "set AWS_COGNITO_APP_CLIENT_ID and AWS_USER_POOL_ID to those of one pool",
        )
    elif code == "InvalidParameterException" and "flow not enabled" in message:
        yield _PASSWORD_FLOW_OFF


def _seconds(client: Mapping[str, Any], token: str, unit: str, *, default: int) -> float:
    """Return the life of a kind of token; Cognito leaves out what was never set, or says 0."""
    value = client.get(f"{token}Validity") or 0
    named = client.get("TokenValidityUnits", {}).get(token, unit)
    return float(value * _UNITS[named]) or default
