"""Actions on quarantined instances: process them again after a rule changed, or purge their originals."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import wake_workers
from imaging_hub.intake import retention
from imaging_hub.intake.journal import CONFLICT
from imaging_hub.intake.retention import PurgeableOriginal
from imaging_hub.intake.spool import Spool


def replay(connection: Connection, instances: Sequence[int], *, by: str) -> int:
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
            {"ids": list(instances), "conflict": CONFLICT},
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


def list_quarantined(connection: Connection, reason: str) -> list[int]:
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
            " WHERE n.hospital = i.hospital AND n.keep_originals = 'always') FOR UPDATE OF i"
        ),
        {"id": instance},
    ).scalar_one_or_none()
    if digest is None:
        return False
    retention.purge(connection, spool, [PurgeableOriginal(instance, digest, None)], by=by)
    return True
