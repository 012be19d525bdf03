"""Downloads of small public documents, which send nothing of the machine that they run on."""

import os
import socket
import threading
import time
from contextlib import closing, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

_CHUNK_BYTES = 16 * 1024
_MEBIBYTE = 1024 * 1024
# All that is sent beside the request line and `Host`. `identity`: what arrives is as long as what
# is read, so that a small response cannot unpack to a large one.
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "resource-server"}
# The order is boto3's, which reads the first two, and requests reads the last two.
_CA_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def download(address: str, *, timeout: float, max_bytes: int) -> bytes:
    """Return the body of a 200 response, `max_bytes` at most, within `timeout` seconds in all.

    The time for looking up the host's name is the resolver's own and comes on top. Redirects are
    not followed. The request carries no credentials (`.netrc`) and no cookies. HTTPS_PROXY,
    HTTP_PROXY, ALL_PROXY and NO_PROXY choose the proxy. The first of AWS_CA_BUNDLE,
    REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE that is not empty names the certificates to trust.

    Raises OSError (requests' errors are) or ValueError.
    """
    deadline = time.monotonic() + timeout
    with requests.Session() as session, closing(_Deadline(timeout)) as adapter:
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session.trust_env = False  # it would read ~/.netrc, too
        session.headers.clear()
        response = session.get(
            address,
            headers=_HEADERS,
            timeout=timeout,
            stream=True,
            allow_redirects=False,
            proxies=get_environ_proxies(address, no_proxy=None),
            verify=_ca_bundle(),
        )
        if response.status_code != requests.codes.ok:
            raise ValueError(f"the server answered {response.status_code}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ValueError("the server sent an encoding that was not requested")
        body = bytearray()
        try:
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                body += chunk
                if len(body) > max_bytes:
                    raise ValueError(f"the document is larger than {max_bytes / _MEBIBYTE:g} MiB")
        except HTTPError as error:  # urllib3's errors are none of Python's own
            if time.monotonic() < deadline:
                raise ConnectionError("the document did not arrive whole") from error
    if time.monotonic() >= deadline:  # what looks like the end is where the connection was cut
        raise TimeoutError("the document took too long to arrive")
    return bytes(body)


def _ca_bundle() -> str | bool:
    """Return the file or directory of certificates to trust. True means certifi's."""
    paths = (os.environ.get(name, "").strip() for name in _CA_BUNDLES)
    return next(filter(None, paths), True)


class _Deadline(HTTPAdapter):
    """Cuts its connections off after some seconds, whatever they are doing.

    The timeout of requests and urllib3 is for one read of the socket: a server that sends a byte
    now and then, in its headers or its TLS handshake, would hold a download for as long as it
    likes. `shutdown` from another thread ends the read.
    """

    def __init__(self, timeout: float) -> None:
        self._sockets: list[socket.socket] = []
        self._over = False
        self._timer = threading.Timer(timeout, self._cut)
        self._timer.daemon = True
        self._timer.start()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let connections report their sockets."""
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        """Do the same where the way leads through a proxy."""
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        self._watch(manager)
        return manager

    def close(self) -> None:
        """Stop the clock."""
        self._timer.cancel()
        super().close()
        for copy in self._sockets:
            copy.close()

    def _watch(self, manager: PoolManager) -> None:
        keep = self._keep

        def watched(connection: type[HTTPConnection]) -> type[HTTPConnection]:
            class Watched(connection):  # type: ignore[misc, valid-type]
                def _new_conn(self) -> socket.socket:
                    made: socket.socket = super()._new_conn()
                    keep(made.dup())  # TLS takes the first one over
                    return made

            return Watched

        class HTTPPool(HTTPConnectionPool):
            ConnectionCls = watched(HTTPConnection)

        class HTTPSPool(HTTPSConnectionPool):
            ConnectionCls = watched(HTTPSConnection)  # type: ignore[assignment]

        manager.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}

    def _keep(self, copy: socket.socket) -> None:
        self._sockets.append(copy)
        if self._over:
            self._cut()

    def _cut(self) -> None:
        self._over = True
        for copy in list(self._sockets):
            with suppress(OSError):  # it was over already
                copy.shutdown(socket.SHUT_RDWR)
