"""What the attacks brought to light, and how it is told."""

import textwrap
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from resource_server.testing.forgeries import Fault, Severity

_WIDTH_OF_LIST = 5
_LINE, _INDENT = 100, " " * 9
_CLIENT_ERROR = 400


class Outcome(IntEnum):
    """What an app did that it must not, the worst last."""

    WRONG_STATUS = 1
    CRASHED = 2
    LET_IN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One attack that was not refused as it must be."""

    name: str
    severity: Severity
    outcome: Outcome
    happened: str
    why: str
    source: str

    def __str__(self) -> str:
        return self.told(self.name)

    def told(self, who: str) -> str:
        """Tell it of one attack, or of several to which the same happened."""
        lines = (f"{self.severity.name:9}{who}: {self.happened}", self.why, self.source)
        return f"\n{_INDENT}".join(lines)


def let_in(fault: Fault, status: int) -> Finding:
    """Tell of an attack that got past the guard."""
    return Finding(
        fault.name,
        fault.severity,
        Outcome.LET_IN,
        f"let in, answered {status}{' as a genuine token' if status >= _CLIENT_ERROR else ''}",
        fault.flaw,
        fault.source,
    )


def crashed(fault: Fault, happened: str) -> Finding:
    """Tell of a 5xx, or of an exception that the client let through."""
    return Finding(
        fault.name,
        min(fault.severity, Severity.MEDIUM),
        Outcome.CRASHED,
        happened,
        "A stranger can make it fail: refusals are 401, or the log and the alarms are his to fill.",
        "RFC 6750 section 3.1",
    )


def wrong_status(fault: Fault, status: int) -> Finding:
    """Tell of a refusal that clients do not understand."""
    expected = " or ".join(str(code) for code in sorted(fault.statuses))
    return Finding(
        fault.name,
        Severity.LOW,
        Outcome.WRONG_STATUS,
        f"answered {status}, not {expected}",
        "Clients get a new token on 401, and give up or try again on anything else.",
        "RFC 6750 section 3.1",
    )


def unchallenged(names: Sequence[str]) -> Finding:
    """Tell of answers with 401 that carry no challenge: one finding for all."""
    more = f" and {len(names) - _WIDTH_OF_LIST} more" if len(names) > _WIDTH_OF_LIST else ""
    return Finding(
        "challenge-missing",
        Severity.LOW,
        Outcome.WRONG_STATUS,
        f"no `WWW-Authenticate: Bearer` on the 401 of {', '.join(names[:_WIDTH_OF_LIST])}{more}",
        "A 401 says how to sign in; challenges=False turns this check off.",
        "RFC 6750 section 3; RFC 9110 section 15.5.2",
    )


def needless(name: str) -> Finding:
    """Tell of an exception from the rule that is none any more."""
    return Finding(
        name,
        Severity.LOW,
        Outcome.WRONG_STATUS,
        "refused as it must be, although allowed",
        "Take it out of `allow`, or nobody will notice when it is let in again.",
        "allow=",
    )


def report(route: str, attacks: int, findings: Sequence[Finding]) -> str:
    """Tell all findings, the worst first."""
    counts = [sum(finding.outcome is outcome for finding in findings) for outcome in Outcome]
    others, crashes, entries = counts
    ordered = sorted(findings, key=lambda f: (-f.severity, -f.outcome))
    head = (
        f"{route}: of {attacks} attacks {entries} were let in and {crashes} made it fail; "
        f"{others} other findings"
    )
    return "\n\n".join((head, *_told(ordered)))


def _told(findings: Iterable[Finding]) -> Iterator[str]:
    """Tell of many refusals that are wrong in the same way at once, as of one habit of the app."""
    alike: dict[object, list[Finding]] = {}
    for finding in findings:
        same = finding if finding.outcome is Outcome.LET_IN else replace(finding, name="")
        alike.setdefault(same, []).append(finding)
    for group in alike.values():
        if len(group) <= _WIDTH_OF_LIST:
            yield from map(str, group)
        else:
            names = ", ".join(finding.name for finding in group)
            listed = textwrap.fill(
                names,
                _LINE,
                initial_indent=_INDENT,
                subsequent_indent=_INDENT,
                break_on_hyphens=False,
            )
            yield f"{group[0].told(f'{len(group)} attacks')}\n{listed}"


def raised(error: BaseException) -> str:
    """Say what was raised and where; its text may repeat the token."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return (
        f"raised {type(error).__name__} at {Path(last.filename).name}:{last.lineno} ({last.name})"
    )
