"""How each hospital's feed stands, by FINESS number: when it last grew, how long work has waited, what is held."""

from __future__ import annotations

from sqlalchemy import Connection, text


def last_received(connection: Connection) -> dict[str, float]:
    """When a study of each hospital that may send last grew, in seconds since 1970; 0 when nothing ever came."""
    rows = connection.execute(
        text(
            "SELECT n.finess, extract(epoch FROM max(s.last_received_at))"
            " FROM (SELECT DISTINCT hospital, finess FROM identifying.sender) AS n"
            " LEFT JOIN identifying.study s ON s.hospital = n.hospital GROUP BY n.finess"
        )
    )
    return {finess: float(seconds or 0) for finess, seconds in rows}


def oldest_unprocessed(connection: Connection) -> dict[str, float]:
    """How long the oldest study that is not processed has had no news, in seconds; 0 when none waits."""
    rows = connection.execute(
        text(
            "SELECT n.finess, extract(epoch FROM clock_timestamp() - min(s.last_received_at))"
            " FROM (SELECT DISTINCT hospital, finess FROM identifying.sender) AS n"
            " LEFT JOIN identifying.study s ON s.hospital = n.hospital AND s.state <> 'PROCESSED' GROUP BY n.finess"
        )
    )
    return {finess: float(seconds or 0) for finess, seconds in rows}


def quarantined(connection: Connection) -> dict[tuple[str, str], int]:
    """Instances in quarantine by FINESS number and reason."""
    rows = connection.execute(
        text(
            "SELECT finess, reason, count(*) FROM identifying.instance WHERE state = 'QUARANTINED'"
            " GROUP BY finess, reason"
        )
    )
    return {(finess, reason): count for finess, reason, count in rows}
