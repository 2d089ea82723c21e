"""Models of a cohort definition, except for its images; an unknown key or a wrong type is an error.

Windows are whole days, closed at both ends, relative to the subject's index date. A missing value is neither true nor
false: `missing: drop` (the default) drops the subject and counts it, `keep` keeps it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from imaging_hub.cohorts.definition_types import DayWindow, MissingValues, Modality, SetName, StrictModel
from imaging_hub.cohorts.image_criteria import WantedImages

EventDomain = Literal["diagnosis", "act", "drug", "package", "device", "ald", "stay", "biology", "cause_of_death"]


class ImagingActs(StrictModel):
    """Imaging acts by their attributes instead of their codes."""

    modality: Modality
    """Modality of the act, from its label in the CCAM."""
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z_]{2,20}$")] | None = None
    """Region that is imaged, as `CHEST` or `BRAIN`."""
    contrast: Literal["any", "yes", "no"] = "any"
    """Whether a contrast agent is injected."""


def _kind(value: object) -> str:
    return "codes" if isinstance(value, list | tuple) else "attributes"


CodePatterns = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=14)], ...], Field(min_length=1)
]


class CodeSet(StrictModel):
    """Codes of one nomenclature, with `*` at the end for all codes with a prefix."""

    icd10: CodePatterns | None = None
    """Diagnoses, by ICD-10 in its French edition."""
    ccam: Annotated[
        Annotated[CodePatterns, Tag("codes")] | Annotated[ImagingActs, Tag("attributes")], Discriminator(_kind)
    ] | (None) = None
    """Acts of the CCAM, by code or by attributes."""
    atc: CodePatterns | None = None
    """Drugs, by ATC."""
    ald: CodePatterns | None = None
    """Long-term diseases with exemption (ALD), by number, as `"30"`."""
    ghm: CodePatterns | None = None
    """Stays, by GHM (homogeneous group of patients)."""
    nabm: CodePatterns | None = None
    """Laboratory tests, by the NABM: four digits, as `"1104"`."""
    ucd: CodePatterns | None = None
    """Drugs of hospitals' pharmacies, by UCD."""
    cip13: CodePatterns | None = None
    """Packages of drugs dispensed by pharmacies, by CIP13."""
    lpp: CodePatterns | None = None
    """Devices and services, by the LPP: seven digits."""

    @model_validator(mode="after")
    def check_one_nomenclature(self) -> CodeSet:
        """Refuse a set of two nomenclatures, which could match in one only."""
        if len(self.nomenclatures()) != 1:
            raise ValueError("a set has exactly one of icd10, ccam, atc, ald, ghm, nabm, ucd, cip13, lpp; split it")
        return self

    def nomenclatures(self) -> list[str]:
        """Return the nomenclatures that have codes: exactly one in a checked set."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


def _named(value: object) -> str:
    return "name" if isinstance(value, str) else "inline"


AnyCodeSet = Annotated[Annotated[SetName, Tag("name")] | Annotated[CodeSet, Tag("inline")], Discriminator(_named)]
CodePosition = Literal["DP", "DR", "DAS", "UM", "ALD", "CI", "CA"]


class IndexEvent(StrictModel):
    """The event that sets a subject's index date."""

    domain: EventDomain
    """Domain of the event."""
    set: AnyCodeSet
    """A set by its name, or inline."""
    position: tuple[CodePosition, ...] = ()
    """Position of the diagnosis; empty is any."""
    first: bool = True
    """Whether the first such event counts, or else the last."""


class Observation(StrictModel):
    """Observation period that the data must cover around the index date."""

    before_days: Annotated[int, Field(ge=0, le=36525)] = 0
    """Days before it."""
    after_days: Annotated[int, Field(ge=0, le=36525)] = 0
    """Days after it."""


class IndexDate(StrictModel):
    """The index date, one per subject."""

    event: IndexEvent
    """The event that sets it."""
    observation: Observation = Observation()
    """Observation period around it."""


class Demographics(StrictModel):
    """Demographics of the subject on the index date."""

    age_at_index: tuple[Annotated[int, Field(ge=0, le=130)], Annotated[int, Field(ge=0, le=130)]] | None = None
    """Completed years, counted from the month of birth."""
    sex: Literal["any", "male", "female"] = "any"
    """Sex as coded in the SNDS."""
    alive_at_index: bool = False
    """Whether subjects who died before the index date are dropped."""
    missing: MissingValues = "drop"
    """Whether subjects of unknown age or sex are kept."""

    @model_validator(mode="after")
    def check_order(self) -> Demographics:
        """Refuse ages in the wrong order."""
        if self.age_at_index is not None and self.age_at_index[0] > self.age_at_index[1]:
            raise ValueError("the ages are upside down; write the younger first")
        return self


LinkMethod = Literal[
    "ins", "exact", "without-act", "day-off", "without-month", "without-place", "probabilistic", "probable", "reviewed"
]


