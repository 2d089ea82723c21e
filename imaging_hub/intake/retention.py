"""How long originals stay: until their instance has been archived for some days and nobody needs them for a review."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.intake.spool import Spool

ACTOR = "intake"


ALWAYS_DAYS = 100_000
_EXPIRED = """
    WITH policy AS (
      SELECT hospital, max(
        CASE coalesce(keep_originals, '')
          WHEN 'never' THEN -1 WHEN 'until-released' THEN 0 WHEN 'always' THEN :always WHEN '' THEN :days
          ELSE CAST(keep_originals AS int)
        END) AS days
      FROM identifying.sender GROUP BY hospital
    )
    SELECT i.id, i.digest, i.deidentified_series_instance_uid, coalesce(p.days, :days) < 0 AS at_once
    FROM identifying.instance i LEFT JOIN policy p ON p.hospital = i.hospital
    WHERE i.state = 'ARCHIVED' AND i.purged_at IS NULL AND (CAST(:study AS bigint) IS NULL OR i.study = :study)
      AND i.settled_at <= now() - make_interval(days => greatest(coalesce(p.days, :days), 0))
    ORDER BY i.settled_at LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class ExpiredOriginal:
    """An original that is no longer needed."""

    id: int
    digest: str
    deidentified_series_instance_uid: str | None
    at_once: bool = False
    """Its sender has originals kept `never`: not even for a review."""


def keeps_none(connection: Connection, hospital: str) -> bool:
    """Whether no sender of a hospital has originals kept once they are archived."""
    found = connection.execute(
        text(
            "SELECT coalesce(bool_and(coalesce(keep_originals, '') = 'never'), false) FROM identifying.sender"
            " WHERE hospital = :hospital"
        ),
        {"hospital": hospital},
    )
    return bool(found.scalar_one())


def expired(connection: Connection, days: int, *, study: int | None = None, limit: int = 1000) -> list[ExpiredOriginal]:
    """Originals whose time after archiving is over, oldest first; of one study revision where it is named.

    `days` is for senders that say nothing; of several senders of a hospital, the one that keeps longest decides. The
    caller takes out those whose de-identified series is still under review, unless they go at once.
    """
    rows = connection.execute(text(_EXPIRED), {"days": days, "study": study, "limit": limit, "always": ALWAYS_DAYS})
    return [ExpiredOriginal(*row) for row in rows]


def opposed(connection: Connection, *, study: int | None = None) -> list[ExpiredOriginal]:
    """Originals that are still here of instances refused because their patient opposes."""
    rows = connection.execute(
        text(
            "SELECT id, digest, deidentified_series_instance_uid, TRUE FROM identifying.instance"
            " WHERE state = 'QUARANTINED' AND reason = 'patient-opposes' AND purged_at IS NULL"
            " AND (CAST(:study AS bigint) IS NULL OR study = :study)"
        ),
        {"study": study},
    )
    return [ExpiredOriginal(*row) for row in rows]


def purge(connection: Connection, spool: Spool, originals: Collection[ExpiredOriginal], *, by: str = ACTOR) -> int:
    """Delete these originals and say so in the journal and the trail; how many there were.

    Files go first: a row that names a missing file raises an alarm, a file without a row would come back as an orphan.
    """
    if not originals:
        return 0
    for original in originals:
        spool.remove(original.digest)
    connection.execute(
        text("UPDATE identifying.instance SET purged_at = now() WHERE id = ANY(:ids) AND purged_at IS NULL"),
        {"ids": [original.id for original in originals]},
    )
    trail.append(connection, by, AuditAction.ORIGINALS_PURGED, "spool", {"instances": len(originals)})
    return len(originals)
