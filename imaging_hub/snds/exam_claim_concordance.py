"""Indirect deterministic linkage: SNDS persons whose claims agree with the exams of a subject.

A cascade: agreement on every criterion first, then on one criterion less but on more days. A pair counts when it is
the only one of its subject and of its person, and other subjects are discarded for good (SNDS documentation, fiche
`appariement_donnees_externes`). Persons who share a BEN_NIR_PSA (twins), who died before an exam, or with whom fewer
than half of the subject's exams agree are never linked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import astuple, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class CascadeStep:
    """Criteria on which an exam and a claim must agree, and on how many days."""

    method: str
    agrees: str
    """SQL condition over `candidate`; year of birth and sex always agree."""
    days: int


STEPS = (
    CascadeStep("exact", "same_place AND gap = 0 AND same_act AND same_month", 1),
    CascadeStep("without-act", "same_place AND gap = 0 AND same_month", 2),
    CascadeStep("day-off", "same_place AND same_act AND same_month", 2),
    CascadeStep("without-month", "same_place AND gap = 0 AND same_act", 2),
    CascadeStep("without-place", "gap = 0 AND same_act AND same_month", 2),
)
"""Steps from strict to relaxed; a link's method is the step that found it."""

_CANDIDATE = """
CREATE TABLE claim AS
  SELECT DISTINCT person, e."start" AS "day", e.code, left(e.finess, 8) AS finess, birth_year, birth_month, sex,
    death_date
  FROM read_parquet($events) e JOIN read_parquet($persons) USING (person)
  WHERE NOT shares_psa AND e.code IN (SELECT code FROM act);
CREATE TABLE subject AS
  SELECT sid, count(DISTINCT "day") AS days, max("day") AS last
  FROM exam WHERE "day" BETWEEN (SELECT min("day") FROM claim) AND (SELECT max("day") FROM claim) GROUP BY sid;
CREATE TABLE candidate AS
  SELECT sid, person, x."day" AS exam_day, x.finess = c.finess AS same_place, abs(c."day" - x."day") AS gap,
    list_contains(x.acts, c.code) AS same_act, x.birth_month = c.birth_month AS same_month
  FROM exam x JOIN subject USING (sid)
  JOIN claim c ON x.sex = c.sex AND x.birth_year = c.birth_year AND c."day" BETWEEN x."day" - 1 AND x."day" + 1
  WHERE (x.finess = c.finess OR (x.birth_month = c.birth_month AND c."day" = x."day" AND list_contains(x.acts, c.code)))
    AND (death_date IS NULL OR last <= death_date + 1);
CREATE TABLE settled (sid VARCHAR, person VARCHAR, method VARCHAR, days BIGINT, exam_days BIGINT, outcome VARCHAR);
"""

_CLAIM = """
CREATE TABLE claim AS SELECT DISTINCT "start" AS "day", code, left(finess, 8) AS finess FROM read_parquet($events)
  WHERE person = $person AND code IN (SELECT code FROM act)
"""
_COMPARED = """
WITH met AS (
  SELECT x.number, x."day", x.acts, c.code, c."day" - x."day" AS gap, c.finess = x.finess AS same_place,
    list_contains(x.acts, c.code) AS same_act
  FROM (SELECT row_number() OVER () AS number, * FROM exam) x
  LEFT JOIN claim c ON c."day" BETWEEN x."day" - 1 AND x."day" + 1)
SELECT "day" - min("day") OVER (), acts, code, gap, same_place, same_act FROM met
QUALIFY row_number() OVER (PARTITION BY number ORDER BY abs(gap), same_place DESC, same_act DESC, code) = 1
ORDER BY "day", number
"""
_ALONE = """
SELECT count(*) FROM claim WHERE finess IN (SELECT finess FROM exam)
  AND NOT EXISTS (SELECT 1 FROM exam x WHERE claim."day" BETWEEN x."day" - 1 AND x."day" + 1)
"""
_BORN = """
SELECT birth_month IN (SELECT birth_month FROM exam) FROM read_parquet($persons) WHERE person = $person
"""

