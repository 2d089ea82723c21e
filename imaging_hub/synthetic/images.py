"""Synthetic images that conform to their IODs (PS3.3 §A.3 CT, §A.4 MR, §A.26 DX, §A.6 US, §A.8 Secondary Capture)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging_hub.synthetic import phantom
from imaging_hub.synthetic.dicom_header import ImagingMachine, new_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
US = "1.2.840.10008.5.1.4.1.1.6.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True)
class SeriesSpecification:
    """What a series shows, and how many slices it has."""

    region: str
    number: int
    description: str
    contrast: bool
    lesion: bool
    thickness_mm: float = 1.0
    slices: int = 14
    scout: bool = False


def ct_series(
    study: Dataset, machine: ImagingMachine, specification: SeriesSpecification, rng: np.random.Generator
) -> Iterator[Dataset]:
    """Yield axial CT slices, or one localizer; one dataset is changed and yielded again for each slice."""
    size = 144
    ds = _series_header(study, "CT", CT, specification, rng)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if specification.scout else "AXIAL"]
    ds.KVP, ds.XRayTubeCurrent, ds.ExposureTime = "120", "210", "500"
    ds.ConvolutionKernel, ds.ReconstructionDiameter, ds.GantryDetectorTilt = machine.kernel, "360", "0"
    if specification.contrast and not specification.scout:
        ds.ContrastBolusAgent = "IOMERON 350"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = ("-600", "1500") if specification.region == "CHEST" else ("40", "80")
    volume = phantom.ct(
        specification.region, size, 1 if specification.scout else specification.slices, specification.lesion, rng
    )
    yield from _slices(ds, (volume + 1024).astype(np.uint16), specification, 360 / size, rng)


def mr_series(study: Dataset, specification: SeriesSpecification, rng: np.random.Generator) -> Iterator[Dataset]:
    """Yield axial MR slices; one dataset is changed and yielded again for each slice."""
    size = 128
    ds = _series_header(study, "MR", MR, specification, rng)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = ["SE", "IR"], "SK", "", "2D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.InversionTime = "9000", "94", "15", "2500"
    ds.MagneticFieldStrength, ds.FlipAngle, ds.SequenceName = "3", "150", "*tir2d1_15"
    if specification.contrast:
        ds.ContrastBolusAgent = "DOTAREM"
    ds.WindowCenter, ds.WindowWidth = "450", "900"
    volume = phantom.mr(size, specification.slices, specification.lesion, rng)
    yield from _slices(ds, volume.astype(np.uint16), specification, 230 / size, rng)


def dx_image(study: Dataset, specification: SeriesSpecification, rng: np.random.Generator) -> Iterator[Dataset]:
    """Yield one chest radiograph for presentation."""
    size = 320
    ds = _series_header(study, "DX", DX, specification, rng)
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PresentationIntentType, ds.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.LossyImageCompression, ds.BurnedInAnnotation = "00", "NO"
    ds.DetectorType, ds.DetectorID = "SCINTILLATOR", "DR-1"
    ds.ImagerPixelSpacing = ["1.0", "1.0"]
    ds.ImageLaterality, ds.ViewPosition, ds.PatientOrientation = "U", "PA", ["L", "F"]
    ds.KVP, ds.Exposure, ds.PositionerType = "125", "2", "NONE"
    ds.AnatomicRegionSequence = Sequence([_code_item("43799004", "SCT", "Thoracic cavity structure")])
    ds.ViewCodeSequence = Sequence([_code_item("272479007", "SCT", "postero-anterior")])
    ds.AcquisitionContextSequence = Sequence()
    ds.WindowCenter, ds.WindowWidth = "1900", "3200"
    ds.InstanceNumber, ds.SOPInstanceUID = 1, new_uid(rng)
    _set_pixels(ds, phantom.radiograph(size, rng).astype(np.uint16), bits=12)
    yield ds


def screen_capture(
    study: Dataset, specification: SeriesSpecification, text: str, rng: np.random.Generator
) -> Iterator[Dataset]:
    """Yield a Secondary Capture or an ultrasound image with `text` in its pixels."""
    ultrasound = specification.description.startswith("ECHO")
    ds = _series_header(
        study, "US" if ultrasound else "OT", US if ultrasound else SECONDARY_CAPTURE, specification, rng
    )
    ds.ImageType = ["ORIGINAL", "PRIMARY"] if ultrasound else ["DERIVED", "SECONDARY"]
    if ultrasound:
        ds.LossyImageCompression = "00"
    else:
        ds.ConversionType = "WSD"
    ds.PatientOrientation = ""
    picture = Image.new("L", (320, 240))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((60, 50, 260, 220), fill=90)
    draw.text((8, 8), text.encode("ascii", "replace").decode(), fill=255)
    ds.InstanceNumber, ds.SOPInstanceUID = 1, new_uid(rng)
    _set_pixels(ds, np.asarray(picture, np.uint8), bits=8)
    yield ds


def _series_header(
    study: Dataset, modality: str, sop_class: str, specification: SeriesSpecification, rng: np.random.Generator
) -> Dataset:
    ds = Dataset()
    ds.update(study)  # elements are shared with the study: what is set below must be new to it
    ds.SOPClassUID, ds.Modality = sop_class, modality
    ds.SeriesInstanceUID, ds.SeriesNumber = new_uid(rng), specification.number
    ds.SeriesDescription, ds.ProtocolName = specification.description, specification.description
    ds.BodyPartExamined = specification.region
    if modality in ("CT", "MR"):
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator, ds.PatientPosition = new_uid(rng), "", "HFS"
    if modality == "DX":
        ds.PerformedProcedureStepID = "1"
    ds.AcquisitionNumber = 1
    return ds


def _slices(
    ds: Dataset, volume: np.ndarray, specification: SeriesSpecification, spacing_mm: float, rng: np.random.Generator
) -> Iterator[Dataset]:
    corner = -spacing_mm * (volume.shape[1] - 1) / 2
    ds.PixelSpacing = [f"{spacing_mm:.4f}"] * 2
    ds.SliceThickness = f"{specification.thickness_mm:g}"
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    for place, pixels in enumerate(volume):
        height = place * specification.thickness_mm
        ds.InstanceNumber, ds.SOPInstanceUID = place + 1, new_uid(rng)
        ds.ImagePositionPatient = [f"{corner:.3f}", f"{corner:.3f}", f"{height:.3f}"]
        ds.SliceLocation = f"{height:.3f}"
        _set_pixels(ds, pixels, bits=12)
        yield ds


def _set_pixels(ds: Dataset, pixels: np.ndarray, bits: int) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8 if bits == 8 else 16, bits, bits - 1, 0
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"


def _code_item(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
