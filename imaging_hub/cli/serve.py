"""`imaging-hub serve`: all processes of the hub, each with its own database role."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import typer

from imaging_hub.cli import trust
from imaging_hub.cli.options import Config
from imaging_hub.database import Database, migrate, open_database
from imaging_hub.keys.keyring import Keyring, create_missing
from imaging_hub.settings import Settings, load, process_environment

app = typer.Typer()

_TRUST = "trust"
_WITHHELD_FROM_HUB = ("trust_database_url", "trust_database_role_password")
_WITHHELD_FROM_TRUST = ("database_url", "database_role_password", "bind_address")
RESTART_SECONDS = 2.0
"""A process that ends within this time after its start is restarted only then."""


@dataclass
class HubProcess:
    """One process of the hub."""

    name: str
    process: subprocess.Popen[bytes]
    started: float


class HubProcesses:
    """Runs the processes of a hub, and restarts one that ends."""

    def __init__(self, settings: Settings, hub: PreparedDatabases) -> None:
        self._environment = {**process_environment(), **hub.settings_for_processes(settings).as_environment()}
        names = ["gateway", "inline-deidentification", *["worker"] * settings.workers, "web", "console"]
        if hub.vault is not None:
            names.insert(0, _TRUST)  # first, since the others call it
        self._processes = [self._start(name) for name in names]
        self.stopping = False

    def _start(self, name: str) -> HubProcess:
        command = [sys.executable, "-m", "imaging_hub", name, *(["serve"] if name == _TRUST else [])]
        withheld = {
            f"IMAGING_HUB_{setting.upper()}"
            for setting in (_WITHHELD_FROM_TRUST if name == _TRUST else _WITHHELD_FROM_HUB)
        }
        environment = {key: value for key, value in self._environment.items() if key not in withheld}
        return HubProcess(name, subprocess.Popen(command, env=environment), time.monotonic())

    def watch(self) -> None:
        """Restart processes that ended, until `stop` is called."""
        while not self.stopping:
            for number, process in enumerate(self._processes):
                too_soon = time.monotonic() < process.started + RESTART_SECONDS
                if process.process.poll() is not None and not too_soon and not self.stopping:
                    typer.echo(
                        f"{process.name} ended with status {process.process.returncode}; starting it again", err=True
                    )
                    self._processes[number] = self._start(process.name)
            time.sleep(0.2)

    def stop(self) -> None:
        """Terminate every process, and kill it after 15 seconds."""
        self.stopping = True
        for process in self._processes:
            process.process.terminate()
        for process in self._processes:
            try:
                process.process.wait(15)
            except subprocess.TimeoutExpired:
                process.process.kill()
                process.process.wait()


@dataclass
class PreparedDatabases:
    """The migrated databases of a hub; `vault` is None when the third party runs elsewhere."""

    database: Database
    vault: Database | None

    def settings_for_processes(self, settings: Settings) -> Settings:
        """Return `settings` with the URLs of the embedded servers, so that no process starts another."""
        given = settings.model_dump(exclude_defaults=True)
        if settings.database_url is None:
            given |= {"database_url": _url(self.database), "database_role_password": "local"}
        if self.vault is not None and settings.trust_database_url is None:
            given |= {"trust_database_url": _url(self.vault), "trust_database_role_password": "local"}
        return load(**given)

    def dispose(self) -> None:
        """Close every pooled connection."""
        for database in filter(None, (self.database, self.vault)):
            database.dispose()


def prepare(settings: Settings) -> PreparedDatabases:
    """Create the folders, keys and schemas that the processes need."""
    settings.home.mkdir(parents=True, exist_ok=True)
    database = open_database(settings)
    vault = trust.prepare(settings, database) if settings.trust_url is None else None
    migrate(database)
    create_missing(settings.keys)
    if vault is not None:
        Keyring.open(settings.trust_keys / "access.json").copy_to(settings.keys)
    return PreparedDatabases(database, vault)


def _url(database: Database) -> str:
    return database.owner_url.render_as_string(hide_password=False)


@app.command()
def serve(config: Config = None) -> None:
    """Run the whole hub until stopped."""
    settings = load(config)
    processes = HubProcesses(settings, prepare(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(processes, "stopping", True))
    typer.echo(f"hub {settings.hub_url}  console {settings.console_url}")
    typer.echo(f"DICOM {settings.ae_title}@{settings.bind_address}:{settings.dicom_port}")
    if settings.gateway_port:
        typer.echo(f"STOW-RS http://{settings.bind_address}:{settings.gateway_port}/dicom-web")
    with contextlib.suppress(KeyboardInterrupt):
        processes.watch()
    processes.stop()
