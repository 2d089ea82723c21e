"""Protection against differencing: sums and differences of an account's counts reveal no fewer than k people.

All people are in one cell at first. A disclosed count splits every cell into people it counts and others. It is
disclosed only if no part holds fewer than k people and at least one cell is split. A sum or difference of disclosed
counts is then a count of whole cells, so no two counted sets differ by fewer than k (auditing of query sets: F. Y. Chin
and G. Özsoyoğlu, Auditing and inference control in statistical databases, IEEE TSE 8(6), 1982).

A disclosed question keeps its answer until the difference to the new answer may be disclosed. People stay in their cell
when they leave the data.
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

from imaging_hub.cohorts.analytic_engine import AnalyticEngine
from imaging_hub.cohorts.snapshot import CohortSnapshot

NEVER_COUNTED = 0
"""Cell of people who are in no disclosed count, and of newcomers."""
_CELLS = pa.schema([("sid", pa.string()), ("cell", pa.int64())])
_MOVES = pa.schema([("cell", pa.int64()), ("to", pa.int64())])
NOBODY = _CELLS.empty_table()
"""Cells of an account without a disclosed count."""


@dataclass(frozen=True, slots=True)
class CountRequest:
    """A requested count with its true answer."""

    digest: str
    """Digest of the question's meaning (`CohortPlan.question_digests`)."""
    people: Any
    """Ibis table of the counted people, with `sid`."""
    count: int
    series: int | None = None
    """Number of their series, when it is requested too."""


@dataclass(frozen=True, slots=True)
class CountAnswer:
    """The count that may be disclosed, perhaps of an earlier data version; not rounded yet."""

    count: int
    series: int | None


class CountedCells:
    """Cells of an account: a partition of a snapshot's people and of those counted before."""

    def __init__(self, engine: AnalyticEngine, people: Any, counted: pa.Table, k: int) -> None:
        """`people` is an Ibis table of `sid`; `counted` has the people of earlier counts with their cells."""
        self._engine = engine
        self._k = k
        self._cells = engine.create_table("told", counted)
        newcomers = people.anti_join(self._cells, "sid")
        self._never_counted = int(newcomers.count().to_pyarrow().as_py())

    def disclose(self, subjects: Any) -> bool:
        """Split the cells by `subjects`, a table of `sid`; returns False, without a split, when it is not allowed."""
        members = subjects.select("sid").distinct().left_join(self._cells, "sid")
        inside = self._engine.materialize(members.select("sid", cell=members.cell.fill_null(NEVER_COUNTED)))
        people = {NEVER_COUNTED: self._never_counted, **_cell_sizes(self._cells)}
        counted = _cell_sizes(inside)
        parts = [(counted.get(cell, 0), size - counted.get(cell, 0)) for cell, size in people.items()]
        if any(size and size < self._k for pair in parts for size in pair) or not any(all(pair) for pair in parts):
            return False
        new_cells = range(max(people) + 1, max(people) + 1 + len(counted))
        moves = self._engine.create_table("moves", pa.table({"cell": sorted(counted), "to": new_cells}, schema=_MOVES))
        moved = inside.join(moves, "cell").select("sid", cell=_.to)
        self._cells = self._engine.materialize(self._cells.anti_join(inside, "sid").union(moved))
        self._never_counted -= counted.get(NEVER_COUNTED, 0)
        return True

    def to_table(self) -> pa.Table:
        """Return the people of disclosed counts with their cells (`sid`, `cell`)."""
        return self._cells.select("sid", "cell").to_pyarrow().cast(_CELLS)


def _cell_sizes(cells: Any) -> dict[int, int]:
    """Return the number of people by cell."""
    rows = cells.group_by("cell").aggregate(people=_.count()).to_pyarrow().to_pylist()
    return {row["cell"]: row["people"] for row in rows}


class Disclosures:
    """Disclosed counts of an account; its row is locked until the transaction ends."""

    def __init__(self, connection: Connection, account: str, snapshot: CohortSnapshot, k: int) -> None:
        self._connection = connection
        self._account = account
        self._cells = CountedCells(snapshot.engine, snapshot.tables.subject, _load_cells(connection, account), k)

    def answer(self, questions: Sequence[CountRequest], version: str) -> list[CountAnswer | None]:
        """Return an answer to each question, None when it is withheld; the last question takes precedence."""
        earlier = self._earlier_answers([question.digest for question in questions])
        answers: list[CountAnswer | None] = []
        for question in reversed(questions):
            answer, of_version = earlier.get(question.digest, (None, ""))
            if of_version != version and self._cells.disclose(question.people):
                answer = CountAnswer(question.count, question.series)
                self._save_answer(question, version)
            answers.append(answer)
        return answers[::-1]

    def save(self) -> None:
        """Store the cells."""
        self._connection.execute(
            text("UPDATE hub.told SET cells = :cells WHERE account = :account"),
            {"account": self._account, "cells": _as_parquet(self._cells.to_table())},
        )

    def _earlier_answers(self, digests: list[str]) -> dict[str, tuple[CountAnswer | None, str]]:
        rows = self._connection.execute(
            text(
                "SELECT question, people, series, data_version FROM hub.answer"
                " WHERE account = :account AND question = ANY(:questions)"
            ),
            {"account": self._account, "questions": digests},
        )
        return {row.question: (CountAnswer(row.people, row.series), row.data_version) for row in rows}

    def _save_answer(self, question: CountRequest, version: str) -> None:
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


def record_request(connection: Connection, account: str, today: date) -> int:
    """Record a request for a flowchart, and return the account's number of requests today, this one included."""
    row = connection.execute(
        text(
            "INSERT INTO hub.told AS t (account, cells, day, asked) VALUES (:account, :nobody, :today, 1)"
            " ON CONFLICT (account) DO UPDATE SET day = excluded.day,"
            " asked = CASE WHEN t.day = excluded.day THEN t.asked + 1 ELSE 1 END RETURNING asked"
        ),
        {"account": account, "today": today, "nobody": _as_parquet(NOBODY)},
    )
    return int(row.scalar_one())


def _load_cells(connection: Connection, account: str) -> pa.Table:
    cells = connection.execute(
        text("SELECT cells FROM hub.told WHERE account = :account FOR UPDATE"), {"account": account}
    ).scalar_one()
    return parquet.read_table(BytesIO(bytes(cells)))


def _as_parquet(cells: pa.Table) -> bytes:
    sink = BytesIO()
    parquet.write_table(cells, sink, compression="zstd")
    return sink.getvalue()
