"""Validation of an instance before it is acknowledged: a strict parse, and its UIDs against those of the request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from imaging_hub.dicom import tags, uid, values
from imaging_hub.dicom.element_runs import ElementRun, ElementRunReader, elements_of
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.dicom.status import StoreSituation
from imaging_hub.errors import MalformedDataset

_IDENTIFIER_MAX_CHARACTERS = 1024
"""Characters kept of an identifier."""


@dataclass(frozen=True, slots=True)
class InstanceValidation:
    """Result of the validation: `situation` is STORED for a valid instance; otherwise `reason` has a code."""

    situation: StoreSituation
    reason: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    patient_id: str | None = None
    modality: str | None = None


def validate_instance(
    dataset: Buffer,
    transfer_syntax_uid: str,
    sop_class_uid: str,
    sop_instance_uid: str,
    reader: ElementRunReader | None = None,
) -> InstanceValidation:
    """Parse a dataset strictly and compare its SOP UIDs with those of the C-STORE request.

    A `reader` that is passed again skips the elements equal to those of the previous dataset.
    """
    try:
        elements = elements_of((reader or ElementRunReader()).read(dataset, transfer_syntax_uid))
    except MalformedDataset as fault:
        return InstanceValidation(StoreSituation.MALFORMED, fault.code)
    return _validate(elements, sop_class_uid, sop_instance_uid)


def validate_header(runs: Iterable[ElementRun], sop_class_uid: str, sop_instance_uid: str) -> InstanceValidation:
    """As `validate_instance`, for a dataset whose elements before Pixel Data were parsed and that ends with it."""
    return _validate(elements_of(runs), sop_class_uid, sop_instance_uid)


def _validate(elements: Dataset, sop_class_uid: str, sop_instance_uid: str) -> InstanceValidation:
    if not elements:
        return InstanceValidation(StoreSituation.MALFORMED, "empty-dataset")
    study, series = _uid_at(elements, tags.StudyInstanceUID), _uid_at(elements, tags.SeriesInstanceUID)
    uid_fault = _uid_fault(elements, sop_class_uid, sop_instance_uid, study, series)
    if uid_fault is not None:
        return InstanceValidation(StoreSituation.UID_MISMATCH, uid_fault)
    has_study = bool(study and series)
    return InstanceValidation(
        StoreSituation.STORED if has_study else StoreSituation.QUARANTINED,
        None if has_study else "study-or-series-uid-missing",
        study or None,
        series or None,
        _text_at(elements, tags.PatientID, values.charset_of(elements)),
        _text_at(elements, tags.Modality),
    )


def _uid_fault(elements: Dataset, sop_class_uid: str, sop_instance_uid: str, *study_and_series: str) -> str | None:
    """Code of what is wrong with the UIDs, if anything is; an absent study or series UID is empty."""
    if not uid.is_valid(sop_instance_uid) or not uid.is_valid(sop_class_uid):
        return "invalid-sop-uid"
    if _uid_at(elements, tags.SOPInstanceUID) != sop_instance_uid:
        return "sop-instance-uid-mismatch"
    if _uid_at(elements, tags.SOPClassUID) != sop_class_uid:
        return "sop-class-uid-mismatch"
    if any(value and not uid.is_valid(value) for value in study_and_series):
        return "invalid-study-or-series-uid"
    return None


def content_digest(dataset: Dataset) -> str:
    """Return the SHA-256 of tags and unpadded values, which is the same in every transfer syntax.

    VRs are left out, since Implicit VR does not encode that of a private attribute.
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
    return values.text(element, charset).replace("\0", "").strip(" ")[:_IDENTIFIER_MAX_CHARACTERS] or None
