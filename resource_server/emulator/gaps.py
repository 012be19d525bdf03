"""What moto's Cognito lacks, put into its classes.

moto turns methods of `CognitoIdpResponse` into operations, and makes tokens in
`CognitoIdpUserPool`: these are the seams. `fill()` changes moto for the whole process; it runs in
development and tests alone. Each gap has a canary in tests/test_moto_gaps.py, which fails once
moto fills the gap itself.
"""

import hmac
import json
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from moto.cognitoidp import models, responses, urls
from moto.cognitoidp.exceptions import (
    CodeMismatchException,
    ExpiredCodeException,
    InvalidParameterException,
    NotAuthorizedError,
    ResourceNotFoundError,
    UserNotFoundError,
)
from moto.cognitoidp.models import (
    CognitoIdpUser,
    CognitoIdpUserPool,
    UserStatus,
    cognitoidp_backends,
)
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.cognitoidp.utils import check_secret_hash, flatten_attrs
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, EmptyResult

from resource_server.emulator import trigger
from resource_server.emulator.keys import PoolKeys, TokenUse
from resource_server.tokens.parsing import unverified_claims

_TOKEN_SECONDS = 3600
_SIGN_IN = "TokenGeneration_Authentication"
_trigger_source = ContextVar("trigger_source", default=_SIGN_IN)


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code that Cognito would have sent by e-mail or SMS."""

    pool_id: str
    username: str
    destination: str
    code: str = field(repr=False)


class Outbox:
    """Codes that were sent, newest last, and who wants to hear of them."""

    def __init__(self) -> None:
        self.sent: deque[SentCode] = deque(maxlen=1000)
        self.listeners: list[Callable[[SentCode], None]] = []

    def send(self, code: SentCode) -> None:
        """Keep a code and tell the listeners."""
        self.sent.append(code)
        for listener in self.listeners:
            listener(code)

    def last_code(self, username: str) -> str:
        """Return the newest code sent to a user.

        Raises LookupError if there is none.
        """
        for sent in reversed(self.sent):
            if sent.username == username:
                return sent.code
        raise LookupError(f"no code was sent to {username}")


outbox = Outbox()
_triggers: dict[str, trigger.Handler] = {}


def register_trigger(arn: str, handler: trigger.Handler) -> None:
    """Let a pool's `PreTokenGenerationConfig.LambdaArn` stand for a Python function."""
    _triggers[arn] = handler


def keys_of(pool: CognitoIdpUserPool) -> PoolKeys:
    """Return the pool's own keys; they are made when first needed."""
    keys = getattr(pool, "emulator_keys", None)
    if not isinstance(keys, PoolKeys):
        keys = PoolKeys.generate()
        set_keys(pool, keys)
    return keys


def set_keys(pool: CognitoIdpUserPool, keys: PoolKeys) -> None:
    """Give a pool its keys."""
    pool.emulator_keys = keys  # type: ignore[attr-defined]


def pools() -> Iterator[CognitoIdpUserPool]:
    """Every pool there is. Public operations are unsigned and so tell no region."""
    for regions in cognitoidp_backends.values():
        for backend in regions.values():
            yield from backend.user_pools.values()


def user_status(user: CognitoIdpUser) -> str:
    """Return a user's status as text; moto keeps an enum there."""
    return UserStatus(user.status).value


def fill() -> None:
    """Fill the gaps; doing it twice changes nothing."""
    _trust_nothing_but_own_keys()
    for owner, functions in _GAPS.items():
        for function in functions:
            setattr(owner, function.__name__, function)


# Tokens


def create_jwt(  # noqa: PLR0917 - moto's signature
    self: CognitoIdpUserPool,
    client_id: str,
    username: str,
    token_use: TokenUse,
    expires_in: int = _TOKEN_SECONDS,
    extra_data: dict[str, Any] | None = None,
) -> tuple[str, int]:
    """Sign with the pool's own key; moto has one for all pools, and writes `typ: JWT`."""
    user, now = self._get_user(username), int(time.time())
    is_access = token_use == "access"  # noqa: S105 - no password
    claims = {
        "sub": user.id,
        "iss": f"https://cognito-idp.{self.region}.amazonaws.com/{self.id}",
        "client_id" if is_access else "aud": client_id,
        "event_id": str(uuid.uuid4()),
        "token_use": token_use,
        "auth_time": now,
        "exp": now + expires_in,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "username" if is_access else "cognito:username": user.username,
    }
    return keys_of(self).sign(token_use, claims | (extra_data or {})), expires_in


