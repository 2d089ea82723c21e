"""A plan as Ibis expressions over the tables `subject`, `event` and `series`; run by whatever engine holds them.

Only what Ibis compiles alike for DuckDB and Spark is used: filter, join, aggregate, `row_number`, `delta`
between dates, `startswith`, `re_search`. A cohort under way is a table of one row per subject with `sid`,
`person`, `index_date` and what is known of the person; each step narrows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import ibis
from ibis import _

from imaging_hub.cohorts.image_criteria import SeriesCriterion
from imaging_hub.cohorts.nomenclature import CodeMatch
from imaging_hub.cohorts.plan import (
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

TableExpression = Any  # Ibis ships no types that strict mode can follow
ColumnExpression = Any

_CONTRAST = {"yes": True, "no": False}


@dataclass(frozen=True)
class CohortTables:
    """What a cohort is computed from."""

    subject: TableExpression
    """`sid`, `person`, `method` and `score` of the link, `birth_month` (first day of it), `sex` (`female`, `male`,
    NULL), `death_date`."""
    event: TableExpression
    """`person`, `domain`, `code`, `position`, `start`."""
    series: TableExpression
    """`sid`, `series_instance_uid`, `study_date` and the attributes of `hub.series`."""


@dataclass(frozen=True)
class NarrowedCohort:
    """A cohort after a step, and the subjects that left it because a value is missing."""

    name: str
    cohort: TableExpression
    missing: TableExpression | None = None
    """None where nothing can be missing, or where what is missing is kept."""


def indexed(plan: CohortPlan, tables: CohortTables) -> NarrowedCohort:
    """Subjects with their index date: of the first, or last, index event."""
    event = _events(plan, tables, plan.index)
    day = event.start.min() if plan.first else event.start.max()
    dates = event.group_by("person").aggregate(index_date=day)
    subject = tables.subject
    return NarrowedCohort("with index event", subject.join(dates, "person"))


def narrowed(plan: CohortPlan, tables: CohortTables, cohort: TableExpression, step: PlanStep) -> NarrowedCohort:
    """The cohort after one step."""
    match step:
        case LinkedBy() | AliveAtIndex():
            return NarrowedCohort(step.name, cohort.filter(_always_known(step, cohort)))
        case DataReach(name, before_days, after_days):
            return NarrowedCohort(name, _observed(plan, tables, cohort, before_days, after_days))
        case AgeBetween(name, youngest, oldest, keep):
            born, at = cohort.birth_month, cohort.index_date
            months = (at.year() * 12 + at.month()) - (born.year() * 12 + born.month())
            return _by(name, cohort, months.between(youngest * 12, oldest * 12 + 11), born.isnull(), keep)
        case SexIs(name, sex, keep):
            return _by(name, cohort, cohort.sex == sex, cohort.sex.isnull(), keep)
        case IncludedBy(name, at_least, occurrences):
            return NarrowedCohort(
                name, _included(cohort, at_least, [_sids(plan, tables, cohort, one) for one in occurrences])
            )
        case ExcludedBy(name, occurrence):
            return NarrowedCohort(name, cohort.anti_join(_sids(plan, tables, cohort, occurrence), "sid"))


def pictured(images: SeriesWanted, tables: CohortTables, cohort: TableExpression) -> NarrowedCohort:
    """Members: a row per series that is wanted, with `sid`, `index_date`, `study_date` and `content_digest`."""
    known = _matching(images, tables, cohort, keep_missing=False)
    unknown = _matching(images, tables, cohort, keep_missing=True)
    keep = images.series.missing == "keep"
    missing = None if keep else unknown.select("sid").distinct().anti_join(known, "sid")
    return NarrowedCohort(images.name, _picked(images, unknown if keep else known), missing)


def _included(cohort: TableExpression, at_least: int, each: Sequence[TableExpression]) -> TableExpression:
    """Who is in so many of these tables of `sid`; in none of them, where that is 0."""
    found = reduce(lambda left, right: left.union(right), each)
    if not at_least:
        return cohort.anti_join(found, "sid")
    often = found.group_by("sid").aggregate(times=_.count()).filter(_.times >= at_least)
    return cohort.semi_join(often, "sid")


def _always_known(step: LinkedBy | AliveAtIndex, cohort: TableExpression) -> ColumnExpression:
    """Conditions in which nothing is missing: who has no date of death is alive."""
    if isinstance(step, AliveAtIndex):
        return cohort.death_date.isnull() | (cohort.death_date >= cohort.index_date)
    good = cohort.score >= step.score
    return good & cohort.method.isin(step.methods) if step.methods else good


def _by(
    name: str, cohort: TableExpression, holds: ColumnExpression, missing: ColumnExpression, keep: bool
) -> NarrowedCohort:
    """Keep the rows for which it holds; where it is unknown, as the definition says."""
    if keep:
        return NarrowedCohort(name, cohort.filter(holds.fill_null(False) | missing))
    return NarrowedCohort(name, cohort.filter(holds), cohort.filter(missing))


def _events(plan: CohortPlan, tables: CohortTables, wanted: EventSet) -> TableExpression:
    event = tables.event.filter(_.domain == wanted.domain, _coded(tables.event.code, wanted.codes))
    if wanted.positions:
        event = event.filter(_.position.isin(wanted.positions))
    if plan.years is not None:
        event = event.filter(_.start.year().between(*plan.years))
    return event.select("person", "start")


def _coded(code: ColumnExpression, codes: CodeMatch) -> ColumnExpression:
    tests = [code.startswith(prefix) for prefix in codes.prefixes]
    if codes.exact:
        tests.append(code.isin(codes.exact))
    return reduce(or_, tests)


def _observed(
    plan: CohortPlan, tables: CohortTables, cohort: TableExpression, before_days: int, after_days: int
) -> TableExpression:
    """The data begin with the first event of anybody, or the scope's first year, and end likewise."""
    event = tables.event
    if plan.years is not None:
        event = event.filter(_.start.year().between(*plan.years))
    reach = event.aggregate(first_day=event.start.min(), last_day=event.start.max())
    around = cohort.cross_join(reach)
    return around.filter(
        around.index_date.delta(around.first_day, unit="day") >= before_days,
        around.last_day.delta(around.index_date, unit="day") >= after_days,
    ).drop("first_day", "last_day")


