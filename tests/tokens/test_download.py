"""`fetch_jwks` against real sockets: what it sends, whom it trusts, and that it ends in time."""

import gzip
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import responses
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from resource_server.tokens import KeyStore, KeysUnavailable
from resource_server.tokens.keys import fetch_jwks
from tests.tokens.doubles import URI

TIMEOUT = 0.3
HEADERS = b"HTTP/1.1 200 OK\r\nX-Filler: "
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
BODY_WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\n\r\n"
KEYS = b'{"keys":[]}'

Serve = Callable[[bytes], str]


@pytest.fixture
def drip() -> Iterator[Serve]:
    """Start servers that send something at once, and then a byte every 20 ms, for ever."""
    stop = threading.Event()
    threads = []

    def talk(listener: socket.socket, begin: bytes) -> None:
        with listener, suppress(OSError):
            while not stop.is_set():
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(begin)
                    while not stop.wait(0.02):
                        connection.sendall(b"\x16" if not begin else b"1")

    def serve(begin: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(10)
        threads.append(threading.Thread(target=talk, args=(listener, begin), daemon=True))
        threads[-1].start()
        scheme = "http" if begin else "https"
        return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/jwks.json"

    yield serve
    stop.set()


@pytest.mark.parametrize(
    "begin",
    [HEADERS, BODY, BODY_WITHOUT_LENGTH, b""],
    ids=["headers", "body", "body without length", "TLS handshake"],
)
def test_a_download_ends_at_its_deadline(drip: Serve, begin: bytes) -> None:
    """Whichever part a server sends byte by byte, the download fails in time."""
    address = drip(begin)
    before = time.monotonic()
    with pytest.raises((OSError, ValueError)):
        fetch_jwks(address, TIMEOUT)
    assert time.monotonic() - before < TIMEOUT + 0.7


def test_what_was_cut_off_is_no_document(drip: Serve) -> None:
    """The end of a connection that was cut is not taken for the end of the body."""
    with pytest.raises(TimeoutError):
        fetch_jwks(drip(BODY_WITHOUT_LENGTH), TIMEOUT)


def test_no_thread_stays_behind(drip: Serve) -> None:
    """A process whose JWKS server drips its headers for hours has no download that hangs."""
    store = KeyStore(drip(HEADERS), timeout=TIMEOUT)
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            store.find("kid")
    deadline = time.monotonic() + 5
    while any(thread.name == "single-flight" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert store.stats().failed_downloads >= 1


class Recorder(BaseHTTPRequestHandler):
    """Records each request with its header fields, and responds with an empty key set."""

    def do_GET(self) -> None:
        """Record a request."""
        recorded: list[tuple[str, dict[str, str]]] = self.server.recorded  # type: ignore[attr-defined]
        recorded.append((self.path, dict(self.headers.items())))
        self.send_response(200)
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.send_header("Content-Length", str(len(KEYS)))
        self.end_headers()
        self.wfile.write(KEYS)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def recorder(tls: ssl.SSLContext | None = None) -> Iterator[ThreadingHTTPServer]:
    """Run a server on loopback that records what it is sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.recorded = []  # type: ignore[attr-defined]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Take away what the machine says of proxies, certificates and credentials."""
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_ca_bundle")) or name == "NETRC":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def test_a_download_sends_nothing_but_the_request(
    no_settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither credentials of .netrc, nor a cookie of the last response, nor names of libraries."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login ada password C0rrect-horse!\n")
    no_settings.setenv("NETRC", str(netrc))
    with recorder() as server:
        host = f"127.0.0.1:{server.server_port}"
        for _ in range(2):
            assert fetch_jwks(f"http://{host}/jwks.json", 5) == KEYS
        sent = {
            "Host": host,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "resource-server",
        }
        assert server.recorded == [("/jwks.json", sent)] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "address", ["https://ada:secret@keys.example/k", "https://ada@keys.example/k"]
)
def test_an_address_with_credentials_is_refused(address: str) -> None:
    """They would be sent, and logged with the address when a download fails."""
    with pytest.raises(ValueError, match="no user name and no password"):
        fetch_jwks(address, 1)


