"""From a pool's id to its issuers and the address of its keys."""

import dataclasses

import pytest

from resource_server.tokens import TrustedPool, UserPool


@pytest.mark.parametrize(
    ("pool_id", "region", "host"),
    [
        pytest.param(
            "eu-west-2_AbCdEf123",
            "eu-west-2",
            "cognito-idp.eu-west-2.amazonaws.com",
            id="aws",
        ),
        pytest.param(
            "ap-southeast-2_a",
            "ap-southeast-2",
            "cognito-idp.ap-southeast-2.amazonaws.com",
            id="aws-long-region",
        ),
        pytest.param(
            "us-gov-west-1_Gov1",
            "us-gov-west-1",
            "cognito-idp.us-gov-west-1.amazonaws.com",
            id="us-gov",
        ),
        pytest.param(
            "cn-north-1_China1",
            "cn-north-1",
            "cognito-idp.cn-north-1.amazonaws.com.cn",
            id="cn",
        ),
        pytest.param(
            "eusc-de-east-1_Euro1",
            "eusc-de-east-1",
            "cognito-idp.eusc-de-east-1.amazonaws.eu",
            id="eusc",
        ),
    ],
)
def test_each_partition_has_its_domain(pool_id: str, region: str, host: str) -> None:
    """A pool has two issuers and one key set, in the domain of its partition."""
    assert UserPool.parse(pool_id) == UserPool(
        id=pool_id,
        region=region,
        issuers=(f"https://{host}/{pool_id}", f"https://issuer-{host}/{pool_id}"),
        jwks_uri=f"https://{host}/{pool_id}/.well-known/jwks.json",
    )


NO_POOL_IDS = {
    "empty": "",
    "word": "x",
    "no-region": "AbCdEf123",
    "region-alone": "eu-west-2",
    "no-name": "eu-west-2_",
    "empty-region": "_AbCdEf123",
    "region-with-a-dash-at-its-end": "eu-west-_AbCdEf123",
    "region-with-an-underscore": "eu_west_AbCdEf123",
    "dash-for-underscore": "eu-west-2-AbCdEf123",
    "two-underscores": "eu-west-2_Ab_Cd",
    "dash-in-name": "eu-west-2_Ab-Cd",
    "space-before": " eu-west-2_a",
    "space-after": "eu-west-2_a ",
    "newline-after": "eu-west-2_a\n",
    "slash": "eu-west-2_a/b",
    "dots": "eu-west-2_..",
    "another-host-and-fragment": "evil.example#_a",
    "another-host-and-query": "evil.example/x?-y-1_a",
    "host-behind-the-name": "eu-west-2_a.evil.example/",
    "another-host-behind-a-user": "user@evil.example_a",
    "letter-beyond-ascii": "eu-west-2_\u00e4",
    "digit-beyond-ascii-in-region": "eu-west-\u0662_a",
    "digit-beyond-ascii-in-name": "eu-west-2_\u0662",
    "56-characters": "eu-west-2_" + "a" * 46,
}


@pytest.mark.parametrize("pool_id", NO_POOL_IDS.values(), ids=NO_POOL_IDS)
def test_what_is_no_pool_id_is_refused(pool_id: str) -> None:
    """Only a pool's id may become part of an address."""
    with pytest.raises(ValueError, match="not the id of a user pool"):
        UserPool.parse(pool_id)


@pytest.mark.parametrize(
    "pool_id", ["local_1aBc", "eu_AbCdEf123", "us-iso-east-1_a", "EU-WEST-2_a"]
)
def test_an_id_of_the_apis_pattern_is_accepted(pool_id: str) -> None:
    """UserPoolIdType knows no list of regions, and emulators have their own."""
    assert UserPool.parse(pool_id).region == pool_id.partition("_")[0]


def test_an_id_may_have_55_characters() -> None:
    """The limit is that of the Cognito API's model."""
    assert len(UserPool.parse("eu-west-2_" + "a" * 45).id) == 55


def test_issuer_and_key_address_can_be_replaced_each_alone() -> None:
    """An emulator has an issuer of its own, and then that one alone; the rest stays derived."""
    derived = UserPool.parse("eu-west-2_a")
    other_issuer = UserPool.parse("eu-west-2_a", issuer="http://localhost:5001/eu-west-2_a")
    assert other_issuer.issuers == ("http://localhost:5001/eu-west-2_a",)
    assert other_issuer.jwks_uri == derived.jwks_uri
    other_keys = UserPool.parse("eu-west-2_a", jwks_uri="http://localhost:5001/keys")
    assert other_keys.jwks_uri == "http://localhost:5001/keys"
    assert other_keys.issuers == derived.issuers


def test_overrides_do_not_excuse_a_bad_id() -> None:
    """An id is checked even where nothing is derived from it."""
    with pytest.raises(ValueError, match="not the id of a user pool"):
        UserPool.parse("nonsense", issuer="http://i", jwks_uri="http://k")


def test_a_pool_cannot_be_changed() -> None:
    """Whom a verifier trusts is settled when it is made."""
    pool = UserPool.parse("eu-west-2_a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        pool.issuers = ("https://evil.example",)  # type: ignore[misc]


def test_a_trusted_pool_needs_its_clients_written_down() -> None:
    """Left out or one text is a TypeError, none at all a ValueError, None is everybody."""
    with pytest.raises(TypeError, match="client_ids"):
        TrustedPool("eu-west-2_a")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="client_ids is empty"):
        TrustedPool("eu-west-2_a", client_ids=())
    with pytest.raises(TypeError, match="client_ids"):
        TrustedPool("eu-west-2_a", client_ids="client")
    assert TrustedPool("eu-west-2_a", client_ids=None).client_ids is None
