"""Image instances of a series in spatial order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class SeriesSlice:
    """An image instance of a series, with its number of frames and the digest of its object."""

    sop_instance_uid: str
    frames: int
    digest: str


def list_slices(connection: Connection, series_instance_uid: str) -> Sequence[SeriesSlice]:
    """Return the image instances of a series by slice position, without one by instance number."""
    rows = connection.execute(
        text(
            "SELECT sop_instance_uid, frames, digest FROM hub.instance"
            " WHERE series_instance_uid = :series AND rows IS NOT NULL"
            " ORDER BY position_mm NULLS LAST, instance_number NULLS LAST, sop_instance_uid"
        ),
        {"series": series_instance_uid},
    )
    return [SeriesSlice(*row) for row in rows]


def find_slice(connection: Connection, series_instance_uid: str, sop_instance_uid: str) -> SeriesSlice | None:
    """Return one image instance of the series, or None when it has no such image."""
    row = connection.execute(
        text(
            "SELECT sop_instance_uid, frames, digest FROM hub.instance WHERE rows IS NOT NULL"
            " AND series_instance_uid = :series AND sop_instance_uid = :sop"
        ),
        {"series": series_instance_uid, "sop": sop_instance_uid},
    ).one_or_none()
    return SeriesSlice(*row) if row else None
