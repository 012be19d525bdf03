"""`flask users`: rows brought up to what the user directory says, and users shut out or let in."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError

from resource_server import sqlstates
from resource_server.cli.exit_codes import INTERRUPTED
from resource_server.cli.target import announce, confirm, operator, require_named
from resource_server.extensions import db
from resource_server.identity.directory import DirectoryUser
from resource_server.identity.errors import (
    DirectoryForbidden,
    IdentityError,
    IdentityUnavailable,
    NoSuchUser,
    TooManyRequests,
)
from resource_server.services import services
from resource_server.terminal import printable
from resource_server.users import administration, projection
from resource_server.users.models import User
from resource_server.users.sync import Counts, Sync, TooManyGone

_FIELDS = ("sub", "username", "email", "full_name", "enabled", "status")

users = AppGroup("users", help="Follow and administrate the users of the Cognito pool.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@users.command("sync")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option(
    "--delete-gone",
    is_flag=True,
    help="Delete rows whose user is gone, with all they own; else they are disabled.",
)
@click.option(
    "--many-gone", is_flag=True, help="Go on though more than a tenth of all rows are gone."
)
@click.option("--yes", is_flag=True, help="Do not ask before rows are deleted.")
@as_json
def sync(*, dry_run: bool, delete_gone: bool, many_gone: bool, yes: bool, as_json: bool) -> None:
    """Bring the rows of users up to what Cognito says.

    Makes missing rows, follows names, e-mail addresses and who is disabled, and finds the rows
    whose user is gone. It may be interrupted and repeated at any time, and run beside the service.

    Prints the user pool and the database first. With --delete-gone it asks, if stdin is a terminal.
    """
    mine = services()
    announce()
    # Rows that release 0.1 made for users of other pools have no pool in their key (decision 19).
    # They look like rows whose user is gone.
    only_pool = not mine.settings.cognito_trusted_pools
    if delete_gone and not only_pool:
        raise click.UsageError("--delete-gone cannot be used with COGNITO_TRUSTED_POOLS")
    if delete_gone and not dry_run:
        confirm("Delete the rows of users that this pool does not have?", yes=yes)
    with _faults_told():
        run = Sync(
            db.session(),
            mine.directory,
            mine.revocations,
            # An app client that calls for itself has a row, under its id.
            not_ours=mine.settings.client_ids,
            dry_run=dry_run,
        )
    complete = False
    try:
        with _faults_told():
            _show_progress(run.follow(), mine.directory.estimated_size)
            if only_pool:
                for _ in run.settle_gone(delete=delete_gone, many=many_gone):
                    pass
        complete = True
    except KeyboardInterrupt:
        click.echo("Interrupted. What is told below is done: run it again for the rest.", err=True)
        sys.exit(INTERRUPTED)
    finally:
        db.session.rollback()
        _print_counts(run.counts, dry_run=dry_run, complete=complete, as_json=as_json)
        if complete and not only_pool:
            click.echo(
                "Rows without a user were not looked for: there are further pools.", err=True
            )


@users.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Shut a user out: in Cognito, here, and with every token that is out.

    NAME is a user name, a sub or an e-mail address.
    """
    mine = services()
    announce()
    with _faults_told():
        sub = _sub_of(name)
        try:
            row = administration.disable(
                db.session(),
                mine.directory,
                mine.revocations,
                sub=sub,
                by=operator(),
                other_pools=mine.settings.other_pools,
            )
        except IdentityError:
            row_now = projection.by_sub(db.session(), sub)
            if row_now is not None and row_now.disabled:
                click.echo("Disabled here, but not in Cognito: run it again.", err=True)
            raise
        except SQLAlchemyError:
            click.echo("Disabled in Cognito, but not here: run it again.", err=True)
            raise
    click.echo(f"Disabled {printable(row.username)} ({printable(row.sub)}).")


