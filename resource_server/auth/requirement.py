"""What a view demands of a token."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from resource_server.tokens import AccessToken

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

NOT_AUTHENTICATED = "Not authenticated"
NOT_ENOUGH = "Not enough permissions"
SIGN_IN_TOO_OLD = "A more recent sign-in is required"

Check = Callable[[AccessToken], bool]


@dataclass(frozen=True, slots=True)
class TokenRequirement:
    """All of it must be met; an empty part demands nothing."""

    scopes: tuple[str, ...] = ()
    """Every one of these."""
    any_of: tuple[str, ...] = ()
    """At least one of these scopes."""
    groups: tuple[str, ...] = ()
    """At least one of these Cognito groups."""
    max_age: int | None = None
    """Seconds since the user signed in, at most (RFC 9470)."""
    optional: bool = False
    """Whether a request without credentials is let in as nobody."""
    check: Check | None = None
    """Whatever else the view wants to know of a token."""

    @property
    def scope(self) -> str:
        """All scopes that the view names, as a challenge lists them (RFC 6750 §3)."""
        return " ".join(dict.fromkeys((*self.scopes, *self.any_of)))


def words(text: str | Iterable[str]) -> tuple[str, ...]:
    """Split a list of scopes, given as text or one by one.

    Raises ValueError for what is no scope (RFC 6749 §3.3): a slip that shows at import.
    """
    found = tuple(text.split()) if isinstance(text, str) else tuple(text)
    if not all(_SCOPE.fullmatch(word) for word in found):
        raise ValueError(f"{text!r} is no list of scopes (RFC 6749 section 3.3)")
    return found
