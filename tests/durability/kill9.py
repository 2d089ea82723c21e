"""SIGKILL at random points under four senders, with a ledger of what was acknowledged.

The short form is a test; `scripts/durability/kill9 N` is the long one. `killed` is whatever process is to
be killed: here the receiver; a hub's workers go the same way.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway_process import GatewayProcess
from originals import spool_of
from raw_scu import Closed, Instance, RawScu, Refused, an_instance, rows

from imaging_hub.database import Database
from imaging_hub.errors import HubError
from imaging_hub.intake.spool import Spool

SENDERS = 4


@dataclass
class Ledger:
    """What the senders were told, instance by instance."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """SOP Instance UID to the SHA-256 of the dataset sent."""
    attempts: int = 0
    cut: int = 0
    """Associations that ended without an answer."""


@dataclass(frozen=True)
class Findings:
    """What the journal and the spool hold afterwards, against the ledger."""

    acknowledged: int
    cut: int
    lost: list[str]
    """Acknowledged and not in the journal, or in the spool with another content."""
    doubled: list[str]
    """With more than one row."""
    without_file: list[int]
    unnamed: list[int]
    """Rows in no named state."""


class Sender(threading.Thread):
    """Sends one instance after another, each until it is acknowledged."""

    def __init__(self, number: int, port: int, ledger: Ledger, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._port = port
        self._ledger = ledger
        self._stop_sending = stop

    def run(self) -> None:
        chance = random.Random(self._number)
        count = 0
        association: RawScu | None = None
        while not self._stop_sending.is_set():
            count += 1
            pixels = chance.choice((600, 20_000, 200_000, 9 << 20 if count % 40 == 0 else 2_000))
            instance = an_instance(count, study=1000 * self._number + count // 20, pixels=pixels)
            while not self._stop_sending.is_set():
                try:
                    association = association or RawScu(self._port, timeout=20)
                    self._ledger.attempts += 1
                    if association.store(instance) == 0:
                        self._remember(instance)
                        break
                except (OSError, Closed, Refused):
                    self._ledger.cut += 1
                    association = None
                    time.sleep(0.05)

    def _remember(self, instance: Instance) -> None:
        self._ledger.acknowledged[instance.sop_instance_uid] = hashlib.sha256(instance.dataset).hexdigest()


def run(
    gateway: GatewayProcess, database: Database, kills: int, seed: int, say: Callable[[str], None] = lambda _line: None
) -> Findings:
    """Kill `gateway` so many times while senders send; start it again each time; then compare."""
    chance = random.Random(seed)
    ledger, stop = Ledger(), threading.Event()
    with gateway:
        gateway.start()
        senders = [Sender(number, gateway.settings.dicom_port, ledger, stop) for number in range(1, SENDERS + 1)]
        for sender in senders:
            sender.start()
        for kill in range(kills):
            before = len(ledger.acknowledged)
            until = time.monotonic() + 20
            while len(ledger.acknowledged) < before + chance.randint(1, 12) and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.02))
            gateway.kill()
            say(f"kill {kill + 1}: {len(ledger.acknowledged)} acknowledged")
            gateway.start()
        stop.set()
        for sender in senders:
            sender.join(30)
        # A last start puts right what the last kill left behind.
        gateway.stop()
        gateway.start()
        gateway.stop()
    return compare(ledger, database, spool_of(gateway.settings, database))


def compare(ledger: Ledger, database: Database, spool: Spool) -> Findings:
    """The ledger against journal and spool."""
    journal = rows(database)
    by_uid: dict[str, list[str]] = {}
    for row in journal:
        by_uid.setdefault(row.sop_instance_uid, []).append(row.digest)
    lost = [uid for uid, content in ledger.acknowledged.items() if not _is_there(spool, by_uid.get(uid, []), content)]
    return Findings(
        acknowledged=len(ledger.acknowledged),
        cut=ledger.cut,
        lost=lost,
        doubled=[uid for uid, digests in by_uid.items() if len(digests) > 1],
        without_file=[row.id for row in journal if not spool.path(row.digest).exists()],
        unnamed=[row.id for row in journal if row.state == "QUARANTINED" and not row.reason],
    )


def _is_there(spool: Spool, digests: list[str], content: str) -> bool:
    for digest in digests:
        if not spool.path(digest).exists():
            continue
        try:
            file = spool.read(digest)
        except HubError:
            continue
        # The dataset follows the file meta information, whose length is in its first element.
        start = 144 + int.from_bytes(file[140:144], "little")
        if hashlib.sha256(file).hexdigest() == digest and hashlib.sha256(file[start:]).hexdigest() == content:
            return True
    return False
