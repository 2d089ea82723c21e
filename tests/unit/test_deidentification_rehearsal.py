"""A dry run says what a profile would do, by doing it, and tells nobody a value unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from an_instance import CT_IMAGE, EXPLICIT, an_instance, text
from typer.testing import CliRunner

from imaging_hub.cli import app
from imaging_hub.deidentification.dry_run import rehearse
from imaging_hub.deidentification.profile.profile import load
from imaging_hub.dicom import part10

SAID = {"1": "CT THORAX", "2": "CT THORAX", "3": "CT Zorglub"}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Three patients' files, one of ultrasound and one that is no DICOM."""
    folder = tmp_path / "stored"
    folder.mkdir()
    for patient, said in SAID.items():
        elements = text(0x00181030, "LO", said), text(0x00080018, "UI", f"1.2.250.1.999.1.{patient}")
        _write(folder / f"{patient}.dcm", *elements, patient_id=f"8012345{patient}")
    _write(folder / "us.dcm", modality="US", sop_class="1.2.840.10008.5.1.4.1.1.6.1", patient_id="90")
    (folder / "notes.txt").write_text("GAELDOURT")
    return folder


def _write(path: Path, *elements, **kind: str) -> None:  # type: ignore[no-untyped-def]
    source = an_instance(*elements, **kind)
    path.write_bytes(part10.file_meta(kind.get("sop_class", CT_IMAGE), "1.2.3", EXPLICIT) + bytes(source.dataset))


def test_it_counts_what_would_come_out_and_why_the_rest_would_not(stored: Path) -> None:
    found = rehearse(sorted(stored.iterdir()), load("basic"))
    assert found.delivered == 4
    assert found.quarantined == {"malformed-not-dicom": 1}
    assert found.actions["Z"] > 0
    assert found.rules["E.1-1 Basic"] > 0
    assert sorted(path.name for path in stored.iterdir()) == ["1.dcm", "2.dcm", "3.dcm", "notes.txt", "us.dcm"]


def test_kept_text_comes_with_the_riskiest_first_and_by_its_shape(stored: Path) -> None:
    found = rehearse(sorted(stored.iterdir()), load("tcia-like"))
    kept = [(value.attribute, value.value, value.unknown_words, value.subjects) for value in found.kept]
    assert kept == [("ProtocolName", "AA", 0, 1), ("ProtocolName", "AA AAAAAA", 0, 2)]
    shown = rehearse(sorted(stored.iterdir()), load("tcia-like"), show_values=True)
    assert [value.value for value in shown.kept] == ["CT", "CT THORAX"]


def test_the_command_tells_it_without_a_value(stored: Path) -> None:
    run = CliRunner().invoke(app, ["profile", "dry-run", "research-longitudinal", str(stored)])
    assert run.exit_code == 0
    assert "4 would come out, 1 would be quarantined" in run.output
    assert "THORAX" not in run.output
    told = CliRunner().invoke(app, ["profile", "dry-run", "research-longitudinal", str(stored), "--json"])
    assert json.loads(told.output)["delivered"] == 4
