"""`imaging-hub serve`: every part of the hub, each a process with a database role of its own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from imaging_hub.cli import trust
from imaging_hub.database import Database, migrate, open_database
from imaging_hub.keys.keyring import Keyring, create_missing
from imaging_hub.settings import Settings, load, process_environment

app = typer.Typer()

_TRUST = "trust"
_NOT_THE_HUBS = ("trust_database_url", "trust_database_role_password")
_NOT_THE_TRUSTS = ("database_url", "database_role_password", "bind_address")
RESTART_SECONDS = 2.0
"""Pause before a part that ended so soon after its start is started again."""


@dataclass
class HubProcess:
    """One process of the hub."""

    name: str
    process: subprocess.Popen[bytes]
    started: float


class HubProcesses:
    """The running processes of a hub; a part that ends is started again."""

    def __init__(self, settings: Settings, hub: PreparedDatabases) -> None:
        self._environment = {**process_environment(), **hub.joined(settings).as_environment()}
        names = ["gateway", "inline-deidentification", *["worker"] * settings.workers, "web", "console"]
        if hub.vault is not None:
            names.insert(0, _TRUST)  # asked by the others
        self._parts = [self._start(name) for name in names]
        self.stopping = False

    def _start(self, name: str) -> HubProcess:
        command = [sys.executable, "-m", "imaging_hub", name, *(["serve"] if name == _TRUST else [])]
        withheld = {f"IMAGING_HUB_{one.upper()}" for one in (_NOT_THE_TRUSTS if name == _TRUST else _NOT_THE_HUBS)}
        environment = {key: value for key, value in self._environment.items() if key not in withheld}
        return HubProcess(name, subprocess.Popen(command, env=environment), time.monotonic())

    def watch(self) -> None:
        """Start again what has ended, until `stop` was called."""
        while not self.stopping:
            for number, part in enumerate(self._parts):
                too_soon = time.monotonic() < part.started + RESTART_SECONDS
                if part.process.poll() is not None and not too_soon and not self.stopping:
                    typer.echo(f"{part.name} ended with status {part.process.returncode}; starting it again", err=True)
                    self._parts[number] = self._start(part.name)
            time.sleep(0.2)

    def stop(self) -> None:
        """End every part, politely first."""
        self.stopping = True
        for part in self._parts:
            part.process.terminate()
        for part in self._parts:
            try:
                part.process.wait(15)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()


@dataclass
class PreparedDatabases:
    """The databases of a hub that may be started; no `vault` where the third party is elsewhere."""

    database: Database
    vault: Database | None

    def joined(self, settings: Settings) -> Settings:
        """The settings that the parts get: they join the databases that are already running."""
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
    """Folders, keys and schemas: what must be there before any part starts."""
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
def serve(config: Annotated[Path | None, typer.Option(help="TOML settings file.")] = None) -> None:
    """Run the whole hub until it is told to stop."""
    settings = load(config)
    parts = HubProcesses(settings, prepare(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(parts, "stopping", True))
    typer.echo(f"hub {settings.hub_url}  console {settings.console_url}")
    typer.echo(f"DICOM {settings.ae_title}@{settings.bind_address}:{settings.dicom_port}")
    if settings.gateway_port:
        typer.echo(f"STOW-RS http://{settings.bind_address}:{settings.gateway_port}/dicom-web")
    with contextlib.suppress(KeyboardInterrupt):
        parts.watch()
    parts.stop()
