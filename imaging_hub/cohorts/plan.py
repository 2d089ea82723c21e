"""What a definition means, as a small logical plan: sets resolved to codes, windows to signed days.

The plan knows no engine. It is what the digest is made of: two definitions that mean the same have the
same one, whatever their layout, names of sets or order of codes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from imaging_hub.cohorts import criteria
from imaging_hub.cohorts.criteria import CodeSet, CohortDefinition, ImagingActs
from imaging_hub.cohorts.image_criteria import SeriesCriterion, WantedImages
from imaging_hub.cohorts.nomenclature import CodeMatch, acts_of
from imaging_hub.cohorts.strict import DayWindow

_USUAL = tuple(sorted(criteria.USUAL_COLUMNS))
DayOffsets = tuple[tuple[int, int], ...]
"""Closed ranges of days relative to the index date, negative before it."""


@dataclass(frozen=True)
class EventSet:
    """Events of a domain with one of these codes, at one of these positions (empty: any)."""

    domain: str
    codes: CodeMatch
    positions: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventsOccur:
    """At least so many of these events within the offsets, days counted once if `by_day`."""

    events: EventSet
    offsets: DayOffsets
    at_least: int
    by_day: bool


@dataclass(frozen=True)
class DataReach:
    """The data reach so many days before and after the index date."""

    name: str
    before_days: int
    after_days: int


@dataclass(frozen=True)
class LinkedBy:
    """Linked by one of the methods (empty: any), with at least this score."""

    name: str
    methods: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class AgeBetween:
    """Completed years at the index date, closed."""

    name: str
    youngest: int
    oldest: int
    keep_missing: bool


@dataclass(frozen=True)
class SexIs:
    """`female` or `male`."""

    name: str
    sex: str
    keep_missing: bool


@dataclass(frozen=True)
class AliveAtIndex:
    """No death before the index date."""

    name: str


@dataclass(frozen=True)
class IncludedBy:
    """At least so many of the occurrences; none of them, where that is 0."""

    name: str
    at_least: int
    occurrences: tuple[EventsOccur, ...]


@dataclass(frozen=True)
class ExcludedBy:
    """Not this."""

    name: str
    occurrence: EventsOccur


PlanStep = LinkedBy | DataReach | AgeBetween | SexIs | AliveAtIndex | IncludedBy | ExcludedBy


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
    """A cohort ready to be compiled for an engine."""

    cohort: str
    version: int
    years: tuple[int, int] | None
    index: EventSet
    first: bool
    steps: tuple[PlanStep, ...]
    images: SeriesWanted
    columns: tuple[str, ...]
    """What the manifest of a release says of the subjects, sorted."""

    @property
    def digest(self) -> str:
        """SHA-256 of the plan in canonical form."""
        series = self.images.series.model_dump(mode="json")
        plain = asdict(self) | {"images": asdict(self.images) | {"series": series}}
        if self.columns == _USUAL:
            del plain["columns"]  # the usual ones, said or not: so it was before they could be chosen
        kinds = [type(step).__name__ for step in self.steps]
        return _digest([plain, kinds])

    @property
    def questions(self) -> tuple[str, ...]:
        """A digest for each count of its flowchart after the first, of what it asks: words of the author left out."""
        chain: list[object] = [self.years, asdict(self.index), self.first]
        found = [_digest(chain)]
        for step in self.steps:
            chain.append([type(step).__name__, _unnamed(asdict(step))])
            found.append(_digest(chain))
        series = self.images.series.model_dump(mode="json")
        chain.append(_unnamed(asdict(self.images) | {"series": series}))
        return (*found, _digest(chain))

    @property
    def domains(self) -> frozenset[str]:
        """Domains of the SNDS that it looks at."""
        found = {self.index.domain}
        for step in self.steps:
            if isinstance(step, IncludedBy):
                found |= {occurrence.events.domain for occurrence in step.occurrences}
            elif isinstance(step, ExcludedBy):
                found.add(step.occurrence.events.domain)
            elif isinstance(step, AliveAtIndex):
                found.add("death")
        if "death_offset_days" in self.columns:
            found.add("death")
        return frozenset(found)

    @property
    def modalities(self) -> frozenset[str]:
        """Modalities of the images it selects."""
        return frozenset({self.images.modality})


def _digest(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _unnamed(step: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in step.items() if key != "name"}


def plan(definition: CohortDefinition) -> CohortPlan:
    """The plan of a checked definition."""
    event = definition.index.event
    return CohortPlan(
        cohort=definition.cohort,
        version=definition.version,
        years=definition.scope.snds_years,
        index=_events(definition, event),
        first=event.first,
        steps=(*_about_the_subject(definition), *_about_the_pathway(definition)),
        images=_images(definition.imaging[0]),
        columns=tuple(sorted(definition.output.columns)),
    )


def _about_the_subject(definition: CohortDefinition) -> list[PlanStep]:
    steps: list[PlanStep] = []
    observation, who = definition.index.observation, definition.demographics
    keep = who.missing == "keep"
    if (link := definition.scope.min_link) is not None:
        steps.append(LinkedBy("linked well enough", tuple(sorted(set(link.methods or ()))), link.score))
    if observation.before_days or observation.after_days:
        steps.append(DataReach("observed", observation.before_days, observation.after_days))
    if who.age_at_index is not None:
        steps.append(AgeBetween("age at index", *who.age_at_index, keep))
    if who.sex != "any":
        steps.append(SexIs("sex", who.sex, keep))
    if who.alive_at_index:
        steps.append(AliveAtIndex("alive at index"))
    return steps


def _about_the_pathway(definition: CohortDefinition) -> list[PlanStep]:
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
    codes = definition.codes(event.set)
    if codes is None:
        raise AssertionError("a definition is checked before it is planned")
    return EventSet(event.domain, _resolved(codes), tuple(sorted(set(event.position))))


def _resolved(codes: CodeSet) -> CodeMatch:
    if isinstance(codes.ccam, ImagingActs):
        return acts_of(codes.ccam.modality, codes.ccam.region, codes.ccam.contrast)
    (nomenclature,) = codes.nomenclatures()
    return CodeMatch.of(getattr(codes, nomenclature))


def _offsets(window: DayWindow) -> DayOffsets:
    before = [(-window.before[1], -window.before[0])] if window.before else []
    after = [window.after] if window.after else []
    return (*before, *after)


def _images(images: WantedImages) -> SeriesWanted:
    return SeriesWanted(
        name=f"with {images.name}",
        modality=images.modality,
        body_parts=tuple(sorted({part.upper() for part in images.body_part or ()})),
        series=images.series,
        offsets=_offsets(images.window),
        order=images.pick.order if images.pick else "nearest_to_index",
        limit=images.pick.limit if images.pick else None,
    )
