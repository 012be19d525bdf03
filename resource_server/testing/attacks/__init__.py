"""Attack a protected route of any app: `assert_rejects_forgeries`.

It needs no pytest and no application of ours, only a test client.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from resource_server.testing.attacks.clients import Request, Route
from resource_server.testing.attacks.findings import needless, report, unchallenged
from resource_server.testing.attacks.run import Run
from resource_server.testing.attacks.transport import TRANSPORTS
from resource_server.testing.forgeries import FORGERIES, Draft, Fault, Severity
from resource_server.testing.pool import CognitoPool, current_pool
from resource_server.tokens.claims import SIGN_IN_SCOPE

__all__ = ["TRANSPORTS", "assert_rejects_forgeries"]


def assert_rejects_forgeries(
    client: object,
    method: str,
    path: str,
    *,
    pool: CognitoPool | None = None,
    scope: str | None = None,
    json: object = None,
    headers: Mapping[str, str] | None = None,
    strict: bool = False,
    challenges: bool = True,
    genuine: bool = True,
    allow: Mapping[str, str] | None = None,
    **claims: Any,
) -> int:
    """Put a protected route through every attack, and return how many there were.

    `client` is Flask's test client, Starlette's TestClient, or whatever has httpx's `request`;
    it must send no credentials of its own. `pool` is what the app trusts, by default the fixture
    `cognito_pool` of the running test. A genuine token must be let in first and last: any answer
    but 401, 403, 429 and 5xx will do.

    - `scope`: all that the route needs; None if any token will do, which leaves the attacks on
      scopes out
    - `json`, `headers`: what the route wants to be sent, lest it answer 422 before it looks at the
      token
    - `claims`: what `pool.access_token` takes, where a genuine token needs more: `groups`, `sub`, …
    - `strict`: also what a lenient app may take without harm, all of low severity
    - `challenges`: whether a 401 must carry `WWW-Authenticate: Bearer` (RFC 6750 §3)
    - `genuine`: False for a route on which a genuine token ends itself, such as a sign-out
    - `allow`: attacks of which it is known that they are not refused, each with the reason; one
      that is refused after all is a finding, too

    Raises AssertionError with all findings, the worst first; ValueError, LookupError or TypeError
    for arguments that make no sense.
    """
    __tracebackhide__ = True
    allowed = _checked(allow or {})
    pool = pool or current_pool()
    route = Route(client, method, path, json_body=json, headers=headers)
    token = pool.access_token(scope=SIGN_IN_SCOPE if scope is None else scope, **claims)
    draft = Draft.of(pool, token, needs_scope=scope is not None)
    run = Run(route, draft)
    if genuine:
        run.let_in_the_genuine("before the attacks")
    attacks = list(_attacks(draft, Severity.LOW if strict else Severity.MEDIUM))
    for fault, request in attacks:
        run.attack(fault, request)
    if genuine:
        run.let_in_the_genuine("after the attacks, though not before them")

    found = {finding.name for finding in run.findings}
    findings = [finding for finding in run.findings if finding.name not in allowed]
    sent_in_vain = {fault.name for fault, _ in attacks} & allowed - found
    findings += [needless(name) for name in sorted(sent_in_vain)]
    if challenges and run.unchallenged:
        findings.append(unchallenged(run.unchallenged))
    if findings:
        raise AssertionError(
            report(f"{route.method} {path}", len(attacks), findings)
        ) from run.error
    return len(attacks)


def _attacks(draft: Draft, least: Severity) -> Iterator[tuple[Fault, Request]]:
    """Make the attacks one by one."""
    for transport in TRANSPORTS.values():
        if transport.severity >= least:
            yield transport, transport.request(draft)
    for forgery in FORGERIES.values():
        if forgery.severity >= least and forgery.applies(draft):
            yield forgery, Request.bearing(forgery.write(draft))


def _checked(allow: Mapping[str, str]) -> set[str]:
    """Return the names of known exceptions.

    Raises LookupError for what is no attack, ValueError where no reason is given.
    """
    for name, reason in allow.items():
        if name not in FORGERIES and name not in TRANSPORTS:
            close = difflib.get_close_matches(name, [*FORGERIES, *TRANSPORTS], n=5, cutoff=0.4)
            raise LookupError(f"allow: no attack is called {name!r}; close are {', '.join(close)}")
        if not reason.strip():
            raise ValueError(f"allow: say why {name} is let in")
    return set(allow)
