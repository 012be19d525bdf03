"""A pool's keys by HTTP and HTTPS, fast enough that nobody who asks for them is held up.

resource_server.testing's server is for tests: only five may wait at its door, which whoever
downloads the keys for each request would pay for.
"""

import asyncio
import datetime as dt
import json
import ssl
import threading
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from resource_server.testing.pool import CognitoPool

_HOST = "127.0.0.1"


class KeyServer:
    """Serves one pool's keys on loopback, whatever is asked for; a context.

    The pool's address is the one of HTTP. `https_address` is certified by what `certificate` holds.
    """

    def __init__(self, pool: CognitoPool, home: Path) -> None:
        body = json.dumps(pool.jwks()).encode()
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        self._answer = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._pool = pool
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="keys", daemon=True)
        self._servers: list[asyncio.Server] = []
        self.certificate = home / "certificate.pem"

    def __enter__(self) -> Self:
        self._thread.start()
        self._pool.address = f"http://{_HOST}:{self._listen()}"
        self.https_address = f"https://{_HOST}:{self._listen(_certified(self.certificate))}"
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            self._loop.call_soon_threadsafe(server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._pool.address = None

    def _listen(self, tls: ssl.SSLContext | None = None) -> int:
        serving = asyncio.start_server(self._serve, _HOST, 0, backlog=1000, ssl=tls)
        server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(self._answer)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


def _certified(file: Path) -> ssl.SSLContext:
    """Make a certificate for loopback, which is its own authority, and a server's context of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmarks")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(_HOST))]), critical=False
        )
        .sign(key, SHA256())
    )
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    private = file.with_suffix(".key")
    private.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return context
