"""The benches of reception run: what they measure is measured by hand, that they still can is not left to chance."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dcmtk import tool
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROOT = Path(__file__).resolve().parents[2]
SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
}


def an_image(modality: str, number: int) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = SOP_CLASSES[modality]
    study = f"1.2.826.0.1.{list(SOP_CLASSES).index(modality) + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID = study, f"{study}.1", f"{study}.1.{number}"
    image.Modality, image.PatientID, image.PatientName = modality, "IPP1", "DUPONT^JEANNE"
    image.Rows = image.Columns = 16
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.PixelData = bytes(512)
    return image


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A corpus of the same form as that of the benches, of four small images a kind."""
    for modality in SOP_CLASSES:
        folder = tmp_path / "data" / modality.lower()
        folder.mkdir(parents=True)
        for number in range(1, 5):
            an_image(modality, number).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return tmp_path


def told_by(bench: str, *options: str) -> dict[str, Any]:
    """What a bench prints with `--json`."""
    command = [sys.executable, ROOT / "scripts" / "bench" / bench, "--json", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    told: dict[str, Any] = json.loads(run.stdout)
    return told


def test_reception_is_measured_beside_orthanc(few: Path) -> None:
    here = {
        "Debian's orthanc": shutil.which("Orthanc"),
        "DCMTK": tool("echoscu"),
        "the shared tools beside the project": (ROOT.parent / "shared" / "tools").is_dir(),
    }
    if missing := [name for name, there in here.items() if not there]:
        pytest.skip(f"missing: {', '.join(missing)}")
    told = told_by("receive", "--runs", "1", "--ct", "0", "--mr", "0", "--mg", "4", "--corpus", str(few))["mg"]
    assert (told["instances"], told["quarantined"]) == (4, 0)
    assert told["instances_per_second"].keys() == {"orthanc", "anonymising", "gateway", "hub"}


def test_every_stage_is_timed(few: Path) -> None:
    told = told_by("stages", "--corpus", str(few))
    assert told.keys() == {"ct", "mr"}
    for kind, stages in told.items():
        nothing = {name.strip() for name, spent in stages.items() if not spent}
        # A small original is read once; four instances may not cost PostgreSQL a tick.
        assert nothing <= {"read and opened", "PostgreSQL"}, kind
        assert {"reception", "worker", "object hashed, written, synced", "copy"} <= stages.keys()
