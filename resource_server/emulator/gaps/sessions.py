"""Sessions of a sign-in in steps: each serves one answer, and not for long (T20)."""

import secrets
from dataclasses import dataclass, field

from moto.cognitoidp.models import CognitoIdpUser, CognitoIdpUserPool, CognitoIdpUserPoolClient

from resource_server.emulator.gaps.clocks import clock
from resource_server.emulator.gaps.directory import not_authorized

_DEFAULT_MINUTES = 3  # AuthSessionValidity


@dataclass(frozen=True, slots=True)
class Session:
    """Who signs in where, and which answer is waited for."""

    pool: CognitoIdpUserPool
    client: CognitoIdpUserPoolClient
    user: CognitoIdpUser
    challenge: str
    expires_at: float
    code: str | None = field(default=None, repr=False)
    """The code that was sent, where one was."""
    is_set_up: bool = False
    """MFA_SETUP: whether the software token was verified."""


_open: dict[str, Session] = {}
_spent: dict[str, float] = {}
"""Sessions that were answered, and when they would have expired."""


def begin(
    pool: CognitoIdpUserPool,
    client: CognitoIdpUserPoolClient,
    user: CognitoIdpUser,
    challenge: str,
    *,
    code: str | None = None,
    is_set_up: bool = False,
) -> str:
    """Begin a session."""
    _forget_expired()
    minutes = client.extended_config.get("AuthSessionValidity") or _DEFAULT_MINUTES
    text = secrets.token_urlsafe(96)
    expires_at = clock.now() + 60 * minutes
    _open[text] = Session(pool, client, user, challenge, expires_at, code, is_set_up)
    return text


def look(text: str | None, challenge: str) -> Session:
    """Find a session that waits for the answer to a challenge.

    Raises NotAuthorizedException.
    """
    session = _open.get(text or "")
    if session is None:
        raise _invalid(text)
    if session.expires_at <= clock.now():
        raise not_authorized("Invalid session for the user, session is expired.")
    is_there = session.pool.users.get(session.user.username) is session.user
    if session.challenge != challenge or not is_there:
        raise not_authorized("Invalid session for the user.")
    return session


def spend(text: str) -> None:
    """Use up a session that `look` found."""
    _spent[text] = _open.pop(text).expires_at


def _invalid(text: str | None) -> Exception:
    if text in _spent:
        return not_authorized("Invalid session for the user, session can only be used once.")
    return not_authorized("Invalid session for the user.")


def _forget_expired() -> None:
    """Drop what expired a day ago: until then the refusal says what happened."""
    long_ago = clock.now() - 86400
    for text, session in list(_open.items()):
        if session.expires_at < long_ago:
            del _open[text]
    for text, expires_at in list(_spent.items()):
        if expires_at < long_ago:
            del _spent[text]
