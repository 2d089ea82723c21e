"""Profiles: what ships, what extends what, and mistakes named with file, line and cure."""

from __future__ import annotations

from pathlib import Path

import pytest
from an_instance import CT_IMAGE, written

from imaging_hub.deidentification.decision import Handling
from imaging_hub.deidentification.explanation import differences, explain
from imaging_hub.deidentification.plan import compile as compile_plan
from imaging_hub.deidentification.profile import load, shipped
from imaging_hub.errors import ProfileError

COMMENTS = 0x00104000


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


WRONG = {
    "optons: []": (4, "optons"),
    "options: [keep-everything]": (4, "options"),
    "options: [retain-longitudinal-full-dates, retain-longitudinal-modified-dates]": (4, "contradict"),
    "rules:\n  - {attribute: PatientName, action: X}\n  - {attribute: PatientNam, action: X}": (6, "no attribute"),
    "rules:\n  - {attribute: PatientName, action: Q}": (5, "action"),
    "rules:\n  - {attribute: PatientName, action: shift}": (5, "dates"),
    "rules:\n  - {attribute: PatientName, action: U}": (5, "UIDs"),
    "rules:\n  - {attribute: Rows, action: C}": (5, "cleaned"),
    "rules:\n  - {attribute: PatientName, vr: PN, action: X}": (5, "one of"),
    "rules:\n  - {private: {creator: X}, action: K}": (5, "element"),
    "review: [CT]\nreview: [MR]": (5, "twice"),
    "review: [CT": (4, ""),
    "age_cap_years: old": (4, "age_cap_years"),
}


@pytest.mark.parametrize("body", WRONG)
def test_a_mistake_is_named_with_its_line_and_a_cure(tmp_path: Path, body: str) -> None:
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
    with pytest.raises(ProfileError, match="no profile of this name"):
        load(written(tmp_path, "", extends="nowhere"))
    with pytest.raises(ProfileError, match="cannot be read"):
        load(tmp_path / "absent.yaml")


def test_what_a_profile_keeps_against_the_table_is_told(tmp_path: Path) -> None:
    profile = load(written(tmp_path, "rules:\n  - {attribute: ImageComments, action: K}"))
    assert [rule.name for rule in profile.kept_against_advice()] == ["test:5"]


def test_an_explanation_names_the_rule_that_decides() -> None:
    plan = compile_plan(load("research-longitudinal"))
    found = explain(plan, COMMENTS)
    assert (found.attribute, found.vr, found.action) == ("PatientComments", "LT", "C")
    assert found.rule == "E.1-1 Clean Descriptors"


def test_a_difference_lists_what_two_profiles_treat_differently() -> None:
    pairs = differences(load("basic"), load("research-longitudinal"))
    assert "PatientComments" in {first.attribute for first, _ in pairs}
    assert "PatientName" not in {first.attribute for first, _ in pairs}
