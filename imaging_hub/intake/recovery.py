"""Recovery after a crash: spool and journal are compared and brought to agree before the receiver starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from imaging_hub.dicom import part10
from imaging_hub.errors import NotFound, StorageUnavailable
from imaging_hub.intake import journal
from imaging_hub.intake.instance_validation import validate_instance
from imaging_hub.intake.journal import Arrival
from imaging_hub.intake.original_preamble import OriginalPreamble
from imaging_hub.intake.spool import Spool
from imaging_hub.log import log

STALE_SECONDS = 3600.0
"""A `.part` file younger than this may belong to another receiver on the same spool."""


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """Number of differences found, by kind."""

    parts: int
    """Unfinished files; removed."""
    orphans: int
    """Files without a row, which were never acknowledged; journalled now."""
    leftovers: int
    """Files whose row says that they were purged; removed."""
    missing: list[int]
    """Numbers of rows without their file; only a backup of the spool can restore them."""


def recover(connection: Connection, spool: Spool, now: float | None = None) -> RecoveryReport:
    """Compare spool and journal, and repair what differs; to be called before the receiver accepts associations.

    Raises `SQLAlchemyError` when the journal does not answer.
    """
    parts = _remove_stale(spool, time.time() if now is None else now)
    orphans = leftovers = 0
    missing: list[int] = []
    prefixes = [f"{number:02x}" for number in range(256)]
    spooled = {next(iter(digests))[:2]: digests for digests in spool.digests() if digests}
    for prefix in prefixes:
        files = spooled.get(prefix, set())
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
    stale = [part for part in spool.unfinished_files() if now - part.stat().st_mtime > STALE_SECONDS]
    for part in stale:
        part.unlink(missing_ok=True)
    return len(stale)


def _journal_orphan(connection: Connection, spool: Spool, digest: str) -> bool:
    """Insert the row of a file that has none; return whether it could be read."""
    try:
        file = spool.read(digest)
    except (NotFound, StorageUnavailable):
        # The file stays: keys that are restored from a backup later may open it.
        log.error("orphan-unreadable")
        return False
    preamble = OriginalPreamble.decode(file)
    if preamble is None:
        log.error("orphan-without-hospital")
        return False
    meta, dataset = part10.split(file)
    validation = validate_instance(dataset, meta.transfer_syntax_uid, meta.sop_class_uid, meta.sop_instance_uid)
    journal.record(
        connection,
        Arrival(
            hospital=preamble.hospital,
            finess=preamble.finess,
            sop_instance_uid=meta.sop_instance_uid,
            sop_class_uid=meta.sop_class_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            study_instance_uid=validation.study_instance_uid,
            series_instance_uid=validation.series_instance_uid,
            patient_id=validation.patient_id,
            modality=validation.modality,
            digest=digest,
            size=len(file),
            reason=validation.reason,
        ),
        _profile(connection, preamble),
    )
    return True


def _profile(connection: Connection, preamble: OriginalPreamble) -> str:
    """The profile of a sender of the hospital."""
    profile = connection.execute(
        text("SELECT profile FROM identifying.sender WHERE hospital = :hospital AND finess = :finess LIMIT 1"),
        {"hospital": preamble.hospital, "finess": preamble.finess},
    ).scalar_one_or_none()
    return str(profile or "unknown")
