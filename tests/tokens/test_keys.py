"""The pool's keys: which serve, when they are downloaded, and what happens when they cannot be."""

import contextlib
import itertools
import os
import queue
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
import responses
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey, OctKey

from resource_server.emulator.keys import PoolKeys
from resource_server.tokens import (
    KeySet,
    KeyStore,
    KeysUnavailable,
    TrustedPool,
    errors,
    fetch_jwks,
)
from resource_server.tokens.flight import WaitLimit
from resource_server.tokens.keys import DOWNLOADS_AWAITED
from resource_server.tokens.rsa import weakness
from tests.tokens.doubles import URI, Forge, JwksServer, document, encoded, published, rs256

MEBIBYTE = 1024 * 1024


def encoded_number(number: int) -> str:
    """Write a number as a JWK does (RFC 7518 section 2)."""
    return encoded(number.to_bytes((number.bit_length() + 7) // 8))


def rsa_jwk(bits: int, odd: int = 1) -> dict[str, Any]:
    """Write a public key of this size; nobody needs its factors."""
    number = 2 ** (bits - 1) + odd
    while weakness(number, 65_537) == "its modulus has a small factor":
        number += 2
    return {"kty": "RSA", "kid": "k", "e": "AQAB", "n": encoded_number(number)}


def without(member: str, jwk: dict[str, Any]) -> dict[str, Any]:
    """Leave something out."""
    return {name: value for name, value in jwk.items() if name != member}


@pytest.fixture(scope="session")
def jwk(cognito_keys: PoolKeys) -> dict[str, Any]:
    """One good public key."""
    return dict(cognito_keys.access.as_dict(private=False))


@pytest.fixture
def kid(forge: Forge) -> str:
    """The id of a key that the pool publishes at first."""
    return forge.kid


@pytest.fixture
def new_kid(other_keys: PoolKeys) -> str:
    """The id of a key that it publishes later."""
    return str(other_keys.access.kid)


# Which keys serve

Spoil = Callable[[dict[str, Any], PoolKeys], Any]
UNUSABLE: list[Any] = [
    # RFC 7517 section 4.2 to 4.4: what it was published for
    pytest.param(lambda k, _: k | {"use": "enc"}, id="rfc7517-4.2-use-enc"),
    pytest.param(lambda k, _: k | {"use": ""}, id="rfc7517-4.2-use-empty"),
    pytest.param(lambda k, _: k | {"use": None}, id="rfc7517-4.2-use-null"),
    pytest.param(lambda k, _: k | {"use": ["sig"]}, id="rfc7517-4.2-use-list"),
    pytest.param(lambda k, _: k | {"key_ops": ["sign"]}, id="rfc7517-4.3-key_ops-sign"),
    pytest.param(lambda k, _: k | {"key_ops": ["encrypt"]}, id="rfc7517-4.3-key_ops-encrypt"),
    pytest.param(lambda k, _: k | {"key_ops": []}, id="rfc7517-4.3-key_ops-empty"),
    pytest.param(lambda k, _: k | {"key_ops": 7}, id="rfc7517-4.3-key_ops-number"),
    pytest.param(lambda k, _: k | {"key_ops": None}, id="rfc7517-4.3-key_ops-null"),
    pytest.param(lambda k, _: k | {"key_ops": True}, id="rfc7517-4.3-key_ops-true"),
    pytest.param(lambda k, _: k | {"key_ops": "do not verify"}, id="rfc7517-4.3-key_ops-text"),
    pytest.param(lambda k, _: k | {"alg": "RS512"}, id="rfc7517-4.4-alg-RS512"),
    pytest.param(lambda k, _: k | {"alg": "PS256"}, id="rfc7517-4.4-alg-PS256"),
    pytest.param(lambda k, _: k | {"alg": "RSA-OAEP"}, id="rfc7517-4.4-alg-RSA-OAEP"),
    pytest.param(lambda k, _: k | {"alg": "HS256"}, id="rfc7517-4.4-alg-HS256"),
    pytest.param(lambda k, _: k | {"alg": "rs256"}, id="rfc7517-4.4-alg-lower-case"),
    pytest.param(lambda k, _: k | {"alg": None}, id="rfc7517-4.4-alg-null"),
    # RFC 7517 section 4.5: its name
    pytest.param(lambda k, _: without("kid", k), id="rfc7517-4.5-kid-missing"),
    pytest.param(lambda k, _: k | {"kid": ""}, id="rfc7517-4.5-kid-empty"),
    pytest.param(lambda k, _: k | {"kid": 7}, id="rfc7517-4.5-kid-number"),
    pytest.param(lambda k, _: k | {"kid": None}, id="rfc7517-4.5-kid-null"),
    pytest.param(lambda k, _: k | {"kid": ["a"]}, id="rfc7517-4.5-kid-list"),
    # RFC 7517 section 4.1: its type
    pytest.param(lambda k, _: without("kty", k), id="rfc7517-4.1-kty-missing"),
    pytest.param(lambda k, _: k | {"kty": "rsa"}, id="rfc7517-4.1-kty-lower-case"),
    pytest.param(lambda k, _: k | {"kty": ["RSA"]}, id="rfc7517-4.1-kty-list"),
    pytest.param(
        lambda k, _: (
            ECKey.import_key(ec.generate_private_key(ec.SECP256R1())).as_dict(private=False)
            | {"kid": k["kid"]}
        ),
        id="rfc7518-6.2-EC",
    ),
    pytest.param(
        lambda k, _: OctKey.generate_key(256).as_dict(private=True) | {"kid": k["kid"]},
        id="rfc7518-6.4-oct",
    ),
    # RFC 7518 section 3.3: 2048 bits or more
    pytest.param(lambda k, _: rsa_jwk(1024) | {"kid": k["kid"]}, id="rfc7518-3.3-1024-bits"),
    pytest.param(lambda k, _: rsa_jwk(2047) | {"kid": k["kid"]}, id="rfc7518-3.3-2047-bits"),
    # RFC 7518 section 6.3: its numbers
    pytest.param(lambda k, _: without("n", k), id="rfc7518-6.3.1.1-n-missing"),
    pytest.param(lambda k, _: k | {"n": ""}, id="rfc7518-6.3.1.1-n-empty"),
    pytest.param(lambda k, _: k | {"n": "AA"}, id="rfc7518-6.3.1.1-n-zero"),
    pytest.param(lambda k, _: k | {"n": 7}, id="rfc7518-6.3.1.1-n-number"),
    pytest.param(lambda k, _: k | {"n": None}, id="rfc7518-6.3.1.1-n-null"),
    pytest.param(lambda k, _: k | {"n": [k["n"]]}, id="rfc7518-6.3.1.1-n-list"),
    pytest.param(lambda k, _: k | {"n": k["n"] + "=="}, id="rfc7518-6.3.1.1-n-padded"),
    pytest.param(lambda k, _: k | {"n": k["n"][:9] + " " + k["n"][9:]}, id="rfc7518-2-n-spaced"),
    pytest.param(lambda k, _: k | {"n": "!" + k["n"][1:]}, id="rfc7518-2-n-foreign-character"),
    pytest.param(lambda k, _: k | {"n": "\u00fc"}, id="rfc7518-2-n-beyond-ascii"),
    pytest.param(lambda k, _: k | {"n": "\ud800"}, id="rfc7518-2-n-lone-surrogate"),
    pytest.param(lambda k, _: without("e", k), id="rfc7518-6.3.1.2-e-missing"),
    pytest.param(lambda k, _: k | {"e": ""}, id="rfc7518-6.3.1.2-e-empty"),
    pytest.param(lambda k, _: k | {"e": "AA"}, id="rfc7518-6.3.1.2-e-zero"),
    pytest.param(lambda k, _: k | {"e": "AQ"}, id="rfc7518-6.3.1.2-e-one"),
    pytest.param(lambda k, _: k | {"e": "Ag"}, id="rfc7518-6.3.1.2-e-two"),
    pytest.param(lambda k, _: k | {"e": "Aw"}, id="fips186-5-A.1.1-e-three"),
    pytest.param(lambda k, _: k | {"e": 65537}, id="rfc7518-6.3.1.2-e-number"),
    pytest.param(lambda k, _: k | {"e": "AQAB="}, id="rfc7518-6.3.1.2-e-padded"),
    pytest.param(lambda k, _: k | {"e": k["n"]}, id="rfc7518-6.3.1.2-e-as-large-as-n"),
    # RFC 7518 section 6.3.2: a private key in a public place is everybody's
    pytest.param(lambda _, keys: keys.access.as_dict(private=True), id="rfc7518-6.3.2-private"),
    pytest.param(lambda k, _: k | {"d": ""}, id="rfc7518-6.3.2-d-alone"),
    # RFC 7517 section 5: no key at all
    pytest.param(lambda _, __: {}, id="rfc7517-5-empty-object"),
    pytest.param(lambda _, __: None, id="rfc7517-5-null"),
    pytest.param(lambda _, __: 7, id="rfc7517-5-number"),
    pytest.param(lambda _, __: "kty", id="rfc7517-5-text"),
    pytest.param(lambda k, _: [k], id="rfc7517-5-list"),
]


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_a_key_that_may_not_serve_is_passed_over(
    spoil: Spoil, jwk: dict[str, Any], cognito_keys: PoolKeys
) -> None:
    """One bad key among good ones harms none of them; a set of it alone is no set."""
    bad = spoil(jwk, cognito_keys)
    good = jwk | {"kid": "good"}
    for members in ([bad, good], [good, bad], [bad, good, bad]):
        assert list(KeySet.parse(document(*members)).keys) == ["good"]
    with pytest.raises(ValueError, match="JWKS"):
        KeySet.parse(document(bad))


@pytest.mark.parametrize(
    "spell",
    [
        pytest.param(lambda k: k, id="as-cognito-publishes-it"),
        pytest.param(lambda k: without("use", k), id="no-use"),
        pytest.param(lambda k: without("alg", k), id="no-alg"),
        pytest.param(lambda k: without("alg", without("use", k)), id="neither"),
        pytest.param(lambda k: k | {"key_ops": ["verify"]}, id="key_ops-verify"),
        pytest.param(lambda k: k | {"key_ops": ["sign", "verify"]}, id="key_ops-both"),
        pytest.param(lambda k: k | {"x5c": ["x"], "x5t": 7, "invented": {}}, id="other-members"),
        pytest.param(lambda k: k | without("kid", rsa_jwk(3072)), id="3072-bits"),
    ],
)
def test_a_key_that_may_serve_is_found_by_its_id(
    spell: Callable[[dict[str, Any]], dict[str, Any]], jwk: dict[str, Any]
) -> None:
    """`use`, `alg` and `key_ops` are optional (RFC 7517 section 4), other members are ignored."""
    published = spell(jwk)
    keys = KeySet.parse(document(published)).keys
    assert list(keys) == [jwk["kid"]]
    assert encoded_number(keys[jwk["kid"]].public_numbers().n) == published["n"]


def test_both_keys_of_a_pool_are_read(cognito_keys: PoolKeys) -> None:
    """A pool has one key pair for access tokens and one for ID tokens."""
    keys = KeySet.parse(published(cognito_keys)).keys
    assert set(keys) == {cognito_keys.access.kid, cognito_keys.id.kid}


NO_SETS = {
    "empty": b"",
    "text": b"no json",
    "html": b"<html><body>Sorry</body></html>",
    "cut-short": b'{"keys":[',
    "not-utf-8": b"\xff\xff",
    "null": b"null",
    "number": b"7",
    "json-text": b'"keys"',
    "list": b"[]",
    "empty-object": b"{}",
    "other-name": b'{"Keys":[]}',
    "keys-null": b'{"keys":null}',
    "keys-number": b'{"keys":7}',
    "keys-true": b'{"keys":true}',
    "keys-text": b'{"keys":"keys"}',
    "keys-object": b'{"keys":{"kty":"RSA"}}',
    "keys-empty": b'{"keys":[]}',
    "nested": b"[" * 100_000,
    "keys-nested": b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge-number": b'{"keys":[' + b"9" * 5000 + b"]}",
}


