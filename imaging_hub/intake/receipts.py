"""Receipts of studies for their hospital: counts, states and reasons, without a patient's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from imaging_hub.intake.completeness import ReceivedStudyState
from imaging_hub.intake.journal import InstanceState


@dataclass(frozen=True)
class StudyReceipt:
    """Counts of the instances of one study revision, by outcome."""

    id: int
    hospital: str
    revision: int
    state: ReceivedStudyState
    profile: str
    modalities: str
    received: int
    deidentified: int
    quarantined: int
    waiting: int
    reasons: list[str]
    last_received_at: datetime


@dataclass(frozen=True)
class ReceiptInstance:
    """One instance in a receipt, with the UIDs that the hospital knows."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str | None
    transfer_syntax_uid: str
    sha256: str
    """Of the file in the spool."""
    size: int
    state: InstanceState
    reason: str | None
    received_at: datetime


_RECEIPT = """
    SELECT s.id, s.hospital, s.revision, s.state, s.profile,
           coalesce(string_agg(DISTINCT i.modality, ', '), '') AS modalities, count(i.id) AS received,
           count(i.id) FILTER (WHERE i.state = 'ARCHIVED') AS deidentified,
           count(i.id) FILTER (WHERE i.state = 'QUARANTINED') AS quarantined,
           count(i.id) FILTER (WHERE i.state IN ('RECEIVED', 'DEIDENTIFIED')) AS waiting,
           coalesce(array_agg(DISTINCT i.reason) FILTER (WHERE i.reason IS NOT NULL), '{}') AS reasons,
           s.last_received_at
    FROM identifying.study s LEFT JOIN identifying.instance i ON i.study = s.id
"""


def list_receipts(connection: Connection, before: int | None = None, *, limit: int) -> Sequence[StudyReceipt]:
    """List receipts, the latest first; with `before`, those of lower row numbers."""
    rows = connection.execute(
        text(
            f"{_RECEIPT} WHERE CAST(:before AS bigint) IS NULL OR s.id < :before"
            " GROUP BY s.id ORDER BY s.id DESC LIMIT :limit"
        ),
        {"before": before, "limit": limit},
    )
    return [_receipt(row) for row in rows]


def find_receipt(connection: Connection, study_id: int) -> StudyReceipt | None:
    """Return the receipt of one study revision, or None."""
    row = connection.execute(text(f"{_RECEIPT} WHERE s.id = :study GROUP BY s.id"), {"study": study_id}).one_or_none()
    return _receipt(row) if row else None


def _receipt(row: Row[Any]) -> StudyReceipt:
    return StudyReceipt(**{**row._mapping, "state": ReceivedStudyState(row.state)})


def find_newest_receipt(connection: Connection, hospital: str, since: datetime | None = None) -> StudyReceipt | None:
    """Return the receipt of a hospital's newest study; with `since`, of those that received an instance after it."""
    study = connection.execute(
        text(
            "SELECT max(id) FROM identifying.study WHERE hospital = :hospital"
            " AND (CAST(:since AS timestamptz) IS NULL OR last_received_at > :since)"
        ),
        {"hospital": hospital, "since": since},
    ).scalar_one()
    return find_receipt(connection, study) if study else None


def list_instances(connection: Connection, study_id: int) -> Sequence[ReceiptInstance]:
    """List the instances of one study revision, in order of arrival."""
    rows = connection.execute(
        text(
            "SELECT sop_instance_uid, sop_class_uid, series_instance_uid, transfer_syntax_uid, digest AS sha256,"
            " size, state, reason, received_at FROM identifying.instance WHERE study = :study ORDER BY id"
        ),
        {"study": study_id},
    )
    return [ReceiptInstance(**{**row._mapping, "state": InstanceState(row.state)}) for row in rows]


def first_original_digest(connection: Connection, study_id: int) -> str | None:
    """Return the digest of the first original of a study revision that is still kept, or None."""
    digest: str | None = connection.execute(
        text("SELECT digest FROM identifying.instance WHERE study = :study AND purged_at IS NULL ORDER BY id LIMIT 1"),
        {"study": study_id},
    ).scalar_one_or_none()
    return digest