def _sids(plan: CohortPlan, tables: CohortTables, cohort: TableExpression, wanted: EventsOccur) -> TableExpression:
    """Subjects with enough of the events within the offsets."""
    dated = cohort.select("sid", "person", "index_date").join(_events(plan, tables, wanted.events), "person")
    within = dated.filter(_inside(dated.start.delta(dated.index_date, unit="day"), wanted.offsets))
    count = within.start.nunique() if wanted.by_day else within.start.count()
    return within.group_by("sid").aggregate(found=count).filter(_.found >= wanted.at_least).select("sid")


def _inside(offset: ColumnExpression, offsets: DayOffsets) -> ColumnExpression:
    return reduce(or_, (offset.between(low, high) for low, high in offsets))


def _matching(
    images: SeriesWanted, tables: CohortTables, cohort: TableExpression, *, keep_missing: bool
) -> TableExpression:
    series = tables.series.filter(_.modality == images.modality)
    if images.body_parts:
        series = series.filter(_known(series.body_part.upper().isin(images.body_parts), keep_missing))
    for test in _tests(series, images.series):
        series = series.filter(_known(test, keep_missing))
    dated = cohort.select("sid", "index_date").join(series, "sid")
    dated = dated.mutate(offset=dated.study_date.delta(dated.index_date, unit="day"))
    return dated.filter(_known(_inside(dated.offset, images.offsets), keep_missing and _undated_too(images)))


def _known(test: ColumnExpression, keep_missing: bool) -> ColumnExpression:
    """A test that is NULL where the attribute is missing, decided."""
    return test.fill_null(keep_missing)


def _undated_too(images: SeriesWanted) -> bool:
    """An undated series is in no window: it is counted as missing, and never kept."""
    return images.series.missing == "drop"


def _tests(series: TableExpression, wanted: SeriesCriterion) -> list[ColumnExpression]:
    """What the header must say; NULL where it says nothing."""
    tests = []
    for name, limits in wanted.ranges().items():
        if limits.min is not None:
            tests.append(series[name] >= limits.min)
        if limits.max is not None:
            tests.append(series[name] <= limits.max)
    if wanted.contrast is not None:
        said = [_CONTRAST[word] for word in wanted.contrast if word in _CONTRAST]
        unsaid = series.contrast.isnull()
        asked = series.contrast.isin(said) if said else unsaid
        tests.append(asked | unsaid if "unknown" in wanted.contrast else asked)
    for name, words in (("manufacturer", wanted.manufacturer), ("model", wanted.model)):
        if words is not None:
            tests.append(reduce(or_, (series[name].upper().contains(word.upper()) for word in words.any)))
    if wanted.kernel is not None:
        tests.append(series.kernel.re_search(wanted.kernel.regex))
    if wanted.image_type is not None:
        tests += [series.image_type.contains(value.upper()) for value in wanted.image_type.all]
    if wanted.min_instances is not None:
        tests.append(series.instances >= wanted.min_instances)
    tests += [~series[f"is_{kind}"] for kind in wanted.exclude]
    return tests


def _picked(images: SeriesWanted, matching: TableExpression) -> TableExpression:
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
