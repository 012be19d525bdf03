"""The claims of a well-signed token: what each must be, when it is valid, what comes out."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from resource_server.tokens import AccessToken, errors
from tests.tokens.doubles import ABSENT, CLIENT, NOW, Forge, refuse

LEEWAY = 10  # the verifier's own
COGNITO = "https://cognito-idp.eu-west-2.amazonaws.com"


def verified(forge: Forge, **changes: Any) -> AccessToken:
    """Verify a token with changed claims."""
    return forge.verifier().verify(forge.claiming(**changes))


def refused(forge: Forge, **changes: Any) -> errors.InvalidToken:
    """Return how a token with changed claims is refused."""
    return refuse(forge.verifier(), forge.claiming(**changes))


NO_TEXT: dict[str, object] = {
    "missing": ABSENT,
    "null": None,
    "empty": "",
    "number": 7,
    "true": True,
    "list": ["text"],
    "object": {"text": "text"},
}
NO_TEXT_BUT_ABSENT_OR_EMPTY = {k: v for k, v in NO_TEXT.items() if k not in {"missing", "empty"}}
NO_NUMBER: dict[str, object] = {
    "null": None,
    "text": "1800000060",
    "empty": "",
    "true": True,
    "false": False,
    "list": [1_800_000_060],
    "object": {},
}
NO_LIST_OF_TEXT: dict[str, object] = {
    "null": None,
    "text": "admins",
    "empty-text": "",
    "number": 7,
    "zero": 0,
    "false": False,
    "object": {"admins": True},
    "list-of-number": [7],
    "mixed-list": ["admins", 7],
    "list-with-null": ["admins", None],
    "list-in-list": [["admins"]],
}
WRONG_TYPES = [
    pytest.param(claim, value, id=f"{claim}-{name}")
    for claims, values in (
        (("iss", "token_use", "client_id", "sub"), NO_TEXT),
        (("username", "scope", "jti", "origin_jti"), NO_TEXT_BUT_ABSENT_OR_EMPTY),
        (("exp", "iat"), {"missing": ABSENT} | NO_NUMBER),
        (("nbf", "auth_time"), NO_NUMBER),
        (("cognito:groups",), NO_LIST_OF_TEXT),
        (("aud",), {k: v for k, v in NO_TEXT.items() if k in {"null", "number", "true", "object"}}),
        (("aud",), {"empty-list": [], "list-of-number": [7], "mixed-list": [CLIENT, 7]}),
    )
    for claim in claims
    for name, value in values.items()
]


@pytest.mark.parametrize(("claim", "value"), WRONG_TYPES)
def test_a_claim_that_is_missing_or_no_such_type_is_refused_by_name(
    forge: Forge, claim: str, value: Any
) -> None:
    """No claim is converted to what it should have been (RFC 7519 section 4.1)."""
    error = refused(forge, **{claim: value})
    assert type(error) is errors.InvalidClaim
    assert error.claim == claim


@pytest.mark.parametrize(
    ("claim", "longest"), [("sub", 128), ("username", 128), ("jti", 256), ("origin_jti", 256)]
)
def test_names_and_ids_fit_into_a_database(forge: Forge, claim: str, longest: int) -> None:
    """They have Cognito's lengths, and no NUL, which PostgreSQL does not take."""
    assert getattr(verified(forge, **{claim: "x" * longest}), claim) == "x" * longest
    for bad in ("x" * (longest + 1), "\0", "a\0b"):
        error = refused(forge, **{claim: bad})
        assert type(error) is errors.InvalidClaim
        assert error.claim == claim


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "auth_time"])
@pytest.mark.parametrize(
    "value",
    [float("inf"), float("-inf"), float("nan"), 10**400, -(10**400)],
    ids=["infinity", "minus-infinity", "nan", "10-to-the-400", "minus-10-to-the-400"],
)
def test_a_time_that_is_no_finite_number_is_malformed(
    forge: Forge, claim: str, value: float
) -> None:
    """Such a number is no JSON, or none that two parsers read alike."""
    assert type(refused(forge, **{claim: value})) is errors.MalformedToken


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        *(
            pytest.param({"iss": issuer}, errors.WrongIssuer, id=f"issuer-{name}")
            for name, issuer in {
                "foreign": "https://evil.example",
                "other-pool": f"{COGNITO}/eu-west-2_TestPool2",
                "without-tls": f"{COGNITO.replace('https', 'http')}/eu-west-2_TestPool1",
                "with-a-slash": f"{COGNITO}/eu-west-2_TestPool1/",
                "cut-short": f"{COGNITO}/eu-west-2_TestPool",
                "in-capitals": f"{COGNITO}/eu-west-2_TestPool1".upper(),
            }.items()
        ),
        pytest.param({"token_use": "id"}, errors.WrongTokenUse, id="use-id"),
        pytest.param({"token_use": "refresh"}, errors.WrongTokenUse, id="use-refresh"),
        pytest.param({"token_use": "Access"}, errors.WrongTokenUse, id="use-in-capitals"),
        pytest.param({"token_use": "access "}, errors.WrongTokenUse, id="use-with-a-space"),
        pytest.param({"client_id": "other"}, errors.WrongClient, id="other-client"),
        pytest.param({"client_id": CLIENT[:-1]}, errors.WrongClient, id="client-cut-short"),
        pytest.param({"client_id": CLIENT.upper()}, errors.WrongClient, id="client-in-capitals"),
        pytest.param({"aud": "other"}, errors.WrongAudience, id="aud-other"),
        pytest.param({"aud": ""}, errors.WrongAudience, id="aud-empty"),
        pytest.param({"aud": ["other", "another"]}, errors.WrongAudience, id="aud-others"),
        pytest.param({"aud": CLIENT + "x"}, errors.WrongAudience, id="aud-longer"),
    ],
)
def test_a_token_of_others_is_refused(
    forge: Forge, changes: dict[str, Any], error: type[errors.InvalidToken]
) -> None:
    """Issuer, use, client and audience are compared exactly."""
    assert type(refused(forge, **changes)) is error


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="no-aud"),
        pytest.param({"aud": CLIENT}, id="aud-text"),
        pytest.param({"aud": [CLIENT]}, id="aud-list-of-one"),
        pytest.param({"aud": ["https://api.example", CLIENT]}, id="aud-among-others"),
    ],
)
def test_an_audience_names_an_allowed_client(forge: Forge, changes: dict[str, Any]) -> None:
    """It may be absent, text, or a list in which one is enough (RFC 7519 section 4.1.3)."""
    assert verified(forge, **changes).client_id == CLIENT


