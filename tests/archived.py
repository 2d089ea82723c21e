"""De-identified instances for tests of the archive, made of pydicom's files or of nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from sqlalchemy import Connection

from imaging_hub.archive.index import StoredInstance, admit
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.source_and_outcome import AttributeChange, DeidentifiedInstance

SID = "5" * 32
PSEUDONYM = "P-0001"
FINESS = "750712184"


def from_file(name: str, **attributes: object) -> Dataset:
    """One of pydicom's own files, with attributes of the test's own."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    dataset = dcmread(path)
    for group in (0xFFFC,):
        for element in [e for e in dataset if e.tag.group == group]:
            del dataset[element.tag]
    for keyword, value in {"PatientID": PSEUDONYM, "PatientName": PSEUDONYM, **attributes}.items():
        setattr(dataset, keyword, value)
    return dataset


def slice_of(study: str, series: str, number: int, z: float = 0.0, **attributes: object) -> Dataset:
    """A small CT slice at `z` mm."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": generate_uid(entropy_srcs=[series, str(number)]),
        "StudyDate": "20200512",
        "StudyTime": "101500",
        "AccessionNumber": "",
        "Modality": "CT",
        "Manufacturer": "ACME",
        "StudyDescription": "Scanner thoracique",
        "SeriesDescription": "Parenchyme",
        "PatientID": PSEUDONYM,
        "PatientName": PSEUDONYM,
        "BodyPartExamined": "chest",
        "SliceThickness": "2.0",
        "KVP": "120",
        "ConvolutionKernel": "B70f",
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "SeriesNumber": 3,
        "InstanceNumber": number,
        "ImagePositionPatient": [0, 0, z],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.7, 0.8],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 8,
        "Columns": 6,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": "500",
        "WindowWidth": "1000",
        "PixelData": (np.arange(48, dtype="<u2") * 20 + number).tobytes(),
        **attributes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def deidentified(
    dataset: Dataset, *, needs_review: bool = False, study_date: date | None = date(2019, 3, 1)
) -> DeidentifiedInstance:
    """What the engine would hand over had it made `dataset`."""
    syntax = dataset.file_meta.TransferSyntaxUID
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    header = Dataset({element.tag: element for element in dataset if element.tag < 0x7FE00008})
    encoded = DicomBytesIO()
    encoded.is_implicit_VR, encoded.is_little_endian = syntax.is_implicit_VR, True
    write_dataset(encoded, header)
    return DeidentifiedInstance(
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        transfer_syntax_uid=str(syntax),
        part10=(file.getvalue(),),
        header=encoded.getvalue(),
        changes=(AttributeChange("PatientName", "Z", "E.1-1 Basic"),),
        needs_review=needs_review,
        study_date=study_date,
    )


def admissions(instances: Sequence[DeidentifiedInstance], objects: ObjectStore | None = None) -> list[StoredInstance]:
    """Their admissions; stored too when there is a store."""
    made = []
    for instance in instances:
        content = b"".join(instance.part10)
        if objects is not None:
            objects.put(instance.part10)
        made.append(StoredInstance(instance, hashlib.sha256(content).hexdigest(), len(content)))
    return made


def archive(
    database: Database,
    instances: Sequence[DeidentifiedInstance],
    objects: ObjectStore | None = None,
    *,
    sid: str = SID,
    pseudonym: str = PSEUDONYM,
) -> None:
    """Store and index instances of one study."""
    with database.begin(DatabaseRole.WORKER) as connection:
        admit_in(connection, instances, objects, sid=sid, pseudonym=pseudonym)


def admit_in(
    connection: Connection,
    instances: Sequence[DeidentifiedInstance],
    objects: ObjectStore | None = None,
    *,
    sid: str = SID,
    pseudonym: str = PSEUDONYM,
) -> None:
    """The same within a transaction of the test's own."""
    admit(
        connection,
        sid=sid,
        pseudonym=pseudonym,
        finess=FINESS,
        date_shift_days=437,
        profile="research-longitudinal@0123",
        admissions=admissions(instances, objects),
    )
