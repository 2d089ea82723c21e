"""Change marks of the index: triggers write a row for each transaction and bucket (a 256th of the subjects)."""

from __future__ import annotations

from sqlalchemy import Connection, text


def compact(connection: Connection) -> None:
    """Merge the change marks to one row for each bucket; versions of buckets stay the same."""
    connection.execute(
        text(
            "WITH noted AS (DELETE FROM hub.index_change RETURNING bucket, mark)"
            " INSERT INTO hub.index_changed_before AS b SELECT bucket, bit_xor(mark) FROM noted GROUP BY bucket"
            " ON CONFLICT (bucket) DO UPDATE SET mark = b.mark # excluded.mark"
        )
    )
