"""Is there a NIR anywhere outside the identifying zone? A search of every table and file for what could be one.

What counts is 13 characters of a NIR with a key that fits them (modulo 97), written in one run or in the usual groups,
and standing alone. One in 97 numbers of that shape fits by chance, so a finding is a place to look at; none is a
proof for numbers with their key. What is found is never repeated.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pyarrow import parquet
from sqlalchemy import Connection, text
from stdnum.fr import nir

_SHAPE = re.compile(
    rb"(?<![0-9A-Za-z])([1-478] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2})(?![0-9A-Za-z])"
)
_SHAPE_SQL = "[1-478] ?[0-9]{2} ?[0-9]{2} ?([0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"
_ROWS_AT_ONCE = 1000
_IDENTIFYING = "identifying"


@dataclass(frozen=True, slots=True)
class NirScan:
    """What was searched, and where something was found."""

    columns: int
    files: int
    findings: dict[str, int]
    """How many, by `schema.table.column` or by path."""


def count(content: bytes | mmap) -> int:
    """How many NIR with a right key stand in these bytes."""
    return sum(nir.is_valid(found[1].replace(b" ", b"").decode("ascii").upper()) for found in _SHAPE.finditer(content))


def scan(connection: Connection, folders: Sequence[Path], *, passed_over: Sequence[Path] = ()) -> NirScan:
    """Search every table outside the identifying schema, and every file below `folders`.

    `connection` is the owner's, who may read them all. `passed_over` are folders that are the identifying zone's.
    """
    findings: Counter[str] = Counter()
    columns = _columns(connection)
    for schema, table, column, kind in columns:
        findings[f"{schema}.{table}.{column}"] += _in_column(connection, schema, table, column, kind)
    files = [file for folder in folders for file in _files(folder, passed_over)]
    for file in files:
        findings[str(file)] += _in_file(file)
    return NirScan(len(columns), len(files), {place: number for place, number in sorted(findings.items()) if number})


def _columns(connection: Connection) -> list[tuple[str, str, str, str]]:
    rows = connection.execute(
        text(
            "SELECT c.table_schema, c.table_name, c.column_name, c.data_type FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE t.table_type = 'BASE TABLE'"
            " AND c.table_schema NOT IN ('pg_catalog', 'information_schema', :identifying)"
            " ORDER BY 1, 2, c.ordinal_position"
        ),
        {"identifying": _IDENTIFYING},
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def _in_column(connection: Connection, schema: str, table: str, column: str, kind: str) -> int:
    """Names are the catalogue's own, quoted; the values never leave the loop."""
    quote = connection.dialect.identifier_preparer.quote
    name = quote(column) if kind == "bytea" else f"CAST({quote(column)} AS text)"
    query = f"SELECT v FROM (SELECT {name} AS v FROM {quote(schema)}.{quote(table)}) shown WHERE v IS NOT NULL"  # noqa: S608
    if kind != "bytea":
        query += " AND v ~ :shape"
    rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(text(query), {"shape": _SHAPE_SQL})
    return sum(count(value if kind == "bytea" else value.encode()) for value in rows.scalars())


def _files(folder: Path, passed_over: Sequence[Path]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not any(path.is_relative_to(one) for one in passed_over):
            yield path


def _in_file(file: Path) -> int:
    """What Parquet and gzip hide is brought to light."""
    if file.suffix == ".parquet":
        batches = parquet.ParquetFile(file).iter_batches(_ROWS_AT_ONCE)
        return sum(
            count("\n".join(map(str, column.to_pylist())).encode()) for batch in batches for column in batch.columns
        )
    if file.suffix == ".gz":
        return count(gzip.decompress(file.read_bytes()))
    if not file.stat().st_size:
        return 0  # nothing to map
    with file.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        return count(content)
