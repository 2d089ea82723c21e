"""Flowcharts: the counts of a plan's steps, as an account may know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from imaging_hub.audit import trail
from imaging_hub.cohorts import counts
from imaging_hub.cohorts.analytic_engine import AnalyticEngine
from imaging_hub.cohorts.cohort_plan import CohortPlan, make_plan
from imaging_hub.cohorts.counts import CountedStep, ShownStep
from imaging_hub.cohorts.criteria import CohortDefinition
from imaging_hub.cohorts.differencing import CountAnswer, CountRequest, Disclosures, record_request
from imaging_hub.cohorts.plan_compilation import NarrowedCohort, apply_step, select_series, select_with_index_date
from imaging_hub.cohorts.snapshot import CohortSnapshot, take_snapshot
from imaging_hub.errors import HubError
from imaging_hub.permits.policy import Action, Denied, Permit, RequestActor, RequestedResource, decide

_OLDEST_BAND = 90  # older people are too few for a band of five years


@dataclass(frozen=True)
class CohortMember:
    """A series of the cohort, with attributes of its subject for the manifest."""

    sid: str
    index_date: date
    series_instance_uid: str
    content_digest: str
    age_band: str
    """Five completed years at the index date, `90+`, or empty."""
    sex: str
    death_offset_days: int | None
    """Days from the index date to the death; None when no death is known or the column is not wanted."""
    link_method: str
    link_score: float


@dataclass(frozen=True)
class CohortResult:
    """Result of a plan on a snapshot, with true counts, which never leave the process."""

    steps: Sequence[CountedStep]
    members: Sequence[CohortMember]
    sets: Sequence[NarrowedCohort]
    """The cohort after each step but the first, as tables of the snapshot."""


@dataclass(frozen=True)
class Flowchart:
    """A flowchart as shown, without small cells."""

    steps: Sequence[ShownStep]
    series: str
    data_version: str


def run_plan(plan: CohortPlan, snapshot: CohortSnapshot) -> CohortResult:
    """Run a plan on a snapshot.

    Raises `HubError` `domain-not-loaded` when the load has no events of a domain that the plan needs.
    """
    if missing_domains := plan.domains - snapshot.domains - {"death"}:
        message = f"the loaded extraction has no events of {', '.join(sorted(missing_domains))}"
        raise HubError(
            message, code="domain-not-loaded", hint="load an extraction with their tables, or leave them out"
        )
    tables = snapshot.tables
    steps = [CountedStep("linked subjects", _count(tables.subject))]
    sets: list[NarrowedCohort] = []
    step = _materialize_step(snapshot.engine, select_with_index_date(plan, tables), steps, sets)
    for condition in plan.steps:
        step = _materialize_step(snapshot.engine, apply_step(plan, tables, step, condition), steps, sets)
    images = select_series(plan.images, tables, step)
    series = snapshot.engine.materialize(images.cohort)
    steps.append(_count_step(images, series.sid.nunique().to_pyarrow().as_py()))
    sets.append(NarrowedCohort(images.name, series.select("sid").distinct(), images.missing))
    subjects = step.select("sid", "birth_month", "sex", "death_date", "method", "score")
    rows = series.join(subjects, "sid").order_by("series_instance_uid").to_pyarrow().to_pylist()
    deaths = "death_offset_days" in plan.columns
    return CohortResult(steps, [_member(row, deaths=deaths) for row in rows], sets)


def disclose(
    connection: Connection,
    plan: CohortPlan,
    result: CohortResult,
    snapshot: CohortSnapshot,
    *,
    actor: RequestActor,
    small_cell: int,
    rounded: bool,
) -> Flowchart:
    """Return the flowchart that this actor may know: without small cells, and protected against differencing."""
    history = Disclosures(connection, actor.name, snapshot, small_cell)
    series = len(result.members)
    requests = [
        CountRequest(digest, narrowed.cohort, step.subjects, series if narrowed is result.sets[-1] else None)
        for digest, narrowed, step in zip(plan.question_digests, result.sets, result.steps[1:], strict=True)
    ]
    answers = history.answer(requests, snapshot.version)
    missing = _disclose_missing(history, plan, result, answers, snapshot.version)
    history.save()
    steps = [result.steps[0]]  # all linked subjects, the same for every question
    for step, answer, missing_answer in zip(result.steps[1:], answers, missing, strict=True):
        steps.append(
            CountedStep(
                step.name,
                answer.count if answer else step.subjects,
                missing_answer.count if missing_answer else step.missing,
                withheld=answer is None,
                missing_withheld=missing_answer is None,
            )
        )
    chart = counts.suppress_small_cells(steps, small_cell, rounded=rounded)
    final = answers[-1]
    if final is None or final.series is None or not chart[-1].subjects.isdigit():
        return Flowchart(chart, chart[-1].subjects, snapshot.version)
    return Flowchart(chart, counts.suppress_small_cell(final.series, small_cell, rounded=rounded), snapshot.version)


def _disclose_missing(
    history: Disclosures, plan: CohortPlan, result: CohortResult, answers: Sequence[CountAnswer | None], version: str
) -> list[CountAnswer | None]:
    """Return the counts of missing values of each step but the first; None when one is withheld."""
    requests = {
        place: CountRequest(f"{plan.question_digests[place]} missing", narrowed.missing, step.missing)
        for place, (narrowed, step) in enumerate(zip(result.sets, result.steps[1:], strict=True))
        if narrowed.missing is not None
        and step.missing is not None
        and answers[place]
        and (place == 0 or answers[place - 1])
    }
    by_place = dict(zip(requests, history.answer(list(requests.values()), version), strict=True))
    return [by_place.get(place) for place in range(len(result.sets))]


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
    """Count a cohort, rounded, which needs no permit; the request is recorded and on the trail.

    Raises `HubError` as `run_plan`, and `LinkageError` when no SNDS tables are loaded.
    """
    plan = make_plan(definition)
    asked_today = record_request(connection, actor.name, today)
    resource = RequestedResource(modalities=plan.modalities, domains=plan.domains, asked_today=asked_today)
    decision = decide(actor, Action.COHORT_COUNT, resource, permit=permit, today=today)
    if isinstance(decision, Denied):
        return decision
    with take_snapshot(connection, tables, spark) as snapshot:
        result = run_plan(plan, snapshot)
        flowchart = disclose(connection, plan, result, snapshot, actor=actor, small_cell=small_cell, rounded=True)
    detail = {"definition": plan.digest, "data": flowchart.data_version}
    trail.append(connection, actor.name, trail.AuditAction.COHORT_COUNTED, plan.cohort, detail)
    return flowchart


def _materialize_step(
    engine: AnalyticEngine, step: NarrowedCohort, steps: list[CountedStep], sets: list[NarrowedCohort]
) -> Any:
    """Compute the cohort after a step, and append its count."""
    cohort = engine.materialize(step.cohort)
    steps.append(_count_step(step, _count(cohort)))
    sets.append(NarrowedCohort(step.name, cohort, step.missing))
    return cohort


def _count_step(step: NarrowedCohort, subjects: int) -> CountedStep:
    return CountedStep(step.name, subjects, None if step.missing is None else _count(step.missing))


def _count(table: Any) -> int:
    return int(table.count().to_pyarrow().as_py())


def _member(row: dict[str, Any], *, deaths: bool) -> CohortMember:
    death_date = row["death_date"] if deaths else None
    return CohortMember(
        row["sid"],
        row["index_date"],
        row["series_instance_uid"],
        row["content_digest"],
        _age_band(row["birth_month"], row["index_date"]),
        row["sex"] or "",
        (death_date - row["index_date"]).days if death_date else None,
        row["method"],
        row["score"],
    )


def _age_band(birth_month: date | None, index_date: date) -> str:
    if birth_month is None:
        return ""
    years = (index_date.year * 12 + index_date.month - birth_month.year * 12 - birth_month.month) // 12
    low = years - years % 5
    return f"{_OLDEST_BAND}+" if low >= _OLDEST_BAND else f"{low}-{low + 4}"
