"""Tokens, revocation, user information, discovery: what programs call."""

import base64
import hashlib
from typing import Any

import pytest
from authlib.integrations.requests_client import OAuth2Session
from werkzeug.test import TestResponse

from resource_server.emulator import gaps
from resource_server.tokens import CognitoVerifier, KeyStore, UserPool
from resource_server.triggers import pre_token_generation
from tests.emulator.conftest import EMAIL, claims, refusal
from tests.emulator.managed_login.conftest import (
    CALLBACK,
    OAUTH,
    PUBLIC_URL,
    VERIFIER,
    Hosted,
)


def basic(name: str, secret: str) -> dict[str, str]:
    """Authenticate by HTTP Basic."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


def error(answer: TestResponse) -> tuple[int, str]:
    """Return status and error of an answer that no cache may keep."""
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["error_description"]
    return answer.status_code, answer.json["error"]


def body(answer: TestResponse) -> dict[str, Any]:
    """Return the object that an answer holds."""
    assert isinstance(answer.json, dict)
    return answer.json


def test_a_code_becomes_tokens(hosted: Hosted) -> None:
    """The names of RFC 6749 §5.1, nothing for caches."""
    answer = hosted.token(code=hosted.code())
    assert answer.status_code == 200
    assert set(body(answer)) == {
        "access_token",
        "id_token",
        "refresh_token",
        "token_type",
        "expires_in",
    }
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 3600)
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_tokens_carry_what_was_asked_for(hosted: Hosted) -> None:
    """Scopes, the trigger's with them, in one; nonce and the other's hash in the other."""
    made = hosted.tokens()
    access, identity = claims(made["access_token"]), claims(made["id_token"])
    assert access["scope"] == "openid email shop/read me randoms"
    assert (access["client_id"], access["token_use"]) == (hosted.public, "access")
    assert identity["nonce"] == "a nonce"
    digest = hashlib.sha256(made["access_token"].encode()).digest()[:16]
    assert identity["at_hash"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert identity["aud"] == hosted.public
    assert identity["cognito:username"] == "grace"
    assert identity["email"] == EMAIL
    assert "phone_number" not in identity  # openid and email: nothing beyond
    assert identity["sub"] == access["sub"]


def test_the_trigger_is_told_of_managed_login(hosted: Hosted) -> None:
    """By the source of the guide's table, with the scopes asked for, at a refresh as well."""
    seen: list[dict[str, Any]] = []

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        seen.append(event)
        return {**event, "response": {}}

    arn = "arn:aws:lambda:eu-west-2:123456789012:function:spy"
    gaps.register_trigger(arn, handler)
    config = {"PreTokenGenerationConfig": {"LambdaVersion": "V2_0", "LambdaArn": arn}}
    hosted.cognito.boto.update_user_pool(UserPoolId=hosted.cognito.pool_id, LambdaConfig=config)
    first = hosted.tokens()
    hosted.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert [event["triggerSource"] for event in seen] == [
        "TokenGeneration_HostedAuth",
        "TokenGeneration_RefreshTokens",
    ]
    assert [event["request"]["scopes"] for event in seen] == [["openid", "email", "shop/read"]] * 2


def test_a_trigger_that_fails_is_told(hosted: Hosted) -> None:
    """With its reason, in the characters that RFC 6749 allows."""

    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        raise RuntimeError('no "scopes" für grace')

    arn = "arn:aws:lambda:eu-west-2:123456789012:function:failing"
    gaps.register_trigger(arn, handler)
    config = {"PreTokenGenerationConfig": {"LambdaVersion": "V2_0", "LambdaArn": arn}}
    hosted.cognito.boto.update_user_pool(UserPoolId=hosted.cognito.pool_id, LambdaConfig=config)
    answer = hosted.token(code=hosted.code())
    assert error(answer) == (400, "invalid_request")
    assert answer.json["error_description"] == (
        "PreTokenGeneration failed with error no 'scopes' f?r grace."
    )


