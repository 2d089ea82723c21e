"""Verdicts on series: what waits, and what a radiologist decided about exactly this content.

A verdict holds for the `content_digest` it was given on. When a late instance or a new profile changes
the series, the digest changes with it, and the series waits again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from sqlalchemy import Connection, text

from imaging_hub.archive.index import ReviewState, lock_study, refresh_study_state
from imaging_hub.audit import trail
from imaging_hub.database import wake_workers

GivenVerdict: TypeAlias = Literal[ReviewState.APPROVED, ReviewState.REJECTED]


class RejectionReason(StrEnum):
    """Why a series is rejected. Codes only: a free text could hold the very name that was left."""

    BURNED_IN_TEXT = "burned-in-text"
    RECOGNISABLE_FACE = "recognisable-face"
    IDENTIFIER_IN_ATTRIBUTE = "identifier-in-attribute"
    PRIVATE_ATTRIBUTE = "private-attribute"
    PATIENTS_MIXED = "patients-mixed"
    IMAGE_DAMAGED = "image-damaged"
    TOO_MUCH_REMOVED = "too-much-removed"


REASONS: dict[RejectionReason, str] = {
    RejectionReason.BURNED_IN_TEXT: "Identifying text in the image",
    RejectionReason.RECOGNISABLE_FACE: "Recognisable face",
    RejectionReason.IDENTIFIER_IN_ATTRIBUTE: "Identifier left in an attribute",
    RejectionReason.PRIVATE_ATTRIBUTE: "Private attribute that should not be kept",
    RejectionReason.PATIENTS_MIXED: "Images of different patients",
    RejectionReason.IMAGE_DAMAGED: "Image damaged or not as before",
    RejectionReason.TOO_MUCH_REMOVED: "Too much removed, useless for research",
}


class VerdictBasis(StrEnum):
    """What the radiologist had before them; originals are purged in time, so AFTER alone must do then."""

    BOTH = "before-and-after"
    AFTER_ONLY = "after-only"


@dataclass(frozen=True)
class WaitingSeries:
    """A series in the queue."""

    series_instance_uid: str
    modality: str
    description: str | None
    body_part: str | None
    instances: int
    profile: str
    waiting_since: datetime


@dataclass(frozen=True)
class Verdict:
    """A decision made earlier."""

    verdict: GivenVerdict
    reason: RejectionReason | None
    reviewer: str
    decided_at: datetime
    current: bool
    """Given on the content the series has now."""


@dataclass(frozen=True)
class VerdictRecorded:
    """The verdict stands."""


@dataclass(frozen=True)
class SeriesChanged:
    """The series has changed since the page was made: look again."""


@dataclass(frozen=True)
class SeriesUnknown:
    """There is no such series."""


VerdictOutcome = VerdictRecorded | SeriesChanged | SeriesUnknown

# What most often shows an identity comes first: pictures of screens and paper, ultrasound, then the rest by age.
_RISK = "CASE modality WHEN 'SC' THEN 0 WHEN 'OT' THEN 0 WHEN 'US' THEN 1 WHEN 'XA' THEN 2 WHEN 'CR' THEN 3 ELSE 4 END"
_QUEUE = f"ORDER BY {_RISK}, study.updated_at, series.series_instance_uid"


def queue(connection: Connection, *, limit: int = 100) -> Sequence[WaitingSeries]:
    """Series waiting for a verdict, the riskiest first."""
    rows = connection.execute(
        text(
            "SELECT series.series_instance_uid, modality, series.description, body_part, instances, profile,"  # noqa: S608
            " study.updated_at FROM hub.series JOIN hub.study USING (study_instance_uid)"
            f" WHERE review_state = 'PENDING' {_QUEUE} LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [WaitingSeries(*row) for row in rows]


def counts(connection: Connection) -> dict[ReviewState, int]:
    """Series by review state."""
    rows = connection.execute(text("SELECT review_state, count(*) AS series FROM hub.series GROUP BY review_state"))
    return {ReviewState(row.review_state): row.series for row in rows}


def pending(connection: Connection) -> set[str]:
    """Series Instance UIDs of all the series that wait for a verdict."""
    return set(
        connection.execute(text("SELECT series_instance_uid FROM hub.series WHERE review_state = 'PENDING'")).scalars()
    )


def history(connection: Connection, series_instance_uid: str) -> Sequence[Verdict]:
    """Verdicts on a series, the newest first."""
    rows = connection.execute(
        text(
            "SELECT verdict, reason, reviewer, decided_at, review.content_digest = series.content_digest AS now"
            " FROM hub.review JOIN hub.series USING (series_instance_uid)"
            " WHERE series_instance_uid = :series ORDER BY review.id DESC"
        ),
        {"series": series_instance_uid},
    )
    return [
        Verdict(_given(row.verdict), row.reason and RejectionReason(row.reason), row.reviewer, row.decided_at, row.now)
        for row in rows
    ]


def _given(written: str) -> GivenVerdict:
    return ReviewState.APPROVED if written == ReviewState.APPROVED else ReviewState.REJECTED


def approve(
    connection: Connection, series_instance_uid: str, content_digest: str, *, reviewer: str, basis: VerdictBasis
) -> VerdictOutcome:
    """Approve the content that has this digest; it may be released from now on."""
    return _decide(
        connection, series_instance_uid, content_digest, _Opinion(ReviewState.APPROVED, None, reviewer, basis)
    )


def reject(
    connection: Connection,
    series_instance_uid: str,
    content_digest: str,
    *,
    reason: RejectionReason,
    reviewer: str,
    basis: VerdictBasis,
) -> VerdictOutcome:
    """Reject the content that has this digest: its study is vetoed, and no release holds it any more."""
    return _decide(
        connection, series_instance_uid, content_digest, _Opinion(ReviewState.REJECTED, reason, reviewer, basis)
    )


@dataclass(frozen=True)
class _Opinion:
    verdict: GivenVerdict
    reason: RejectionReason | None
    reviewer: str
    basis: VerdictBasis


def _decide(connection: Connection, series: str, content_digest: str, opinion: _Opinion) -> VerdictOutcome:
    study = connection.execute(
        text("SELECT study_instance_uid FROM hub.series WHERE series_instance_uid = :series"), {"series": series}
    ).scalar_one_or_none()
    if study is None:
        return SeriesUnknown()
    lock_study(connection, study)  # an admission of late instances takes the same turn
    changed = connection.execute(
        text(
            "UPDATE hub.series SET review_state = :verdict"
            " WHERE series_instance_uid = :series AND content_digest = :digest"
        ),
        {"verdict": opinion.verdict, "series": series, "digest": content_digest},
    )
    if changed.rowcount == 0:
        return SeriesChanged()
    connection.execute(
        text(
            "INSERT INTO hub.review (series_instance_uid, content_digest, verdict, reason, reviewer)"
            " VALUES (:series, :digest, :verdict, :reason, :reviewer)"
        ),
        {
            "series": series,
            "digest": content_digest,
            "verdict": opinion.verdict,
            "reason": opinion.reason,
            "reviewer": opinion.reviewer,
        },
    )
    refresh_study_state(connection, study)
    detail = {
        "verdict": opinion.verdict,
        "reason": opinion.reason,
        "basis": opinion.basis,
        "content_digest": content_digest,
    }
    trail.append(connection, opinion.reviewer, trail.AuditAction.REVIEW_DECIDED, series, detail)
    wake_workers(connection)  # a sink may wait for its study
    return VerdictRecorded()
