"""`imaging-hub serve`: gateway, workers, hub and console, each its own process and database role."""

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

from imaging_hub.database import Database, migrate, open_database
from imaging_hub.pseudonymisation.keyring import create_missing
from imaging_hub.settings import Settings, load, process_environment

app = typer.Typer()

RESTART_SECONDS = 2.0
"""Pause before a part that ended so soon after its start is started again."""


@dataclass
class Part:
    """One process of the hub."""

    name: str
    process: subprocess.Popen[bytes]
    started: float


class Parts:
    """The running processes of a hub; a part that ends is started again."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._environment = {**process_environment(), **_joined(settings, database).as_environment()}
        names = ["gateway", *["worker"] * settings.workers, "web", "console"]
        self._parts = [self._start(name) for name in names]
        self.stopping = False

    def _start(self, name: str) -> Part:
        command = [sys.executable, "-m", "imaging_hub", name]
        return Part(name, subprocess.Popen(command, env=self._environment), time.monotonic())

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


def prepare(settings: Settings) -> Database:
    """Folders, keys and schema: what must be there before any part starts."""
    settings.home.mkdir(parents=True, exist_ok=True)
    database = open_database(settings)
    migrate(database)
    create_missing(settings.keys)
    return database


def _joined(settings: Settings, database: Database) -> Settings:
    """The settings that the parts get: they join the database that is already running."""
    if settings.database_url is not None:
        return settings
    url = database.owner_url.render_as_string(hide_password=False)
    return load(
        **{**settings.model_dump(exclude_defaults=True), "database_url": url, "database_role_password": "local"}
    )


@app.command()
def serve(config: Annotated[Path | None, typer.Option(help="TOML settings file.")] = None) -> None:
    """Run the whole hub until it is told to stop."""
    settings = load(config)
    parts = Parts(settings, prepare(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(parts, "stopping", True))
    typer.echo(f"hub {settings.hub_url}  console {settings.console_url}")
    typer.echo(f"DICOM {settings.ae_title}@{settings.bind_address}:{settings.dicom_port}")
    if settings.gateway_port:
        typer.echo(f"STOW-RS http://{settings.bind_address}:{settings.gateway_port}/dicom-web")
    with contextlib.suppress(KeyboardInterrupt):
        parts.watch()
    parts.stop()
