"""What people see: `/oauth2/authorize`, the sign-in page and `/logout`."""

import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, make_response, redirect, request, url_for
from flask import render_template as render
from moto.cognitoidp.models import CognitoIdpUser
from moto.core.exceptions import JsonRESTError
from werkzeug.wrappers import Response as AnyResponse

from resource_server.emulator.gaps import clock, sessions, signing_in
from resource_server.emulator.gaps.directory import find_user, not_authorized
from resource_server.emulator.gaps.records import record_of
from resource_server.emulator.managed_login.authorization import (
    AuthorizationRequest,
    NoWayBack,
    Refused,
    read,
)
from resource_server.emulator.managed_login.grants import (
    SESSION_SECONDS,
    BrowserSession,
    CodeGrant,
    grants,
)
from resource_server.emulator.managed_login.parameters import Repeated, once_each

pages = Blueprint("pages", __name__)

_SESSION, _CSRF = "cognito", "XSRF-TOKEN"  # Cognito's names for them
_KEEPS_SESSION = {"InvalidPasswordException"}
"""Refusals that leave a challenge to be answered again."""


@pages.get("/oauth2/authorize")
def authorize() -> AnyResponse:
    """Send the browser to the sign-in page, or back at once where it has signed in."""
    wanted = read(g.pool, request.args)
    session = grants().session(request.cookies.get(_SESSION), g.pool.id)
    user = find_user(g.pool, session.sub) if session else None
    if session and user and user.enabled and "login" not in wanted.prompt:
        return redirect(_with_code(wanted, user, session.auth_time))
    if "none" in wanted.prompt:
        raise wanted.refused("login_required", "Nobody has signed in with this browser")
    return redirect(_login_page())


@pages.get("/login")
def login() -> Response:
    """Show the sign-in page."""
    return _page(read(g.pool, request.args))


@pages.post("/login")
def submit() -> AnyResponse:
    """Take one step of a sign-in; the last one leads back to the client."""
    wanted = read(g.pool, request.args)
    try:
        form = once_each(request.form)
    except Repeated as error:
        return _page(wanted, error=f"{error}.")
    known, sent = request.cookies.get(_CSRF, ""), form.get("csrf", "")
    if not known or not hmac.compare_digest(known.encode(), sent.encode()):
        return _page(wanted, error="This page was open for too long. Please sign in again.")
    try:
        user, challenge = _step(wanted, form)
    except JsonRESTError as error:
        return _page_after(wanted, error)
    if challenge is not None:
        return _page(wanted, challenge=challenge)
    record_of(user).failures.pop("sign-in", None)
    now = int(clock.now())
    answer = redirect(_with_code(wanted, user, now), code=303)
    text = grants().open_session(BrowserSession(g.pool.id, user.id, now))
    _set_cookie(answer, _SESSION, text, int(SESSION_SECONDS))
    return answer


@pages.get("/logout")
def logout() -> AnyResponse:
    """End the browser's session; go on to `logout_uri`, or to sign in anew for `redirect_uri`."""
    try:
        given = once_each(request.args)
    except Repeated as error:
        raise NoWayBack(f"{error}.") from None
    client = g.pool.clients.get(given.get("client_id", ""))
    if client is None:
        raise NoWayBack("The pool has no app client with the client_id of this request.")
    target = given.get("logout_uri")
    if target is None:
        read(g.pool, request.args)
        answer = redirect(_login_page())
    elif target in (client.extended_config.get("LogoutURLs") or []):
        answer = redirect(target)
    else:
        raise NoWayBack(
            "The logout_uri of this request is none of the app client's sign-out URLs, to the "
            "letter. Add it to them, or send one of them."
        )
    grants().close_session(request.cookies.get(_SESSION))
    answer.delete_cookie(_SESSION, path=f"/{g.pool.id}")
    return answer


@pages.errorhandler(NoWayBack)
def no_way_back(error: NoWayBack) -> Response:
    """Tell the person at the browser, who may be the developer."""
    return _styled("message.html", status=400, message=str(error))


@pages.errorhandler(Refused)
def refused(error: Refused) -> AnyResponse:
    """Tell the client."""
    return redirect(error.location)


def _step(
    wanted: AuthorizationRequest, form: Mapping[str, str]
) -> tuple[CognitoIdpUser, dict[str, Any] | None]:
    """Judge a password or the answer to a challenge; return what is asked next.

    Raises what Cognito's API would.
    """
    name, answer = form.get("challenge"), form.get("answer", "")
    if name is None:
        username, password = form.get("username", ""), form.get("password", "")
        user = signing_in.user_with_password(g.pool, wanted.client, username, password)
        return user, signing_in.next_challenge(g.pool, wanted.client, user)
    text = form.get("session", "")
    session = sessions.look(text, name)
    if session.client is not wanted.client:
        raise not_authorized("Invalid session for the user.")
    return session.user, signing_in.judge(text, session, answer, {})


def _with_code(wanted: AuthorizationRequest, user: CognitoIdpUser, auth_time: int) -> str:
    grant = CodeGrant(
        pool_id=g.pool.id,
        client_id=wanted.client.id,
        sub=user.id,
        redirect_uri=wanted.redirect_uri,
        scopes=wanted.scopes,
        auth_time=auth_time,
        nonce=wanted.nonce,
        challenge=wanted.challenge,
    )
    return wanted.answer(code=grants().issue(grant))


def _login_page() -> str:
    asked = urlencode(tuple(request.args.items(multi=True)))
    return f"{url_for('pages.login', pool_id=g.pool.id)}?{asked}"


def _page_after(wanted: AuthorizationRequest, error: JsonRESTError) -> Response:
    if error.error_type in _KEEPS_SESSION:
        kept = {"ChallengeName": request.form["challenge"], "Session": request.form["session"]}
        return _page(wanted, challenge=kept, error=error.message)
    return _page(wanted, error=error.message)


def _page(
    wanted: AuthorizationRequest,
    *,
    challenge: dict[str, Any] | None = None,
    error: str | None = None,
) -> Response:
    """Show the form for a password, or for the answer to a challenge."""
    csrf = request.cookies.get(_CSRF) or secrets.token_urlsafe(32)
    asked = challenge or {}
    details = asked.get("ChallengeParameters", {})
    answer = _styled(
        "login.html",
        status=400 if error else 200,
        csrf=csrf,
        error=error,
        challenge=asked.get("ChallengeName"),
        session=asked.get("Session"),
        destination=details.get("CODE_DELIVERY_DESTINATION"),
        choices=json.loads(details.get("MFAS_CAN_CHOOSE", "[]")),
        username=request.form.get("username") or wanted.login_hint,
        client=wanted.client.extended_config.get("ClientName") or wanted.client.id,
    )
    _set_cookie(answer, _CSRF, csrf)
    return answer


def _styled(template: str, *, status: int, **values: Any) -> Response:
    """Render a page that loads nothing; its one style sheet is named by a nonce.

    There is no `form-action`: browsers apply it to every redirect that follows, the client's too.
    """
    nonce = secrets.token_urlsafe(16)
    answer = make_response(render(template, nonce=nonce, pool=g.pool, **values), status)
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _set_cookie(answer: AnyResponse, name: str, value: str, seconds: int | None = None) -> None:
    """Set a cookie of this pool alone; other servers of this host share what has no path."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=f"/{g.pool.id}",
        httponly=True,
        samesite="Lax",
    )
