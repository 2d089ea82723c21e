"""Logical plan of a cohort definition: sets resolved to codes, windows to signed days.

It does not depend on an engine. Definitions of the same meaning have plans of the same digest, whatever their layout,
names of sets or order of codes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from imaging_hub.cohorts import criteria
from imaging_hub.cohorts.criteria import CodeSet, CohortDefinition, ImagingActs
from imaging_hub.cohorts.definition_types import DayWindow
from imaging_hub.cohorts.image_criteria import SeriesCriterion, WantedImages
from imaging_hub.cohorts.nomenclature import CodeMatch, imaging_act_codes

_USUAL_COLUMNS = tuple(sorted(criteria.USUAL_COLUMNS))
DayOffsets = tuple[tuple[int, int], ...]
"""Closed ranges of days relative to the index date, negative before it."""


@dataclass(frozen=True)
class EventSet:
    """Events of a domain with one of these codes, at one of these positions (any if empty)."""

    domain: str
    codes: CodeMatch
    positions: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventsOccur:
    """At least a number of events within the offsets; events of one day count once if `by_day`."""

    events: EventSet
    offsets: DayOffsets
    at_least: int
    by_day: bool


@dataclass(frozen=True)
class DataReach:
    """The data cover these days before and after the index date."""

    name: str
    before_days: int
    after_days: int


@dataclass(frozen=True)
class LinkedBy:
    """Linked by one of the methods (any if empty), with at least this score."""

    name: str
    methods: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class AgeBetween:
    """Completed years at the index date within a closed range."""

    name: str
    youngest: int
    oldest: int
    keep_missing: bool


@dataclass(frozen=True)
class SexIs:
    """Of this sex, `female` or `male`."""

    name: str
    sex: str
    keep_missing: bool


@dataclass(frozen=True)
class AliveAtIndex:
    """No death before the index date."""

    name: str


@dataclass(frozen=True)
class IncludedBy:
    """With at least a number of the occurrences; for 0, with none of them."""

    name: str
    at_least: int
    occurrences: tuple[EventsOccur, ...]


@dataclass(frozen=True)
class ExcludedBy:
    """Without the occurrence."""

    name: str
    occurrence: EventsOccur


PlanStep = LinkedBy | DataReach | AgeBetween | SexIs | AliveAtIndex | IncludedBy | ExcludedBy

_STEP_KINDS: dict[type[PlanStep], str] = {
    LinkedBy: "Linked",
    DataReach: "Observed",
    AgeBetween: "Aged",
    SexIs: "OfSex",
    AliveAtIndex: "Alive",
    IncludedBy: "Included",
    ExcludedBy: "Excluded",
}
"""Names of the steps in digests, which must not change: frozen cohorts and disclosed counts are stored under them."""


@dataclass(frozen=True)
class SeriesWanted:
    """The series wanted of each subject."""

    name: str
    modality: str
    body_parts: tuple[str, ...]
    series: SeriesCriterion
    offsets: DayOffsets
    order: str
    limit: int | None


@dataclass(frozen=True)
class CohortPlan:
    """Logical plan of a cohort."""

    cohort: str
    version: int
    years: tuple[int, int] | None
    index: EventSet
    first: bool
    steps: tuple[PlanStep, ...]
    images: SeriesWanted
    columns: tuple[str, ...]
    """Columns about subjects in a release's manifest, sorted."""

    @property
    def digest(self) -> str:
        """SHA-256 of the plan in canonical form."""
        series = self.images.series.model_dump(mode="json")
        content = asdict(self) | {"images": asdict(self.images) | {"series": series}}
        if self.columns == _USUAL_COLUMNS:
            del content["columns"]  # the digest of versions in which columns could not be chosen
        return _digest([content, [_STEP_KINDS[type(step)] for step in self.steps]])

    @property
    def question_digests(self) -> tuple[str, ...]:
        """Digests of the questions of the flowchart's counts but the first; names given by the author do not count."""
        chain: list[object] = [self.years, asdict(self.index), self.first]
        digests = [_digest(chain)]
        for step in self.steps:
            chain.append([_STEP_KINDS[type(step)], _without_name(asdict(step))])
            digests.append(_digest(chain))
        series = self.images.series.model_dump(mode="json")
        chain.append(_without_name(asdict(self.images) | {"series": series}))
        return (*digests, _digest(chain))

    @property
    def domains(self) -> frozenset[str]:
        """SNDS domains of the events that the plan needs."""
        domains = {self.index.domain}
        for step in self.steps:
            if isinstance(step, IncludedBy):
                domains |= {occurrence.events.domain for occurrence in step.occurrences}
            elif isinstance(step, ExcludedBy):
                domains.add(step.occurrence.events.domain)
            elif isinstance(step, AliveAtIndex):
                domains.add("death")
        if "death_offset_days" in self.columns:
            domains.add("death")
        return frozenset(domains)

    @property
    def modalities(self) -> frozenset[str]:
        """Modalities of the wanted images."""
        return frozenset({self.images.modality})


