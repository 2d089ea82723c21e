"""What the engine did to a series, attribute by attribute, with the rule that fired and the value that came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from imaging_hub.dicom import attribute_path, walk

_ATTENTION = ("C", "clean", "K", "keep")
"""Actions that leave something of the original: they stand on top, for they are what can leak."""


@dataclass(frozen=True)
class AttributeDifference:
    """One attribute path and what was done to it."""

    path: str
    action: str
    rule: str
    instances: int
    """Instances of the series to which the same was done."""
    after: str | None
    """Its value in the instance that is shown; None where it is gone."""


def of_series(
    connection: Connection, series_instance_uid: str, sop_instance_uid: str | None
) -> Sequence[AttributeDifference]:
    """Every change made in the series, those that leave something of the original first."""
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
    after = _values(connection, sop_instance_uid)
    found = [AttributeDifference(row.path, row.action, row.rule, row.instances, after.get(row.path)) for row in rows]
    return sorted(found, key=lambda difference: difference.action not in _ATTENTION)


def _values(connection: Connection, sop_instance_uid: str | None) -> dict[str, str]:
    row = connection.execute(
        text("SELECT header, transfer_syntax_uid FROM hub.instance WHERE sop_instance_uid = :uid"),
        {"uid": sop_instance_uid},
    ).one_or_none()
    if row is None:
        return {}
    return dict(attribute_path.readable(walk.read(bytes(row.header), row.transfer_syntax_uid)))
