"""Signing in and out with a browser."""

import re
from html import unescape
from urllib.parse import urlencode, urlsplit

import pytest
from werkzeug.test import TestResponse

from resource_server.emulator import gaps
from resource_server.emulator.managed_login.authorization import with_query
from tests.conftest import PASSWORD, other_than
from tests.emulator.conftest import NEW_PASSWORD, claims, totp
from tests.emulator.managed_login.conftest import (
    CALLBACK,
    OAUTH,
    SCOPES,
    SIGNED_OUT,
    Hosted,
    query,
)


def said(page: TestResponse) -> str:
    """Return what the page reports."""
    found = re.search(r'<p role="alert">(.*?)</p>', page.text)
    assert found, page.text
    return unescape(found[1])


def test_a_sign_in_leads_back_to_the_client(hosted: Hosted) -> None:
    """With a code and the state as it was; the page before names the client and holds no secret."""
    begun = hosted.authorize()
    assert (begun.status_code, urlsplit(begun.location).path) == (302, f"{hosted.base}/login")
    page = hosted.browser.get(begun.location)
    assert "to web" in page.text
    back = hosted.fill_in(page, username="grace", password=PASSWORD)
    assert back.status_code == 303
    assert back.location.startswith(f"{CALLBACK}?")
    assert query(back)["state"] == "a state&more"
    assert set(query(back)) == {"code", "state"}


def test_a_callback_with_a_query_keeps_it(hosted: Hosted) -> None:
    """An app's own scheme is fine, too."""
    back = hosted.sign_in(redirect_uri="myapp://back?from=login", state=None)
    assert back.location.startswith("myapp://back?from=login&code=")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"scope": "openid shop/write"}, "invalid_scope"),
        ({"scope": "openid nothing"}, "invalid_scope"),
        ({"scope": "email"}, "invalid_scope"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "dance"}, "invalid_request"),
        ({"identity_provider": "Google"}, "invalid_request"),
        ({"idp_identifier": "google"}, "invalid_request"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_to_the_client(
    hosted: Hosted, changes: dict[str, str | None], error: str
) -> None:
    """By a redirect with error, reason and state (RFC 6749 §4.1.2.1)."""
    answer = hosted.authorize(**changes)
    assert answer.status_code == 302
    assert answer.location.startswith(f"{CALLBACK}?")
    told = query(answer)
    assert (told["error"], told["state"]) == (error, "a state&more")
    assert told["error_description"]
    if changes != {"prompt": "none"}:  # the page itself refuses the same
        sent = hosted.request(**changes)
        page = hosted.browser.get(f"{hosted.base}/login", query_string=sent)
        assert query(page)["error"] == error


def test_a_repeated_parameter_is_refused(hosted: Hosted) -> None:
    """Which of two scopes counts nobody knows (RFC 6749 §3.1)."""
    sent = urlencode([*hosted.request().items(), ("scope", "openid")])
    answer = hosted.browser.get(f"{hosted.base}/oauth2/authorize?{sent}")
    assert query(answer)["error"] == "invalid_request"


@pytest.mark.parametrize("path", ["oauth2/authorize", "login", "logout"])
@pytest.mark.parametrize("value", ["openid", ""])
def test_no_parameter_is_there_twice(hosted: Hosted, path: str, value: str) -> None:
    """Neither a known nor an unknown one, with or without a value. Its name is not repeated."""
    for name in ("scope", "qzxhunter"):
        sent = urlencode([*hosted.request().items(), ("scope", ""), (name, "a"), (name, value)])
        answer = hosted.browser.get(f"{hosted.base}/{path}?{sent}")
        if path == "logout":
            assert (answer.status_code, said(answer)) == (
                400,
                "A parameter is there more than once.",
            )
        else:
            assert query(answer)["error"] == "invalid_request"
        assert "qzxhunter" not in f"{answer.text} {answer.headers}"


def test_parameters_without_a_value_count_as_left_out(hosted: Hosted) -> None:
    """RFC 6749 §3.1: on the authorization endpoint and on the pages behind it."""
    changes = dict.fromkeys(("state", "nonce", "prompt", "idp_identifier", "login_hint"), "")
    changes |= {"identity_provider": "", "code_challenge": "", "code_challenge_method": ""}
    back = hosted.sign_in(**changes)
    assert set(query(back)) == {"code"}
    assert query(hosted.authorize(response_type=""))["error"] == "invalid_request"
    assert hosted.authorize(redirect_uri="").status_code == 400
    assert hosted.authorize(client_id="").status_code == 400
    sent = {"client_id": hosted.public, "logout_uri": "", **hosted.request()}
    assert hosted.browser.get(f"{hosted.base}/logout", query_string=sent).status_code == 302


def test_a_sign_in_form_names_each_field_once(hosted: Hosted) -> None:
    """It is unclear which of two passwords counts."""
    page = hosted.page()
    refused = hosted.fill_in(page, username="grace", password=[PASSWORD, PASSWORD])  # type: ignore[arg-type]
    assert said(refused) == "A parameter is there more than once."


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"redirect_uri": None},
        {"redirect_uri": "http://127.0.0.1:5000/docs/oauth2-redirect.html/"},
        {"redirect_uri": "http://evil.example/"},
    ],
    ids=str,
)
def test_a_wrong_client_or_address_leads_nowhere(
    hosted: Hosted, changes: dict[str, str | None]
) -> None:
    """A page says what to do: a redirect would hand the answer to whoever asked."""
    answer = hosted.authorize(**changes)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert ("callback URLs" in said(answer)) == ("redirect_uri" in changes)


