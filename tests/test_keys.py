"""The keys: one download for any number of threads, and what happens when there is none."""

import base64
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
import responses
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwk import ECKey, OctKey

from resource_server.testing.pool import CognitoPool
from resource_server.tokens import (
    CognitoVerifier,
    KeySet,
    KeyStore,
    KeysUnavailable,
    UserPool,
    errors,
    fetch_jwks,
)

POOL = CognitoPool()
ROTATED = CognitoPool()
KID = str(POOL.keys.access.kid)
URI = "https://keys.example/jwks.json"


def document(*keys: dict[str, Any]) -> bytes:
    """Write a JWKS."""
    return json.dumps({"keys": list(keys)}).encode()


GOOD = document(*POOL.jwks()["keys"])
NEW = document(*ROTATED.jwks()["keys"])
ACCESS_JWK: dict[str, Any] = POOL.keys.access.as_dict(private=False)


@dataclass
class Server:
    """A JWKS server and the time; `body` is what it answers, or raises."""

    body: bytes | Exception = GOOD
    seconds: float = 0
    fetches: int = 0
    gate: threading.Event | None = None
    """While it is not set, an answer does not arrive."""
    uris: list[str] = field(default_factory=list)

    def fetch(self, uri: str, _timeout: float) -> bytes:
        """Answer as told."""
        self.fetches += 1
        self.uris.append(uri)
        body = self.body
        if self.gate is not None:
            self.gate.wait(10)
        if isinstance(body, Exception):
            raise body
        return body

    def store(self, **options: Any) -> KeyStore:
        """Make a key store that looks here."""
        return KeyStore(URI, fetch=self.fetch, clock=lambda: self.seconds, **options)


def settled(store: KeyStore) -> None:
    """Wait until the download under way is over."""
    flight = store._flight._flight
    if flight is not None:
        assert flight.done.wait(10)


def test_a_pool_id_tells_issuers_and_keys() -> None:
    """Each partition has its domain, each pool two issuers and one key set."""
    pool = UserPool.parse("eu-west-2_AbCdEf123")
    assert pool.region == "eu-west-2"
    assert pool.issuers == (
        "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_AbCdEf123",
        "https://issuer-cognito-idp.eu-west-2.amazonaws.com/eu-west-2_AbCdEf123",
    )
    assert pool.jwks_uri == f"{pool.issuers[0]}/.well-known/jwks.json"
    suffixes = {
        "cn-north-1": "amazonaws.com.cn",
        "eusc-de-east-1": "amazonaws.eu",
        "us-gov-west-1": "amazonaws.com",
    }
    for region, suffix in suffixes.items():
        issuer = UserPool.parse(f"{region}_x").issuers[0]
        assert issuer == f"https://cognito-idp.{region}.{suffix}/{region}_x"
    elsewhere = UserPool.parse("eu-west-2_x", issuer="http://i", jwks_uri="http://k")
    assert (elsewhere.issuers, elsewhere.jwks_uri) == (("http://i",), "http://k")


@pytest.mark.parametrize(
    "pool_id",
    ["", "x", "eu-west-2", "eu-west-2_", "eu-west-2_a/b", "eu-west-2_a\n", "EU-WEST-2_a",
     "eu-west-2_a.evil.example/", "eu-west-2_" + "a" * 50, "evil.example#_a", "eu-west-2_ä"],
)  # fmt: skip
def test_what_is_no_pool_id_is_refused(pool_id: str) -> None:
    """An id becomes part of an address: nothing else may."""
    with pytest.raises(ValueError, match="not the id of a user pool"):
        UserPool.parse(pool_id)


EC = ECKey.import_key(ec.generate_private_key(ec.SECP256R1())).as_dict(private=False)
_MODULUS = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n  # noqa: S505
SHORT = ACCESS_JWK | {
    "n": base64.urlsafe_b64encode(_MODULUS.to_bytes(128)).rstrip(b"=").decode(),
}
OCT = OctKey.generate_key(256).as_dict(private=True)


