"""Encoding of QIDO-RS results: studies, series and instances (PS3.18 tables 10.6.3-3 to 10.6.3-5)."""

from __future__ import annotations

from collections.abc import Collection

from pydicom import Dataset

from imaging_hub.archive.search import ArchivedInstance, ArchivedSeries, ArchivedStudy
from imaging_hub.dicomweb import dicom_json
from imaging_hub.dicomweb.dicom_json import JsonObject, encode_element

_STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "TimezoneOffsetFromUTC", "PatientName",
          "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID")  # fmt: skip
_OPTIONAL_STUDY = ("StudyDescription", "PatientAge", "PatientSize", "PatientWeight", "SpecificCharacterSet",
                  "PatientIdentityRemoved", "DeidentificationMethod", "ProcedureCodeSequence")  # fmt: skip
_SERIES = ("Modality", "TimezoneOffsetFromUTC", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber",
           "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
           "RequestAttributesSequence")  # fmt: skip
_OPTIONAL_SERIES = ("SeriesDate", "SeriesTime", "BodyPartExamined", "Laterality", "Manufacturer",
                   "ManufacturerModelName", "ProtocolName", "PatientPosition", "FrameOfReferenceUID",
                   "SpecificCharacterSet")  # fmt: skip
_INSTANCE = ("SOPClassUID", "SOPInstanceUID", "TimezoneOffsetFromUTC", "InstanceNumber")
_IMAGE = ("Rows", "Columns", "BitsAllocated", "NumberOfFrames")


def encode_study(study: ArchivedStudy, header: Dataset, included: Collection[str], url: str) -> JsonObject:
    """Encode a study; `header` is of any of its instances, `url` that of the service."""
    return _merge(
        dicom_json.encode_attributes(header, _returned_keys(_STUDY, _OPTIONAL_STUDY, included)),
        encode_element("InstanceAvailability", "ONLINE"),
        encode_element("ModalitiesInStudy", *study.modalities),
        encode_element("RetrieveURL", f"{url}/studies/{study.study_instance_uid}"),
        encode_element("NumberOfStudyRelatedSeries", study.series),
        encode_element("NumberOfStudyRelatedInstances", study.instances),
    )


def encode_series(series: ArchivedSeries, header: Dataset, included: Collection[str], url: str) -> JsonObject:
    """Encode a series; `header` is of any of its instances, `url` that of the service."""
    return _merge(
        dicom_json.encode_attributes(header, _returned_keys(_SERIES, _OPTIONAL_SERIES, included)),
        encode_element("StudyInstanceUID", series.study_instance_uid),
        encode_element("RetrieveURL", f"{url}/studies/{series.study_instance_uid}/series/{series.series_instance_uid}"),
        encode_element("NumberOfSeriesRelatedInstances", series.instances),
    )


def encode_instance(instance: ArchivedInstance, header: Dataset, included: Collection[str], url: str) -> JsonObject:
    """Encode an instance from its own header; `url` is that of the service."""
    image = [keyword for keyword in _IMAGE if keyword in header]
    series_url = f"{url}/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
    keywords = [keyword for keyword in included if keyword not in ("", "all")]
    return _merge(
        dicom_json.encode_dataset(header) if "all" in included else {},
        dicom_json.encode_attributes(header, [*_INSTANCE, *image, *keywords]),
        encode_element("InstanceAvailability", "ONLINE"),
        encode_element("StudyInstanceUID", instance.study_instance_uid),
        encode_element("SeriesInstanceUID", instance.series_instance_uid),
        encode_element("RetrieveURL", f"{series_url}/instances/{instance.sop_instance_uid}"),
    )


def _returned_keys(required: Collection[str], optional: Collection[str], included: Collection[str]) -> list[str]:
    """Return the required keys and the requested optional keys."""
    return [*required, *(keyword for keyword in optional if "all" in included or keyword in included)]


def _merge(*parts: JsonObject) -> JsonObject:
    return dict(sorted({key: value for part in parts for key, value in part.items()}.items()))