@pytest.mark.parametrize("body", NO_SETS.values(), ids=NO_SETS)
def test_what_is_no_set_is_a_value_error(body: bytes) -> None:
    """Whatever a server answers, nothing else is raised."""
    with pytest.raises(ValueError, match=r".+"):
        KeySet.parse(body)


def test_two_keys_under_one_id_are_no_set(jwk: dict[str, Any], other_keys: PoolKeys) -> None:
    """Nobody can tell which of them is meant; the same key twice is just that key."""
    other = other_keys.access.as_dict(private=False) | {"kid": jwk["kid"]}
    with pytest.raises(ValueError, match="two keys with one id"):
        KeySet.parse(document(jwk, other))
    assert list(KeySet.parse(document(jwk, jwk)).keys) == [jwk["kid"]]


# When they are downloaded


@pytest.fixture
def good(forge: Forge) -> bytes:
    """What the pool publishes at first."""
    return published(forge.keys)


@pytest.fixture
def rotated(other_keys: PoolKeys) -> bytes:
    """What it publishes later: other keys alone."""
    return published(other_keys)


def unavailable(store: KeyStore, kid: str) -> KeysUnavailable:
    """Ask for a key that cannot be had now, and return how that is told."""
    with pytest.raises(KeysUnavailable) as caught:
        store.find(kid)
    assert caught.value.retry_after >= 1
    return caught.value