_STEP = """
WITH pair AS (
  SELECT sid, person, count(DISTINCT exam_day) AS days FROM candidate
  WHERE {agrees} AND sid NOT IN (SELECT sid FROM settled)
  GROUP BY sid, person HAVING count(DISTINCT exam_day) >= {days}),
judged AS (
  SELECT sid, person, pair.days AS days, subject.days AS exam_days,
    CASE WHEN count(*) OVER (PARTITION BY sid) > 1 THEN 'several-persons'
      WHEN count(*) OVER (PARTITION BY person) > 1 OR person IN (SELECT person FROM settled WHERE outcome = 'found')
        THEN 'several-subjects'
      WHEN pair.days * 2 < subject.days THEN 'few-exams-agree'
      ELSE 'found' END AS outcome
  FROM pair JOIN subject USING (sid))
INSERT INTO settled
SELECT sid, min(person), '{method}', max(days), max(exam_days), min(outcome) FROM judged GROUP BY sid
"""


@dataclass(frozen=True, slots=True)
class ConcordantPerson:
    """A subject and the only person whose claims agree with its exams."""

    sid: str
    person: str
    method: str
    days: int
    """Days on which an exam and a claim agree."""
    exam_days: int
    """Days on which the subject had exams, within the period of the extraction."""


@dataclass(frozen=True, slots=True)
class CascadeResult:
    """Result of the cascade; a subject in neither field agrees with nobody."""

    found: tuple[ConcordantPerson, ...]
    discarded: dict[str, str]
    """Reason by subject: `several-persons`, `several-subjects`, `few-exams-agree`."""


@dataclass(frozen=True, slots=True)
class ComparedExam:
    """An exam of a subject and the person's nearest claim; the last four are None without a claim within a day."""

    after_days: int
    """Days since the subject's first exam; dates are not shown."""
    acts: list[str]
    """CCAM codes the exam may be billed under."""
    claimed: str | None
    """CCAM code of the claim."""
    gap: int | None
    """Days from the exam to the claim."""
    same_place: bool | None
    same_act: bool | None


def search(exams: pa.Table, load: Path, acts: Collection[str]) -> CascadeResult:
    """Search the claims in the folder of a load for the exams of all subjects.

    `exams` has the schema `snds.exams.EXAM_SCHEMA`; `acts` are the CCAM codes of imaging acts.
    """
    with duckdb.connect() as database:
        database.register("exam", exams)
        database.register("act", pa.table({"code": sorted(acts)}))
        files = {
            "events": str(load / "event" / "domain=act" / "*.parquet"),
            "persons": str(load / "person.parquet"),
        }
        for statement in _CANDIDATE.split(";\n")[:-1]:
            database.execute(statement, files if "$events" in statement else None)
        for step in STEPS:
            database.execute(_STEP.format(method=step.method, agrees=step.agrees, days=step.days))
        rows = database.execute("SELECT * FROM settled ORDER BY sid").fetchall()
    return CascadeResult(
        tuple(ConcordantPerson(*row[:-1]) for row in rows if row[-1] == "found"),
        {row[0]: row[-1] for row in rows if row[-1] != "found"},
    )


def compare(exams: pa.Table, person: str, load: Path, acts: Collection[str]) -> tuple[bool, list[ComparedExam], int]:
    """Compare one subject's exams with a person's claims.

    Returns whether the months of birth agree, the exams with their nearest claims, and the number of claims without
    an exam.
    """
    with duckdb.connect() as database:
        database.register("exam", exams)
        database.register("act", pa.table({"code": sorted(acts)}))
        values = {"events": str(load / "event" / "domain=act" / "*.parquet"), "person": person}
        database.execute(_CLAIM, values)
        rows = database.execute(_COMPARED).fetchall()
        ((alone,),) = database.execute(_ALONE).fetchall()
        months = database.execute(_BORN, {"persons": str(load / "person.parquet"), "person": person}).fetchall()
    return months == [(True,)], [ComparedExam(*row) for row in rows], alone


def rules_digest() -> str:
    """Return a digest of the rules, recorded with each link as its source."""
    steps = [astuple(step) for step in STEPS]
    return hashlib.sha256(repr((steps, _CANDIDATE, _STEP)).encode()).hexdigest()[:16]
