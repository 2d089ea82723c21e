"""T1 for the whole hub: whichever process is killed, what was acknowledged arrives, once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from kill9 import SENDERS, Ledger, Sender, compare
from originals import spool_of
from raw_scu import let_in, rows
from running_hub import RunningHub, a_hub
from share import Share
from sqlalchemy import text

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.audit import trail
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.intake import deidentification_socket


def test_nothing_acknowledged_is_lost_when_gateway_workers_and_third_party_are_killed(
    database: Database, tmp_path: Path, share: Share
) -> None:
    let_in(database)
    kills = share.times(6, 25)
    with a_hub(tmp_path, database, log_level="info") as hub:
        hub.start()
        ledger = _send_and_kill(hub, random.Random(share.number), ("gateway", "worker", "trust"), kills)
        hub.wait_until_settled()
        found = compare(ledger, database, spool_of(hub.settings, database))
        assert found.acknowledged >= kills
        assert (found.lost, found.doubled, found.without_file, found.unnamed) == ([], [], [], [])
        _archive_agrees(hub)
        assert "uncaught" not in hub.log.read_text("utf-8"), "what was not killed did not fall over"


def test_nothing_is_lost_when_inline_deidentification_is_killed_too_and_no_original_is_kept(
    database: Database, tmp_path: Path, share: Share
) -> None:
    parts = ("inline-deidentification", "inline-deidentification", "gateway", "worker")
    with a_hub(tmp_path, database, log_level="info") as hub:
        with database.begin(DatabaseRole.GATEWAY) as connection:
            connection.execute(text("UPDATE identifying.sender SET keep_originals = 'never'"))
        hub.start()
        hub.wait(
            lambda: deidentification_socket.is_listening(hub.settings.handover_socket),
            "inline de-identification listens",
        )
        ledger = _send_and_kill(hub, random.Random(share.number), parts, share.times(4, 12))
        hub.wait_until_settled()
        found = rows(database)
        assert set(ledger.acknowledged) <= {row.sop_instance_uid for row in found}
        assert max(Counter(row.sop_instance_uid for row in found).values()) == 1
        assert {row.state for row in found} == {"ARCHIVED"}
        _archive_agrees(hub)
        hub.wait(lambda: hub.count("purged_at IS NULL") == 0, "what had taken the spool is purged")
        assert "uncaught" not in hub.log.read_text("utf-8"), "what was not killed did not fall over"


def _send_and_kill(hub: RunningHub, chance: random.Random, parts: Sequence[str], kills: int) -> Ledger:
    """Kill a process of each part in turn, in an order left to chance."""
    ledger, stop = Ledger(), threading.Event()
    senders = [Sender(number, hub.settings.dicom_port, ledger, stop) for number in range(1, SENDERS + 1)]
    for sender in senders:
        sender.start()
    turns = cycle(chance.sample(parts, len(parts)))
    for part in islice(turns, kills):
        before = len(ledger.acknowledged)
        hub.wait(lambda before=before: len(ledger.acknowledged) > before, "something is acknowledged")
        time.sleep(chance.uniform(0, 2))
        hub.wait(lambda part=part: bool(hub.parts(part)), f"{part} runs")
        os.kill(chance.choice(hub.parts(part)), signal.SIGKILL)
    stop.set()
    for sender in senders:
        sender.join(30)
    return ledger


def _archive_agrees(hub: RunningHub) -> None:
    """Every archived row has its index row and its object, neither has another, and the trail holds."""
    objects = ObjectStore(hub.settings.objects)
    with hub.database.begin(DatabaseRole.OWNER) as connection:
        archived = connection.execute(
            text(
                "SELECT deidentified_sop_instance_uid AS uid, deidentified_digest AS digest"
                " FROM identifying.instance WHERE state = 'ARCHIVED'"
            )
        ).all()
        indexed = connection.execute(text("SELECT sop_instance_uid AS uid, digest FROM hub.instance")).all()
        assert isinstance(trail.verify(connection), int)
    assert archived, hub.states()
    assert sorted(tuple(row) for row in archived) == sorted(tuple(row) for row in indexed)
    for row in archived:
        objects.get(row.digest)