def unknown(store: KeyStore, kid: str = "unknown") -> None:
    """Ask for a key that the pool does not have."""
    with pytest.raises(errors.UnknownKey):
        store.find(kid)


def at_once(count: int, ask: Callable[[int], object], gate: threading.Event) -> list[object]:
    """Ask in so many threads, open the gate when all of them have begun, and list what they got."""
    asking = threading.Barrier(count + 1)
    answers: list[object] = []

    def run(index: int) -> None:
        asking.wait(10)
        answers.append(ask(index))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    asking.wait(10)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert len(answers) == count
    return answers


def test_making_a_store_asks_nobody(server: JwksServer) -> None:
    """A process starts without keys."""
    server.store()
    assert server.fetches == 0


def test_keys_are_downloaded_once(server: JwksServer, kid: str, cognito_keys: PoolKeys) -> None:
    """All that follows within the hour is served from the process."""
    store = server.store()
    first = store.find(kid)
    for server.seconds in (1, 60, 3599):
        assert store.find(kid) == first
        assert store.find(str(cognito_keys.id.kid))[0] is first[0]
    assert server.uris == [URI]


def test_a_fetcher_is_told_its_address_and_its_deadline(good: bytes, kid: str) -> None:
    """Three seconds, as docs/tokens.md says, or what the operator sets."""
    told: list[tuple[str, float]] = []

    def fetch(uri: str, timeout: float) -> bytes:
        told.append((uri, timeout))
        return good

    assert KeyStore(URI, fetch=fetch).find(kid)
    assert KeyStore(URI, fetch=fetch, timeout=7).find(kid)
    assert told == [(URI, 3), (URI, 7)]


def test_any_number_of_threads_cause_one_download(server: JwksServer, kid: str) -> None:
    """All of them are served by it."""
    store, gate = server.store(), server.hold()
    found = at_once(50, lambda _: store.find(kid)[1], gate)
    assert len(set(map(id, found))) == 1
    assert server.fetches == 1


def test_an_unknown_key_causes_one_download_per_cooldown(server: JwksServer, kid: str) -> None:
    """However many there are, and good tokens go on all the while."""
    store = server.warm_store(kid)
    for start, fetches in ((100, 2), (130, 3), (1000, 4)):
        for server.seconds in (start, start + 1, start + 29.9):
            for index in range(20):
                unknown(store, f"unknown-{index}")
            assert store.find(kid)
        assert server.fetches == fetches


def outcome(store: KeyStore, kid: str) -> type[Exception] | None:
    """Ask for a key, and return how that fails."""
    try:
        store.find(kid)
    except errors.TokenError as error:
        return type(error)
    return None


