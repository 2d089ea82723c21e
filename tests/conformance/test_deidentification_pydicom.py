"""The fast path leaves, byte for byte, what pydicom reads and writes around the same actions."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from an_instance import CT_IMAGE, EXPLICIT, PSEUDONYMS
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom_path import deidentified, normalised
from varied_series import sources

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import compile as compile_plan
from imaging_hub.deidentification.profile.profile import load
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Pseudonyms, SourceInstance
from imaging_hub.dicom import part10
from imaging_hub.dicom.transfer_syntax import KNOWN
from imaging_hub.errors import MalformedDataset

# What big endian values are is compared with pydicom in test_dicom_oracle. The other is one that pydicom cannot read.
_ONLY_WE_READ = {"GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm"}
PLAN = compile_plan(load("research-longitudinal"))


def _agree(file: bytes, outcome: DeidentifiedInstance, pseudonyms: Pseudonyms) -> bool:
    _, ours = part10.split(b"".join(outcome.part10))
    theirs = deidentified(file, PLAN, pseudonyms)
    return len({normalised(bytes(encoded), outcome.transfer_syntax_uid) for encoded in (ours, theirs)}) == 1


@settings(max_examples=150, deadline=None)
@given(series=st.lists(sources(), min_size=1, max_size=4))
def test_every_instance_of_a_series_is_what_pydicom_makes_of_it(
    series: list[tuple[SourceInstance, Pseudonyms]],
) -> None:
    engine = Deidentifier(PLAN)
    for source, pseudonyms in series:
        outcome = engine.deidentify(source, pseudonyms)
        if isinstance(outcome, DeidentifiedInstance):
            file = part10.file_meta(CT_IMAGE, "1.2.250.1.999.1.3", EXPLICIT) + source.dataset
            assert _agree(file, outcome, pseudonyms)


@pytest.mark.corpus
def test_every_file_that_passes_is_what_pydicom_makes_of_it(corpus: Path) -> None:
    warnings.simplefilter("ignore")
    engine = Deidentifier(PLAN)
    differing, compared = [], 0
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        try:
            meta, dataset = part10.split(path.read_bytes())
        except MalformedDataset:
            continue
        outcome = engine.deidentify(SourceInstance(dataset, meta.transfer_syntax_uid), PSEUDONYMS)
        if not isinstance(outcome, DeidentifiedInstance):
            continue
        if KNOWN[meta.transfer_syntax_uid].big_endian or path.name in _ONLY_WE_READ:
            continue
        compared += 1
        if not _agree(path.read_bytes(), outcome, PSEUDONYMS):
            differing.append(str(path.relative_to(corpus)))
    assert differing == []
    assert compared > 200
