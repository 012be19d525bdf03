"""Where a pool's endpoints are (OpenID Connect Discovery 1.0 §3), and its keys."""

from flask import Blueprint, Response, current_app, g, jsonify, url_for

from resource_server.emulator.declared import STANDARD_SCOPES
from resource_server.emulator.gaps import keys_of
from resource_server.emulator.gaps.tokens import issuer_of
from resource_server.emulator.managed_login import clients

discovery = Blueprint("discovery", __name__)


@discovery.get("/.well-known/openid-configuration")
def openid_configuration() -> Response:
    """Name the endpoints; the issuer is that of the pool's tokens."""

    def address(endpoint: str) -> str:
        return f"{current_app.config['PUBLIC_URL']}{url_for(endpoint, pool_id=g.pool.id)}"

    return jsonify(
        {
            "issuer": issuer_of(g.pool),
            "authorization_endpoint": address("pages.authorize"),
            "token_endpoint": address("exchange.token"),
            "userinfo_endpoint": address("exchange.user_info"),
            "revocation_endpoint": address("exchange.revoke"),
            "end_session_endpoint": address("pages.logout"),
            "jwks_uri": address("discovery.jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "client_credentials",
            ],
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": [*STANDARD_SCOPES, *sorted(clients.custom_scopes(g.pool))],
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic",
                "client_secret_post",
                "none",
            ],
        }
    )


@discovery.get("/.well-known/jwks.json")
def jwks() -> Response:
    """Give the public keys."""
    return jsonify(keys_of(g.pool).jwks())
