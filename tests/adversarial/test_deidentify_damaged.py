"""A damaged file ends in one named state, and never half-written. The long form is scripts/fuzz_deidentify."""

from __future__ import annotations

from pathlib import Path

import pytest
from damaged_files import fuzz
from pydicom.data import get_testdata_file

from imaging_hub.deidentification.profile.profile import load

MUTANTS = 600
SAMPLES = (
    "CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm",
    "JPEG2000.dcm", "rtplan.dcm", "rtdose.dcm", "reportsi.dcm", "test-SR.dcm", "waveform_ecg.dcm", "liver_1frame.dcm",
    "nested_priv_SQ.dcm", "image_dfl.dcm", "ExplVR_BigEnd.dcm",
)  # fmt: skip


@pytest.mark.parametrize("profile", ["basic", "research-longitudinal"])
def test_every_damaged_file_ends_in_one_state_and_nothing_else_is_written(profile: str, tmp_path: Path) -> None:
    files = [Path(get_testdata_file(name, download=False)) for name in SAMPLES]
    account = fuzz(files, MUTANTS, 20261126, load(profile), tmp_path)
    assert account.wrong == []
    assert account.states.total() == MUTANTS
    assert account.states["DEIDENTIFIED"] > MUTANTS // 10