def test_any_client_of_the_pool_is_accepted_only_where_that_is_written(forge: Forge) -> None:
    """`client_ids=None` lifts the check of client and audience, and nothing else."""
    verifier = forge.verifier(client_ids=None)
    assert verifier.verify(forge.claiming(client_id="any", aud="any")).client_id == "any"
    for changes, error in (
        ({"client_id": ABSENT}, errors.InvalidClaim),
        ({"client_id": ""}, errors.InvalidClaim),
        ({"aud": 7}, errors.InvalidClaim),
        ({"token_use": "id"}, errors.WrongTokenUse),
    ):
        assert type(refuse(verifier, forge.claiming(**changes))) is error


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        # RFC 7519 section 4.1.4: exp is the first moment at which a token is no longer valid
        pytest.param({"exp": NOW - LEEWAY + 1}, None, id="exp-inside"),
        pytest.param({"exp": NOW - LEEWAY + 0.001}, None, id="exp-just-inside"),
        pytest.param({"exp": NOW - LEEWAY}, errors.ExpiredToken, id="exp-at-the-limit"),
        pytest.param({"exp": NOW - LEEWAY - 0.001}, errors.ExpiredToken, id="exp-just-outside"),
        pytest.param({"exp": 0}, errors.ExpiredToken, id="exp-zero"),
        pytest.param({"exp": -1}, errors.ExpiredToken, id="exp-negative"),
        pytest.param({"exp": -1e300}, errors.ExpiredToken, id="exp-long-before-the-epoch"),
        # RFC 7519 section 4.1.5: nbf is the first moment at which it is
        pytest.param({"nbf": NOW - 1}, None, id="nbf-past"),
        pytest.param({"nbf": NOW + LEEWAY - 0.001}, None, id="nbf-just-inside"),
        pytest.param({"nbf": NOW + LEEWAY}, None, id="nbf-at-the-limit"),
        pytest.param({"nbf": NOW + LEEWAY + 0.001}, errors.TokenNotYetValid, id="nbf-just-outside"),
        pytest.param({"nbf": NOW + LEEWAY + 1}, errors.TokenNotYetValid, id="nbf-outside"),
        pytest.param({"nbf": 1e300}, errors.TokenNotYetValid, id="nbf-never"),
        # RFC 7519 section 4.1.6, and the contract: nothing is issued in the future
        pytest.param({"iat": 0}, None, id="iat-zero"),
        pytest.param({"iat": NOW + LEEWAY - 0.001}, None, id="iat-just-inside"),
        pytest.param({"iat": NOW + LEEWAY}, None, id="iat-at-the-limit"),
        pytest.param({"iat": NOW + LEEWAY + 0.001}, errors.TokenNotYetValid, id="iat-just-outside"),
        pytest.param({"iat": NOW + LEEWAY + 1}, errors.TokenNotYetValid, id="iat-outside"),
        pytest.param(
            {"iat": NOW + LEEWAY + 1, "nbf": NOW}, errors.TokenNotYetValid, id="iat-outside-nbf-not"
        ),
        pytest.param(
            {"iat": NOW, "nbf": NOW + LEEWAY + 1}, errors.TokenNotYetValid, id="nbf-outside-iat-not"
        ),
    ],
)
def test_times_have_the_leeway_and_no_more(
    forge: Forge, changes: dict[str, Any], error: type[errors.InvalidToken] | None
) -> None:
    """A clock may be ten seconds off, either way."""
    if error is None:
        assert verified(forge, **changes)
    else:
        assert type(refused(forge, **changes)) is error