def test_many_threads_with_unknown_keys_cause_one_download(server: JwksServer, kid: str) -> None:
    """A flood at once is no more than one. Requests that do not wait for it get 503."""
    store = server.warm_store(kid)
    found = at_once(30, lambda index: outcome(store, str(index)), server.hold())
    assert set(found) <= {errors.UnknownKey, KeysUnavailable}
    assert server.fetches == 2


def waiting(store: KeyStore, kid: str, count: int) -> list[threading.Thread]:
    """Let so many threads wait for the download of a key, and return them."""
    threads = [threading.Thread(target=outcome, args=(store, kid)) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def wait_until_full(limit: WaitLimit) -> None:
    """Wait until all places are taken."""
    deadline = time.monotonic() + 10
    while limit.free:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("threads", [2, 8])
def test_a_download_that_hangs_holds_never_all_threads(
    server: JwksServer, kid: str, new_kid: str, rotated: bytes, *, threads: int
) -> None:
    """Tokens of known keys are verified, others get 503 at once."""
    crowd = WaitLimit(threads - 1)
    store = server.warm_store(kid, timeout=60, crowd=crowd)
    server.body, gate = rotated, server.hold()
    holding = min(2, threads - 1)
    waiters = waiting(store, new_kid, holding)
    wait_until_full(DOWNLOADS_AWAITED if holding == 2 else crowd)
    for _ in range(16):
        assert outcome(store, new_kid) is KeysUnavailable
        assert outcome(store, kid) is None
    assert crowd.free == threads - 1 - holding
    gate.set()
    for thread in waiters:
        thread.join(10)
    assert outcome(store, new_kid) is None
    assert server.fetches == 2
    assert DOWNLOADS_AWAITED.free == 2


def test_downloads_of_several_pools_share_the_places(server: JwksServer, kid: str) -> None:
    """Two pools whose keys are away hold no more threads than one."""
    gate, others = server.hold(), JwksServer(server.body)
    store, other = server.store(timeout=60), others.warm_store(kid, timeout=60)
    waiters = waiting(store, kid, 2)
    wait_until_full(DOWNLOADS_AWAITED)
    others_gate = others.hold()
    assert outcome(other, "unknown") is KeysUnavailable
    for opened in (gate, others_gate):
        opened.set()
    for thread in waiters:
        thread.join(10)


def test_a_download_that_ended_just_now_is_not_made_again(server: JwksServer, kid: str) -> None:
    """A thread that looked before it ended looks once more instead of downloading."""
    store = server.store()
    seen = store._flight.ended
    store.find(kid)
    assert store._flight.wait(seen=seen)
    assert kid in store._look_again(seen, None).keys
    assert server.fetches == 1


def test_a_cold_process_lets_a_rush_wait_for_its_keys(server: JwksServer, kid: str) -> None:
    """For half a second, as long as no download failed: without keys nothing can be verified."""
    store, gate = server.store(crowd=WaitLimit(1, patience=10)), server.hold()
    assert at_once(16, lambda _: outcome(store, kid), gate) == [None] * 16
    server.body, server.seconds = requests.ConnectionError("down"), 86_400
    assert outcome(store, kid) is KeysUnavailable
    server.finish_all()
    server.hold()
    server.seconds += 30
    with DOWNLOADS_AWAITED.place(), DOWNLOADS_AWAITED.place():
        server.seconds -= 20
        assert outcome(store, kid) is KeysUnavailable  # at once: the last download failed


def test_a_cold_store_asks_once_for_an_unknown_key(server: JwksServer) -> None:
    """The download that was just made is the one that it may cause."""
    store = server.store()
    for server.seconds in (0, 10, 29):
        unknown(store)
    assert server.fetches == 1
    server.seconds = 30
    unknown(store)
    assert server.fetches == 2


def test_the_cooldown_can_be_set(server: JwksServer, kid: str) -> None:
    """Its length is the operator's."""
    store = server.warm_store(kid, cooldown=5)
    for server.seconds in (100, 104.9, 105, 109.9, 110):
        unknown(store)
    assert server.fetches == 1 + 3


def rotated_token(forge: Forge) -> str:
    """Write a token that is signed with the key that the pool publishes later."""
    key = forge.attacker.access
    return forge.token(forge.header(kid=key.kid), sign=rs256(key))


def test_the_first_token_after_a_rotation_works_at_once(
    forge: Forge, server: JwksServer, rotated: bytes
) -> None:
    """Nobody has to wait for a refresh, and the old keys' tokens stop with the new ones' first."""
    verifier = forge.verifier()
    verifier.verify(forge.token())
    server.seconds, server.body = 60, rotated
    assert verifier.verify(rotated_token(forge))
    assert server.fetches == 2
    with pytest.raises(errors.UnknownKey):
        verifier.verify(forge.token())


def test_during_the_cooldown_a_new_key_is_unknown_and_works_after_it(
    server: JwksServer, kid: str, new_kid: str, rotated: bytes
) -> None:
    """A flood just before a rotation delays it by the cool-down, not longer."""
    store = server.warm_store(kid)
    server.seconds = 100
    unknown(store)
    server.seconds, server.body = 101, rotated
    unknown(store, new_kid)
    server.seconds = 130
    assert store.find(new_kid)


def test_a_withdrawn_key_stops_with_the_next_refresh(
    forge: Forge, server: JwksServer, rotated: bytes
) -> None:
    """It serves until its hour is over and the refresh has arrived; remembered tokens stop, too."""
    verifier = forge.verifier()
    verifier.verify(forge.token())
    server.finish()
    server.body, server.seconds = rotated, 3599
    assert verifier.verify(forge.token())
    server.seconds = 3600
    gate = server.hold()
    assert verifier.verify(forge.token())
    gate.set()
    server.finish()
    with pytest.raises(errors.UnknownKey):
        verifier.verify(forge.token())
    assert verifier.verify(rotated_token(forge))


def test_a_refresh_without_news_costs_no_verification_anew(
    forge: Forge, server: JwksServer
) -> None:
    """The same keys, in any order, keep what was verified with them."""
    verifier = forge.verifier()
    verifier.verify(forge.token())
    server.finish()
    server.body, server.seconds = document(*reversed(forge.keys.jwks()["keys"])), 3600
    for _ in range(2):
        verifier.verify(forge.token())
        server.finish_all()
    stats = verifier.stats()
    assert (stats.verified, stats.cache_hits, server.fetches) == (1, 2, 2)
    assert stats.keys[forge.pool.pool_id].age == 0


def test_past_the_soft_age_requests_go_on_while_one_download_runs(
    server: JwksServer, kid: str
) -> None:
    """Nobody waits for it, and it is counted who was served old keys."""
    store = server.warm_store(kid)
    keys, _ = store.find(kid)
    server.seconds = 3600
    gate = server.hold()
    for _ in range(50):
        assert store.find(kid)[0] is keys
    assert store.stats().stale_serves == 50
    gate.set()
    server.finish()
    assert server.fetches == 2
    assert store.find(kid)
    assert store.stats().stale_serves == 50
    assert store.stats().age == 0
    server.seconds += 3599
    assert store.find(kid)
    assert server.fetches == 2


BAD_ANSWERS: dict[str, bytes | BaseException] = {
    "connection-refused": requests.ConnectionError("down"),
    "timeout": requests.Timeout("slow"),
    "os-error": OSError("down"),
    "value-error": ValueError("the JWKS server answered 500"),
    "runtime-error": RuntimeError("a bug in somebody's fetcher"),
    "recursion-error": RecursionError("a bug in somebody's fetcher"),
    "memory-error": MemoryError(),
    "html": b"<html>",
    "empty-set": b'{"keys":[]}',
    "empty-object": b"{}",
    "private-key-alone": document(rsa_jwk(2048) | {"d": "AQ"}),
    "two-keys-under-one-id": document(rsa_jwk(2048), rsa_jwk(2048, odd=2**40 + 1)),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_failed_refresh_keeps_the_keys(
    server: JwksServer, kid: str, answer: bytes | BaseException
) -> None:
    """The good set stays, the failure is counted, and a later refresh works."""
    store = server.warm_store(kid)
    keys, _ = store.find(kid)
    server.seconds, server.body, good = 3600, answer, server.body
    assert store.find(kid)[0] is keys
    server.finish()
    assert store.find(kid)[0] is keys
    stats = store.stats()
    assert (stats.downloads, stats.failed_downloads, stats.age) == (1, 1, 3600)
    server.seconds, server.body = 3601, good
    assert store.find(kid)
    server.finish()
    assert store.stats().age == 0


def test_a_failed_search_for_an_unknown_key_keeps_the_keys(server: JwksServer, kid: str) -> None:
    """An attacker and an outage together harm no good token, nor cause more downloads."""
    store = server.warm_store(kid)
    server.body = requests.ConnectionError("down")
    for server.seconds, fetches in ((100, 2), (101, 2), (129.9, 2), (130, 3)):
        unknown(store)
        assert store.find(kid)
        assert server.fetches == fetches


def test_during_the_download_for_one_new_key_others_wait_for_it(
    server: JwksServer, new_kid: str, kid: str, rotated: bytes
) -> None:
    """They are not refused, although the one download of the cool-down has begun."""
    store = server.warm_store(kid)
    server.body, gate = rotated, server.hold()
    found: list[object] = []
    first = threading.Thread(target=lambda: found.append(store.find(new_kid)))
    first.start()
    server.begun()
    threading.Timer(0.05, gate.set).start()
    found.append(store.find(new_kid))
    first.join(10)
    assert found[0] == found[1]
    assert server.fetches == 2


def test_after_a_failed_refresh_the_next_caller_waits_for_one(
    forge: Forge, server: JwksServer, rotated: bytes
) -> None:
    """A process that is stopped between requests ends no refresh in the background (AWS Lambda)."""
    verifier = forge.verifier()
    verifier.verify(forge.token())
    server.finish()
    server.hold()
    server.seconds = 3600
    assert verifier.verify(forge.token())  # with the keys at hand. Then the process is stopped
    server.seconds, server.body, server.gate = 4200, rotated, None
    with pytest.raises(errors.UnknownKey):
        verifier.verify(forge.token())
    assert verifier.verify(rotated_token(forge))


def test_only_one_caller_waits_after_a_failed_refresh(server: JwksServer, kid: str) -> None:
    """Others go on with the keys at hand, as without a failure."""
    store = server.warm_store(kid)
    good, server.body = server.body, OSError("down")
    server.seconds = 3600
    assert store.find(kid)
    server.finish()
    server.body, gate, server.seconds = good, server.hold(), 3601
    waiters = waiting(store, kid, 1)
    server.begun()
    for _ in range(20):
        assert outcome(store, kid) is None
    gate.set()
    waiters[0].join(10)
    assert (store.stats().age, store.stats().stale_serves) == (0, 21)


def test_a_clock_that_is_frozen_in_one_thread_makes_no_key_old(good: bytes, kid: str) -> None:
    """Freezegun leaves the clock to threads of their own: the caller's clock gives the age."""
    tests_thread = threading.current_thread()

    def clock() -> float:
        return 2_000_000_000 if threading.current_thread() is tests_thread else 100

    store = KeyStore(URI, fetch=lambda *_: good, clock=clock)
    assert store.find(kid)
    assert store.stats().age == 0


def test_a_clock_that_went_back_makes_keys_old(server: JwksServer, kid: str) -> None:
    """As after a test that froze the time: they are downloaded once more, and then kept."""
    server.seconds = 2_000_000_000
    store = server.warm_store(kid)
    server.seconds = 100
    assert store.find(kid)
    assert store.find(kid)
    assert server.fetches == 2
    server.seconds = 50
    assert store.find(kid)
    assert server.fetches == 3


def test_refreshes_that_fail_back_off(server: JwksServer, kid: str) -> None:
    """They are tried again after 1, 2, 4 … 30 s, whoever asks in between."""
    store = server.warm_store(kid)
    server.body, server.seconds = requests.ConnectionError("down"), 3600
    attempts: list[float] = []
    for tick in range(1000):
        server.seconds = 3600 + tick / 10
        assert store.find(kid)
        if store._flight.under_way or server.fetches > len(attempts) + 1:
            server.finish()
            attempts.append(server.seconds)
    waits = [round(later - earlier, 1) for earlier, later in itertools.pairwise(attempts)]
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_past_the_hard_age_there_are_no_keys(server: JwksServer, kid: str) -> None:
    """A day without a download and nobody can tell what the pool still publishes."""
    store = server.warm_store(kid)
    good, server.body = server.body, requests.ConnectionError("down")
    server.seconds = 86_399
    assert store.find(kid)
    server.finish()
    server.seconds = 86_400
    wait = unavailable(store, kid).retry_after
    assert not store.ready()
    server.body, server.seconds = good, server.seconds + wait
    assert store.find(kid)
    assert store.ready()


def test_who_comes_back_when_told_is_not_too_early(server: JwksServer, kid: str) -> None:
    """The time until the next download is rounded up to whole seconds."""
    store = server.warm_store(kid)
    server.body = requests.ConnectionError("down")
    for server.seconds in (3600, 3601, 3603, 3607, 3615, 86_399.5):
        assert store.find(kid)
        server.finish()
    server.seconds = 86_400
    assert unavailable(store, kid).retry_after == 30
    assert server.fetches == 7


def test_past_the_hard_age_a_verifier_answers_unavailable_for_remembered_tokens(
    forge: Forge, server: JwksServer
) -> None:
    """A cache does not outlive the keys: such a token is not refused, nobody can tell."""
    verifier = forge.verifier()
    verifier.verify(forge.token())
    server.body, server.seconds = requests.ConnectionError("down"), 86_400
    with pytest.raises(KeysUnavailable):
        verifier.verify(forge.token())


def test_the_ages_can_be_set(server: JwksServer, kid: str) -> None:
    """Soft and hard age are the operator's."""
    store = server.warm_store(kid, refresh=10, max_age=20)
    server.body = requests.ConnectionError("down")
    for server.seconds, fetches in ((9.9, 1), (10, 2)):
        assert store.find(kid)
        if fetches == 2:
            server.finish()
        assert server.fetches == fetches
    server.seconds = 20
    unavailable(store, kid)


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_cold_store_that_fails_says_when_to_come_back(
    server: JwksServer, kid: str, answer: bytes | BaseException
) -> None:
    """Nothing is fetched before then, whoever asks; at that time it recovers."""
    good, server.body = server.body, answer
    store = server.store()
    for attempt in range(1, 6):
        wait = unavailable(store, kid).retry_after
        assert server.fetches == attempt
        server.seconds += wait - 0.1
        assert unavailable(store, "any").retry_after == 1
        assert not store.ready()
        assert server.fetches == attempt
        server.seconds += 0.1
    server.body = good
    assert store.find(kid)
    assert (store.stats().downloads, store.stats().failed_downloads) == (1, 5)


def test_a_cold_store_tries_every_second(server: JwksServer, kid: str) -> None:
    """As docs/tokens.md says: without keys nothing works, so it does not wait longer each time."""
    server.body = requests.ConnectionError("down")
    store = server.store()
    for server.seconds in range(40):
        assert unavailable(store, kid).retry_after == 1
    assert server.fetches == 40


def test_after_a_recovery_the_back_off_begins_anew(server: JwksServer, kid: str) -> None:
    """Old failures are forgotten by one success."""
    good, server.body = server.body, requests.ConnectionError("down")
    store = server.store()
    for server.seconds in range(5):
        unavailable(store, kid)
    server.body, server.seconds = good, 5
    assert store.find(kid)
    server.body, server.seconds = requests.ConnectionError("down"), 4000
    for server.seconds, fetches in ((4000, 7), (4000.9, 7), (4001, 8), (4002.9, 8), (4003, 9)):
        store.find(kid)
        while store.stats().failed_downloads + store.stats().downloads < fetches:
            server.finish()
        assert server.fetches == fetches


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fetcher_that_ends_its_thread_does_not_end_the_store(
    server: JwksServer, kid: str
) -> None:
    """Even SystemExit, which is no Exception, is a failed download, time after time."""
    good, server.body = server.body, SystemExit()
    store = server.store(timeout=0.1)
    for server.seconds in range(0, 60, 10):
        unavailable(store, kid)
    server.body = good
    for server.seconds in (100, 200):  # the first may only note that the last one never came back
        with contextlib.suppress(KeysUnavailable):
            store.find(kid)
    server.finish_all()
    assert store.find(kid)


def test_no_thread_to_be_had_harms_nobody_who_has_keys(server: JwksServer, kid: str) -> None:
    """The refresh counts as failed, and is tried again."""
    store = server.warm_store(kid)
    spawn = store._flight._spawn

    def refuse(_run: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    store._flight._spawn, server.seconds = refuse, 3600
    assert store.find(kid)
    assert (store.stats().failed_downloads, server.fetches) == (1, 1)
    store._flight._spawn, server.seconds = spawn, 3601
    assert store.find(kid)
    server.finish()
    assert store.stats().age == 0


# Downloads that hang


def given_up(server: JwksServer, kid: str) -> tuple[KeyStore, threading.Event]:
    """Make a store whose first download hangs, and was given up after 0.05 s."""
    gate = server.hold()
    store = server.store(timeout=0.05)
    unavailable(store, kid)
    server.seconds = 0.05
    unavailable(store, kid)  # this one notes the failure, which is to be backed off from
    assert server.fetches == 1
    return store, gate


def test_who_waits_is_told_at_the_deadline(server: JwksServer, kid: str) -> None:
    """A fetch that hangs costs each waiter the timeout; then another download may start."""
    began = time.monotonic()
    store, gate = given_up(server, kid)
    assert 0.04 < time.monotonic() - began < 2
    server.gate, server.seconds = None, 1.05
    assert store.find(kid)
    assert server.fetches == 2
    gate.set()
    server.finish()


def test_hanging_downloads_do_not_pile_up(server: JwksServer, kid: str) -> None:
    """While three of them hang, no fourth begins, however long that lasts."""
    gate = server.hold()
    store = server.store(timeout=0.001)
    for _ in range(100):
        unavailable(store, kid)
        server.seconds += 5
    assert server.fetches == 3
    gate.set()
    server.finish_all()
    server.seconds += 5
    assert store.find(kid)


def test_several_waiters_are_each_told_at_the_deadline(server: JwksServer, kid: str) -> None:
    """None of them hangs with the fetch."""
    gate = server.hold()
    store = server.store(timeout=0.1)
    at_once(20, lambda _: unavailable(store, kid), threading.Event())
    assert server.fetches == 1
    gate.set()


def test_a_late_success_counts(server: JwksServer, kid: str) -> None:
    """Keys are keys, even when everybody has stopped waiting for them."""
    store, gate = given_up(server, kid)
    gate.set()
    server.finish()
    assert store.find(kid)
    assert store.ready()
    assert server.fetches == 1


def test_a_late_answer_never_replaces_a_later_one(
    server: JwksServer, kid: str, new_kid: str, rotated: bytes
) -> None:
    """A download that began before a rotation brings no withdrawn key back when it arrives."""
    store, gate = given_up(server, kid)
    server.gate, server.seconds, server.body = None, 1.05, rotated
    assert store.find(new_kid)
    gate.set()
    server.finish()
    unknown(store, kid)
    assert store.find(new_kid)


def test_a_late_failure_does_not_count_against_a_later_success(
    server: JwksServer, kid: str, new_kid: str, rotated: bytes
) -> None:
    """It was counted when it was given up, and does not delay the next rotation."""
    good, server.body = server.body, requests.Timeout("slow")
    store, gate = given_up(server, kid)
    server.gate, server.seconds, server.body = None, 1.05, good
    assert store.find(kid)
    gate.set()
    server.finish()
    server.body = rotated
    assert store.find(new_kid)
    assert store.stats().failed_downloads == 1


def test_a_refresh_that_hangs_keeps_nobody_waiting(server: JwksServer, kid: str) -> None:
    """The keys at hand serve until the hard age; three seconds on, a later refresh may start."""
    store = server.warm_store(kid)
    gate = server.hold()
    for server.seconds in (3600, 3602.9):
        assert store.find(kid)
        assert store.stats().failed_downloads == 0
    server.gate, server.seconds = None, 3603
    assert store.find(kid)  # gives it up
    server.seconds = 3604
    assert store.find(kid)  # starts another
    gate.set()
    server.finish()
    server.finish()
    assert server.fetches == 3
    assert store.stats().age == 0


def test_ready_starts_one_download_and_does_not_wait(server: JwksServer, kid: str) -> None:
    """A probe warms a process up, and is never slow."""
    gate = server.hold()
    store = server.store()
    began = time.monotonic()
    assert [store.ready() for _ in range(20)] == [False] * 20
    assert time.monotonic() - began < 1
    gate.set()
    server.finish()
    assert store.ready()
    assert store.find(kid)
    assert server.fetches == 1


def test_a_verifier_is_ready_when_its_keys_are(forge: Forge, server: JwksServer) -> None:
    """It asks every pool for its keys, and does not wait either."""
    gate = server.hold()
    others = JwksServer(published(forge.attacker))
    other = TrustedPool("us-east-1_Other", client_ids=None, keys=others.store())
    verifier = forge.verifier(also_trust=[other])
    assert not verifier.ready()
    others.finish()
    assert not verifier.ready()
    gate.set()
    server.finish()
    assert verifier.ready()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_forked_process_downloads_for_itself(server: JwksServer, kid: str, *, warm: bool) -> None:
    """Forked during a download, with its lock held: the child has neither, and works."""
    store = server.warm_store(kid) if warm else server.store()
    server.seconds = 86_400 if warm else 0
    gate = server.hold()
    store.ready()
    reading, writing = os.pipe()
    with store._flight.lock:
        child = os.fork()
        if child == 0:
            try:
                server.gate, server._threads = None, queue.Queue()
                store.find(kid)
                os.write(writing, b"found")
            finally:
                os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], 10)
        if not ready:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert ready, "the child hangs"
        assert pipe.read() == b"found"
    gate.set()
    server.finish()
    assert store.find(kid), "the parent goes on"


# The download


def test_a_good_answer_is_returned_as_it_is(good: bytes) -> None:
    """With one request, to the address that was given."""
    with responses.RequestsMock() as mock:
        mock.get(URI, body=good)
        assert fetch_jwks(URI, 1) == good
        assert [call.request.url for call in mock.calls] == [URI]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_its_target_not_contacted(good: bytes, status: int) -> None:
    """Whoever can redirect does not get to choose our keys."""
    elsewhere = "https://elsewhere.example/jwks.json"
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(URI, status=status, headers={"Location": elsewhere})
        target = mock.get(elsewhere, body=good)
        with pytest.raises(ValueError, match=str(status)):
            fetch_jwks(URI, 1)
        assert target.call_count == 0
        assert len(mock.calls) == 1


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 403, 404, 429, 500, 502, 503])
def test_only_200_is_an_answer(good: bytes, status: int) -> None:
    """An error page is no key set, whatever stands in it, and it is not asked for again at once."""
    with responses.RequestsMock() as mock:
        mock.get(URI, status=status, body=good)
        with pytest.raises(ValueError, match=str(status)):
            fetch_jwks(URI, 1)
        assert len(mock.calls) == 1


