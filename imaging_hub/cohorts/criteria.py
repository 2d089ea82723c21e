"""What a cohort definition may say, as strict models: an unknown key or a wrong type is an error.

Windows are whole days, closed at both ends, relative to the subject's index date. A missing value is
neither true nor false: `missing: drop` (the default) leaves it out and counts it, `keep` keeps it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from imaging_hub.cohorts.image_criteria import WantedImages
from imaging_hub.cohorts.strict import DayWindow, MissingValues, Modality, SetName, StrictModel

EventDomain = Literal["diagnosis", "act", "drug", "package", "device", "ald", "stay", "biology", "cause_of_death"]


class ImagingActs(StrictModel):
    """Imaging acts by what they are rather than by code."""

    modality: Modality
    """Modality of the act, by the CCAM's own words."""
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z_]{2,20}$")] | None = None
    """Region that is imaged, as `CHEST` or `BRAIN`."""
    contrast: Literal["any", "yes", "no"] = "any"
    """Whether the act is with injection of a contrast medium."""


def _kind(value: object) -> str:
    return "codes" if isinstance(value, list | tuple) else "attributes"


CodePatterns = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=14)], ...], Field(min_length=1)
]


class CodeSet(StrictModel):
    """Codes of one nomenclature, with `*` for everything below."""

    icd10: CodePatterns | None = None
    """Diagnoses, by ICD-10 in its French edition."""
    ccam: Annotated[
        Annotated[CodePatterns, Tag("codes")] | Annotated[ImagingActs, Tag("attributes")], Discriminator(_kind)
    ] | (None) = None
    """Acts of the CCAM, by code or by what they are."""
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
    """Packages of drugs dispensed in town, by CIP13."""
    lpp: CodePatterns | None = None
    """Devices and services, by the LPP: seven digits."""

    @model_validator(mode="after")
    def of_one_nomenclature(self) -> CodeSet:
        """A set of two nomenclatures would match in one and be silently empty in the other."""
        if len(self.nomenclatures()) != 1:
            raise ValueError("a set has exactly one of icd10, ccam, atc, ald, ghm, nabm, ucd, cip13, lpp; split it")
        return self

    def nomenclatures(self) -> list[str]:
        """Those that have codes here: one, once it is checked."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


def _named(value: object) -> str:
    return "name" if isinstance(value, str) else "inline"


AnyCodeSet = Annotated[Annotated[SetName, Tag("name")] | Annotated[CodeSet, Tag("inline")], Discriminator(_named)]
CodePosition = Literal["DP", "DR", "DAS", "UM", "ALD", "CI", "CA"]


class IndexEvent(StrictModel):
    """What makes a subject's index date."""

    domain: EventDomain
    """Kind of event."""
    set: AnyCodeSet
    """A set by its name, or written here."""
    position: tuple[CodePosition, ...] = ()
    """Where the diagnosis stands; empty is anywhere."""
    first: bool = True
    """The first such event, or else the last."""


class Observation(StrictModel):
    """How long the data must reach around the index date."""

    before_days: Annotated[int, Field(ge=0, le=36525)] = 0
    """The data must begin so many days before it."""
    after_days: Annotated[int, Field(ge=0, le=36525)] = 0
    """They must go on so many days after it."""


class IndexDate(StrictModel):
    """One index date per subject."""

    event: IndexEvent
    """The event whose day it is."""
    observation: Observation = Observation()
    """How long the subject must be observed."""


class Demographics(StrictModel):
    """Who the subject is on the index date."""

    age_at_index: tuple[Annotated[int, Field(ge=0, le=130)], Annotated[int, Field(ge=0, le=130)]] | None = None
    """Completed years, counted from the month of birth."""
    sex: Literal["any", "male", "female"] = "any"
    """Sex as the SNDS has it."""
    alive_at_index: bool = False
    """No death before the index date."""
    missing: MissingValues = "drop"
    """What becomes of subjects whose age or sex is not known."""

    @model_validator(mode="after")
    def right_way_up(self) -> Demographics:
        """`[40, 85]`, the younger first."""
        if self.age_at_index is not None and self.age_at_index[0] > self.age_at_index[1]:
            raise ValueError("the ages are upside down; write the younger first")
        return self


LinkMethod = Literal[
    "ins", "exact", "without-act", "day-off", "without-month", "without-place", "probabilistic", "probable", "reviewed"
]


class Occurrence(StrictModel):
    """Events of a set, in a window, so many of them."""

    name: SetName | None = None
    """Word of the flowchart for it."""
    domain: EventDomain
    """Kind of event."""
    set: AnyCodeSet
    """A set by its name, or written here."""
    position: tuple[CodePosition, ...] = ()
    """Where the diagnosis stands; empty is anywhere."""
    window: DayWindow
    """When it must have happened."""
    count: Annotated[str, StringConstraints(pattern=r"^>=[1-9][0-9]{0,3}$")] = ">=1"
    """How often at least, as `>=2`."""
    distinct: Literal["day", "event"] = "day"
    """`day`: two claims of one day count once."""

    @property
    def at_least(self) -> int:
        """The number in `count`."""
        return int(self.count.removeprefix(">="))


