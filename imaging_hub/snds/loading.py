"""From an SNDS extraction to the tables that cohorts read, each load a version of its own.

    tables/<version>/event/domain=…/*.parquet   person, source_table, group_id, code_system, code, position, start,
                                                end, qty, finess (8 characters, without check digit)
    tables/<version>/person.parquet             person, birth_year, birth_month, sex (1, 2), death_date, psa,
                                                shares_psa (a BEN_NIR_PSA is somebody else's too)
    tables/<version>/report.json                rows in, kept and dropped by reason
    tables/current                              name of the version in force

A version is the digest of what was read and of the rules: the same extraction loaded twice is the same version, and a
frozen cohort can say on which data it stands. It appears whole, by one rename, or not at all.
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
from imaging_hub.snds.tables import attach, duplicate_finess

_CURRENT = "current"


@dataclass(frozen=True, slots=True)
class TableReport:
    """What became of the rows of one table."""

    table: str
    read: int
    kept: int
    dropped: dict[str, int]
    """Rows by reason code."""


@dataclass(frozen=True, slots=True)
class DataVersion:
    """A load: what cohorts count on."""

    version: str
    folder: Path
    persons: int
    events: dict[str, int]
    """Events by domain."""
    tables: tuple[TableReport, ...]


def load(folder: Path, tables: Path) -> DataVersion:
    """Load the extraction in `folder` into `tables` and make it current; `LinkageError` names table and cure."""
    if not folder.is_dir():
        raise LinkageError("there is no such folder", code="no-folder", hint="name the folder of the extraction")
    version = _digest(folder)
    target = tables / version
    tables.mkdir(parents=True, exist_ok=True)
    with _turn(tables):
        for dead in tables.glob(".draft-*"):  # of a load that was killed
            shutil.rmtree(dead)
        if not target.exists():
            draft = tables / f".draft-{secrets.token_hex(8)}"
            try:
                _write(folder, draft, version)
                os.sync()  # every file of it, before its name
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        _flip(tables, version)
        os.sync()
    return _described(target)


def current(tables: Path) -> DataVersion:
    """The version in force; raises `LinkageError` when nothing was loaded."""
    try:
        version = (tables / _CURRENT).read_text("utf-8").strip()
    except FileNotFoundError:
        raise LinkageError(
            "no SNDS tables are loaded", code="nothing-loaded", hint="imaging-hub snds load DIR"
        ) from None
    return _described(tables / version)


@contextmanager
def _turn(tables: Path) -> Iterator[None]:
    """One load at a time; the kernel lets go of the lock of a process that is killed."""
    lock = os.open(tables, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(folder: Path, draft: Path, version: str) -> None:
    draft.mkdir()
    with duckdb.connect(config={"temp_directory": str(draft / "spill")}) as database:
        read = attach(database, folder)
        database.execute("CREATE TABLE duplicate_finess (eta_num VARCHAR)")
        database.executemany("INSERT INTO duplicate_finess VALUES (?)", [[finess] for finess in duplicate_finess()])
        database.execute(extractors.EVENT)
        reports = []
        for table, judged, statements in extractors.EXTRACTORS:
            database.execute(statements)
            reports.append(_report(database, table, judged, read[table]))
        persons = database.table("person").count("*").fetchall()[0][0]
        events = dict(database.execute("SELECT domain, count(*) FROM event GROUP BY domain ORDER BY domain").fetchall())
        _export(database, draft)
    report = {"persons": persons, "events": events, "tables": [asdict(one) for one in reports]}
    (draft / "report.json").write_text(json.dumps({"version": version, **report}, indent=1), "utf-8")
    shutil.rmtree(draft / "spill", ignore_errors=True)


def _report(database: duckdb.DuckDBPyConnection, table: str, judged: str, read: int) -> TableReport:
    by_reason = dict(database.table(judged).aggregate("reason, count(*)", "reason").order("reason").fetchall())
    return TableReport(table, read, by_reason.pop(None, 0), by_reason)


def _export(database: duckdb.DuckDBPyConnection, draft: Path) -> None:
    """A file for each domain, empty ones too; sorted by code, so that a cohort reads the row groups of its codes."""
    for domain in extractors.DOMAINS:
        place = draft / "event" / f"domain={domain}"
        place.mkdir(parents=True)
        rows = database.table("event").filter(f"domain = '{domain}'").order('code, person, start, "position", group_id')
        rows.project("* EXCLUDE (domain)").write_parquet(str(place / "events.parquet"))
    database.table("person").order("person").write_parquet(str(draft / "person.parquet"))


def _flip(tables: Path, version: str) -> None:
    draft = tables / ".current"
    draft.write_text(version, "utf-8")
    draft.replace(tables / _CURRENT)


def _described(folder: Path) -> DataVersion:
    report = json.loads((folder / "report.json").read_text("utf-8"))
    tables = tuple(TableReport(**one) for one in report["tables"])
    return DataVersion(report["version"], folder, report["persons"], report["events"], tables)


def _digest(folder: Path) -> str:
    """Over names and contents of the tables, and over the rules that read them."""
    digest = hashlib.sha256(repr(extractors.EXTRACTORS).encode())
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".parquet", ".csv"):
            with path.open("rb") as file:
                digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()[:32]
