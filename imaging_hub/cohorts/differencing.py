"""What one account was told so far: whatever it adds and subtracts, no number of fewer than k people.

Everybody is in one cell at first. A count that is told parts every cell into those whom it counts and the others; it is
told only if no part holds fewer than k people, and if at least one cell is parted. A sum or difference of told counts
is then a count of whole cells, and no two told sets differ by fewer than k (auditing of query sets: F. Y. Chin and
G. Özsoyoğlu, Auditing and inference control in statistical databases, IEEE TSE 8(6), 1982).

A question that was told once has the same answer until so many people more or fewer would be counted that the
difference may be told. People who were counted stay in their cell when they leave the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any

import pyarrow as pa
from ibis import _
from pyarrow import parquet
from sqlalchemy import Connection, text

from imaging_hub.cohorts.engine import AnalyticEngine
from imaging_hub.cohorts.snapshot import CohortSnapshot

NEVER_COUNTED = 0
"""The cell of those who were in no count that was told, and of whoever comes later."""
_CELLS = pa.schema([("sid", pa.string()), ("cell", pa.int64())])
_MOVES = pa.schema([("cell", pa.int64()), ("to", pa.int64())])
NOBODY = _CELLS.empty_table()
"""The cells of an account that was told nothing yet."""


@dataclass(frozen=True, slots=True)
class CountRequest:
    """A count that is asked for, and its true answer."""

    digest: str
    """Of what it means: the same question asked in other words is another one."""
    people: Any
    """A table with `sid`."""
    count: int
    series: int | None = None
    """Series of these people, where they are asked for too."""


@dataclass(frozen=True, slots=True)
class CountAnswer:
    """What may be told, perhaps of an earlier version of the data; true numbers, rounded where they are shown."""

    count: int
    series: int | None


class CountedCells:
    """The cells of an account, over the people of a snapshot and those who were counted before."""

    def __init__(self, engine: AnalyticEngine, people: Any, counted: pa.Table, k: int) -> None:
        """`people` is a table with a `sid` a row; `counted` has those who were in a count before, with their cells."""
        self._engine = engine
        self._k = k
        self._cells = engine.table("told", counted)
        newcomers = people.anti_join(self._cells, "sid")
        self._never_counted = int(newcomers.count().to_pyarrow().as_py())

    def tell(self, subjects: Any) -> bool:
        """Part the cells by a table with `sid`, of people of the snapshot; whether the count may be told."""
        asked = subjects.select("sid").distinct().left_join(self._cells, "sid")
        inside = self._engine.hold(asked.select("sid", cell=asked.cell.fill_null(NEVER_COUNTED)))
        people = {NEVER_COUNTED: self._never_counted, **_sizes(self._cells)}
        counted = _sizes(inside)
        parts = [(counted.get(cell, 0), size - counted.get(cell, 0)) for cell, size in people.items()]
        if any(size and size < self._k for pair in parts for size in pair) or not any(all(pair) for pair in parts):
            return False
        fresh = range(max(people) + 1, max(people) + 1 + len(counted))
        moves = self._engine.table("moves", pa.table({"cell": sorted(counted), "to": fresh}, schema=_MOVES))
        moved = inside.join(moves, "cell").select("sid", cell=_.to)
        self._cells = self._engine.hold(self._cells.anti_join(inside, "sid").union(moved))
        self._never_counted -= counted.get(NEVER_COUNTED, 0)
        return True

    def counted(self) -> pa.Table:
        """Those who were in a count that was told, with their cells."""
        return self._cells.select("sid", "cell").to_pyarrow().cast(_CELLS)


def _sizes(cells: Any) -> dict[int, int]:
    """People by cell."""
    rows = cells.group_by("cell").aggregate(people=_.count()).to_pyarrow().to_pylist()
    return {row["cell"]: row["people"] for row in rows}


class Disclosures:
    """What an account was told so far, and what it may be told now: its turn lasts until the transaction ends."""

    def __init__(self, connection: Connection, account: str, snapshot: CohortSnapshot, k: int) -> None:
        self._connection = connection
        self._account = account
        self._cells = CountedCells(snapshot.engine, snapshot.tables.subject, _counted(connection, account), k)

    def answers(self, questions: Sequence[CountRequest], version: str) -> list[CountAnswer | None]:
        """An answer to each question, the last one first served; None where none may be given."""
        before = self._before([question.digest for question in questions])
        found: list[CountAnswer | None] = []
        for question in reversed(questions):
            known, of_version = before.get(question.digest, (None, ""))
            if of_version != version and self._cells.tell(question.people):
                known = CountAnswer(question.count, question.series)
                self._remember(question, version)
            found.append(known)
        return found[::-1]

    def keep(self) -> None:
        """Keep what was told, for the next time."""
        self._connection.execute(
            text("UPDATE hub.told SET cells = :cells WHERE account = :account"),
            {"account": self._account, "cells": _written(self._cells.counted())},
        )

    def _before(self, digests: list[str]) -> dict[str, tuple[CountAnswer | None, str]]:
        rows = self._connection.execute(
            text(
                "SELECT question, people, series, data_version FROM hub.answer"
                " WHERE account = :account AND question = ANY(:questions)"
            ),
            {"account": self._account, "questions": digests},
        )
        return {row.question: (CountAnswer(row.people, row.series), row.data_version) for row in rows}

    def _remember(self, question: CountRequest, version: str) -> None:
        self._connection.execute(
            text(
                "INSERT INTO hub.answer (account, question, people, series, data_version)"
                " VALUES (:account, :question, :people, :series, :version)"
                " ON CONFLICT (account, question) DO UPDATE SET people = excluded.people, series = excluded.series,"
                " data_version = excluded.data_version, told_at = now()"
            ),
            {
                "account": self._account,
                "question": question.digest,
                "people": question.count,
                "series": question.series,
                "version": version,
            },
        )


def note_asked(connection: Connection, account: str, today: date) -> int:
    """Note that the account asks for a flowchart; how many it asked for today, this one included."""
    row = connection.execute(
        text(
            "INSERT INTO hub.told AS t (account, cells, day, asked) VALUES (:account, :nobody, :today, 1)"
            " ON CONFLICT (account) DO UPDATE SET day = excluded.day,"
            " asked = CASE WHEN t.day = excluded.day THEN t.asked + 1 ELSE 1 END RETURNING asked"
        ),
        {"account": account, "today": today, "nobody": _written(NOBODY)},
    )
    return int(row.scalar_one())


def _counted(connection: Connection, account: str) -> pa.Table:
    cells = connection.execute(
        text("SELECT cells FROM hub.told WHERE account = :account FOR UPDATE"), {"account": account}
    ).scalar_one()
    return parquet.read_table(BytesIO(bytes(cells)))


def _written(cells: pa.Table) -> bytes:
    sink = BytesIO()
    parquet.write_table(cells, sink, compression="zstd")
    return sink.getvalue()
