"""Authorization codes and browser sessions. They are kept in memory: a restart ends them."""

import secrets
from dataclasses import dataclass, field

from flask import current_app

from resource_server.emulator.gaps import clock

CODE_SECONDS = 300.0  # Cognito guide, "The redirect and authorization endpoint"
SESSION_SECONDS = 3600.0  # Cognito guide, "managed login": the session cookie's hour


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """What an authorization code stands for, and who may exchange it."""

    pool_id: str
    client_id: str
    sub: str
    redirect_uri: str
    scopes: tuple[str, ...]
    auth_time: int
    nonce: str | None
    challenge: str | None
    """The S256 challenge of RFC 7636; None if the client sent none."""
    expires_at: float = field(default_factory=lambda: clock.now() + CODE_SECONDS)


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """Who has signed in with a browser, and when."""

    pool_id: str
    sub: str
    auth_time: int

    @property
    def expires_at(self) -> float:
        """When it ends, in seconds since 1970."""
        return self.auth_time + SESSION_SECONDS


class Grants:
    """Everything that waits to be used."""

    def __init__(self) -> None:
        self._codes: dict[str, CodeGrant] = {}
        self._sessions: dict[str, BrowserSession] = {}

    def issue(self, grant: CodeGrant) -> str:
        """Keep a grant and return its code."""
        self._forget_expired()
        code = secrets.token_urlsafe(32)
        self._codes[code] = grant
        return code

    def redeem(self, code: str) -> CodeGrant | None:
        """Use a code up: it serves one request, a wrong one too (RFC 6749 §10.5)."""
        grant = self._codes.pop(code, None)
        return grant if grant is not None and grant.expires_at > clock.now() else None

    def open_session(self, session: BrowserSession) -> str:
        """Keep a browser session and return what its cookie says."""
        self._forget_expired()
        text = secrets.token_urlsafe(32)
        self._sessions[text] = session
        return text

    def session(self, text: str | None, pool_id: str) -> BrowserSession | None:
        """Find a browser session that a pool began and that has not ended."""
        found = self._sessions.get(text or "")
        if found is None or found.pool_id != pool_id or found.expires_at <= clock.now():
            return None
        return found

    def close_session(self, text: str | None) -> None:
        """End a browser session."""
        self._sessions.pop(text or "", None)

    def _forget_expired(self) -> None:
        now = clock.now()
        self._codes = {k: v for k, v in self._codes.items() if v.expires_at > now}
        self._sessions = {k: v for k, v in self._sessions.items() if v.expires_at > now}


def grants() -> Grants:
    """Return those of the current app."""
    kept = current_app.extensions["grants"]
    assert isinstance(kept, Grants)  # noqa: S101 - create_app put it there
    return kept
