"""How much the archive holds, over all or of one hospital; true counts, so for people of the hub only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text


@dataclass(frozen=True, slots=True)
class ArchiveTotals:
    """How much there is."""

    subjects: int
    studies: int
    series: int
    instances: int
    by_modality: Mapping[str, int]
    """Series of each modality."""
    by_study_state: Mapping[str, int]


def of_archive(connection: Connection) -> ArchiveTotals:
    """Everything."""
    counts = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM hub.subject) AS subjects, (SELECT count(*) FROM hub.study) AS studies,"
            " (SELECT count(*) FROM hub.series) AS series, (SELECT count(*) FROM hub.instance) AS instances"
        )
    ).one()
    return _totals(counts, series_by_modality(connection), studies_by_state(connection))


def of_hospital(connection: Connection, finess: str) -> ArchiveTotals:
    """What came of the hospital of that FINESS number."""
    of = {"finess": finess}
    counts = connection.execute(
        text(
            "SELECT count(DISTINCT sid) AS subjects, count(DISTINCT study_instance_uid) AS studies,"
            " count(series_instance_uid) AS series, coalesce(sum(instances), 0)::bigint AS instances"
            " FROM hub.study LEFT JOIN hub.series USING (study_instance_uid) WHERE finess = :finess"
        ),
        of,
    ).one()
    modalities = _counted(
        connection,
        "SELECT modality, count(*) FROM hub.series JOIN hub.study USING (study_instance_uid)"
        " WHERE finess = :finess GROUP BY modality ORDER BY 1",
        of,
    )
    states = _counted(
        connection, "SELECT state, count(*) FROM hub.study WHERE finess = :finess GROUP BY state ORDER BY 1", of
    )
    return _totals(counts, modalities, states)


def series_by_modality(connection: Connection) -> dict[str, int]:
    """Series of each modality, in the order of their names."""
    return _counted(connection, "SELECT modality, count(*) FROM hub.series GROUP BY modality ORDER BY 1")


def studies_by_state(connection: Connection) -> dict[str, int]:
    """Studies in each state."""
    return _counted(connection, "SELECT state, count(*) FROM hub.study GROUP BY state ORDER BY 1")


def _totals(counts: Row[Any], by_modality: Mapping[str, int], by_study_state: Mapping[str, int]) -> ArchiveTotals:
    return ArchiveTotals(counts.subjects, counts.studies, counts.series, counts.instances, by_modality, by_study_state)


def _counted(connection: Connection, query: str, values: Mapping[str, object] | None = None) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(text(query), values)}
