"""All pools to and from JSON."""

import json

from resource_server.emulator import gaps, snapshots
from tests.conftest import PASSWORD
from tests.emulator.conftest import Cognito, claims


def test_pools_come_back_as_they_were(cognito: Cognito) -> None:
    """Those that the API made, too: clients, attributes, scopes, keys, users and their sign-ins."""
    boto = cognito.boto
    cognito.configure(CallbackURLs=["http://localhost:3000/"], AccessTokenValidity=2)
    secret = cognito.set_up_totp()
    made = boto.create_user_pool(
        PoolName="other",
        Schema=[{"Name": "tenant", "AttributeDataType": "String", "Mutable": True}],
        UsernameAttributes=["email"],
    )["UserPool"]["Id"]
    boto.create_resource_server(
        UserPoolId=made,
        Identifier="shop",
        Name="Shop",
        Scopes=[{"ScopeName": "read", "ScopeDescription": "Read"}],
    )
    public = boto.create_user_pool_client(
        UserPoolId=made, ClientName="public", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    boto.admin_create_user(UserPoolId=made, Username="ada@example.com", MessageAction="SUPPRESS")
    boto.admin_set_user_password(
        UserPoolId=made, Username="ada@example.com", Password=PASSWORD, Permanent=True
    )

    def shown() -> list[object]:
        return [
            boto.describe_user_pool(UserPoolId=made)["UserPool"]["SchemaAttributes"],
            boto.describe_user_pool_client(UserPoolId=made, ClientId=public)["UserPoolClient"],
            boto.describe_resource_server(UserPoolId=made, Identifier="shop")["ResourceServer"],
            boto.get_user_pool_mfa_config(UserPoolId=cognito.pool_id)["MfaConfiguration"],
        ]

    before, kept = shown(), json.loads(json.dumps(snapshots.dump()))
    originals = list(gaps.pools())
    for pool in originals:
        del pool.backend.user_pools[pool.id]
    try:
        snapshots.restore(kept)
        assert snapshots.dump() == kept
        assert shown() == before
        asked = cognito.begin()
        assert asked["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
        assert secret in json.dumps(kept)
        token = boto.initiate_auth(
            ClientId=public,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "ada@example.com", "PASSWORD": PASSWORD},
        )["AuthenticationResult"]["AccessToken"]
        assert claims(token)["iss"].endswith(made)
    finally:
        for pool in originals:
            pool.backend.user_pools[pool.id] = pool
