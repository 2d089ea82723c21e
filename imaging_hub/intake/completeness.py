"""Completion of a study: after a quiet period without a new instance (as Orthanc's `StableAge`), or on request.

A later instance opens a new revision of the study; the first revision stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import wake_workers

ACTOR = "intake"
_QUIET_PERIOD = (
    "make_interval(secs => coalesce((SELECT max(coalesce(n.quiet_seconds, :quiet)) FROM identifying.sender n"
    " WHERE n.hospital = identifying.study.hospital), :quiet))"
)
"""A sender may have a quiet period of its own; the longest of a hospital's senders applies."""


class ReceivedStudyState(StrEnum):
    """Where a revision of a study is on its way to the archive."""

    OPEN = "OPEN"  # instances may still come
    COMPLETE = "COMPLETE"  # quiet, or said to be complete; a worker takes it
    PROCESSED = "PROCESSED"  # each of its instances is archived or in quarantine


@dataclass(frozen=True, slots=True)
class StudyRevision:
    """The instances of a study that arrived between two quiet periods."""

    id: int
    hospital: str
    study_instance_uid: str
    profile: str
    revision: int
    complete: bool
    """Complete and not yet processed."""


def get_revision(connection: Connection, study_id: int) -> StudyRevision:
    """Return the study revision with that row number."""
    row = connection.execute(
        text(
            "SELECT id, hospital, study_instance_uid, profile, revision, state = 'COMPLETE' AS complete"
            " FROM identifying.study WHERE id = :study"
        ),
        {"study": study_id},
    ).one()
    return StudyRevision(*row)


def close_quiet_studies(connection: Connection, quiet_seconds: float) -> list[int]:
    """Close the studies that received nothing for `quiet_seconds`, and return their row numbers."""
    return _close(connection, f"last_received_at < clock_timestamp() - {_QUIET_PERIOD}", {"quiet": quiet_seconds})


def seconds_until_quiet(connection: Connection, quiet_seconds: float) -> float | None:
    """Return the seconds until the first open study can be closed; None when no study is open."""
    seconds = connection.execute(
        text(
            f"SELECT extract(epoch FROM min(last_received_at + {_QUIET_PERIOD}) - clock_timestamp())"  # noqa: S608 - constant
            " FROM identifying.study WHERE state = 'OPEN'"
        ),
        {"quiet": quiet_seconds},
    ).scalar_one()
    return None if seconds is None else float(seconds)


def close_study(connection: Connection, study_id: int, *, by: str) -> bool:
    """Close an open study at the request of `by`; return whether it was open."""
    return bool(_close_early(connection, "id = :study", {"study": study_id}, by))


def count_received_instances(connection: Connection, hospital: str, study_instance_uid: str) -> int:
    """Count the instances of a study in the journal, over all its revisions."""
    count = connection.execute(
        text(
            "SELECT count(DISTINCT i.sop_instance_uid) FROM identifying.instance i JOIN identifying.study s"
            " ON s.id = i.study WHERE s.hospital = :hospital AND s.study_instance_uid = :uid"
        ),
        {"hospital": hospital, "uid": study_instance_uid},
    )
    return int(count.scalar_one())


def close_announced_study(connection: Connection, hospital: str, study_instance_uid: str) -> list[int]:
    """Close a study whose every announced instance arrived, without waiting for its quiet period."""
    return _close_early(
        connection,
        "hospital = :hospital AND study_instance_uid = :uid",
        {"hospital": hospital, "uid": study_instance_uid},
    )


def _close_early(connection: Connection, which: str, values: Mapping[str, object], by: str = ACTOR) -> list[int]:
    """As `_close`, and wake the workers, whose next sweep would come later."""
    if closed := _close(connection, which, values, by):
        wake_workers(connection)
    return closed


def _close(connection: Connection, which: str, values: Mapping[str, object], by: str = ACTOR) -> list[int]:
    """Close the open studies that match the SQL condition `which`, and record each in the audit trail."""
    studies = list(
        connection.execute(
            text(
                "UPDATE identifying.study SET state = 'COMPLETE' WHERE state = 'OPEN'"  # noqa: S608 - constant conditions
                f" AND {which} RETURNING id"
            ),
            values,
        ).scalars()
    )
    for study in sorted(studies):
        counts = connection.execute(
            text(
                "SELECT count(*) AS instances, count(*) FILTER (WHERE state = 'QUARANTINED') AS quarantined"
                " FROM identifying.instance WHERE study = :study"
            ),
            {"study": study},
        ).one()
        trail.append(connection, by, AuditAction.STUDY_RECEIVED, f"study:{study}", dict(counts._mapping))
    return sorted(studies)


def list_complete_studies(connection: Connection) -> list[int]:
    """List the row numbers of studies that are complete and not yet processed, oldest first."""
    return list(
        connection.execute(text("SELECT id FROM identifying.study WHERE state = 'COMPLETE' ORDER BY id")).scalars()
    )


def count_unprocessed(connection: Connection) -> int:
    """Count the studies that are open or complete and not processed yet."""
    count = connection.execute(text("SELECT count(*) FROM identifying.study WHERE state <> 'PROCESSED'")).scalar_one()
    return int(count)


def longest_wait(connection: Connection) -> timedelta | None:
    """Return the longest time that a complete study has waited since its last instance; None when none waits."""
    waited: timedelta | None = connection.execute(
        text("SELECT max(clock_timestamp() - last_received_at) FROM identifying.study WHERE state = 'COMPLETE'")
    ).scalar_one()
    return waited


def has_patient_conflict(connection: Connection, study_id: int) -> bool:
    """Whether a study has more than one Patient ID over all its revisions."""
    patients = connection.execute(
        text(
            "SELECT count(DISTINCT coalesce(i.patient_id, '')) FROM identifying.instance i"
            " JOIN identifying.study s ON s.id = i.study JOIN identifying.study this"
            " ON this.hospital = s.hospital AND this.study_instance_uid = s.study_instance_uid"
            " WHERE this.id = :study AND i.reason IS DISTINCT FROM 'sop-instance-conflict'"
        ),
        {"study": study_id},
    ).scalar_one()
    return int(patients) > 1


def lock_complete_study(connection: Connection, study_id: int) -> bool:
    """Lock a complete study until the transaction ends; return False when it is not complete any more."""
    row = connection.execute(
        text("SELECT 1 FROM identifying.study WHERE id = :study AND state = 'COMPLETE' FOR UPDATE"), {"study": study_id}
    )
    return row.first() is not None


def mark_processed(connection: Connection, study_id: int) -> bool:
    """Mark a complete study as processed; return False when one of its instances is not settled yet."""
    updated = connection.execute(
        text(
            "UPDATE identifying.study s SET state = 'PROCESSED' WHERE s.id = :study AND s.state = 'COMPLETE'"
            " AND NOT EXISTS (SELECT 1 FROM identifying.instance i"
            " WHERE i.study = s.id AND i.state IN ('RECEIVED', 'DEIDENTIFIED'))"
        ),
        {"study": study_id},
    )
    return updated.rowcount == 1
