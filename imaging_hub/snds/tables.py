"""SNDS tables: the columns that are loaded with their types, the nomenclature of imaging acts, and reading of files.

A table is one file or many: `IR_BEN_R.parquet`, `ER_PRS_F_201903.parquet` (flux month), `T_MCO19B.parquet` (year `aa`
of the stays' end), in Parquet, or CSV with a header. SQL is composed of names in `columns.csv` and of file names only.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import duckdb

from imaging_hub.errors import LinkageError

JOIN_KEY = (
    "DCT_ORD_NUM",
    "FLX_DIS_DTD",
    "FLX_EMT_ORD",
    "FLX_EMT_NUM",
    "FLX_EMT_TYP",
    "FLX_TRT_DTD",
    "ORG_CLE_NUM",
    "PRS_ORD_NUM",
    "REM_TYP_AFF",
)
"""The nine columns that join ER_PRS_F to its detail tables (*tables affinées*)."""

OPTIONAL_TABLES = frozenset(
    {"ER_BIO_F", "ER_TIP_F", "ER_UCD_F", "KI_CCI_R", "KI_ECD_R", "T_MCOaaFHSTC", "T_MCOaaFM", "T_MCOaaMED"}
)
"""Tables that an extraction may lack; cohorts that need them are then refused."""

_SQL_TYPE = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "date": "DATE"}


@dataclass(frozen=True, slots=True)
class SndsColumn:
    """A column as defined in the SNDS dictionary."""

    name: str
    type: str
    """`string`, `integer`, `number` or `date`."""
    format: str
    """strptime format of a date stored as text, else empty."""

    @property
    def cast(self) -> str:
        """SQL expression that converts its text to its type, NULL for an invalid value."""
        text = f"nullif(trim(CAST({self.name} AS VARCHAR)), '')"
        if self.type == "string":
            return text
        if self.type == "date" and self.format:
            return f"coalesce(TRY_CAST({text} AS DATE), CAST(try_strptime({text}, '{self.format}') AS DATE))"
        if self.type == "date":
            return f"CAST(TRY_CAST({text} AS TIMESTAMP) AS DATE)"
        return f"TRY_CAST({text} AS {_SQL_TYPE[self.type]})"


@cache
def table_schemas() -> dict[str, tuple[SndsColumn, ...]]:
    """Return the columns by table."""
    tables: dict[str, list[SndsColumn]] = {}
    for line in csv.DictReader(_read_resource("columns.csv").splitlines()):
        tables.setdefault(line["table"], []).append(SndsColumn(line["column"], line["type"], line["format"]))
    return {table: tuple(columns) for table, columns in tables.items()}


@cache
def duplicate_finess() -> tuple[str, ...]:
    """Return the FINESS numbers that duplicate stays of AP-HP, AP-HM and HCL up to 2017."""
    return tuple(json.loads(_read_resource("finess_duplicates.json"))["eta_num"])


@dataclass(frozen=True, slots=True)
class ImagingAct:
    """An imaging act of the CCAM, with attributes derived from its label and not yet reviewed by a radiologist."""

    code: str
    label: str
    modality: str
    """DICOM modality, empty when the label does not name one."""
    contrast: str
    """`yes`, `no` or `na`."""
    regions: tuple[str, ...]


@cache
def imaging_acts() -> dict[str, ImagingAct]:
    """Return the 655 imaging acts of the CCAM, by code."""
    return {
        line["code"]: ImagingAct(
            line["code"],
            line["label_fr"],
            line["dicom_modality"],
            line["contrast"],
            tuple(filter(None, line["body_regions"].split("|"))),
        )
        for line in csv.DictReader(_read_resource("ccam_imaging.csv").splitlines())
    }


def attach_tables(database: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, int]:
    """Create each SNDS table of `folder` in `database` under its generic name; returns rows read, by table.

    PMSI tables get a column `aa`, the year in the file's name. Raises `LinkageError` `table-missing`, `column-missing`
    or `column-type`, which names table and column.
    """
    return {table: _attach_table(database, folder, table, columns) for table, columns in table_schemas().items()}


def _attach_table(
    database: duckdb.DuckDBPyConnection, folder: Path, table: str, columns: tuple[SndsColumn, ...]
) -> int:
    files = _files(folder, table)
    if not files and table in OPTIONAL_TABLES:
        typed = [f"{column.name} {_SQL_TYPE[column.type]}" for column in columns]
        empty = ", ".join([*typed, "aa INT"] if "aa" in table else typed)
        database.execute(f"CREATE OR REPLACE TABLE {table} ({empty})")
        return 0
    if not files:
        message = f"table {table} is not there"
        hint = f"put {table.replace('aa', '19')}.parquet or .csv into the folder"
        raise LinkageError(message, code="table-missing", hint=hint)
    source = _source_sql(files)
    present = {row[0].upper() for row in database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}  # noqa: S608
    for column in columns:
        if column.name not in present:
            message = f"table {table} lacks column {column.name}"
            raise LinkageError(message, code="column-missing", hint="extract the table again with this column")
    casts = ", ".join(f"{column.cast} AS {column.name}" for column in columns)
    year = ", 2000 + CAST(regexp_extract(filename, 'T_MCO(\\d\\d)', 1) AS INT) AS aa" if "aa" in table else ""
    database.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT {casts}{year} FROM {source}")  # noqa: S608
    _refuse_unreadable(database, table, columns, source)
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608


def _refuse_unreadable(
    database: duckdb.DuckDBPyConnection, table: str, columns: tuple[SndsColumn, ...], source: str
) -> None:
    """Raise `LinkageError` for a value that is not of its column's type, a fault of the extraction."""
    for column in columns:
        if column.type == "string":
            continue
        unreadable = database.execute(
            f"SELECT count(*) FROM {source}"  # noqa: S608
            f" WHERE nullif(trim(CAST({column.name} AS VARCHAR)), '') IS NOT NULL AND {column.cast} IS NULL"
        ).fetchall()[0][0]
        if unreadable:
            message = f"table {table}, column {column.name}: {unreadable} values are not of type {column.type}"
            raise LinkageError(message, code="column-type", hint=f"write it as {column.format or column.type}")


def _files(folder: Path, table: str) -> list[Path]:
    stem = re.escape(table).replace("aa", r"\d\d") if "aa" in table else re.escape(table) + r"(_\d{4,6})?"
    pattern = re.compile(stem + r"\.(parquet|csv)", re.IGNORECASE)
    return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))


def _source_sql(files: list[Path]) -> str:
    parts = []
    for suffix, reader in (
        (".parquet", "read_parquet({}, union_by_name=true, filename=true)"),
        (".csv", "read_csv({}, header=true, all_varchar=true, union_by_name=true, filename=true)"),
    ):
        paths = [str(path).replace("'", "''") for path in files if path.suffix.lower() == suffix]
        if paths:
            parts.append("SELECT * FROM " + reader.format("[" + ", ".join(f"'{path}'" for path in paths) + "]"))  # noqa: S608
    return "(" + " UNION ALL BY NAME ".join(parts) + ")"


def _read_resource(name: str) -> str:
    return resources.files(__package__).joinpath("schemas", name).read_text("utf-8")
