"""Stand-ins for whom the token core meets: a pool, an attacker, a JWKS server, and the time."""

import base64
import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import RSAKey

from resource_server.emulator.keys import PoolKeys
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import CognitoVerifier, InvalidToken, KeyStore

NOW = 1_800_000_000
CLIENT = "1example23456789"
URI = "https://keys.example/jwks.json"
ABSENT = object()
"""Stands for a member that is left out; None is null."""


def encoded(data: bytes) -> str:
    """Encode as a part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def document(*members: Any) -> bytes:
    """Write a JWKS."""
    return json.dumps({"keys": members}).encode()


def published(keys: PoolKeys) -> bytes:
    """Write the JWKS of a pool with these keys."""
    return json.dumps(keys.jwks()).encode()


def private_key(key: RSAKey) -> RSAPrivateKey:
    """Take the RSA key out of a JWK."""
    assert isinstance(key.private_key, RSAPrivateKey)
    return key.private_key


Sign = Callable[[bytes], bytes]


def rs256(key: RSAKey) -> Sign:
    """Sign as RFC 7518 section 3.3 says."""
    return lambda data: private_key(key).sign(data, PKCS1v15(), SHA256())


def hs256(secret: bytes) -> Sign:
    """Sign as RFC 7518 section 3.2 says, with a secret that is none."""
    return lambda data: hmac.digest(secret, data, hashlib.sha256)


@dataclass
class JwksServer:
    """A JWKS server, the monotonic time, and a hand on each answer; `body` is sent, or raised."""

    body: bytes | BaseException
    seconds: float = 0
    gate: threading.Event | None = None
    """While it is not set, an answer that was asked for does not arrive."""
    uris: list[str] = field(default_factory=list)
    _threads: "queue.Queue[threading.Thread]" = field(default_factory=queue.Queue)

    def fetch(self, uri: str, _timeout: float) -> bytes:
        """Answer what it was when asked, as soon as the gate is open."""
        self.uris.append(uri)
        body, gate = self.body, self.gate
        self._threads.put(threading.current_thread())
        if gate is not None:
            assert gate.wait(20)
        if isinstance(body, BaseException):
            raise body
        return body

    @property
    def fetches(self) -> int:
        """How often it was asked."""
        return len(self.uris)

    def begun(self) -> threading.Thread:
        """Wait until one more download has begun, and return its thread."""
        return self._threads.get(timeout=10)

    def finish(self) -> None:
        """Wait until one more download that was begun is over, whatever came of it."""
        thread = self.begun()
        thread.join(10)
        assert not thread.is_alive()

    def finish_all(self) -> None:
        """Wait until every download that was begun is over."""
        while not self._threads.empty():
            self.finish()

    def hold(self) -> threading.Event:
        """Let no answer arrive until the event is set."""
        self.gate = threading.Event()
        return self.gate

    def store(self, **options: Any) -> KeyStore:
        """Make a key store that asks here, and has the time from here."""
        return KeyStore(URI, fetch=self.fetch, clock=lambda: self.seconds, **options)

    def warm_store(self, kid: str, **options: Any) -> KeyStore:
        """Make one that has its keys."""
        store = self.store(**options)
        store.find(kid)
        self.finish()
        return store


@dataclass
class Forge:
    """A pool that publishes its keys, an attacker with keys of his own, and the wall clock."""

    keys: PoolKeys
    attacker: PoolKeys
    now: float = NOW
    server: JwksServer = field(init=False)
    """Where the pool publishes its keys."""

    def __post_init__(self) -> None:
        self.server = JwksServer(published(self.keys))

    @property
    def pool(self) -> CognitoPool:
        """The pool that is trusted."""
        return CognitoPool(client_id=CLIENT, keys=self.keys)

    @property
    def kid(self) -> str:
        """The pool's id for the key that signs access tokens."""
        return str(self.keys.access.kid)

    def verifier(self, **options: Any) -> CognitoVerifier:
        """Make a verifier that trusts the pool and has the time from here."""
        usual: dict[str, Any] = {"client_ids": {CLIENT}, "keys": self.server.store()}
        return CognitoVerifier(self.pool.user_pool, now=lambda: self.now, **usual | options)

    def header(self, **changes: Any) -> bytes:
        """Write the header Cognito writes, with changes."""
        return _json({"kid": self.kid, "alg": "RS256"} | changes)

    def claims(self, **changes: Any) -> bytes:
        """Write the claims Cognito writes, with changes; `cognito__groups` is cognito:groups."""
        members = {
            "sub": "11f8a840-ec3e-5178-b788-60fcdd9d5cc7",
            "iss": self.pool.issuer,
            "client_id": CLIENT,
            "origin_jti": "the-sign-in",
            "event_id": "the-event",
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "auth_time": NOW - 60,
            "exp": NOW + 3600,
            "iat": NOW,
            "jti": "the-token",
            "username": "ada",
        }
        return _json(members | {name.replace("__", ":"): v for name, v in changes.items()})

    def token(
        self, header: bytes | None = None, claims: bytes | None = None, sign: Sign | None = None
    ) -> str:
        """Write a token of any header and any claims, signed by the pool or otherwise."""
        signed = ".".join(
            (
                encoded(self.header() if header is None else header),
                encoded(self.claims() if claims is None else claims),
            )
        )
        return f"{signed}.{encoded((sign or rs256(self.keys.access))(signed.encode()))}"

    def claiming(self, **changes: Any) -> str:
        """Write a token that the pool signed, with changed claims."""
        return self.token(claims=self.claims(**changes))

    def parts(self) -> list[str]:
        """Take a good token apart."""
        return self.token().split(".")


def _json(members: dict[str, Any]) -> bytes:
    return json.dumps({k: v for k, v in members.items() if v is not ABSENT}).encode()


def refuse(verifier: CognitoVerifier, text: Any) -> InvalidToken:
    """Return how a token is refused, twice over: the first time leaves nothing behind."""
    caught = []
    for _ in range(2):
        with pytest.raises(InvalidToken) as info:
            verifier.verify(text)
        caught.append(info.value)
    assert type(caught[0]) is type(caught[1])
    return caught[0]