def test_a_client_without_the_code_grant_is_unauthorized(hosted: Hosted) -> None:
    """Flows that are listed count only with AllowedOAuthFlowsUserPoolClient."""
    other = hosted.make_client(**OAUTH | {"AllowedOAuthFlowsUserPoolClient": False})
    answer = hosted.authorize(client_id=other["ClientId"])
    assert query(answer)["error"] == "unauthorized_client"


def test_without_scope_the_client_gets_all_it_may_have(hosted: Hosted) -> None:
    """As the guide says; a client that has none is refused."""
    assert claims(hosted.tokens(scope=None)["access_token"])["scope"].split()[:6] == SCOPES
    none = hosted.make_client(**OAUTH | {"AllowedOAuthScopes": []})
    assert query(hosted.authorize(client_id=none["ClientId"], scope=None))["error"] == (
        "invalid_scope"
    )


def test_a_wrong_password_is_told_and_can_be_tried_again(hosted: Hosted) -> None:
    """The name stays in the field, escaped; a client that may know it is told of unknown users."""
    page = hosted.fill_in(hosted.page(), username='<gr"ace>', password="wrong")
    assert (page.status_code, said(page)) == (400, "User does not exist.")
    assert 'value="&lt;gr&#34;ace&gt;"' in page.text
    page = hosted.fill_in(page, username="grace", password="wrong")
    assert said(page) == "Incorrect username or password."
    assert "wrong" not in page.text
    assert hosted.fill_in(page, username="grace", password=PASSWORD).status_code == 303


def test_a_client_that_hides_users_says_the_same_of_unknown_ones(hosted: Hosted) -> None:
    """PreventUserExistenceErrors holds here, too."""
    hiding = hosted.make_client(**OAUTH | {"PreventUserExistenceErrors": "ENABLED"})
    page = hosted.page(client_id=hiding["ClientId"])
    answer = hosted.fill_in(page, username="nobody", password=PASSWORD)
    assert said(answer) == "Incorrect username or password."


def test_guessing_is_locked_out(hosted: Hosted) -> None:
    """Wrong passwords count together with those of the API."""
    page = hosted.page()
    for _ in range(5):
        page = hosted.fill_in(page, username="grace", password="wrong")
    assert said(hosted.fill_in(page, username="grace", password=PASSWORD)) == (
        "Password attempts exceeded"
    )
    gaps.clock.advance(2)
    assert hosted.fill_in(page, username="grace", password=PASSWORD).status_code == 303


