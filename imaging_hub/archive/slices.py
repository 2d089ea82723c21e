"""Which pictures a series has, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class SeriesSlice:
    """An instance of a series, which may have several frames."""

    sop_instance_uid: str
    frames: int
    digest: str


def of_series(connection: Connection, series_instance_uid: str) -> Sequence[SeriesSlice]:
    """The image instances of a series from one end to the other: by position, else by number."""
    rows = connection.execute(
        text(
            "SELECT sop_instance_uid, frames, digest FROM hub.instance"
            " WHERE series_instance_uid = :series AND rows IS NOT NULL"
            " ORDER BY position_mm NULLS LAST, instance_number NULLS LAST, sop_instance_uid"
        ),
        {"series": series_instance_uid},
    )
    return [SeriesSlice(*row) for row in rows]


def find(connection: Connection, series_instance_uid: str, sop_instance_uid: str) -> SeriesSlice | None:
    """One image instance of the series."""
    row = connection.execute(
        text(
            "SELECT sop_instance_uid, frames, digest FROM hub.instance WHERE rows IS NOT NULL"
            " AND series_instance_uid = :series AND sop_instance_uid = :sop"
        ),
        {"series": series_instance_uid, "sop": sop_instance_uid},
    ).one_or_none()
    return SeriesSlice(*row) if row else None
