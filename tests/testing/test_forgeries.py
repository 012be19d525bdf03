"""The catalogue: each forgery differs from a genuine token in what its name says."""

import json
import re

import pytest

from resource_server.testing.attacks import TRANSPORTS
from resource_server.testing.forgeries import (
    FORGERIES,
    Draft,
    Severity,
    attacker,
    attackers_documents,
    forge,
)
from resource_server.testing.forgeries.algorithms import ALGORITHMS
from resource_server.testing.forgeries.claims import CLAIMS
from resource_server.testing.forgeries.draft import private_key
from resource_server.testing.forgeries.encodings import ENCODINGS
from resource_server.testing.forgeries.forgery import Forgery
from resource_server.testing.forgeries.headers import HEADERS
from resource_server.testing.forgeries.scopes import SCOPES
from resource_server.testing.forgeries.signatures import SIGNATURES
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import UserPool
from tests.testing.verifiers import SCOPE, decoded, is_signed, public_keys, taken_apart

# What a name's first word stands for, where it is not the claim itself.
CHANGED = {
    "token": {"token_use"},
    "client": {"client_id", "aud"},
    "other": {"client_id"},
    "expired": {"exp"},
    "nbf": {"nbf", "exp"},
    "iat": {"iat", "exp"},
    "scope": {"scope", "cognito:groups"},
}


@pytest.fixture
def draft(pool: CognitoPool) -> Draft:
    """A genuine token."""
    return Draft.of(pool, pool.access_token(scope=SCOPE))


@pytest.mark.parametrize("name", FORGERIES)
def test_every_forgery_is_made_by_its_name(pool: CognitoPool, name: str) -> None:
    """It is another text than any genuine token, and fit to be sent as a header."""
    token = forge(pool, name, scope=SCOPE)
    assert token != pool.access_token(scope=SCOPE)
    assert token.encode("latin-1").isascii() or name == "not-ascii"
    assert not re.search(r"[\r\n\0]", token)


@pytest.mark.parametrize("name", FORGERIES)
def test_every_forgery_says_what_it_is_for(name: str) -> None:
    """A name in kebab-case, a sentence, and the rule: an RFC's section or the Cognito guide."""
    forgery = FORGERIES[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", forgery.name)
    assert re.fullmatch(r"(It|Its) [^\n]+\.", forgery.flaw)
    assert re.match(r"RFC \d{4} section|Cognito guide, ", forgery.source)
    assert 401 in forgery.statuses


def test_names_are_given_once() -> None:
    """No attack hides another one."""
    groups = (ALGORITHMS, CLAIMS, ENCODINGS, HEADERS, SCOPES, SIGNATURES)
    assert sum(map(len, groups)) == len(FORGERIES)
    assert not set(FORGERIES) & set(TRANSPORTS)


@pytest.mark.parametrize(
    "forgery", [f for f in (*CLAIMS, *SCOPES) if f.name != "id-token"], ids=lambda f: f.name
)
def test_only_the_claim_of_its_name_is_changed(draft: Draft, forgery: Forgery) -> None:
    """The pool's key signed it, under the usual header: nothing else is a reason to refuse it."""
    token = taken_apart(forgery.write(draft))
    assert token.header == {"kid": draft.kid, "alg": "RS256"}
    assert is_signed(public_keys(draft.pool.jwks())[draft.kid], token)
    names = token.claims.keys() | draft.claims.keys()
    changed = {n for n in names if token.claims.get(n, ...) != draft.claims.get(n, ...)}
    word = forgery.name.partition("-")[0]
    assert changed
    assert changed <= CHANGED.get(word, {word})


def test_an_id_token_is_the_pools_own(draft: Draft) -> None:
    """It is what the same user's client gets beside the access token."""
    token = taken_apart(FORGERIES["id-token"].write(draft))
    assert (token.claims["sub"], token.claims["token_use"]) == (draft.claims["sub"], "id")
    assert is_signed(public_keys(draft.pool.jwks())[token.header["kid"]], token)


ATTACKERS = [
    name
    for name, forgery in FORGERIES.items()
    if forgery.severity is Severity.CRITICAL
    and name.startswith(("other-key", "unknown-key-id", "other-pool", "jwk", "jku", "x5", "kid-"))
    and name not in {"jwk-symmetric", "kid-path-traversal", "kid-sql"}
]


@pytest.mark.parametrize("name", ATTACKERS)
def test_the_attackers_signature_is_good_under_his_own_key(draft: Draft, name: str) -> None:
    """Whoever looks at that key finds nothing wrong."""
    token = taken_apart(FORGERIES[name].write(draft))
    assert is_signed(private_key(attacker.key()).public_key(), token)
    if name != "other-pool":
        assert token.claims == draft.claims


def test_the_attacker_serves_his_key_where_his_tokens_say(pool: CognitoPool) -> None:
    """At the `jku` of one, and at the address that the other pool's issuer leads to."""
    served = {at: write() for at, write in attackers_documents(pool).items()}
    jku = taken_apart(forge(pool, "jku")).header
    other = taken_apart(forge(pool, "other-pool"))
    issuer = other.claims["iss"]
    assert issuer in UserPool.parse(issuer.rpartition("/")[2]).issuers
    for uri in (jku["jku"], f"{issuer}/.well-known/jwks.json"):
        [key] = json.loads(served[uri])["keys"]
        assert key["kid"] == jku["kid"] == other.header["kid"]
        assert "d" not in key
    assert served[taken_apart(forge(pool, "x5u")).header["x5u"]].startswith(b"-----BEGIN CERT")
    assert pool.jwks_uri not in served


def test_the_attackers_key_is_made_once(pool: CognitoPool) -> None:
    """A key takes a tenth of a second: a process has one, for any pool."""
    one, two = (taken_apart(forge(p, "jwk")).header for p in (pool, CognitoPool(keys=pool.keys)))
    assert one["jwk"] == two["jwk"]


def test_a_forgery_takes_the_claims_of_a_genuine_token(pool: CognitoPool) -> None:
    """User, scope and further claims are the caller's."""
    claims = taken_apart(forge(pool, "other-key", username="grace", scope="a", tenant="t")).claims
    assert (claims["username"], claims["scope"], claims["tenant"]) == ("grace", "a", "t")
    assert claims["sub"] == pool.sub_of("grace")


@pytest.mark.parametrize(
    ("name", "close"),
    [("alg-non", "alg-none"), ("expird", "expired"), ("zzzzzzzzzzzz", "FORGERIES has them all")],
)
def test_an_unknown_name_is_told_what_is_close(pool: CognitoPool, name: str, close: str) -> None:
    """A slip of the pen is a LookupError that helps."""
    with pytest.raises(LookupError, match=f"no forgery is called '{name}'; .*{close}"):
        forge(pool, name)


@pytest.mark.parametrize(
    ("name", "scope"),
    [("scope-prefix", None), ("scope-lacks-last", "one"), ("scope-other-case", "1/2")],
)
def test_a_scope_too_short_for_a_forgery_is_told(
    pool: CognitoPool, name: str, scope: str | None
) -> None:
    """Without a scope there is none to forge, and the token would be a good one."""
    with pytest.raises(ValueError, match="give what a route needs"):
        forge(pool, name, scope=scope)


def test_what_is_spelt_otherwise_reads_alike(draft: Draft) -> None:
    """The spellings that only strict sends are the genuine token to a lenient decoder."""
    genuine = decoded(draft.parts[2])
    for name in ("padded", "stray-bits", "stray-characters"):
        assert decoded(FORGERIES[name].write(draft).split(".")[2]) == genuine, name
