"""Managed login of the test pool, as a browser and a program see it."""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from resource_server.emulator.managed_login import create_app
from tests.conftest import PASSWORD
from tests.emulator.conftest import FLOWS, Cognito

PUBLIC_URL = "http://127.0.0.1:5001"
CALLBACK = "http://127.0.0.1:5000/docs/oauth2-redirect.html"
SIGNED_OUT = "http://127.0.0.1:5000/"
VERIFIER = "a-verifier-of-at-least-43-characters_0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
SCOPES = ["openid", "email", "phone", "profile", "aws.cognito.signin.user.admin", "shop/read"]
OAUTH = {
    "ExplicitAuthFlows": FLOWS,
    "AllowedOAuthFlowsUserPoolClient": True,
    "AllowedOAuthFlows": ["code"],
    "AllowedOAuthScopes": SCOPES,
    "CallbackURLs": [CALLBACK, "myapp://back?from=login"],
    "LogoutURLs": [SIGNED_OUT],
    "SupportedIdentityProviders": ["COGNITO"],
}


def query(response: TestResponse) -> dict[str, str]:
    """Read what a redirect tells."""
    return {name: values[0] for name, values in parse_qs(urlsplit(response.location).query).items()}


class Hosted:
    """Grace with her browser, and her program with a public client and one that has a secret."""

    def __init__(self, cognito: Cognito, browser: FlaskClient) -> None:
        self.cognito, self.browser = cognito, browser
        self.base = f"/{cognito.pool_id}"
        cognito.boto.create_resource_server(
            UserPoolId=cognito.pool_id,
            Identifier="shop",
            Name="shop",
            Scopes=[{"ScopeName": name, "ScopeDescription": name} for name in ("read", "write")],
        )
        self.public = self.make_client(**OAUTH)["ClientId"]
        cognito.configure(**OAUTH)

    def make_client(self, **settings: Any) -> Any:
        """Make another app client."""
        return self.cognito.boto.create_user_pool_client(
            UserPoolId=self.cognito.pool_id, ClientName="web", **settings
        )["UserPoolClient"]

    def request(self, **changes: str | None) -> dict[str, str]:
        """Return the parameters of a good request, some changed or (None) left out."""
        good: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.public,
            "redirect_uri": CALLBACK,
            "scope": "openid email shop/read",
            "state": "a state&more",
            "nonce": "a nonce",
            "code_challenge": CHALLENGE.decode(),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (good | changes).items() if value is not None}

    def authorize(self, **changes: str | None) -> TestResponse:
        """Begin."""
        return self.browser.get(
            f"{self.base}/oauth2/authorize", query_string=self.request(**changes)
        )

    def fill_in(self, page: TestResponse, **fields: str) -> TestResponse:
        """Fill in the form of a page and send it, as a browser does."""
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
        return self.browser.post(
            page.request.url, data=dict(hidden) | fields, headers={"Origin": "http://localhost"}
        )

    def page(self, **changes: str | None) -> TestResponse:
        """Open the sign-in page."""
        shown = self.browser.get(self.authorize(**changes).location)
        assert shown.status_code == 200, shown.text
        return shown

    def sign_in(self, password: str = PASSWORD, **changes: str | None) -> TestResponse:
        """Sign grace in with her password."""
        return self.fill_in(self.page(**changes), username="grace", password=password)

    def code(self, **changes: str | None) -> str:
        """Return the code that a sign-in ends with, whoever has signed in before."""
        return query(self.sign_in(PASSWORD, **{"prompt": "login"} | changes))["code"]

    def token(self, **form: str | None) -> TestResponse:
        """Exchange a code or something else; the program is the public client's."""
        sent = {"client_id": self.public, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        sent |= {"grant_type": "authorization_code"}
        body = {name: value for name, value in (sent | form).items() if value is not None}
        return self.browser.post(f"{self.base}/oauth2/token", data=body)

    def tokens(self, **changes: str | None) -> Any:
        """Return the tokens of a whole sign-in."""
        answer = self.token(code=self.code(**changes))
        assert answer.status_code == 200, answer.text
        return answer.json

    def user_info(self, token: str) -> TestResponse:
        """Ask who a token's user is."""
        return self.browser.get(
            f"{self.base}/oauth2/userInfo", headers={"Authorization": f"Bearer {token}"}
        )


@pytest.fixture
def hosted(cognito: Cognito) -> Iterator[Hosted]:
    """Managed login of the test pool."""
    app = create_app(PUBLIC_URL)
    app.testing = True
    with app.test_client() as browser:
        yield Hosted(cognito, browser)
