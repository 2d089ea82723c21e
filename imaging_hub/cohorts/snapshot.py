"""What a cohort is computed from, held still: the loaded SNDS tables, and the index of series as it is now.

The digest of both is the data version: the same definition on the same version gives the same cohort.
A series that was rejected in review, or whose study was vetoed, is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from sqlalchemy import Connection, text

from imaging_hub.cohorts.compilation import Tables
from imaging_hub.cohorts.engine import Engine, on_duckdb, on_spark
from imaging_hub.snds import loading

_SERIES = pa.schema(
    [
        ("sid", pa.string()),
        ("series_instance_uid", pa.string()),
        ("content_digest", pa.string()),
        ("study_date", pa.date32()),
        ("modality", pa.string()),
        ("body_part", pa.string()),
        ("contrast", pa.bool_()),
        ("manufacturer", pa.string()),
        ("kernel", pa.string()),
        ("model", pa.string()),
        ("slice_thickness_mm", pa.float64()),
        ("slice_spacing_mm", pa.float64()),
        ("pixel_spacing_mm", pa.float64()),
        ("kvp", pa.float64()),
        ("magnetic_field_t", pa.float64()),
        ("image_type", pa.list_(pa.string())),
        ("instances", pa.int64()),
        ("is_scout", pa.bool_()),
        ("is_derived", pa.bool_()),
    ]
)
_LINK = pa.schema([("sid", pa.string()), ("person", pa.string()), ("method", pa.string()), ("score", pa.float64())])


@dataclass(frozen=True)
class Snapshot:
    """The tables of one moment, as they stand on an engine."""

    tables: Tables
    version: str
    """Data version: load of the SNDS, and digest of index and links."""
    engine: Engine
    contents: dict[str, str]
    """`content_digest` by series: what was looked at is what may be released."""


@contextmanager
def take(connection: Connection, folder: Path, spark: str | None = None) -> Iterator[Snapshot]:
    """A snapshot on DuckDB, or on the Spark with that master; `folder` is `settings.tables`.

    Raises `LinkageError` when the folder holds no load, and `HubError` when there is no Spark.
    """
    load = loading.current(folder)
    series, digest = _series(connection)
    links, link_digest = _links(connection)
    with on_duckdb() if spark is None else on_spark(spark, folder) as engine:
        person = _persons(engine.parquet("person", load.folder / "person.parquet"))
        subject = engine.table("link", links).left_join(person, "person").drop("person_right")
        tables = Tables(
            engine.hold(subject), engine.parquet("event", load.folder / "event"), engine.table("series", series)
        )
        contents = dict(
            zip(series["series_instance_uid"].to_pylist(), series["content_digest"].to_pylist(), strict=True)
        )
        yield Snapshot(tables, f"snds {load.version} hub {_joined(digest, link_digest)}", engine, contents)


def _persons(person: Any) -> Any:
    """What cohorts ask of a person, from the columns of the load."""
    return person.select(
        person=person.person,
        birth_month=ibis.date(person.birth_year, person.birth_month, 1),
        sex=ibis.cases((person.sex == 1, "male"), (person.sex == 2, "female")),
        death_date=person.death_date,
    )


def _series(connection: Connection) -> tuple[pa.Table, str]:
    rows = connection.execute(
        text(
            "SELECT st.sid, s.series_instance_uid, s.content_digest, st.study_date, s.modality, s.body_part,"
            " s.contrast, s.manufacturer, s.kernel, s.model, s.slice_thickness_mm, s.slice_spacing_mm,"
            " s.pixel_spacing_mm, s.kvp, s.magnetic_field_t, s.image_type, s.instances, s.is_scout, s.is_derived"
            " FROM hub.series s JOIN hub.study st USING (study_instance_uid)"
            " WHERE s.review_state <> 'REJECTED' AND st.state <> 'VETOED' ORDER BY s.series_instance_uid"
        )
    )
    return _table(rows.mappings(), _SERIES)


# A series without a link is in no cohort: whoever opposes is left out here.
def _links(connection: Connection) -> tuple[pa.Table, str]:
    rows = connection.execute(
        text("SELECT sid, snds_person AS person, method, score FROM hub.link_in_use ORDER BY sid")
    )
    return _table(rows.mappings(), _LINK)


def _table(rows: Any, schema: pa.Schema) -> tuple[pa.Table, str]:
    """Rows in their order as an Arrow table, and the digest of their values."""
    found = [dict(row) for row in rows]
    sha256 = hashlib.sha256()
    for row in found:
        sha256.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return pa.Table.from_pylist(found, schema=schema), sha256.hexdigest()


def _joined(*digests: str) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:32]
