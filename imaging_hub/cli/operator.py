"""`imaging-hub operator add`: people who may use the hospital's console."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def operator() -> None:
    """People who may see identities, at the hospital's console."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who; shown in the trail.")],
    role: Annotated[
        Literal["hospital", "radiologist"],
        typer.Option(help="A radiologist sees what there is to review, the hospital's staff sees everything."),
    ],
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until it ends; every access has an end.")] = 365,
    config: Annotated[Path | None, typer.Option(help="TOML settings file.")] = None,
) -> None:
    """Let somebody in, or renew them; prints the token once."""
    from imaging_hub.database import DatabaseRole, open_database
    from imaging_hub.gateway import operators
    from imaging_hub.settings import load

    with open_database(load(config)).begin(DatabaseRole.GATEWAY) as connection:
        until = datetime.now(UTC) + timedelta(days=days)
        typer.echo(operators.add(connection, name, operators.OperatorRole(role), until, by="operator at the console"))
