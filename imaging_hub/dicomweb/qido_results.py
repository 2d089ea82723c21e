"""What a QIDO-RS answer says of a study, a series and an instance (PS3.18 tables 10.6.3-3 to 10.6.3-5)."""

from __future__ import annotations

from collections.abc import Collection

from pydicom import Dataset

from imaging_hub.archive.search import ArchivedInstance, ArchivedSeries, ArchivedStudy
from imaging_hub.dicomweb import dicom_json
from imaging_hub.dicomweb.dicom_json import Json, element

_STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "TimezoneOffsetFromUTC", "PatientName",
          "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID")  # fmt: skip
_MORE_OF_STUDY = ("StudyDescription", "PatientAge", "PatientSize", "PatientWeight", "SpecificCharacterSet",
                  "PatientIdentityRemoved", "DeidentificationMethod", "ProcedureCodeSequence")  # fmt: skip
_SERIES = ("Modality", "TimezoneOffsetFromUTC", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber",
           "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
           "RequestAttributesSequence")  # fmt: skip
_MORE_OF_SERIES = ("SeriesDate", "SeriesTime", "BodyPartExamined", "Laterality", "Manufacturer",
                   "ManufacturerModelName", "ProtocolName", "PatientPosition", "FrameOfReferenceUID",
                   "SpecificCharacterSet")  # fmt: skip
_INSTANCE = ("SOPClassUID", "SOPInstanceUID", "TimezoneOffsetFromUTC", "InstanceNumber")
_IMAGE = ("Rows", "Columns", "BitsAllocated", "NumberOfFrames")


def study(found: ArchivedStudy, header: Dataset, included: Collection[str], url: str) -> Json:
    """A study; `header` is of any instance of it, `url` of the service."""
    return _sorted(
        dicom_json.attributes(header, _wanted(_STUDY, _MORE_OF_STUDY, included)),
        element("InstanceAvailability", "ONLINE"),
        element("ModalitiesInStudy", *found.modalities),
        element("RetrieveURL", f"{url}/studies/{found.study_instance_uid}"),
        element("NumberOfStudyRelatedSeries", found.series),
        element("NumberOfStudyRelatedInstances", found.instances),
    )


def series(found: ArchivedSeries, header: Dataset, included: Collection[str], url: str) -> Json:
    """A series; `header` is of any instance of it."""
    return _sorted(
        dicom_json.attributes(header, _wanted(_SERIES, _MORE_OF_SERIES, included)),
        element("StudyInstanceUID", found.study_instance_uid),
        element("RetrieveURL", f"{url}/studies/{found.study_instance_uid}/series/{found.series_instance_uid}"),
        element("NumberOfSeriesRelatedInstances", found.instances),
    )


def instance(found: ArchivedInstance, header: Dataset, included: Collection[str], url: str) -> Json:
    """An instance and its own header."""
    image = [keyword for keyword in _IMAGE if keyword in header]
    series = f"{url}/studies/{found.study_instance_uid}/series/{found.series_instance_uid}"
    wanted = [keyword for keyword in included if keyword not in ("", "all")]
    return _sorted(
        dicom_json.model(header) if "all" in included else {},
        dicom_json.attributes(header, [*_INSTANCE, *image, *wanted]),
        element("InstanceAvailability", "ONLINE"),
        element("StudyInstanceUID", found.study_instance_uid),
        element("SeriesInstanceUID", found.series_instance_uid),
        element("RetrieveURL", f"{series}/instances/{found.sop_instance_uid}"),
    )


def _wanted(required: Collection[str], more: Collection[str], included: Collection[str]) -> list[str]:
    """Required keys, and of the others those asked for; attributes of a lower level are not given."""
    return [*required, *(keyword for keyword in more if "all" in included or keyword in included)]


def _sorted(*parts: Json) -> Json:
    return dict(sorted({key: value for part in parts for key, value in part.items()}.items()))
