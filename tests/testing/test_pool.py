"""The pool of a test: what it mints, and what happens to its keys."""

import asyncio
import importlib
import json
import sys
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import httpx
import httpx2
import pytest
import requests
import responses
import urllib3

from resource_server import CognitoVerifier, InvalidToken
from resource_server.testing import CognitoOptions, CognitoPool, bearer
from resource_server.testing.serving import JwksServer, intercepted, register
from resource_server.tokens import KeysUnavailable

Download = Callable[[str], list[str]]


def _kids(answer: bytes) -> list[str]:
    return [key["kid"] for key in json.loads(answer)["keys"]]


def _by_requests(uri: str) -> list[str]:
    return _kids(requests.get(uri, timeout=5).content)


def _by_urlopen(uri: str) -> list[str]:
    with urllib.request.urlopen(uri, timeout=5) as answer:  # noqa: S310 - the pool's address
        return _kids(answer.read())


def _by_an_opener(uri: str) -> list[str]:
    with urllib.request.build_opener().open(uri, timeout=5) as answer:
        return _kids(answer.read())


def _by_httpx(uri: str) -> list[str]:
    return _kids(httpx.get(uri).content)


def _by_httpx2(uri: str) -> list[str]:
    with httpx2.Client() as client:
        return _kids(client.get(uri).content)


def _by_httpx_asynchronously(uri: str) -> list[str]:
    async def download() -> bytes:
        async with httpx2.AsyncClient() as client:
            return (await client.get(uri)).content

    return _kids(asyncio.run(download()))


def _by_urllib3(uri: str) -> list[str]:
    return _kids(urllib3.PoolManager().request("GET", uri, timeout=5).data)


def _by_a_connection_pool(uri: str) -> list[str]:
    address = urlsplit(uri)
    with urllib3.HTTPSConnectionPool(str(address.hostname)) as connections:
        answer = connections.request("GET", f"{address.path}?now", preload_content=False)
        return _kids(answer.read())


def _verifier(pool: CognitoPool) -> CognitoVerifier:
    return CognitoVerifier(pool.user_pool, client_ids={pool.client_id})


@pytest.mark.parametrize(
    "download",
    [
        _by_requests,
        _by_urlopen,
        _by_an_opener,
        _by_httpx,
        _by_httpx2,
        _by_httpx_asynchronously,
        _by_urllib3,
        _by_a_connection_pool,
    ],
)
def test_keys_are_intercepted_at_aws_own_address(pool: CognitoPool, download: Download) -> None:
    """`requests`, urllib, urllib3 and httpx download the pool's two keys."""
    assert pool.jwks_uri.startswith("https://cognito-idp.eu-west-2.amazonaws.com/")
    with intercepted(pool):
        assert download(pool.jwks_uri) == [pool.keys.id.kid, pool.keys.access.kid]
    assert pool.downloads == 1


def test_what_is_not_the_pools_is_not_answered(pool: CognitoPool) -> None:
    """Another host is refused to `requests`; urllib is left to the guard against sockets."""
    with intercepted(pool):
        with pytest.raises(requests.ConnectionError):
            requests.get("https://example.com/keys.json", timeout=1)
        with pytest.raises((URLError, RuntimeError)), pytest.warns(UserWarning, match="socket"):
            urllib.request.urlopen("https://192.0.2.1/keys.json", timeout=1)


def test_loopback_is_left_alone(pool: CognitoPool, cognito_http: JwksServer) -> None:
    """An app under test may ask a server of its own; a name that begins alike is no loopback."""
    with intercepted(pool):
        answer = requests.get(f"{cognito_http.address}/x/.well-known/jwks.json", timeout=5)
        assert answer.status_code == 404
        with pytest.raises(requests.ConnectionError):
            requests.get("http://127.0.0.1.example.com/", timeout=1)


def test_a_mock_of_ones_own_can_answer_for_a_further_pool(pool: CognitoPool) -> None:
    """A RequestsMock that a test starts later refuses other pools until `register` adds one."""
    further = CognitoPool("eu-west-2_Further1", keys=pool.keys)
    with intercepted(pool), responses.RequestsMock() as mine:
        assert len(_by_requests(pool.jwks_uri)) == 2
        with pytest.raises(requests.ConnectionError):
            _by_requests(further.jwks_uri)
        register(mine, further)
        assert len(_by_requests(further.jwks_uri)) == 2
    assert (pool.downloads, further.downloads) == (1, 1)


def test_httpx_is_told_of_an_outage_and_left_alone_elsewhere(pool: CognitoPool) -> None:
    """No answer from the pool is httpx's own error; other hosts are the socket guard's."""
    with intercepted(pool):
        with pool.outage(), pytest.raises(httpx.ConnectError):
            _by_httpx(pool.jwks_uri)
        with pool.outage(), pytest.raises(httpx2.ConnectError):
            _by_httpx_asynchronously(pool.jwks_uri)
        with pool.outage(500):
            assert httpx.get(pool.jwks_uri).status_code == 500
        with pytest.raises(RuntimeError), pytest.warns(UserWarning, match="socket"):
            httpx.get("https://192.0.2.1/keys.json")


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_httpx_that_is_imported_later_is_answered(
    monkeypatch: pytest.MonkeyPatch, pool: CognitoPool, name: str
) -> None:
    """As by an app that imports it in a function. Afterwards it is as it was."""
    for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    with intercepted(pool):
        assert name not in sys.modules
        module: Any = importlib.import_module(name)
        assert _kids(module.get(pool.jwks_uri).content) == [
            pool.keys.id.kid,
            pool.keys.access.kid,
        ]
        assert importlib.reload(module) is module
        assert len(_kids(module.get(pool.jwks_uri).content)) == 2
        with intercepted(further := CognitoPool("eu-west-2_Further1", keys=pool.keys)):
            assert len(_kids(module.get(further.jwks_uri).content)) == 2
    assert module.HTTPTransport.handle_request.__module__.startswith(name)
    assert module.AsyncHTTPTransport.handle_async_request.__module__.startswith(name)
    assert not any("resource_server" in type(finder).__module__ for finder in sys.meta_path)