def test_a_form_of_another_page_is_refused(hosted: Hosted) -> None:
    """By its origin, and without the token of the form."""
    page = hosted.page()
    for origin in ("http://evil.example", "http://127.0.0.1:5000", "null"):
        sent = {"username": "grace", "password": PASSWORD}
        refused = hosted.browser.post(page.request.url, data=sent, headers={"Origin": origin})
        assert refused.status_code == 403
    for csrf in ("", "guessed"):
        answer = hosted.fill_in(page, csrf=csrf, username="grace", password=PASSWORD)
        assert answer.status_code == 400
        assert "too long" in said(answer)
    hosted.browser.delete_cookie("XSRF-TOKEN", path=hosted.base)
    assert hosted.fill_in(page, username="grace", password=PASSWORD).status_code == 400


def test_the_page_loads_and_runs_nothing(hosted: Hosted) -> None:
    """One style sheet in the page, named by its nonce; no script, no frame around it, no cache."""
    one, other = hosted.page(), hosted.page()
    nonces = []
    for page in (one, other):
        policy = page.headers["Content-Security-Policy"]
        found = re.search(r"style-src 'nonce-([\w-]+)'", policy)
        assert found
        assert f'<style nonce="{found[1]}">' in page.text
        nonces.append(found[1])
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script" not in page.text
        assert not re.search(r"(src|href)=", page.text)
        assert page.headers["Cache-Control"] == "no-store"
    assert nonces[0] != nonces[1]


def test_every_field_has_a_label(hosted: Hosted) -> None:
    """Each visible input stands in its label, and the page has a language and a title."""
    text = hosted.page(login_hint="grace").text
    assert '<html lang="en">' in text
    assert re.search(r"<title>.+</title>", text)
    outside = re.sub(r"<label>.*?</label>", "", text, flags=re.DOTALL)
    assert set(re.findall(r"<input ([^>]*)>", outside)) == {
        entry for entry in re.findall(r"<input ([^>]*)>", text) if 'type="hidden"' in entry
    }
    assert 'value="grace"' in text


def test_a_temporary_password_is_replaced(hosted: Hosted) -> None:
    """The page asks for a new one, again if the policy refuses it, and the sign-in goes on."""
    hosted.cognito.set_password("Temp0rary-passw0rd!", permanent=False)
    page = hosted.sign_in("Temp0rary-passw0rd!")
    assert "New password" in page.text
    page = hosted.fill_in(page, answer="short")
    assert page.status_code == 400
    assert "New password" in page.text
    assert hosted.fill_in(page, answer=NEW_PASSWORD).status_code == 303
    assert hosted.cognito.sign_in(NEW_PASSWORD)


def test_an_authenticator_app_is_asked_for(hosted: Hosted) -> None:
    """A wrong code uses the step up, as with the API; the right one signs in."""
    secret = hosted.cognito.set_up_totp()
    page = hosted.sign_in()
    assert "Code of your authenticator app" in page.text
    page = hosted.fill_in(page, answer=other_than(totp(secret)))
    assert "Invalid code" in said(page)
    page = hosted.fill_in(page, username="grace", password=PASSWORD)
    assert hosted.fill_in(page, answer=totp(secret)).status_code == 303


def test_one_of_several_factors_is_chosen(hosted: Hosted) -> None:
    """Then its code is asked for; where it is sent, the page says where to."""
    secret = hosted.cognito.set_up_totp()
    hosted.cognito.boto.admin_set_user_mfa_preference(
        **hosted.cognito.user(),
        SoftwareTokenMfaSettings={"Enabled": True},
        SMSMfaSettings={"Enabled": True},
    )
    choice = hosted.sign_in()
    assert 'value="SMS_MFA"' in choice.text
    page = hosted.fill_in(choice, answer="SMS_MFA")
    assert "+*******3456" in page.text
    assert hosted.fill_in(page, answer=gaps.outbox.last_code("grace")).status_code == 303
    hosted.browser.get(f"{hosted.base}/logout", query_string=hosted.request())
    page = hosted.fill_in(hosted.sign_in(), answer="SOFTWARE_TOKEN_MFA")
    assert hosted.fill_in(page, answer=totp(secret)).status_code == 303


