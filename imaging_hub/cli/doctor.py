"""`imaging-hub doctor`: problems of a hub, each with its remedy."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from imaging_hub.cli.options import Config, Json

app = typer.Typer()


@app.command()
def doctor(config: Config = None, *, as_json: Json = False) -> None:
    """List the problems of the hub of this configuration, with remedies; status 1 when something does not work."""
    from imaging_hub.settings import load
    from imaging_hub.work.hub_diagnosis import find_problems

    problems = find_problems(load(config))
    if as_json:
        typer.echo(json.dumps({"problems": [asdict(problem) for problem in problems]}))
    else:
        for problem in problems:
            typer.echo(f"{'✗' if problem.is_error else '!'} {problem.subject}: {problem.message}")
            typer.echo(f"  What to do: {problem.remedy}")
        if not problems:
            typer.echo("The hub is well.")
    raise typer.Exit(1 if any(problem.is_error for problem in problems) else 0)
