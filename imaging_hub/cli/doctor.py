"""`imaging-hub doctor`: what is wrong with a hub, and the cure."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from imaging_hub.cli.options import Config, Json

app = typer.Typer()


@app.command()
def doctor(config: Config = None, *, as_json: Json = False) -> None:
    """Name what is wrong with the hub of this configuration, and the cure; status 1 when something does not work."""
    from imaging_hub.settings import load
    from imaging_hub.work.diagnosis import ailments

    found = ailments(load(config))
    if as_json:
        typer.echo(json.dumps({"ailments": [asdict(ailment) for ailment in found]}))
    else:
        for ailment in found:
            typer.echo(f"{'✗' if ailment.is_error else '!'} {ailment.subject}: {ailment.message}")
            typer.echo(f"  What to do: {ailment.cure}")
        if not found:
            typer.echo("The hub is well.")
    raise typer.Exit(1 if any(ailment.is_error for ailment in found) else 0)
