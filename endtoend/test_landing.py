"""The landing page in a browser."""

from typing import TYPE_CHECKING, Any, Literal

import pytest

from conftest import HERE, Open, Watched, is_as_wide_as_its_screen, screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

AXE = HERE / "typescript" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_it_shows_that_all_is_well(
    open_page: Open, scheme: Literal["light", "dark"], phone: bool
) -> None:
    """Keys and database are ready, on any screen, in both colour schemes."""
    page = open_page("/", phone=phone, scheme=scheme)
    for part in ("keys", "database"):
        page.locator(f'[data-part="{part}"].good em', has_text="ready").wait_for()
    assert is_as_wide_as_its_screen(page)
    screenshot(page, f"landing-{'phone' if phone else 'desktop'}-{scheme}", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("well", [True, False], ids=["well", "ill"])
def test_everybody_can_use_it(
    open_page: Open, watched: Watched, scheme: Literal["light", "dark"], phone: bool, well: bool
) -> None:
    """axe-core finds nothing: contrast, landmarks, headings, names, in whatever state it shows."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: it comes with npm, by `make browser`")
    watched.expected.append("503")

    def make_ill(page: "Page") -> None:
        body = {"status": "not ready", "missing": ["database", "keys"]}
        page.route("**/readyz", lambda route: route.fulfill(status=503, json=body))

    page = open_page(
        "/", phone=phone, scheme=scheme, before=(lambda _page: None) if well else make_ill
    )
    page.locator(f'[data-part="database"].{"good" if well else "bad"}').wait_for()
    page.evaluate(AXE.read_text(encoding="utf-8"))  # as a debugger would: no policy forbids that
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def test_it_tells_what_is_missing_until_it_is_there(open_page: Open, watched: Watched) -> None:
    """No answer, then parts missing, then all well: without a reload."""
    watched.expected += ["503", "ERR_FAILED"]
    answers: list[dict[str, Any] | None] = [
        None,
        {"status": "not ready", "missing": ["database", "keys"]},
        {"status": "not ready", "missing": ["migrations"]},
    ]

    def answer(route: "Route") -> None:
        if not answers:
            route.continue_()
        elif (body := answers.pop(0)) is None:
            route.abort()
        else:
            route.fulfill(status=503, json=body)

    page = open_page("/", before=lambda page: page.route("**/readyz", answer))
    keys, database = (page.locator(f'[data-part="{part}"] em') for part in ("keys", "database"))
    for expected in (
        ("no answer", "no answer"),
        ("being fetched…", "unavailable"),
        ("ready", "not migrated"),
        ("ready", "ready"),
    ):
        database.filter(has_text=expected[1]).wait_for()
        assert (keys.inner_text(), database.inner_text()) == expected


def test_keys_are_being_fetched_before_they_are_missed(open_page: Open, watched: Watched) -> None:
    """A process that just started is not in error. One that has none after 15 seconds is."""
    watched.expected.append("503")
    body = {"status": "not ready", "missing": ["keys"]}

    def start(page: "Page") -> None:
        page.clock.install()
        page.route("**/readyz", lambda route: route.fulfill(status=503, json=body))

    page = open_page("/", before=start)
    row = page.locator('[data-part="keys"]')
    row.locator("em", has_text="being fetched…").wait_for()
    assert row.get_attribute("class") == "check "
    page.clock.fast_forward(20_000)
    row.locator("em", has_text="not there yet").wait_for()
    assert row.get_attribute("class") == "check bad"


def test_the_keyboard_leads_to_the_docs(open_page: Open) -> None:
    """The first thing to tab to is the button, which shows that it has the focus."""
    page = open_page("/")
    page.keyboard.press("Tab")
    button = page.get_by_role("link", name="Try the API")
    assert button.evaluate("node => node === document.activeElement")
    assert button.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/docs")


def test_without_scripts_it_says_where_to_ask(open_page: Open) -> None:
    """Nothing is lost: the page is there, with a link to the state."""
    page = open_page("/", scripts=False)
    assert page.get_by_role("heading", level=1).inner_text() == "Resource server"
    assert page.get_by_role("link", name="ask /readyz").is_visible()
