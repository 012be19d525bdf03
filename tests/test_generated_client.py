"""A client that openapi-python-client generates from the document, against the service."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from apiflask import APIFlask

from resource_server.testing import KitUser
from tests.documented import FILE

NAME = "generated_randoms_client"


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Generate a package, and make it importable under this name."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"post_hooks": []}), encoding="utf-8")
    options = {"path": FILE, "output-path": tmp_path / NAME, "meta": "none", "config": config}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    return NAME


def test_a_generated_client_works(generated: str, app: APIFlask, user: KitUser) -> None:
    """Sign in, draw, list; refusals arrive as the types that the document gives them."""

    def find(module: str) -> Any:
        return import_module(f"{generated}.{module}")

    models = find("models")
    over_wsgi: dict[str, Any] = {"transport": httpx.WSGITransport(app=app)}
    anybody = find("client").Client("http://localhost", httpx_args=over_wsgi)
    log_in, create = find("api.users.log_in"), find("api.randoms.create_random")
    get, list_ = find("api.randoms.get_random"), find("api.randoms.list_randoms")

    wrong = models.LoginForm(username=user.username, password="Wr0ng-passw0rd!")
    refused = log_in.sync(client=anybody, body=wrong)
    assert isinstance(refused, models.OAuthRefusal)
    assert refused.error == "invalid_grant"
    right = models.LoginForm(username=user.username, password=user.password)
    tokens = log_in.sync(client=anybody, body=right)
    assert isinstance(tokens, models.TokenOut)

    signed_in = find("client").AuthenticatedClient(
        "http://localhost", token=tokens.access_token, httpx_args=over_wsgi
    )
    drawn = create.sync(client=signed_in, body=models.RandomIn(min_value=1, max_value=6))
    assert isinstance(drawn, models.RandomOut)
    assert list_.sync(client=signed_in, limit=10) == [drawn]

    stranger = find("client").AuthenticatedClient(
        "http://localhost", token="no-token", httpx_args=over_wsgi
    )
    nobody = list_.sync(client=stranger)
    assert (type(nobody), nobody.detail) == (models.Refusal, "The access token is malformed")
    nothing = get.sync(drawn.id + 1, client=signed_in)
    assert (type(nothing), nothing.detail) == (models.Refusal, "Not found")
    unordered = create.sync_detailed(
        client=signed_in, body=models.RandomIn(min_value=6, max_value=1)
    )
    assert (unordered.status_code, type(unordered.parsed)) == (422, models.Invalid)
    assert unordered.parsed.detail[0].loc == ["body"]
