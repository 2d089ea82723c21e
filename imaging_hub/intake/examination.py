"""The look at an instance before it is acknowledged: can it be read whole, and is it what the sender says it is?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from imaging_hub.dicom import tags, uid, values
from imaging_hub.dicom.element_runs import ElementRun, ElementRunReader, elements_of
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.dicom.status import StoreSituation
from imaging_hub.errors import MalformedDataset

_LONGEST = 1024
"""Characters kept of an identifier; longer ones are no identifiers."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found. `situation` is STORED when nothing speaks against the instance; else `reason` says what does."""

    situation: StoreSituation
    reason: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    patient_id: str | None = None
    modality: str | None = None


def examine(
    dataset: Buffer,
    transfer_syntax_uid: str,
    sop_class_uid: str,
    sop_instance_uid: str,
    reader: ElementRunReader | None = None,
) -> Examination:
    """Read a dataset strictly and compare its UIDs with those under which it was sent.

    With a `reader`, what it has in common with the dataset before is not read again.
    """
    try:
        elements = elements_of((reader or ElementRunReader()).read(dataset, transfer_syntax_uid))
    except MalformedDataset as fault:
        return Examination(StoreSituation.MALFORMED, fault.code)
    return _examined(elements, sop_class_uid, sop_instance_uid)


def examine_header(passages: Iterable[ElementRun], sop_class_uid: str, sop_instance_uid: str) -> Examination:
    """As `examine`, of a dataset whose passages before pixel data were read, and nothing else follows."""
    return _examined(elements_of(passages), sop_class_uid, sop_instance_uid)


def _examined(elements: Dataset, sop_class_uid: str, sop_instance_uid: str) -> Examination:
    if not elements:
        return Examination(StoreSituation.MALFORMED, "empty-dataset")
    study, series = _uid_at(elements, tags.StudyInstanceUID), _uid_at(elements, tags.SeriesInstanceUID)
    fault_of_uids = _uid_fault(elements, sop_class_uid, sop_instance_uid, study, series)
    if fault_of_uids is not None:
        return Examination(StoreSituation.UID_MISMATCH, fault_of_uids)
    belongs = bool(study and series)
    return Examination(
        StoreSituation.STORED if belongs else StoreSituation.QUARANTINED,
        None if belongs else "study-or-series-uid-missing",
        study or None,
        series or None,
        _text_at(elements, tags.PatientID, values.charset_of(elements)),
        _text_at(elements, tags.Modality),
    )


def _uid_fault(elements: Dataset, sop_class_uid: str, sop_instance_uid: str, *groups: str) -> str | None:
    """What is wrong with the UIDs, if anything is; `groups` are those of study and series, empty where absent."""
    if not uid.is_valid(sop_instance_uid) or not uid.is_valid(sop_class_uid):
        return "invalid-sop-uid"
    if _uid_at(elements, tags.SOPInstanceUID) != sop_instance_uid:
        return "sop-instance-uid-mismatch"
    if _uid_at(elements, tags.SOPClassUID) != sop_class_uid:
        return "sop-class-uid-mismatch"
    if any(group and not uid.is_valid(group) for group in groups):
        return "invalid-study-or-series-uid"
    return None


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
                value = element.value if element.tag == tags.PixelData else bytes(element.value).rstrip(b"\0 ")
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
