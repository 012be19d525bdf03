"""What an error says: a reason for counters, and a sentence that may be shown and logged."""

from typing import TypeVar

import pytest

from resource_server.tokens import errors

Error = TypeVar("Error", bound=errors.TokenError)


def subclasses(of: type[Error]) -> list[type[Error]]:
    """List all descendants of an error."""
    found = of.__subclasses__()
    return found + [deeper for cls in found for deeper in subclasses(cls)]


INVALID = [cls for cls in subclasses(errors.InvalidToken) if cls.__module__ == errors.__name__]


def test_every_reason_is_distinct() -> None:
    """A counter tells every error from every other."""
    classes: list[type[errors.TokenError]] = [errors.InvalidToken, *INVALID]
    classes += subclasses(errors.VerificationUnavailable)
    assert len(INVALID) >= 15
    assert len({cls.reason for cls in classes}) == len(classes)
    assert len({cls.description for cls in INVALID}) == len(INVALID)


@pytest.mark.parametrize("cls", [errors.InvalidToken, *INVALID], ids=lambda cls: cls.__name__)
def test_every_description_fits_into_a_challenge(cls: type[errors.InvalidToken]) -> None:
    """RFC 6750 section 3: %x20-21 / %x23-5B / %x5D-7E; and the text is the same for every token."""
    assert cls.description
    allowed = {0x20, 0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)}
    assert {ord(character) for character in cls.description} <= allowed
    error = cls("exp") if cls is errors.InvalidClaim else cls()
    assert str(error) == cls.description
    assert cls.reason.replace("_", "").isalpha()
