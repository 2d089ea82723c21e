"""Lists of the changes that de-identification made to instances, without values; each list is stored once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from imaging_hub.deidentification.source_and_outcome import AttributeChange


def store(connection: Connection, lists: Iterable[Sequence[AttributeChange] | str]) -> list[str]:
    """Store the lists that are new, and return the digest of each, under which instances refer to it.

    A list that is stored already may be given by its digest.
    """
    digests: list[str] = []
    encoded: dict[str, str] = {}
    previous: Sequence[AttributeChange] | None = None
    for changes in lists:
        if isinstance(changes, str):
            digest, previous = changes, None
        elif changes != previous:
            content = json.dumps([[change.path, change.action, change.rule] for change in changes])
            digest = hashlib.sha256(content.encode()).hexdigest()
            encoded[digest] = content
            previous = changes
        digests.append(digest)
    connection.execute(
        text(
            "INSERT INTO hub.change_list (digest, changes)"
            " SELECT digest, CAST(changes AS jsonb) FROM unnest(CAST(:digests AS text[]), CAST(:lists AS text[]))"
            " AS new (digest, changes) ORDER BY digest ON CONFLICT (digest) DO NOTHING"
        ),
        {"digests": list(encoded), "lists": list(encoded.values())},
    )
    return digests


def list_changes(connection: Connection, series_instance_uid: str) -> list[tuple[AttributeChange, int]]:
    """Return every change made in a series, sorted by path, with the number of instances it was made in."""
    rows = connection.execute(
        text(
            "SELECT change->>0 AS path, change->>1 AS action, change->>2 AS rule, CAST(sum(n) AS int) AS instances"
            " FROM (SELECT change_list, count(*) AS n FROM hub.instance"
            "       WHERE series_instance_uid = :series GROUP BY 1) AS treated"
            " JOIN hub.change_list ON digest = change_list, jsonb_array_elements(changes) AS change"
            " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ),
        {"series": series_instance_uid},
    )
    return [(AttributeChange(row.path, row.action, row.rule), row.instances) for row in rows]
