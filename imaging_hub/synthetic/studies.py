"""Studies of the hospitals as files `<hospital>/<study number>/<series>/<image>.dcm`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from imaging_hub.dicom import part10, tags
from imaging_hub.synthetic.dicom_header import CT_MACHINES, DX_MACHINES, MR_MACHINES, ImagingMachine, study_header
from imaging_hub.synthetic.images import SeriesSpecification, ct_series, dx_image, mr_series, screen_capture
from imaging_hub.synthetic.patients import HospitalStudy

_MODALITY = {"ZBQK001": "CT", "ZBQH001": "CT", "ACQK001": "CT", "ACQN001": "MR", "ACQJ002": "MR", "ZBQK002": "DX"}
_CONTRAST = ("ZBQH001", "ACQJ002")
_IMAGE_TAGS = (tags.SOPInstanceUID, tags.InstanceNumber, tags.ImagePositionPatient, tags.SliceLocation, tags.PixelData)
"""SOP Instance UID, Instance Number, Image Position (Patient), Slice Location, Pixel Data."""
_LAST_TAG = 0xFFFFFFFE


def write_study(study: HospitalStudy, folder: Path, rng: np.random.Generator) -> dict[str, object]:
    """Write a study under `folder`, and return its entry for truth.json."""
    exam, patient = study.exam, study.patient
    modality = _MODALITY[exam.ccam]
    study_folder = folder / patient.hospital.name / f"{study.number:05d}"
    header = study_header(study, _machine_for(study, modality), rng)
    series = [
        _write_series(images, study_folder / f"{number}", study.number % 5 == 0)
        for number, images in enumerate(_make_series(study, modality, header, rng), start=1)
    ]
    return {
        "person": patient.person.id,
        "hospital": patient.hospital.name,
        "finess": patient.hospital.finess,
        "ipp": patient.ipp,
        "study_instance_uid": str(header.StudyInstanceUID),
        "accession": study.accession,
        "date": study.day.isoformat(),
        "modality": modality,
        "body_part": _body_region(study),
        "ccam": exam.ccam,
        "claim": _claim_truth(study),
        "folder": f"dicom/{study_folder.relative_to(folder)}",
        "hostile_name": bool(patient.hostile_name),
        "burned_in": any(each["burned_in"] for each in series),
        "series": series,
    }


def _machine_for(study: HospitalStudy, modality: str) -> ImagingMachine:
    machines = {"CT": CT_MACHINES, "MR": MR_MACHINES, "DX": DX_MACHINES}[modality]
    return machines[study.number % len(machines)]


def _body_region(study: HospitalStudy) -> str:
    return "CHEST" if study.exam.ccam.startswith("ZBQ") else "BRAIN"


def _claim_truth(study: HospitalStudy) -> dict[str, str] | None:
    exam = study.exam
    if exam.inpatient is not None:
        table = "T_MCOaaA"
    elif not exam.claimed:
        return None
    else:
        table = "T_MCOaaFMSTC" if exam.hospital.sector == "public" else "ER_CAM_F"
    return {"table": table, "date": exam.day.isoformat()}


def _make_series(
    study: HospitalStudy, modality: str, header: Dataset, rng: np.random.Generator
) -> Iterator[Iterator[Dataset]]:
    """Yield the images of each series."""
    region = _body_region(study)
    lesion = study.patient.person.disease in ("lung", "stroke", "ms")
    contrast = study.exam.ccam in _CONTRAST
    if modality == "CT":
        machine = _machine_for(study, modality)
        if study.number % 4 == 0:
            scout = SeriesSpecification(region, 1, "TOPOGRAMME", False, lesion, scout=True)
            yield ct_series(header, machine, scout, rng)
        thin = rng.random() < 0.88
        name = "THORAX PARENCHYME" if region == "CHEST" else "CRÂNE"
        thickness = float(rng.choice([1.0, 1.25, 1.5])) if thin else 5.0
        specification = SeriesSpecification(
            region, 2, f"{name} {thickness:g}", contrast, lesion, thickness, int(rng.integers(12, 17))
        )
        yield ct_series(header, machine, specification, rng)
    elif modality == "MR":
        specification = SeriesSpecification(region, 1, "AX FLAIR", contrast, lesion, 4.0, int(rng.integers(9, 13)))
        yield mr_series(header, specification, rng)
    else:
        yield dx_image(header, SeriesSpecification(region, 1, "THORAX FACE", False, lesion), rng)
    if study.number in (7, 19):
        kind = "ECHO DOPPLER" if study.number == 7 else "CAPTURE"
        text = f"{study.patient.person.family_name} {study.patient.person.first_name} {study.patient.ipp}"
        yield screen_capture(header, SeriesSpecification(region, 9, kind, False, lesion), text, rng)


def _write_series(images: Iterator[Dataset], folder: Path, implicit: bool) -> dict[str, object]:
    """Write a series image by image, since its images are one dataset that changes; returns its truth."""
    folder.mkdir(parents=True)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    image, uids = Dataset(), []
    shared_runs: dict[tuple[int, int], bytes] = {}
    for number, image in enumerate(images, start=1):
        meta = part10.file_meta(str(image.SOPClassUID), str(image.SOPInstanceUID), str(syntax))
        (folder / f"{number:04d}.dcm").write_bytes(meta + b"".join(_encode_runs(image, implicit, shared_runs)))
        uids.append(str(image.SOPInstanceUID))
    return {
        "series_instance_uid": str(image.SeriesInstanceUID),
        "sop_class_uid": str(image.SOPClassUID),
        "modality": image.Modality,
        "body_part": image.BodyPartExamined,
        "description": image.SeriesDescription,
        "manufacturer": image.Manufacturer,
        "model": image.ManufacturerModelName,
        "kernel": image.get("ConvolutionKernel") or None,
        "slice_thickness_mm": float(image.SliceThickness) if "SliceThickness" in image else None,
        "contrast": "ContrastBolusAgent" in image,
        "scout": "LOCALIZER" in image.ImageType,
        "burned_in": image.Modality in ("US", "OT"),
        "instances": len(uids),
        "sop_instance_uids": uids,
    }


def _encode_runs(image: Dataset, implicit: bool, shared_runs: dict[tuple[int, int], bytes]) -> Iterator[bytes]:
    """Yield the encoded dataset in parts; those without an attribute of `_IMAGE_TAGS` are encoded once a series."""
    start = 0
    for tag in (*_IMAGE_TAGS, _LAST_TAG):
        if (start, tag) not in shared_runs:
            shared_runs[start, tag] = _encode_range(image, start, tag, implicit)
        yield shared_runs[start, tag]
        yield _encode_range(image, tag, tag + 1, implicit)
        start = tag + 1


def _encode_range(image: Dataset, start: int, end: int, implicit: bool) -> bytes:
    run = DicomBytesIO()
    run.is_little_endian, run.is_implicit_VR = True, implicit
    write_dataset(run, image[start:end], image.SpecificCharacterSet)
    return bytes(run.getvalue())
