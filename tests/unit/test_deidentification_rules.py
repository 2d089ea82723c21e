"""What rules put in a value's place, and what they let not pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from an_instance import (
    PSEUDONYMS,
    SEQUENCE,
    an_instance,
    delivered,
    engine,
    first_item,
    sequence,
    text,
    value_at,
    written,
)
from varied_series import OTHER

from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Quarantined
from imaging_hub.dicom.elements import Element

STUDY_ID, INSTITUTION, PROTOCOL, SPECIES = 0x00200010, 0x00080080, 0x00181030, 0x00102201


def _rules(folder: Path, *rules: str) -> Path:
    return written(folder, "rules:\n" + "\n".join(f"  - {{{rule}}}" for rule in rules), extends="research-longitudinal")


def test_a_literal_stands_in_a_value_s_place_at_every_depth(tmp_path: Path) -> None:
    rule = _rules(tmp_path, "attribute: InstitutionName, action: replace, value: Hospital A")
    named = text(INSTITUTION, "LO", "CHU DE NANTES")
    outcome = engine(rule).deidentify(an_instance(named, sequence(SEQUENCE, [named])), PSEUDONYMS)
    dataset = delivered(outcome)
    assert value_at(dataset, INSTITUTION) == value_at(first_item(dataset, SEQUENCE), INSTITUTION) == "Hospital A"
    assert isinstance(outcome, DeidentifiedInstance)
    assert {(change.action, change.rule) for change in outcome.changes if "InstitutionName" in change.path} == {
        ("replace", "test:5")
    }


def test_a_hash_joins_what_is_equal_under_one_key_and_nothing_under_two(tmp_path: Path) -> None:
    hashing = engine(_rules(tmp_path, "attribute: StudyID, action: hash"))

    def hashed(said: str, key=PSEUDONYMS) -> str | None:  # type: ignore[no-untyped-def]
        return value_at(delivered(hashing.deidentify(an_instance(text(STUDY_ID, "SH", said)), key)), STUDY_ID)

    assert hashed("R23-1187") == hashed("R23-1187 ") != hashed("R23-1188")
    assert hashed("R23-1187") != hashed("R23-1187", OTHER)
    assert len(hashed("R23-1187") or "") == 16
    assert hashed("") == ""


def test_each_of_several_values_is_hashed_by_itself(tmp_path: Path) -> None:
    hashing = engine(_rules(tmp_path, "attribute: ProtocolName, action: hash"))
    dataset = delivered(hashing.deidentify(an_instance(text(PROTOCOL, "LO", "one\\two\\one")), PSEUDONYMS))
    first, second, third = (value_at(dataset, PROTOCOL) or "").split("\\")
    assert first == third != second


def test_what_is_truncated_is_still_searched_for_the_patient(tmp_path: Path) -> None:
    short = engine(_rules(tmp_path, "attribute: ProtocolName, action: truncate, length: 14"))
    for said, left in (("Thorax routine 5 mm", "Thorax routine"), ("GAELDOURT tho rax", "tho"), ("Thorax", "Thorax")):
        dataset = delivered(short.deidentify(an_instance(text(PROTOCOL, "LO", said)), PSEUDONYMS))
        assert value_at(dataset, PROTOCOL) == left


def test_an_instance_with_a_rejected_attribute_stays_with_the_rule_that_says_so(tmp_path: Path) -> None:
    rejecting = engine(_rules(tmp_path, "attribute: PatientSpeciesDescription, action: reject"))
    animal = sequence(SEQUENCE, [text(SPECIES, "LO", "Felis catus")])
    assert rejecting.deidentify(an_instance(animal), PSEUDONYMS) == Quarantined(
        "rejected-by-profile", "SharedFunctionalGroupsSequence[0].PatientSpeciesDescription", "test:5"
    )
    assert isinstance(rejecting.deidentify(an_instance(text(SPECIES, "LO", "")), PSEUDONYMS), DeidentifiedInstance)
    assert isinstance(rejecting.deidentify(an_instance(), PSEUDONYMS), DeidentifiedInstance)


def test_a_value_of_another_vr_than_the_dictionary_s_is_not_replaced_but_goes(tmp_path: Path) -> None:
    rules = _rules(tmp_path, "attribute: StudyID, action: hash", "attribute: ProtocolName, action: truncate, length: 4")
    wrong = an_instance(Element(STUDY_ID, "DA", b"20230114"), Element(PROTOCOL, "UI", b"1.2.250.1.999.1.77"))
    dataset = delivered(engine(rules).deidentify(wrong, PSEUDONYMS))
    assert value_at(dataset, STUDY_ID) in (None, "")
    assert value_at(dataset, PROTOCOL) is None


def test_a_literal_with_the_patient_s_name_is_caught_as_any_value(tmp_path: Path) -> None:
    rule = _rules(tmp_path, "attribute: ProtocolName, action: replace, value: gaeldourt")
    outcome = engine(rule).deidentify(an_instance(text(PROTOCOL, "LO", "x")), PSEUDONYMS)
    assert outcome == Quarantined("residual-identifier", "ProtocolName", "test:5")


REQUESTED, COMMENTS = 0x00400275, 0x00400400
_SELECTORS: dict[str, tuple[str | None, str | None, str | None]] = {
    # What is left of Study ID at the top level, in the sequence, and in the sequence in another one.
    "StudyID": ("A", "A", "A"),
    ".StudyID": ("A", "", ""),
    "RequestAttributesSequence.StudyID": ("", "A", ""),
    "*.RequestAttributesSequence.StudyID": ("", "A", "A"),
    "SharedFunctionalGroupsSequence.*.StudyID": ("", "", "A"),
    "*.StudyID": ("A", "A", "A"),
    "(0020,0010)": ("A", "A", "A"),
}


@pytest.mark.parametrize("selector", _SELECTORS)
def test_a_rule_selects_by_the_sequences_around_an_attribute(tmp_path: Path, selector: str) -> None:
    rule = _rules(tmp_path, f'attribute: "{selector}", action: replace, value: A')
    said = text(STUDY_ID, "SH", "R23-1187")
    requested = sequence(REQUESTED, [said])
    dataset = delivered(
        engine(rule).deidentify(an_instance(said, requested, sequence(SEQUENCE, [requested])), PSEUDONYMS)
    )
    inner = first_item(dataset, REQUESTED)
    deeper = first_item(first_item(dataset, SEQUENCE), REQUESTED)
    assert tuple(value_at(place, STUDY_ID) for place in (dataset, inner, deeper)) == _SELECTORS[selector]


def test_a_pattern_selects_a_group_and_no_private_one(tmp_path: Path) -> None:
    overlays = [Element(group << 16 | 0x22, "LO", b"Mammography CAD") for group in (0x6000, 0x6002)]
    private = [Element(0x60010010, "LO", b"SITE"), Element(0x60011022, "LO", b"Mammography CAD")]
    kept = engine(_rules(tmp_path, 'attribute: "(60xx,0022)", action: K'))
    dataset = delivered(kept.deidentify(an_instance(*overlays, *private), PSEUDONYMS))
    assert [element.tag for element in dataset if element.tag >> 24 == 0x60] == [0x60000022, 0x60020022]


@pytest.mark.parametrize(("made_by", "left"), [("GE MEDICAL SYSTEMS", "A"), ("Siemens", "A"), ("Canon", ""), ("", "")])
def test_a_rule_is_for_instances_of_some_makers(tmp_path: Path, made_by: str, left: str) -> None:
    rule = _rules(tmp_path, "attribute: StudyID, action: replace, value: A, when: {manufacturer: [GE, SIEMENS]}")
    source = an_instance(text(STUDY_ID, "SH", "R23-1187"), text(0x00080070, "LO", made_by))
    assert value_at(delivered(engine(rule).deidentify(source, PSEUDONYMS)), STUDY_ID) == left


@pytest.mark.parametrize(("part", "waits"), [("HEAD", True), ("CHEST", False), ("", True)])
def test_a_condition_sends_to_review_also_where_nobody_can_tell(tmp_path: Path, part: str, waits: bool) -> None:
    profile = written(tmp_path, 'review: [DX, {condition: \'BodyPartExamined in ["HEAD", "FACE"]\'}]')
    source = an_instance(text(0x00180015, "CS", part))
    outcome = engine(profile).deidentify(source, PSEUDONYMS)
    assert isinstance(outcome, DeidentifiedInstance)
    assert outcome.needs_review is waits
