"""Profiles: what ships, what extends what, and mistakes named with file, line and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from an_instance import CT_IMAGE, PSEUDONYMS, an_instance, engine, written
from jsonschema import Draft202012Validator
from pydicom import uid

from imaging_hub.deidentification import profile_check
from imaging_hub.deidentification.attribute_explanation import differences, explain
from imaging_hub.deidentification.engine.decision import Handling
from imaging_hub.deidentification.engine.plan import compile as compile_plan
from imaging_hub.deidentification.profile.profile import load, schema, shipped
from imaging_hub.deidentification.profile.selector import attribute_path
from imaging_hub.deidentification.profile_check import concerns
from imaging_hub.deidentification.source_and_outcome import Quarantined
from imaging_hub.dicom.elements import Element
from imaging_hub.errors import ProfileError

COMMENTS = 0x00104000
SHIPPED = Path(__file__).resolve().parents[2] / "anonymization_profiles"


def test_every_shipped_profile_loads_and_explains_itself() -> None:
    assert shipped() == [
        "basic", "device-qa", "research-longitudinal", "snds-demo", "snds-linked", "tcia-like", "teaching"
    ]  # fmt: skip
    for name in shipped():
        profile = load(name)
        assert profile.name == name
        assert profile.title
        assert profile.description


def test_a_profile_has_the_options_of_what_it_extends() -> None:
    assert load("basic").options == frozenset()
    assert load("snds-demo").options == load("research-longitudinal").options
    assert load("snds-demo").lineage == ("snds-demo", "research-longitudinal", "basic")


def test_only_the_demonstration_trusts_radiographs_and_it_sends_them_to_review() -> None:
    trusting = [name for name in shipped() if "DX" in load(name).trust]
    assert trusting == ["snds-demo"]
    assert "DX" not in load("snds-demo").suspect
    assert load("snds-demo").review == {"DX"}


def test_a_profile_beside_the_file_is_found_before_a_shipped_one(tmp_path: Path) -> None:
    written(tmp_path, "review: [CT]", name="site")
    assert load(written(tmp_path, "", extends="site")).review == {"CT"}


def test_the_digest_is_of_the_effect_and_not_of_the_comments(tmp_path: Path) -> None:
    plain = load(written(tmp_path, "review: [CT]"))
    commented = load(written(tmp_path, "# for the radiologists\nreview: [CT]"))
    other = load(written(tmp_path, "review: [MR]"))
    assert plain.digest == commented.digest != other.digest


def test_the_first_rule_that_matches_wins_and_its_own_come_before_inherited_ones(tmp_path: Path) -> None:
    written(tmp_path, "rules: [{attribute: PatientComments, action: X}]", extends="research-longitudinal", name="base")
    path = written(tmp_path, "rules: [{attribute: PatientComments, action: D}]", extends="base")
    decision = compile_plan(load(path)).scope(CT_IMAGE, "CT").decide(COMMENTS, "LT")
    assert (decision.handling, decision.change.rule) == (Handling.DUMMY, "test:4")


def test_a_rule_holds_only_for_the_instances_it_names(tmp_path: Path) -> None:
    plan = compile_plan(
        load(written(tmp_path, "rules: [{attribute: PatientComments, action: Z, when: {modality: [MR]}}]"))
    )
    assert plan.scope(CT_IMAGE, "MR").decide(COMMENTS, "LT").handling is Handling.EMPTY
    assert plan.scope(CT_IMAGE, "CT").decide(COMMENTS, "LT").handling is Handling.REMOVE


IMAGES_OF = {
    "DMS": [uid.DermoscopicPhotographyImageStorage],
    "ES": [uid.VLEndoscopicImageStorage, uid.VideoEndoscopicImageStorage],
    "IVUS": [uid.UltrasoundImageStorage, uid.UltrasoundMultiFrameImageStorage],
    "OP": [uid.OphthalmicPhotography8BitImageStorage, uid.OphthalmicPhotography16BitImageStorage],
    "US": [uid.UltrasoundImageStorage, uid.UltrasoundMultiFrameImageStorage, uid.EnhancedUSVolumeStorage],
    "XC": [uid.VLPhotographicImageStorage, uid.VideoPhotographicImageStorage],
}
"""SOP Classes of the images of a modality (PS3.3 §C.7.3.1.1.1)."""

WRONG = {
    "optons: []": (4, "optons"),
    "options: [keep-everything]": (4, "options"),
    "options: [retain-longitudinal-full-dates, retain-longitudinal-modified-dates]": (4, "contradict"),
    "rules:\n  - {attribute: PatientName, action: X}\n  - {attribute: PatientNam, action: X}": (6, "no attribute"),
    "rules:\n  - {attribute: PatientName, action: Q}": (5, "action"),
    "rules:\n  - {attribute: PatientName, action: shift}": (5, "dates"),
    "rules:\n  - {attribute: PatientName, action: U}": (5, "UIDs"),
    "rules:\n  - {attribute: Rows, action: C}": (5, "cleaned"),
    "rules:\n  - {attribute: StudyID, action: replace}": (5, "needs a `value`"),
    "rules:\n  - {attribute: StudyID, action: X, value: A}": (5, "no other action has one"),
    "rules:\n  - {attribute: StudyID, action: truncate}": (5, "needs a `length`"),
    "rules:\n  - {attribute: StudyID, action: replace, value: ABCDEFGHIJKLMNOPQ}": (5, "longer than"),
    "rules:\n  - {attribute: StudyID, action: replace, value: 'A\\B'}": (5, "value"),
    "rules:\n  - {attribute: StudyDate, action: hash}": (5, "only text"),
    "rules:\n  - {private: {creator: X, element: 1}, action: hash}": (5, "only text"),
    "rules:\n  - {attribute: DeidentificationMethod, action: K}": (5, "the engine writes"),
    "rules:\n  - {attribute: PatientID, action: replace, value: SITE1-001}": (5, "many patients"),
    "rules:\n  - {attribute: PatientID, action: truncate, length: 2}": (5, "many patients"),
    "rules:\n  - {attribute: '*.PatientID', action: replace, value: A}": (5, "many patients"),
    "rules:\n  - {vr: LO, action: truncate, length: 2}": (5, "many patients"),
    "rules:\n  - {attribute: SOPInstanceUID, action: X}": (5, "needs its UIDs"),
    "rules:\n  - {attribute: StudyInstanceUID, action: Z}": (5, "needs its UIDs"),
    "rules:\n  - {attribute: '(0020,000x)', action: X}": (5, "needs its UIDs"),
    "rules:\n  - {vr: UI, action: X}": (5, "needs its UIDs"),
    "rules:\n  - {private: {creator: X, element: 1, vr: sequence}, action: K}": (5, "vr"),
    "rules:\n  - {attribute: PatientName, vr: PN, action: X}": (5, "one of"),
    "rules:\n  - {private: {creator: X}, action: K}": (5, "element"),
    "rules:\n  - {attribute: '(60xx,3000)', action: hash}": (5, "several VRs"),
    "rules:\n  - {attribute: '(0029,xx10)', action: K}": (5, "private attributes are selected by"),
    "rules:\n  - {attribute: NoSuchSequence.StudyID, action: X}": (5, "is a sequence"),
    "rules:\n  - {attribute: StudyID.StudyID, action: X}": (5, "is a sequence"),
    "rules:\n  - {attribute: '*', action: X}": (5, "no attribute"),
    "rules:\n  - {attribute: StudyID, action: X, when: {manufacturer: ['a\"b']}}": (5, "manufacturer"),
    f"rules:\n  - {{attribute: StudyID, action: X, when: {{manufacturer: [{', '.join(['AAAAAAAAAA'] * 30)}]}}}}": (
        5,
        "at most 500",
    ),
    "review: [{condition: Modality}]": (4, "comparison"),
    "review: [CT]\nreview: [MR]": (5, "twice"),
    "review: [CT": (4, ""),
    "age_cap_years: old": (4, "age_cap_years"),
}


@pytest.mark.parametrize("body", WRONG)
def test_a_mistake_is_named_with_its_line_and_a_remedy(tmp_path: Path, body: str) -> None:
    line, word = WRONG[body]
    with pytest.raises(ProfileError) as caught:
        load(written(tmp_path, body))
    assert str(caught.value).startswith(f"test.yaml:{line}:") or body == "review: [CT"
    assert word in str(caught.value)
    assert caught.value.hint


def test_a_circle_and_a_missing_parent_are_refused(tmp_path: Path) -> None:
    written(tmp_path, "", extends="test", name="other")
    with pytest.raises(ProfileError, match="extends itself"):
        load(written(tmp_path, "", extends="other"))
    for nowhere in ("nowhere", "x" * 300):
        with pytest.raises(ProfileError, match=r"^test.yaml:3: there is no profile of this name"):
            load(written(tmp_path, "", extends=nowhere))
        with pytest.raises(ProfileError, match=r":1: there is no profile of this name"):
            load(nowhere)
    with pytest.raises(ProfileError, match="cannot be read"):
        load(tmp_path / "absent.yaml")


CONCERNS = {
    "two that contradict": (
        "  - {attribute: PatientComments, action: X}\n  - {attribute: PatientComments, action: D}",
        [("test:6", "becomes D here and X by test:5", True)],
    ),
    "one behind a rule for its VR": (
        "  - {vr: LT, action: X}\n  - {attribute: PatientComments, action: D}",
        [("test:6", "never decides: test:5", True)],
    ),
    "one behind the same for all modalities": (
        "  - {attribute: PatientComments, action: D}\n"
        "  - {attribute: PatientComments, action: D, when: {modality: [MR]}}",
        [("test:6", "never decides: test:5", True)],
    ),
    "the narrower first": (
        "  - {attribute: PatientComments, action: X, when: {modality: [MR]}}\n"
        "  - {attribute: PatientComments, action: D}",
        [],
    ),
    "other modalities": (
        "  - {attribute: PatientComments, action: X, when: {modality: [MR]}}\n"
        "  - {attribute: PatientComments, action: D, when: {modality: [MR, CT]}}",
        [],
    ),
    "a place behind the same attribute anywhere": (
        "  - {attribute: StudyID, action: X}\n  - {attribute: SharedFunctionalGroupsSequence.StudyID, action: D}",
        [("test:6", "never decides: test:5", True)],
    ),
    "an attribute behind its whole group": (
        "  - {attribute: '(0018,xxxx)', action: X}\n  - {attribute: ProtocolName, action: D}",
        [("test:6", "never decides: test:5", True)],
    ),
    "a place before the same attribute anywhere": (
        "  - {attribute: SharedFunctionalGroupsSequence.StudyID, action: X}\n  - {attribute: StudyID, action: D}",
        [],
    ),
    "inside a sequence that goes": (
        "  - {attribute: ReferencedPatientSequence.StudyID, action: D}",
        [("test:5", "never decides: ReferencedPatientSequence goes, by E.1-1 Basic", True)],
    ),
    "other makers": (
        "  - {attribute: StudyID, action: X, when: {manufacturer: [GE]}}\n"
        "  - {attribute: StudyID, action: D, when: {manufacturer: [SIEMENS]}}",
        [],
    ),
    "a group kept": (
        "  - {attribute: '(60xx,xxxx)', action: K}",
        [("test:5", "keeps (60xx,xxxx), whatever Table E.1-1 says of each", False)],
    ),
    "an attribute of the table kept": (
        "  - {attribute: ImageComments, action: K}",
        [("test:5", "keeps ImageComments: Table E.1-1 says X", False)],
    ),
    "a private one that is not safe kept": (
        "  - {private: {creator: SITE, element: 0x10}, action: K}",
        [("test:5", "Table E.3.10-1 does not list it", False)],
    ),
    "a private one that is safe kept": (
        "  - {private: {creator: SIEMENS MR HEADER, element: 0x0C, group: 0x0019}, action: K}",
        [],
    ),
}


@pytest.mark.parametrize("rules", CONCERNS)
def test_what_never_decides_or_is_kept_against_advice_is_told_with_its_line(tmp_path: Path, rules: str) -> None:
    body, expected = CONCERNS[rules]
    found = concerns(load(written(tmp_path, f"rules:\n{body}")))
    assert len(found) == len(expected)
    for concern, (where, words, is_error) in zip(found, expected, strict=True):
        assert (concern.where, concern.is_error) == (where, is_error)
        assert words in concern.message
        assert concern.remedy


def test_a_profile_may_override_what_it_extends(tmp_path: Path) -> None:
    written(tmp_path, "rules: [{attribute: PatientComments, action: X}]", name="base")
    assert concerns(load(written(tmp_path, "rules: [{attribute: PatientComments, action: D}]", extends="base"))) == []


def test_kept_uids_beside_moved_dates_are_told(tmp_path: Path) -> None:
    both = "options: [retain-uids, retain-longitudinal-modified-dates]"
    assert ["true date" in concern.message for concern in concerns(load(written(tmp_path, both)))] == [True]


def test_what_trust_does_not_reach_is_told(tmp_path: Path) -> None:
    (concern,) = concerns(load(written(tmp_path, "burned_in: {trust: [DX, US]}")))
    assert "trusts US, which reaches none of its images" in concern.message
    assert not concern.is_error


@pytest.mark.parametrize("modality", sorted(profile_check.HELD_BY_SOP_CLASS))
def test_what_is_said_to_be_out_of_the_reach_of_trust_is_held(modality: str, tmp_path: Path) -> None:
    trusting = engine(written(tmp_path, f"burned_in: {{trust: [{modality}]}}"))
    pixels = Element(0x7FE00010, "OW", bytes(8))
    for sop_class in IMAGES_OF[modality]:
        outcome = trusting.deidentify(an_instance(pixels, sop_class=sop_class, modality=modality), PSEUDONYMS)
        assert isinstance(outcome, Quarantined)
        assert (outcome.reason, outcome.attribute) == ("burned-in-text-possible", "SOPClassUID")


def test_no_profile_that_ships_has_a_rule_that_never_decides() -> None:
    assert [concern for name in shipped() for concern in concerns(load(name)) if concern.is_error] == []


def test_the_schema_takes_what_ships_and_refuses_what_the_loader_refuses_for_its_form(tmp_path: Path) -> None:
    validator = Draft202012Validator(schema())
    for path in SHIPPED.glob("*.yaml"):
        assert list(validator.iter_errors(yaml.safe_load(path.read_text("utf-8")))) == [], path.name
    of_form = ("optons", "options: [keep", "action: Q", "vr: PN", "{creator: X}", "age_cap_years: old")
    for body in (body for body in WRONG if any(part in body for part in of_form)):
        values = yaml.safe_load(written(tmp_path, body).read_text("utf-8"))
        assert list(validator.iter_errors(values)) != [], body


def test_an_explanation_names_the_rule_that_decides() -> None:
    plan = compile_plan(load("research-longitudinal"))
    found = explain(plan, COMMENTS)
    assert (found.attribute, found.vr, found.action) == ("PatientComments", "LT", "C")
    assert found.rule == "E.1-1 Clean Descriptors"


def test_an_attribute_in_a_sequence_is_explained_where_it_stands() -> None:
    plan = compile_plan(load("research-longitudinal"))
    cleaned = explain(plan, *attribute_path("RequestAttributesSequence[0].ScheduledProcedureStepDescription"))
    assert cleaned.attribute == "RequestAttributesSequence.ScheduledProcedureStepDescription"
    assert cleaned.rule == "E.1-1 Clean Descriptors"
    gone = explain(plan, *attribute_path("ReferencedPatientSequence.PatientID"))
    assert gone.becomes == "removed, with ReferencedPatientSequence"


def test_a_difference_lists_what_two_profiles_treat_differently() -> None:
    pairs = differences(load("basic"), load("research-longitudinal"))
    assert "PatientComments" in {first.attribute for first, _ in pairs}
    assert "PatientName" not in {first.attribute for first, _ in pairs}


def test_a_difference_is_told_where_it_is(tmp_path: Path) -> None:
    rule = "rules:\n  - {attribute: RequestAttributesSequence.StudyID, action: X}"
    pairs = differences(load("research-longitudinal"), load(written(tmp_path, rule, extends="research-longitudinal")))
    assert [(first.attribute, second.becomes) for first, second in pairs] == [
        ("RequestAttributesSequence.StudyID", "removed")
    ]


def test_the_example_of_the_page_loads_and_says_what_the_page_says(tmp_path: Path) -> None:
    page = (SHIPPED.parent / "docs" / "profiles" / "language.md").read_text("utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "cardiology.yaml"
    file.write_text(example, "utf-8")
    profile = load(file)
    assert [concern for concern in concerns(profile) if concern.is_error] == []
    assert list(Draft202012Validator(schema()).iter_errors(yaml.safe_load(example))) == []
    described = set(re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE))
    named = {word for cell in described for word in re.findall(r"\w+", cell)}
    assert named == {*schema()["properties"], *schema()["$defs"]["ProfileRule"]["properties"]["action"]["enum"]}
