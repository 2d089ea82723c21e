"""What a cohort definition may say, as strict models: an unknown key or a wrong type is an error.

Windows are whole days, closed at both ends, relative to the subject's index date. A missing value is
neither true nor false: `missing: drop` (the default) leaves it out and counts it, `keep` keeps it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

Domain = Literal["diagnosis", "act", "drug"]
Missing = Literal["keep", "drop"]
Modality = Literal["CT", "MR", "DX", "CR", "MG", "US", "XA", "RF", "NM", "PT", "OP", "OPT", "SC", "IO", "PX"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{1,62}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _./-]{0,63}$")]
Days = tuple[Annotated[int, Field(ge=0, le=36525)], Annotated[int, Field(ge=0, le=36525)]]


class Strict(BaseModel):
    """Nothing unknown, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Acts(Strict):
    """Imaging acts by what they are rather than by code."""

    modality: Modality
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z_]{2,20}$")] | None = None
    contrast: Literal["any", "yes", "no"] = "any"


def _kind(value: object) -> str:
    return "codes" if isinstance(value, list | tuple) else "attributes"


Patterns = Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=9)], ...], Field(min_length=1)]


class CodeSet(Strict):
    """Codes of one nomenclature, with `*` for everything below."""

    icd10: Patterns | None = None
    ccam: Annotated[Annotated[Patterns, Tag("codes")] | Annotated[Acts, Tag("attributes")], Discriminator(_kind)] | (
        None
    ) = None
    atc: Patterns | None = None

    @model_validator(mode="after")
    def of_one_nomenclature(self) -> CodeSet:
        """A set of two nomenclatures would match in one and be silently empty in the other."""
        if sum(value is not None for value in (self.icd10, self.ccam, self.atc)) != 1:
            raise ValueError("a set has exactly one of icd10, ccam, atc; split it")
        return self


def _named(value: object) -> str:
    return "name" if isinstance(value, str) else "inline"


AnySet = Annotated[Annotated[Name, Tag("name")] | Annotated[CodeSet, Tag("inline")], Discriminator(_named)]
Position = Literal["DP", "DR", "DAS", "UM", "ALD"]


class Window(Strict):
    """Days before the index date, after it, or both."""

    before: Days | None = None
    after: Days | None = None

    @model_validator(mode="after")
    def right_way_up(self) -> Window:
        """`[0, 180]`, nearest day first."""
        if self.before is None and self.after is None:
            raise ValueError("a window needs before or after; write `before: [0, 180]`")
        for name, days in (("before", self.before), ("after", self.after)):
            if days is not None and days[0] > days[1]:
                message = f"the window is upside down; write `{name}: [{days[1]}, {days[0]}]`"
                raise ValueError(message)
        return self


class IndexEvent(Strict):
    """What makes a subject's index date."""

    domain: Domain
    set: AnySet
    position: tuple[Position, ...] = ()
    """Where the diagnosis stands; empty is anywhere."""
    first: bool = True
    """The first such event, or else the last."""


class Observation(Strict):
    """How long the data must reach around the index date."""

    before_days: Annotated[int, Field(ge=0, le=36525)] = 0
    after_days: Annotated[int, Field(ge=0, le=36525)] = 0


class Index(Strict):
    """One index date per subject."""

    event: IndexEvent
    observation: Observation = Observation()


class Demographics(Strict):
    """Who the subject is on the index date."""

    age_at_index: tuple[Annotated[int, Field(ge=0, le=130)], Annotated[int, Field(ge=0, le=130)]] | None = None
    """Completed years, counted from the month of birth."""
    sex: Literal["any", "male", "female"] = "any"
    alive_at_index: bool = False
    missing: Missing = "drop"

    @model_validator(mode="after")
    def right_way_up(self) -> Demographics:
        """`[40, 85]`, the younger first."""
        if self.age_at_index is not None and self.age_at_index[0] > self.age_at_index[1]:
            raise ValueError("the ages are upside down; write the younger first")
        return self


