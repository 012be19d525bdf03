"""What load balancers and proxies write about the client, and what is read of it."""

import pytest

from resource_server.forwarding import canonical_address, client_address, scheme

CLIENT = "203.0.113.7"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("203.0.113.7", CLIENT),
        (" 203.0.113.7 ", CLIENT),
        ("203.0.113.7:5678", CLIENT),  # Azure. An ALB with client_port preservation
        ('"203.0.113.7:47011"', CLIENT),  # RFC 7239 §6.2
        ("203.0.113.7:_port", CLIENT),  # RFC 7239 §6.2, an obfuscated port
        ("::ffff:203.0.113.7", CLIENT),
        ("::ffff:cb00:7107", CLIENT),
        ("[::ffff:203.0.113.7]:443", CLIENT),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),  # RFC 7239 §4
        ("2001:db8:0:0:0:0:0:1:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),  # RFC 4007 §11
        ("[fe80::1%25eth0]:80", "fe80::1"),  # RFC 6874
        ("unknown", None),  # RFC 7239 §6.2, Squid
        ("_hidden", None),  # RFC 7239 §6.3
        ("_hidden:80", None),
        ("", None),
        ('""', None),
        ("-", None),
        ("localhost", None),
        ("203.0.113", None),
        ("203.0.113.07", None),
        ("203.0.113.7:port", None),
        ("[2001:db8::1", None),
        ("unix:", None),  # nginx, of a client on a Unix socket
        ("203.0.113.7 evil", None),
    ],
)
def test_an_address_is_read_however_it_is_written(written: str, address: str | None) -> None:
    """In one form, without port, brackets, quotes and zone."""
    assert canonical_address(written) == address


FOR, RFC_7239 = "X-Forwarded-For", "Forwarded"


@pytest.mark.parametrize(
    ("header", "hops", "value", "address"),
    [
        (FOR, 1, "6.6.6.6, 203.0.113.7:99", CLIENT),
        (FOR, 1, "6.6.6.6,203.0.113.7", CLIENT),  # two lines, joined by the server
        (FOR, 2, "6.6.6.6, 203.0.113.7, 10.0.0.2", CLIENT),
        (FOR, 2, "203.0.113.7", None),
        (FOR, 1, "", None),
        # An empty member is a proxy's that wrote nothing: the others keep their places.
        (FOR, 2, "6.6.6.6, , 10.0.0.2", "10.0.0.2"),
        (FOR, 1, "6.6.6.6, ", None),
        (FOR, 2, "6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        (FOR, 2, "6.6.6.6, _a, _b", None),
        (RFC_7239, 1, "for=6.6.6.6, for=203.0.113.7;proto=https;by=10.0.0.1", CLIENT),
        (RFC_7239, 1, 'For="203.0.113.7:80"', CLIENT),
        (RFC_7239, 1, 'proto=https;for="[2001:db8::1]:443"', "2001:db8::1"),
        (RFC_7239, 1, "for=[2001:db8::1]:443", "2001:db8::1"),  # not quoted, as some write it
        (RFC_7239, 2, "for=6.6.6.6, for=203.0.113.7, for=10.0.0.2", CLIENT),
        (RFC_7239, 1, 'for="a, for=6.6.6.6";for=203.0.113.7', None),  # a comma in quotes
        (RFC_7239, 1, "for=unknown", None),
        (RFC_7239, 2, "for=_gazonk, for=10.0.0.2", "10.0.0.2"),
        (RFC_7239, 1, "by=203.0.113.7", None),
        (RFC_7239, 1, "", None),
    ],
)
def test_the_client_is_as_many_entries_from_the_end_as_there_are_proxies(
    header: str, hops: int, value: str, address: str | None
) -> None:
    """What a client wrote is in front of them. A proxy that does not say has the next one's."""
    environ = {f"HTTP_{header.upper().replace('-', '_')}": value}
    assert client_address(environ, header=header, hops=hops) == address


@pytest.mark.parametrize("header", [FOR, RFC_7239])
def test_the_other_header_is_the_clients(header: str) -> None:
    """A proxy that writes one of them passes the other on."""
    environ = {"HTTP_X_FORWARDED_FOR": "192.0.2.1", "HTTP_FORWARDED": "for=192.0.2.2;proto=https"}
    assert client_address(environ, header=header, hops=1) == (
        "192.0.2.1" if header == FOR else "192.0.2.2"
    )
    assert scheme(environ, header=header) == (None if header == FOR else "https")


@pytest.mark.parametrize(
    ("header", "value", "told"),
    [
        (FOR, "https", "https"),
        (FOR, "HTTPS", "https"),
        (FOR, "http, https", "https"),
        (FOR, "https,http", "http"),
        (FOR, "", None),
        (FOR, "javascript", None),
        (FOR, "https, ", None),
        (RFC_7239, "proto=https", "https"),
        (RFC_7239, 'for=a;Proto="HTTP"', "http"),
        (RFC_7239, "proto=https, for=a", None),
        (RFC_7239, "proto=wss", None),
    ],
)
def test_the_scheme_is_the_nearest_proxys(header: str, value: str, told: str | None) -> None:
    """One of two words."""
    name = "HTTP_X_FORWARDED_PROTO" if header == FOR else "HTTP_FORWARDED"
    assert scheme({name: value}, header=header) == told
