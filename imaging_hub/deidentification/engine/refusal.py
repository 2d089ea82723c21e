"""Instances that are quarantined before anything is tried: unknown kinds, missing UIDs, text that may be in pixels.

Pixels may hold text or a face, samples a voice. Neither is cleaned yet, so an instance that may have some is refused.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from operator import attrgetter

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.profile import expression
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.deidentification.source_and_outcome import Pseudonyms, Quarantined
from imaging_hub.dicom import tags, values
from imaging_hub.dicom.elements import Dataset

BURNED_IN = "burned-in-text-possible"

_OVERLAYS = 0x60000000
_SECTIONAL = frozenset(("CT", "MR", "PT"))
# Made by people or for people, whatever modality they claim.
_CAPTURES = re.compile(r"secondary-capture|ultrasound|us-volume|video|photograph|endoscopic|dermoscopic")
# Burned In Annotation, Recognizable Visual Features, Specimen Label in Image: what each says of a clean image.
_SAYS = {
    tags.BurnedInAnnotation: ("", "NO"),
    tags.RecognizableVisualFeatures: ("", "NO"),
    tags.SpecimenLabelInImage: ("", "NO"),
}
# Image Type of protocol pages, dose pages and screen saves, which scanners store as slices.
_SCREEN = re.compile(
    r"\b(?:SCREEN|SAVE|DOSE|DOSE_INFO|PROT|PROTOCOL|REPORT|SNAPSHOT|CAPTURE|SUMMARY|TABLE|GRAPH|LOGO)\b"
)
_LABEL = re.compile(r"\b(?:LABEL|OVERVIEW)\b")


def refused(
    dataset: Dataset, sop_class_uid: str, modality: str, profile: Profile, pseudonyms: Pseudonyms
) -> Quarantined | None:
    """Say why an instance is not tried; None when it is. `sop_class_uid` and `modality` are those of `dataset`."""
    iod = standard_tables.iod(sop_class_uid)
    if iod is None or iod == "basic-directory":
        return Quarantined("media-directory" if iod else "unknown-sop-class", "SOPClassUID")
    for tag in (tags.SOPInstanceUID, tags.SeriesInstanceUID, tags.StudyInstanceUID):
        if not values.text_at(dataset, tag):
            return Quarantined("missing-uid", values.keyword(tag))
    if not values.is_charset_known(dataset):
        return Quarantined("unknown-character-set", "SpecificCharacterSet")
    if standard_tables.MODIFIED_DATES in profile.options and not pseudonyms.date_shift_days:
        return Quarantined("no-date-shift", rule="E.1-1 Retain Longitudinal Modified Dates")
    for rule in profile.quarantine:
        if expression.may_hold(rule.condition, dataset):
            return Quarantined(rule.reason, rule=f"{profile.name}: quarantine")
    return _burned_in(dataset, iod, modality, profile)


def _burned_in(dataset: Dataset, iod: str, modality: str, profile: Profile) -> Quarantined | None:
    """Quarantine for an instance whose pixels nobody vouches for; None when they may pass as they are."""
    if "audio" in iod:
        return Quarantined("recorded-voice-possible", "SOPClassUID", "burned_in")
    first = bisect_left(dataset, _OVERLAYS, key=attrgetter("tag"))
    from_overlays = {element.tag for element in dataset[first:]}
    if from_overlays.isdisjoint(tags.PIXEL_DATA_ATTRIBUTES):
        return None
    attribute = _attribute(dataset, from_overlays, iod)
    if attribute is None and (modality in profile.suspect or modality not in profile.trust):
        attribute = "Modality"
    return None if attribute is None else Quarantined(BURNED_IN, attribute, f"{profile.name}: burned_in")


def _attribute(dataset: Dataset, from_overlays: set[int], iod: str) -> str | None:
    """The attribute by which an instance may hold text whatever its modality."""
    if _CAPTURES.search(iod):
        return "SOPClassUID"
    for tag, clean in _SAYS.items():
        if values.text_at(dataset, tag).upper() not in clean:
            return values.keyword(tag)
    if _is_screen(dataset):
        return "ImageType"
    if values.text_at(dataset, tags.Modality) in _SECTIONAL and (values.number(dataset, tags.SamplesPerPixel) or 1) > 1:
        # Slices have one sample a pixel; colour is a rendering or a screen.
        return "SamplesPerPixel"
    # An overlay without its own data lies in unused bits of the pixels (retired, PS3.5-2004 §8.1.2).
    groups = {tag >> 16 for tag in from_overlays if 0x6000 <= tag >> 16 <= 0x60FF}
    return "OverlayBitPosition" if any(group << 16 | 0x3000 not in from_overlays for group in groups) else None


def _is_screen(dataset: Dataset) -> bool:
    """Whether Image Type speaks of a screen, a page or a slide's label."""
    element = values.find(dataset, tags.ImageType)
    image_type = [] if element is None else [value.upper() for value in values.texts(element)]
    if any(_LABEL.search(value) for value in image_type):
        return True
    return "SECONDARY" in image_type[1:2] and _SCREEN.search(" ".join(image_type[2:]).replace("_", " ")) is not None