def create_access_token(
    self: CognitoIdpUserPool, client_id: str, username: str, origin_jti: str
) -> tuple[str, int]:
    """Run the trigger and put its scopes into the token; moto stores triggers, never runs them."""
    user = self._get_user(username)
    result = _run_trigger(self, client_id, user)
    # Cognito runs the trigger once for both tokens of a sign-in.
    self.emulator_id_changes = {origin_jti: result}  # type: ignore[attr-defined]
    claims = {"origin_jti": origin_jti, "version": 2} | _groups(user, result)
    changed = result.access.claims(claims)
    changed["scope"] = " ".join(result.access.scopes([trigger.SIGN_IN_SCOPE]))
    token, expires_in = self.create_jwt(client_id, username, "access", extra_data=changed)
    self.access_tokens[token] = (client_id, username)
    return token, expires_in


def create_id_token(
    self: CognitoIdpUserPool, client_id: str, username: str, origin_jti: str
) -> tuple[str, int]:
    """Apply the trigger's changes to the ID token, which moto does not."""
    user = self._get_user(username)
    results = getattr(self, "emulator_id_changes", {})
    result = results.pop(origin_jti, trigger.TriggerResult())
    attributes = {k: v for k, v in flatten_attrs(user.attributes).items() if k != "sub"}
    claims = {"origin_jti": origin_jti} | attributes | _groups(user, result)
    token, expires_in = self.create_jwt(
        client_id, username, "id", extra_data=result.id.claims(claims)
    )
    self.id_tokens[token] = (client_id, username)
    return token, expires_in


def _groups(user: CognitoIdpUser, result: trigger.TriggerResult) -> dict[str, list[str]]:
    groups = sorted(group.group_name for group in user.groups)
    if result.groups is not None:
        groups = list(result.groups)
    return {"cognito:groups": groups} if groups else {}


def _run_trigger(
    pool: CognitoIdpUserPool, client_id: str, user: CognitoIdpUser
) -> trigger.TriggerResult:
    """Run the pool's trigger, if it is configured as V2; an answer under V1 changes no scope."""
    config = (pool.extended_config.get("LambdaConfig") or {}).get("PreTokenGenerationConfig") or {}
    if config.get("LambdaVersion") not in {"V2_0", "V3_0"}:
        return trigger.TriggerResult()
    handler = _triggers.get(config["LambdaArn"])
    if handler is None:
        raise JsonRESTError("UnexpectedLambdaException", f"no such function: {config['LambdaArn']}")
    event = trigger.event(
        region=pool.region,
        pool_id=pool.id,
        client_id=client_id,
        username=user.username,
        attributes={**flatten_attrs(user.attributes), "cognito:user_status": user_status(user)},
        groups=sorted(group.group_name for group in user.groups),
        source=_trigger_source.get(),
    )
    try:
        return trigger.run(handler, event)
    except trigger.InvalidTriggerAnswer as error:
        raise JsonRESTError("InvalidLambdaResponseException", str(error)) from error
    except Exception as error:
        message = f"PreTokenGeneration failed with error {error}."
        raise JsonRESTError("UserLambdaValidationException", message) from error


def _trust_nothing_but_own_keys() -> None:
    """Serve each pool's own JWKS, where moto serves one static key for all."""
    for pattern in urls.url_paths:
        if "jwks.json" in pattern:
            urls.url_paths[pattern] = _serve_jwks


def _serve_jwks(
    _request: object, full_url: str, _headers: object
) -> tuple[int, dict[str, str], str]:
    pool_id = urlsplit(full_url).path.split("/")[1]
    for pool in pools():
        if pool.id == pool_id:
            return 200, {"Content-Type": "application/json"}, json.dumps(keys_of(pool).jwks())
    return 404, {"Content-Type": "application/json"}, '{"message": "User pool does not exist."}'


# Operations


def sign_up(self: CognitoIdpResponse) -> ActionResult:
    """Check SECRET_HASH and send a real code; moto does neither."""
    pool = _pool_of(self, self._get_param("SecretHash"), self._get_param("Username"))
    result = _MOTO_SIGN_UP(self)
    user = pool._get_user(self._get_param("Username"))  # noqa: SLF001 - moto has no other way
    if delivery := _send_code(pool, user):
        return ActionResult(
            cast("dict[str, Any]", result.result) | {"CodeDeliveryDetails": delivery}
        )
    return result


def confirm_sign_up(self: CognitoIdpResponse) -> ActionResult:
    """Check SECRET_HASH and the code, which serves once; moto takes any code, any time."""
    pool = _pool_of(self, self._get_param("SecretHash"), self._get_param("Username"))
    user = _existing_user(pool, self._get_param("Username"))
    if user.status != UserStatus.UNCONFIRMED:
        raise NotAuthorizedError(f"User cannot be confirmed. Current status is {user_status(user)}")
    if user.confirmation_code is None:
        raise ExpiredCodeException("Invalid code provided, please request a code again.")
    if not hmac.compare_digest(
        user.confirmation_code.encode(), self._get_param("ConfirmationCode").encode()
    ):
        raise CodeMismatchException("Invalid verification code provided, please try again.")
    user.confirmation_code = None
    user.status = UserStatus.CONFIRMED
    user.update_attributes([{"Name": "email_verified", "Value": "true"}])
    return EmptyResult()