def test_without_openid_there_is_no_id_token(hosted: Hosted) -> None:
    """As the guide says."""
    made = hosted.tokens(scope="shop/read")
    assert "id_token" not in made
    assert claims(made["access_token"])["scope"].split()[0] == "shop/read"


def test_the_apis_own_scope_is_asked_for_like_any_other(hosted: Hosted) -> None:
    """Without it the access token is none that GetUser takes (T28)."""
    boto = hosted.cognito.boto
    without = hosted.tokens()["access_token"]
    code, message = refusal(lambda: boto.get_user(AccessToken=without))
    assert (code, "scopes" in message) == ("NotAuthorizedException", True)
    token = hosted.tokens(scope="aws.cognito.signin.user.admin")["access_token"]
    assert boto.get_user(AccessToken=token)["Username"] == "grace"


def test_a_code_serves_once(hosted: Hosted) -> None:
    """The second time it is one that nobody gave out."""
    code = hosted.code()
    assert hosted.token(code=code).status_code == 200
    assert error(hosted.token(code=code)) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"code": None}, "invalid_request"),
        ({"code": "guessed"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "myapp://back?from=login"}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"code_verifier": f"{VERIFIER}x"}, "invalid_grant"),
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_id": None}, "invalid_request"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_secret": "a public client has none"}, "invalid_client"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_exchange_is_told(
    hosted: Hosted, form: dict[str, str | None], wrong: str
) -> None:
    """By the errors of RFC 6749 §5.2, all with 400 as Cognito has them."""
    sent: dict[str, str | None] = {"code": hosted.code()}
    assert error(hosted.token(**sent | form)) == (400, wrong)


def test_a_code_without_challenge_takes_no_verifier(hosted: Hosted) -> None:
    """Somebody may have taken the challenge out (RFC 9700 §4.8.2); without both it is fine."""
    plain: dict[str, str | None] = {"code_challenge": None, "code_challenge_method": None}
    assert error(hosted.token(code=hosted.code(**plain))) == (400, "invalid_grant")
    assert hosted.token(code=hosted.code(**plain), code_verifier=None).status_code == 200


def test_a_code_is_its_clients(hosted: Hosted) -> None:
    """Another client of the pool, with its own secret, gets nothing for it."""
    other = hosted.cognito
    answer = hosted.token(code=hosted.code(), client_id=other.client_id, client_secret=other.secret)
    assert error(answer) == (400, "invalid_grant")


def test_a_code_expires(hosted: Hosted) -> None:
    """After five minutes."""
    first, second = hosted.code(), hosted.code(prompt="login")
    gaps.clock.advance(299)
    assert hosted.token(code=first).status_code == 200
    gaps.clock.advance(1)
    assert error(hosted.token(code=second)) == (400, "invalid_grant")


@pytest.mark.parametrize("end", ["admin_disable_user", "admin_delete_user"])
def test_a_code_of_somebody_disabled_is_worth_nothing(hosted: Hosted, end: str) -> None:
    """Between sign-in and exchange, too."""
    code = hosted.code()
    getattr(hosted.cognito.boto, end)(**hosted.cognito.user())
    assert error(hosted.token(code=code)) == (400, "invalid_grant")


