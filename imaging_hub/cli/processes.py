"""`imaging-hub gateway`, `worker`, `inline-deidentification`, `web` and `console`: one process of the hub alone."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import typer

from imaging_hub.cli.options import Config

if TYPE_CHECKING:
    from imaging_hub.database import Database
    from imaging_hub.gateway.storage_scp import StorageServer
    from imaging_hub.settings import Settings

gateway_app = typer.Typer()
worker_app = typer.Typer()
inline_deidentification_app = typer.Typer()
web_app = typer.Typer()
console_app = typer.Typer()


@gateway_app.command()
def gateway(config: Config = None) -> None:
    """Receive from hospitals until stopped; status 1 when the gateway ends by itself, as when the disk fails."""
    from imaging_hub.gateway.query_scp import QueryRetrieveScp
    from imaging_hub.gateway.storage_scp import StorageServer

    settings, database = _open_hub(config)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = StorageServer(settings, database)
    queries = QueryRetrieveScp(settings, database, server.metrics) if settings.query_port else None
    http = _http_threads(settings, database, server, stop)
    gc.freeze()  # the collector need not scan again what was imported
    server.start()
    if queries:
        queries.start()
    for thread in http:
        thread.start()
    while not stop.wait(0.2) and not server.reception.failed.is_set() and all(thread.is_alive() for thread in http):
        pass
    stop_requested = stop.is_set()
    stop.set()
    for thread in http:
        thread.join()
    if queries:
        queries.stop()
    server.stop()
    if not stop_requested:
        raise typer.Exit(1)


@worker_app.command()
def worker(config: Config = None) -> None:
    """Run one worker until stopped; several may run at once."""
    from imaging_hub.work.worker import run

    settings, database = _open_hub(config)
    gc.freeze()  # nor here, for every study
    run(settings, database)


@inline_deidentification_app.command()
def inline_deidentification(config: Config = None) -> None:
    """De-identify until stopped; while it does not run, every instance is spooled."""
    from imaging_hub.work.inline_deidentification import run

    settings, database = _open_hub(config)
    gc.freeze()
    run(settings, database)


@web_app.command()
def web(config: Config = None) -> None:
    """Run the hub's API and pages until stopped."""
    from imaging_hub.http.serving import serve
    from imaging_hub.web.app import create_app

    settings, database = _open_hub(config)
    serve(create_app(settings, database), settings.bind_address, settings.hub_port)


@console_app.command()
def console(config: Config = None) -> None:
    """Run the hospital's console until stopped."""
    from imaging_hub.console import create_console
    from imaging_hub.http.serving import serve

    settings, database = _open_hub(config)
    serve(create_console(settings, database), settings.bind_address, settings.console_port)


def _open_hub(config: Path | None) -> tuple[Settings, Database]:
    """Load the settings, configure the log and open the database."""
    from imaging_hub import log
    from imaging_hub.database import open_database
    from imaging_hub.settings import load

    settings = load(config)
    log.configure(settings.log_level)
    return settings, open_database(settings)


def _http_threads(settings: Settings, database: Database, server: StorageServer, stop: Event) -> list[Thread]:
    """Return the thread of the gateway's HTTP side, if the settings have one."""
    from imaging_hub.gateway.app import create_app
    from imaging_hub.http.serving import refuse_taken, serve

    if not settings.gateway_port:
        return []
    refuse_taken(settings.bind_address, settings.gateway_port)
    app = create_app(settings, database, server)
    return [Thread(target=serve, args=(app, settings.bind_address, settings.gateway_port, stop), name="http")]
