"""`imaging-hub conformance`: the DICOM conformance statement of a configuration."""

from __future__ import annotations

import typer

from imaging_hub.cli.options import Config

app = typer.Typer()


@app.command()
def conformance(config: Config = None) -> None:
    """Print the DICOM conformance statement (PS3.2) of this configuration, in Markdown."""
    from imaging_hub.cli.conformance_statement import statement
    from imaging_hub.settings import load

    typer.echo(statement(load(config)), nl=False)
