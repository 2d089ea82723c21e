"""`imaging-hub gateway`: the DICOM receiver alone."""

from __future__ import annotations

import signal
from pathlib import Path

import typer

app = typer.Typer()

_CONFIG = typer.Option(None, "--config", help="TOML settings file.")


@app.command()
def gateway(config: Path | None = _CONFIG) -> None:
    """Receive from hospitals until told to stop; status 1 when the disk can no longer be trusted."""
    from threading import Event

    from imaging_hub import log
    from imaging_hub.database import open_database
    from imaging_hub.gateway.storage_scp import StorageServer
    from imaging_hub.settings import load

    settings = load(config)
    log.configure(settings.log_level)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = StorageServer(settings, open_database(settings))
    server.start()
    while not stop.wait(0.2) and not server.failed.is_set():
        pass
    server.stop()
    if server.failed.is_set():
        raise typer.Exit(1)
