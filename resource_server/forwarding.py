"""The client's address and the scheme of a request, as the proxies in front write them.

`X-Forwarded-For` has no standard. What load balancers write there is read: addresses with a port
(Azure, AWS with `client_port`), in brackets, in quotes, with a zone. `Forwarded` is RFC 7239.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.request import parse_http_list

X_FORWARDED_FOR, FORWARDED = "X-Forwarded-For", "Forwarded"
# RFC 7239 §4: a token or a quoted string. Proxies write IPv6 addresses without quotes, too.
_PAIR = re.compile(r'\s*([A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^;"]*)\s*(?:;|$)')
_BRACKETED = re.compile(r"\[([^\]]*)\](?::\w*)?")
_WITH_PORT = re.compile(r"(.+):(?:[0-9]{1,5}|_[A-Za-z0-9._-]+)")
_SCHEMES = {"http", "https"}


def canonical_address(text: str) -> str | None:
    """Return an IP address in its shortest form, without port and zone, or None if there is none.

    IPv4-mapped IPv6 is IPv4. `unknown` and obfuscated names (`_hidden`, RFC 7239 §6) are not.
    """
    text = text.strip().strip('"').strip()
    if found := _BRACKETED.fullmatch(text):
        return _ip(found[1])
    if address := _ip(text):
        return address
    with_port = _WITH_PORT.fullmatch(text)
    return _ip(with_port[1]) if with_port else None


def _ip(text: str) -> str | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def client_address(environ: Mapping[str, Any], *, header: str, hops: int) -> str | None:
    """Return the address that the outermost of our proxies saw, or None if it wrote none.

    Args:
        environ: The WSGI environ. Servers join the lines of a header by commas (RFC 9110 §5.3).
        header: `X-Forwarded-For` or `Forwarded`. The other one is not read.
        hops: How many proxies are ours. Each adds one entry, so the client's is that many from the
            end. What a client wrote itself is before it.
    """
    entries = list(_entries(environ, header))
    if len(entries) < hops:
        return None
    # Where a proxy does not say who it is called by, the next one knows who that proxy is.
    return next(filter(None, map(canonical_address, entries[-hops:])), None)


def scheme(environ: Mapping[str, Any], *, header: str) -> str | None:
    """Return the scheme that the nearest proxy was called by: http, https, or None if unknown."""
    if header == FORWARDED:
        elements = parse_http_list(environ.get("HTTP_FORWARDED", ""))
        scheme = _parameters(elements[-1]).get("proto", "") if elements else ""
    else:
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2]
    scheme = scheme.strip().lower()
    return scheme if scheme in _SCHEMES else None


def _entries(environ: Mapping[str, Any], header: str) -> Iterable[str]:
    if header == FORWARDED:
        for element in parse_http_list(environ.get("HTTP_FORWARDED", "")):
            yield _parameters(element).get("for", "")
    elif sent := environ.get("HTTP_X_FORWARDED_FOR", ""):
        yield from sent.split(",")


def _parameters(element: str) -> dict[str, str]:
    """Read one element of `Forwarded`. Names in any case, the first of a name counts."""
    found: dict[str, str] = {}
    for name, value in _PAIR.findall(element):
        unquoted = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        found.setdefault(name.lower(), unquoted.strip())
    return found
