"""Storage SOP Classes (PS3.4 §B.5): their names, and what kind of thing their instances are."""

from __future__ import annotations

from enum import Enum

from pydicom.uid import UID_dictionary


class InstanceKind(Enum):
    """What an instance holds, as far as the hub treats kinds differently."""

    IMAGE = "image"
    """Pixel data: images, segmentations, parametric maps, dose grids."""
    REPORT = "report"
    """Structured Report, with text in its content tree."""
    DOCUMENT = "document"
    """An encapsulated file: PDF, CDA, 3D models."""
    WAVEFORM = "waveform"
    PRESENTATION_STATE = "presentation-state"
    RADIOTHERAPY = "radiotherapy"
    """Plans, structures, treatment records."""
    VIDEO = "video"
    OTHER = "other"
    """Raw data, registrations, measurements, templates."""


VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
"""The Push Model (PS3.4 Annex J)."""
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
"""The Study Root information models of query/retrieve (PS3.4 Annex C)."""

STANDARD_ROOT = "1.2.840.10008."
_COMPOSITE = "1.2.840.10008.5.1.4.1.1."
_BEYOND = (
    "1.2.840.10008.5.1.4.34.7",
    "1.2.840.10008.5.1.4.34.10",
    "1.2.840.10008.5.1.4.38.1",
    "1.2.840.10008.5.1.4.39.1",
    "1.2.840.10008.5.1.4.43.1",
    "1.2.840.10008.5.1.4.44.1",
    "1.2.840.10008.5.1.4.45.1",
)
# In the Standard since pydicom 3.0's dictionary was made.
_NEWER = {
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.1": "Waveform Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "Waveform Acquisition Presentation State Storage",
}

NAMES: dict[str, str] = {
    uid: entry[0].removesuffix(" SOP Class")
    for uid, entry in UID_dictionary.items()
    if entry[1] == "SOP Class" and "Storage" in entry[0] and (uid.startswith(_COMPOSITE) or uid in _BEYOND)
} | _NEWER
"""Every storage SOP Class, retired ones too: hospitals' archives are full of them."""

# The first words or roots that decide; a kind named earlier wins.
_BY_NAME: tuple[tuple[str, InstanceKind], ...] = (
    ("Presentation State", InstanceKind.PRESENTATION_STATE),
    ("Waveform", InstanceKind.WAVEFORM),
    ("Encapsulated", InstanceKind.DOCUMENT),
    (" SR Storage", InstanceKind.REPORT),
    ("Key Object Selection", InstanceKind.REPORT),
    ("Procedure Log", InstanceKind.REPORT),
    ("Video", InstanceKind.VIDEO),
    ("Surface Segmentation", InstanceKind.OTHER),
    ("Image", InstanceKind.IMAGE),
    ("Segmentation", InstanceKind.IMAGE),
    ("Parametric Map", InstanceKind.IMAGE),
    ("RT Dose", InstanceKind.IMAGE),
    ("Tomography", InstanceKind.IMAGE),
    ("US Volume", InstanceKind.IMAGE),
    ("Thickness Map", InstanceKind.IMAGE),
    ("Topography Map", InstanceKind.IMAGE),
)
_RADIOTHERAPY = ("1.2.840.10008.5.1.4.1.1.481.", "1.2.840.10008.5.1.4.34.")


def is_storage(uid: str) -> bool:
    """Whether instances of the SOP Class can be stored."""
    return uid in NAMES


def is_kept(uid: str) -> bool:
    """Whether what a known sender has of this SOP Class is taken.

    A SOP Class that is not of the Standard is taken for a private storage class: it must not be
    lost, and the de-identification decides on it.
    """
    return is_storage(uid) or not uid.startswith(STANDARD_ROOT)


def name(uid: str) -> str:
    """Look up the name of a storage SOP Class; its UID when the Standard has none."""
    return NAMES.get(uid, uid)


def kind(uid: str) -> InstanceKind:
    """Say what instances of the SOP Class hold; `OTHER` when it is unknown or private."""
    title = NAMES.get(uid, "")
    for words, named in _BY_NAME:
        if words in title:
            return named
    return InstanceKind.RADIOTHERAPY if uid.startswith(_RADIOTHERAPY) else InstanceKind.OTHER