@pytest.mark.parametrize("error", [requests.ConnectionError, requests.Timeout, ConnectionError])
def test_a_network_error_is_an_os_error(error: type[OSError]) -> None:
    """That is what a fetcher raises."""
    with responses.RequestsMock() as mock:
        mock.get(URI, body=error("down"))
        with pytest.raises(OSError, match="down"):
            fetch_jwks(URI, 1)


@pytest.mark.parametrize(
    ("size", "fits"),
    [(MEBIBYTE, True), (MEBIBYTE + 1, False), (10 * MEBIBYTE, False)],
    ids=["1-MiB", "1-MiB-and-a-byte", "10-MiB"],
)
def test_more_than_a_mebibyte_is_not_read(size: int, *, fits: bool) -> None:
    """A key set has a few kilobytes."""
    with responses.RequestsMock() as mock:
        mock.get(URI, body=b" " * size)
        if fits:
            assert len(fetch_jwks(URI, 5)) == size
        else:
            with pytest.raises(ValueError, match="1 MiB"):
                fetch_jwks(URI, 5)


@pytest.mark.parametrize(
    "uri",
    [
        "http://keys.example/jwks.json",
        "HTTP://keys.example/jwks.json",
        "http://127.0.0.1.evil.example/jwks.json",
        "http://localhost.evil.example/jwks.json",
        "http://127.0.0.1@evil.example/jwks.json",
        "http://evil.example/#@127.0.0.1/",
        "http://evil.example?@localhost/",
        "http://10.0.0.1/jwks.json",
        "ftp://keys.example/jwks.json",
        "file:///etc/passwd",
        "//keys.example/jwks.json",
        "keys.example/jwks.json",
        "",
    ],
)
def test_plain_http_is_refused_without_a_request(uri: str) -> None:
    """Only loopback may do without TLS, and only if it is loopback."""
    with responses.RequestsMock() as mock:
        with pytest.raises(ValueError, match="https"):
            fetch_jwks(uri, 1)
        assert len(mock.calls) == 0


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:5001/jwks.json",
        "http://localhost:5001/jwks.json",
        "http://LOCALHOST:5001/jwks.json",
        "http://[::1]:5001/jwks.json",
        "HTTPS://keys.example/jwks.json",
    ],
)
def test_loopback_may_do_without_tls(uri: str, good: bytes) -> None:
    """An emulator has no certificate."""
    with responses.RequestsMock() as mock:
        mock.get(uri, body=good)
        assert fetch_jwks(uri, 1) == good


class _Drip(BaseHTTPRequestHandler):
    """Sends a byte every 20 ms: each read succeeds, the whole takes 1.5 s."""

    def do_GET(self) -> None:
        """Answer slowly."""
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 75\r\n\r\n")
        stop: threading.Event = self.server.stop  # type: ignore[attr-defined]
        for _ in range(75):
            if stop.wait(0.02):
                return
            try:
                self.wfile.write(b" ")
            except OSError:
                return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def slow_server() -> Iterator[str]:
    """A real server on loopback that drips."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Drip)
    server.stop = stop = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_ends_at_its_deadline(slow_server: str) -> None:
    """The time allowed is for the whole body, however often a byte of it arrives."""
    began = time.monotonic()
    with pytest.raises((TimeoutError, requests.Timeout)):
        fetch_jwks(slow_server, 0.3)
    assert time.monotonic() - began < 1.0


def test_nobody_waits_for_a_slow_server_beyond_the_deadline(slow_server: str) -> None:
    """Whatever the download does, who needs a key is told in time."""
    store = KeyStore(slow_server, timeout=0.3)
    began = time.monotonic()
    unavailable(store, "any")
    assert time.monotonic() - began < 1.0
