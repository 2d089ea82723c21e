"""What de-identification did to instances, without any value: slices share it, so each list is kept once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from imaging_hub.deidentification.instance import AttributeChange


def keep(connection: Connection, lists: Iterable[Sequence[AttributeChange] | str]) -> list[str]:
    """The digest of each list, by which an instance names it; those that are new are kept.

    In place of a list that is kept already stands its digest.
    """
    digests: list[str] = []
    encoded: dict[str, str] = {}
    before: Sequence[AttributeChange] | None = None
    for changes in lists:
        if isinstance(changes, str):
            digest, before = changes, None
        elif changes != before:
            written = json.dumps([[change.path, change.action, change.rule] for change in changes])
            digest = hashlib.sha256(written.encode()).hexdigest()
            encoded[digest] = written
            before = changes
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


def of_series(connection: Connection, series_instance_uid: str) -> list[tuple[AttributeChange, int]]:
    """Every change made in a series, by path, each with the number of instances it was made in."""
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
