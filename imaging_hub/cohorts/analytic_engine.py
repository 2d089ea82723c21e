"""Engines that run a plan: DuckDB in this process, or a Spark named in the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import ibis
import pyarrow as pa
from pyarrow import parquet

from imaging_hub.errors import HubError

_LOCAL_SHUFFLE_PARTITIONS = 4
"""Partitions after a shuffle on one machine; Spark's default of 200 is for clusters."""

_RETAINED_QUERIES = 10
"""Number of past queries that Spark keeps in a session."""


class AnalyticEngine:
    """Tables on an Ibis backend, under unique names, so that snapshots do not share them."""

    def __init__(self, backend: Any, scratch: Path | None) -> None:
        """`scratch` is the folder of tables for Spark; None for DuckDB, which has them in memory."""
        self._backend = backend
        self._scratch = scratch
        self._suffix = uuid4().hex
        self._names: list[str] = []

    def create_table(self, name: str, content: pa.Table) -> Any:
        """Return an Ibis table with this content."""
        if self._scratch is None:
            return self._backend.create_table(self._unique_name(name), content)
        file = self._scratch / f"{name}-{len(self._names)}.parquet"
        parquet.write_table(content, file)
        return self.read_parquet(name, file)

    def read_parquet(self, name: str, *places: Path) -> Any:
        """Return the Ibis table of these Parquet files, or of one folder in Hive layout."""
        unique_name = self._unique_name(name)
        if self._scratch is None:
            paths = [f"{place}/**/*.parquet" if place.is_dir() else str(place) for place in places]
            return self._backend.read_parquet(paths, table_name=unique_name, hive_partitioning=places[0].is_dir())
        if len(places) == 1:
            return self._backend.read_parquet(str(places[0]), table_name=unique_name)
        folder = self._scratch / unique_name
        folder.mkdir()
        for place in places:
            (folder / place.name).symlink_to(place.absolute())
        return self._backend.read_parquet(str(folder), table_name=unique_name)

    def materialize(self, expression: Any) -> Any:
        """Compute an expression, and return the table of its result."""
        if self._scratch is None:
            # Tables cached by Ibis are dropped at garbage collection, which may be after the connection is closed.
            return self._backend.create_table(self._unique_name("held"), expression, temp=True)
        # A file rather than Spark's cache: the driver's memory stays flat over many cohorts, and plans of later steps
        # do not contain the plan of this one.
        place = self._scratch / f"held-{len(self._names)}"
        self._backend.to_parquet(expression, place)
        return self.read_parquet("held", place)

    def drop_tables(self) -> None:
        """Drop all tables."""
        for name in self._names:
            self._backend.drop_view(name, force=True)

    def _unique_name(self, name: str) -> str:
        self._names.append(f"{name}_{self._suffix}_{len(self._names)}")
        return self._names[-1]


@contextmanager
def duckdb_engine() -> Iterator[AnalyticEngine]:
    """Open an engine in memory, closed at the end of the block."""
    backend = ibis.duckdb.connect()
    try:
        yield AnalyticEngine(backend, None)
    finally:
        backend.disconnect()


@contextmanager
def spark_engine(master: str, shared: Path) -> Iterator[AnalyticEngine]:
    """Open an engine on the process's Spark session; `shared` is a folder that executors can read.

    Raises `HubError` `no-spark` when PySpark is not installed or does not start.
    """
    with TemporaryDirectory(prefix=".snapshot-", dir=shared) as scratch:
        engine = AnalyticEngine(_spark_backend(master), Path(scratch))
        try:
            yield engine
        finally:
            engine.drop_tables()


def _spark_backend(master: str) -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise HubError("PySpark is not installed", code="no-spark", hint="install the extra `spark` too") from None
    builder = SparkSession.builder.master(master).appName("imaging-hub").config("spark.ui.enabled", "false")
    for setting in ("spark.sql.ui.retainedExecutions", "spark.ui.retainedJobs", "spark.ui.retainedStages"):
        # Spark keeps them, each with its plan, even without its web pages.
        builder = builder.config(setting, _RETAINED_QUERIES)
    if master.startswith("local"):
        builder = builder.config("spark.sql.shuffle.partitions", _LOCAL_SHUFFLE_PARTITIONS)
        builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    try:
        session = builder.getOrCreate()
    except Exception as fault:
        # The JVM's messages name hosts and files, so they are not repeated.
        raise HubError(
            "Spark does not start", code="no-spark", hint="check `spark` in the settings, and Java"
        ) from fault
    session.sparkContext.setLogLevel("ERROR")
    return ibis.pyspark.connect(session)
