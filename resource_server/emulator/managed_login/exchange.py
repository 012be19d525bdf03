"""What programs call: `/oauth2/token`, `/oauth2/revoke`, `/oauth2/userInfo`."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from moto.cognitoidp.models import CognitoIdpUserPoolClient
from moto.core.exceptions import JsonRESTError

from resource_server.emulator.gaps import tokens
from resource_server.emulator.gaps.directory import bearer_of, find_user
from resource_server.emulator.gaps.records import refresh_tokens_of
from resource_server.emulator.managed_login.clients import (
    OAuthError,
    authenticate,
    custom_scopes,
    may,
    scopes_of,
)
from resource_server.emulator.managed_login.grants import grants
from resource_server.emulator.managed_login.parameters import Repeated, once_each

exchange = Blueprint("exchange", __name__)

_SOURCE = "TokenGeneration_HostedAuth"
_JWT_DOTS = 2
_NAMES = {
    "IdToken": "id_token",
    "AccessToken": "access_token",
    "RefreshToken": "refresh_token",
    "ExpiresIn": "expires_in",
    "TokenType": "token_type",
}


@exchange.post("/oauth2/token")
def token() -> Response:
    """Exchange a code, a refresh token or a client's own credentials for tokens."""
    form = _form()
    client = authenticate(g.pool, request.headers.get("Authorization"), form)
    makers = {
        "authorization_code": _by_code,
        "refresh_token": _by_refresh_token,
        "client_credentials": _by_client_credentials,
    }
    kind = _required(form, "grant_type")
    if kind not in makers:
        raise OAuthError("unsupported_grant_type", f"grant_type is one of {', '.join(makers)}")
    try:
        made = makers[kind](client, form)
    except JsonRESTError as error:
        raise _translated(error) from error
    return jsonify({name: made[theirs] for theirs, name in _NAMES.items() if theirs in made})


def _by_code(client: CognitoIdpUserPoolClient, form: Mapping[str, str]) -> dict[str, Any]:
    if not may(client, "code"):
        raise OAuthError("unauthorized_client", "The client may not use the code grant")
    code, redirect_uri = _required(form, "code"), _required(form, "redirect_uri")
    grant = grants().redeem(code)
    if grant is None or (grant.pool_id, grant.client_id) != (g.pool.id, client.id):
        raise OAuthError("invalid_grant", "No such code: unknown, used, expired, or another's")
    if grant.redirect_uri != redirect_uri:
        raise OAuthError("invalid_grant", "redirect_uri is not that of the authorization request")
    _require_verifier(grant.challenge, form.get("code_verifier"))
    user = find_user(g.pool, grant.sub)
    if user is None or not user.enabled:
        raise OAuthError("invalid_grant", "The user is disabled or deleted")
    return tokens.begin_family(
        g.pool,
        client,
        user,
        _SOURCE,
        auth_time=grant.auth_time,
        scopes=list(grant.scopes),
        nonce=grant.nonce,
    )


def _require_verifier(challenge: str | None, verifier: str | None) -> None:
    """Check PKCE (RFC 7636 §4.6); a verifier without a challenge is refused (RFC 9700 §4.8.2)."""
    if challenge is None and verifier is None:
        return
    digest = hashlib.sha256((verifier or "").encode()).digest()
    proven = base64.urlsafe_b64encode(digest).rstrip(b"=")
    if not verifier or not hmac.compare_digest(proven, (challenge or "").encode()):
        raise OAuthError("invalid_grant", "code_verifier does not fit the code_challenge")


def _by_refresh_token(client: CognitoIdpUserPoolClient, form: Mapping[str, str]) -> dict[str, Any]:
    made = tokens.refresh(g.pool, client, _required(form, "refresh_token"))
    result: dict[str, Any] = made["AuthenticationResult"]
    return result


