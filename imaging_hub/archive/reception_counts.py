"""Counts of received instances by state and reason, all that the de-identified zone knows of reception."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class QuarantineCount:
    """Number of instances of a hospital in quarantine for one reason."""

    finess: str
    reason: str
    modality: str | None
    instances: int
    latest_day: datetime


def list_quarantined(connection: Connection, finess: str | None) -> Sequence[QuarantineCount]:
    """Return the counts of quarantined instances, largest first, of one hospital, or of all for None."""
    rows = connection.execute(
        text(
            "SELECT finess, reason, modality, sum(instances)::bigint, max(day) FROM hub.reception"
            " WHERE state = 'QUARANTINED' AND (CAST(:finess AS text) IS NULL OR finess = :finess)"
            " GROUP BY finess, reason, modality ORDER BY 4 DESC, 1, 2, 3"
        ),
        {"finess": finess},
    )
    return [QuarantineCount(*row) for row in rows]


def count_by_state(connection: Connection, finess: str | None) -> dict[str, int]:
    """Return the number of instances by journal state, of one hospital, or of all for None."""
    rows = connection.execute(
        text(
            "SELECT state, sum(instances)::bigint FROM hub.reception"
            " WHERE CAST(:finess AS text) IS NULL OR finess = :finess GROUP BY state"
        ),
        {"finess": finess},
    )
    return {state: int(count) for state, count in rows}


def count_quarantined_by_reason(connection: Connection) -> dict[str, int]:
    """Return the number of quarantined instances by reason."""
    rows = connection.execute(
        text("SELECT reason, sum(instances)::bigint FROM hub.reception WHERE state = 'QUARANTINED' GROUP BY reason")
    )
    return {reason: int(count) for reason, count in rows}
