"""What was received, as the de-identified zone may know it: numbers of instances by state and reason."""

from __future__ import annotations

from sqlalchemy import Connection, text


def by_state(connection: Connection) -> dict[str, int]:
    """Instances of all hospitals by journal state."""
    rows = connection.execute(text("SELECT state, sum(instances)::bigint FROM hub.reception GROUP BY state"))
    return {row[0]: row[1] for row in rows}


def quarantined_by_reason(connection: Connection) -> dict[str, int]:
    """Instances of all hospitals in quarantine by reason code."""
    rows = connection.execute(
        text("SELECT reason, sum(instances)::bigint FROM hub.reception WHERE state = 'QUARANTINED' GROUP BY reason")
    )
    return {row[0]: row[1] for row in rows}
