"""`imaging-hub account`: people and programs of the hub."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from imaging_hub.cli.options import Config, Json
from imaging_hub.database import DatabaseRole, open_database
from imaging_hub.permits import accounts
from imaging_hub.permits.policy import AccountRole
from imaging_hub.settings import load

app = typer.Typer(no_args_is_help=True)

_OPERATOR = "operator at the console"


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
    """Add or renew an account; its token is printed once."""
    expires = datetime.now(UTC) + timedelta(days=days)
    with open_database(load(config)).begin(DatabaseRole.WORKER) as connection:
        token = accounts.add(connection, name, role, expires, finess=finess, by=_OPERATOR)
    if as_json:
        typer.echo(json.dumps({"name": name, "role": role.value, "expires_at": expires.isoformat(), "token": token}))
    else:
        typer.echo(f"{name} ({role.value}) until {expires:%Y-%m-%d}. Token, shown once:\n{token}")


@app.command("list")
def list_accounts(*, config: Config = None, as_json: Json = False) -> None:
    """List the accounts with role and expiry."""
    with open_database(load(config)).begin(DatabaseRole.WEB) as connection:
        listed = accounts.list_accounts(connection)
    if as_json:
        rows = [
            {
                "name": account.name,
                "role": account.role.value,
                "expires_at": account.expires_at.isoformat(),
                "finess": account.finess,
            }
            for account in listed
        ]
        typer.echo(json.dumps({"accounts": rows}))
        return
    table = Table("account", "role", "until", "FINESS")
    for account in listed:
        table.add_row(account.name, account.role.value, f"{account.expires_at:%Y-%m-%d %H:%M}", account.finess or "")
    Console().print(table)