Occurrences = Annotated[tuple[Occurrence, ...], Field(min_length=1)]


class AtLeast(StrictModel):
    """So many of several."""

    of: Annotated[tuple[Occurrence, ...], Field(min_length=2)]
    """Of these."""
    number: Annotated[int, Field(ge=1)]
    """So many must be there."""

    @model_validator(mode="after")
    def can_be(self) -> AtLeast:
        """Three of two would select nobody."""
        if self.number > len(self.of):
            raise ValueError("there are fewer than that; lower the number")
        return self


class Inclusion(StrictModel):
    """Subjects with any, all, none or so many of these."""

    name: SetName
    """Word of the flowchart for it."""
    any: Occurrences | None = None
    """One of these is enough."""
    all: Occurrences | None = None
    """Every one of these."""
    none: Occurrences | None = None
    """Not one of these."""
    at_least: AtLeast | None = None
    """So many of these."""

    @model_validator(mode="after")
    def one_of_them(self) -> Inclusion:
        """Two at once would leave the reader guessing."""
        if sum(value is not None for value in (self.any, self.all, self.none, self.at_least)) != 1:
            raise ValueError("an inclusion has one of any, all, none, at_least; write two inclusions for two")
        return self

    @property
    def occurrences(self) -> tuple[Occurrence, ...]:
        """What it speaks of."""
        return self.any or self.all or self.none or (self.at_least.of if self.at_least else ())


class MinLink(StrictModel):
    """How sure it must be that images and care are of one person."""

    methods: Annotated[tuple[LinkMethod, ...], Field(min_length=1)] | None = None
    """Only links made so: `ins` by the INS, the others by exams in common (`docs/linkage.md`); all without it."""
    score: Annotated[float, Field(ge=0, le=1)] = 0
    """Least score: 1 of an INS, else the lower bound of the method's measured precision."""

    @model_validator(mode="after")
    def says_something(self) -> MinLink:
        """Nothing said is no criterion."""
        if self.methods is None and not self.score:
            raise ValueError("neither methods nor a score; write one, or leave min_link out")
        return self


class CohortScope(StrictModel):
    """What part of the data is looked at."""

    snds_years: tuple[Annotated[int, Field(ge=2006, le=2100)], Annotated[int, Field(ge=2006, le=2100)]] | None = None
    """First and last year of the events that are looked at."""
    min_link: MinLink | None = None
    """Which links between images and care are good enough; all without it."""


OutputColumn = Literal["age_band", "sex", "index_offset_days", "death_offset_days", "link"]
USUAL_COLUMNS: tuple[OutputColumn, ...] = ("age_band", "sex", "index_offset_days", "link")


class CohortOutput(StrictModel):
    """What the release is made of, and what its manifest says of the subjects beside their images."""

    level: Literal["series"] = "series"
    """What a member is."""
    columns: tuple[OutputColumn, ...] = USUAL_COLUMNS
    """`age_band` (five years at the index date), `sex`, `index_offset_days` (of the study, negative before the index
    date), `death_offset_days` (empty without a known death; looks at the domain `death`), `link` (method and score).
    A calendar date is none of them: it would tell by how much the dates in the images are moved."""

    @model_validator(mode="after")
    def each_once(self) -> CohortOutput:
        """A column that is named twice is a slip."""
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("a column is named twice; name each once")
        return self


class CohortDefinition(StrictModel):
    """A cohort, as its author wrote it."""

    cohort: SetName
    """Its name."""
    version: Annotated[int, Field(ge=1)]
    """Raised by the author with every change."""
    scope: CohortScope = CohortScope()
    """What part of the data is looked at."""
    sets: dict[SetName, CodeSet] = {}
    """Sets of codes by name; each must be used."""
    index: IndexDate
    """What makes the index date."""
    demographics: Demographics = Demographics()
    """Who the subject is."""
    inclusion: tuple[Inclusion, ...] = ()
    """Steps that keep subjects, in this order."""
    exclusion: tuple[Occurrence, ...] = ()
    """Steps that leave subjects out, after the inclusions."""
    imaging: Annotated[tuple[WantedImages], Field(min_length=1, max_length=1)]
    """The images, one description."""
    output: CohortOutput = CohortOutput()
    """What is released."""

    def codes(self, of: str | CodeSet) -> CodeSet | None:
        """A set by name, or as it stands; None when no set has the name."""
        return self.sets.get(of) if isinstance(of, str) else of
