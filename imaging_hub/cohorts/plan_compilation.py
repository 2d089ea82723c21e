"""Compilation of a plan to Ibis expressions over the tables `subject`, `event` and `series` of an engine.

Only operations that Ibis compiles to the same result on DuckDB and Spark are used: filter, join, aggregate,
`row_number`, `delta` between dates, `startswith`, `re_search`. A cohort is a table with one row per subject: `sid`,
`person`, `index_date` and attributes of the person; each step narrows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import ibis
from ibis import _

from imaging_hub.cohorts.cohort_plan import (
    AgeBetween,
    AliveAtIndex,
    CohortPlan,
    DataReach,
    DayOffsets,
    EventSet,
    EventsOccur,
    ExcludedBy,
    IncludedBy,
    LinkedBy,
    PlanStep,
    SeriesWanted,
    SexIs,
)
from imaging_hub.cohorts.image_criteria import SeriesCriterion
from imaging_hub.cohorts.nomenclature import CodeMatch

TableExpression = Any  # Ibis ships no types that strict mode can follow
ColumnExpression = Any

_CONTRAST = {"yes": True, "no": False}


@dataclass(frozen=True)
class CohortTables:
    """Tables that a cohort is computed from."""

    subject: TableExpression
    """`sid`, `person`, `method` and `score` of the link, `birth_month` (first day of it), `sex` (`female`, `male`,
    NULL), `death_date`."""
    event: TableExpression
    """`person`, `domain`, `code`, `position`, `start`."""
    series: TableExpression
    """`sid`, `series_instance_uid`, `study_date` and the attributes of `hub.series`."""


@dataclass(frozen=True)
class NarrowedCohort:
    """A cohort after a step, and the subjects that left because a value is missing."""

    name: str
    cohort: TableExpression
    missing: TableExpression | None = None
    """None when no value can be missing, or subjects with missing values are kept."""


def select_with_index_date(plan: CohortPlan, tables: CohortTables) -> NarrowedCohort:
    """Return the subjects who have an index event, with the date of the first or last one."""
    event = _select_events(plan, tables, plan.index)
    day = event.start.min() if plan.first else event.start.max()
    dates = event.group_by("person").aggregate(index_date=day)
    subject = tables.subject
    return NarrowedCohort("with index event", subject.join(dates, "person"))


def apply_step(plan: CohortPlan, tables: CohortTables, cohort: TableExpression, step: PlanStep) -> NarrowedCohort:
    """Return the cohort after one step."""
    match step:
        case LinkedBy() | AliveAtIndex():
            return NarrowedCohort(step.name, cohort.filter(_complete_condition(step, cohort)))
        case DataReach(name, before_days, after_days):
            return NarrowedCohort(name, _filter_observed(plan, tables, cohort, before_days, after_days))
        case AgeBetween(name, youngest, oldest, keep):
            birth_month, index_date = cohort.birth_month, cohort.index_date
            months = (index_date.year() * 12 + index_date.month()) - (birth_month.year() * 12 + birth_month.month())
            return _filter_by(name, cohort, months.between(youngest * 12, oldest * 12 + 11), birth_month.isnull(), keep)
        case SexIs(name, sex, keep):
            return _filter_by(name, cohort, cohort.sex == sex, cohort.sex.isnull(), keep)
        case IncludedBy(name, at_least, occurrences):
            return NarrowedCohort(
                name,
                _filter_included(
                    cohort, at_least, [_subjects_with(plan, tables, cohort, occurrence) for occurrence in occurrences]
                ),
            )
        case ExcludedBy(name, occurrence):
            return NarrowedCohort(name, cohort.anti_join(_subjects_with(plan, tables, cohort, occurrence), "sid"))


def select_series(images: SeriesWanted, tables: CohortTables, cohort: TableExpression) -> NarrowedCohort:
    """Return the members: a row per wanted series with `sid`, `index_date`, `study_date` and `content_digest`."""
    known = _matching_series(images, tables, cohort, keep_missing=False)
    unknown = _matching_series(images, tables, cohort, keep_missing=True)
    keep = images.series.missing == "keep"
    missing = None if keep else unknown.select("sid").distinct().anti_join(known, "sid")
    return NarrowedCohort(images.name, _pick_series(images, unknown if keep else known), missing)


def _filter_included(cohort: TableExpression, at_least: int, occurrences: Sequence[TableExpression]) -> TableExpression:
    """Keep subjects in at least `at_least` of the tables of `sid`; for 0, those in none."""
    together = reduce(lambda left, right: left.union(right), occurrences)
    if not at_least:
        return cohort.anti_join(together, "sid")
    enough = together.group_by("sid").aggregate(times=_.count()).filter(_.times >= at_least)
    return cohort.semi_join(enough, "sid")


def _complete_condition(step: LinkedBy | AliveAtIndex, cohort: TableExpression) -> ColumnExpression:
    """Return the condition of a step without missing values: a subject without a date of death is alive."""
    if isinstance(step, AliveAtIndex):
        return cohort.death_date.isnull() | (cohort.death_date >= cohort.index_date)
    sufficient = cohort.score >= step.score
    return sufficient & cohort.method.isin(step.methods) if step.methods else sufficient


def _filter_by(
    name: str, cohort: TableExpression, condition: ColumnExpression, missing: ColumnExpression, keep: bool
) -> NarrowedCohort:
    """Keep the rows for which the condition is true, and if `keep` those where it is unknown."""
    if keep:
        return NarrowedCohort(name, cohort.filter(condition.fill_null(False) | missing))
    return NarrowedCohort(name, cohort.filter(condition), cohort.filter(missing))


def _select_events(plan: CohortPlan, tables: CohortTables, event_set: EventSet) -> TableExpression:
    event = tables.event.filter(_.domain == event_set.domain, _code_condition(tables.event.code, event_set.codes))
    if event_set.positions:
        event = event.filter(_.position.isin(event_set.positions))
    if plan.years is not None:
        event = event.filter(_.start.year().between(*plan.years))
    return event.select("person", "start")


def _code_condition(code: ColumnExpression, codes: CodeMatch) -> ColumnExpression:
    conditions = [code.startswith(prefix) for prefix in codes.prefixes]
    if codes.exact:
        conditions.append(code.isin(codes.exact))
    return reduce(or_, conditions)


def _filter_observed(
    plan: CohortPlan, tables: CohortTables, cohort: TableExpression, before_days: int, after_days: int
) -> TableExpression:
    """Keep subjects whose index date is that far from the first and last event of the data in scope."""
    event = tables.event
    if plan.years is not None:
        event = event.filter(_.start.year().between(*plan.years))
    reach = event.aggregate(first_day=event.start.min(), last_day=event.start.max())
    around = cohort.cross_join(reach)
    return around.filter(
        around.index_date.delta(around.first_day, unit="day") >= before_days,
        around.last_day.delta(around.index_date, unit="day") >= after_days,
    ).drop("first_day", "last_day")


def _subjects_with(
    plan: CohortPlan, tables: CohortTables, cohort: TableExpression, occurrence: EventsOccur
) -> TableExpression:
    """Return the sids of subjects with enough of the events within the offsets."""
    dated = cohort.select("sid", "person", "index_date").join(_select_events(plan, tables, occurrence.events), "person")
    within = dated.filter(_offset_condition(dated.start.delta(dated.index_date, unit="day"), occurrence.offsets))
    count = within.start.nunique() if occurrence.by_day else within.start.count()
    return within.group_by("sid").aggregate(found=count).filter(_.found >= occurrence.at_least).select("sid")


def _offset_condition(offset: ColumnExpression, offsets: DayOffsets) -> ColumnExpression:
    return reduce(or_, (offset.between(low, high) for low, high in offsets))


def _matching_series(
    images: SeriesWanted, tables: CohortTables, cohort: TableExpression, *, keep_missing: bool
) -> TableExpression:
    series = tables.series.filter(_.modality == images.modality)
    if images.body_parts:
        series = series.filter(_fill_missing(series.body_part.upper().isin(images.body_parts), keep_missing))
    for condition in _series_conditions(series, images.series):
        series = series.filter(_fill_missing(condition, keep_missing))
    dated = cohort.select("sid", "index_date").join(series, "sid")
    dated = dated.mutate(offset=dated.study_date.delta(dated.index_date, unit="day"))
    return dated.filter(
        _fill_missing(_offset_condition(dated.offset, images.offsets), keep_missing and _counts_undated(images))
    )


def _fill_missing(condition: ColumnExpression, keep_missing: bool) -> ColumnExpression:
    """Replace NULL, for a missing attribute, by `keep_missing`."""
    return condition.fill_null(keep_missing)


def _counts_undated(images: SeriesWanted) -> bool:
    """Return whether undated series count as missing; they are never kept."""
    return images.series.missing == "drop"


def _series_conditions(series: TableExpression, criterion: SeriesCriterion) -> list[ColumnExpression]:
    """Return the conditions on a series; NULL for a missing attribute."""
    conditions = []
    for name, limits in criterion.ranges().items():
        if limits.min is not None:
            conditions.append(series[name] >= limits.min)
        if limits.max is not None:
            conditions.append(series[name] <= limits.max)
    if criterion.contrast is not None:
        stated = [_CONTRAST[word] for word in criterion.contrast if word in _CONTRAST]
        unstated = series.contrast.isnull()
        condition = series.contrast.isin(stated) if stated else unstated
        conditions.append(condition | unstated if "unknown" in criterion.contrast else condition)
    for name, words in (("manufacturer", criterion.manufacturer), ("model", criterion.model)):
        if words is not None:
            conditions.append(reduce(or_, (series[name].upper().contains(word.upper()) for word in words.any)))
    if criterion.kernel is not None:
        conditions.append(series.kernel.re_search(criterion.kernel.regex))
    if criterion.image_type is not None:
        conditions += [series.image_type.contains(value.upper()) for value in criterion.image_type.all]
    if criterion.min_instances is not None:
        conditions.append(series.instances >= criterion.min_instances)
    conditions += [~series[f"is_{kind}"] for kind in criterion.exclude]
    return conditions


def _pick_series(images: SeriesWanted, matching: TableExpression) -> TableExpression:
    columns = ("sid", "index_date", "series_instance_uid", "study_date", "content_digest")
    if images.limit is None:
        return matching.select(*columns)
    order = {
        "nearest_to_index": [matching.offset.abs(), matching.study_date],
        "earliest": [matching.study_date],
        "latest": [matching.study_date.desc()],
    }[images.order]
    window = ibis.window(group_by="sid", order_by=[*order, matching.series_instance_uid])
    ranked = matching.mutate(rank=ibis.row_number().over(window))
    return ranked.filter(_.rank < images.limit).select(*columns)
