"""What moto's Cognito lacks, put into its classes.

moto turns methods of `CognitoIdpResponse` into operations: that is the seam. `fill()` changes moto
for the whole process; it runs in development and tests alone. Each gap has a canary in
tests/test_moto_gaps.py, which fails once moto fills the gap itself.

- clocks.py          the time everything goes by, which tests move
- outboxes.py        codes that Cognito would have sent
- records.py         what is remembered beside moto
- directory.py       who is asked for, and who asks
- codes.py           codes that serve once and cannot be guessed
- tokens.py          tokens, refreshing, signing out
- signing_up.py  signing_in.py  sessions.py  mfa.py
- own_account.py     what users do to their account
- attributes.py      which there are, who may write them, and in what form
- devices.py         devices that a pool remembers
- administration.py  what administrators do
- error_texts.py     errors in AWS's words
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

from moto.cognitoidp import models, responses

from resource_server.emulator.gaps import (
    administration,
    devices,
    directory,
    error_texts,
    mfa,
    own_account,
    signing_in,
    signing_up,
    tokens,
)
from resource_server.emulator.gaps.clocks import clock
from resource_server.emulator.gaps.directory import find_pool, pools, user_status
from resource_server.emulator.gaps.outboxes import Outbox, SentCode, outbox
from resource_server.emulator.gaps.tokens import (
    issuer_of,
    keys_of,
    register_trigger,
    set_default_trigger,
    set_issuer,
    set_keys,
)
from resource_server.emulator.totp import totp_code

__all__ = [
    "Outbox",
    "SentCode",
    "clock",
    "fill",
    "find_pool",
    "issuer_of",
    "keys_of",
    "outbox",
    "pools",
    "register_trigger",
    "set_default_trigger",
    "set_issuer",
    "set_keys",
    "totp_code",
    "user_status",
]


_lock = threading.RLock()


def fill() -> None:
    """Fill the gaps; doing it twice changes nothing."""
    tokens.trust_nothing_but_own_keys()
    for owner, functions in _GAPS.items():
        for function in functions:
            setattr(owner, function.__name__, function)
    for name, operation in _MOTOS.items():
        setattr(responses.CognitoIdpResponse, name, error_texts.with_aws_texts(operation))


def _alone(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Let no two operations run at once: a code, session or refresh token serves one of them."""
    in_words = error_texts.with_aws_texts(operation)

    @functools.wraps(operation)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _lock:
            return in_words(*args, **kwargs)

    return run


_GAPS: dict[type, list[Callable[..., Any]]] = {
    models.CognitoIdpUserPool: [directory._get_user, tokens.sign_out],  # noqa: SLF001 - moto's name
    models.CognitoIdpUser: [mfa.to_json],
    models.CognitoIdpBackend: [error_texts._validate_password],  # noqa: SLF001 - moto's name
    responses.CognitoIdpResponse: [
        _alone(operation)
        for operation in (
            signing_up.sign_up,
            signing_up.confirm_sign_up,
            signing_up.resend_confirmation_code,
            signing_in.initiate_auth,
            signing_in.admin_initiate_auth,
            signing_in.respond_to_auth_challenge,
            signing_in.admin_respond_to_auth_challenge,
            tokens.get_tokens_from_refresh_token,
            tokens.revoke_token,
            tokens.global_sign_out,
            mfa.associate_software_token,
            mfa.verify_software_token,
            mfa.set_user_mfa_preference,
            mfa.admin_set_user_mfa_preference,
            own_account.get_user,
            own_account.delete_user,
            own_account.update_user_attributes,
            own_account.delete_user_attributes,
            own_account.get_user_attribute_verification_code,
            own_account.verify_user_attribute,
            own_account.change_password,
            own_account.forgot_password,
            own_account.confirm_forgot_password,
            devices.confirm_device,
            administration.admin_create_user,
            administration.admin_delete_user,
            administration.admin_disable_user,
            administration.admin_reset_user_password,
            administration.list_users,
            administration.update_user_pool,
            administration.set_user_pool_mfa_config,
            administration.update_user_pool_client,
            administration.add_user_pool_client_secret,
            administration.list_user_pool_client_secrets,
            administration.delete_user_pool_client_secret,
            administration.update_resource_server,
            administration.delete_resource_server,
            error_texts.admin_confirm_sign_up,
            error_texts.delete_user_pool,
        )
    ],
}

_OURS = {operation.__name__ for operation in _GAPS[responses.CognitoIdpResponse]}
# The operations that only moto has, whose errors are put into AWS's words as well.
_MOTOS: dict[str, Callable[..., Any]] = {
    name: operation
    for name, operation in vars(responses.CognitoIdpResponse).items()
    if callable(operation) and not name.startswith("_") and name not in _OURS
}
