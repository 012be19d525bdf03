"""Who asks: what an app client may do, and whether it is who it says."""

import base64
import hmac
from collections.abc import Mapping

from moto.cognitoidp.models import CognitoIdpUserPool, CognitoIdpUserPoolClient

from resource_server.emulator.declared import STANDARD_SCOPES
from resource_server.emulator.gaps.records import secrets_of


class OAuthError(Exception):
    """An error answer of RFC 6749 §5.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error, description)
        self.error, self.description, self.status = error, description, status


def may(client: CognitoIdpUserPoolClient, flow: str) -> bool:
    """Tell whether a client may use `code` or `client_credentials` (API: AllowedOAuthFlows)."""
    config = client.extended_config
    flows = config.get("AllowedOAuthFlows") or []
    return bool(config.get("AllowedOAuthFlowsUserPoolClient")) and flow in flows


def scopes_of(pool: CognitoIdpUserPool, client: CognitoIdpUserPoolClient) -> list[str]:
    """List the scopes a client may ask for; one that the pool no longer has does not count."""
    known = {*STANDARD_SCOPES, *custom_scopes(pool)}
    return [s for s in client.extended_config.get("AllowedOAuthScopes") or [] if s in known]


def custom_scopes(pool: CognitoIdpUserPool) -> set[str]:
    """Return the scopes of the pool's resource servers, `identifier/name`."""
    return {
        f"{server.identifier}/{scope['ScopeName']}"
        for server in pool.resource_servers.values()
        for scope in server.scopes
    }


def authenticate(
    pool: CognitoIdpUserPool, header: str | None, form: Mapping[str, str]
) -> CognitoIdpUserPoolClient:
    """Find the client of a request, by HTTP Basic or by the form (RFC 6749 §2.3.1).

    Raises OAuthError.
    """
    # An empty secret is one that is not there (RFC 6749 §2.3.1): Swagger UI and `curl -u id:`.
    client_id, secret = form.get("client_id"), form.get("client_secret") or None
    if header is not None:
        if secret is not None:
            raise OAuthError("invalid_request", "Authenticate in one way, not in two")
        name, secret = _basic(header)
        if client_id not in {None, name}:
            raise OAuthError("invalid_request", "client_id is not that of the Authorization header")
        client_id = name
    if not client_id:
        raise OAuthError("invalid_request", "client_id is missing")
    client = pool.clients.get(client_id)
    if client is None or not _proves(client, secret):
        raise OAuthError("invalid_client", "Unknown client, or not its secret")
    return client


def _basic(header: str) -> tuple[str, str | None]:
    scheme, _, text = header.partition(" ")
    try:
        name, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_request", "The Authorization header is not Basic")
    return name, secret or None


def _proves(client: CognitoIdpUserPoolClient, sent: str | None) -> bool:
    kept = secrets_of(client)
    if not kept or sent is None:
        return not kept and sent is None
    return any(hmac.compare_digest(secret.value.encode(), sent.encode()) for secret in kept)
