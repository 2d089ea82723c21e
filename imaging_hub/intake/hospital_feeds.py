"""Status of each hospital's feed, by FINESS number: last arrival, longest wait, instances in quarantine."""

from __future__ import annotations

from sqlalchemy import Connection, text


def last_received_at(connection: Connection) -> dict[str, float]:
    """Return when each hospital last sent an instance, in seconds since 1970; 0 for never."""
    rows = connection.execute(
        text(
            "SELECT n.finess, extract(epoch FROM max(s.last_received_at))"
            " FROM (SELECT DISTINCT hospital, finess FROM identifying.sender) AS n"
            " LEFT JOIN identifying.study s ON s.hospital = n.hospital GROUP BY n.finess"
        )
    )
    return {finess: float(seconds or 0) for finess, seconds in rows}


def longest_wait_seconds(connection: Connection) -> dict[str, float]:
    """Return the seconds since the last instance of the oldest study that is not processed; 0 when none waits."""
    rows = connection.execute(
        text(
            "SELECT n.finess, extract(epoch FROM clock_timestamp() - min(s.last_received_at))"
            " FROM (SELECT DISTINCT hospital, finess FROM identifying.sender) AS n"
            " LEFT JOIN identifying.study s ON s.hospital = n.hospital AND s.state <> 'PROCESSED' GROUP BY n.finess"
        )
    )
    return {finess: float(seconds or 0) for finess, seconds in rows}


def count_quarantined(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the instances in quarantine by FINESS number and reason."""
    rows = connection.execute(
        text(
            "SELECT finess, reason, count(*) FROM identifying.instance WHERE state = 'QUARANTINED'"
            " GROUP BY finess, reason"
        )
    )
    return {(finess, reason): count for finess, reason, count in rows}
