"""Parquet files of the index of linked series, for engines; only changed buckets are written again.

    tables/index/series-<bucket>-<version>-<digest>.parquet    one row per series, with its subject's `sid`
    tables/index/link-<bucket>-<version>-<digest>.parquet      one row per linked subject

A bucket holds a 256th of the subjects; a change of any of its rows gives it another version (`hub.index_version`).
Series that were rejected in review or whose study was vetoed, and subjects who opposed, are left out. Readers hold a
shared lock; outdated files are removed when nobody reads.
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

# One statement for each bucket, so that links and series of a subject are consistent. Values of Image Type are
# separated by a backslash, as in DICOM.
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
_SERIES = """
  SELECT sid, * EXCLUDE (sid, person, method, score)
    REPLACE (CASE WHEN image_type <> '' THEN string_split(image_type, chr(92)) ELSE [] END AS image_type)
  FROM found WHERE series_instance_uid IS NOT NULL
"""
_EMPTY = hashlib.sha256().hexdigest()
_EMPTY_INDEX = {0: 0}
"""Bucket 0 in version 0, written so that there is a table when nothing is linked."""


@dataclass(frozen=True, slots=True)
class IndexFiles:
    """The files of the index in its current state."""

    series: list[Path]
    link: list[Path]
    digest: str
    """Digest of their content, independent of versions."""


@dataclass(frozen=True, slots=True)
class _BucketVersion:
    """A version of a bucket, with the SHA-256 of its rows."""

    bucket: int
    version: int
    digest: str

    @classmethod
    def from_path(cls, series: Path) -> _BucketVersion:
        bucket, version, digest = series.stem.split("-")[1:]
        return cls(int(bucket, 16), int(version, 16), digest)

    def file(self, place: Path, table: str) -> Path:
        return place / f"{table}-{self.bucket:02x}-{self.version:016x}-{self.digest}.parquet"


@contextmanager
def open_index_files(connection: Connection, tables: Path) -> Iterator[IndexFiles]:
    """Write the changed buckets, and open the files until the end of the block; `tables` is `settings.tables`."""
    place = tables / "index"
    place.mkdir(parents=True, exist_ok=True)
    lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        versions = sorted((_EMPTY_INDEX | _versions(connection)).items())
        present = {(part.bucket, part.version): part for part in map(_BucketVersion.from_path, place.glob("series-*"))}
        stale = [version for version in versions if version not in present]
        present |= zip(stale, _write_buckets(connection, place, stale), strict=True)
        yield _files(place, [present[version] for version in versions])
        if stale:
            _remove_outdated(place, lock)
    finally:
        os.close(lock)


def _versions(connection: Connection) -> dict[int, int]:
    rows = connection.execute(text("SELECT bucket, version FROM hub.index_version"))
    return {row.bucket: row.version % (1 << 64) for row in rows}


def _files(place: Path, parts: list[_BucketVersion]) -> IndexFiles:
    content = "".join(f"{part.bucket} {part.digest}\n" for part in parts if part.digest != _EMPTY)
    return IndexFiles(
        [part.file(place, "series") for part in parts],
        [part.file(place, "link") for part in parts],
        hashlib.sha256(content.encode()).hexdigest(),
    )


def _write_buckets(connection: Connection, place: Path, stale: list[tuple[int, int]]) -> list[_BucketVersion]:
    """Write these buckets; a change after the version was read is in the file, and makes it outdated at once."""
    if not stale:
        return []
    draft = place / f".draft-{secrets.token_hex(8)}"
    draft.mkdir()
    try:
        with duckdb.connect() as database, _psycopg_connection(connection).cursor() as cursor:
            return [_write_bucket(cursor, database, draft, *bucket) for bucket in stale]
    finally:
        shutil.rmtree(draft)


def _psycopg_connection(connection: Connection) -> psycopg.Connection:
    """Return psycopg's connection, which has COPY."""
    return cast("psycopg.Connection", connection.connection.driver_connection)


def _write_bucket(
    cursor: psycopg.Cursor, database: duckdb.DuckDBPyConnection, draft: Path, bucket: int, version: int
) -> _BucketVersion:
    digest = hashlib.sha256()
    with (draft / "rows.csv").open("wb") as file, cursor.copy(_BUCKET, (bucket,)) as rows:
        for row in rows:
            digest.update(row)
            file.write(row)
    part = _BucketVersion(bucket, version, digest.hexdigest())
    database.execute("DROP TABLE IF EXISTS found")
    database.read_csv(
        str(draft / "rows.csv"), columns=_COLUMNS, header=False, auto_detect=False, delimiter=",", quotechar='"',
        escapechar='"', na_values="", allow_quoted_nulls=False, parallel=False,
    ).create("found")  # fmt: skip
    # The series file comes last, because `open_index_files` looks for it.
    for table, query in (("link", _LINK), ("series", _SERIES)):
        file_path = draft / table
        database.sql(query).write_parquet(str(file_path))
        with file_path.open("rb") as file:
            os.fsync(file.fileno())
        file_path.rename(part.file(draft.parent, table))
    return part


def _remove_outdated(place: Path, lock: int) -> None:
    """Remove the files of older versions, unless somebody reads."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    newest: dict[int, Path] = {}
    for series in sorted(place.glob("series-*"), key=lambda path: path.stat().st_mtime_ns):
        newest[_BucketVersion.from_path(series).bucket] = series
    kept = {path.stem.partition("-")[2] for path in newest.values()}
    for path in place.glob("*.parquet"):
        if path.stem.partition("-")[2] not in kept:
            path.unlink()
    for leftover in place.glob(".draft-*"):  # from a process that was killed
        shutil.rmtree(leftover)
