"""What runs a plan: DuckDB in this process, or a Spark whose master the settings name."""

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

_SHUFFLES_LOCAL = 4
"""Partitions after a shuffle on one machine; Spark's own 200 are for clusters."""

_RETAINED = 10
"""Of a session's past queries, how many Spark remembers."""


class AnalyticEngine:
    """Tables under names of their own on one engine; no two snapshots see each other's."""

    def __init__(self, backend: Any, scratch: Path | None) -> None:
        """`scratch` is where Spark finds the tables of the hub; DuckDB has them in memory."""
        self._backend = backend
        self._scratch = scratch
        self._suffix = uuid4().hex
        self._names: list[str] = []

    def table(self, name: str, content: pa.Table) -> Any:
        """A table of the hub."""
        if self._scratch is None:
            return self._backend.create_table(self._own(name), content)
        file = self._scratch / f"{name}-{len(self._names)}.parquet"
        parquet.write_table(content, file)
        return self.parquet(name, file)

    def parquet(self, name: str, *places: Path) -> Any:
        """The table in these files, or in a folder of files whose names of folders are columns."""
        own = self._own(name)
        if self._scratch is None:
            paths = [f"{place}/**/*.parquet" if place.is_dir() else str(place) for place in places]
            return self._backend.read_parquet(paths, table_name=own, hive_partitioning=places[0].is_dir())
        if len(places) == 1:
            return self._backend.read_parquet(str(places[0]), table_name=own)
        together = self._scratch / own
        together.mkdir()
        for place in places:
            (together / place.name).symlink_to(place.absolute())
        return self._backend.read_parquet(str(together), table_name=own)

    def hold(self, wanted: Any) -> Any:
        """What an expression gives, computed once."""
        if self._scratch is None:
            # Ibis would drop its own cached tables whenever it comes to it, also when the connection is closed.
            return self._backend.create_table(self._own("held"), wanted, temp=True)
        # A file, not Spark's cache: the driver's memory stays flat however many cohorts a session has seen,
        # and the plans of the steps after this one do not carry its plan along.
        place = self._scratch / f"held-{len(self._names)}"
        self._backend.to_parquet(wanted, place)
        return self.parquet("held", place)

    def forget(self) -> None:
        """Drop what was named."""
        for name in self._names:
            self._backend.drop_view(name, force=True)

    def _own(self, name: str) -> str:
        self._names.append(f"{name}_{self._suffix}_{len(self._names)}")
        return self._names[-1]


@contextmanager
def on_duckdb() -> Iterator[AnalyticEngine]:
    """An engine in memory, which ends with the block."""
    backend = ibis.duckdb.connect()
    try:
        yield AnalyticEngine(backend, None)
    finally:
        backend.disconnect()


@contextmanager
def on_spark(master: str, shared: Path) -> Iterator[AnalyticEngine]:
    """An engine on the process's Spark session; `shared` is a folder that its executors see. Raises `HubError`."""
    with TemporaryDirectory(prefix=".snapshot-", dir=shared) as scratch:
        engine = AnalyticEngine(_backend(master), Path(scratch))
        try:
            yield engine
        finally:
            engine.forget()


def _backend(master: str) -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise HubError("PySpark is not installed", code="no-spark", hint="install the extra `spark` too") from None
    building = SparkSession.builder.master(master).appName("imaging-hub").config("spark.ui.enabled", "false")
    for kept_for_pages in ("spark.sql.ui.retainedExecutions", "spark.ui.retainedJobs", "spark.ui.retainedStages"):
        # Kept even where there are no pages, with the plan of each.
        building = building.config(kept_for_pages, _RETAINED)
    if master.startswith("local"):
        building = building.config("spark.sql.shuffle.partitions", _SHUFFLES_LOCAL)
        building = building.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    try:
        session = building.getOrCreate()
    except Exception as fault:
        # Whatever the JVM says: its messages name hosts and files.
        raise HubError(
            "Spark does not start", code="no-spark", hint="check `spark` in the settings, and Java"
        ) from fault
    session.sparkContext.setLogLevel("ERROR")
    return ibis.pyspark.connect(session)
