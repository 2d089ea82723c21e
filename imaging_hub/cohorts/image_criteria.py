"""Models of the images in a cohort definition: which series, when, and how many of each subject."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from imaging_hub.cohorts.definition_types import DayWindow, MissingValues, Modality, NonEmptyWord, SetName, StrictModel


class NumberRange(StrictModel):
    """A range, closed at the ends that are given."""

    min: float | None = None
    """Smallest value."""
    max: float | None = None
    """Largest value."""

    @model_validator(mode="after")
    def check_order(self) -> NumberRange:
        """Refuse a range without ends, or with ends in the wrong order."""
        if self.min is None and self.max is None:
            raise ValueError("a range needs min or max; write `max: 1.5`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("the range is upside down; write the smaller as min")
        return self


class AnyWord(StrictModel):
    """Words of which one occurs in the value, ignoring case."""

    any: Annotated[tuple[NonEmptyWord, ...], Field(min_length=1)]
    """The words."""


class KernelPattern(StrictModel):
    """A regular expression (RE2) that matches somewhere in the convolution kernel."""

    regex: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The expression, without back-references and look-around."""


class AllWords(StrictModel):
    """Values that all must be present."""

    all: Annotated[tuple[NonEmptyWord, ...], Field(min_length=1)]
    """The values."""


class SeriesCriterion(StrictModel):
    """Criteria on attributes of a series."""

    slice_thickness_mm: NumberRange | None = None
    """Slice Thickness (0018,0050)."""
    slice_spacing_mm: NumberRange | None = None
    """Distance of slices, computed from their positions, since no attribute is reliable."""
    pixel_spacing_mm: NumberRange | None = None
    """The larger of row and column spacing."""
    kvp: NumberRange | None = None
    """KVP (0018,0060)."""
    magnetic_field_t: NumberRange | None = None
    """Magnetic Field Strength (0018,0087)."""
    contrast: Annotated[tuple[Literal["yes", "no", "unknown"], ...], Field(min_length=1)] | None = None
    """Whether a contrast agent is named; `unknown` when the attribute is missing."""
    manufacturer: AnyWord | None = None
    """Manufacturer (0008,0070)."""
    model: AnyWord | None = None
    """Manufacturer's Model Name (0008,1090)."""
    kernel: KernelPattern | None = None
    """Convolution Kernel (0018,1210)."""
    image_type: AllWords | None = None
    """Image Type (0008,0008)."""
    min_instances: Annotated[int, Field(ge=1)] | None = None
    """Least number of instances."""
    exclude: tuple[Literal["scout", "derived"], ...] = ()
    """Kinds of series to drop."""
    missing: MissingValues = "drop"
    """Whether series that lack an attribute of a criterion are kept."""

    def ranges(self) -> dict[str, NumberRange]:
        """Return the given ranges by column of the index."""
        names = ("slice_thickness_mm", "slice_spacing_mm", "pixel_spacing_mm", "kvp", "magnetic_field_t")
        return {name: limits for name in names if (limits := getattr(self, name)) is not None}


class SeriesPick(StrictModel):
    """Selection among several matching series of a subject."""

    per: Literal["subject"] = "subject"
    """Group in which series are selected."""
    order: Literal["nearest_to_index", "earliest", "latest"] = "nearest_to_index"
    """Order of the series; those of one day are ordered by UID."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of series kept."""


class WantedImages(StrictModel):
    """The images wanted of each subject."""

    name: SetName
    """Its name in the flowchart."""
    modality: Modality
    """Modality (0008,0060)."""
    body_part: Annotated[tuple[NonEmptyWord, ...], Field(min_length=1)] | None = None
    """Body Part Examined (0018,0015), one of these."""
    series: SeriesCriterion = SeriesCriterion()
    """Criteria on the series."""
    window: DayWindow
    """Days in which the study was made."""
    pick: SeriesPick | None = None
    """Selection among matching series; all when not given."""
