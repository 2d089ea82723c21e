"""Changes made to the attributes of a series by de-identification, each with its rule and the new value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from imaging_hub.archive import deidentification_changes, search
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
    after = _values_after(connection, sop_instance_uid)
    differences = [
        AttributeDifference(change.path, change.action, change.rule, instances, after.get(change.path))
        for change, instances in deidentification_changes.list_changes(connection, series_instance_uid)
    ]
    return sorted(differences, key=lambda difference: difference.action not in _KEEPING_ACTIONS)


def _values_after(connection: Connection, sop_instance_uid: str | None) -> dict[str, str]:
    header = search.load_header(connection, sop_instance_uid) if sop_instance_uid else None
    return {} if header is None else dict(attribute_path.readable(walk.read(*header)))
