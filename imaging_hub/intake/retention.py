"""How long originals stay: until their instance has been archived for some days and nobody needs them for a review."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.errors import HubError
from imaging_hub.intake.spool import Spool

ACTOR = "intake"


class KeepOriginals(StrEnum):
    """How long a sender's originals stay once their instance is archived, where that is no number of days."""

    NEVER = "never"  # none is written where it can be decided on in memory; any other goes at once, review or not
    UNTIL_RELEASED = "until-released"  # until no series of theirs waits for a verdict
    ALWAYS = "always"


RetentionPolicy: TypeAlias = KeepOriginals | int
"""That, or days after archiving."""

ALWAYS_DAYS = 100_000
_DAYS = re.compile(r"[0-9]{1,5}")
_EXPIRED = """
    WITH policy AS (
      SELECT hospital, max(
        CASE coalesce(keep_originals, '')
          WHEN :kept_never THEN -1 WHEN :kept_until_released THEN 0 WHEN :kept_always THEN :always_days
          WHEN '' THEN :days ELSE CAST(keep_originals AS int)
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
    """Its sender has originals kept `NEVER`: not even for a review."""


def policy(written: str) -> RetentionPolicy:
    """The policy that people write: a word of `KeepOriginals` or days; raises `HubError`."""
    if _DAYS.fullmatch(written):
        return int(written)
    try:
        return KeepOriginals(written)
    except ValueError:
        raise HubError(
            "originals are kept never, until-released, always or some days", code="keep-originals", hint="such as 30"
        ) from None


def keeps_none(connection: Connection, hospital: str) -> bool:
    """Whether no sender of a hospital has originals kept once they are archived."""
    found = connection.execute(
        text(
            "SELECT coalesce(bool_and(coalesce(keep_originals, '') = :kept_never), false) FROM identifying.sender"
            " WHERE hospital = :hospital"
        ),
        {"hospital": hospital, "kept_never": KeepOriginals.NEVER},
    )
    return bool(found.scalar_one())


def expired(connection: Connection, days: int, *, study: int | None = None, limit: int = 1000) -> list[ExpiredOriginal]:
    """Originals whose time after archiving is over, oldest first; of one study revision where it is named.

    `days` is for senders that say nothing; of several senders of a hospital, the one that keeps longest decides. The
    caller takes out those whose de-identified series is still under review, unless they go at once.
    """
    words = {f"kept_{word.name.lower()}": word for word in KeepOriginals}
    values = {"days": days, "always_days": ALWAYS_DAYS, "study": study, "limit": limit, **words}
    rows = connection.execute(text(_EXPIRED), values)
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