class Occurrence(StrictModel):
    """A number of events of a set within a window."""

    name: SetName | None = None
    """Its name in the flowchart."""
    domain: EventDomain
    """Domain of the events."""
    set: AnyCodeSet
    """A set by its name, or inline."""
    position: tuple[CodePosition, ...] = ()
    """Position of the diagnosis; empty is any."""
    window: DayWindow
    """Days in which they must have happened."""
    count: Annotated[str, StringConstraints(pattern=r"^>=[1-9][0-9]{0,3}$")] = ">=1"
    """Least number of events, as `>=2`."""
    distinct: Literal["day", "event"] = "day"
    """`day`: claims of the same day count once."""

    @property
    def at_least(self) -> int:
        """The number in `count`."""
        return int(self.count.removeprefix(">="))


Occurrences = Annotated[tuple[Occurrence, ...], Field(min_length=1)]


class AtLeast(StrictModel):
    """At least a number of the occurrences."""

    of: Annotated[tuple[Occurrence, ...], Field(min_length=2)]
    """The occurrences."""
    number: Annotated[int, Field(ge=1)]
    """Least number of them."""

    @model_validator(mode="after")
    def check_number(self) -> AtLeast:
        """Refuse a number above that of the occurrences."""
        if self.number > len(self.of):
            raise ValueError("there are fewer than that; lower the number")
        return self


class Inclusion(StrictModel):
    """Subjects with any, all, none or at least a number of the occurrences."""

    name: SetName
    """Its name in the flowchart."""
    any: Occurrences | None = None
    """At least one of these."""
    all: Occurrences | None = None
    """All of these."""
    none: Occurrences | None = None
    """None of these."""
    at_least: AtLeast | None = None
    """At least a number of these."""

    @model_validator(mode="after")
    def check_one_kind(self) -> Inclusion:
        """Refuse an inclusion with none or two of the four keys."""
        if sum(value is not None for value in (self.any, self.all, self.none, self.at_least)) != 1:
            raise ValueError("an inclusion has one of any, all, none, at_least; write two inclusions for two")
        return self

    @property
    def occurrences(self) -> tuple[Occurrence, ...]:
        """The occurrences, whichever key they are under."""
        return self.any or self.all or self.none or (self.at_least.of if self.at_least else ())


class MinLink(StrictModel):
    """Requirements on the link between subject and SNDS person."""

    methods: Annotated[tuple[LinkMethod, ...], Field(min_length=1)] | None = None
    """Methods: `ins` by the INS, the others by exams in common (`docs/linkage.md`); all when not given."""
    score: Annotated[float, Field(ge=0, le=1)] = 0
    """Least score: 1 for the INS, else the lower bound of the method's measured precision."""

    @model_validator(mode="after")
    def check_not_empty(self) -> MinLink:
        """Refuse a requirement without methods and score."""
        if self.methods is None and not self.score:
            raise ValueError("neither methods nor a score; write one, or leave min_link out")
        return self


class CohortScope(StrictModel):
    """The part of the data that the cohort is computed on."""

    snds_years: tuple[Annotated[int, Field(ge=2006, le=2100)], Annotated[int, Field(ge=2006, le=2100)]] | None = None
    """First and last year of the events."""
    min_link: MinLink | None = None
    """Requirements on links; all links when not given."""


OutputColumn = Literal["age_band", "sex", "index_offset_days", "death_offset_days", "link"]
USUAL_COLUMNS: tuple[OutputColumn, ...] = ("age_band", "sex", "index_offset_days", "link")


class CohortOutput(StrictModel):
    """The content of a release, and the columns about subjects in its manifest."""

    level: Literal["series"] = "series"
    """What a member is."""
    columns: tuple[OutputColumn, ...] = USUAL_COLUMNS
    """`age_band` (five years at the index date), `sex`, `index_offset_days` (of the study, negative before the index
    date), `death_offset_days` (empty without a known death; needs the domain `death`), `link` (method and score).
    Calendar dates are not offered, since they would reveal the date shift of the images."""

    @model_validator(mode="after")
    def check_columns_unique(self) -> CohortOutput:
        """Refuse a column that is named twice."""
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("a column is named twice; name each once")
        return self


class CohortDefinition(StrictModel):
    """A cohort definition."""

    cohort: SetName
    """Its name."""
    version: Annotated[int, Field(ge=1)]
    """Version, raised by the author with every change."""
    scope: CohortScope = CohortScope()
    """The part of the data that the cohort is computed on."""
    sets: dict[SetName, CodeSet] = {}
    """Sets of codes by name; each must be used."""
    index: IndexDate
    """The index date."""
    demographics: Demographics = Demographics()
    """Demographics of the subjects."""
    inclusion: tuple[Inclusion, ...] = ()
    """Steps that keep subjects, in this order."""
    exclusion: tuple[Occurrence, ...] = ()
    """Steps that drop subjects, after the inclusions."""
    imaging: Annotated[tuple[WantedImages], Field(min_length=1, max_length=1)]
    """The images, one entry."""
    output: CohortOutput = CohortOutput()
    """Content of a release."""

    def resolve_set(self, code_set: str | CodeSet) -> CodeSet | None:
        """Return a set given by name or inline; None when no set has the name."""
        return self.sets.get(code_set) if isinstance(code_set, str) else code_set
