"""What a sudden end leaves behind, put right at the next start."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from imaging_hub.dicom import part10
from imaging_hub.errors import NotFound, StorageUnavailable
from imaging_hub.intake import journal
from imaging_hub.intake.examination import examine
from imaging_hub.intake.journal import Arrival
from imaging_hub.intake.origin import OriginalOrigin
from imaging_hub.intake.spool import Spool
from imaging_hub.log import log

STALE_SECONDS = 3600.0
"""A part younger than this may belong to another receiver on the same spool."""


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What was found."""

    parts: int
    """Files begun and never kept: removed."""
    orphans: int
    """Files without a row, whose answer was never sent: journalled now."""
    leftovers: int
    """Files whose row says they were purged: removed."""
    missing: list[int]
    """Rows without their file: nothing can put that right, somebody must know."""


def recover(connection: Connection, spool: Spool, now: float | None = None) -> RecoveryReport:
    """Compare spool and journal. Runs before the receiver accepts anybody."""
    parts = _remove_stale(spool, time.time() if now is None else now)
    orphans = leftovers = 0
    missing: list[int] = []
    prefixes = [f"{number:02x}" for number in range(256)]
    there = {next(iter(digests))[:2]: digests for digests in spool.digests() if digests}
    for prefix in prefixes:
        files = there.get(prefix, set())
        rows = connection.execute(
            text(
                "SELECT id, digest, purged_at IS NULL AS kept FROM identifying.instance"
                " WHERE digest >= :first AND digest < :last"
            ),
            {"first": prefix, "last": prefix + "g"},
        ).all()
        known = {row.digest for row in rows}
        kept = {row.digest for row in rows if row.kept}
        missing += [row.id for row in rows if row.kept and row.digest not in files]
        for digest in files - known:
            orphans += _journal_orphan(connection, spool, digest)
        for digest in (files & known) - kept:
            spool.remove(digest)
            leftovers += 1
    recovered = RecoveryReport(parts, orphans, leftovers, sorted(missing))
    log.info("recovered", count=orphans, purged=leftovers + parts)
    for row in recovered.missing:
        log.error("row-without-file", row=row)
    return recovered


def _remove_stale(spool: Spool, now: float) -> int:
    stale = [part for part in spool.parts() if now - part.stat().st_mtime > STALE_SECONDS]
    for part in stale:
        part.unlink(missing_ok=True)
    return len(stale)


def _journal_orphan(connection: Connection, spool: Spool, digest: str) -> bool:
    """Give a file without a row the row it would have had."""
    try:
        file = spool.read(digest)
    except (NotFound, StorageUnavailable):
        # It stays: a database or keys that are restored from a backup later may open it.
        log.error("orphan-unreadable")
        return False
    origin = OriginalOrigin.of(file)
    if origin is None:
        log.error("orphan-of-nobody")
        return False
    meta, dataset = part10.split(file)
    found = examine(dataset, meta.transfer_syntax_uid, meta.sop_class_uid, meta.sop_instance_uid)
    journal.record(
        connection,
        Arrival(
            hospital=origin.hospital,
            finess=origin.finess,
            sop_instance_uid=meta.sop_instance_uid,
            sop_class_uid=meta.sop_class_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            study_instance_uid=found.study_instance_uid,
            series_instance_uid=found.series_instance_uid,
            patient_id=found.patient_id,
            modality=found.modality,
            digest=digest,
            size=len(file),
            reason=found.reason,
        ),
        _profile(connection, origin),
    )
    return True


def _profile(connection: Connection, origin: OriginalOrigin) -> str:
    """The profile of the hospital's senders."""
    profile = connection.execute(
        text("SELECT profile FROM identifying.sender WHERE hospital = :hospital AND finess = :finess LIMIT 1"),
        {"hospital": origin.hospital, "finess": origin.finess},
    ).scalar_one_or_none()
    return str(profile or "unknown")
