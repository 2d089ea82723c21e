"""The synthetic hospital studies are DICOM as dciodvfy has it, and the same for the same seed."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from iod_errors import TOOL
from pydicom import dcmread
from synthetic_snds import synthetic_snds

from imaging_hub.synthetic.generator import synthesize


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_dciodvfy_finds_no_error_in_any_series() -> None:
    folder = synthetic_snds().folder / "dicom"
    kinds = set()
    for path in sorted(folder.rglob("0001.dcm")):
        found = subprocess.run([TOOL, path], capture_output=True, text=True, errors="replace").stderr
        errors = [line for line in found.splitlines() if line.startswith("Error")]
        assert not errors, (path.relative_to(folder), errors)
        header = dcmread(path, stop_before_pixels=True)
        kinds.add((header.Modality, "LOCALIZER" in header.ImageType))
    assert {("CT", False), ("CT", True), ("MR", False), ("DX", False)} <= kinds


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        synthesize(tmp_path / name, persons=50, seed=3)
    first = digests(tmp_path / "first")
    assert first == digests(tmp_path / "second")
    synthesize(tmp_path / "third", persons=50, seed=4)
    assert digests(tmp_path / "third") != first


def test_the_operators_secrets_are_readable_by_nobody_else() -> None:
    for path in (synthetic_snds().folder / "operator").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_the_oddities_that_a_hub_must_stand_are_all_there() -> None:
    truth = synthetic_snds(persons=200, seed=1).truth
    assert {patient["ins_state"] for patient in truth["patients"]} == {
        "qualified", "none", "wrong-key", "not-validated", "nia"
    }  # fmt: skip
    assert sum(patient["linkable"] for patient in truth["patients"]) > 0.8 * len(truth["patients"]) > 60
    assert len(truth["studies"]) >= 60
    assert {study["modality"] for study in truth["studies"]} == {"CT", "MR", "DX"}
    assert any(study["hostile_name"] for study in truth["studies"])
    assert any(study["burned_in"] for study in truth["studies"])
    assert any(study["claim"] is None for study in truth["studies"])
    assert any(study["claim"] and study["claim"]["date"] != study["date"] for study in truth["studies"])
    assert any(person["twin"] for person in truth["persons"])
    assert any(len(person["psa"]) > 1 for person in truth["persons"])
