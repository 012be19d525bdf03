"""Scopes: tokens of the pool that lack what the route needs, and look as if they did not.

All are good tokens otherwise: 403 is the answer (RFC 6750 §3.1), and some apps say 401.
"""

from collections.abc import Callable

from resource_server.testing.forgeries.draft import ABSENT, Draft
from resource_server.testing.forgeries.forgery import INSUFFICIENT, Forgery, Severity
from resource_server.tokens.claims import SIGN_IN_SCOPE

_UNCHECKED = "It does not check `scope`: any token of the pool will do."
_SUBSTRING = "It looks for the scope's letters in `scope` instead of for the scope."
_NOT_ALL = "It is content with one of the scopes that the route needs."
_RULE = "RFC 6749 section 3.3; RFC 6750 section 3.1"


def _scope(
    name: str,
    severity: Severity,
    flaw: str,
    value: Callable[[tuple[str, ...]], object],
    least: int = 1,
) -> Forgery:
    """Write a token with another `scope`, made of the words that the route needs."""
    return Forgery(
        name,
        severity,
        flaw,
        _RULE,
        lambda d: d.claiming(scope=value(d.scopes)),
        statuses=INSUFFICIENT,
        applies=lambda d: len(d.scopes) >= least,
    )


def _unneeded(scopes: tuple[str, ...]) -> str:
    """Return a scope that the route does not need; every sign-in gives the first."""
    known = (SIGN_IN_SCOPE, "openid", "profile", "email", "phone", "nothing")
    return next(scope for scope in known if scope not in scopes)


def _swapped(scopes: tuple[str, ...]) -> str:
    return " ".join(scopes).swapcase()


def _has_letters(draft: Draft) -> bool:
    return bool(draft.scopes) and _swapped(draft.scopes) != " ".join(draft.scopes)


SCOPES = [
    _scope("scope-missing", Severity.HIGH, _UNCHECKED, lambda _: ABSENT),
    _scope("scope-empty", Severity.HIGH, _UNCHECKED, lambda _: ""),
    _scope("scope-other", Severity.HIGH, _UNCHECKED, _unneeded),
    _scope("scope-prefix", Severity.HIGH, _SUBSTRING, lambda s: " ".join(w[:-1] for w in s)),
    _scope("scope-longer", Severity.HIGH, _SUBSTRING, lambda s: " ".join(f"{w}.x" for w in s)),
    _scope("scope-within", Severity.HIGH, _SUBSTRING, lambda s: " ".join(f"x.{w}" for w in s)),
    _scope("scope-comma-joined", Severity.HIGH, _SUBSTRING, lambda s: ",".join((*s, _unneeded(s)))),
    _scope("scope-lacks-first", Severity.HIGH, _NOT_ALL, lambda s: " ".join(s[1:]), least=2),
    _scope("scope-lacks-last", Severity.HIGH, _NOT_ALL, lambda s: " ".join(s[:-1]), least=2),
    Forgery(
        "scope-other-case",
        Severity.HIGH,
        "It compares scopes, which are case-sensitive, in another way.",
        _RULE,
        lambda d: d.claiming(scope=_swapped(d.scopes)),
        statuses=INSUFFICIENT,
        applies=_has_letters,
    ),
    Forgery(
        "scope-as-group",
        Severity.HIGH,
        "It takes the user's groups for scopes of the token.",
        _RULE,
        lambda d: d.claiming({"scope": _unneeded(d.scopes), "cognito:groups": list(d.scopes)}),
        statuses=INSUFFICIENT,
        applies=lambda d: bool(d.scopes),
    ),
    _scope(
        "scope-null", Severity.LOW, "It takes a `scope` that is null, or stumbles.", lambda _: None
    ),
    _scope(
        "scope-list", Severity.LOW, "It takes a list for `scope`, or stumbles over it.", list[str]
    ),
    _scope(
        "scope-object",
        Severity.LOW,
        "It takes an object for `scope`, or stumbles over it.",
        lambda s: dict.fromkeys(s, True),
    ),
    _scope(
        "scope-other-space",
        Severity.LOW,
        "It parts scopes at other characters than the space.",
        lambda s: "\t".join((*s, _unneeded(s))),
    ),
]
