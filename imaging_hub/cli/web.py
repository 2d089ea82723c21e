"""`imaging-hub web` and `imaging-hub console`: one web app alone, each in its own zone."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer()
console_app = typer.Typer()

_CONFIG = typer.Option(None, "--config", help="TOML settings file.")


@app.command()
def web(config: Path | None = _CONFIG) -> None:
    """Run the hub's API and pages until told to stop."""
    from imaging_hub import log
    from imaging_hub.database import open_database
    from imaging_hub.http.serving import serve
    from imaging_hub.settings import load
    from imaging_hub.web.app import create_app

    settings = load(config)
    log.configure(settings.log_level)
    serve(create_app(settings, open_database(settings)), settings.bind_address, settings.hub_port)


@console_app.command()
def console(config: Path | None = _CONFIG) -> None:
    """Run the hospital's console until told to stop."""
    from imaging_hub import log
    from imaging_hub.console import create_console
    from imaging_hub.database import open_database
    from imaging_hub.http.serving import serve
    from imaging_hub.settings import load

    settings = load(config)
    log.configure(settings.log_level)
    serve(create_console(settings, open_database(settings)), settings.bind_address, settings.console_port)
