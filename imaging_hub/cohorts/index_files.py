"""The index of linked series in files, as it is now: an engine reads them, and only what changed is written anew.

    tables/index/series-<bucket>-<version>-<digest>.parquet    a row a series, with its subject's `sid`
    tables/index/link-<bucket>-<version>-<digest>.parquet      a row a linked subject

A bucket is a 256th of the subjects, each whole in one; whatever changes a row of it gives it another version
(`hub.index_version`). A series that was rejected in review, or whose study was vetoed, is not there, nor is anybody
who opposes. Readers hold a lock: what is out of date goes when nobody reads.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import duckdb
import psycopg
from sqlalchemy import Connection, text

_COLUMNS = {
    "sid": "VARCHAR",
    "person": "VARCHAR",
    "method": "VARCHAR",
    "score": "DOUBLE",
    "series_instance_uid": "VARCHAR",
    "content_digest": "VARCHAR",
    "study_date": "DATE",
    "modality": "VARCHAR",
    "body_part": "VARCHAR",
    "contrast": "BOOLEAN",
    "manufacturer": "VARCHAR",
    "kernel": "VARCHAR",
    "model": "VARCHAR",
    "slice_thickness_mm": "DOUBLE",
    "slice_spacing_mm": "DOUBLE",
    "pixel_spacing_mm": "DOUBLE",
    "kvp": "DOUBLE",
    "magnetic_field_t": "DOUBLE",
    "image_type": "VARCHAR",
    "instances": "BIGINT",
    "is_scout": "BOOLEAN",
    "is_derived": "BOOLEAN",
}

# One statement a bucket, so that link and series of a subject are of one moment. Values of Image Type are apart by a
# backslash, which DICOM keeps for that.
_BUCKET = r"""
COPY (
  SELECT l.sid, l.snds_person, l.method, l.score, series_instance_uid, content_digest, study_date, modality, body_part,
    contrast, manufacturer, kernel, model, slice_thickness_mm, slice_spacing_mm, pixel_spacing_mm, kvp,
    magnetic_field_t, array_to_string(image_type, '\'), instances, is_scout, is_derived
  FROM hub.link_in_use l LEFT JOIN (
    SELECT st.sid, st.study_date, s.* FROM hub.study st JOIN hub.series s USING (study_instance_uid)
    WHERE s.review_state <> 'REJECTED' AND st.state <> 'VETOED') AS seen USING (sid)
  WHERE hub.bucket(l.sid) = %s ORDER BY l.sid COLLATE "C", series_instance_uid COLLATE "C"
) TO STDOUT (FORMAT csv)
"""
_LINK = "SELECT DISTINCT sid, person, method, score FROM found ORDER BY sid"
_SEEN = """
  SELECT sid, * EXCLUDE (sid, person, method, score)
    REPLACE (CASE WHEN image_type <> '' THEN string_split(image_type, chr(92)) ELSE [] END AS image_type)
  FROM found WHERE series_instance_uid IS NOT NULL
"""
_EMPTY = hashlib.sha256().hexdigest()
_ALWAYS_THERE = {0: 0}
"""A bucket without changes is written too, so that there is a table when nothing is linked."""


@dataclass(frozen=True, slots=True)
class IndexFiles:
    """The files of one moment."""

    series: list[Path]
    link: list[Path]
    digest: str
    """Of their content, whatever their versions."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A bucket in a version, and the SHA-256 of its rows."""

    bucket: int
    version: int
    digest: str

    @classmethod
    def of(cls, series: Path) -> _Part:
        bucket, version, digest = series.stem.split("-")[1:]
        return cls(int(bucket, 16), int(version, 16), digest)

    def file(self, place: Path, table: str) -> Path:
        return place / f"{table}-{self.bucket:02x}-{self.version:016x}-{self.digest}.parquet"


@contextmanager
def held(connection: Connection, tables: Path) -> Iterator[IndexFiles]:
    """The files as the index is now, which stay until the end of the block; `tables` is `settings.tables`."""
    place = tables / "index"
    place.mkdir(parents=True, exist_ok=True)
    lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        wanted = sorted((_ALWAYS_THERE | _versions(connection)).items())
        there = {(part.bucket, part.version): part for part in map(_Part.of, place.glob("series-*"))}
        stale = [one for one in wanted if one not in there]
        there |= zip(stale, _written(connection, place, stale), strict=True)
        yield _files(place, [there[one] for one in wanted])
        if stale:
            _sweep(place, lock)
    finally:
        os.close(lock)


def _versions(connection: Connection) -> dict[int, int]:
    rows = connection.execute(text("SELECT bucket, version FROM hub.index_version"))
    return {row.bucket: row.version % (1 << 64) for row in rows}


def _files(place: Path, parts: list[_Part]) -> IndexFiles:
    content = "".join(f"{part.bucket} {part.digest}\n" for part in parts if part.digest != _EMPTY)
    return IndexFiles(
        [part.file(place, "series") for part in parts],
        [part.file(place, "link") for part in parts],
        hashlib.sha256(content.encode()).hexdigest(),
    )


def _written(connection: Connection, place: Path, stale: list[tuple[int, int]]) -> list[_Part]:
    """Write these buckets. What changed since its version was read is in the file, and makes it stale at once."""
    if not stale:
        return []
    draft = place / f".draft-{secrets.token_hex(8)}"
    draft.mkdir()
    try:
        with duckdb.connect() as database, _driver(connection).cursor() as cursor:
            return [_bucket(cursor, database, draft, *one) for one in stale]
    finally:
        shutil.rmtree(draft)


def _driver(connection: Connection) -> psycopg.Connection:
    """COPY is the driver's own."""
    return cast("psycopg.Connection", connection.connection.driver_connection)


def _bucket(
    cursor: psycopg.Cursor, database: duckdb.DuckDBPyConnection, draft: Path, bucket: int, version: int
) -> _Part:
    digest = hashlib.sha256()
    with (draft / "rows.csv").open("wb") as file, cursor.copy(_BUCKET, (bucket,)) as rows:
        for row in rows:
            digest.update(row)
            file.write(row)
    part = _Part(bucket, version, digest.hexdigest())
    database.execute("DROP TABLE IF EXISTS found")
    database.read_csv(
        str(draft / "rows.csv"), columns=_COLUMNS, header=False, auto_detect=False, delimiter=",", quotechar='"',
        escapechar='"', na_values="", allow_quoted_nulls=False, parallel=False,
    ).create("found")  # fmt: skip
    # Last the one that is looked for.
    for table, wanted in (("link", _LINK), ("series", _SEEN)):
        written = draft / table
        database.sql(wanted).write_parquet(str(written))
        with written.open("rb") as file:
            os.fsync(file.fileno())
        written.rename(part.file(draft.parent, table))
    return part


def _sweep(place: Path, lock: int) -> None:
    """Remove what is older than the newest file of its bucket, unless somebody reads."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    newest: dict[int, Path] = {}
    for series in sorted(place.glob("series-*"), key=lambda path: path.stat().st_mtime_ns):
        newest[_Part.of(series).bucket] = series
    kept = {path.stem.partition("-")[2] for path in newest.values()}
    for path in place.glob("*.parquet"):
        if path.stem.partition("-")[2] not in kept:
            path.unlink()
    for dead in place.glob(".draft-*"):  # of a process that was killed
        shutil.rmtree(dead)