def test_a_client_with_a_secret_proves_itself(hosted: Hosted) -> None:
    """By Basic or by the form, with either of two secrets; not in two ways, not without."""
    mine, own = hosted.cognito.client_id, hosted.cognito.secret
    second = hosted.cognito.boto.add_user_pool_client_secret(
        UserPoolId=hosted.cognito.pool_id, ClientId=mine
    )["ClientSecretDescriptor"]["ClientSecretValue"]
    path = f"{hosted.base}/oauth2/token"

    def exchange(headers: dict[str, str] | None = None, **more: str) -> TestResponse:
        form = {
            "grant_type": "authorization_code",
            "code": hosted.code(client_id=mine, prompt="login"),
        }
        form |= {"redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return hosted.browser.post(path, data=form | more, headers=headers)

    for secret in (own, second):
        assert exchange(basic(mine, secret)).status_code == 200
        assert exchange(basic(mine, secret), client_id=mine).status_code == 200
        assert exchange(client_id=mine, client_secret=secret).status_code == 200
    assert error(exchange(client_id=mine)) == (400, "invalid_client")
    assert error(exchange(basic(mine, ""))) == (400, "invalid_client")
    assert error(exchange(basic(mine, "wrong"))) == (400, "invalid_client")
    assert error(exchange(client_id=mine, client_secret="wrong")) == (400, "invalid_client")
    assert error(exchange(basic(mine, own), client_secret=own)) == (400, "invalid_request")
    assert error(exchange(basic(mine, own), client_id=hosted.public)) == (400, "invalid_request")
    for header in ("Bearer abc", "Basic !", "Basic", basic("x", "y")["Authorization"][:-3]):
        assert error(exchange({"Authorization": header}))[0] == 400


def test_strange_credentials_are_refused_like_any_wrong_ones(hosted: Hosted) -> None:
    """No text of a client makes the server fail."""
    strange = ["\x00", "é€\U0001f600", "a" * 5000, "a.b.c", "..", "%ff"]
    for value in strange:
        for name in ("client_id", "client_secret", "code", "redirect_uri", "code_verifier"):
            assert 400 <= hosted.token(**{"code": hosted.code(), name: value}).status_code < 500
        kind = {"grant_type": "refresh_token"}
        assert hosted.token(**kind, refresh_token=value).status_code == 400
        assert revoke(hosted, token=value).status_code in {200, 400}
        for header in (f"Bearer {value}", f"Basic {value}", value, "Bearer", "Basic"):
            sent = {"Authorization": header.encode().decode("latin-1")}
            for path in ("userInfo", "token", "revoke"):
                method = hosted.browser.get if path == "userInfo" else hosted.browser.post
                answer = method(f"{hosted.base}/oauth2/{path}", headers=sent)
                assert 400 <= answer.status_code < 500, (path, header)


def test_an_empty_secret_is_none(hosted: Hosted) -> None:
    """As Swagger UI and `curl -u id:` send one for a public client (RFC 6749 §2.3.1)."""
    assert hosted.token(code=hosted.code(), client_secret="").status_code == 200
    form = {"grant_type": "authorization_code", "code": hosted.code()}
    form |= {"redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    path = f"{hosted.base}/oauth2/token"
    answer = hosted.browser.post(path, data=form, headers=basic(hosted.public, ""))
    assert answer.status_code == 200


def test_a_form_is_wanted(hosted: Hosted) -> None:
    """JSON and repeated names are refused (RFC 6749 §3.2)."""
    path = f"{hosted.base}/oauth2/token"
    sent = {"grant_type": "authorization_code", "client_id": hosted.public}
    assert error(hosted.browser.post(path, json=sent)) == (400, "invalid_request")
    twice = {"client_id": [hosted.public, hosted.public], "grant_type": "refresh_token"}
    assert error(hosted.browser.post(path, data=twice)) == (400, "invalid_request")


def test_a_client_that_lost_the_code_grant_cannot_exchange(hosted: Hosted) -> None:
    """The code was good when it was given out."""
    code = hosted.code(client_id=hosted.cognito.client_id)
    hosted.cognito.configure()
    answer = hosted.token(
        code=code, client_id=hosted.cognito.client_id, client_secret=hosted.cognito.secret
    )
    assert error(answer) == (400, "unauthorized_client")


def test_a_refresh_keeps_scopes_and_sign_in(hosted: Hosted) -> None:
    """No new refresh token, no nonce (OpenID Connect Core §12.2); the hash is of the new token."""
    first = hosted.tokens()
    gaps.clock.advance(600)
    answer = hosted.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert set(body(answer)) == {"access_token", "id_token", "token_type", "expires_in"}
    before, after = claims(first["access_token"]), claims(answer.json["access_token"])
    assert after["scope"] == before["scope"]
    assert after["auth_time"] == before["auth_time"] == after["iat"] - 600
    assert after["origin_jti"] == before["origin_jti"]
    identity = claims(answer.json["id_token"])
    assert "nonce" not in identity
    assert identity["at_hash"] != claims(first["id_token"])["at_hash"]


def test_a_refresh_token_rotates(hosted: Hosted) -> None:
    """Where the client has rotation; the scopes go with the new one."""
    rotating = hosted.make_client(
        **OAUTH
        | {
            "RefreshTokenRotation": {
                "Feature": "ENABLED",
                "RetryGracePeriodSeconds": 0,
            },
            "ExplicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH"],
        }
    )["ClientId"]
    code = hosted.code(client_id=rotating)
    first = hosted.token(code=code, client_id=rotating).json["refresh_token"]
    again = {"grant_type": "refresh_token", "client_id": rotating}
    second = hosted.token(**again, refresh_token=first).json["refresh_token"]
    assert error(hosted.token(**again, refresh_token=first)) == (400, "invalid_grant")
    third = hosted.token(**again, refresh_token=second).json
    assert claims(third["access_token"])["scope"].startswith("openid email shop/read")


def test_a_refresh_that_is_refused(hosted: Hosted) -> None:
    """Unknown, missing, another client's, or of somebody disabled."""
    mine = hosted.tokens()["refresh_token"]
    kind = {"grant_type": "refresh_token"}
    assert error(hosted.token(**kind, refresh_token="guessed")) == (400, "invalid_grant")
    assert error(hosted.token(**kind)) == (400, "invalid_request")
    other = {"client_id": hosted.cognito.client_id, "client_secret": hosted.cognito.secret}
    assert error(hosted.token(**kind, **other, refresh_token=mine)) == (400, "invalid_grant")
    hosted.cognito.boto.admin_disable_user(**hosted.cognito.user())
    assert error(hosted.token(**kind, refresh_token=mine)) == (400, "invalid_grant")


def test_the_apis_refresh_token_serves_here_too(hosted: Hosted) -> None:
    """With the scope that the API gave (guide, "The token issuer endpoint")."""
    text = hosted.cognito.sign_in()["RefreshToken"]
    own = {"client_id": hosted.cognito.client_id, "client_secret": hosted.cognito.secret}
    made = hosted.token(grant_type="refresh_token", refresh_token=text, **own).json
    assert claims(made["access_token"])["scope"].startswith("aws.cognito.signin.user.admin")
    assert "at_hash" not in claims(made["id_token"])


def machine(hosted: Hosted, **settings: Any) -> dict[str, str]:
    """Make a client for programs and return its credentials."""
    usual = {
        "GenerateSecret": True,
        "AllowedOAuthFlowsUserPoolClient": True,
        "AllowedOAuthFlows": ["client_credentials"],
        "AllowedOAuthScopes": ["shop/read", "shop/write"],
    }
    made = hosted.make_client(**usual | settings)
    return {"client_id": made["ClientId"], "client_secret": made.get("ClientSecret", "none")}


def test_a_machine_signs_in_as_itself(hosted: Hosted) -> None:
    """An access token alone, of no user (T11), which our verifier takes."""
    gaps.clock.reset()  # verifiers go by the machine's
    own = machine(hosted)
    answer = hosted.token(grant_type="client_credentials", **own, scope="shop/write")
    assert set(body(answer)) == {"access_token", "token_type", "expires_in"}
    said = claims(answer.json["access_token"])
    assert (said["sub"], said["client_id"]) == (own["client_id"], own["client_id"])
    assert said["scope"] == "shop/write"
    assert not {"username", "cognito:groups", "origin_jti"} & set(said)
    jwks = hosted.browser.get(f"{hosted.base}/.well-known/jwks.json").data
    keys = KeyStore("https://cognito.example/jwks.json", fetch=lambda *_: jwks)
    verifier = CognitoVerifier(
        UserPool.parse(hosted.cognito.pool_id), client_ids={own["client_id"]}, keys=keys
    )
    assert verifier.verify(answer.json["access_token"]).username is None
    everything = hosted.token(grant_type="client_credentials", **own).json["access_token"]
    assert claims(everything)["scope"] == "shop/read shop/write"


@pytest.mark.parametrize(
    ("version", "scope", "sources"),
    [
        ("V3_0", "shop/read shop/extra", ["TokenGeneration_ClientCredentials"]),
        ("V2_0", "shop/read", []),
        ("V1_0", "shop/read", []),
    ],
)
def test_the_trigger_runs_for_machines_under_v3_alone(
    hosted: Hosted, version: str, scope: str, sources: list[str]
) -> None:
    """Guide, "Pre token generation": only V3_0 has client credentials, with clientMetadata."""
    seen: list[dict[str, Any]] = []

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        seen.append(event)
        details = {"accessTokenGeneration": {"scopesToAdd": ["shop/extra"]}}
        return event | {"response": {"claimsAndScopeOverrideDetails": details}}

    arn = "arn:aws:lambda:eu-west-2:123456789012:function:machines"
    gaps.register_trigger(arn, handler)
    config = {"PreTokenGenerationConfig": {"LambdaVersion": version, "LambdaArn": arn}}
    hosted.cognito.boto.update_user_pool(UserPoolId=hosted.cognito.pool_id, LambdaConfig=config)
    asked = {"scope": "shop/read", "aws_client_metadata": '{"tenant": "t1"}'}
    answer = hosted.token(grant_type="client_credentials", **machine(hosted), **asked)
    assert claims(answer.json["access_token"])["scope"] == scope
    assert [event["triggerSource"] for event in seen] == sources
    assert [event["request"]["clientMetadata"] for event in seen] == [{"tenant": "t1"}] * len(seen)


def test_our_trigger_gives_machines_nothing(hosted: Hosted) -> None:
    """Under V3_0, without configuration."""
    arn = "arn:aws:lambda:eu-west-2:123456789012:function:ours"
    gaps.register_trigger(arn, pre_token_generation.handler)
    config = {"PreTokenGenerationConfig": {"LambdaVersion": "V3_0", "LambdaArn": arn}}
    hosted.cognito.boto.update_user_pool(UserPoolId=hosted.cognito.pool_id, LambdaConfig=config)
    answer = hosted.token(grant_type="client_credentials", **machine(hosted), scope="shop/read")
    assert claims(answer.json["access_token"])["scope"] == "shop/read"


@pytest.mark.parametrize("sent", ["{", "[]", '{"a": 1}', "text"])
def test_client_metadata_is_a_json_object_of_text(hosted: Hosted, sent: str) -> None:
    """Guide, "The token endpoint": aws_client_metadata."""
    kind = {"grant_type": "client_credentials", "aws_client_metadata": sent}
    assert error(hosted.token(**kind, **machine(hosted))) == (400, "invalid_request")


def test_a_machine_gets_no_more_than_it_may(hosted: Hosted) -> None:
    """Neither others' scopes nor users', nor anything without secret or grant."""
    kind = {"grant_type": "client_credentials"}
    for scope in ("shop/delete", "openid", "shop/read openid"):
        own = machine(hosted, AllowedOAuthScopes=["shop/read", "openid"])
        assert error(hosted.token(**kind, **own, scope=scope)) == (400, "invalid_scope")
    nothing = machine(hosted, AllowedOAuthScopes=["gone/read"])
    assert error(hosted.token(**kind, **nothing)) == (400, "invalid_scope")
    mine = {"client_id": hosted.cognito.client_id, "client_secret": hosted.cognito.secret}
    assert error(hosted.token(**kind, **mine)) == (400, "unauthorized_client")
    assert error(hosted.token(**kind)) == (400, "unauthorized_client")
    public = machine(hosted, GenerateSecret=False)["client_id"]
    assert error(hosted.token(**kind, client_id=public)) == (400, "unauthorized_client")


def revoke(hosted: Hosted, **form: str | None) -> TestResponse:
    """Revoke a token as the public client."""
    sent = {"client_id": hosted.public} | form
    body = {name: value for name, value in sent.items() if value is not None}
    return hosted.browser.post(f"{hosted.base}/oauth2/revoke", data=body)


def test_a_revoked_sign_in_is_over(hosted: Hosted) -> None:
    """Nothing is answered; the refresh token and the access token serve no more."""
    made = hosted.tokens()
    answer = revoke(hosted, token=made["refresh_token"])
    assert (answer.status_code, answer.data) == (200, b"")
    again = hosted.token(grant_type="refresh_token", refresh_token=made["refresh_token"])
    assert error(again) == (400, "invalid_grant")
    assert hosted.user_info(made["access_token"]).status_code == 401
    assert revoke(hosted, token=made["refresh_token"]).status_code == 200


def test_what_cannot_be_revoked(hosted: Hosted) -> None:
    """An unknown token is no error (RFC 7009 §2.2); statuses as the guide has them."""
    made = hosted.tokens()
    assert revoke(hosted, token="guessed").status_code == 200
    assert error(revoke(hosted, token=made["access_token"])) == (400, "unsupported_token_type")
    assert error(revoke(hosted)) == (400, "invalid_request")
    refused = revoke(hosted, token="guessed", client_id="nobody")
    assert error(refused) == (401, "invalid_client")
    assert refused.headers["WWW-Authenticate"] == "Basic"
    own = {"client_id": hosted.cognito.client_id, "client_secret": hosted.cognito.secret}
    assert error(revoke(hosted, token=made["refresh_token"], **own)) == (400, "invalid_grant")
    stubborn = hosted.make_client(**OAUTH | {"EnableTokenRevocation": False})["ClientId"]
    assert error(revoke(hosted, token="any", client_id=stubborn)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        ("openid", {"sub", "username", "email", "email_verified", "phone_number"}),
        ("openid email", {"sub", "username", "email", "email_verified"}),
        ("openid phone", {"sub", "username", "phone_number"}),
        ("openid profile", {"sub", "username"}),
    ],
)
def test_user_info_shows_what_the_scopes_show(hosted: Hosted, scope: str, shown: set[str]) -> None:
    """`openid` alone shows all; booleans are text, as Cognito has them."""
    answer = hosted.user_info(hosted.tokens(scope=scope)["access_token"])
    assert answer.status_code == 200
    assert set(body(answer)) == shown
    assert answer.json["username"] == "grace"
    assert body(answer).get("email_verified", "true") == "true"
    assert answer.headers["Cache-Control"] == "no-store"


