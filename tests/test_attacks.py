"""Attacks on the whole app over HTTP: one for each reason to refuse a token, and what it answers.

test_policies.py puts every route through all attacks of the kit; the token core's own tests have
the cases one by one. Covered in tests/tokens/, in code of our own:
of aws-jwt-verify's unit tests the groups "parse errors" (17 cases: test_parsing, test_verifier,
test_claims), "expiry" (5) and "not before" (4: test_claims), "kid errors" (2, and no `kid`:
test_verifier), those on keys (7 for RSA: test_keys) and the Cognito verifier's (ID token, token use
missing, client, pool id, several pools: test_verifier, test_claims, test_pool); of Wycheproof's JWS
vectors the 12 that take an RS256 token's parts away or change them (7 in test_parsing, 5 in
test_verifier), the none algorithm (4: test_verifier), and the family of 213 with a modified
PKCS #1 v1.5 padding (test_padding); and the flaws of the advisories on Authlib, PyJWT, joserfc and
python-jose that concern RS256.
"""

import responses
from flask.testing import FlaskClient

from resource_server.testing import bearer
from resource_server.testing.forgeries import forge
from resource_server.testing.pool import CognitoPool
from resource_server.tokens import errors
from tests.conftest import CHALLENGE, METADATA

SCOPE = "me randoms"
INVALID = f'{CHALLENGE}, error="invalid_token"'

# The deny list's refusal is in test_revocations.py: it takes a sign-out.
FORGERIES: dict[type[errors.InvalidToken], str] = {
    errors.TokenTooLarge: "huge",
    errors.MalformedToken: "padded",
    errors.UnsupportedAlgorithm: "alg-none",
    errors.UnsupportedHeader: "crit-unknown",
    errors.MissingKeyId: "kid-missing",
    errors.UnknownKey: "jku",
    errors.BadSignature: "other-key",
    errors.WrongIssuer: "iss-other-pool",
    errors.WrongTokenUse: "id-token",
    errors.WrongClient: "other-client",
    errors.WrongAudience: "aud-other",
    errors.ExpiredToken: "expired",
    errors.TokenNotYetValid: "nbf-future",
    errors.InvalidClaim: "scope-other-space",
}


def test_each_forgery_is_refused_and_told_why(
    client: FlaskClient, cognito_pool: CognitoPool, jwks: responses.RequestsMock
) -> None:
    """401 with the reason's sentence (RFC 6750 section 3.1), nothing else; good tokens go on."""
    answers = {}
    for error, name in FORGERIES.items():
        refused = client.get("/randoms", headers=bearer(forge(cognito_pool, name, scope=SCOPE)))
        answers[error] = (refused.status_code, refused.json, refused.headers["WWW-Authenticate"])
        good = bearer(cognito_pool.access_token(scope=SCOPE))
        assert client.get("/randoms", headers=good).status_code == 200
    assert answers == {
        error: (
            401,
            {"detail": error.description},
            f'{INVALID}, error_description="{error.description}", {METADATA}',
        )
        for error in FORGERIES
    }
    # Once for the first token, once for the unknown key, and of nobody else.
    assert [call.request.url for call in jwks.calls] == [cognito_pool.jwks_uri] * 2


def test_every_reason_has_its_forgery() -> None:
    """A new class of refusal takes its place in the table."""
    assert {*FORGERIES, errors.RevokedToken} == set(errors.InvalidToken.__subclasses__())
