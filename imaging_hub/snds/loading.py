"""Loading of an SNDS extraction into the tables that cohorts read; each load is a version of its own.

    tables/<version>/event/domain=…/*.parquet   person, source_table, group_id, code_system, code, position, start,
                                                end, qty, finess (8 characters, without check digit)
    tables/<version>/person.parquet             person, birth_year, birth_month, sex (1, 2), death_date, psa,
                                                shares_psa (a BEN_NIR_PSA is another person's too)
    tables/<version>/report.json                rows read, kept and dropped by reason
    tables/current                              name of the version in force

A version is named by the digest of the files read and of the rules: the same extraction loaded twice is the same
version, and a frozen cohort can name the data it was counted on. A version appears complete, by one rename.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from imaging_hub.errors import LinkageError
from imaging_hub.snds import extractors
from imaging_hub.snds.tables import attach_tables, duplicate_finess

_CURRENT = "current"


@dataclass(frozen=True, slots=True)
class TableReport:
    """Rows of one SNDS table: read, kept and dropped."""

    table: str
    read: int
    kept: int
    dropped: dict[str, int]
    """Rows by reason code."""


@dataclass(frozen=True, slots=True)
class DataVersion:
    """One load of the SNDS tables, on which cohorts are counted."""

    version: str
    folder: Path
    persons: int
    events: dict[str, int]
    """Events by domain."""
    tables: tuple[TableReport, ...]


def load(folder: Path, tables: Path) -> DataVersion:
    """Load the extraction in `folder` into `tables` and make it the current version.

    Raises `LinkageError` that names the table and column that is missing or unreadable.
    """
    if not folder.is_dir():
        raise LinkageError("there is no such folder", code="no-folder", hint="name the folder of the extraction")
    version = _digest(folder)
    destination = tables / version
    tables.mkdir(parents=True, exist_ok=True)
    with _lock(tables):
        for leftover in tables.glob(".draft-*"):  # from a load that was killed
            shutil.rmtree(leftover)
        if not destination.exists():
            draft = tables / f".draft-{secrets.token_hex(8)}"
            try:
                _write_version(folder, draft, version)
                os.sync()  # its files before its name
                draft.rename(destination)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        _set_current(tables, version)
        os.sync()
    return _read_version(destination)


def current_version(tables: Path) -> DataVersion:
    """Return the version in force; raises `LinkageError` `nothing-loaded`."""
    try:
        version = (tables / _CURRENT).read_text("utf-8").strip()
    except FileNotFoundError:
        raise LinkageError(
            "no SNDS tables are loaded", code="nothing-loaded", hint="imaging-hub snds load DIR"
        ) from None
    return _read_version(tables / version)


@contextmanager
def _lock(tables: Path) -> Iterator[None]:
    """Lock `tables` for one load at a time; the kernel releases the lock of a process that is killed."""
    lock = os.open(tables, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write_version(folder: Path, draft: Path, version: str) -> None:
    draft.mkdir()
    with duckdb.connect(config={"temp_directory": str(draft / "spill")}) as database:
        read = attach_tables(database, folder)
        database.execute("CREATE TABLE duplicate_finess (eta_num VARCHAR)")
        database.executemany("INSERT INTO duplicate_finess VALUES (?)", [[finess] for finess in duplicate_finess()])
        database.execute(extractors.EVENT)
        reports = []
        for table, judged, statements in extractors.EXTRACTORS:
            database.execute(statements)
            reports.append(_count_by_reason(database, table, judged, read[table]))
        persons = database.table("person").count("*").fetchall()[0][0]
        events = dict(database.execute("SELECT domain, count(*) FROM event GROUP BY domain ORDER BY domain").fetchall())
        _write_files(database, draft)
    report = {"persons": persons, "events": events, "tables": [asdict(table) for table in reports]}
    (draft / "report.json").write_text(json.dumps({"version": version, **report}, indent=1), "utf-8")
    shutil.rmtree(draft / "spill", ignore_errors=True)


def _count_by_reason(database: duckdb.DuckDBPyConnection, table: str, judged: str, read: int) -> TableReport:
    by_reason = dict(database.table(judged).aggregate("reason, count(*)", "reason").order("reason").fetchall())
    return TableReport(table, read, by_reason.pop(None, 0), by_reason)


def _write_files(database: duckdb.DuckDBPyConnection, draft: Path) -> None:
    """Write a file for each domain, also an empty one; sorted by code, so that a cohort reads few row groups."""
    for domain in extractors.DOMAINS:
        place = draft / "event" / f"domain={domain}"
        place.mkdir(parents=True)
        rows = database.table("event").filter(f"domain = '{domain}'").order('code, person, start, "position", group_id')
        rows.project("* EXCLUDE (domain)").write_parquet(str(place / "events.parquet"))
    database.table("person").order("person").write_parquet(str(draft / "person.parquet"))


def _set_current(tables: Path, version: str) -> None:
    draft = tables / ".current"
    draft.write_text(version, "utf-8")
    draft.replace(tables / _CURRENT)


def _read_version(folder: Path) -> DataVersion:
    report = json.loads((folder / "report.json").read_text("utf-8"))
    tables = tuple(TableReport(**table) for table in report["tables"])
    return DataVersion(report["version"], folder, report["persons"], report["events"], tables)


def _digest(folder: Path) -> str:
    """Return the digest of the files' names and contents, and of the extractors."""
    digest = hashlib.sha256(repr(extractors.EXTRACTORS).encode())
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".parquet", ".csv"):
            with path.open("rb") as file:
                digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()[:32]
