"""One run of attacks on one route, and what comes of each."""

import re

from resource_server.testing.attacks.clients import Answer, Request, Route
from resource_server.testing.attacks.findings import (
    Finding,
    crashed,
    let_in,
    raised,
    wrong_status,
)
from resource_server.testing.forgeries import Draft, Fault

_BEARER = re.compile(r"(?:^|,)\s*bearer(?:\s|,|$)", re.IGNORECASE)
_REDIRECTION, _SERVER_ERROR = 300, 500
_ELSEWHERE = {301, 307, 308}
"""What frameworks answer when the path lacks its slash, before they ask who is there."""
_UNAUTHORIZED, _FORBIDDEN, _BAD_METHOD, _TOO_MANY = 401, 403, 405, 429


class Run:
    """Attacks a route and keeps what was found."""

    def __init__(self, route: Route, draft: Draft) -> None:
        self.findings: list[Finding] = []
        self.unchallenged: list[str] = []
        """The attacks whose 401 had no challenge."""
        self.error: Exception | None = None
        """The first that the client let through."""
        self._route = route
        self._draft = draft
        self._usual: int | None = None

    def let_in_the_genuine(self, when: str) -> None:
        """Send a genuine token.

        Raises AssertionError, with what to look at, if it is not let in.
        """
        __tracebackhide__ = True
        try:
            answer = self._route.send(Request.bearing(self._draft.genuine))
        except Exception as error:
            raise AssertionError(self._not_let_in(when, raised(error))) from error
        status = answer.status
        if status in {_UNAUTHORIZED, _FORBIDDEN, _BAD_METHOD, _TOO_MANY} or status >= _SERVER_ERROR:
            said = f" ({'; '.join(answer.challenges)})" if answer.challenges else ""
            raise AssertionError(self._not_let_in(when, f"answered {status}{said}"))
        if status in _ELSEWHERE:
            raise AssertionError(self._not_let_in(when, f"redirected to {answer.location}"))
        self._usual = status

    def attack(self, fault: Fault, request: Request) -> None:
        """Make an attack, and keep what is wrong with the answer."""
        try:
            answer = self._route.send(request)
        # Whatever class: the client hands over what the app does not catch itself.
        except Exception as error:  # noqa: BLE001
            self.error = self.error or error
            self.findings.append(crashed(fault, raised(error)))
            return
        if answer.status >= _SERVER_ERROR:
            self.findings.append(crashed(fault, f"answered {answer.status}"))
        elif answer.status < _REDIRECTION or answer.status == self._usual:
            self.findings.append(let_in(fault, answer.status))
        elif answer.status not in fault.statuses:
            self.findings.append(wrong_status(fault, answer.status))
        elif answer.status == _UNAUTHORIZED and not _has_challenge(answer):
            self.unchallenged.append(fault.name)

    def _not_let_in(self, when: str, happened: str) -> str:
        pool, scopes = self._draft.pool, " ".join(self._draft.scopes)
        return (
            f"{self._route.method} {self._route.path}: a genuine token was not let in {when}: "
            f"{happened}\n"
            "Is the route's method and path right, with `json` and `headers` as it wants them?\n"
            f"Does the app trust the pool {pool.pool_id}, so the issuer {pool.issuer}?\n"
            f"Does it trust the app client {pool.client_id}?\n"
            f"Does the route need another scope than {scopes!r}, or a group (groups=)?\n"
            f"Does the app get the pool's keys from {pool.jwks_uri}, and is pool.jwks() served "
            "there?"
        )


def _has_challenge(answer: Answer) -> bool:
    return any(_BEARER.search(challenge) for challenge in answer.challenges)
