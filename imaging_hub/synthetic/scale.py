"""Large populations of millions of people, written directly as a load of the SNDS and as rows of the index.

They serve measurements of speed; `generator` writes whole extractions, with all special cases of the raw tables.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from itertools import product
from pathlib import Path
from typing import cast

import duckdb
import psycopg
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Connection

from imaging_hub.cohorts import nomenclature
from imaging_hub.snds.extractors import DOMAINS
from imaging_hub.snds.tables import imaging_acts

INDEX_TABLES = ("subject", "study", "series", "link")
"""Tables of the index in the order of filling."""
_PARTS = 5
_BLOCK = 1 << 20
_VERSION = "scale"


def write_tables(tables: Path, persons: int, seed: int) -> dict[str, int]:
    """Write a load into the new folder `tables`, and make it current; returns the number of events by domain.

    `tables/rows` gets a CSV file with a header for each table of `INDEX_TABLES`.
    """
    folder, rows = tables / _VERSION, tables / "rows"
    rows.mkdir(parents=True)
    with duckdb.connect(config={"temp_directory": str(tables / "spill")}) as database:
        acts = [act for act in imaging_acts().values() if act.modality]
        database.register("icd10", pa.table({"code": nomenclature.icd10_codes()}))
        database.register(
            "imaging_act", pa.table({"code": [a.code for a in acts], "modality": [a.modality for a in acts]})
        )
        _set_variables(database, persons, seed)
        database.execute(resources.files(__package__).joinpath("scale.sql").read_text("utf-8"))

        def write(domain: str, part: int) -> None:
            with database.cursor() as cursor:
                _set_variables(cursor, persons, seed)
                place = folder / "event" / f"domain={domain}"
                place.mkdir(parents=True, exist_ok=True)
                found = cursor.sql(
                    "FROM event_of($domain, $part) ORDER BY code", params={"domain": domain, "part": part}
                )
                found.write_parquet(str(place / f"{part}.parquet"))

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(lambda job: write(*job), product(DOMAINS, range(_PARTS))))
        for table in INDEX_TABLES:
            database.table(f"{table}_rows").write_csv(str(rows / f"{table}.csv"))
        people = database.table("person").project(
            "person, birth_year, birth_month, sex, death_date, 1 AS psa, FALSE AS shares_psa"
        )
        people.order("person").write_parquet(str(folder / "person.parquet"))
        found = database.read_parquet(str(folder / "event/**/*.parquet"), hive_partitioning=True)
        events: dict[str, int] = dict(found.aggregate("domain, count(*)").order("domain").fetchall())
    report = {"version": _VERSION, "persons": persons, "events": events, "tables": []}
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
    (tables / "current").write_text(_VERSION, "utf-8")
    return events


def fill_index(connection: Connection, tables: Path) -> None:
    """Copy `tables/rows` into the index; `connection` has the owner's role."""
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    for table in INDEX_TABLES:
        with (tables / "rows" / f"{table}.csv").open("rb") as rows, driver.cursor() as cursor:
            names = [sql.Identifier(name) for name in rows.readline().decode().strip().split(",")]
            statement = sql.SQL("COPY hub.{} ({}) FROM STDIN (FORMAT csv)").format(
                sql.Identifier(table), sql.SQL(", ").join(names)
            )
            with cursor.copy(statement) as copy:
                while block := rows.read(_BLOCK):
                    copy.write(block)


def _set_variables(database: duckdb.DuckDBPyConnection, persons: int, seed: int) -> None:
    database.execute("SET VARIABLE persons = $1", [persons])
    database.execute("SET VARIABLE seed = $1", [seed])
