"""What of the index changed, as triggers note it: a row for each transaction and 256th of the subjects."""

from __future__ import annotations

from sqlalchemy import Connection, text


def fold(connection: Connection) -> None:
    """Put the rows that note changes together, one a bucket; no version of a bucket becomes another by it."""
    connection.execute(
        text(
            "WITH noted AS (DELETE FROM hub.index_change RETURNING bucket, mark)"
            " INSERT INTO hub.index_changed_before AS b SELECT bucket, bit_xor(mark) FROM noted GROUP BY bucket"
            " ON CONFLICT (bucket) DO UPDATE SET mark = b.mark # excluded.mark"
        )
    )
