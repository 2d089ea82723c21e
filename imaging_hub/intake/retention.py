"""Retention of originals: how long they stay after archiving, and their removal."""

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
    """How long a sender's originals are kept after archiving, other than a number of days."""

    NEVER = "never"  # not written when de-identified inline; otherwise deleted at once, even while a review waits
    UNTIL_RELEASED = "until-released"  # until none of their series waits for a review
    ALWAYS = "always"


RetentionPolicy: TypeAlias = KeepOriginals | int
"""`KeepOriginals`, or a number of days after archiving."""

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
class PurgeableOriginal:
    """An original that may be deleted."""

    id: int
    digest: str
    deidentified_series_instance_uid: str | None
    at_once: bool = False
    """Whether it may be deleted while its series waits for a review: its sender has `KeepOriginals.NEVER`."""


def parse_policy(written: str) -> RetentionPolicy:
    """Parse `never`, `until-released`, `always` or a number of days; raises `HubError` `keep-originals`."""
    if _DAYS.fullmatch(written):
        return int(written)
    try:
        return KeepOriginals(written)
    except ValueError:
        raise HubError(
            "originals are kept never, until-released, always or some days", code="keep-originals", hint="such as 30"
        ) from None


def keeps_no_originals(connection: Connection, hospital: str) -> bool:
    """Whether every sender of a hospital has `KeepOriginals.NEVER`; False when it has no sender."""
    result = connection.execute(
        text(
            "SELECT coalesce(bool_and(coalesce(keep_originals, '') = :kept_never), false) FROM identifying.sender"
            " WHERE hospital = :hospital"
        ),
        {"hospital": hospital, "kept_never": KeepOriginals.NEVER},
    )
    return bool(result.scalar_one())


def list_expired(
    connection: Connection, days: int, *, study: int | None = None, limit: int = 1000
) -> list[PurgeableOriginal]:
    """List originals whose retention is over, oldest first; of one study revision when `study` is given.

    `days` applies to senders without a period of their own; of a hospital's senders, the longest period applies. The
    caller leaves out those whose de-identified series waits for review, except when `at_once`.
    """
    words = {f"kept_{word.name.lower()}": word for word in KeepOriginals}
    values = {"days": days, "always_days": ALWAYS_DAYS, "study": study, "limit": limit, **words}
    rows = connection.execute(text(_EXPIRED), values)
    return [PurgeableOriginal(*row) for row in rows]


def list_opposed(connection: Connection, *, study: int | None = None) -> list[PurgeableOriginal]:
    """List the originals of instances quarantined because their patient opposes."""
    rows = connection.execute(
        text(
            "SELECT id, digest, deidentified_series_instance_uid, TRUE FROM identifying.instance"
            " WHERE state = 'QUARANTINED' AND reason = 'patient-opposes' AND purged_at IS NULL"
            " AND (CAST(:study AS bigint) IS NULL OR study = :study)"
        ),
        {"study": study},
    )
    return [PurgeableOriginal(*row) for row in rows]


def purge(connection: Connection, spool: Spool, originals: Collection[PurgeableOriginal], *, by: str = ACTOR) -> int:
    """Delete these originals and record it in journal and trail; return their number.

    Files go first: a crash in between leaves rows without files, which raise an alarm, and never a file whose row says
    that it is gone.
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
