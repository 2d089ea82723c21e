"""`imaging-hub cohort check|count|freeze|release`."""

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

from imaging_hub.cohorts import definition as definitions
from imaging_hub.cohorts import flowchart, frozen
from imaging_hub.cohorts import release as releases
from imaging_hub.cohorts.definition import read
from imaging_hub.cohorts.flowchart import Flowchart
from imaging_hub.cohorts.plan import plan
from imaging_hub.database import DatabaseRole as Login
from imaging_hub.database import open_database
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import AccountRole as ActorRole
from imaging_hub.permits.policy import Denied, RequestActor
from imaging_hub.settings import load

app = typer.Typer(no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="TOML settings file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
File = Annotated[Path, typer.Argument(help="Cohort definition (YAML).")]
Project = Annotated[str | None, typer.Option(help="Project; not needed with --permit.")]
PermitId = Annotated[str | None, typer.Option("--permit", help="Permit; the project's, when it has one only.")]
Account = Annotated[str | None, typer.Option(help="Account in whose name; the permit's holder, when there is one.")]


@app.callback()
def cohort() -> None:
    """Cohorts: check, count, freeze, release."""


@app.command()
def check(file: File, *, as_json: Json = False) -> None:
    """Read a definition; every fault is shown at its line with its cure."""
    wanted = plan(read(file))
    if as_json:
        typer.echo(json.dumps({"ok": True, "cohort": wanted.cohort, "digest": wanted.digest}))
    else:
        typer.echo(f"{file}: right; {wanted.cohort} version {wanted.version}, digest {wanted.digest[:16]}")


@app.command()
def schema() -> None:
    """The JSON Schema of a definition, for editors and other programs."""
    typer.echo(json.dumps(definitions.schema(), indent=2))


@app.command()
def count(file: File, *, account: Account = None, config: Config = None, as_json: Json = False) -> None:
    """The flowchart of a definition, rounded and with small cells held back; needs no permit."""
    definition, settings = read(file), load(config)
    now = datetime.now(UTC)
    with open_database(settings).begin(Login.WEB) as connection:
        actor = (
            accounts.load_actor(connection, account, now) if account else RequestActor("operator", ActorRole.OPERATOR)
        )
        found = flowchart.count(
            connection,
            definition,
            actor=actor,
            tables=settings.tables,
            small_cell=settings.small_cell,
            spark=settings.spark,
            today=now.date(),
        )
    if isinstance(found, Denied):
        _deny(found, as_json=as_json)
    typer.echo(json.dumps(asdict(found))) if as_json else _print(definition.cohort, found)


@app.command()
def freeze(
    file: File,
    *,
    project: Project = None,
    permit: PermitId = None,
    account: Account = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Freeze a definition on today's data for a project; prints the cohort's id."""
    definition, settings = read(file), load(config)
    now = datetime.now(UTC)
    with open_database(settings).begin(Login.WEB) as connection:
        held, actor = _in_whose_name(connection, permit, project, account, now)
        found = frozen.freeze(
            connection,
            file.read_text("utf-8"),
            actor=actor,
            permit=projects.find_permit(connection, held),
            tables=settings.tables,
            small_cell=settings.small_cell,
            spark=settings.spark,
            today=now.date(),
        )
    if isinstance(found, Denied):
        _deny(found, as_json=as_json)
    if as_json:
        typer.echo(json.dumps({"cohort": found.id, "new": found.new, "flowchart": asdict(found.flowchart)}))
        return
    _print(definition.cohort, found.flowchart)
    typer.echo(f"{found.id}{'' if found.new else ', frozen before on the same data'}")


@app.command()
def release(
    cohort: Annotated[str, typer.Argument(help="Id of a frozen cohort.")],
    *,
    permit: PermitId = None,
    account: Account = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Ask for a release of a frozen cohort; a worker prepares it. Prints the release's id."""
    now = datetime.now(UTC)
    with open_database(load(config)).begin(Login.WEB) as connection:
        project = frozen.asked(connection, cohort).project
        held, actor = _in_whose_name(connection, permit, project, account, now)
        found = releases.request(connection, actor=actor, cohort=cohort, permit_id=held, today=now.date())
    if isinstance(found, Denied):
        _deny(found, as_json=as_json)
    if as_json:
        typer.echo(json.dumps({"release": found.id, "new": found.new}))
    else:
        typer.echo(f"{found.id}; next: imaging-hub download {found.id} DEST --url URL --token-file FILE --wait 600")


def _in_whose_name(
    connection: Connection, permit: str | None, project: str | None, account: str | None, now: datetime
) -> tuple[str | None, RequestActor]:
    """The permit and the account meant: what is not named is taken where there is one only."""
    candidates = (
        [projects.find_permit(connection, permit)] if permit else projects.list_permits(connection, project=project)
    )
    held = [one for one in candidates if one and (account is None or account in one.holders)]
    if len(held) != 1:
        return permit, _one_account(connection, account, frozenset(), now)
    return held[0].id, _one_account(connection, account, held[0].holders, now)


def _one_account(connection: Connection, account: str | None, holders: frozenset[str], now: datetime) -> RequestActor:
    if account is None and len(holders) != 1:
        raise typer.BadParameter("name the permit and the account: --permit ID --account NAME")
    return accounts.load_actor(connection, account or min(holders), now)


def _print(name: str, found: Flowchart) -> None:
    table = Table("step", "subjects", "left for a missing value", title=name)
    for column in table.columns[1:]:
        column.justify = "right"
    for step in found.steps:
        table.add_row(step.name, step.subjects, step.missing)
    table.add_row("series", found.series, "", style="bold")
    Console().print(table)
    typer.echo(f"data: {found.data_version}", err=True)


def _deny(denied: Denied, *, as_json: bool) -> NoReturn:
    """Say why not, and what to do; status 1."""
    reason, series = denied.reason.value, denied.series
    if as_json:
        typer.echo(json.dumps({"denied": reason, "series": series, "hint": denied.hint}))
    else:
        many = f" ({series} series)" if series else ""
        typer.echo(f"denied: {reason}{many}\nWhat to do: {denied.hint}", err=True)
    raise typer.Exit(1)
