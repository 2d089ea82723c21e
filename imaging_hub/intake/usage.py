"""How much room originals take, as the journal says."""

from __future__ import annotations

from sqlalchemy import Connection, text


def quarantined_bytes(connection: Connection) -> int:
    """Bytes kept of what could not be parsed or keyed; the quarantine quota refers to them."""
    return int(
        connection.execute(
            text(
                "SELECT coalesce(sum(size), 0) FROM identifying.instance"
                " WHERE state = 'QUARANTINED' AND study IS NULL AND purged_at IS NULL"
            )
        ).scalar_one()
    )


def spool_bytes(connection: Connection) -> int:
    """Bytes of all originals that are still in the spool."""
    total = connection.execute(text("SELECT coalesce(sum(size), 0) FROM identifying.instance WHERE purged_at IS NULL"))
    return int(total.scalar_one())


def largest_open_study_bytes(connection: Connection) -> int:
    """Bytes of the largest study that is still arriving."""
    total = connection.execute(
        text(
            "SELECT coalesce(max(bytes), 0) FROM (SELECT sum(i.size) AS bytes FROM identifying.instance i"
            " JOIN identifying.study s ON s.id = i.study WHERE s.state = 'OPEN' AND i.purged_at IS NULL"
            " GROUP BY s.id) AS study"
        )
    )
    return int(total.scalar_one())
