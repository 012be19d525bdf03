"""Pools that a file declares: what is read, and what is said of a file that cannot be used."""

import re
from pathlib import Path

import pytest

from resource_server.emulator.pools_file import PoolsFileError, read_pools

ROOT = Path(__file__).parent.parent.parent
POOL = 'id = "eu-west-2_Shop00001"\n'
CLIENT = '[[pools.clients]]\nid = "web"\n'


def read(tmp_path: Path, text: str) -> str:
    """Return what is said of a file with this text."""
    file = tmp_path / "pools.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PoolsFileError) as caught:
        read_pools(file)
    assert str(caught.value).startswith(str(file))
    return str(caught.value)


def test_the_documented_file_is_read(tmp_path: Path) -> None:
    """The example of docs/emulator.md has everything that can be said."""
    page = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    file = tmp_path / "pools.toml"
    file.write_text(example, encoding="utf-8")
    [pool, *_] = read_pools(file)
    for model in (pool, pool.clients[0], pool.resource_servers[0], pool.users[0]):
        for name in type(model).model_fields:
            assert re.search(rf"^#? ?{name} = |\.{name}\]", example, flags=re.MULTILINE), name


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    """A pool with one public client is enough."""
    file = tmp_path / "pools.toml"
    file.write_text(f"[[pools]]\n{POOL}{CLIENT}", encoding="utf-8")
    [pool] = read_pools(file)
    assert (pool.region, pool.mfa, pool.users) == ("eu-west-2", "off", [])
    [client] = pool.clients
    assert client.secret is None
    assert client.flows == ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    assert pool.scopes_of(client)[0] == "openid"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("pools = ", "is not TOML: Invalid value (at end of document)", id="no TOML"),
        pytest.param("", "pools: is missing", id="empty"),
        pytest.param("pools = []", "pools: list should have at least 1 item", id="no pool"),
        pytest.param(
            f'[[pools]]\nid = "shop"\n{CLIENT}', "pools 'shop', id: not the id", id="pool id"
        ),
        pytest.param(
            f"[[pools]]\n{POOL}", "pools 'eu-west-2_Shop00001', clients: is missing", id="no client"
        ),
        pytest.param(
            f"[[pools]]\n{POOL}{CLIENT}callback_url = []",
            "clients 'web', callback_url: no such name here",
            id="mistyped name",
        ),
        pytest.param(
            f'[[pools]]\n{POOL}{CLIENT}callback_urls = ["/back"]',
            "clients 'web', callback_urls number 1: an absolute address",
            id="relative address",
        ),
        pytest.param(
            f'[[pools]]\n{POOL}{CLIENT}flows = ["ALLOW_USER_SRP_AUTH"]',
            "clients 'web', flows number 1: input should be 'ALLOW_USER_PASSWORD_AUTH'",
            id="flow",
        ),
        pytest.param(
            f'[[pools]]\n{POOL}{CLIENT}access_token_seconds = "3600"',
            "clients 'web', access_token_seconds: input should be a valid integer",
            id="text for a number",
        ),
        pytest.param(
            f'[[pools]]\n{POOL}mfa = "maybe"\n{CLIENT}', "mfa: input should be 'off'", id="mfa"
        ),
        pytest.param(
            f"[[pools]]\n{POOL}{CLIENT}{CLIENT}", "clients: 'web' is there more than once", id="id"
        ),
        pytest.param(
            f'[[pools]]\n{POOL}{CLIENT}[[pools]]\nid = "us-east-1_Other0001"\n{CLIENT}',
            "clients: 'web' is there more than once",
            id="client of two pools",
        ),
        pytest.param(
            f"[[pools]]\n{POOL}{CLIENT}client_credentials = true",
            "clients 'web', client_credentials: needs a secret",
            id="machine without secret",
        ),
        pytest.param(
            f"[[pools]]\n{POOL}{CLIENT}client_credentials = true\n"
            'secret = "a-secret-of-24-characters"\n'
            'callback_urls = ["http://localhost/"]',
            "client_credentials: another client's",
            id="machine with people",
        ),
        pytest.param(
            f"[[pools]]\n{POOL}{CLIENT}client_credentials = true\n"
            'secret = "a-secret-of-24-characters"',
            "client_credentials: the pool has no resource server",
            id="machine without scopes",
        ),
        pytest.param(
            f'[[pools]]\n{POOL}{CLIENT}scopes = ["shop/read"]',
            "clients 'web', scopes: 'shop/read' is none",
            id="unknown scope",
        ),
        pytest.param(
            f'[[pools]]\n{POOL}{CLIENT}[[pools.users]]\nusername = "ada"\npassword = "short"',
            "users 'ada', password: weaker",
            id="weak password",
        ),
        pytest.param(
            f'[[pools]]\n{POOL}sign_in_with = ["email"]\n{CLIENT}'
            '[[pools.users]]\nusername = "ada"\npassword = "Str0ng-passw0rd!"',
            "users 'ada', username: none of the pool's sign_in_with",
            id="name that cannot be typed",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """By the ids of the file."""
    assert said in read(tmp_path, text)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """One line each; no secret and no password among them."""
    text = (
        f'[[pools]]\n{POOL}mfa = 1\n{CLIENT}secret = "hunter2 hunter2"\ncolour = "red"\n'
        '[[pools.users]]\nusername = "ada"\npassword = ["hunter2"]\n'
    )
    said = read(tmp_path, text)
    assert said.count("\n  - ") == 4
    assert "hunter2" not in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """One sentence."""
    with pytest.raises(PoolsFileError, match="cannot be read: No such file"):
        read_pools(tmp_path / "nothing.toml")