class Occurrence(Strict):
    """Events of a set, in a window, so many of them."""

    name: Name | None = None
    domain: Domain
    set: AnySet
    position: tuple[Position, ...] = ()
    window: Window
    count: Annotated[str, StringConstraints(pattern=r"^>=[1-9][0-9]{0,3}$")] = ">=1"
    distinct: Literal["day", "event"] = "day"
    """`day`: two claims of one day count once."""

    @property
    def at_least(self) -> int:
        """The number in `count`."""
        return int(self.count.removeprefix(">="))


Occurrences = Annotated[tuple[Occurrence, ...], Field(min_length=1)]


class Inclusion(Strict):
    """Subjects with any, or all, of these."""

    name: Name
    any: Occurrences | None = None
    all: Occurrences | None = None

    @model_validator(mode="after")
    def one_of_them(self) -> Inclusion:
        """Both at once would leave the reader guessing."""
        if (self.any is None) == (self.all is None):
            raise ValueError("an inclusion has either any or all; write two inclusions for both")
        return self


class Range(Strict):
    """A closed range; an end that is not given is open."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def right_way_up(self) -> Range:
        """Not empty, not all."""
        if self.min is None and self.max is None:
            raise ValueError("a range needs min or max; write `max: 1.5`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("the range is upside down; write the smaller as min")
        return self


class AnyWord(Strict):
    """One of these words, found anywhere in the value, whatever the case."""

    any: Annotated[tuple[Word, ...], Field(min_length=1)]


class Kernel(Strict):
    """A regular expression (RE2) that matches somewhere in the convolution kernel."""

    regex: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class AllWords(Strict):
    """Every one of these values."""

    all: Annotated[tuple[Word, ...], Field(min_length=1)]


class SeriesCriterion(Strict):
    """What the series is, from its header."""

    slice_thickness_mm: Range | None = None
    contrast: Annotated[tuple[Literal["yes", "no", "unknown"], ...], Field(min_length=1)] | None = None
    manufacturer: AnyWord | None = None
    kernel: Kernel | None = None
    image_type: AllWords | None = None
    min_instances: Annotated[int, Field(ge=1)] | None = None
    exclude: tuple[Literal["scout", "derived"], ...] = ()
    missing: Missing = "drop"


class Pick(Strict):
    """Which of a subject's matching series, when there are several."""

    per: Literal["subject"] = "subject"
    order: Literal["nearest_to_index", "earliest", "latest"] = "nearest_to_index"
    limit: Annotated[int, Field(ge=1, le=1000)] = 1


class Images(Strict):
    """The images wanted of each subject."""

    name: Name
    modality: Modality
    body_part: Annotated[tuple[Word, ...], Field(min_length=1)] | None = None
    series: SeriesCriterion = SeriesCriterion()
    window: Window
    pick: Pick | None = None
    """Not given: every matching series."""


class Scope(Strict):
    """What part of the data is looked at."""

    snds_years: tuple[Annotated[int, Field(ge=2006, le=2100)], Annotated[int, Field(ge=2006, le=2100)]] | None = None


class Output(Strict):
    """What the release is made of."""

    level: Literal["series"] = "series"


class Definition(Strict):
    """A cohort, as its author wrote it."""

    cohort: Name
    version: Annotated[int, Field(ge=1)]
    scope: Scope = Scope()
    sets: dict[Name, CodeSet] = {}
    index: Index
    demographics: Demographics = Demographics()
    inclusion: tuple[Inclusion, ...] = ()
    exclusion: tuple[Occurrence, ...] = ()
    imaging: Annotated[tuple[Images], Field(min_length=1, max_length=1)]
    output: Output = Output()

    def codes(self, of: str | CodeSet) -> CodeSet | None:
        """A set by name, or as it stands; None when no set has the name."""
        return self.sets.get(of) if isinstance(of, str) else of
