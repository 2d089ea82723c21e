"""`imaging-hub worker`: one worker alone, beside as many others as you like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def worker(config: Annotated[Path | None, typer.Option(help="TOML settings file.")] = None) -> None:
    """Run one worker until it is told to stop."""
    import gc

    from imaging_hub import log
    from imaging_hub.database import open_database
    from imaging_hub.settings import load
    from imaging_hub.work.worker import run

    settings = load(config)
    log.configure(settings.log_level)
    # What was imported stays: the collector need not look through it again for every study.
    gc.freeze()
    run(settings, open_database(settings))
