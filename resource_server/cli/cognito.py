"""`flask cognito`: compare the pool with the code, make it so, find errors, sign in.

Tables go to stdout, prompts to stderr. exit_codes.py has the statuses.
"""

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, ParamSpec, TypeVar

import click
from flask import current_app
from flask.cli import AppGroup

from resource_server.cli.declared import declared_groups, declared_scopes
from resource_server.cli.exit_codes import DIFFERS
from resource_server.cli.target import announce, require_named
from resource_server.cli.token import token
from resource_server.identity.cognito import cognito_client
from resource_server.provisioning import doctor as doctors
from resource_server.provisioning import state
from resource_server.provisioning.apply import Blocked, apply
from resource_server.provisioning.aws import AWS_ERRORS, Aws, connect, explain
from resource_server.provisioning.plan import Plan, Step, make_plan
from resource_server.provisioning.state import Target
from resource_server.services import services
from resource_server.terminal import printable, printable_lines

P = ParamSpec("P")
R = TypeVar("R")

_COLOURS = {
    "+": "green",
    "~": "yellow",
    "-": "red",
    "error": "red",
    "warning": "yellow",
    "hint": "cyan",
}


cognito = AppGroup("cognito", help="Keep the Cognito user pool in step with this service.")
cognito.add_command(token)


def _told_in_a_sentence(command: Callable[P, R]) -> Callable[P, R]:
    """Show what AWS refuses as one sentence, without a trace."""

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AWS_ERRORS as error:
            raise click.ClickException(printable_lines(explain(error))) from None
        except Blocked as error:
            reasons = "\n".join(f"  - {printable(reason)}" for reason in error.reasons)
            raise click.ClickException(f"Nothing was changed:\n{reasons}") from None

    return told