def test_the_leeway_can_be_set(forge: Forge) -> None:
    """None at all ends a token at its very `exp`; a minute is a minute."""
    text = forge.claiming(exp=NOW + 60, iat=NOW)
    for leeway, first_good, last_good in ((0, NOW, NOW + 59.9), (60, NOW - 60, NOW + 119.9)):
        for forge.now in (first_good, last_good):
            assert forge.verifier(leeway=leeway).verify(text)
        forge.now = first_good - 0.1
        assert type(refuse(forge.verifier(leeway=leeway), text)) is errors.TokenNotYetValid
        forge.now = last_good + 0.1
        assert type(refuse(forge.verifier(leeway=leeway), text)) is errors.ExpiredToken


def test_a_verified_token_tells_its_claims_typed(forge: Forge) -> None:
    """Everything an API decides by has a name and a type."""
    token = verified(forge, scope="blog/read blog/write", cognito__groups=["b", "a"], tenant="t")
    assert token.sub == "11f8a840-ec3e-5178-b788-60fcdd9d5cc7"
    assert token.username == "ada"
    assert token.client_id == CLIENT
    assert token.issuer == forge.pool.issuer
    assert token.scopes == frozenset({"blog/read", "blog/write"})
    assert token.groups == ("b", "a")
    assert (token.jti, token.origin_jti) == ("the-token", "the-sign-in")
    assert (token.issued_at, token.not_before) == (NOW, NOW)
    assert (token.expires_at, token.auth_time) == (NOW + 3600, NOW - 60)
    assert token.claims["tenant"] == "t"
    assert token.claims["cognito:groups"] == ["b", "a"]


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        pytest.param("a", {"a"}, id="one"),
        pytest.param("a b c", {"a", "b", "c"}, id="several"),
        pytest.param("a b a", {"a", "b"}, id="one-twice"),
        pytest.param("a,b", {"a,b"}, id="comma-within"),
        pytest.param(
            "https://api.example/a+b ~!#[]^", {"https://api.example/a+b", "~!#[]^"}, id="marks"
        ),
    ],
)
def test_scopes_are_parted_by_spaces(forge: Forge, scope: str, scopes: set[str]) -> None:
    """Each is what the grammar of RFC 6749 section 3.3 takes for one."""
    assert verified(forge, scope=scope).scopes == scopes


@pytest.mark.parametrize(
    "stray",
    [*"\t\n\x0b\x0c\x1c\x1f\x85\xa0\u2003\u2028\u3000", "\r\n", "  ", *'\0\x7f"\\\u00fc'],
    ids=ascii,
)
def test_nothing_else_parts_scopes_or_is_in_one(forge: Forge, stray: str) -> None:
    """A token whose scope another parser would read as two gains neither: it is not Cognito's."""
    for scope in (f"a{stray}b", f"a{stray}", f"{stray}b", f"a {stray} b"):
        error = refused(forge, scope=scope)
        assert type(error) is errors.InvalidClaim
        assert error.claim == "scope"
    assert refused(forge, scope=" a").reason == refused(forge, scope="a ").reason == "claim"


@pytest.mark.parametrize("value", [ABSENT, ""], ids=["absent", "empty"])
def test_optional_claims_may_be_absent_or_empty(forge: Forge, value: object) -> None:
    """A client-credentials token has no user, many tokens have no groups or scopes."""
    token = verified(forge, username=value, scope=value, jti=value, origin_jti=value)
    assert (token.username, token.jti, token.origin_jti) == (None, None, None)
    assert (token.scopes, token.groups) == (frozenset(), ())


