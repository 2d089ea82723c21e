"""The SUV factor of every PET image of the shared corpus is the same before and after `research-longitudinal`."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import pydicom
import pytest
from deidentified_folder import deidentify_folder

pytestmark = pytest.mark.corpus


def suv_factor(image: pydicom.Dataset) -> float | None:
    """Grams per becquerel by which activity becomes SUV for body weight; None where the header does not say."""
    injection = image.RadiopharmaceuticalInformationSequence[0]
    if not image.get("PatientWeight") or image.get("DecayCorrection") != "START":
        return None
    scanned = _clock(str(image.get("SeriesTime") or image.AcquisitionTime))
    injected = _clock(str(injection.RadiopharmaceuticalStartTime))
    elapsed = (scanned - injected).total_seconds() % 86400
    dose = float(injection.RadionuclideTotalDose) * 2 ** (-elapsed / float(injection.RadionuclideHalfLife))
    return 1000 * float(image.PatientWeight) / dose


def _clock(time: str) -> datetime:
    return datetime.strptime(time.partition(".")[0], "%H%M%S")


def test_a_pet_image_has_the_same_suv_factor(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with (corpus / "catalogue.csv").open() as file:
        images = [corpus / row["path"] for row in csv.DictReader(file) if row["sop_class_uid"].endswith(".1.1.128")]
    for number, path in enumerate(images):
        (tmp_path / "in" / f"{number}.dcm").symlink_to(path)
    written = deidentify_folder(tmp_path / "in", tmp_path / "out", "research-longitudinal").written
    factors = {
        path.name: tuple(suv_factor(pydicom.dcmread(file, force=True)) for file in (path, output))
        for path, output in written.items()
    }
    assert all(before == after for before, after in factors.values()), factors
    assert sum(before is not None for before, _ in factors.values()) >= 2
