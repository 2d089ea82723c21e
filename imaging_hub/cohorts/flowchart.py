"""Running a plan: the steps counted one after the other, and the series that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from imaging_hub.audit import trail
from imaging_hub.cohorts import counts
from imaging_hub.cohorts.compilation import NarrowedCohort, indexed, narrowed, pictured
from imaging_hub.cohorts.counts import CountedStep, ShownStep
from imaging_hub.cohorts.criteria import CohortDefinition
from imaging_hub.cohorts.differencing import CountAnswer, CountRequest, Disclosures, note_asked
from imaging_hub.cohorts.engine import AnalyticEngine
from imaging_hub.cohorts.plan import CohortPlan, plan
from imaging_hub.cohorts.snapshot import CohortSnapshot, take
from imaging_hub.errors import HubError
from imaging_hub.permits.policy import Action, Denied, Permit, RequestActor, RequestedResource, decide

_OLDEST_BAND = 90  # so few are older that a band would name them


@dataclass(frozen=True)
class CohortMember:
    """A series of the cohort, and what its release may say of the subject."""

    sid: str
    index_date: date
    series_instance_uid: str
    content_digest: str
    age_band: str
    """Five completed years at the index date, `90+`, or empty."""
    sex: str
    death_offset_days: int | None
    """Days from the index date to the death; None when no death is known, or it was not asked for."""
    link_method: str
    link_score: float


@dataclass(frozen=True)
class CohortResult:
    """A plan run on a snapshot; true counts, for this process only."""

    steps: Sequence[CountedStep]
    members: Sequence[CohortMember]
    sets: Sequence[NarrowedCohort]
    """Whom each step after the first counts, as tables of the snapshot."""


@dataclass(frozen=True)
class Flowchart:
    """What people see of an outcome."""

    steps: Sequence[ShownStep]
    series: str
    data_version: str


def run(wanted: CohortPlan, snapshot: CohortSnapshot) -> CohortResult:
    """Narrow the subjects step by step, and take the images of those who are left.

    Raises `HubError` when the load has no events of a domain that is asked for: nobody would be found, or left out.
    """
    if absent := wanted.domains - snapshot.domains - {"death"}:
        what = f"the loaded extraction has no events of {', '.join(sorted(absent))}"
        raise HubError(what, code="domain-not-loaded", hint="load an extraction with their tables, or leave them out")
    tables = snapshot.tables
    steps = [CountedStep("linked subjects", _count(tables.subject))]
    sets: list[NarrowedCohort] = []
    step = _settled(snapshot.engine, indexed(wanted, tables), steps, sets)
    for condition in wanted.steps:
        step = _settled(snapshot.engine, narrowed(wanted, tables, step, condition), steps, sets)
    pictures = pictured(wanted.images, tables, step)
    series = snapshot.engine.hold(pictures.cohort)
    steps.append(_counted(pictures, series.sid.nunique().to_pyarrow().as_py()))
    sets.append(NarrowedCohort(pictures.name, series.select("sid").distinct(), pictures.missing))
    about = step.select("sid", "birth_month", "sex", "death_date", "method", "score")
    rows = series.join(about, "sid").order_by("series_instance_uid").to_pyarrow().to_pylist()
    deaths = "death_offset_days" in wanted.columns
    return CohortResult(steps, [_member(row, deaths=deaths) for row in rows], sets)


def told(
    connection: Connection,
    wanted: CohortPlan,
    outcome: CohortResult,
    snapshot: CohortSnapshot,
    *,
    actor: RequestActor,
    small_cell: int,
    rounded: bool,
) -> Flowchart:
    """An outcome as this actor may know it: without small cells, and what differs too little from what it was told."""
    history = Disclosures(connection, actor.name, snapshot, small_cell)
    series = len(outcome.members)
    asked = [
        CountRequest(digest, one.cohort, step.subjects, series if one is outcome.sets[-1] else None)
        for digest, one, step in zip(wanted.questions, outcome.sets, outcome.steps[1:], strict=True)
    ]
    answers = history.answers(asked, snapshot.version)
    missing = _missing(history, wanted, outcome, answers, snapshot.version)
    history.keep()
    steps = [outcome.steps[0]]  # everybody: no question
    for step, answer, of_them in zip(outcome.steps[1:], answers, missing, strict=True):
        steps.append(
            CountedStep(
                step.name,
                answer.count if answer else step.subjects,
                of_them.count if of_them else step.missing,
                withheld=answer is None,
                missing_withheld=of_them is None,
            )
        )
    chart = counts.shown(steps, small_cell, rounded=rounded)
    final = answers[-1]
    if final is None or final.series is None or not chart[-1].subjects.isdigit():
        return Flowchart(chart, chart[-1].subjects, snapshot.version)
    return Flowchart(chart, counts.one(final.series, small_cell, rounded=rounded), snapshot.version)


def _missing(
    history: Disclosures, wanted: CohortPlan, outcome: CohortResult, answers: Sequence[CountAnswer | None], version: str
) -> list[CountAnswer | None]:
    """Of each step after the first, how many left because a value is missing; None where it may not be told."""
    asked = {
        place: CountRequest(f"{wanted.questions[place]} missing", one.missing, step.missing)
        for place, (one, step) in enumerate(zip(outcome.sets, outcome.steps[1:], strict=True))
        if one.missing is not None
        and step.missing is not None
        and answers[place]
        and (place == 0 or answers[place - 1])
    }
    given = dict(zip(asked, history.answers(list(asked.values()), version), strict=True))
    return [given.get(place) for place in range(len(outcome.sets))]


def count(
    connection: Connection,
    definition: CohortDefinition,
    *,
    actor: RequestActor,
    tables: Path,
    small_cell: int,
    today: date,
    permit: Permit | None = None,
    spark: str | None = None,
) -> Flowchart | Denied:
    """How many there would be: rounded, so that it can be asked without a permit."""
    wanted = plan(definition)
    asked = note_asked(connection, actor.name, today)
    resource = RequestedResource(modalities=wanted.modalities, domains=wanted.domains, asked_today=asked)
    decision = decide(actor, Action.COHORT_COUNT, resource, permit=permit, today=today)
    if isinstance(decision, Denied):
        return decision
    with take(connection, tables, spark) as snapshot:
        outcome = run(wanted, snapshot)
        flowchart = told(connection, wanted, outcome, snapshot, actor=actor, small_cell=small_cell, rounded=True)
    detail = {"definition": wanted.digest, "data": flowchart.data_version}
    trail.append(connection, actor.name, trail.AuditAction.COHORT_COUNTED, wanted.cohort, detail)
    return flowchart


def _settled(engine: AnalyticEngine, step: NarrowedCohort, steps: list[CountedStep], sets: list[NarrowedCohort]) -> Any:
    """The cohort after a step, computed once, and its count noted."""
    cohort = engine.hold(step.cohort)
    steps.append(_counted(step, _count(cohort)))
    sets.append(NarrowedCohort(step.name, cohort, step.missing))
    return cohort


def _counted(step: NarrowedCohort, subjects: int) -> CountedStep:
    return CountedStep(step.name, subjects, None if step.missing is None else _count(step.missing))


def _count(table: Any) -> int:
    return int(table.count().to_pyarrow().as_py())


def _member(row: dict[str, Any], *, deaths: bool) -> CohortMember:
    died = row["death_date"] if deaths else None
    return CohortMember(
        row["sid"],
        row["index_date"],
        row["series_instance_uid"],
        row["content_digest"],
        _age_band(row["birth_month"], row["index_date"]),
        row["sex"] or "",
        (died - row["index_date"]).days if died else None,
        row["method"],
        row["score"],
    )


def _age_band(born: date | None, at: date) -> str:
    if born is None:
        return ""
    years = (at.year * 12 + at.month - born.year * 12 - born.month) // 12
    low = years - years % 5
    return f"{_OLDEST_BAND}+" if low >= _OLDEST_BAND else f"{low}-{low + 4}"
