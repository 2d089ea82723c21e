"""`imaging-hub account`: people and programs of the hub."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from imaging_hub.database import DatabaseRole as Login
from imaging_hub.database import open_database
from imaging_hub.permits import accounts
from imaging_hub.permits.policy import AccountRole
from imaging_hub.settings import load

app = typer.Typer(no_args_is_help=True)

_OPERATOR = "operator at the console"

Config = Annotated[Path | None, typer.Option("--config", help="TOML settings file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@app.callback()
def account() -> None:
    """People and programs of the hub."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name, unique in this hub.")],
    role: Annotated[AccountRole, typer.Argument(help="What the account is for.")],
    *,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until the account ends.")] = 90,
    finess: Annotated[str | None, typer.Option(help="FINESS of a hospital account.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add an account, or renew one; its token is shown this once."""
    expires = datetime.now(UTC) + timedelta(days=days)
    with open_database(load(config)).begin(Login.WORKER) as connection:
        token = accounts.add(connection, name, role, expires, finess=finess, by=_OPERATOR)
    if as_json:
        typer.echo(json.dumps({"name": name, "role": role.value, "expires_at": expires.isoformat(), "token": token}))
    else:
        typer.echo(f"{name} ({role.value}) until {expires:%Y-%m-%d}. Token, shown once:\n{token}")


@app.command("list")
def list_accounts(*, config: Config = None, as_json: Json = False) -> None:
    """Every account with its role and end."""
    with open_database(load(config)).begin(Login.WEB) as connection:
        found = accounts.list_accounts(connection)
    if as_json:
        rows = [
            {"name": one.name, "role": one.role.value, "expires_at": one.expires_at.isoformat(), "finess": one.finess}
            for one in found
        ]
        typer.echo(json.dumps({"accounts": rows}))
        return
    table = Table("account", "role", "until", "FINESS")
    for one in found:
        table.add_row(one.name, one.role.value, f"{one.expires_at:%Y-%m-%d %H:%M}", one.finess or "")
    Console().print(table)
