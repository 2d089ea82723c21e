"""Changes made to the attributes of a series by de-identification, each with its rule and the new value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from imaging_hub.dicom import attribute_path, walk

_KEEPING_ACTIONS = ("C", "clean", "K", "keep")
"""Actions that keep something of the original; listed first, because only they can leak."""


@dataclass(frozen=True)
class AttributeDifference:
    """What de-identification did to one attribute path of a series."""

    path: str
    action: str
    rule: str
    instances: int
    """Number of instances of the series changed in this way."""
    after: str | None
    """Value in the shown instance after de-identification; None when the attribute was removed."""


def list_differences(
    connection: Connection, series_instance_uid: str, sop_instance_uid: str | None
) -> Sequence[AttributeDifference]:
    """Return every change made in the series, those that keep something of the original first.

    Values after de-identification are those of the instance `sop_instance_uid`.
    """
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
    after = _values_after(connection, sop_instance_uid)
    differences = [
        AttributeDifference(row.path, row.action, row.rule, row.instances, after.get(row.path)) for row in rows
    ]
    return sorted(differences, key=lambda difference: difference.action not in _KEEPING_ACTIONS)


def _values_after(connection: Connection, sop_instance_uid: str | None) -> dict[str, str]:
    row = connection.execute(
        text("SELECT header, transfer_syntax_uid FROM hub.instance WHERE sop_instance_uid = :uid"),
        {"uid": sop_instance_uid},
    ).one_or_none()
    if row is None:
        return {}
    return dict(attribute_path.readable(walk.read(bytes(row.header), row.transfer_syntax_uid)))
