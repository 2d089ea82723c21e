"""What the engine did to a series, attribute by attribute, with the rule that fired and the value that came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from imaging_hub.archive import change_lists, search
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
    after = _values(connection, sop_instance_uid)
    found = [
        AttributeDifference(change.path, change.action, change.rule, instances, after.get(change.path))
        for change, instances in change_lists.of_series(connection, series_instance_uid)
    ]
    return sorted(found, key=lambda difference: difference.action not in _ATTENTION)


def _values(connection: Connection, sop_instance_uid: str | None) -> dict[str, str]:
    header = search.header(connection, sop_instance_uid) if sop_instance_uid else None
    return {} if header is None else dict(attribute_path.readable(walk.read(*header)))