@pytest.mark.parametrize(
    "key",
    [
        ACCESS_JWK | {"use": "enc"},
        ACCESS_JWK | {"alg": "RS512"},
        ACCESS_JWK | {"key_ops": ["sign"]},
        ACCESS_JWK | {"kid": ""},
        ACCESS_JWK | {"kid": 1},
        {k: v for k, v in ACCESS_JWK.items() if k != "kid"},
        {k: v for k, v in ACCESS_JWK.items() if k != "n"},
        {k: v for k, v in ACCESS_JWK.items() if k != "e"},
        ACCESS_JWK | {"n": "!"},
        ACCESS_JWK | {"n": 7},
        ACCESS_JWK | {"e": "AA"},
        ACCESS_JWK | {"n": "AQAB"},
        POOL.keys.access.as_dict(private=True),
        SHORT,
        EC | {"kid": KID},
        OCT | {"kid": KID},
        {},
        7,
        None,
    ],
)
def test_a_key_that_may_not_serve_is_passed_over(key: Any) -> None:
    """Alone it makes no set; among good ones it does no harm."""
    with pytest.raises(ValueError, match="no usable"):
        KeySet.parse(document(key))
    good = ACCESS_JWK | {"kid": "good"}
    assert list(KeySet.parse(document(key, good)).keys) == ["good"]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b"null", b'{"keys": 7}', b'{"keys": []}', b'{"keys": null}',
     b"\xff", b"[" * 5000, document(ACCESS_JWK, ROTATED.jwks()["keys"][0] | {"kid": KID})],
)  # fmt: skip
def test_a_bad_set_never_replaces_a_good_one(body: bytes) -> None:
    """Not JSON, no set, no usable key, two keys under one id: the keys at hand stay."""
    server = Server()
    store = server.store()
    store.find(KID)
    server.body = body
    server.seconds = 3601
    store.find(KID)
    settled(store)
    assert store.find(KID)
    assert store.stats().failed_downloads == 1


def test_keys_without_use_and_alg_serve() -> None:
    """Both are optional (RFC 7517 section 4)."""
    plain = {k: v for k, v in ACCESS_JWK.items() if k in {"kty", "kid", "n", "e"}}
    assert list(KeySet.parse(document(plain)).keys) == [KID]


def test_two_hundred_threads_on_a_cold_store_cause_one_download() -> None:
    """All of them get their key from it."""
    server = Server(gate=threading.Event())
    store, found = server.store(), []
    threads = [
        threading.Thread(target=lambda: found.append(store.find(KID)[1])) for _ in range(200)
    ]
    for thread in threads:
        thread.start()
    assert server.gate
    server.gate.set()
    for thread in threads:
        thread.join(10)
    assert (len(found), server.fetches) == (200, 1)


def test_a_flood_of_unknown_keys_causes_one_download_in_thirty_seconds() -> None:
    """1,000 tokens with random `kid`s: 1,000 refusals, and good tokens go on."""
    server = Server()
    store = server.store()
    store.find(KID)
    for minute in range(3):
        for index in range(1000):
            with pytest.raises(errors.UnknownKey):
                store.find(f"{minute}-{index}")
        assert store.find(KID)
        server.seconds += 30
    assert server.fetches == 1 + 3


def test_a_cold_store_looks_once_for_an_unknown_key() -> None:
    """The download that was just made for it is the one it may cause."""
    server = Server()
    store = server.store()
    for _ in range(5):
        with pytest.raises(errors.UnknownKey):
            store.find("unknown")
    assert server.fetches == 1


def test_after_a_rotation_the_first_new_token_works() -> None:
    """And the withdrawn key stops with that very download, remembered tokens included."""
    server = Server()
    verifier = CognitoVerifier(POOL.user_pool, client_ids={POOL.client_id}, keys=server.store())
    old = POOL.access_token()
    verifier.verify(old)
    server.body, server.seconds = NEW, 5
    assert verifier.verify(ROTATED.access_token())
    with pytest.raises(errors.UnknownKey):
        verifier.verify(old)