def resend_confirmation_code(self: CognitoIdpResponse) -> ActionResult:
    """Send a new code; moto lacks the operation."""
    pool = _pool_of(self, self._get_param("SecretHash"), self._get_param("Username"))
    user = _existing_user(pool, self._get_param("Username"))
    if user.status != UserStatus.UNCONFIRMED:
        raise InvalidParameterException("User is already confirmed.")
    return ActionResult({"CodeDeliveryDetails": _send_code(pool, user)})


def initiate_auth(self: CognitoIdpResponse) -> ActionResult:
    """Check SECRET_HASH at sign-in, which moto does for other flows alone, and tell refreshes."""
    flow = self._get_param("AuthFlow")
    if flow == "USER_PASSWORD_AUTH":
        parameters = self._get_param("AuthParameters")
        _pool_of(self, parameters.get("SECRET_HASH"), parameters.get("USERNAME", ""))
    refreshes = flow in {"REFRESH_TOKEN", "REFRESH_TOKEN_AUTH"}
    source = "TokenGeneration_RefreshTokens" if refreshes else _SIGN_IN
    before = _trigger_source.set(source)
    try:
        return _MOTO_INITIATE_AUTH(self)
    finally:
        _trigger_source.reset(before)


def global_sign_out(self: CognitoIdpResponse) -> ActionResult:
    """Find the token in any region, where moto looks only where the request's address points.

    A user who has the name of a deleted one is not signed out by a token of that one's.
    """
    token = self._get_param("AccessToken")
    for pool in pools():
        if token in pool.access_tokens:
            username = pool.access_tokens[token][1]
            user: CognitoIdpUser | None = pool._get_user(username)  # noqa: SLF001 - as above
            if user is not None and user.id == unverified_claims(token)["sub"]:
                pool.sign_out(username)
                return EmptyResult()
    raise NotAuthorizedError("Access Token has been revoked")


def _pool_of(
    call: CognitoIdpResponse, secret_hash: str | None, username: str
) -> CognitoIdpUserPool:
    """Find the pool of a public operation's app client and check the SECRET_HASH sent with it."""
    client_id = call._get_param("ClientId")  # noqa: SLF001 - how moto's own operations read
    for pool in pools():
        client = pool.clients.get(client_id)
        if client is None:
            continue
        if client.generate_secret:
            if secret_hash is None:
                raise NotAuthorizedError(
                    f"Client {client_id} is configured with secret but SECRET_HASH was not received"
                )
            if not check_secret_hash(client.secret, client.id, username, secret_hash):
                raise NotAuthorizedError(f"Unable to verify secret hash for client {client_id}")
        return pool
    raise ResourceNotFoundError(f"User pool client {client_id} does not exist.")


def _existing_user(pool: CognitoIdpUserPool, username: str) -> CognitoIdpUser:
    user: CognitoIdpUser | None = pool._get_user(username)  # noqa: SLF001 - moto has no other way
    if user is None:
        raise UserNotFoundError("Username/client id combination not found.")
    return user


def _send_code(pool: CognitoIdpUserPool, user: CognitoIdpUser) -> dict[str, str] | None:
    """Send a code where the pool verifies e-mail addresses; without that Cognito sends none."""
    email = user.attribute_lookup.get("email")
    if not email or "email" not in (pool.extended_config.get("AutoVerifiedAttributes") or []):
        return None
    user.confirmation_code = f"{secrets.randbelow(10**6):06}"
    name, _, domain = email.partition("@")
    destination = f"{name[:1]}***@{domain[:1]}***"
    outbox.send(SentCode(pool.id, user.username, destination, user.confirmation_code))
    return {"Destination": destination, "DeliveryMedium": "EMAIL", "AttributeName": "email"}


_MOTO_SIGN_UP = responses.CognitoIdpResponse.sign_up
_MOTO_INITIATE_AUTH = responses.CognitoIdpResponse.initiate_auth

_GAPS: dict[type, list[Callable[..., Any]]] = {
    models.CognitoIdpUserPool: [create_jwt, create_access_token, create_id_token],
    responses.CognitoIdpResponse: [
        sign_up,
        confirm_sign_up,
        resend_confirmation_code,
        initiate_auth,
        global_sign_out,
    ],
}
