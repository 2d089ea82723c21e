"""Totals of the archive or of one hospital; true counts, for the hub's staff only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text


@dataclass(frozen=True, slots=True)
class ArchiveTotals:
    """Numbers of subjects, studies, series and instances."""

    subjects: int
    studies: int
    series: int
    instances: int
    by_modality: Mapping[str, int]
    """Number of series."""
    by_study_state: Mapping[str, int]


def count_archive(connection: Connection) -> ArchiveTotals:
    """Count the whole archive."""
    counts = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM hub.subject) AS subjects, (SELECT count(*) FROM hub.study) AS studies,"
            " (SELECT count(*) FROM hub.series) AS series, (SELECT count(*) FROM hub.instance) AS instances"
        )
    ).one()
    return _totals(counts, count_series_by_modality(connection), count_studies_by_state(connection))


def count_hospital(connection: Connection, finess: str) -> ArchiveTotals:
    """Count the studies of one hospital."""
    parameters = {"finess": finess}
    counts = connection.execute(
        text(
            "SELECT count(DISTINCT sid) AS subjects, count(DISTINCT study_instance_uid) AS studies,"
            " count(series_instance_uid) AS series, coalesce(sum(instances), 0)::bigint AS instances"
            " FROM hub.study LEFT JOIN hub.series USING (study_instance_uid) WHERE finess = :finess"
        ),
        parameters,
    ).one()
    modalities = _count_by(
        connection,
        "SELECT modality, count(*) FROM hub.series JOIN hub.study USING (study_instance_uid)"
        " WHERE finess = :finess GROUP BY modality ORDER BY 1",
        parameters,
    )
    states = _count_by(
        connection, "SELECT state, count(*) FROM hub.study WHERE finess = :finess GROUP BY state ORDER BY 1", parameters
    )
    return _totals(counts, modalities, states)


def count_series_by_modality(connection: Connection) -> dict[str, int]:
    """Return the number of series by modality, sorted by modality."""
    return _count_by(connection, "SELECT modality, count(*) FROM hub.series GROUP BY modality ORDER BY 1")


def count_studies_by_state(connection: Connection) -> dict[str, int]:
    """Return the number of studies by state."""
    return _count_by(connection, "SELECT state, count(*) FROM hub.study GROUP BY state ORDER BY 1")


def _totals(counts: Row[Any], by_modality: Mapping[str, int], by_study_state: Mapping[str, int]) -> ArchiveTotals:
    return ArchiveTotals(counts.subjects, counts.studies, counts.series, counts.instances, by_modality, by_study_state)


def _count_by(connection: Connection, query: str, values: Mapping[str, object] | None = None) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(text(query), values)}
