"""`imaging-hub project` and `imaging-hub permit`: research projects and their permits."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from imaging_hub.cli.options import Config, Json
from imaging_hub.database import DatabaseRole, open_database
from imaging_hub.permits import projects
from imaging_hub.permits.policy import Permit
from imaging_hub.settings import load

app = typer.Typer(no_args_is_help=True)
project_app = typer.Typer(no_args_is_help=True)

_OPERATOR = "operator at the console"


@project_app.callback()
def project() -> None:
    """Research projects."""


@project_app.command("add")
def add_project(
    name: Annotated[str, typer.Argument(help="Short name, unique in this hub.")],
    *,
    title: Annotated[str, typer.Option(help="Title, for the public register.")],
    purpose: Annotated[str, typer.Option(help="What the data are for.")],
    public_interest: Annotated[str, typer.Option(help="Why the public gains.")],
    legal_basis: Annotated[str, typer.Option(help="CNIL authorisation, MR-00x or permanent access.")],
    config: Config = None,
) -> None:
    """Add a project."""
    with open_database(load(config)).begin(DatabaseRole.WORKER) as connection:
        projects.add(
            connection,
            name,
            title=title,
            purpose=purpose,
            public_interest=public_interest,
            legal_basis=legal_basis,
            by=_OPERATOR,
        )
    typer.echo(f"project {name}; next: imaging-hub permit grant {name} --holder ACCOUNT --modality CT --until DATE")


@project_app.command("list")
def list_projects(*, config: Config = None, as_json: Json = False) -> None:
    """List the projects."""
    with open_database(load(config)).begin(DatabaseRole.WEB) as connection:
        listed = projects.list_projects(connection)
    if as_json:
        typer.echo(json.dumps({"projects": [{"id": project.id, "title": project.title} for project in listed]}))
        return
    table = Table("project", "title", "legal basis")
    for project in listed:
        table.add_row(project.id, project.title, project.legal_basis)
    Console().print(table)


@app.callback()
def permit() -> None:
    """Permits of research projects."""


@app.command()
def grant(
    project: Annotated[str, typer.Argument(help="Project.")],
    *,
    holder: Annotated[list[str], typer.Option(help="Account that may use it; repeat for more.")],
    modality: Annotated[list[str], typer.Option(help="Modality it covers; repeat for more.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day in force.")],
    start: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; today.")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="SNDS domain it covers; all when none is named.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Grant a permit, and print its id."""
    first = start.date() if start else _today()
    with open_database(load(config)).begin(DatabaseRole.WORKER) as connection:
        granted = projects.grant(
            connection,
            project,
            valid_from=first,
            valid_until=until.date(),
            holders=holder,
            modalities=[code.upper() for code in modality],
            domains=domain or projects.DOMAINS,
            by=_OPERATOR,
        )
    typer.echo(json.dumps({"permit": granted}) if as_json else granted)


@app.command()
def revoke(permit: Annotated[str, typer.Argument(help="Permit.")], *, config: Config = None) -> None:
    """Revoke a permit: requests and downloads under it are refused from now on."""
    with open_database(load(config)).begin(DatabaseRole.WORKER) as connection:
        projects.revoke(connection, permit, by=_OPERATOR)
    typer.echo(f"{permit} is withdrawn")


@app.command("list")
def list_permits(
    *,
    project: Annotated[str | None, typer.Option(help="Of this project only.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List permits with their state today."""
    with open_database(load(config)).begin(DatabaseRole.WEB) as connection:
        listed = projects.list_permits(connection, project=project)
    if as_json:
        typer.echo(json.dumps({"permits": [_row(permit) for permit in listed]}))
        return
    table = Table("permit", "project", "holders", "modalities", "domains", "until", "state")
    for permit in listed:
        row = _row(permit)
        lists = (", ".join(sorted(names)) for names in (permit.holders, permit.modalities, permit.domains))
        table.add_row(permit.id, permit.project, *lists, str(row["until"]), str(row["state"]))
    Console().print(table)


def _row(permit: Permit) -> dict[str, object]:
    return {
        "id": permit.id,
        "project": permit.project,
        "holders": sorted(permit.holders),
        "modalities": sorted(permit.modalities),
        "domains": sorted(permit.domains),
        "from": permit.valid_from.isoformat(),
        "until": permit.valid_until.isoformat(),
        "state": permit.state(_today()),
    }


def _today() -> date:
    return datetime.now(UTC).date()
