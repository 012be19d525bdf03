"""A browser for managed login, and a client that it comes back to."""

import re
from typing import Any

import requests
from authlib.integrations.requests_client import OAuth2Session

VERIFIER = "a-verifier-of-at-least-43-characters_0123456789"


def sign_in_with_browser(
    discovered: dict[str, Any],
    client_id: str,
    redirect_uri: str,
    username: str,
    password: str,
    **options: Any,
) -> dict[str, Any]:
    """Walk through the code grant with PKCE; the client, Authlib's, knows nothing of ours."""
    with (
        requests.Session() as browser,
        OAuth2Session(
            client_id, redirect_uri=redirect_uri, code_challenge_method="S256", **options
        ) as client,
    ):
        address, state = client.create_authorization_url(
            discovered["authorization_endpoint"], code_verifier=VERIFIER, nonce="a nonce"
        )
        page = browser.get(address, timeout=10)
        assert page.status_code == 200, page.text
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
        filled = hidden | {"username": username, "password": password}
        origin = re.match(r"https?://[^/]+", page.url)
        assert origin
        back = browser.post(
            page.url,
            data=filled,
            headers={"Origin": origin[0]},
            allow_redirects=False,
            timeout=10,
        )
        assert back.status_code == 303, back.text
        tokens: dict[str, Any] = client.fetch_token(
            discovered["token_endpoint"],
            authorization_response=back.headers["Location"],
            state=state,
            code_verifier=VERIFIER,
        )
        return tokens
