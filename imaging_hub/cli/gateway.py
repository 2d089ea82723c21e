"""`imaging-hub gateway`: the receiver alone, by DICOM and by STOW-RS."""

from __future__ import annotations

import signal
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from imaging_hub.database import Database
    from imaging_hub.gateway.storage_scp import StorageServer
    from imaging_hub.settings import Settings

app = typer.Typer()

_CONFIG = typer.Option(None, "--config", help="TOML settings file.")


@app.command()
def gateway(config: Path | None = _CONFIG) -> None:
    """Receive from hospitals until told to stop; status 1 when it ends by itself, as when the disk fails."""
    import gc

    from imaging_hub import log
    from imaging_hub.database import open_database
    from imaging_hub.gateway.query_scp import QueryRetrieveScp
    from imaging_hub.gateway.storage_scp import StorageServer
    from imaging_hub.settings import load

    settings = load(config)
    log.configure(settings.log_level)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = open_database(settings)
    server = StorageServer(settings, database)
    queries = QueryRetrieveScp(settings, database, server.metrics) if settings.query_port else None
    http = _http(settings, database, server, stop)
    # What was imported stays: the collector need not look through it again.
    gc.freeze()
    server.start()
    if queries:
        queries.start()
    for thread in http:
        thread.start()
    while not stop.wait(0.2) and not server.reception.failed.is_set() and all(thread.is_alive() for thread in http):
        pass
    asked_to = stop.is_set()
    stop.set()
    for thread in http:
        thread.join()
    if queries:
        queries.stop()
    server.stop()
    if not asked_to:
        raise typer.Exit(1)


def _http(settings: Settings, database: Database, server: StorageServer, stop: Event) -> list[Thread]:
    """The thread of the HTTP side, where the settings have one."""
    from imaging_hub.gateway.app import create_app
    from imaging_hub.http.serving import refuse_taken, serve

    if not settings.gateway_port:
        return []
    refuse_taken(settings.bind_address, settings.gateway_port)
    app = create_app(settings, database, server)
    return [Thread(target=serve, args=(app, settings.bind_address, settings.gateway_port, stop), name="http")]
