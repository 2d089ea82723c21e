"""Reconciliation of billed exams with studies, by hospital and month.

It covers linked subjects, from a hospital's first study to its last, within the period of the extraction. An exam is a
person's imaging act of a day. It has images when the hospital has a study of that person within one day, with that act,
or with its modality when the study names no act.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import Connection, text

from imaging_hub.snds import loading
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.snds.tables import imaging_acts

_STUDY_SCHEMA = pa.schema(
    [
        ("person", pa.string()),
        ("finess", pa.string()),
        ("day", pa.date32()),
        ("acts", pa.list_(pa.string())),
        ("modalities", pa.list_(pa.string())),
    ]
)

_RECONCILE = """
WITH covered AS (
  SELECT finess, greatest(min("day"), (SELECT min("start") FROM claim)) AS first,
    least(max("day"), (SELECT max("start") FROM claim)) AS last
  FROM study GROUP BY finess),
exam AS (
  SELECT DISTINCT person, left(c.finess, 8) AS finess, "start" AS "day", code, modality
  FROM claim c JOIN act USING (code)
  WHERE person IN (SELECT person FROM study)),
pictured AS (SELECT row_number() OVER () AS number, * FROM study),
matched AS (
  SELECT s.number, e.person, e.finess, e."day", e.code
  FROM pictured s JOIN exam e ON s.person = e.person AND s.finess = e.finess
    AND e."day" BETWEEN s."day" - 1 AND s."day" + 1
    AND CASE WHEN len(s.acts) > 0 THEN list_contains(s.acts, e.code)
      ELSE list_contains(s.modalities, e.modality) END),
billed AS (
  SELECT e.finess, date_trunc('month', e."day") AS "month", count(*) AS billed,
    count(*) FILTER (WHERE (e.person, e.finess, e."day", e.code) NOT IN
      (SELECT (person, finess, "day", code) FROM matched)) AS unseen
  FROM exam e JOIN covered ON e.finess = covered.finess AND e."day" BETWEEN first AND last GROUP BY 1, 2),
seen AS (
  SELECT s.finess, date_trunc('month', s."day") AS "month", count(*) AS studies,
    count(*) FILTER (WHERE s.number NOT IN (SELECT number FROM matched)) AS unbilled
  FROM pictured s JOIN covered ON s.finess = covered.finess AND s."day" BETWEEN first AND last GROUP BY 1, 2)
SELECT finess, CAST("month" AS DATE), coalesce(billed, 0), coalesce(unseen, 0), coalesce(studies, 0),
  coalesce(unbilled, 0)
FROM billed FULL JOIN seen USING (finess, "month") ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class ReconciledMonth:
    """Counts of one hospital in one month; true counts, to be suppressed below the small cell before display."""

    finess: str
    """Without its check digit, as in DCIR."""
    month: date
    billed: int
    """Billed exams."""
    without_images: int
    """Billed exams without a study."""
    studies: int
    """Studies in the archive."""
    without_claim: int
    """Studies without a claim."""


def reconcile(
    connection: Connection, tables: Path, codes: ProcedureCodes, finess: str | None
) -> Sequence[ReconciledMonth]:
    """Return the months of one hospital, of every one for None; raises `LinkageError` `nothing-loaded`."""
    load = loading.current_version(tables)
    acts = [{"code": act.code, "modality": act.modality} for act in imaging_acts().values()]
    with duckdb.connect() as database:
        database.register("study", _linked_studies(connection, codes, finess))
        database.register("act", pa.Table.from_pylist(acts))
        database.read_parquet(str(load.folder / "event" / "domain=act" / "*.parquet")).create_view("claim")
        return [ReconciledMonth(*row) for row in database.execute(_RECONCILE).fetchall()]


def _linked_studies(connection: Connection, codes: ProcedureCodes, finess: str | None) -> pa.Table:
    rows = connection.execute(
        text(
            "SELECT l.snds_person AS person, left(st.finess, 8) AS finess, st.study_date AS day, st.procedures,"
            " array(SELECT DISTINCT modality FROM hub.series s"
            "  WHERE s.study_instance_uid = st.study_instance_uid) AS modalities"
            " FROM hub.study st JOIN hub.link_in_use l USING (sid)"
            " WHERE st.study_date IS NOT NULL AND (CAST(:finess AS text) IS NULL OR st.finess = :finess)"
        ),
        {"finess": finess},
    )
    studies = [
        {
            "person": row.person, "finess": row.finess, "day": row.day, "acts": codes.acts(row.finess, row.procedures),
            "modalities": row.modalities,
        }
        for row in rows
    ]  # fmt: skip
    return pa.Table.from_pylist(studies, schema=_STUDY_SCHEMA)
