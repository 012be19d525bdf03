"""Requests that present no token, or a genuine one where none belongs."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlencode

from resource_server.testing.attacks.clients import Request
from resource_server.testing.forgeries import Draft, Fault, Severity
from resource_server.testing.forgeries.forgery import MALFORMED

_OPEN = (
    "The route needs no token, or knows its caller by something else, such as a cookie that an "
    "earlier answer set."
)
_NO_CREDENTIALS = "RFC 6750 section 3"
_HEADER = "RFC 6750 section 2.1"
_SCHEME = "It takes a token whatever the scheme is, or without one."
_ELSEWHERE = "It looks for tokens in places where they are easily leaked or forged."
# What is not looked at may still be judged: a body of the wrong type, say.
_ELSEWHERE_REFUSED = frozenset({400, 401, 403, 415, 422})


@dataclass(frozen=True, slots=True)
class Transport(Fault):
    """A request that must be refused, made with or without a genuine token."""

    request: Callable[[Draft], Request]
    statuses: frozenset[int] = field(default=MALFORMED, kw_only=True)


def _header(name: str, severity: Severity, flaw: str, value: Callable[[Draft], str]) -> Transport:
    return Transport(
        name, severity, flaw, _HEADER, lambda d: Request([("Authorization", value(d))])
    )


def _basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


_ALL = [
    Transport("no-header", Severity.CRITICAL, _OPEN, _NO_CREDENTIALS, lambda _: Request()),
    _header("header-value-empty", Severity.CRITICAL, _OPEN, lambda _: ""),
    _header("bearer-alone", Severity.CRITICAL, _OPEN, lambda _: "Bearer"),
    _header("bearer-null", Severity.CRITICAL, _OPEN, lambda _: "Bearer null"),
    _header("bearer-undefined", Severity.CRITICAL, _OPEN, lambda _: "Bearer undefined"),
    _header("basic-credentials", Severity.CRITICAL, _OPEN, lambda _: _basic("admin:admin")),
    _header("basic-empty", Severity.CRITICAL, _OPEN, lambda _: "Basic"),
    _header("unknown-scheme", Severity.CRITICAL, _OPEN, lambda _: "Unknown credentials"),
    Transport(
        "token-in-query",
        Severity.MEDIUM,
        "It takes tokens out of addresses, which end in logs, histories and Referer headers.",
        "RFC 9700 section 4.3.2; RFC 6750 section 5.3",
        lambda d: Request(query=urlencode({"access_token": d.genuine})),
        statuses=_ELSEWHERE_REFUSED,
    ),
    Transport(
        "token-in-form",
        Severity.LOW,
        _ELSEWHERE,
        "RFC 6750 section 2.2",
        lambda d: Request(form=urlencode({"access_token": d.genuine})),
        statuses=_ELSEWHERE_REFUSED,
    ),
    Transport(
        "token-in-cookie",
        Severity.LOW,
        "It takes tokens out of cookies, which browsers send on behalf of any site.",
        "RFC 6750 section 5.3",
        lambda d: Request(cookies=dict.fromkeys(("access_token", "token"), d.genuine)),
    ),
    Transport(
        "token-in-other-headers",
        Severity.LOW,
        _ELSEWHERE,
        _HEADER,
        lambda d: Request(
            [
                (name, f"Bearer {d.genuine}")
                for name in ("X-Authorization", "X-Access-Token", "Proxy-Authorization")
            ]
        ),
    ),
    _header("scheme-missing", Severity.LOW, _SCHEME, lambda d: d.genuine),
    _header("scheme-glued", Severity.LOW, _SCHEME, lambda d: f"Bearer{d.genuine}"),
    _header("scheme-basic", Severity.LOW, _SCHEME, lambda d: f"Basic {d.genuine}"),
    _header("scheme-with-colon", Severity.LOW, _SCHEME, lambda d: f"Bearer: {d.genuine}"),
    _header(
        "two-tokens",
        Severity.LOW,
        "It picks one of two tokens, and a proxy before it the other.",
        lambda d: f"Bearer {d.genuine} {d.genuine}",
    ),
    Transport(
        "two-headers",
        Severity.LOW,
        "It picks one of two Authorization headers, and a proxy before it the other.",
        "RFC 9110 section 5.3; RFC 6750 section 3.1",
        lambda d: Request([("Authorization", f"Bearer {d.genuine}")] * 2),
    ),
]

TRANSPORTS: Mapping[str, Transport] = MappingProxyType({attack.name: attack for attack in _ALL})