def test_a_withdrawn_key_stops_with_the_next_refresh() -> None:
    """Within the soft age it serves; after the refresh its remembered tokens are refused, too."""
    server = Server()
    store = server.store()
    verifier = CognitoVerifier(POOL.user_pool, client_ids={POOL.client_id}, keys=store)
    old = POOL.access_token()
    verifier.verify(old)
    server.body, server.seconds = NEW, 3599
    verifier.verify(old)
    server.seconds, server.gate = 3600, threading.Event()
    verifier.verify(old)  # this one starts the refresh, and does not wait
    server.gate.set()
    settled(store)
    with pytest.raises(errors.UnknownKey):
        verifier.verify(old)


def test_a_refresh_happens_once_and_nobody_waits_for_it() -> None:
    """Past the soft age requests go on with the keys at hand while one download runs."""
    server = Server()
    store = server.store()
    store.find(KID)
    server.gate, server.seconds = threading.Event(), 3600
    begun = time.monotonic()
    for _ in range(100):
        assert store.find(KID)
    assert time.monotonic() - begun < 1
    assert store.stats().stale_serves == 100
    server.gate.set()
    settled(store)
    assert server.fetches == 2
    assert store.stats().age == 0


def test_an_unchanged_set_keeps_what_was_verified_with_it() -> None:
    """A refresh that brings the same keys, in any order, costs no verification anew."""
    server = Server()
    store = server.store()
    keys, _ = store.find(KID)
    server.body = document(*reversed(POOL.jwks()["keys"]))
    server.seconds = 3600
    store.find(KID)
    settled(store)
    assert store.find(KID)[0] is keys


def test_an_outage_harms_nobody_until_the_hard_age() -> None:
    """23 hours without a server: not one refusal; after 24: unavailable; then recovery."""
    server = Server()
    store = server.store()
    store.find(KID)
    server.body = requests.ConnectionError("down")
    for hour in range(1, 24):
        server.seconds = hour * 3600
        assert store.find(KID)
        settled(store)
    server.seconds = 24 * 3600
    with pytest.raises(KeysUnavailable) as caught:
        store.find(KID)
    assert caught.value.retry_after >= 1
    server.body = GOOD
    server.seconds += caught.value.retry_after
    assert store.find(KID)


def _attempts(server: Server, ask: Callable[[], object], seconds: int) -> list[float]:
    """Ask ten times a second; tell when a download began."""
    attempts = []
    begun = server.seconds
    for tick in range(seconds * 10):
        server.seconds = begun + tick / 10
        before = server.fetches
        ask()
        if server.fetches > before:
            attempts.append(tick / 10)
    return attempts


def test_failures_back_off_while_there_are_keys() -> None:
    """A refresh that fails is tried again after 1, 2, 4 … 30 s, whoever asks."""
    server = Server()
    store = server.store()
    store.find(KID)
    server.body, server.seconds = requests.ConnectionError("down"), 3600

    def ask() -> None:
        assert store.find(KID)
        settled(store)

    attempts = _attempts(server, ask, 100)
    waits = [round(later - earlier, 1) for earlier, later in itertools.pairwise(attempts)]
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_a_cold_process_recovers_within_a_second() -> None:
    """Without keys it tries every second, however long that takes; 503 in between."""
    server = Server(body=requests.ConnectionError("down"))
    store = server.store()

    def ask() -> None:
        with pytest.raises(KeysUnavailable) as caught:
            store.find(KID)
        assert caught.value.retry_after == 1

    assert _attempts(server, ask, 60) == list(range(60))
    server.body = GOOD
    server.seconds += 1
    assert store.find(KID)


@pytest.mark.parametrize("failure", [RuntimeError("x"), KeyError("x"), OSError(), ValueError()])
def test_a_fetcher_may_fail_as_it_likes(failure: Exception) -> None:
    """Anybody's fetcher: whatever it raises is a failed download, and the next one counts."""
    server = Server(body=failure)
    store = server.store()
    with pytest.raises(KeysUnavailable):
        store.find(KID)
    server.body, server.seconds = GOOD, 1
    assert store.find(KID)