def _digest(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _without_name(step: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in step.items() if key != "name"}


def make_plan(definition: CohortDefinition) -> CohortPlan:
    """Return the plan of a validated definition."""
    event = definition.index.event
    return CohortPlan(
        cohort=definition.cohort,
        version=definition.version,
        years=definition.scope.snds_years,
        index=_events(definition, event),
        first=event.first,
        steps=(*_subject_steps(definition), *_pathway_steps(definition)),
        images=_wanted_series(definition.imaging[0]),
        columns=tuple(sorted(definition.output.columns)),
    )


def _subject_steps(definition: CohortDefinition) -> list[PlanStep]:
    steps: list[PlanStep] = []
    observation, demographics = definition.index.observation, definition.demographics
    keep_missing = demographics.missing == "keep"
    if (link := definition.scope.min_link) is not None:
        steps.append(LinkedBy("linked well enough", tuple(sorted(set(link.methods or ()))), link.score))
    if observation.before_days or observation.after_days:
        steps.append(DataReach("observed", observation.before_days, observation.after_days))
    if demographics.age_at_index is not None:
        steps.append(AgeBetween("age at index", *demographics.age_at_index, keep_missing))
    if demographics.sex != "any":
        steps.append(SexIs("sex", demographics.sex, keep_missing))
    if demographics.alive_at_index:
        steps.append(AliveAtIndex("alive at index"))
    return steps


def _pathway_steps(definition: CohortDefinition) -> list[PlanStep]:
    included: list[PlanStep] = [
        IncludedBy(
            f"with {inclusion.name}",
            _at_least(inclusion),
            tuple(_occurs(definition, occurrence) for occurrence in inclusion.occurrences),
        )
        for inclusion in definition.inclusion
    ]
    excluded = [
        ExcludedBy(f"without {exclusion.name or f'exclusion {number}'}", _occurs(definition, exclusion))
        for number, exclusion in enumerate(definition.exclusion, start=1)
    ]
    return [*included, *excluded]


def _at_least(inclusion: criteria.Inclusion) -> int:
    if inclusion.at_least is not None:
        return inclusion.at_least.number
    if inclusion.all is not None:
        return len(inclusion.all)
    return 0 if inclusion.none is not None else 1


def _occurs(definition: CohortDefinition, occurrence: criteria.Occurrence) -> EventsOccur:
    return EventsOccur(
        _events(definition, occurrence),
        _offsets(occurrence.window),
        occurrence.at_least,
        occurrence.distinct == "day",
    )


def _events(definition: CohortDefinition, event: criteria.IndexEvent | criteria.Occurrence) -> EventSet:
    codes = definition.resolve_set(event.set)
    if codes is None:
        raise AssertionError("a definition is checked before it is planned")
    return EventSet(event.domain, _code_match(codes), tuple(sorted(set(event.position))))


def _code_match(codes: CodeSet) -> CodeMatch:
    if isinstance(codes.ccam, ImagingActs):
        return imaging_act_codes(codes.ccam.modality, codes.ccam.region, codes.ccam.contrast)
    (nomenclature,) = codes.nomenclatures()
    return CodeMatch.from_patterns(getattr(codes, nomenclature))


def _offsets(window: DayWindow) -> DayOffsets:
    before = [(-window.before[1], -window.before[0])] if window.before else []
    after = [window.after] if window.after else []
    return (*before, *after)


def _wanted_series(images: WantedImages) -> SeriesWanted:
    return SeriesWanted(
        name=f"with {images.name}",
        modality=images.modality,
        body_parts=tuple(sorted({part.upper() for part in images.body_part or ()})),
        series=images.series,
        offsets=_offsets(images.window),
        order=images.pick.order if images.pick else "nearest_to_index",
        limit=images.pick.limit if images.pick else None,
    )
