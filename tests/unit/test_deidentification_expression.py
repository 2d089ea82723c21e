"""Conditions on attributes: what they say, what they do not know, and mistakes with their column."""

from __future__ import annotations

from pathlib import Path

import pytest
from an_instance import EXPLICIT, PSEUDONYMS, an_instance, delivered, engine, text, value_at, written
from hypothesis import given
from hypothesis import strategies as st

from imaging_hub.deidentification.profile.expression import condition
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Quarantined
from imaging_hub.dicom import walk
from imaging_hub.dicom.elements import Element

DATASET = walk.read(
    an_instance(
        text(0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        text(0x00080070, "LO", "GE Medical Systems"),
        text(0x00180050, "DS", "2.5"),
        text(0x00181030, "LO", ""),
        Element(0x00280010, "US", b"\x00\x02"),
    ).dataset,
    EXPLICIT,
)
SAID = {
    'Modality == "CT"': True,
    'Modality == "ct"': True,
    'Modality != "CT"': False,
    'Modality in ["MR", "CT"]': True,
    'ImageType == "AXIAL"': True,
    'ImageType contains "AX"': True,
    'Manufacturer contains "ge "': True,
    'Manufacturer contains "siemens"': False,
    "SliceThickness < 3": True,
    "SliceThickness >= 2.5 and SliceThickness <= 2.5": True,
    "Rows == 512": True,
    "Rows in [256, 512]": True,
    "Rows exists": True,
    "PatientComments exists": False,
    "ProtocolName exists": False,
    'PatientComments == "x"': None,
    'not PatientComments == "x"': None,
    'PatientComments == "x" or Modality == "CT"': True,
    'PatientComments == "x" and Modality == "MR"': False,
    'PatientComments == "x" and Modality == "CT"': None,
    "Manufacturer > 3": None,
    'not (Modality == "CT" and Rows == 1)': True,
    'Modality == "MR" or Modality == "CT" and Rows == 512': True,
    "not not Rows exists": True,
}
WRONG = {
    "": 1,
    "Modality": 9,
    "Modality ==": 12,
    'Modalty == "CT"': 1,
    "Modality == CT": 13,
    'Modality == "CT': 13,
    'Modality == "CT" Rows': 18,
    '(Modality == "CT"': 18,
    'Modality in ["CT"': 18,
    "Modality contains 3": 19,
    "__import__": 1,
    "and == 3": 1,
    "not " * 30 + "Rows exists": 81,
    "Rows == 1 or " * 60 + "Rows == 1": 0,
}


@pytest.mark.parametrize("said", SAID)
def test_a_condition_holds_does_not_or_cannot_be_told(said: str) -> None:
    assert condition(said)(DATASET) is SAID[said]


@pytest.mark.parametrize("said", WRONG)
def test_a_mistake_is_named_with_its_column(said: str) -> None:
    with pytest.raises(ValueError, match=f"column {WRONG[said]}:" if WRONG[said] else "at most") as caught:
        condition(said)
    assert str(caught.value)


@given(
    st.text(max_size=60) | st.lists(st.sampled_from([*SAID, *WRONG, "and", "or", "(", ")"]), max_size=4).map(" ".join)
)
def test_whatever_is_written_is_a_condition_or_a_mistake(said: str) -> None:
    try:
        assert condition(said)(DATASET) in (True, False, None)
    except ValueError as fault:
        assert "column" in str(fault) or "at most" in str(fault)


def test_a_rule_holds_where_its_condition_does_also_in_a_series_that_changes(tmp_path: Path) -> None:
    rule = "rules:\n  - {attribute: ProtocolName, action: X, when: {condition: 'SliceThickness < 3'}}"
    thin = engine(written(tmp_path, rule, extends="research-longitudinal"))
    protocol = text(0x00181030, "LO", "Thorax")
    for thickness, left in (("1", None), ("5", "Thorax"), ("1", None), ("", "Thorax")):
        outcome = thin.deidentify(an_instance(protocol, text(0x00180050, "DS", thickness)), PSEUDONYMS)
        assert value_at(delivered(outcome), 0x00181030) == left


def test_a_profile_quarantines_by_a_condition_and_where_nobody_can_tell(tmp_path: Path) -> None:
    held = "quarantine:\n  - {condition: 'BodyPartExamined == \"HEAD\"', reason: face-possible}"
    faces = engine(written(tmp_path, held))
    head, chest, nothing = (
        faces.deidentify(an_instance(text(0x00180015, "CS", part)), PSEUDONYMS) for part in ("HEAD", "CHEST", "")
    )
    assert head == nothing == Quarantined("face-possible", rule="test: quarantine")
    assert isinstance(chest, DeidentifiedInstance)