def test_user_info_wants_a_token_of_a_user(hosted: Hosted) -> None:
    """Of this pool, alive, with openid; without any it is a bad request."""
    api, made = hosted.cognito.sign_in()["AccessToken"], hosted.tokens()
    own = machine(hosted)
    of_machine = hosted.token(grant_type="client_credentials", **own).json["access_token"]
    for token in ("nonsense", api, of_machine, made["id_token"], made["refresh_token"]):
        answer = hosted.user_info(token)
        assert error(answer) == (401, "invalid_token")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert error(hosted.browser.get(f"{hosted.base}/oauth2/userInfo")) == (400, "invalid_request")
    gaps.clock.advance(3600)
    assert hosted.user_info(made["access_token"]).status_code == 401


def test_user_info_knows_another_pools_tokens_apart(hosted: Hosted) -> None:
    """They are good, but not here."""
    other = hosted.cognito.boto.create_user_pool(PoolName="other")["UserPool"]["Id"]
    token = hosted.tokens()["access_token"]
    answer = hosted.browser.get(
        f"/{other}/oauth2/userInfo", headers={"Authorization": f"Bearer {token}"}
    )
    assert error(answer) == (401, "invalid_token")


def test_discovery_names_all_of_it(hosted: Hosted) -> None:
    """Each address is served; the issuer is that of the tokens."""
    path = f"{hosted.base}/.well-known/openid-configuration"
    found = body(hosted.browser.get(path))
    assert found["issuer"] == claims(hosted.tokens()["access_token"])["iss"]
    for name, address in found.items():
        if name.endswith(("_endpoint", "jwks_uri")):
            assert address.startswith(f"{PUBLIC_URL}{hosted.base}/"), name
            assert hosted.browser.get(address.removeprefix(PUBLIC_URL)).status_code in {
                200,
                400,
                405,
            }
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert "shop/write" in found["scopes_supported"]


