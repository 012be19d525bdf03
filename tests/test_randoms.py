"""The five endpoints of random numbers, on both databases."""

from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from resource_server.bodies import MAX_ID
from resource_server.randoms.models import RandomNumber
from resource_server.testing import bearer
from resource_server.testing.pool import CognitoPool
from resource_server.users.models import User
from tests.conftest import both_databases

LIMIT = 2**53 - 1

pytestmark = both_databases


@pytest.fixture
def ada(cognito_pool: CognitoPool) -> dict[str, str]:
    """Ada's credentials."""
    return bearer(cognito_pool.access_token(scope="me randoms", username="ada"))


@pytest.fixture
def bob(cognito_pool: CognitoPool) -> dict[str, str]:
    """Bob's credentials."""
    return bearer(cognito_pool.access_token(scope="me randoms", username="bob"))


def _draw(client: FlaskClient, headers: dict[str, str], low: int = 1, high: int = 6) -> Any:
    drawn = client.post("/randoms", headers=headers, json={"min_value": low, "max_value": high})
    assert drawn.status_code == 201, drawn.json
    return drawn.json


def test_create_answers_with_the_item_and_its_address(
    client: FlaskClient, ada: dict[str, str]
) -> None:
    """Creation is 201; Location leads to the same item."""
    drawn = client.post("/randoms", headers=ada, json={"min_value": 3, "max_value": 5})

    assert drawn.status_code == 201
    assert drawn.get_json().keys() == {"id", "num", "min_value", "max_value"}
    assert 3 <= drawn.json["num"] <= 5
    assert client.get(drawn.headers["Location"], headers=ada).json == drawn.json


@pytest.mark.parametrize(("low", "high"), [(0, 0), (-5, -5), (-LIMIT, LIMIT), (LIMIT, LIMIT)])
def test_bounds_are_included_up_to_what_json_carries(
    client: FlaskClient, ada: dict[str, str], low: int, high: int
) -> None:
    """Any two integers within 2^53 - 1 that are in order will do."""
    drawn = _draw(client, ada, low, high)
    assert (drawn["min_value"], drawn["max_value"]) == (low, high)
    assert low <= drawn["num"] <= high


@pytest.mark.parametrize("address", ["/randoms", "/randoms/"])
def test_list_is_in_the_order_of_ids_with_or_without_a_slash(
    client: FlaskClient, ada: dict[str, str], address: str
) -> None:
    """Both spellings are the same address: no redirect."""
    drawn = [_draw(client, ada) for _ in range(3)]
    listed = client.get(address, headers=ada)
    assert listed.status_code == 200
    assert listed.json == drawn
    assert "Link" not in listed.headers