def test_a_download_that_hangs_is_given_up() -> None:
    """Who waits is told at the deadline; another one starts; if the first arrives, it counts."""
    server = Server(gate=threading.Event())
    store = server.store(timeout=0.05)
    hanging = server.gate
    with pytest.raises(KeysUnavailable):
        store.find(KID)
    server.seconds = 0.05
    with pytest.raises(KeysUnavailable):
        store.find(KID)
    assert server.fetches == 1, "backing off"
    server.gate, server.seconds = None, 1.05
    assert store.find(KID)
    assert server.fetches == 2
    assert hanging
    hanging.set()


def test_a_late_answer_still_counts() -> None:
    """Keys are keys, even after everybody stopped waiting for them."""
    server = Server(gate=threading.Event())
    store = server.store(timeout=0.05)
    with pytest.raises(KeysUnavailable):
        store.find(KID)
    flight = store._flight._flight
    assert server.gate
    server.gate.set()
    assert flight
    assert flight.done.wait(10)
    assert store.find(KID)


def test_an_older_answer_does_not_undo_a_newer_one() -> None:
    """A download that hung and ends after a later one brings back no key that was withdrawn."""
    server = Server(gate=threading.Event())
    store = server.store(timeout=0.05)
    hanging = server.gate
    with pytest.raises(KeysUnavailable):
        store.find(KID)
    flight = store._flight._flight
    server.body, server.gate, server.seconds = NEW, None, 1.2
    with pytest.raises(KeysUnavailable):
        store.find(KID)  # the one that hangs is given up
    server.seconds = 2.3
    assert store.find(str(ROTATED.keys.access.kid))
    assert hanging
    assert flight
    hanging.set()
    assert flight.done.wait(10)
    with pytest.raises(errors.UnknownKey):
        store.find(KID)


def test_hanging_downloads_do_not_pile_up() -> None:
    """While three of them hang, no fourth begins, however long that lasts."""
    server = Server(gate=threading.Event())
    store = server.store(timeout=0.001)
    for _ in range(100):
        with pytest.raises(KeysUnavailable):
            store.find(KID)
        server.seconds += 5
    assert server.fetches == 3
    assert server.gate
    server.gate.set()


