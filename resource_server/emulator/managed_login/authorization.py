"""The request that a sign-in begins with: RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core §3.1.2."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from moto.cognitoidp.models import CognitoIdpUserPool, CognitoIdpUserPoolClient
from werkzeug.datastructures import MultiDict

from resource_server.emulator.managed_login import clients
from resource_server.emulator.managed_login.parameters import Repeated, once_each, with_values

_S256 = re.compile(r"[A-Za-z0-9_-]{43}")
_PROMPTS = {"none", "login", "select_account", "consent"}


class NoWayBack(Exception):
    """Client or `redirect_uri` is wrong: the browser is sent nowhere (RFC 6749 §4.1.2.1)."""


class Refused(Exception):
    """The request is refused, and the client is told by the redirect."""

    def __init__(self, error: str, description: str, location: str) -> None:
        super().__init__(error, description)
        self.location = location


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may go on to a sign-in."""

    client: CognitoIdpUserPoolClient
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None
    nonce: str | None
    challenge: str | None
    prompt: frozenset[str]
    login_hint: str

    def answer(self, **parameters: str) -> str:
        """Return the client's address with an answer in it."""
        return with_query(self.redirect_uri, self.state, parameters)

    def refused(self, error: str, description: str) -> Refused:
        """Refuse what the client asks for."""
        told = {"error": error, "error_description": description}
        return Refused(error, description, self.answer(**told))


def with_query(address: str, state: str | None, parameters: dict[str, str]) -> str:
    """Add parameters to an address, which may have a query of its own.

    The address stays as it is: taking it apart would make `myapp:` of `myapp://`.
    """
    more = urlencode(parameters if state is None else parameters | {"state": state})
    if address.endswith(("?", "&")):
        return f"{address}{more}"
    return f"{address}{'&' if '?' in address else '?'}{more}"


def read(pool: CognitoIdpUserPool, sent: MultiDict[str, str]) -> AuthorizationRequest:
    """Check the parameters of a request.

    Raises NoWayBack, Refused.
    """
    client, redirect_uri = _client_and_address(pool, sent)
    given = with_values(sent)
    wanted = AuthorizationRequest(
        client=client,
        redirect_uri=redirect_uri,
        scopes=tuple(dict.fromkeys(given.get("scope", "").split())),
        state=given.get("state"),
        nonce=given.get("nonce"),
        challenge=given.get("code_challenge"),
        prompt=frozenset(given.get("prompt", "").split()),
        login_hint=given.get("login_hint", ""),
    )
    try:
        once_each(sent)
    except Repeated as error:
        raise wanted.refused("invalid_request", str(error)) from None
    _require_flow(wanted, given)
    _require_challenge(wanted, given)
    if not wanted.prompt <= _PROMPTS or ("none" in wanted.prompt and len(wanted.prompt) > 1):
        raise wanted.refused("invalid_request", "prompt is unknown, or none beside others")
    return _with_scopes(pool, wanted)


def _client_and_address(
    pool: CognitoIdpUserPool, sent: MultiDict[str, str]
) -> tuple[CognitoIdpUserPoolClient, str]:
    ids, addresses = sent.getlist("client_id"), sent.getlist("redirect_uri")
    client = pool.clients.get(ids[0]) if len(ids) == 1 else None
    if client is None:
        raise NoWayBack("The pool has no app client with the client_id of this request.")
    known = client.extended_config.get("CallbackURLs") or []
    if len(addresses) != 1 or addresses[0] not in known:
        raise NoWayBack(
            "The redirect_uri of this request is none of the app client's callback URLs, to the "
            "letter. Add it to them, or send one of them."
        )
    return client, addresses[0]


def _require_flow(wanted: AuthorizationRequest, given: Mapping[str, str]) -> None:
    kind = given.get("response_type")
    if not kind:
        raise wanted.refused("invalid_request", "response_type is missing")
    if kind != "code":
        raise wanted.refused("unsupported_response_type", "response_type is code here")
    if not clients.may(wanted.client, "code"):
        raise wanted.refused("unauthorized_client", "The client may not use the code grant")
    if given.get("identity_provider", "COGNITO") != "COGNITO" or "idp_identifier" in given:
        raise wanted.refused("invalid_request", "Other identity providers are not emulated")


def _require_challenge(wanted: AuthorizationRequest, given: Mapping[str, str]) -> None:
    """Check what PKCE needs (RFC 7636 §4.3); Cognito supports S256 alone, and demands no PKCE."""
    method = given.get("code_challenge_method")
    if wanted.challenge is None and method is None:
        return
    if method != "S256":
        raise wanted.refused("invalid_request", "code_challenge_method is S256")
    if not _S256.fullmatch(wanted.challenge or ""):
        raise wanted.refused("invalid_request", "code_challenge is 43 characters of base64url")


def _with_scopes(pool: CognitoIdpUserPool, wanted: AuthorizationRequest) -> AuthorizationRequest:
    """Check the scopes; without any the client gets all it may have (guide, as above)."""
    allowed = clients.scopes_of(pool, wanted.client)
    scopes = wanted.scopes or tuple(allowed)
    if not scopes:
        raise wanted.refused("invalid_scope", "The client has no scope to ask for")
    for scope in scopes:
        if scope not in allowed:
            raise wanted.refused("invalid_scope", "The client may not ask for one of these scopes")
    if "openid" not in scopes and not {"email", "phone", "profile"}.isdisjoint(scopes):
        raise wanted.refused("invalid_scope", "email, phone and profile need openid beside them")
    return replace(wanted, scopes=scopes)
