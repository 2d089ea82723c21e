"""What a cohort is computed from, held still: the loaded SNDS tables, and the index of series as it is now.

The digest of both is the data version: the same definition on the same version gives the same cohort.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
from sqlalchemy import Connection

from imaging_hub.cohorts import index_files
from imaging_hub.cohorts.compilation import CohortTables
from imaging_hub.cohorts.engine import AnalyticEngine, on_duckdb, on_spark
from imaging_hub.snds import loading


@dataclass(frozen=True)
class CohortSnapshot:
    """The tables of one moment, as they stand on an engine."""

    tables: CohortTables
    version: str
    """Data version: load of the SNDS, and digest of index and links."""
    engine: AnalyticEngine
    domains: frozenset[str]
    """Of which the load has events."""


@contextmanager
def take(connection: Connection, folder: Path, spark: str | None = None) -> Iterator[CohortSnapshot]:
    """A snapshot on DuckDB, or on the Spark with that master; `folder` is `settings.tables`.

    Raises `LinkageError` when the folder holds no load, and `HubError` when there is no Spark.
    """
    load = loading.current_version(folder)
    with (
        index_files.held(connection, folder) as index,
        on_duckdb() if spark is None else on_spark(spark, folder) as engine,
    ):
        person = _persons(engine.parquet("person", load.folder / "person.parquet"))
        subject = engine.parquet("link", *index.link).left_join(person, "person").drop("person_right")
        series = engine.parquet("series", *index.series)
        tables = CohortTables(engine.hold(subject), engine.parquet("event", load.folder / "event"), series)
        domains = frozenset(domain for domain, events in load.events.items() if events)
        yield CohortSnapshot(tables, f"snds {load.version} hub {index.digest[:32]}", engine, domains)


def _persons(person: Any) -> Any:
    """What cohorts ask of a person, from the columns of the load."""
    return person.select(
        person=person.person,
        birth_month=ibis.date(person.birth_year, person.birth_month, 1),
        sex=ibis.cases((person.sex == 1, "male"), (person.sex == 2, "female")),
        death_date=person.death_date,
    )
