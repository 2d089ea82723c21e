"""`imaging-hub operator`: people who may use the hospital's console."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import typer

from imaging_hub.cli.options import Config

app = typer.Typer(no_args_is_help=True)


@app.callback()
def operator() -> None:
    """People who may use the hospital's console, which shows identities."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name, shown in the audit trail.")],
    role: Annotated[
        Literal["hospital", "radiologist"],
        typer.Option(help="A radiologist sees what there is to review, the hospital's staff sees everything."),
    ],
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until it ends; every access has an end.")] = 365,
    config: Config = None,
) -> None:
    """Add or renew an operator; the token is printed once."""
    from imaging_hub.database import DatabaseRole, open_database
    from imaging_hub.gateway import console_operators
    from imaging_hub.settings import load

    with open_database(load(config)).begin(DatabaseRole.GATEWAY) as connection:
        until = datetime.now(UTC) + timedelta(days=days)
        typer.echo(
            console_operators.add(
                connection, name, console_operators.OperatorRole(role), until, by="operator at the console"
            )
        )
