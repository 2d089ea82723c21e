"""What a cohort definition may say of images: which series, when, and how many of each subject."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from imaging_hub.cohorts.strict import DayWindow, MissingValues, Modality, NonEmptyWord, SetName, StrictModel


class NumberRange(StrictModel):
    """A closed range; an end that is not given is open."""

    min: float | None = None
    """Smallest value that fits."""
    max: float | None = None
    """Largest value that fits."""

    @model_validator(mode="after")
    def right_way_up(self) -> NumberRange:
        """Not empty, not all."""
        if self.min is None and self.max is None:
            raise ValueError("a range needs min or max; write `max: 1.5`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("the range is upside down; write the smaller as min")
        return self


class AnyWord(StrictModel):
    """One of these words, found anywhere in the value, whatever the case."""

    any: Annotated[tuple[NonEmptyWord, ...], Field(min_length=1)]
    """The words."""


class KernelPattern(StrictModel):
    """A regular expression (RE2) that matches somewhere in the convolution kernel."""

    regex: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The expression, without back-references and look-around."""


class AllWords(StrictModel):
    """Every one of these values."""

    all: Annotated[tuple[NonEmptyWord, ...], Field(min_length=1)]
    """The values."""


class SeriesCriterion(StrictModel):
    """What the series is, from its header."""

    slice_thickness_mm: NumberRange | None = None
    """Slice Thickness (0018,0050)."""
    slice_spacing_mm: NumberRange | None = None
    """Distance of slices, computed from their positions: no attribute says it reliably."""
    pixel_spacing_mm: NumberRange | None = None
    """The larger of row and column spacing."""
    kvp: NumberRange | None = None
    """KVP (0018,0060)."""
    magnetic_field_t: NumberRange | None = None
    """Magnetic Field Strength (0018,0087)."""
    contrast: Annotated[tuple[Literal["yes", "no", "unknown"], ...], Field(min_length=1)] | None = None
    """Whether a contrast agent is named; `unknown` where the header says nothing."""
    manufacturer: AnyWord | None = None
    """Manufacturer (0008,0070)."""
    model: AnyWord | None = None
    """Manufacturer's Model Name (0008,1090)."""
    kernel: KernelPattern | None = None
    """Convolution Kernel (0018,1210)."""
    image_type: AllWords | None = None
    """Image Type (0008,0008)."""
    min_instances: Annotated[int, Field(ge=1)] | None = None
    """Instances of the series at least."""
    exclude: tuple[Literal["scout", "derived"], ...] = ()
    """Kinds of series that are left out."""
    missing: MissingValues = "drop"
    """What becomes of series whose header lacks what is asked for."""

    def ranges(self) -> dict[str, NumberRange]:
        """The ranges that are asked for, by column of the index."""
        names = ("slice_thickness_mm", "slice_spacing_mm", "pixel_spacing_mm", "kvp", "magnetic_field_t")
        return {name: limits for name in names if (limits := getattr(self, name)) is not None}


class SeriesPick(StrictModel):
    """Which of a subject's matching series, when there are several."""

    per: Literal["subject"] = "subject"
    """Of whose series."""
    order: Literal["nearest_to_index", "earliest", "latest"] = "nearest_to_index"
    """Which come first; those of one day by their UID."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many are kept."""


class WantedImages(StrictModel):
    """The images wanted of each subject."""

    name: SetName
    """Word of the flowchart for it."""
    modality: Modality
    """Modality (0008,0060)."""
    body_part: Annotated[tuple[NonEmptyWord, ...], Field(min_length=1)] | None = None
    """Body Part Examined (0018,0015), one of these."""
    series: SeriesCriterion = SeriesCriterion()
    """What the series must be."""
    window: DayWindow
    """When the study was made."""
    pick: SeriesPick | None = None
    """Not given: every matching series."""
