"""Search for a NIR in every table and file outside the identifying zone.

A match is 13 characters of a NIR with a valid key (modulo 97), written in one run or in the usual groups, between
characters that are neither letter nor digit. One in 97 numbers of that shape matches by chance, so a match is a place
to look at, and no match is a proof for NIR with their key. A matched number is never repeated.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pyarrow import ArrowException, parquet
from sqlalchemy import Connection, text
from stdnum.fr import nir

_SHAPE = re.compile(
    rb"(?<![0-9A-Za-z])([1-478] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2})(?![0-9A-Za-z])"
)
_SHAPE_SQL = "[1-478] ?[0-9]{2} ?[0-9]{2} ?([0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"
_BATCH_ROWS = 1000
_PARQUET, _GZIP = b"PAR1", b"\x1f\x8b"
_IDENTIFYING = "identifying"


@dataclass(frozen=True, slots=True)
class NirScan:
    """Numbers of columns and files searched, and the places with matches."""

    columns: int
    files: int
    findings: dict[str, int]
    """Number of matches by `schema.table.column` or by path."""


def count_nirs(content: bytes | mmap) -> int:
    """Count the NIR with a valid key in these bytes."""
    return sum(nir.is_valid(match[1].replace(b" ", b"").decode("ascii").upper()) for match in _SHAPE.finditer(content))


def scan(connection: Connection, folders: Sequence[Path], *, excluded: Sequence[Path] = ()) -> NirScan:
    """Search every table outside the identifying schema, and every file below `folders`.

    `connection` has the owner's role, which may read every table. `excluded` are the identifying zone's folders.
    """
    findings: Counter[str] = Counter()
    columns = _list_columns(connection)
    for schema, table, column, kind in columns:
        findings[f"{schema}.{table}.{column}"] += _count_in_column(connection, schema, table, column, kind)
    files = [file for folder in folders for file in _list_files(folder, excluded)]
    for file in files:
        findings[str(file)] += _count_in_file(file)
    return NirScan(len(columns), len(files), {place: number for place, number in sorted(findings.items()) if number})


def _list_columns(connection: Connection) -> list[tuple[str, str, str, str]]:
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


def _count_in_column(connection: Connection, schema: str, table: str, column: str, kind: str) -> int:
    """Count the NIR in one column; names come quoted from the catalogue, and no value is kept."""
    quote = connection.dialect.identifier_preparer.quote
    name = quote(column) if kind == "bytea" else f"CAST({quote(column)} AS text)"
    query = f"SELECT v FROM (SELECT {name} AS v FROM {quote(schema)}.{quote(table)}) shown WHERE v IS NOT NULL"  # noqa: S608
    if kind != "bytea":
        query += " AND v ~ :shape"
    rows = connection.execution_options(yield_per=_BATCH_ROWS).execute(text(query), {"shape": _SHAPE_SQL})
    return sum(count_nirs(value if kind == "bytea" else value.encode()) for value in rows.scalars())


def _list_files(folder: Path, excluded: Sequence[Path]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not any(path.is_relative_to(each) for each in excluded):
            yield path


def _count_in_file(file: Path) -> int:
    """Count the NIR in one file, with Parquet and gzip decompressed; one that breaks off is searched as it is."""
    if not file.stat().st_size:
        return 0  # nothing to map
    with file.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        # An object of the archive has no suffix, so its first bytes say what it is.
        with suppress(ArrowException, OSError, EOFError, zlib.error):
            if content[:4] == _PARQUET:
                return _count_in_parquet(file)
            if content[:2] == _GZIP:
                return count_nirs(gzip.decompress(content))
        return count_nirs(content)


def _count_in_parquet(file: Path) -> int:
    return sum(
        count_nirs("\n".join(map(str, column.to_pylist())).encode())
        for batch in parquet.ParquetFile(file).iter_batches(_BATCH_ROWS)
        for column in batch.columns
    )
