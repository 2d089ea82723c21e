"""How long originals stay: until their instance has been archived for some days and nobody needs them for a review."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import Action
from imaging_hub.intake.spool import Spool

ACTOR = "intake"


@dataclass(frozen=True, slots=True)
class Expired:
    """An original that is no longer needed."""

    id: int
    digest: str
    deidentified_series_instance_uid: str | None


def expired(connection: Connection, days: int, limit: int = 1000) -> list[Expired]:
    """Originals of instances archived more than `days` ago, oldest first.

    The caller takes out those whose de-identified series is still under review.
    """
    rows = connection.execute(
        text(
            "SELECT id, digest, deidentified_series_instance_uid FROM identifying.instance"
            " WHERE state = 'ARCHIVED' AND purged_at IS NULL"
            " AND settled_at < now() - make_interval(days => :days) ORDER BY settled_at LIMIT :limit"
        ),
        {"days": days, "limit": limit},
    )
    return [Expired(*row) for row in rows]


def purge(connection: Connection, spool: Spool, originals: Collection[Expired], *, by: str = ACTOR) -> int:
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
    trail.append(connection, by, Action.ORIGINALS_PURGED, "spool", {"instances": len(originals)})
    return len(originals)