def test_absent_and_empty_groups_and_times_are_told_as_such(forge: Forge) -> None:
    """An empty list of groups is none; a sign-in at the epoch is one, its absence is None."""
    assert verified(forge, cognito__groups=[]).groups == ()
    assert verified(forge, auth_time=ABSENT).auth_time is None
    assert verified(forge, auth_time=0).auth_time == 0
    assert verified(forge, nbf=NOW + 5).not_before == NOW + 5


def test_a_token_cannot_be_made_by_hand(forge: Forge) -> None:
    """Neither by its class, nor out of nothing, a copy, a pickle or another class."""
    token = verified(forge)
    ways: list[Callable[[], AccessToken]] = [
        AccessToken,
        lambda: AccessToken(*token),
        lambda: AccessToken(**token._asdict()),
        lambda: AccessToken.__new__(AccessToken),
        lambda: copy.copy(token),
        lambda: copy.deepcopy(token),
        lambda: pickle.loads(pickle.dumps(token)),  # noqa: S301 - our own
    ]
    for way in ways:
        with pytest.raises(TypeError, match="verify"):
            way()


@pytest.mark.parametrize(
    "make",
    [lambda token: type(token)._make(token), lambda token: token._replace(sub="somebody else")],
    ids=["_make", "_replace"],
)
def test_a_token_cannot_be_made_of_another(
    forge: Forge, make: Callable[[AccessToken], AccessToken]
) -> None:
    """What a named tuple inherits gives no token with another `sub`."""
    token = verified(forge)
    with pytest.raises((TypeError, AttributeError)):
        make(token)


@pytest.mark.parametrize("name", ["sub", "scopes", "groups", "expires_at", "claims", "invented"])
def test_a_token_is_frozen(forge: Forge, name: str) -> None:
    """No attribute can be set, replaced or removed."""
    token = verified(forge)
    with pytest.raises(AttributeError):
        setattr(token, name, "other")
    with pytest.raises(AttributeError):
        delattr(token, name)


def test_the_claims_of_a_token_are_read_only(forge: Forge) -> None:
    """A view gets a look at them, not the dictionary."""
    claims: Any = verified(forge).claims
    with pytest.raises(TypeError):
        claims["sub"] = "other"
    with pytest.raises(TypeError):
        del claims["sub"]


def test_no_way_leads_to_claims_that_can_be_written(forge: Forge) -> None:
    """One token object serves every request that brings the token: nobody may write to it."""
    token = verified(forge, cognito__groups=["a"], tenant={"roles": ["reader"]})
    assert isinstance(hash(tuple(token)), int)  # lists and dictionaries, at any depth, have none


def test_what_is_written_into_a_claim_does_not_reach_the_token(forge: Forge) -> None:
    """Lists and objects of a remembered token are the next request's, too, at any depth."""
    verifier = forge.verifier()
    text = forge.claiming(cognito__groups=["a"], tenant={"roles": ["reader"]}, plain="p")
    claims: Any = verifier.verify(text).claims
    claims["cognito:groups"].append("admins")
    claims["tenant"]["roles"].append("owner")
    claims["tenant"]["name"] = "x"
    again = verifier.verify(text)
    assert verifier.stats().cache_hits == 1
    assert again.claims["cognito:groups"] == ["a"]
    assert again.claims["tenant"] == {"roles": ["reader"]}
    assert again.claims["plain"] == "p"


def test_the_repr_of_a_token_shows_no_claims(forge: Forge) -> None:
    """A token in a log line or a traceback tells nothing of the user."""
    token = verified(
        forge,
        sub="the-sub",
        username="the-username",
        scope="the-scope",
        cognito__groups=["the-group"],
        secret="the-secret",
    )
    for text in (repr(token), str(token), f"{token}", f"{token!r}"):
        shown = [v for v in ("the-", CLIENT, forge.pool.issuer, str(NOW + 3600)) if v in text]
        assert shown == []


def test_two_tokens_are_equal_only_if_they_are_one(forge: Forge) -> None:
    """Tokens can be kept in sets and are never compared by what they say."""
    verifier = forge.verifier()
    one, other = verifier.verify(forge.claiming(jti="1")), verifier.verify(forge.claiming(jti="2"))
    again = verified(forge, jti="1")
    assert one == one  # noqa: PLR0124 - that is the point
    assert one != other
    assert one != again
    assert len({one, other, again}) == 3
