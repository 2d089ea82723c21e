"""Quarantined instances with their reasons, and what people do with them: process again, or purge the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import wake_workers
from imaging_hub.intake import retention
from imaging_hub.intake.journal import CONFLICT
from imaging_hub.intake.retention import KeepOriginals, PurgeableOriginal
from imaging_hub.intake.spool import Spool


@dataclass(frozen=True)
class QuarantineGroup:
    """Instances in quarantine for one reason."""

    reason: str
    hospital: str
    instances: int
    latest_at: datetime


@dataclass(frozen=True)
class QuarantinedInstance:
    """One instance in quarantine, by its row number."""

    id: int
    hospital: str
    study: int | None
    modality: str | None
    sop_class_uid: str
    transfer_syntax_uid: str
    reason: str
    attribute: str | None
    rule: str | None
    size: int
    received_at: datetime
    kept: bool
    digest: str
    """Of its original in the spool, which may have been purged."""


@dataclass(frozen=True)
class QuarantineFilter:
    """Selection of quarantined instances; None selects all."""

    reason: str | None = None
    study: int | None = None
    before: int | None = None
    """Only row numbers below this one."""


_SELECT = """
    SELECT id, hospital, study, modality, sop_class_uid, transfer_syntax_uid, reason, attribute, rule, size,
           received_at, purged_at IS NULL AS kept, digest
    FROM identifying.instance WHERE state = 'QUARANTINED'
"""


def count_by_reason(connection: Connection) -> Sequence[QuarantineGroup]:
    """Count quarantined instances by reason and hospital, largest count first."""
    rows = connection.execute(
        text(
            "SELECT reason, hospital, count(*), max(received_at) FROM identifying.instance"
            " WHERE state = 'QUARANTINED' GROUP BY reason, hospital ORDER BY 3 DESC, 1, 2"
        )
    )
    return [QuarantineGroup(*row) for row in rows]


def list_instances(connection: Connection, wanted: QuarantineFilter, *, limit: int) -> Sequence[QuarantinedInstance]:
    """List quarantined instances, the latest first."""
    rows = connection.execute(
        text(
            f"{_SELECT} AND (CAST(:reason AS text) IS NULL OR reason = :reason)"
            " AND (CAST(:study AS bigint) IS NULL OR study = :study)"
            " AND (CAST(:before AS bigint) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit"
        ),
        {**asdict(wanted), "limit": limit},
    )
    return [QuarantinedInstance(*row) for row in rows]


def find_instance(connection: Connection, instance_id: int) -> QuarantinedInstance | None:
    """Return one quarantined instance, or None."""
    row = connection.execute(text(f"{_SELECT} AND id = :id"), {"id": instance_id}).one_or_none()
    return QuarantinedInstance(*row) if row else None


def replay(connection: Connection, list_instances: Sequence[int], *, by: str) -> int:
    """Have quarantined instances processed again under their senders' present profile; return how many will be.

    Instances that are unreadable, in conflict or purged stay in quarantine.
    """
    studies = (
        connection.execute(
            text(
                "UPDATE identifying.instance SET state = 'RECEIVED', reason = NULL, attribute = NULL, rule = NULL,"
                " settled_at = NULL WHERE id = ANY(:ids) AND state = 'QUARANTINED' AND study IS NOT NULL"
                " AND purged_at IS NULL AND reason <> :conflict RETURNING study"
            ),
            {"ids": list(list_instances), "conflict": CONFLICT},
        )
        .scalars()
        .all()
    )
    if not studies:
        return 0
    connection.execute(
        text(
            "UPDATE identifying.study s SET profile = coalesce((SELECT n.profile FROM identifying.sender n"
            " WHERE n.hospital = s.hospital ORDER BY n.profile <> s.profile, n.profile LIMIT 1), s.profile),"
            " state = CASE s.state WHEN 'PROCESSED' THEN 'COMPLETE' ELSE s.state END WHERE s.id = ANY(:studies)"
        ),
        {"studies": sorted(set(studies))},
    )
    trail.append(connection, by, AuditAction.QUARANTINE_REPLAYED, "quarantine", {"instances": len(studies)})
    wake_workers(connection)
    return len(studies)


def list_row_numbers(connection: Connection, reason: str) -> list[int]:
    """List the row numbers of the instances quarantined for a reason."""
    rows = connection.execute(
        text("SELECT id FROM identifying.instance WHERE state = 'QUARANTINED' AND reason = :reason"),
        {"reason": reason},
    )
    return list(rows.scalars())


def purge(connection: Connection, spool: Spool, instance: int, *, by: str) -> bool:
    """Delete the original of a quarantined instance and keep its row; return whether it was deleted.

    It is not deleted for a hospital whose originals are kept always, since they may be under Storage Commitment.
    """
    digest = connection.execute(
        text(
            "SELECT digest FROM identifying.instance i WHERE id = :id AND state = 'QUARANTINED' AND purged_at IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM identifying.sender n"
            " WHERE n.hospital = i.hospital AND n.keep_originals = :kept_always) FOR UPDATE OF i"
        ),
        {"id": instance, "kept_always": KeepOriginals.ALWAYS},
    ).scalar_one_or_none()
    if digest is None:
        return False
    retention.purge(connection, spool, [PurgeableOriginal(instance, digest, None)], by=by)
    return True
