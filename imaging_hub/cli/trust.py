"""`imaging-hub trust`: what the trusted third party does by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection, text

from imaging_hub.database import Role, open_database
from imaging_hub.errors import KeyringError
from imaging_hub.pseudonymisation.ceremony import Share
from imaging_hub.pseudonymisation.rekeying import rekey as give_new_keys
from imaging_hub.settings import load

app = typer.Typer(no_args_is_help=True)

_CUSTODIANS = 2


@app.callback()
def trust() -> None:
    """The trusted third party."""


@app.command()
def share(out: Annotated[Path, typer.Argument(help="New file, for its custodian alone.")]) -> None:
    """Make one custodian's share of the third party's next key."""
    typer.echo(f"{out}: share {Share.create(out).fingerprint}. Keep it where no other share is.")


@app.command()
def rekey(
    shares: Annotated[
        list[Path] | None, typer.Argument(help="Two custodians' shares, of which the third party's key is made.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML settings file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Give the chain of pseudonyms new keys; subjects, links and projects stay.

    Stop the hub first, and start it again after. Broken off, it goes on when it is called again.
    """
    if shares is not None and len(shares) != _CUSTODIANS:
        raise typer.BadParameter("two shares, or none")
    brought = (Share.open(shares[0]), Share.open(shares[1])) if shares else None
    settings = load(config)
    database = open_database(settings)
    with database.begin(Role.OWNER) as connection:
        _refuse_beside_workers(connection)
    done = give_new_keys(database, settings.keys, brought)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        typer.echo(
            f"epoch {done.epoch}: {done.tokens} tokens, {done.left_behind} of identities no longer held destroyed"
        )


def _refuse_beside_workers(connection: Connection) -> None:
    working = connection.execute(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename IN ('imaging_hub_worker', 'imaging_hub_trust')"
        )
    ).scalar_one()
    if working:
        raise KeyringError("workers use the vault", code="vault-in-use", hint="stop `imaging-hub serve` first")
