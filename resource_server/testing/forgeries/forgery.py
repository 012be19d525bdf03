"""What a fault of a verifier is, and the forged token that brings it to light."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from enum import IntEnum

from resource_server.testing.forgeries.draft import Draft


class Severity(IntEnum):
    """How bad it is to let an attack in."""

    LOW = 1
    """No hole by itself: a lenient app may be safe. Sent on demand only (`strict=True`)."""
    MEDIUM = 2
    """A check that is a rule is lacking; it takes more for somebody to get in."""
    HIGH = 3
    """Whoever holds some token of the pool gets in, or gets further than that token goes."""
    CRITICAL = 4
    """Anybody gets in."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a resource server must refuse, and why."""

    name: str
    severity: Severity
    flaw: str
    """What is wrong with whoever lets it in, in one sentence."""
    source: str
    """The rule: a section of an RFC, or a page of the Cognito guide."""
    _: KW_ONLY
    statuses: frozenset[int] = frozenset({401})
    """The answers that refuse it: 401 (RFC 6750 §3.1), and what else is as good."""


@dataclass(frozen=True, slots=True)
class Forgery(Fault):
    """A forged token."""

    write: Callable[[Draft], str]
    _: KW_ONLY
    applies: Callable[[Draft], bool] = lambda _: True
    """Whether it can be made of a draft: some need a scope, or two."""


MALFORMED = frozenset({400, 401})
"""RFC 6750 §3.1 has both `invalid_request` and `invalid_token` for what is malformed."""
INSUFFICIENT = frozenset({401, 403})
"""For a good token that lacks a scope RFC 6750 §3.1 says 403; some apps say 401."""
