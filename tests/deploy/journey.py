"""`python -m tests.deploy.journey URL`: is that a service that works? The demo user signs in."""

import json
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from tests.deploy.manifests import pool

_open = build_opener(ProxyHandler({})).open


def call(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
    """Send a request, return the JSON of its answer; raises HTTPError unless it is 2xx."""
    request = Request(url, data=body, headers=dict(headers or {}))  # noqa: S310
    with _open(request, timeout=10) as answer:
        return json.load(answer)


def wait_for(url: str, seconds: float = 30) -> Any:
    """Ask until the answer is 2xx, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call(url)
        except OSError:  # URLError is one
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def travel(url: str) -> None:
    """Sign in, draw a number, see it in the list many times: whichever instance answers."""
    assert wait_for(f"{url}/readyz") == {"status": "ready"}
    demo = pool()["users"][0]
    form = urlencode({"username": demo["username"], "password": demo["password"]}).encode()
    token = call(f"{url}/users/login", form)["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    drawn = call(f"{url}/randoms", b'{"min_value": 1, "max_value": 6}', headers)
    for _ in range(10):
        assert drawn in call(f"{url}/randoms", headers=headers)
    try:
        status = call(f"{url}/randoms") and HTTPStatus.OK
    except HTTPError as error:
        status = error.code
    assert status == HTTPStatus.UNAUTHORIZED


if __name__ == "__main__":
    travel(sys.argv[1].rstrip("/"))
    sys.stdout.write("signed in, wrote, read\n")
