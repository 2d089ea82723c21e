"""Power cuts under a whole hub that keeps no originals: what was acknowledged is archived when the power is back.

The same cut as in `power`, with every process of the hub and its objects on the disk. The short form is a test;
`scripts/durability/power_cut N never` is the long one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import kill9
import power
from free_ports import free_ports
from kill9 import Ledger, Sender
from pydantic import SecretStr
from running_hub import RunningHub, a_hub, a_server
from sqlalchemy import text

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.intake import deidentification_socket

NO_SYNC = (
    "strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null",
    "-e", "trace=syncfs", "-e", "inject=syncfs:retval=0",
)  # fmt: skip
"""Put before the hub, its objects are said to be on the disk, and are not sent there. strace stands aside (`-D`)."""


@dataclass
class Cuts:
    """What all cuts found, together."""

    cuts: int = 0
    acknowledged: int = 0
    compared: int = 0
    waiting: int = 0
    """Of those that the disks held, how many had no original and were not indexed yet."""
    lost: list[str] = field(default_factory=list)
    """Not archived with a whole object when the hub had worked off what it found."""

    @property
    def wrong(self) -> int:
        """How many were not as they should be."""
        return len(self.lost)


def run(
    folder: Path, cuts: int, *, before: Sequence[str] = (), say: Callable[[str], None] = lambda _line: None
) -> Cuts:
    """Cut the power so many times; `before` is put in front of the hub's command line."""
    image, disk = folder / "disk.img", folder / "disk"
    power.format_disk(image)
    found = Cuts()
    with power.mounted(image, disk):
        disk.chmod(0o755)
        with a_server(disk / "postgres") as database, _a_hub_that_keeps_none(disk, database) as hub:
            hub.log, hub.before = folder / "hub.log", before
            hub.start()
            hub.wait(
                lambda: deidentification_socket.is_listening(hub.settings.handover_socket),
                "inline de-identification listens",
            )
            ledger, stop = Ledger(), threading.Event()
            senders = [Sender(number, hub.settings.dicom_port, ledger, stop) for number in range(1, kill9.SENDERS + 1)]
            for sender in senders:
                sender.start()
            for cut in range(cuts):
                known = len(ledger.acknowledged)
                hub.wait(lambda known=known: len(ledger.acknowledged) >= known + 10, "something is acknowledged")
                time.sleep(power.BETWEEN_SECONDS)
                assert hub.process
                copy = folder / f"cut-{cut}.img"
                at_the_cut = power.cut_off(hub.process.pid, disk, image, copy, ledger)
                if cut == cuts - 1:  # what follows is no longer at work
                    stop.set()
                    hub.stop()
                _after(copy, folder / f"cut-{cut}", hub, at_the_cut, found)
                copy.unlink()
                say(f"cut {cut + 1}: {found.acknowledged} acknowledged, {len(found.lost)} lost")
            stop.set()
            for sender in senders:
                sender.join(30)
    return found


def _a_hub_that_keeps_none(folder: Path, database: Database) -> RunningHub:
    hub = a_hub(folder, database, log_level="error")
    with database.begin(DatabaseRole.GATEWAY) as connection:
        connection.execute(text("UPDATE identifying.sender SET keep_originals = 'never'"))
    return hub


def _after(copy: Path, disk: Path, cut: RunningHub, ledger: Ledger, found: Cuts) -> None:
    """The power is back: PostgreSQL recovers, the hub works off what it finds; compare with what was acknowledged."""
    with power.mounted(copy, disk):
        power.forget_locks(disk / "postgres")
        with a_server(disk / "postgres") as database, _moved(cut, disk, database) as hub:
            with database.begin(DatabaseRole.OWNER) as connection:
                waiting = connection.execute(text("SELECT count(*) FROM identifying.outcome")).scalar_one()
            hub.start()
            hub.wait_until_settled()
            archived = _archived(database, ObjectStore(hub.settings.objects))
    found.cuts += 1
    found.acknowledged = len(ledger.acknowledged)
    found.compared += found.acknowledged
    found.waiting += waiting
    found.lost += ledger.acknowledged.keys() - archived


def _moved(cut: RunningHub, disk: Path, database: Database) -> RunningHub:
    """The same hub on another disk, server and ports."""
    vault = Database(database.owner_url.set(database=cut.vault.owner_url.database), None)
    urls = {
        name: SecretStr(one.owner_url.render_as_string(hide_password=False))
        for name, one in (("database_url", database), ("trust_database_url", vault))
    }
    names = ("dicom_port", "gateway_port", "hub_port", "console_port", "trust_port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    settings = cut.settings.model_copy(update={**ports, **urls, "home": disk / cut.settings.home.name})
    return RunningHub(settings, database, disk.with_suffix(".log"), vault)


def _archived(database: Database, objects: ObjectStore) -> set[str]:
    """UIDs, as they were sent, of what is indexed and whole."""
    with database.begin(DatabaseRole.OWNER) as connection:
        rows = connection.execute(
            text(
                "SELECT i.sop_instance_uid AS uid, indexed.digest FROM identifying.instance i JOIN hub.instance indexed"
                " ON indexed.sop_instance_uid = i.deidentified_sop_instance_uid WHERE i.state = 'ARCHIVED'"
            )
        ).all()
    return {row.uid for row in rows if power.is_whole(objects, row.digest)}
