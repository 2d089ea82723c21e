"""Verdicts of radiologists on series, and the queue of series without one.

A verdict holds for the `content_digest` it was given on. When a late instance or a new profile changes the series,
the digest changes too, and the series waits again.
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
    """Why a series is rejected; codes only, because free text could repeat the identifier that was left."""

    BURNED_IN_TEXT = "burned-in-text"
    RECOGNISABLE_FACE = "recognisable-face"
    IDENTIFIER_IN_ATTRIBUTE = "identifier-in-attribute"
    PRIVATE_ATTRIBUTE = "private-attribute"
    PATIENTS_MIXED = "patients-mixed"
    IMAGE_DAMAGED = "image-damaged"
    TOO_MUCH_REMOVED = "too-much-removed"


REASON_LABELS: dict[RejectionReason, str] = {
    RejectionReason.BURNED_IN_TEXT: "Identifying text in the image",
    RejectionReason.RECOGNISABLE_FACE: "Recognisable face",
    RejectionReason.IDENTIFIER_IN_ATTRIBUTE: "Identifier left in an attribute",
    RejectionReason.PRIVATE_ATTRIBUTE: "Private attribute that should not be kept",
    RejectionReason.PATIENTS_MIXED: "Images of different patients",
    RejectionReason.IMAGE_DAMAGED: "Image damaged or not as before",
    RejectionReason.TOO_MUCH_REMOVED: "Too much removed, useless for research",
}


class VerdictBasis(StrEnum):
    """What the radiologist compared; once originals are purged, only the de-identified images are left."""

    BOTH = "before-and-after"
    AFTER_ONLY = "after-only"


@dataclass(frozen=True)
class WaitingSeries:
    """A series that waits for a verdict."""

    series_instance_uid: str
    modality: str
    description: str | None
    body_part: str | None
    instances: int
    profile: str
    waiting_since: datetime


@dataclass(frozen=True)
class Verdict:
    """A recorded verdict."""

    verdict: GivenVerdict
    reason: RejectionReason | None
    reviewer: str
    decided_at: datetime
    current: bool
    """Whether it was given on the content that the series has now."""


@dataclass(frozen=True)
class VerdictRecorded:
    """The verdict was recorded."""


@dataclass(frozen=True)
class SeriesChanged:
    """The series has changed since it was shown; nothing was recorded."""


@dataclass(frozen=True)
class SeriesUnknown:
    """There is no such series."""


VerdictOutcome = VerdictRecorded | SeriesChanged | SeriesUnknown

# Modalities that most often show an identity come first: captured screens and paper, ultrasound; then the oldest.
_RISK = "CASE modality WHEN 'SC' THEN 0 WHEN 'OT' THEN 0 WHEN 'US' THEN 1 WHEN 'XA' THEN 2 WHEN 'CR' THEN 3 ELSE 4 END"
_QUEUE = f"ORDER BY {_RISK}, study.updated_at, series.series_instance_uid"


def list_waiting(connection: Connection, *, limit: int = 100) -> Sequence[WaitingSeries]:
    """Return series that wait for a verdict, those most likely to show an identity first."""
    rows = connection.execute(
        text(
            "SELECT series.series_instance_uid, modality, series.description, body_part, instances, profile,"  # noqa: S608
            " study.updated_at FROM hub.series JOIN hub.study USING (study_instance_uid)"
            f" WHERE review_state = 'PENDING' {_QUEUE} LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [WaitingSeries(*row) for row in rows]


def count_by_state(connection: Connection) -> dict[ReviewState, int]:
    """Return the number of series by review state."""
    rows = connection.execute(text("SELECT review_state, count(*) AS series FROM hub.series GROUP BY review_state"))
    return {ReviewState(row.review_state): row.series for row in rows}


def pending(connection: Connection) -> set[str]:
    """Return the Series Instance UIDs of all series that wait for a verdict."""
    return set(
        connection.execute(text("SELECT series_instance_uid FROM hub.series WHERE review_state = 'PENDING'")).scalars()
    )


def list_verdicts(connection: Connection, series_instance_uid: str) -> Sequence[Verdict]:
    """Return the verdicts on a series, the newest first."""
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
    """Approve the content of this digest for release, in the caller's transaction."""
    return _decide(
        connection, series_instance_uid, content_digest, _SignedVerdict(ReviewState.APPROVED, None, reviewer, basis)
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
    """Reject the content of this digest, in the caller's transaction; no release serves it any more."""
    return _decide(
        connection, series_instance_uid, content_digest, _SignedVerdict(ReviewState.REJECTED, reason, reviewer, basis)
    )


@dataclass(frozen=True)
class _SignedVerdict:
    verdict: GivenVerdict
    reason: RejectionReason | None
    reviewer: str
    basis: VerdictBasis


def _decide(connection: Connection, series: str, content_digest: str, decision: _SignedVerdict) -> VerdictOutcome:
    study = connection.execute(
        text("SELECT study_instance_uid FROM hub.series WHERE series_instance_uid = :series"), {"series": series}
    ).scalar_one_or_none()
    if study is None:
        return SeriesUnknown()
    lock_study(connection, study)  # admission of late instances takes the same lock
    changed = connection.execute(
        text(
            "UPDATE hub.series SET review_state = :verdict"
            " WHERE series_instance_uid = :series AND content_digest = :digest"
        ),
        {"verdict": decision.verdict, "series": series, "digest": content_digest},
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
            "verdict": decision.verdict,
            "reason": decision.reason,
            "reviewer": decision.reviewer,
        },
    )
    refresh_study_state(connection, study)
    detail = {
        "verdict": decision.verdict,
        "reason": decision.reason,
        "basis": decision.basis,
        "content_digest": content_digest,
    }
    trail.append(connection, decision.reviewer, trail.AuditAction.REVIEW_DECIDED, series, detail)
    wake_workers(connection)  # a sink may wait for its study
    return VerdictRecorded()
