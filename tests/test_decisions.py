"""The pages of docs/decisions and their index."""

import re
from pathlib import Path

DECISIONS = Path(__file__).parent.parent / "docs" / "decisions"


def test_the_index_lists_every_decision_by_number_and_title() -> None:
    """A row for each page, in order, and every title has its page's number."""
    rows = []
    for page in sorted(DECISIONS.glob("[0-9]*.md")):
        first, _, body = page.read_text(encoding="utf-8").partition("\n")
        number = page.name[:4]
        assert first.startswith(f"# {number}. "), page.name
        assert re.findall(r"^## (.*)$", body, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
        ], page.name
        rows.append(f"| [{number}]({page.name}) | {first.removeprefix(f'# {number}. ')} |")
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    assert [line for line in index.splitlines() if line.startswith("| [")] == rows


def test_every_number_is_used_once() -> None:
    """Two pages of one number would have one address for readers."""
    numbers = [page.name[:4] for page in DECISIONS.glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers))
