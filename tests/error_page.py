"""Writes docs/cognito-errors.md from the table of Cognito's errors.

python -m tests.error_page
"""

# ruff: noqa: E501 - the lines of a page are longer

from collections.abc import Iterable
from pathlib import Path

from resource_server.identity import cognito_errors as table
from resource_server.identity.cognito_errors import Outcome, Row
from resource_server.identity.errors import DirectoryForbidden, TooManyRequests, TriggerRejected
from resource_server.refusals import IDENTITY_PROBLEMS

FILE = Path(__file__).parent.parent / "docs" / "cognito-errors.md"
FIX = "write the page again: python -m tests.error_page"

_INTRODUCTION = """\
# What an error of Cognito becomes

Read this page when a client got an error from `/users/…`, or the log has a line that begins with `Cognito`.
It is made from the table in [`identity/cognito_errors.py`](../resource_server/identity/cognito_errors.py). After a change of the table, write it
again with `python -m tests.error_page`. A test compares it with botocore's model of Cognito: an error without a row fails.

| whose mistake | response | log |
|---|---|---|
| the caller's | 4xx with a sentence that names the mistake | nothing, or a WARNING where a trigger rejected the request |
| our set-up | 503 without `Retry-After`: trying again is no use | an ERROR that says what to do |
| an outage | 503 with `Retry-After` | a WARNING |

The service looks for a row in this order: a trigger, the message, the parameter that the message names, the operation with the code, the code, and
last the HTTP status. It shows no text of Cognito's, since that can repeat what was sent. The one exception is
[what a trigger says](#triggers). An error code that no row knows is our set-up if the status is 4xx, and an outage if it is 5xx.

Cognito answers no error to the caller of `/users/resend_confirmation_code` and `/users/forgot_password` that would tell which accounts exist.
"""
_TRIGGERS = """\
## Triggers

A Lambda trigger rejects a request by raising an error. Cognito then answers `UserLambdaValidationException` (older pools: `NotAuthorizedException`) with
`PreSignUp failed with error <text>.`. Its text is for the user, and the service passes it on as `detail`: 400 at sign-up and confirmation, 403 at
sign-in, in a challenge and at refresh. It leaves out values that the request sent, control characters and markup, and cuts the text at 200 characters.
The text of a trigger before the password check (Pre Authentication) reaches everybody who knows a user name: it must say nothing that they may not know.

A trigger that fails in another way is our set-up (`UnexpectedLambdaException`, `InvalidLambdaResponseException`). So is this project's own trigger where
`SCOPES_BY_GROUP` or `SCOPES_BY_CLIENT` is malformed.

| trigger and operation | what the caller gets |
|---|---|
"""
_PARAMETERS = """\
## Parameters

`InvalidParameterException` and botocore's own `ParamValidationError` are distinguished by the parameter that they name.

| parameter | what the caller gets |
|---|---|
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Codes\n",
            "What a code means, unless a later section says otherwise.\n",
            "| code | what the caller gets |",
            "|---|---|",
            *_rows((f"`{code}`", row) for code, row in sorted(table.CODES.items())),
            "",
            "## Operations\n",
            "| code | operations | what the caller gets |",
            "|---|---|---|",
            *_rows(_operations()),
            "",
            "## Messages\n",
            (
                "How messages of `NotAuthorizedException`, `UnauthorizedException` and `InvalidParameterException` begin. "
                "The first row that fits counts.\n"
            ),
            "| message | operations | what the caller gets |",
            "|---|---|---|",
            *_rows(
                (f"{each.begins.strip()} … | {', '.join(each.operations) or 'all'}", each.row)
                for each in table.MESSAGES
            ),
            "",
            _PARAMETERS
            + "\n".join(
                [
                    *_rows((f"`{name}`", row) for name, row in sorted(table.PROOFS.items())),
                    *(
                        f"| `{name}` | 400 The user directory does not accept {field} |"
                        for name, field in sorted(table.FIELDS.items())
                    ),
                    *(
                        f"| `{name}` | 503, our set-up. Log: {fix} |"
                        for name, fix in sorted(table.SET_UP_PARAMETERS.items())
                    ),
                ]
            ),
            "",
            _TRIGGERS + "\n".join(_rows(sorted(table.TRIGGERS.items()))),
            "",
        ]
    )


def _operations() -> list[tuple[str, Row]]:
    """Group the operations for which a code means the same."""
    groups: dict[tuple[str, Row], list[str]] = {}
    for (operation, code), row in table.OPERATIONS.items():
        groups.setdefault((code, row), []).append(operation)
    return [
        (f"`{code}` | {', '.join(sorted(operations))}", row)
        for (code, row), operations in sorted(
            groups.items(), key=lambda item: (item[0][0], item[1])
        )
    ]


def _rows(rows: Iterable[tuple[str, Row]]) -> list[str]:
    return [f"| {name} | {_gets(row)} |" for name, row in rows]


def _gets(row: Row) -> str:
    if isinstance(row.error, Outcome):
        return f"no error: {row.error.value}"
    problem = IDENTITY_PROBLEMS[row.error]
    if row.error is DirectoryForbidden:
        return "503, our set-up. Log: the IAM action to allow"
    if row.is_set_up:
        return f"503, our set-up. Log: {row.fix}"
    if row.error is TooManyRequests:
        return f"429, `Retry-After: {row.retry_after}`"
    if issubclass(row.error, TriggerRejected):
        return f"{problem.status} and what the trigger says"
    wait = f", `Retry-After: {problem.retry_after}`" if problem.retry_after else ""
    return f"{problem.status} {row.message or problem.sentence}{wait}"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