@users.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Let a user in again, in Cognito and here; tokens from before stay denied.

    NAME is a user name, a sub or an e-mail address.
    """
    mine = services()
    announce()
    with _faults_told():
        sub = _sub_of(name)
        row = administration.enable(
            db.session(),
            mine.directory,
            mine.revocations,
            sub=sub,
            by=operator(),
            only_here=mine.settings.may_be_elsewhere(sub),
            other_pools=mine.settings.other_pools,
        )
    click.echo(f"Enabled {printable(row.username)} ({printable(row.sub)}).")


@users.command("show")
@click.argument("name")
@as_json
def show(name: str, *, as_json: bool) -> None:
    """Show what Cognito and the database know of a user, side by side.

    NAME is a user name, a sub or an e-mail address.
    """
    require_named(services().settings)
    with _faults_told():
        sub = _sub_of(name)
        try:
            user = services().directory.get(sub)
        except NoSuchUser:
            user = None
        row = projection.by_sub(db.session(), sub)
    differs = row is None or user is None or projection.differs(row, user)
    there = None if user is None else _of_user(user)
    here = None if row is None else _of_row(row)
    if as_json:
        click.echo(json.dumps({"cognito": there, "here": here, "differs": differs}))
        return
    click.echo(f"{'':10} {'Cognito':36}  here")
    for field in _FIELDS:
        click.echo(f"{field:10} {_cell(there, field):36}  {_cell(here, field)}".rstrip())
    if user is None:
        click.echo("Cognito does not have this user (any more).")
    elif row is None:
        click.echo("There is no row yet: it is made at the user's first request, or by a sync.")
    elif differs:
        click.echo("They differ: `flask users sync` makes them alike.")


def _show_progress(pages: Iterator[int], estimate: Callable[[], int | None]) -> None:
    """Walk the pages, with a bar on stderr if that is a terminal and the total is known."""
    total = estimate() if sys.stderr.isatty() else None
    if not total:
        for _ in pages:
            pass
        return
    with click.progressbar(length=total, label="Users", show_pos=True, file=sys.stderr) as bar:
        for count in pages:
            bar.update(count)


def _print_counts(counts: Counts, *, dry_run: bool, complete: bool, as_json: bool) -> None:
    if as_json:
        told = {"dry_run": dry_run, "complete": complete, **asdict(counts)}
        click.echo(json.dumps(told))
        return
    for name, number in asdict(counts).items():
        click.echo(f"{name:10}{number:>9,}")
    if dry_run:
        click.echo("A dry run: nothing was changed.")


def _sub_of(name: str) -> str:
    """Find who is meant, in Cognito or, if it does not have or say it, among the rows."""
    found: Sequence[DirectoryUser | User]
    try:
        found = services().directory.find(name)
    except IdentityError:
        found = projection.named(db.session(), name)
        if not found:
            raise
    found = found or projection.named(db.session(), name)
    if not found:
        raise NoSuchUser
    if len(found) > 1:
        whom = "\n".join(f"  {printable(each.sub)}  {printable(each.username)}" for each in found)
        raise click.ClickException(f"Several users are called this; give the sub of one:\n{whom}")
    return found[0].sub


def _of_user(user: DirectoryUser) -> dict[str, Any]:
    return {field: getattr(user, field) for field in _FIELDS}


def _of_row(row: User) -> dict[str, Any]:
    return {
        "id": row.id,
        "sub": row.sub,
        "username": row.username,
        "email": row.email,
        "full_name": row.full_name,
        "enabled": not row.disabled,
    }


def _cell(known: dict[str, Any] | None, field: str) -> str:
    if known is None:
        return "-"
    value = known.get(field)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(value or "")


@contextmanager
def _faults_told() -> Iterator[None]:
    """Turn what may go wrong into one sentence that says what to do."""
    try:
        yield
    except NoSuchUser:
        raise click.ClickException("There is no such user, in Cognito or here.") from None
    except DirectoryForbidden as error:
        message = f"AWS does not permit this: allow {error.action} on the pool (docs/users.md)."
        raise click.ClickException(message) from None
    except TooManyRequests as error:
        message = f"Cognito is throttling: try again in {error.retry_after} seconds."
        raise click.ClickException(message) from None
    except IdentityUnavailable as error:
        message = str(error) or "Cognito cannot be reached or fails; the log has the reason."
        raise click.ClickException(message) from None
    except TooManyGone as error:
        message = (
            f"{error.gone:,} of {error.rows:,} rows have no user in the pool, and were left alone: "
            "is it the right one? If it is, use --many-gone."
        )
        raise click.ClickException(message) from None
    except SQLAlchemyError as error:  # whose text repeats statements
        fault = sqlstates.fault_of(error)
        message = f"The database is unavailable ({type(error).__name__})."
        if fault is not None:
            message = f"{message} {fault.message}"
        raise click.ClickException(message) from None
