"""Snapshots of the data that cohorts are computed from: the loaded SNDS tables, and the current index of series.

Both have a digest, together the data version: the same definition on the same version gives the same cohort.
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
from imaging_hub.cohorts.analytic_engine import AnalyticEngine, duckdb_engine, spark_engine
from imaging_hub.cohorts.plan_compilation import CohortTables
from imaging_hub.snds import loading


@dataclass(frozen=True)
class CohortSnapshot:
    """Consistent tables on an engine."""

    tables: CohortTables
    version: str
    """Data version: version of the SNDS load, and digest of index and links."""
    engine: AnalyticEngine
    domains: frozenset[str]
    """SNDS domains of which the load has events."""


@contextmanager
def take_snapshot(connection: Connection, folder: Path, spark: str | None = None) -> Iterator[CohortSnapshot]:
    """Take a snapshot on DuckDB, or on the Spark with that master; `folder` is `settings.tables`.

    Raises `LinkageError` `nothing-loaded` when the folder holds no load, `HubError` `no-spark` without Spark.
    """
    load = loading.current_version(folder)
    with (
        index_files.open_index_files(connection, folder) as index,
        duckdb_engine() if spark is None else spark_engine(spark, folder) as engine,
    ):
        person = _person_columns(engine.read_parquet("person", load.folder / "person.parquet"))
        subject = engine.read_parquet("link", *index.link).left_join(person, "person").drop("person_right")
        series = engine.read_parquet("series", *index.series)
        tables = CohortTables(engine.materialize(subject), engine.read_parquet("event", load.folder / "event"), series)
        domains = frozenset(domain for domain, events in load.events.items() if events)
        yield CohortSnapshot(tables, f"snds {load.version} hub {index.digest[:32]}", engine, domains)


def _person_columns(person: Any) -> Any:
    """Return the columns of persons that cohorts need."""
    return person.select(
        person=person.person,
        birth_month=ibis.date(person.birth_year, person.birth_month, 1),
        sex=ibis.cases((person.sex == 1, "male"), (person.sex == 2, "female")),
        death_date=person.death_date,
    )