def test_pages_on_this_machine_may_call(hosted: Hosted) -> None:
    """CORS is answered for loopback origins, for errors and preflights as well; no other origin."""
    token = f"{hosted.base}/oauth2/token"
    for origin in ("http://127.0.0.1:5000", "http://localhost:3000", "https://[::1]:8443"):
        answers = [
            hosted.browser.options(
                token, headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
            ),
            hosted.browser.post(token, data={}, headers={"Origin": origin}),
            hosted.browser.get(f"{hosted.base}/oauth2/userInfo", headers={"Origin": origin}),
            hosted.browser.get(
                f"{hosted.base}/.well-known/openid-configuration", headers={"Origin": origin}
            ),
            hosted.browser.get(f"{hosted.base}/.well-known/jwks.json", headers={"Origin": origin}),
        ]
        assert [answer.status_code for answer in answers] == [204, 400, 400, 200, 200]
        for answer in answers:
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert "Origin" in answer.headers["Vary"]
    for origin in ("http://evil.example", "http://127.0.0.1.evil.example", "null", "http://["):
        refused = hosted.browser.post(token, data={}, headers={"Origin": origin})
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers


def test_an_independent_client_finds_its_way(hosted: Hosted) -> None:
    """Authlib's begins the flow and reads the answer, with a challenge that it made itself."""
    client = OAuth2Session(
        hosted.public, redirect_uri=CALLBACK, scope="openid email", code_challenge_method="S256"
    )
    address, state = client.create_authorization_url(
        f"{PUBLIC_URL}{hosted.base}/oauth2/authorize", code_verifier=VERIFIER, nonce="n"
    )
    begun = hosted.browser.get(address.removeprefix(PUBLIC_URL))
    page = hosted.browser.get(begun.location)
    back = hosted.fill_in(page, username="grace", password="Str0ng-passw0rd!")
    assert f"state={state}" in back.location
    code = back.location.partition("code=")[2].partition("&")[0]
    assert hosted.token(code=code).status_code == 200