@pytest.mark.parametrize(
    ("variables", "is_used"),
    [
        pytest.param({"HTTP_PROXY": "{}"}, True, id="HTTP_PROXY"),
        pytest.param({"http_proxy": "{}"}, True, id="http_proxy"),
        pytest.param({"ALL_PROXY": "{}"}, True, id="ALL_PROXY"),
        pytest.param({"HTTPS_PROXY": "{}"}, False, id="HTTPS_PROXY-for-http"),
        pytest.param({"HTTP_PROXY": "{}", "NO_PROXY": "127.0.0.1"}, False, id="NO_PROXY"),
        pytest.param({"HTTP_PROXY": "{}", "NO_PROXY": "aws.example"}, True, id="NO_PROXY-another"),
        pytest.param({"HTTP_PROXY": ""}, False, id="empty"),
        pytest.param({}, False, id="none"),
    ],
)
def test_the_environment_chooses_the_proxy(
    no_settings: pytest.MonkeyPatch, variables: dict[str, str], *, is_used: bool
) -> None:
    """The proxy's own credentials are sent to the proxy."""
    with recorder() as proxy, recorder() as server:
        url = f"http://ada:secret@127.0.0.1:{proxy.server_port}"
        for name, value in variables.items():
            no_settings.setenv(name, value.format(url))
        address = f"http://127.0.0.1:{server.server_port}/jwks.json"
        assert fetch_jwks(address, 5) == KEYS
        proxied, direct = proxy.recorded, server.recorded  # type: ignore[attr-defined]
    assert [path for path, _ in proxied] == [address] * is_used
    assert len(direct) == (not is_used)
    for _, headers in proxied:
        assert headers["Proxy-Authorization"] == "Basic YWRhOnNlY3JldA=="
    assert all("Proxy-Authorization" not in headers for _, headers in direct)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str, str]:
    """Make a TLS server's context, the file of its certificate, and the file of another one."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ours", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ours.pem", folder / "ours.key")
    return context, str(folder / "ours.pem"), str(folder / "other.pem")


@pytest.mark.parametrize(
    ("aws", "of_requests", "curl", "is_trusted"),
    [
        ("ours", None, None, True),
        (None, "ours", None, True),
        (None, None, "ours", True),
        ("ours", "other", "other", True),
        ("other", "ours", "ours", False),
        (None, "other", "ours", False),
        ("", "ours", None, True),
        (" ", "", "ours", True),
        ("missing", "ours", None, False),
        (None, None, None, False),
    ],
)
def test_the_environment_chooses_the_certificates(
    no_settings: pytest.MonkeyPatch,
    certificates: tuple[ssl.SSLContext, str, str],
    aws: str | None,
    of_requests: str | None,
    curl: str | None,
    *,
    is_trusted: bool,
) -> None:
    """AWS_CA_BUNDLE first, as with boto3, then those of requests. An empty one counts as unset."""
    context, ours, other = certificates
    names = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    files = {"ours": ours, "other": other, "missing": f"{ours}.missing"}
    for name, value in zip(names, (aws, of_requests, curl), strict=True):
        if value is not None:
            no_settings.setenv(name, files.get(value, value))
    with recorder(context) as server:
        address = f"https://127.0.0.1:{server.server_port}/jwks.json"
        if is_trusted:
            assert fetch_jwks(address, 5) == KEYS
        else:
            with pytest.raises(OSError, match="certificate"):
                fetch_jwks(address, 5)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
def test_a_body_that_must_be_unpacked_is_refused(encoding: str) -> None:
    """No encoding is requested, so that a kilobyte is never a gigabyte."""
    with responses.RequestsMock() as mock:
        mock.get(URI, body=gzip.compress(KEYS), headers={"Content-Encoding": encoding})
        with pytest.raises(ValueError, match="encoding"):
            fetch_jwks(URI, 1)
