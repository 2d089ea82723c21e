"""`imaging-hub conformance`: the DICOM conformance statement of a configuration."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer()

_CONFIG = typer.Option(None, "--config", help="TOML settings file.")


@app.command()
def conformance(config: Path | None = _CONFIG) -> None:
    """Print the DICOM conformance statement (PS3.2) of this configuration, in Markdown."""
    from imaging_hub.cli.conformance_statement import statement
    from imaging_hub.settings import load

    typer.echo(statement(load(config)), nl=False)
