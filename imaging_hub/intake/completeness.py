"""When a study has arrived: the first quiet period after its last instance (as Orthanc's `StableAge`).

A later instance opens a new revision of the study, so that what was done with the first one stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import wake_workers

ACTOR = "intake"
_PATIENCE = (
    "make_interval(secs => coalesce((SELECT max(coalesce(n.quiet_seconds, :quiet)) FROM identifying.sender n"
    " WHERE n.hospital = identifying.study.hospital), :quiet))"
)
"""A sender may have a quiet period of its own; of several senders of a hospital, the most patient one decides."""


@dataclass(frozen=True, slots=True)
class StudyRevision:
    """What came of a study between two quiet periods."""

    id: int
    hospital: str
    study_instance_uid: str
    profile: str
    revision: int
    complete: bool
    """Complete and not yet processed."""


def revision(connection: Connection, study_id: int) -> StudyRevision:
    """The study revision of that row number."""
    row = connection.execute(
        text(
            "SELECT id, hospital, study_instance_uid, profile, revision, state = 'COMPLETE' AS complete"
            " FROM identifying.study WHERE id = :study"
        ),
        {"study": study_id},
    ).one()
    return StudyRevision(*row)


def complete_studies(connection: Connection, quiet_seconds: float) -> list[int]:
    """Close the studies of which nothing came for `quiet_seconds`; their row numbers."""
    return _closed(connection, f"last_received_at < clock_timestamp() - {_PATIENCE}", {"quiet": quiet_seconds})


def next_quiet(connection: Connection, quiet_seconds: float) -> float | None:
    """Seconds until the first open study will have gone quiet, if nothing more comes; None when none is open."""
    found = connection.execute(
        text(
            f"SELECT extract(epoch FROM min(last_received_at + {_PATIENCE}) - clock_timestamp())"  # noqa: S608 - constant
            " FROM identifying.study WHERE state = 'OPEN'"
        ),
        {"quiet": quiet_seconds},
    ).scalar_one()
    return None if found is None else float(found)


def forced(connection: Connection, study_id: int, *, by: str) -> bool:
    """Close an open study because somebody says that it is complete; whether it was open."""
    return bool(_closed_early(connection, "id = :study", {"study": study_id}, by))


def received(connection: Connection, hospital: str, study_instance_uid: str) -> int:
    """How many instances of a study are in the journal, over all its revisions."""
    found = connection.execute(
        text(
            "SELECT count(DISTINCT i.sop_instance_uid) FROM identifying.instance i JOIN identifying.study s"
            " ON s.id = i.study WHERE s.hospital = :hospital AND s.study_instance_uid = :uid"
        ),
        {"hospital": hospital, "uid": study_instance_uid},
    )
    return int(found.scalar_one())


def announced(connection: Connection, hospital: str, study_instance_uid: str) -> list[int]:
    """Close a study of which everything that was announced has come, without its quiet period."""
    return _closed_early(
        connection,
        "hospital = :hospital AND study_instance_uid = :uid",
        {"hospital": hospital, "uid": study_instance_uid},
    )


def _closed_early(connection: Connection, which: str, values: Mapping[str, object], by: str = ACTOR) -> list[int]:
    """As `_closed`, for studies that no sweep of a worker expects yet."""
    if closed := _closed(connection, which, values, by):
        wake_workers(connection)
    return closed


def _closed(connection: Connection, which: str, values: Mapping[str, object], by: str = ACTOR) -> list[int]:
    """Close the open studies for which `which` holds, and put on the trail what came of each."""
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
        counted = connection.execute(
            text(
                "SELECT count(*) AS instances, count(*) FILTER (WHERE state = 'QUARANTINED') AS quarantined"
                " FROM identifying.instance WHERE study = :study"
            ),
            {"study": study},
        ).one()
        trail.append(connection, by, AuditAction.STUDY_RECEIVED, f"study:{study}", dict(counted._mapping))
    return sorted(studies)


def awaiting(connection: Connection) -> list[int]:
    """Studies that are complete and not yet processed, oldest first."""
    return list(
        connection.execute(text("SELECT id FROM identifying.study WHERE state = 'COMPLETE' ORDER BY id")).scalars()
    )


def unprocessed(connection: Connection) -> int:
    """How many studies are not processed yet, complete or still open."""
    count = connection.execute(text("SELECT count(*) FROM identifying.study WHERE state <> 'PROCESSED'")).scalar_one()
    return int(count)


def longest_wait(connection: Connection) -> timedelta | None:
    """How long ago the last instance came of the complete study that waits longest; None when none waits."""
    waited: timedelta | None = connection.execute(
        text("SELECT max(clock_timestamp() - last_received_at) FROM identifying.study WHERE state = 'COMPLETE'")
    ).scalar_one()
    return waited


def patient_conflict(connection: Connection, study_id: int) -> bool:
    """Whether a study, over all its revisions, names more than one patient: such a study is never guessed at."""
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


def still_waits(connection: Connection, study_id: int) -> bool:
    """Whether a study waits to be settled; if so, it is the caller's until the transaction ends."""
    found = connection.execute(
        text("SELECT 1 FROM identifying.study WHERE id = :study AND state = 'COMPLETE' FOR UPDATE"), {"study": study_id}
    )
    return found.first() is not None


def processed(connection: Connection, study_id: int) -> bool:
    """Mark a complete study as done with, unless one of its instances still waits; whether it is."""
    done = connection.execute(
        text(
            "UPDATE identifying.study s SET state = 'PROCESSED' WHERE s.id = :study AND s.state = 'COMPLETE'"
            " AND NOT EXISTS (SELECT 1 FROM identifying.instance i"
            " WHERE i.study = s.id AND i.state IN ('RECEIVED', 'DEIDENTIFIED'))"
        ),
        {"study": study_id},
    )
    return done.rowcount == 1