def _read_grants(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    grants: dict[str, str] = {}
    for value in values:
        group, _, scopes = value.partition("=")
        if not group.strip() or not scopes.split():
            raise click.BadParameter("write GROUP=SCOPES, for example 'admins=me admin'")
        known = grants.get(group.strip(), "").split()
        grants[group.strip()] = " ".join([*known, *scopes.split()])
    return grants


_identifier = click.option(
    "--identifier",
    default="resource-server",
    show_default=True,
    help="The resource server's identifier: what its scopes begin with.",
)
_function = click.option(
    "--function",
    metavar="NAME",
    help="The trigger's Lambda function. [default: the one that is configured, or "
    "<pool-id>-pre-token-generation]",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _changing(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that choose what the pool is to be like."""
    for option in (
        _identifier,
        _function,
        click.option("--role-arn", metavar="ARN", help="The role of a function that is made."),
        click.option(
            "--grant",
            "grants",
            metavar="GROUP=SCOPES",
            multiple=True,
            callback=_read_grants,
            help="Let the trigger give scopes to a group, * for everybody; may be repeated.",
        ),
        click.option(
            "--prune",
            is_flag=True,
            help="Also remove scopes and groups that nobody names any more.",
        ),
    ):
        command = option(command)
    return command


@cognito.command("plan")
@_changing
@_as_json
@_told_in_a_sentence
def plan_command(*, as_json: bool, **options: Any) -> None:
    """Show what differs between the code and the pool; change nothing.

    Exits with 0 if they are in step, 5 if they differ, 1 on an error.
    """
    plan = _plan(_connect(), _target(**options))
    if as_json:
        click.echo(json.dumps(_described(plan), indent=2))
    else:
        _show(plan)
    if not plan.in_step:
        sys.exit(DIFFERS)


@cognito.command("apply")
@_changing
@click.option("--yes", is_flag=True, help="Do not ask.")
@_told_in_a_sentence
def apply_command(*, yes: bool, **options: Any) -> None:
    """Make the pool what the code wants.

    Shows the plan and asks. What is removed is listed, and needs --prune. It may be interrupted:
    run it again, and it does the rest.
    """
    announce(database=False)
    aws, target = _connect(), _target(**options)
    plan = _plan(aws, target)
    _show(plan)
    if plan.in_step:
        return
    if plan.blocked:
        raise Blocked(plan.blocked)
    if not yes:
        click.confirm("\nMake these changes?", abort=True, err=True)
        # All of a pool is written back: what others changed meanwhile must not be lost.
        shown, plan = plan, _plan(aws, target)
        if (plan.differences, plan.blocked) != (shown.differences, shown.blocked):
            raise click.ClickException("The pool was changed meanwhile: run the command again.")
    click.echo()
    apply(aws, plan, done=_tell)


@cognito.command("doctor")
@_identifier
@_function
@_as_json
@_told_in_a_sentence
def doctor_command(*, as_json: bool, **options: Any) -> None:
    """Report what is wrong with the pool for this service, and how to correct it.

    Changes nothing. Exits with 5 if there is something to correct, else with 0, 1 on an error.
    """
    settings = services().settings
    secret = settings.aws_cognito_app_client_secret
    public = cognito_client(settings.region, endpoint_url=settings.cognito_endpoint_url)
    findings = doctors.examine(
        _connect(),
        doctors.Service(
            target=_target(**options),
            public=public,
            pools=tuple(trusted.pool for trusted in services().verifier.pools),
            admin_group=settings.cognito_admin_group,
            leeway=settings.jwt_leeway_seconds,
            jwks_timeout=settings.jwks_timeout_seconds,
            client_secret=secret.get_secret_value() if secret else None,
            writable_attributes=settings.cognito_writable_attributes,
            refresh_days=settings.cognito_refresh_token_days,
            emulated=settings.cognito_endpoint_is_emulator,
        ),
    )
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show_findings(findings)
    if any(finding.level == "error" for finding in findings):
        sys.exit(DIFFERS)


def _connect() -> Aws:
    settings = services().settings
    require_named(settings)
    return connect(
        settings.region,
        endpoint_url=settings.cognito_endpoint_url,
        emulated=settings.cognito_endpoint_is_emulator,
    )


def _target(**options: Any) -> Target:
    """Gather what the code needs of the pool."""
    settings = services().settings
    groups = {settings.cognito_admin_group: "COGNITO_ADMIN_GROUP"}
    return Target(
        pool_id=settings.aws_user_pool_id,
        client_id=settings.aws_cognito_app_client_id,
        scopes=declared_scopes(current_app),
        groups=declared_groups(current_app) | groups,
        **options,
    )


def _plan(aws: Aws, target: Target) -> Plan:
    model = aws.cognito.meta.service_model
    return make_plan(state.read(aws, target), target, model, has_lambda=aws.functions is not None)


def _described(plan: Plan) -> Mapping[str, Any]:
    return {
        "in_step": plan.in_step,
        "differences": [asdict(difference) for difference in plan.differences],
        "blocked": plan.blocked,
        "kept": plan.kept,
        "unchecked": plan.unchecked,
    }


def _show(plan: Plan) -> None:
    rows = [
        (d.sign, printable(d.subject), d.now and printable(d.now), d.wanted and printable(d.wanted))
        for d in plan.differences
    ]
    width = max((len(subject) for _, subject, _, _ in rows), default=0)
    for sign, subject, now, wanted in rows:
        change = f"{now} -> {wanted}" if now and wanted else now or wanted
        click.secho(f"{sign} {subject:{width}}  {change}".rstrip(), fg=_COLOURS[sign])
    for kept in plan.kept:
        click.echo(f"  {printable(kept)} is kept, though no route names it (--prune removes it)")
    for unchecked in plan.unchecked:
        click.echo(f"  Not checked: {printable(unchecked)}")
    for reason in plan.blocked:
        click.secho(f"! {printable(reason)}", fg="red")
    if plan.in_step:
        click.secho("The pool is in step with the code.", fg="green")


def _tell(step: Step) -> None:
    for difference in step.differences:
        click.secho(f"done: {difference.sign} {printable(difference.subject)}", fg="green")


def _show_findings(findings: Iterable[doctors.Finding]) -> None:
    findings = list(findings)
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        level = click.style(f"{finding.level:7}", fg=_COLOURS[finding.level])
        click.echo(f"{level}  {finding.check:{width}}  {printable(finding.says)}")
        click.echo(f"{'':{width + 11}}-> {printable(finding.mend)}")
    counts = Counter(finding.level for finding in findings)
    told = [f"{counts[level]} {level}{'s' * (counts[level] != 1)}" for level in doctors.LEVELS]
    click.echo(", ".join(told) if findings else "Nothing is wrong.")
