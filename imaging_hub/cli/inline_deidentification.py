"""`imaging-hub inline-deidentification`: de-identifies before the answer what is to leave no original."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def inline_deidentification(config: Annotated[Path | None, typer.Option(help="TOML settings file.")] = None) -> None:
    """De-identify until told to stop; while it does not run, every instance takes the spool."""
    import gc

    from imaging_hub import log
    from imaging_hub.database import open_database
    from imaging_hub.settings import load
    from imaging_hub.work.inline_deidentification import run

    settings = load(config)
    log.configure(settings.log_level)
    gc.freeze()
    run(settings, open_database(settings))
