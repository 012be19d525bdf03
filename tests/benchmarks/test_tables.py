"""The tables of the pages are those of the measurements beside them."""

import pytest

from benchmarks.tables import DOCS, PAGES, measured, written


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_was_measured(name: str) -> None:
    """`make bench` writes both; whoever changes a figure by hand finds out here."""
    page = (DOCS / name).read_text(encoding="utf-8")
    assert page.count("<!-- measured: ") == page.count("<!-- until here -->") > 0
    assert written(page, measured(DOCS)) == page


def test_only_what_is_marked_changes() -> None:
    """What people wrote before, between and after stays."""
    page = "a\n<!-- measured: x -->\nold\n<!-- until here -->\nb <!-- no mark -->\n"
    page += "<!-- measured: y -->\n<!-- until here -->\nc\n"
    assert written(page, {"x": "new\n", "y": "| 1 |\n"}) == (
        "a\n<!-- measured: x -->\nnew\n<!-- until here -->\nb <!-- no mark -->\n"
        "<!-- measured: y -->\n| 1 |\n<!-- until here -->\nc\n"
    )


def test_a_mark_without_a_table_is_an_error() -> None:
    """A page cannot ask for what is not measured."""
    with pytest.raises(KeyError, match="unheard of"):
        written("<!-- measured: unheard of -->\n<!-- until here -->\n", {})