def test_a_factor_that_must_be_set_up_is_told(hosted: Hosted) -> None:
    """The page cannot, and says who can; there is no way around it."""
    hosted.cognito.configure_mfa("ON")
    page = hosted.sign_in()
    assert "AssociateSoftwareToken" in page.text
    assert "<form" not in page.text


def test_a_step_of_another_client_is_refused(hosted: Hosted) -> None:
    """A challenge is answered where it was asked."""
    secret = hosted.cognito.set_up_totp()
    page = hosted.sign_in()
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
    other = hosted.request(client_id=hosted.cognito.client_id)
    answer = hosted.browser.post(
        f"{hosted.base}/login", query_string=other, data=hidden | {"answer": totp(secret)}
    )
    assert "Invalid session" in said(answer)


def test_a_browser_signs_in_once(hosted: Hosted) -> None:
    """For an hour the next request gets a code at once; the password's time stays the user's."""
    first = hosted.tokens()
    gaps.clock.advance(600)
    again = hosted.authorize(client_id=hosted.cognito.client_id)
    assert query(again)["code"]
    assert query(hosted.authorize(prompt="none"))["code"]
    assert urlsplit(hosted.authorize(prompt="login").location).path.endswith("/login")
    gaps.clock.advance(3600)
    assert query(hosted.authorize(prompt="none"))["error"] == "login_required"
    assert first["refresh_token"]


@pytest.mark.parametrize("end", ["admin_disable_user", "admin_delete_user"])
def test_a_session_of_somebody_disabled_ends(hosted: Hosted, end: str) -> None:
    """The cookie is no way around it."""
    hosted.sign_in()
    getattr(hosted.cognito.boto, end)(**hosted.cognito.user())
    assert query(hosted.authorize(prompt="none"))["error"] == "login_required"


def test_the_cookies_are_for_this_pool_alone(hosted: Hosted) -> None:
    """No script reads them, no other path of this host gets them."""
    cookies = hosted.sign_in().headers.getlist("Set-Cookie")
    [session] = [cookie for cookie in cookies if cookie.startswith("cognito=")]
    for attribute in ("HttpOnly", "SameSite=Lax", f"Path={hosted.base}", "Max-Age=3600"):
        assert attribute in session


def test_signing_out_ends_the_session(hosted: Hosted) -> None:
    """Then the browser goes on to the client's address."""
    hosted.sign_in()
    sent = {"client_id": hosted.public, "logout_uri": SIGNED_OUT}
    answer = hosted.browser.get(f"{hosted.base}/logout", query_string=sent)
    assert (answer.status_code, answer.location) == (302, SIGNED_OUT)
    assert query(hosted.authorize(prompt="none"))["error"] == "login_required"


def test_signing_out_may_lead_to_signing_in(hosted: Hosted) -> None:
    """With `redirect_uri` and the rest of an authorization request."""
    hosted.sign_in()
    answer = hosted.browser.get(f"{hosted.base}/logout", query_string=hosted.request())
    assert urlsplit(answer.location).path == f"{hosted.base}/login"
    assert "<form" in hosted.browser.get(answer.location).text
    assert query(hosted.authorize(prompt="none"))["error"] == "login_required"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"logout_uri": "http://evil.example/"},
        {"logout_uri": None},
        {"logout_uri": None, "redirect_uri": "http://evil.example/"},
    ],
    ids=str,
)
def test_signing_out_redirects_to_nobody_unknown(
    hosted: Hosted, changes: dict[str, str | None]
) -> None:
    """A page says what is wrong."""
    sent: dict[str, str | None] = {"client_id": hosted.public, "logout_uri": SIGNED_OUT}
    asked = {name: value for name, value in (sent | changes).items() if value is not None}
    answer = hosted.browser.get(f"{hosted.base}/logout", query_string=asked)
    assert answer.status_code == 400
    assert said(answer)