def test_no_thread_to_be_had_harms_nobody_who_has_keys() -> None:
    """The refresh counts as failed; requests go on."""
    server = Server()
    store = server.store()
    store.find(KID)

    def refuse(_run: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    store._flight._spawn = refuse
    server.seconds = 3600
    assert store.find(KID)
    assert store.stats().failed_downloads == 1


def test_ready_starts_a_download_and_does_not_wait() -> None:
    """A readiness probe warms a process up."""
    server = Server(gate=threading.Event())
    store = server.store()
    assert not store.ready()
    assert server.gate
    server.gate.set()
    settled(store)
    assert store.ready()
    assert server.fetches == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_begins_anew() -> None:
    """Forked in the middle of a download, with the lock held: the child fetches keys of its own."""
    server = Server(gate=threading.Event())
    store = server.store()
    assert not store.ready()
    with store._flight.lock:
        child = os.fork()
        if child == 0:
            server.gate = None
            try:
                store.find(KID)
                os._exit(0)
            finally:
                os._exit(1)
    assert server.gate
    server.gate.set()
    deadline = time.monotonic() + 10
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done[1] == 0


def test_counters_tell_what_happened() -> None:
    """Verifications, hits, refusals by reason, downloads by outcome, and the age of the keys."""
    server = Server()
    verifier = CognitoVerifier(POOL.user_pool, client_ids={POOL.client_id}, keys=server.store())
    assert verifier.stats().keys[POOL.pool_id].age is None
    token = POOL.access_token()
    for _ in range(3):
        verifier.verify(token)
    for bad in (POOL.id_token(), POOL.id_token(), POOL.access_token(expires_in=-60), "x"):
        with pytest.raises(errors.InvalidToken):
            verifier.verify(bad)
    server.seconds = 7
    stats = verifier.stats()
    assert (stats.verified, stats.cache_hits, stats.cached) == (1, 2, 1)
    assert stats.refused == {"token_use": 2, "expired": 1, "malformed": 1}
    keys = stats.keys[POOL.pool_id]
    assert (keys.age, keys.downloads, keys.failed_downloads, keys.stale_serves) == (7, 1, 0, 0)


def test_remembered_tokens_expire_and_make_room() -> None:
    """A hit checks the time; the cache holds no more than it may; size 0 remembers nothing."""
    server, wall = Server(), [1_800_000_000.0]

    def verifier(size: int) -> CognitoVerifier:
        return CognitoVerifier(
            POOL.user_pool,
            client_ids={POOL.client_id},
            keys=server.store(),
            cache_size=size,
            now=lambda: wall[0],
        )

    small = verifier(10)
    tokens = [
        POOL.access_token(iat=int(wall[0]), exp=int(wall[0]) + 60, jti=str(index))
        for index in range(40)
    ]
    for token in tokens:
        small.verify(token)
        small.verify(tokens[0])  # in use, so it stays
    assert small.stats().cached <= 10
    assert small.stats().cache_hits == 40
    wall[0] += 71
    with pytest.raises(errors.ExpiredToken):
        small.verify(tokens[0])

    wall[0] -= 71
    none = verifier(0)
    none.verify(tokens[0])
    none.verify(tokens[0])
    assert (none.stats().verified, none.stats().cached) == (2, 0)


# The download itself


def test_a_redirect_is_not_followed() -> None:
    """Its target is not contacted: whoever it is does not get to choose our keys."""
    with responses.RequestsMock() as mock:
        mock.get(URI, status=302, headers={"Location": "https://evil.example/jwks.json"})
        with pytest.raises(ValueError, match="302"):
            fetch_jwks(URI, 1)
        assert len(mock.calls) == 1


@pytest.mark.parametrize("status", [204, 304, 400, 404, 500, 503])
def test_only_200_is_an_answer(status: int) -> None:
    """An error page is no key set, whatever is in it."""
    with responses.RequestsMock() as mock:
        mock.get(URI, status=status, body=GOOD)
        with pytest.raises(ValueError, match=str(status)):
            fetch_jwks(URI, 1)


def test_ten_megabytes_are_not_read() -> None:
    """More than 1 MiB is no key set."""
    with responses.RequestsMock() as mock:
        mock.get(URI, body=b" " * 10 * 1024 * 1024)
        with pytest.raises(ValueError, match="1 MiB"):
            fetch_jwks(URI, 5)


@pytest.mark.parametrize("uri", ["http://keys.example/", "ftp://127.0.0.1.example/", "//x/"])
def test_keys_come_over_https(uri: str) -> None:
    """Plain HTTP is for loopback alone; nothing is sent."""
    with (
        responses.RequestsMock() as mock,
        pytest.raises(ValueError, match="https"),
    ):
        fetch_jwks(uri, 1)
    assert len(mock.calls) == 0


class _Drip(BaseHTTPRequestHandler):
    """Sends a byte now and then: each read succeeds, the whole never arrives."""

    def do_GET(self) -> None:
        """Answer very slowly."""
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        stop: threading.Event = self.server.stop  # type: ignore[attr-defined]
        while not stop.wait(0.05):
            try:
                self.wfile.write(b" ")
            except OSError:
                return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def drip() -> Iterator[str]:
    """A server that drips."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Drip)
    stop = threading.Event()
    server.stop = stop  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_ends_at_its_deadline(drip: str) -> None:
    """However slowly it drips, the thread that reads it is free in time."""
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        fetch_jwks(drip, 0.3)
    assert time.monotonic() - begun < 2


def test_nobody_waits_longer_than_the_deadline(drip: str) -> None:
    """A server that drips costs a cold request its timeout, and a warm one nothing."""
    store = KeyStore(drip, timeout=0.3)
    begun = time.monotonic()
    with pytest.raises(KeysUnavailable):
        store.find(KID)
    assert time.monotonic() - begun < 2
    waits: list[Callable[[], object]] = [lambda: store.find(KID)] * 20
    begun = time.monotonic()
    for wait in waits:
        with pytest.raises(KeysUnavailable):
            wait()
    assert time.monotonic() - begun < 2
