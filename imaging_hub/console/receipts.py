"""What the console tells of the journal: receipts per study, quarantine by reason, refusals; no patient's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

MOST = 200


@dataclass(frozen=True)
class StudyReceipt:
    """What became of one revision of a study."""

    id: int
    hospital: str
    revision: int
    state: str
    profile: str
    modalities: str
    received: int
    deidentified: int
    quarantined: int
    waiting: int
    reasons: list[str]
    last_received_at: datetime


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


@dataclass(frozen=True)
class SenderSummary:
    """An application entity that may send."""

    calling_ae_title: str
    address: str
    hospital: str
    finess: str
    profile: str


@dataclass(frozen=True)
class RefusalSummary:
    """An association or context that was refused."""

    at: datetime
    address: str
    calling_ae_title: str
    called_ae_title: str
    reason: str
    syntax: str


@dataclass(frozen=True)
class RetrievalSummary:
    """A line of a list that was asked of a PACS, without its value."""

    tried_at: datetime
    hospital: str
    level: str
    outcome: str
    reason: str
    studies: int
    announced: int
    received: int


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
_HELD = """
    SELECT id, hospital, study, modality, sop_class_uid, transfer_syntax_uid, reason, attribute, rule, size,
           received_at, purged_at IS NULL AS kept
    FROM identifying.instance WHERE state = 'QUARANTINED'
"""


def receipts(connection: Connection, before: int | None = None) -> Sequence[StudyReceipt]:
    """Studies received, the latest first."""
    rows = connection.execute(
        text(
            f"{_RECEIPT} WHERE CAST(:before AS bigint) IS NULL OR s.id < :before"
            " GROUP BY s.id ORDER BY s.id DESC LIMIT :most"
        ),
        {"before": before, "most": MOST},
    )
    return [StudyReceipt(*row) for row in rows]


def receipt(connection: Connection, study: int) -> StudyReceipt | None:
    """One study revision's receipt."""
    row = connection.execute(text(f"{_RECEIPT} WHERE s.id = :study GROUP BY s.id"), {"study": study}).one_or_none()
    return StudyReceipt(*row) if row else None


def groups(connection: Connection) -> Sequence[QuarantineGroup]:
    """Quarantine by reason and hospital, the most first."""
    rows = connection.execute(
        text(
            "SELECT reason, hospital, count(*), max(received_at) FROM identifying.instance"
            " WHERE state = 'QUARANTINED' GROUP BY reason, hospital ORDER BY 3 DESC, 1, 2"
        )
    )
    return [QuarantineGroup(*row) for row in rows]


def held(
    connection: Connection, *, reason: str | None = None, study: int | None = None, before: int | None = None
) -> Sequence[QuarantinedInstance]:
    """Instances in quarantine, the latest first."""
    rows = connection.execute(
        text(
            f"{_HELD} AND (CAST(:reason AS text) IS NULL OR reason = :reason)"
            " AND (CAST(:study AS bigint) IS NULL OR study = :study)"
            " AND (CAST(:before AS bigint) IS NULL OR id < :before) ORDER BY id DESC LIMIT :most"
        ),
        {"reason": reason, "study": study, "before": before, "most": MOST},
    )
    return [QuarantinedInstance(*row) for row in rows]


def held_instance(connection: Connection, instance: int) -> tuple[QuarantinedInstance, str] | None:
    """One instance in quarantine with its digest in the spool."""
    row = connection.execute(text(f"{_HELD} AND id = :id"), {"id": instance}).one_or_none()
    if row is None:
        return None
    digest = connection.execute(
        text("SELECT digest FROM identifying.instance WHERE id = :id"), {"id": instance}
    ).scalar_one()
    return QuarantinedInstance(*row), digest


def senders(connection: Connection) -> Sequence[SenderSummary]:
    """Who may send."""
    rows = connection.execute(
        text(
            "SELECT calling_ae_title, abbrev(address), hospital, finess, profile FROM identifying.sender"
            " ORDER BY hospital, calling_ae_title, address"
        )
    )
    return [SenderSummary(*row) for row in rows]


def refusals(connection: Connection) -> Sequence[RefusalSummary]:
    """What was refused at the door lately."""
    rows = connection.execute(
        text(
            "SELECT at, abbrev(address), calling_ae_title, called_ae_title, reason, syntax"
            " FROM identifying.rejection ORDER BY id DESC LIMIT :most"
        ),
        {"most": MOST},
    )
    return [RefusalSummary(*row) for row in rows]


def retrievals(connection: Connection) -> Sequence[RetrievalSummary]:
    """What was asked of PACS lately."""
    rows = connection.execute(
        text(
            "SELECT tried_at, hospital, level, outcome, reason, studies, announced, received"
            " FROM identifying.retrieval ORDER BY tried_at DESC LIMIT :most"
        ),
        {"most": MOST},
    )
    return [RetrievalSummary(*row) for row in rows]


def diagnosis(connection: Connection) -> tuple[datetime | None, Sequence[Mapping[str, Any]]]:
    """When a worker last looked at the hub, and what it found wrong."""
    row = connection.execute(text("SELECT at, ailments FROM identifying.diagnosis")).one_or_none()
    return (row.at, row.ailments) if row else (None, [])