def test_parameters_of_a_form_are_read_as_rfc_6749_says(hosted: Hosted) -> None:
    """§3.2: without a value left out, unknown ignored, more than once an error."""
    path = f"{hosted.base}/oauth2/token"
    empty = dict.fromkeys(("scope", "client_secret", "username", "colour"), "")
    assert hosted.token(code=hosted.code(), **empty).status_code == 200
    assert hosted.token(code=hosted.code(), colour="red").status_code == 200
    without_pkce = {"code_challenge": None, "code_challenge_method": None}
    code = hosted.code(**without_pkce)
    assert hosted.token(code=code, code_verifier="").status_code == 200
    for name in ("code", "grant_type", "client_id", "redirect_uri"):
        assert error(hosted.token(**{"code": hosted.code(), name: ""})) == (400, "invalid_request")
    for endpoint in (path, f"{hosted.base}/oauth2/revoke"):
        for twice in ({"colour": ["red", "red"]}, {"token": ["", ""]}, {"colour": ["", "red"]}):
            sent = {
                "client_id": hosted.public,
                "token": "x",
                "grant_type": "refresh_token",
                **twice,
            }
            answer = hosted.browser.post(endpoint, data=sent)
            assert error(answer) == (400, "invalid_request")
            assert answer.json["error_description"] == "A parameter is there more than once"


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        ("http://localhost:3000", True),
        ("https://localhost", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:3000", True),
        ("ftp://localhost:3000", False),
        ("javascript://localhost", False),
        ("http://user@localhost:3000", False),
        ("http://localhost:3000/", False),
        ("http://localhost:3000.evil.example", False),
        ("http://evil.example", False),
        ("http://LOCALHOST", False),
        ("//localhost", False),
        ("null", False),
    ],
)
def test_pages_of_this_machine_alone_may_call(
    hosted: Hosted, origin: str, *, is_let_in: bool
) -> None:
    """Their origins are compared as a whole, scheme included."""
    where = f"{hosted.base}/.well-known/openid-configuration"
    answer = hosted.browser.get(where, headers={"Origin": origin})
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if is_let_in else None)
    assert answer.status_code == (200 if is_let_in else 403)
