"""/docs in a browser: sign in, try requests, sign out."""

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from conftest import HOSTS, Open, Watched, is_as_wide_as_its_screen, screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

USERNAME, PASSWORD = "demo", "Demo-Passw0rd!"
UNAUTHORIZED = "401 (UNAUTHORIZED)"


def _dialog(page: "Page", flow: str) -> "Locator":
    """Open the sign-in dialog and return one flow's part of it."""
    page.locator(".auth-wrapper > .btn.authorize").click()
    heading = page.get_by_role("heading", name=f"(OAuth2, {flow}")
    part = page.locator(".auth-container > div > div", has=heading)
    part.wait_for()
    return part


def _sign_in(page: "Page", password: str = PASSWORD) -> "Locator":
    """Do what a newcomer does: a password, a press of the button."""
    part = _dialog(page, "password")
    part.locator("#oauth_password").fill(password)
    part.locator(".btn.authorize").click()
    return part


def _form(request: "Request") -> dict[str, str]:
    return dict(parse_qsl(request.post_data or "", keep_blank_values=True))


def _close(page: "Page") -> None:
    page.locator(".close-modal").click()


def _operation(page: "Page", method: str, path: str) -> "Locator":
    return page.locator(f".opblock-{method}", has=page.locator(f'[data-path="{path}"]'))


def _try_out(page: "Page", method: str, path: str) -> tuple[str, Any]:
    """Unfold an operation, send its example, and return status and body of the answer."""
    operation = _operation(page, method, path)
    if "is-open" not in (operation.get_attribute("class") or ""):
        operation.locator(".opblock-summary-control").click()
        operation.locator(".try-out__btn").click()
    with page.expect_response(lambda answer: path in answer.url) as seen:
        operation.locator(".btn.execute").click()
    status = str(seen.value.status)
    shown = operation.locator(".live-responses-table tbody .response-col_status")
    shown.filter(has_text=status).first.wait_for()
    body = operation.locator(".live-responses-table .highlight-code code").first.inner_text()
    return status, json.loads(body)


def _picture_for_readers(page: "Page") -> None:
    """Take docs/docs-page.png: from the top to the number that was drawn, other parts folded."""
    page.set_viewport_size({"width": 1000, "height": 900})
    others = page.locator('.opblock-tag[data-is-open="true"]:not([data-tag="randoms"])')
    while others.count():
        others.first.click()
    answer = _operation(page, "post", "/randoms").locator(".live-responses-table .highlight-code")
    box = answer.first.bounding_box()
    assert box is not None
    top = page.evaluate("scrollY")
    height = top + box["y"] + box["height"] + 12
    screenshot(page, "docs-page", clip={"x": 0, "y": 0, "width": 1000, "height": height})


def test_a_newcomer_signs_in_and_posts_a_number(open_page: Open, watched: Watched) -> None:
    """The demo user's name is there, the scopes are chosen; after signing out all is refused."""
    page = open_page("/docs")
    dialog = _dialog(page, "password")
    assert dialog.locator("#oauth_username").input_value() == USERNAME
    assert PASSWORD in dialog.locator(".demo").inner_text()
    ways = page.locator(".auth-container h4").all_inner_texts()
    assert [way.split()[0] for way in ways] == ["password", "cognito", "bearer"]
    scopes = dialog.locator("input[type=checkbox]")
    assert scopes.count() > 0
    assert all(scope.is_checked() for scope in scopes.all())
    page.locator("#oauth_password:focus").wait_for()
    screenshot(page, "docs-sign-in")
    dialog.locator("#oauth_password").fill(PASSWORD)
    dialog.locator(".btn.authorize").click()
    dialog.get_by_text("Logout", exact=True).wait_for()
    _close(page)

    status, made = _try_out(page, "post", "/randoms")
    assert status == "201"
    assert made["min_value"] <= made["num"] <= made["max_value"]
    _picture_for_readers(page)
    status, listed = _try_out(page, "get", "/randoms")
    assert status == "200"
    assert made in listed

    watched.expected.append(UNAUTHORIZED)
    _dialog(page, "password").get_by_text("Logout", exact=True).click()
    dialog.locator("#oauth_password").wait_for()
    assert dialog.locator("#oauth_username").input_value() == USERNAME
    _close(page)
    status, refusal = _try_out(page, "get", "/randoms")
    assert (status, refusal) == ("401", {"detail": "Not authenticated"})


