"""`imaging-hub audit`: does the chain of the trail still hold, and is there a NIR where none may be?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def audit() -> None:
    """The audit trail."""


@app.command()
def verify(
    config: Annotated[Path | None, typer.Option(help="TOML settings file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Recompute every seal; status 1 when the chain is broken, naming the first place."""
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
    config: Annotated[Path | None, typer.Option(help="TOML settings file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Search all tables and files outside the identifying zone for a NIR with a right key; status 1 if there is one.

    The third party's tables are searched by `trust verify`, where it runs.
    """
    from imaging_hub.audit import nir_at_rest
    from imaging_hub.database import DatabaseRole, open_database
    from imaging_hub.settings import load

    settings = load(config)
    with open_database(settings).begin(DatabaseRole.OWNER) as connection:
        found = nir_at_rest.scan(
            connection, [settings.home, *(folders or ())], excluded=[settings.home / "identifying"]
        )
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        typer.echo(f"{found.columns} columns, {found.files} files: {sum(found.findings.values())} numbers like a NIR")
        for place, number in found.findings.items():
            typer.echo(f"{place}: {number}")
    raise typer.Exit(bool(found.findings))