def test_pages(client: FlaskClient, ada: dict[str, str]) -> None:
    """`limit`, `offset` and `after` cut the list; following `next` visits everything once."""
    drawn = [_draw(client, ada) for _ in range(5)]

    assert client.get("/randoms?limit=2&offset=1", headers=ada).json == drawn[1:3]
    assert client.get(f"/randoms?after={drawn[2]['id']}", headers=ada).json == drawn[3:]
    assert client.get("/randoms?offset=9", headers=ada).json == []

    visited: list[Any] = []
    address = "/randoms?limit=2"
    while address:
        page = client.get(address, headers=ada)
        visited.extend(page.get_json())
        link = page.headers.get("Link", "")
        address = link.removeprefix("<").removesuffix('>; rel="next"')
    assert visited == drawn
    assert "Link" not in client.get("/randoms?limit=5", headers=ada).headers


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("limit=1", ""),
        ("after=0&limit=1&offset=0", ""),
        ("colour=red&limit=1", "colour=red&"),
        ("b=2&a=1&b=1&limit=1&a", "b=2&a=1&b=1&a&"),
        ("q=a%20b+c%26d%3De&empty=&limit=1", "q=a%20b+c%26d%3De&empty=&"),
        ("n%61me=%C3%BC&limi%74=1&aft%65r=0", "n%61me=%C3%BC&"),
        ("&&x=1&&limit=1", "x=1&"),
        ("x[]=1&y=/?:@!$'()*,;~&limit=1", "x%5B%5D=1&y=/?:@!$'()*,;~&"),
        ('x=">;rel=evil<&limit=1', "x=%22%3E;rel=evil%3C&"),
        ("limits=5&Limit=7&limit=1", "limits=5&Limit=7&"),
    ],
)
def test_the_next_page_keeps_every_other_parameter(
    client: FlaskClient, ada: dict[str, str], query: str, kept: str
) -> None:
    """Order, repeats and encoding stay. What says which page it is gets new values (RFC 8288)."""
    first, _ = _draw(client, ada), _draw(client, ada)
    page = client.get("/randoms", query_string=query, headers=ada)
    expected = f"{kept}limit=1&after={first['id']}"
    assert page.headers["Link"] == f'</randoms?{expected}>; rel="next"'


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "spelling",
    [
        "\uff10{}",
        "+{}",
        "-{}",
        "0{}",
        "00{}",
        "{}_0",
        " {}",
        "{} ",
        "{}.0",
        "{}e0",
        "0x{}",
        "{}\n",
        "\t{}",
    ],
)
def test_a_number_has_one_address(
    client: FlaskClient, ada: dict[str, str], method: str, spelling: str
) -> None:
    """ASCII digits without zeros in front: every other spelling is 404."""
    number = _draw(client, ada)["id"]
    address = f"/randoms/{quote(spelling.format(number))}"
    assert client.open(address, method=method, headers=ada, json={}).status_code == 404
    assert client.get(f"/randoms/{number}", headers=ada).status_code == 200


def test_digits_of_other_scripts_are_no_number(client: FlaskClient, ada: dict[str, str]) -> None:
    """Neither full-width nor Arabic-Indic ones, nor superscripts."""
    number = str(_draw(client, ada)["id"])
    for zero in ("\uff10", "\u0660", "\u0966", "\U0001d7ce"):
        other = "".join(chr(ord(zero) + int(digit)) for digit in number)
        assert client.get(f"/randoms/{quote(other)}", headers=ada).status_code == 404
    assert client.get("/randoms/%C2%B9", headers=ada).status_code == 404


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "HEAD"])
def test_a_number_of_any_length_leads_nowhere(
    client: FlaskClient, ada: dict[str, str], method: str
) -> None:
    """404, where converting it would be an error (CVE-2020-10735)."""
    for length in (20, 4300, 4301, 5000):
        refused = client.open(f"/randoms/{'9' * length}", method=method, headers=ada)
        assert refused.status_code == 404


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("offset=-1", "offset"),
        (f"offset={2**63}", "offset"),
        ("after=-1", "after"),
        (f"after={2**63}", "after"),
        ("after=1%00", "after"),
        ("after=%2B1", "after"),
        ("after=+1", "after"),
        ("after=01", "after"),
        ("after=1_0", "after"),
        ("after=-0", "after"),
        ("after=1.0", "after"),
        ("after=1e1", "after"),
        ("after=%EF%BC%91", "after"),
        ("after=%D9%A1", "after"),
        (f"after={'9' * 5000}", "after"),
        ("limit=010", "limit"),
        ("limit=10%20", "limit"),
        ("offset=00", "offset"),
    ],
)
def test_a_bad_query_is_422(
    client: FlaskClient, ada: dict[str, str], query: str, name: str
) -> None:
    """The answer names the parameter."""
    refused = client.get(f"/randoms?{query}", headers=ada)
    assert refused.status_code == 422
    assert [fault["loc"] for fault in refused.json["detail"]] == [["query", name]]


def test_patch_draws_anew_within_the_new_bounds(client: FlaskClient, ada: dict[str, str]) -> None:
    """Either bound may change; what is left out stays."""
    item = _draw(client, ada, 1, 10)
    address = f"/randoms/{item['id']}"

    raised = client.patch(address, headers=ada, json={"min_value": 10})
    assert raised.status_code == 200
    assert raised.json == {"id": item["id"], "num": 10, "min_value": 10, "max_value": 10}
    lowered = client.patch(address, headers=ada, json={"min_value": 2, "max_value": 2})
    assert lowered.json == {"id": item["id"], "num": 2, "min_value": 2, "max_value": 2}
    assert client.patch(address, headers=ada, json={}).json == lowered.json
    assert client.get(address, headers=ada).json == lowered.json


