"""`imaging-hub audit`: verify the chain of the audit trail; search for a NIR outside the identifying zone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from imaging_hub.cli.options import Config, Json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def audit() -> None:
    """The audit trail."""


@app.command()
def verify(
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Recompute the hash of every entry; status 1 names the first one that does not match."""
    from imaging_hub.audit import trail
    from imaging_hub.database import DatabaseRole, open_database
    from imaging_hub.settings import load

    with open_database(load(config)).begin(DatabaseRole.WEB) as connection:
        result = trail.verify(connection)
    if isinstance(result, trail.BrokenChain):
        broken = {"ok": False, "sequence": result.sequence, "reason": result.reason}
        typer.echo(json.dumps(broken) if as_json else f"broken at entry {result.sequence}: {result.reason}")
        raise typer.Exit(1)
    typer.echo(json.dumps({"ok": True, "entries": result}) if as_json else f"{result} entries, chain intact")


@app.command()
def nir(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Further folders to search: logs, backups, downloads.", exists=True)
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Search all tables and files outside the identifying zone for a NIR with a valid key; status 1 if there is one.

    `trust verify` searches the third party's tables, where it runs.
    """
    from imaging_hub.audit import nir_at_rest
    from imaging_hub.database import DatabaseRole, open_database
    from imaging_hub.settings import load

    settings = load(config)
    with open_database(settings).begin(DatabaseRole.OWNER) as connection:
        result = nir_at_rest.scan(
            connection, [settings.home, *(folders or ())], excluded=[settings.home / "identifying"]
        )
    if as_json:
        typer.echo(json.dumps(asdict(result)))
    else:
        typer.echo(
            f"{result.columns} columns, {result.files} files: {sum(result.findings.values())} numbers like a NIR"
        )
        for place, number in result.findings.items():
            typer.echo(f"{place}: {number}")
    raise typer.Exit(bool(result.findings))
