"""The look at an instance before it is acknowledged: can it be read whole, and is it what the sender says it is?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from imaging_hub.dicom import uid, values, walk
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.dicom.status import Situation
from imaging_hub.errors import MalformedDataset

_PIXEL_DATA = 0x7FE00010
_LONGEST = 1024
"""Characters kept of an identifier; longer ones are no identifiers."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found. `situation` is STORED when nothing speaks against the instance; else `reason` says what does."""

    situation: Situation
    reason: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    patient_id: str | None = None
    modality: str | None = None


def examine(dataset: Buffer, transfer_syntax_uid: str, sop_class_uid: str, sop_instance_uid: str) -> Examination:
    """Read a dataset strictly and compare its UIDs with those under which it was sent."""
    try:
        elements = walk.read(dataset, transfer_syntax_uid)
    except MalformedDataset as fault:
        return Examination(Situation.MALFORMED, fault.code)
    if not elements:
        return Examination(Situation.MALFORMED, "empty-dataset")
    if not uid.is_valid(sop_instance_uid) or not uid.is_valid(sop_class_uid):
        return Examination(Situation.UID_MISMATCH, "invalid-sop-uid")
    if _uid_at(elements, 0x00080018) != sop_instance_uid:
        return Examination(Situation.UID_MISMATCH, "sop-instance-uid-mismatch")
    if _uid_at(elements, 0x00080016) != sop_class_uid:
        return Examination(Situation.UID_MISMATCH, "sop-class-uid-mismatch")
    study, series = _uid_at(elements, 0x0020000D), _uid_at(elements, 0x0020000E)
    if (study and not uid.is_valid(study)) or (series and not uid.is_valid(series)):
        return Examination(Situation.UID_MISMATCH, "invalid-study-or-series-uid")
    charset = values.charset_of(elements)
    found = Examination(
        Situation.STORED if study and series else Situation.QUARANTINED,
        None if study and series else "study-or-series-uid-missing",
        study or None,
        series or None,
        _text_at(elements, 0x00100020, charset),
        _text_at(elements, 0x00080060),
    )
    return found


def content_digest(dataset: Dataset) -> str:
    """SHA-256 of what a dataset says, however it is encoded: tags and values without padding, VRs left out.

    Implicit VR does not tell the VR of a private attribute, and padding may differ: neither is content.
    """
    sha256 = hashlib.sha256()
    pending: list[Dataset | bytes] = [dataset]
    while pending:
        part = pending.pop()
        if isinstance(part, bytes):
            sha256.update(part)
            continue
        later: list[Dataset | bytes] = []
        for element in part:
            later.append(element.tag.to_bytes(4, "big"))
            if isinstance(element.value, list):
                for item in element.value:
                    later += (b"(", item, b")")
            else:
                value = element.value if element.tag == _PIXEL_DATA else bytes(element.value).rstrip(b"\0 ")
                later += (len(value).to_bytes(8, "big"), hashlib.sha256(value).digest())
        pending += reversed(later)
    return sha256.hexdigest()


def _uid_at(dataset: Dataset, tag: int) -> str:
    return values.text_at(dataset, tag).replace("\0", "").strip(" ")


def _text_at(dataset: Dataset, tag: int, charset: values.Charset = values.LATIN_1) -> str | None:
    element = values.find(dataset, tag)
    if element is None or isinstance(element.value, list):
        return None
    return values.text(element, charset).replace("\0", "").strip(" ")[:_LONGEST] or None
