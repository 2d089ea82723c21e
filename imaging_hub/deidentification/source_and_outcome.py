"""What goes into de-identification, and the two things that can come out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import FaultSite


@dataclass(frozen=True, slots=True)
class SourceInstance:
    """A SOP Instance as a hospital sent it."""

    dataset: Buffer
    """Encoded dataset without preamble and file meta."""
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """What replaces one patient's identity; made by the third party, never derived from data."""

    patient: str
    """Patient ID and Patient's Name to write."""
    uid_key: bytes
    """256-bit key that remaps UIDs (per hospital), consistent in every reference."""
    date_shift_days: int
    """Non-zero; the same for every study of the patient."""
    identifiers: frozenset[str] = frozenset()
    """Further identifiers of this patient, known from elsewhere, that must not be left anywhere."""


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """What happened to one attribute, and why; without any value."""

    path: str
    """Keywords with item numbers, `RequestAttributesSequence[0].AccessionNumber`; private: `(0029,"CREATOR",10)`."""
    action: str
    """`X Z D K C U shift` …, as the profile says it."""
    rule: str
    """Where it is written: `E.1-1 Basic`, `E.1-1 Clean Descriptors`, `profile:12`, `E.3.10-1` …"""


@dataclass(frozen=True, slots=True)
class DeidentifiedInstance:
    """An instance that passed the residual check. Only `deidentification.engine.deidentifier` builds it."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    part10: tuple[Buffer, ...]
    """The file to store, in order of writing; its join is the object whose SHA-256 names it."""
    header: bytes
    """The encoded dataset up to, and without, pixel data; in `transfer_syntax_uid`."""
    changes: tuple[AttributeChange, ...]
    needs_review: bool
    """The profile wants a radiologist to look before release."""
    study_date: date | None
    """The true day of the study: for cohort windows inside the hub, never written in an instance."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An instance that stays in the identifying zone."""

    reason: str
    """Stable code, e.g. `burned-in-text-possible`, `residual-identifier`, `unknown-sop-class`."""
    attribute: str = ""
    """Path of the attribute that decided, never its value."""
    rule: str = ""
    """The rule that decided, or that should have caught it."""
    fault: FaultSite | None = None
    """Where the engine itself failed, with the reason `engine-fault`."""