@pytest.mark.parametrize(
    "body", [{"min_value": 7}, {"max_value": 0}, {"min_value": 9, "max_value": 8}]
)
def test_patch_keeps_bounds_in_order(
    client: FlaskClient, ada: dict[str, str], body: dict[str, int]
) -> None:
    """Bounds that would cross, with those that stay, are 422, and nothing changes."""
    item = _draw(client, ada, 1, 6)
    refused = client.patch(f"/randoms/{item['id']}", headers=ada, json=body)
    assert refused.status_code == 422
    assert refused.json["detail"][0]["loc"][0] == "body"
    assert client.get(f"/randoms/{item['id']}", headers=ada).json == item


def test_delete(client: FlaskClient, ada: dict[str, str]) -> None:
    """Deletion is 204 without a body; the item is gone, its id never comes back."""
    item = _draw(client, ada)
    gone = client.delete(f"/randoms/{item['id']}", headers=ada)
    assert (gone.status_code, gone.data) == (204, b"")
    assert client.get(f"/randoms/{item['id']}", headers=ada).status_code == 404
    assert client.delete(f"/randoms/{item['id']}", headers=ada).status_code == 404
    assert _draw(client, ada)["id"] > item["id"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_another_users_item_is_not_found(
    client: FlaskClient, ada: dict[str, str], bob: dict[str, str], method: str
) -> None:
    """What is not yours is answered like what is not there, and stays untouched."""
    item = _draw(client, ada)
    body: dict[str, int] | None = {} if method == "PATCH" else None

    taken = client.open(f"/randoms/{item['id']}", method=method, headers=bob, json=body)
    missing = client.open(f"/randoms/{MAX_ID}", method=method, headers=bob, json=body)

    assert (taken.status_code, taken.json) == (404, {"detail": "Not found"})
    assert (missing.status_code, missing.json) == (404, {"detail": "Not found"})
    assert client.get("/randoms", headers=bob).json == []
    assert client.get("/randoms", headers=ada).json == [item]


@pytest.mark.parametrize(
    "random_id", ["-1", "0", "x", "1.0", str(2**63), "9" * 5000, "1%00", "%ff"]
)
def test_an_id_that_cannot_be_is_404(
    client: FlaskClient, ada: dict[str, str], random_id: str
) -> None:
    """No id makes the database, or Python, stumble."""
    missing = client.get(f"/randoms/{random_id}", headers=ada)
    assert missing.status_code == 404
    assert missing.json == {"detail": "Not found"}


def test_a_user_without_a_row_is_welcome(
    client: FlaskClient, session: Session, ada: dict[str, str]
) -> None:
    """The row is made at the first request, once."""
    assert session.scalar(select(func.count()).select_from(User)) == 0
    assert client.get("/randoms", headers=ada).json == []
    _draw(client, ada)
    assert session.scalar(select(func.count()).select_from(User)) == 1


def test_a_deleted_user_takes_their_items_along(
    client: FlaskClient, session: Session, ada: dict[str, str], bob: dict[str, str]
) -> None:
    """The foreign key cascades on both databases."""
    _draw(client, ada)
    kept = _draw(client, bob)
    session.delete(session.scalars(select(User).where(User.username == "ada")).one())
    session.commit()
    assert session.scalars(select(RandomNumber.id)).all() == [kept["id"]]


def test_a_client_credentials_token_owns_items_too(
    client: FlaskClient, cognito_pool: CognitoPool
) -> None:
    """A token without a user name is known by its `sub`, which is the app client's id (T11)."""
    machine = bearer(
        cognito_pool.access_token(scope="me randoms", username=None, sub=cognito_pool.client_id)  # type: ignore[arg-type]
    )
    item = _draw(client, machine)
    assert client.get("/randoms", headers=machine).json == [item]
    assert client.get("/users/me", headers=machine).json["username"] == cognito_pool.client_id
