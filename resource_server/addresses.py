"""The address under which clients reach an API: stated, or read from the request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Any
from urllib.parse import quote, urlsplit

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(
    rf"(?P<name>{_LABEL}(?:\.{_LABEL})*\.?|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_LONGEST_NAME = 254  # RFC 1035 §2.3.4, with the dot of the root
_LAST_PORT = 65_535
_STANDARD_PORTS = {"http": "80", "https": "443"}
_NEED_NO_HOST = frozenset({"HTTP/0.9", "HTTP/1.0", "HTTP/1"})  # granian writes the last
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Only unreserved characters (RFC 3986 §2.3): none of them is ever encoded.
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


class InvalidHost(ValueError):
    """A request names no host where it must, or what it names is no host (RFC 9112 §3.2)."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host and its port, as a Host header names them. `port` is "" if it names none."""

    name: str
    port: str = ""

    @classmethod
    def parse(cls, text: str) -> "Host":
        """Read a Host header (RFC 9110 §7.2).

        Names are ASCII, an internationalized one in its encoded form (`xn--…`). They may hold
        underscores, which names of containers do. A percent sign, user information, a port that is
        no number from 1 to 65535: none of them is accepted.

        Raises InvalidHost.
        """
        found = _HOST.fullmatch(text)
        if found is None or len(found["name"]) > _LONGEST_NAME:
            raise InvalidHost
        port = found["port"] or ""
        if port and int(port) > _LAST_PORT:
            raise InvalidHost
        if found["ipv6"] is not None:
            try:
                IPv6Address(found["ipv6"])
            except AddressValueError:
                raise InvalidHost from None
        return cls(found["name"], port)

    @property
    def normalized_name(self) -> str:
        """The name in lower case, without the dot of the root, to compare it with others."""
        return self.name.lower().removesuffix(".")

    def origin(self, scheme: str) -> str:
        """Return `scheme://name:port`, without the scheme's standard port."""
        port = f":{self.port}" if self.port and self.port != _STANDARD_PORTS[scheme] else ""
        return f"{scheme}://{self.name}{port}"


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """Scheme, host and path that an API states of itself (`resource` of RFC 9728 §1.2)."""

    scheme: str
    host: Host
    path: str
    """Begins with a slash, or is empty."""

    @classmethod
    def parse(cls, text: str) -> "PublicAddress":
        """Read an address: https, or http on loopback, without query and fragment.

        Raises ValueError, saying what is wrong.
        """
        parts = urlsplit(text)
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("write it in ASCII, a host name in its encoded form (xn--…)")
        if "?" in text or "#" in text:
            raise ValueError("it has neither query nor fragment")
        try:
            host = Host.parse(parts.netloc)
        except InvalidHost:
            raise ValueError("it needs a host, and a port if it is not the standard one") from None
        scheme, path = parts.scheme.lower(), parts.path.removesuffix("/")
        if scheme != "https" and (scheme != "http" or host.normalized_name not in _LOOPBACK):
            raise ValueError("it must be https (RFC 9728 section 1.2), or http on loopback")
        if not is_path(path):
            raise ValueError("its path is made of letters, digits, `.`, `_`, `~` and `-`")
        return cls(scheme, Host(host.name.lower(), host.port), path)

    def __str__(self) -> str:
        """Return the address, without a slash at the end."""
        return self.host.origin(self.scheme) + self.path

    def well_known(self, path: str) -> str:
        """Return the address of metadata: `path` between host and path (RFC 9728 §3.1)."""
        return self.host.origin(self.scheme) + path + self.path


def is_path(text: str) -> bool:
    """Return whether a text is a plain path, or empty.

    It has no empty segment, so it does not begin with `//`, which would name another host.
    """
    segments = text.split("/")
    return _PATH.fullmatch(text) is not None and not {".", ".."}.intersection(segments)


def host_of(environ: Mapping[str, Any]) -> Host | None:
    """Return the host that a request names, or None for HTTP/1.0, which may name none.

    Of a request target in absolute form its host counts, not that of `Host` (RFC 9112 §3.2.2).

    Raises InvalidHost.
    """
    sent = environ.get("HTTP_HOST")
    if not sent:  # granian writes an empty one where there is none
        if environ.get("SERVER_PROTOCOL") not in _NEED_NO_HOST:
            raise InvalidHost
        return None
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or "/"
    if target[0] != "/" and "://" in target:
        try:
            sent = urlsplit(target).netloc
        except ValueError:
            raise InvalidHost from None
    return Host.parse(sent)


def address_of(environ: Mapping[str, Any]) -> str | None:
    """Return the address under which a request reached the app, or None if it has no valid host.

    It ends with the mount, SCRIPT_NAME, without a slash.
    """
    try:
        host = host_of(environ)
        if host is None:
            name = environ.get("SERVER_NAME", "")
            name = f"[{name}]" if ":" in name else name
            host = Host.parse(f"{name}:{environ.get('SERVER_PORT', '')}".removesuffix(":"))
    except InvalidHost:
        return None
    scheme = "https" if environ.get("wsgi.url_scheme") == "https" else "http"
    return host.origin(scheme) + mount_of(environ)


def mount_of(environ: Mapping[str, Any]) -> str:
    """Return the path below which an app is mounted, encoded, without a slash at the end."""
    mount = environ.get("SCRIPT_NAME", "").encode("latin-1", "replace").strip(b"/")
    return f"/{quote(mount)}" if mount else ""
