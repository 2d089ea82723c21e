"""Attributes of a series for cohorts, computed from one of its headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from imaging_hub.archive.stored_header import StoredHeader

_SCOUT_WORDS = ("SCOUT", "LOCALIZER", "LOCALISER", "TOPOGRAM", "SURVIEW")
_NO_CONTRAST = {"NO", "NONE", "N", "WITHOUT", "SANS"}
_SAME_POSITION_MM = 0.001


@dataclass(frozen=True, slots=True)
class SeriesAttributes:
    """Attributes of a series, None when missing in its headers; units are in the names."""

    modality: str
    series_number: int | None
    description: str | None
    body_part: str | None
    laterality: str | None
    contrast: bool | None
    manufacturer: str | None
    model: str | None
    kernel: str | None
    kvp: float | None
    slice_thickness_mm: float | None
    slice_spacing_mm: float | None
    pixel_spacing_mm: float | None
    magnetic_field_t: float | None
    image_type: list[str]
    is_scout: bool
    is_derived: bool


def describe(header: StoredHeader, positions_mm: Iterable[float] = ()) -> SeriesAttributes:
    """Return the attributes of a series from its first header and the slice positions of its instances."""
    image_type = [value.upper() for value in header.texts("ImageType")]
    description = header.text("SeriesDescription")
    measures = _shared(header, "PixelMeasuresSequence")
    spacing = measures.numbers("PixelSpacing") or header.numbers("ImagerPixelSpacing")
    return SeriesAttributes(
        modality=header.text("Modality").upper() or "OT",
        series_number=header.integer("SeriesNumber"),
        description=description or None,
        body_part=header.text("BodyPartExamined").upper() or None,
        laterality=(header.text("Laterality") or header.text("ImageLaterality")).upper() or None,
        contrast=_contrast(header),
        manufacturer=header.text("Manufacturer") or None,
        model=header.text("ManufacturerModelName") or None,
        kernel=header.text("ConvolutionKernel") or None,
        kvp=header.number("KVP"),
        slice_thickness_mm=measures.number("SliceThickness"),
        slice_spacing_mm=_median_spacing(positions_mm) or _median_spacing(_frame_positions(header)),
        pixel_spacing_mm=max(spacing, default=None),
        magnetic_field_t=header.number("MagneticFieldStrength"),
        image_type=image_type,
        is_scout="LOCALIZER" in image_type or any(word in description.upper() for word in _SCOUT_WORDS),
        is_derived=image_type[:1] == ["DERIVED"],
    )


def position_mm(header: StoredHeader) -> float | None:
    """Return the position of a single-frame image along the normal of its plane (PS3.3 §C.7.6.2.1.1)."""
    return _along_normal(header.numbers("ImagePositionPatient"), header.numbers("ImageOrientationPatient"))


def _along_normal(position: list[float], orientation: list[float]) -> float | None:
    if len(position) != 3 or len(orientation) != 6:
        return None
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return sum(p * n for p, n in zip(position, normal, strict=True))


def _frame_positions(header: StoredHeader) -> list[float]:
    """Return the positions of the frames of an enhanced multi-frame image (PS3.3 §C.7.6.16)."""
    orientation = _shared(header, "PlaneOrientationSequence").numbers("ImageOrientationPatient")
    positions = []
    for frame in header.items("PerFrameFunctionalGroupsSequence"):
        position = _first(frame, "PlanePositionSequence").numbers("ImagePositionPatient")
        frame_orientation = _first(frame, "PlaneOrientationSequence").numbers("ImageOrientationPatient") or orientation
        distance = _along_normal(position, frame_orientation)
        if distance is not None:
            positions.append(distance)
    return positions


def _median_spacing(positions: Iterable[float]) -> float | None:
    """Return the median distance of neighbours; several images at one position count once."""
    steps, last = [], None
    for position in sorted(positions):
        if last is not None and position - last < _SAME_POSITION_MM:
            continue
        if last is not None:
            steps.append(position - last)
        last = position
    return round(median(steps), 4) if steps else None


def _contrast(header: StoredHeader) -> bool | None:
    agent = header.text("ContrastBolusAgent")
    if agent.upper() in _NO_CONTRAST:
        return False
    return True if agent or header.items("ContrastBolusAgentSequence") else None


def _shared(header: StoredHeader, keyword: str) -> StoredHeader:
    """Return the shared functional group, else the first frame's, else the header itself."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        group = _first(_first(header, groups), keyword)
        if group.dataset:
            return group
    return header


def _first(header: StoredHeader, keyword: str) -> StoredHeader:
    return next(iter(header.items(keyword)), StoredHeader([]))