def test_what_nobody_expects_is_no_fault_of_ours(hosted: Hosted) -> None:
    """Bytes that are no text, text that is no name, fields that are missing: nothing above 400s."""
    strange = ["\x00", "é€\U0001f600", "a" * 5000, "%", "'\"<>&;", "\r\nSet-Cookie: a=b", "../.."]
    names = ["client_id", "redirect_uri", "scope", "state", "nonce", "prompt", "login_hint"]
    for value in strange:
        for path in ("oauth2/authorize", "login", "logout"):
            for name in names:
                asked = hosted.request(**{name: value})
                answer = hosted.browser.get(f"{hosted.base}/{path}", query_string=asked)
                assert answer.status_code < 500, (path, name, value)
                assert "a=b" not in answer.headers.get("Set-Cookie", "")
        page = hosted.page(state=value)
        for fields in (
            {"username": value, "password": value},
            {"challenge": value, "session": value, "answer": value},
            {"challenge": "NEW_PASSWORD_REQUIRED", "session": value},
        ):
            assert hosted.fill_in(page, **fields).status_code == 400
    raw = urlencode(hosted.request(state=None)) + "&state=\xe9"
    begun = hosted.browser.get(f"{hosted.base}/oauth2/authorize?{raw}")
    assert begun.status_code == 302
    for encoded in ("%ff", "%00", "%e9"):
        begun = hosted.browser.get(
            f"{hosted.base}/oauth2/authorize?{urlencode(hosted.request(state=None))}&state={encoded}"
        )
        assert hosted.browser.get(begun.location).status_code == 200


def test_an_unknown_pool_is_not_found(hosted: Hosted) -> None:
    """Every endpoint says so."""
    for path in ("oauth2/authorize", "login", "logout", ".well-known/jwks.json", "oauth2/userInfo"):
        assert hosted.browser.get(f"/us-east-1_Nobody/{path}").status_code == 404


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://app.example/back", "https://app.example/back?code=c&state=s"),
        ("https://app.example/back?a=b", "https://app.example/back?a=b&code=c&state=s"),
        ("https://app.example/back?", "https://app.example/back?code=c&state=s"),
        ("HTTPS://App.example", "HTTPS://App.example?code=c&state=s"),
        ("myapp://", "myapp://?code=c&state=s"),
        ("myapp:///back", "myapp:///back?code=c&state=s"),
        ("com.example.app:/back", "com.example.app:/back?code=c&state=s"),
        ("capacitor://localhost", "capacitor://localhost?code=c&state=s"),
    ],
)
def test_a_callback_url_is_used_as_it_is(address: str, expected: str) -> None:
    """RFC 8252 §7.1: the schemes of apps have addresses that a parser would rewrite."""
    assert with_query(address, "s", {"code": "c"}) == expected


@pytest.mark.parametrize(
    "other",
    [
        "https://app.example/back",  # the scheme counts
        "http://app.example:8080/back",
        "http://app.example/back/",
        "http://app.example/BACK",
        "http://APP.example/back",
        "http://app.example/back?a=b",
        "http://app.example/back#part",
        "http://app.example/back%20",
        "http://app.example/back ",
        "http://user@app.example/back",
        "http://app.example.evil.example/back",
    ],
)
@pytest.mark.parametrize("parameter", ["redirect_uri", "logout_uri"])
def test_addresses_of_a_client_are_compared_whole(
    hosted: Hosted, parameter: str, other: str
) -> None:
    """RFC 9700 §4.1.3: to the letter, scheme and port included."""
    [pool] = [pool for pool in gaps.pools() if pool.id == hosted.cognito.pool_id]
    known = ["http://app.example/back"]
    pool.clients[hosted.public].extended_config |= {"CallbackURLs": known, "LogoutURLs": known}
    path = "/logout" if parameter == "logout_uri" else "/oauth2/authorize"
    sent = {"client_id": hosted.public, "response_type": "code", "scope": "openid"}
    right = hosted.browser.get(hosted.base + path, query_string=sent | {parameter: known[0]})
    assert right.status_code == 302
    wrong = hosted.browser.get(hosted.base + path, query_string=sent | {parameter: other})
    assert wrong.status_code == 400
    assert "Location" not in wrong.headers