def _by_client_credentials(
    client: CognitoIdpUserPoolClient, form: Mapping[str, str]
) -> dict[str, Any]:
    if not client.generate_secret or not may(client, "client_credentials"):
        raise OAuthError("unauthorized_client", "The client may not use client_credentials")
    allowed = [s for s in scopes_of(g.pool, client) if s in custom_scopes(g.pool)]
    asked = list(dict.fromkeys(form.get("scope", "").split())) or allowed
    if not asked or not set(asked) <= set(allowed):
        raise OAuthError("invalid_scope", "The client has custom scopes of the pool alone")
    return tokens.issue_to_client(g.pool, client, asked, _client_metadata(form))


def _client_metadata(form: Mapping[str, str]) -> dict[str, str] | None:
    """Read `aws_client_metadata`, which is for the trigger (guide, "The token endpoint")."""
    text = form.get("aws_client_metadata")
    if not text:
        return None
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise OAuthError("invalid_request", "aws_client_metadata is no JSON object of text")
    return metadata


@exchange.post("/oauth2/revoke")
def revoke() -> Response:
    """Revoke a refresh token and what came of it (RFC 7009); an unknown one is no error."""
    form = _form()
    try:
        client = authenticate(g.pool, request.headers.get("Authorization"), form)
    except OAuthError as error:
        if error.error == "invalid_client":
            error.status = 401  # here Cognito says so; its token endpoint says 400
        raise
    text = _required(form, "token")
    if client.extended_config.get("EnableTokenRevocation") is False:
        raise OAuthError("invalid_request", "Token revocation is not enabled for this client")
    found = refresh_tokens_of(g.pool).get(text)
    if found is None:
        if text.count(".") == _JWT_DOTS:
            raise OAuthError("unsupported_token_type", "Refresh tokens alone can be revoked")
        return Response(status=200)
    if found.client_id != client.id:
        raise OAuthError("invalid_grant", "The token was issued to another client")
    tokens.end_sign_in(g.pool, found.origin_jti)
    return Response(status=200)


@exchange.route("/oauth2/userInfo", methods=["GET", "POST"])
def user_info() -> Response:
    """Give the user's attributes, as far as the scopes of the access token go."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        return _no_user_info(400, "invalid_request", "Bad OAuth2 request at UserInfo Endpoint")
    try:
        pool, user = bearer_of(text, "openid")
    except JsonRESTError:
        pool = None
    if pool is not g.pool:
        told = "Access token is expired, revoked, another pool's, or has no openid scope"
        return _no_user_info(401, "invalid_token", told)
    scopes = tokens.scopes_in(text)
    shown = tokens.attributes_within(user, scopes)
    return jsonify({"sub": user.id} | shown | {"username": user.username})


def _no_user_info(status: int, error: str, description: str) -> Response:
    answer = jsonify({"error": error, "error_description": description})
    answer.status_code = status
    challenge = f'Bearer error="{error}", error_description="{description}"'
    answer.headers["WWW-Authenticate"] = challenge
    return answer


@exchange.errorhandler(OAuthError)
def refused(error: OAuthError) -> Response:
    """Answer as RFC 6749 §5.2 wants it."""
    answer = jsonify({"error": error.error, "error_description": error.description})
    answer.status_code = error.status
    if error.status == 401:  # noqa: PLR2004 - the status that must name a scheme
        answer.headers["WWW-Authenticate"] = "Basic"
    return answer


@exchange.after_request
def keep_nothing(answer: Response) -> Response:
    """Let no cache keep tokens (RFC 6749 §5.1)."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Pragma"] = "no-cache"
    return answer


def _form() -> Mapping[str, str]:
    """Read the form."""
    if request.mimetype != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "Send a form: application/x-www-form-urlencoded")
    try:
        return once_each(request.form)
    except Repeated as error:
        raise OAuthError("invalid_request", str(error)) from None


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name)
    if not value:
        raise OAuthError("invalid_request", f"{name} is missing")
    return value


def _translated(error: JsonRESTError) -> OAuthError:
    """Turn an error of the API into one of the token endpoint."""
    if "Lambda" in error.error_type:
        plain = error.message.encode("ascii", "replace").decode()
        return OAuthError("invalid_request", plain.replace('"', "'").replace("\\", "/"))
    return OAuthError("invalid_grant", "No such refresh token: unknown, expired, revoked or used")
