"""`imaging-hub cohort`: check, count, freeze and release cohorts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from imaging_hub.cli.options import Config, Json
from imaging_hub.cohorts import definition as definitions
from imaging_hub.cohorts import flowchart, frozen
from imaging_hub.cohorts import release as releases
from imaging_hub.cohorts.cohort_plan import make_plan
from imaging_hub.cohorts.definition import read
from imaging_hub.cohorts.flowchart import Flowchart
from imaging_hub.database import DatabaseRole, open_database
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import AccountRole, Denied, RequestActor
from imaging_hub.settings import load

app = typer.Typer(no_args_is_help=True)

DefinitionFile = Annotated[Path, typer.Argument(help="Cohort definition (YAML).")]
ProjectOption = Annotated[str | None, typer.Option(help="Project; not needed with --permit.")]
PermitOption = Annotated[str | None, typer.Option("--permit", help="Permit; the project's, when it has one only.")]
AccountOption = Annotated[
    str | None, typer.Option(help="Account in whose name; the permit's holder, when there is one.")
]


@app.callback()
def cohort() -> None:
    """Cohorts: check, count, freeze, release."""


@app.command()
def check(file: DefinitionFile, *, as_json: Json = False) -> None:
    """Check a definition; every error is shown with its line and remedy."""
    wanted = make_plan(read(file))
    if as_json:
        typer.echo(json.dumps({"ok": True, "cohort": wanted.cohort, "digest": wanted.digest}))
    else:
        typer.echo(f"{file}: right; {wanted.cohort} version {wanted.version}, digest {wanted.digest[:16]}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a definition, for editors and other programs."""
    typer.echo(json.dumps(definitions.schema(), indent=2))


@app.command()
def count(file: DefinitionFile, *, account: AccountOption = None, config: Config = None, as_json: Json = False) -> None:
    """Print the flowchart of a definition, rounded and with small cells suppressed; needs no permit."""
    definition, settings = read(file), load(config)
    now = datetime.now(UTC)
    with open_database(settings).begin(DatabaseRole.WEB) as connection:
        actor = (
            accounts.load_actor(connection, account, now) if account else RequestActor("operator", AccountRole.OPERATOR)
        )
        counted = flowchart.count(
            connection,
            definition,
            actor=actor,
            tables=settings.tables,
            small_cell=settings.small_cell,
            spark=settings.spark,
            today=now.date(),
        )
    if isinstance(counted, Denied):
        _exit_denied(counted, as_json=as_json)
    typer.echo(json.dumps(asdict(counted))) if as_json else _print_flowchart(definition.cohort, counted)


@app.command()
def freeze(
    file: DefinitionFile,
    *,
    project: ProjectOption = None,
    permit: PermitOption = None,
    account: AccountOption = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Freeze a definition on today's data for a project, and print the cohort's id."""
    definition, settings = read(file), load(config)
    now = datetime.now(UTC)
    with open_database(settings).begin(DatabaseRole.WEB) as connection:
        permit_id, actor = _choose_permit_and_actor(connection, permit, project, account, now)
        outcome = frozen.freeze(
            connection,
            file.read_text("utf-8"),
            actor=actor,
            permit=projects.find_permit(connection, permit_id),
            tables=settings.tables,
            small_cell=settings.small_cell,
            spark=settings.spark,
            today=now.date(),
        )
    if isinstance(outcome, Denied):
        _exit_denied(outcome, as_json=as_json)
    if as_json:
        typer.echo(json.dumps({"cohort": outcome.id, "new": outcome.new, "flowchart": asdict(outcome.flowchart)}))
        return
    _print_flowchart(definition.cohort, outcome.flowchart)
    typer.echo(f"{outcome.id}{'' if outcome.new else ', frozen before on the same data'}")


@app.command()
def release(
    cohort: Annotated[str, typer.Argument(help="Id of a frozen cohort.")],
    *,
    permit: PermitOption = None,
    account: AccountOption = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Request a release of a frozen cohort, which a worker prepares, and print its id."""
    now = datetime.now(UTC)
    with open_database(load(config)).begin(DatabaseRole.WEB) as connection:
        project = frozen.load_request(connection, cohort).project
        permit_id, actor = _choose_permit_and_actor(connection, permit, project, account, now)
        requested = releases.request(connection, actor=actor, cohort=cohort, permit_id=permit_id, today=now.date())
    if isinstance(requested, Denied):
        _exit_denied(requested, as_json=as_json)
    if as_json:
        typer.echo(json.dumps({"release": requested.id, "new": requested.new}))
    else:
        typer.echo(
            f"{requested.id}; next: imaging-hub download {requested.id} DEST --url URL --token-file FILE --wait 600"
        )


def _choose_permit_and_actor(
    connection: Connection, permit: str | None, project: str | None, account: str | None, now: datetime
) -> tuple[str | None, RequestActor]:
    """Return permit id and actor; what is not named is chosen if there is only one."""
    candidates = (
        [projects.find_permit(connection, permit)] if permit else projects.list_permits(connection, project=project)
    )
    usable = [candidate for candidate in candidates if candidate and (account is None or account in candidate.holders)]
    if len(usable) != 1:
        return permit, _choose_actor(connection, account, frozenset(), now)
    return usable[0].id, _choose_actor(connection, account, usable[0].holders, now)


def _choose_actor(connection: Connection, account: str | None, holders: frozenset[str], now: datetime) -> RequestActor:
    if account is None and len(holders) != 1:
        raise typer.BadParameter("name the permit and the account: --permit ID --account NAME")
    return accounts.load_actor(connection, account or min(holders), now)


def _print_flowchart(name: str, chart: Flowchart) -> None:
    table = Table("step", "subjects", "left for a missing value", title=name)
    for column in table.columns[1:]:
        column.justify = "right"
    for step in chart.steps:
        table.add_row(step.name, step.subjects, step.missing)
    table.add_row("series", chart.series, "", style="bold")
    Console().print(table)
    typer.echo(f"data: {chart.data_version}", err=True)


def _exit_denied(denied: Denied, *, as_json: bool) -> NoReturn:
    """Print why the request is denied and what to do, and exit with status 1."""
    reason, series = denied.reason.value, denied.series
    if as_json:
        typer.echo(json.dumps({"denied": reason, "series": series, "hint": denied.hint}))
    else:
        many = f" ({series} series)" if series else ""
        typer.echo(f"denied: {reason}{many}\nWhat to do: {denied.hint}", err=True)
    raise typer.Exit(1)