def test_urllib3_is_told_of_an_outage(pool: CognitoPool) -> None:
    """No response from the pool is urllib3's own error."""
    with intercepted(pool):
        with pool.outage(), pytest.raises(urllib3.exceptions.HTTPError):
            _by_urllib3(pool.jwks_uri)
        with pool.outage(503):
            assert urllib3.request("GET", pool.jwks_uri, retries=False).status == 503


def test_interception_ends(pool: CognitoPool) -> None:
    """Nothing stays patched."""
    before = _patched()
    with intercepted(pool):
        assert not set(_patched()) & set(before)
    assert _patched() == before


def _patched() -> tuple[object, ...]:
    return (
        requests.adapters.HTTPAdapter.send,
        requests.Session.get_adapter,
        urllib.request.HTTPSHandler.https_open,
        urllib3.HTTPConnectionPool.urlopen,
        httpx.HTTPTransport.handle_request,
        httpx2.AsyncHTTPTransport.handle_async_request,
    )


@pytest.mark.parametrize("download", [_by_requests, _by_urlopen])
def test_a_server_on_loopback_serves_anybody(
    pool: CognitoPool, cognito_http: JwksServer, download: Download
) -> None:
    """It serves a pool as long as it is asked to; then there is no such pool."""
    with cognito_http.serving(pool):
        uri = pool.jwks_uri
        assert uri == f"{cognito_http.address}/{pool.pool_id}/.well-known/jwks.json"
        assert len(download(uri)) == 2
    assert pool.jwks_uri != uri
    with pytest.raises((requests.HTTPError, HTTPError)):
        requests.get(uri, timeout=5).raise_for_status() if download is _by_requests else (
            download(uri)
        )


def test_former_keys_stay_until_they_are_withdrawn(pool: CognitoPool) -> None:
    """After a rotation both generations verify; once withdrawn, the old ones do not."""
    first = pool.access_token()
    verifier = _verifier(pool)
    with intercepted(pool):
        verifier.verify(first)
        pool.rotate()
        second = pool.access_token()
        verifier.verify(second)
        assert len(pool.jwks()["keys"]) == 4
        _verifier(pool).verify(first)
        pool.rotate(withdraw=True)
        assert len(pool.jwks()["keys"]) == 2
        with pytest.raises(InvalidToken):
            _verifier(pool).verify(second)
        _verifier(pool).verify(pool.access_token())


@pytest.mark.parametrize(
    ("status", "body"), [(None, b""), (500, b""), (200, b"<html>"), (200, b"{}"), (302, b"")]
)
@pytest.mark.parametrize("served", ["intercepted", "http"])
def test_an_outage_is_one_for_everybody_until_it_ends(
    pool: CognitoPool, cognito_http: JwksServer, served: str, status: int | None, body: bytes
) -> None:
    """No verifier gets keys meanwhile, whatever the pool answers instead; then all do."""
    serve = intercepted(pool) if served == "intercepted" else cognito_http.serving(pool)
    with serve:
        uri = pool.jwks_uri
        with pool.outage(status, body):
            with pytest.raises(KeysUnavailable):
                _verifier(pool).verify(pool.access_token())
            with pytest.raises((URLError, OSError, ValueError, KeyError)):
                _by_urlopen(uri)
        assert len(_by_urlopen(uri)) == 2


def test_outages_nest(pool: CognitoPool) -> None:
    """The inner one ends, the outer one goes on."""
    with pool.outage(500):
        with pool.outage(503):
            assert pool.answer().status == 503
        assert pool.answer().status == 500
    assert pool.answer().status == 200


def test_a_name_is_a_user_and_none_is_left_out(pool: CognitoPool) -> None:
    """Tokens of one name share a `sub`; a claim that is None is not in the token."""
    with intercepted(pool):
        verify = _verifier(pool).verify
        ada, again = verify(pool.access_token()), verify(pool.access_token(scope="me"))
        bob = verify(pool.access_token(username="bob", scope=None, groups=["x"], device_key="d"))
    assert ada.sub == again.sub == pool.sub_of("ada") != bob.sub
    assert "scope" not in bob.claims
    assert (bob.claims["device_key"], bob.claims["cognito:groups"]) == ("d", ["x"])


def test_bearer_presents_a_token(pool: CognitoPool) -> None:
    """As RFC 6750 section 2.1 writes it."""
    assert bearer("x") == {"Authorization": "Bearer x"}
    with intercepted(pool):
        text = pool.bearer(scope="me")["Authorization"].removeprefix("Bearer ")
        assert _verifier(pool).verify(text).scopes == {"me"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"client_secret": "short"}, "24 to 64 characters"),
        ({"jwks": "ftp"}, "'intercepted' or 'http'"),
        ({"unguarded": ["windows"]}, "no such guard: windows"),
    ],
    ids=str,
)
def test_options_that_would_be_ignored_are_refused(wrong: dict[str, object], says: str) -> None:
    """With a sentence that says what there is."""
    with pytest.raises(ValueError, match=says):
        CognitoOptions(**wrong)  # type: ignore[arg-type]
