"""Attacks on the whole app over HTTP: one for each reason to refuse a token, and what it answers.

The token core's own tests have the cases one by one. Covered in tests/tokens/, in code of our own:
of aws-jwt-verify's unit tests the groups "parse errors" (17 cases: test_parsing, test_verifier,
test_claims), "expiry" (5) and "not before" (4: test_claims), "kid errors" (2, and no `kid`:
test_verifier), those on keys (7 for RSA: test_keys) and the Cognito verifier's (ID token, token use
missing, client, pool id, several pools: test_verifier, test_claims, test_pool); of Wycheproof's JWS
vectors the 12 that take an RS256 token's parts away or change them (7 in test_parsing, 5 in
test_verifier), the none algorithm (4: test_verifier), and the family of 213 with a modified
PKCS #1 v1.5 padding (test_padding); and the flaws of the advisories on Authlib, PyJWT, joserfc and
python-jose that concern RS256.
"""

import time
from collections.abc import Callable

import responses
from flask.testing import FlaskClient

from resource_server.testing import bearer
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import errors
from tests.conftest import CHALLENGE, METADATA
from tests.tokens.doubles import encoded

Attack = Callable[[CognitoPool], str]
SCOPE = "me randoms"
INVALID = f'{CHALLENGE}, error="invalid_token"'


def good(pool: CognitoPool) -> str:
    """Mint a token that lets its bearer in."""
    return pool.access_token(scope=SCOPE)


def with_header(pool: CognitoPool, header: str) -> str:
    """Put another header before a good payload and its signature."""
    return ".".join([encoded(header.encode()), *good(pool).split(".")[1:]])


def claiming(**claims: object) -> Attack:
    """Let the pool sign what it never would."""
    return lambda pool: pool.access_token(**{"scope": SCOPE} | claims)  # type: ignore[arg-type]


# The deny list's refusal is in test_revocations.py: it takes a sign-out.
ATTACKS: dict[type[errors.InvalidToken], Attack] = {
    errors.TokenTooLarge: lambda pool: good(pool) + "A" * 32_768,
    errors.MalformedToken: lambda pool: good(pool) + "==",
    errors.UnsupportedAlgorithm: lambda pool: with_header(pool, '{"alg":"none","kid":"k"}'),
    errors.UnsupportedHeader: lambda pool: with_header(
        pool, '{"alg":"RS256","kid":"k","crit":["x"]}'
    ),
    errors.MissingKeyId: lambda pool: with_header(pool, '{"alg":"RS256"}'),
    errors.UnknownKey: lambda pool: with_header(
        pool, '{"alg":"RS256","kid":"mine","jku":"https://evil.example/"}'
    ),
    errors.BadSignature: lambda pool: with_header(
        pool, f'{{"alg":"RS256","kid":"{pool.keys.access.kid}","typ":"JWT"}}'
    ),
    errors.WrongIssuer: claiming(iss="https://evil.example"),
    errors.WrongTokenUse: lambda pool: pool.id_token(),
    errors.WrongClient: claiming(client_id="evil"),
    errors.WrongAudience: claiming(aud="https://evil.example"),
    errors.ExpiredToken: claiming(expires_in=-60),
    errors.TokenNotYetValid: claiming(nbf=int(time.time()) + 3600),
    errors.InvalidClaim: claiming(groups="admins"),
}


def test_each_attack_is_refused_and_told_why(
    client: FlaskClient, cognito_pool: CognitoPool, jwks: responses.RequestsMock
) -> None:
    """401 with the reason's sentence (RFC 6750 section 3.1), nothing else; good tokens go on."""
    answers = {}
    for error, attack in ATTACKS.items():
        refused = client.get("/randoms", headers=bearer(attack(cognito_pool)))
        answers[error] = (refused.status_code, refused.json, refused.headers["WWW-Authenticate"])
        assert client.get("/randoms", headers=bearer(good(cognito_pool))).status_code == 200
    assert answers == {
        error: (
            401,
            {"detail": error.description},
            f'{INVALID}, error_description="{error.description}", {METADATA}',
        )
        for error in ATTACKS
    }
    # Once for the first token, once for the unknown key, and of nobody else.
    assert [call.request.url for call in jwks.calls] == [cognito_pool.jwks_uri] * 2


def test_every_reason_has_its_attack() -> None:
    """A new class of refusal takes its place in the table."""
    assert {*ATTACKS, errors.RevokedToken} == set(errors.InvalidToken.__subclasses__())


def test_somebody_elses_pool_of_the_same_name_is_a_stranger(
    client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Whoever copies id, client and claims, and even the `kid`, still lacks the key."""
    copy = CognitoPool(cognito_pool.pool_id, cognito_pool.client_id)  # with keys of its own
    _, payload, signature = good(copy).split(".")
    under_our_kid = f"{good(cognito_pool).split('.')[0]}.{payload}.{signature}"
    for token, error in ((good(copy), errors.UnknownKey), (under_our_kid, errors.BadSignature)):
        refused = client.get("/randoms", headers=bearer(token))
        assert (refused.status_code, refused.json) == (401, {"detail": error.description})


def test_no_scope_is_gained_by_another_kind_of_space(
    client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """Scopes are parted by U+0020 alone (RFC 6749 section 3.3): such a token is not Cognito's."""
    for space, status in (("\t", 401), ("\n", 401), ("\u00a0", 401), (",", 403)):
        token = cognito_pool.access_token(scope=f"me{space}randoms")
        assert client.get("/randoms", headers=bearer(token)).status_code == status