def test_enter_signs_in(open_page: Open, watched: Watched) -> None:
    """The fields stand in a form, as password managers expect. One press sends one request."""
    page = open_page("/docs")
    dialog = _dialog(page, "password")
    loose = "Array.from(document.querySelectorAll('[type=password]')).filter((each) => !each.form)"
    assert page.evaluate(f"{loose}.length") == 0
    dialog.locator("#oauth_password").fill(PASSWORD)
    dialog.locator("#oauth_password").press("Enter")
    dialog.get_by_text("Logout", exact=True).wait_for()
    assert len([each for each in watched.requests if each.method == "POST"]) == 1
    assert page.url.endswith("/docs")


def test_what_is_sent_to_sign_in(open_page: Open, watched: Watched, service: str) -> None:
    """The client's id with an empty secret in the header, all scopes, and nothing else."""
    page = open_page("/docs")
    _sign_in(page).get_by_text("Logout", exact=True).wait_for()
    [sent] = [request for request in watched.requests if request.method == "POST"]
    assert sent.url == f"{service}/users/login"
    assert (sent.header_value("authorization") or "").startswith("Basic ")
    form = _form(sent)
    assert form["scope"].split() == ["me", "randoms"]
    assert set(form) == {"grant_type", "scope", "username", "password"}


def test_a_wrong_password_is_told(open_page: Open, watched: Watched) -> None:
    """The service's own words stand in the dialog, which stays open for another try."""
    watched.expected.append(UNAUTHORIZED)
    page = open_page("/docs")
    dialog = _sign_in(page, "wrong")
    error = dialog.locator(".errors")
    error.wait_for()
    assert "invalid_grant" in error.inner_text()
    assert "Incorrect username or password" in error.inner_text()
    dialog.locator("#oauth_password").fill(PASSWORD)
    dialog.locator(".btn.authorize").click()
    dialog.get_by_text("Logout", exact=True).wait_for()


def test_a_token_ends_with_the_page(open_page: Open) -> None:
    """Nothing is stored, so another script of this origin, or another user, finds none."""
    page = open_page("/docs")
    _sign_in(page).get_by_text("Logout", exact=True).wait_for()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert kept == "[{},{}]"
    assert page.context.cookies() == []
    page.reload()
    _dialog(page, "password").locator("#oauth_password").wait_for()


@pytest.mark.parametrize("host", HOSTS)
def test_managed_login_signs_in_with_pkce(open_page: Open, watched: Watched, host: str) -> None:
    """The pool's own page asks for the password; the code is traded without a secret."""
    page = open_page("/docs", host=host)
    dialog = _dialog(page, "authorizationCode")
    scopes = dialog.locator("input[type=checkbox]")
    assert scopes.count() > 0
    assert all(scope.is_checked() for scope in scopes.all())
    with page.expect_popup() as opened:
        dialog.locator(".btn.authorize").click()
    login = opened.value
    login.locator("[name=username]").fill(USERNAME)
    screenshot(login, "managed-login")
    login.locator("[name=password]").fill(PASSWORD)
    with login.expect_event("close"):
        login.get_by_role("button").click()
    dialog.get_by_text("Logout", exact=True).wait_for()
    screenshot(page, "docs-managed-login")
    _close(page)
    assert _try_out(page, "post", "/randoms")[0] == "201"

    [trade] = [request for request in watched.requests if request.url.endswith("/oauth2/token")]
    ours = page.url.partition("/docs")[0]
    assert not trade.url.startswith(ours)
    form = _form(trade)
    assert "client_secret" not in form
    assert form["grant_type"] == "authorization_code"
    assert len(form["code_verifier"]) >= 43
    assert form["redirect_uri"] == f"{ours}/docs/oauth2-redirect.html"
    assert trade.header_value("x-requested-with") is None


def test_a_phone_shows_all_of_it(open_page: Open) -> None:
    """Nothing is wider than the screen, and the dialog can be used."""
    page = open_page("/docs", phone=True, scheme="dark")
    _operation(page, "post", "/randoms").wait_for()
    assert is_as_wide_as_its_screen(page)
    assert "dark-mode" in (page.locator("html").get_attribute("class") or "")
    screenshot(page, "docs-phone-dark")
    _sign_in(page).get_by_text("Logout", exact=True).wait_for()
    box = page.locator(".modal-ux").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    screenshot(page, "docs-phone-dialog")
    _close(page)
    assert _try_out(page, "post", "/randoms")[0] == "201"
    assert is_as_wide_as_its_screen(page)


def test_another_description_cannot_be_shown(open_page: Open, watched: Watched) -> None:
    """An address of a stranger's description in the query is not looked at."""
    page = open_page(
        "/docs?url=https://attacker.example/openapi.json&configUrl=https://attacker.example"
    )
    _operation(page, "post", "/randoms").wait_for()
    assert not [request for request in watched.requests if "attacker" in request.url.split("?")[0]]
