"""Exams of subjects among claims of persons, case by case: who is found by which step, and who is discarded."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from imaging_hub.cohorts.criteria import LinkMethod
from imaging_hub.snds.clerical_review import REVIEWED
from imaging_hub.snds.exam_claim_concordance import CascadeResult, search
from imaging_hub.snds.indirect_linkage import METHODS
from tests.exams_and_claims import ACTS, DAY, THERE, World


@pytest.fixture
def world() -> World:
    return World()


def searched(world: World, folder: Path) -> CascadeResult:
    return search(world.written(folder), folder, ACTS)


def found(world: World, folder: Path) -> dict[str, tuple[str, str]]:
    return {one.sid: (one.person, one.method) for one in searched(world, folder).found}


def test_one_exam_that_agrees_in_everything_is_enough(world: World, tmp_path: Path) -> None:
    world.person("A").claim("A", 0).exam("s", 0)
    (one,) = searched(world, tmp_path).found
    assert (one.sid, one.person, one.method, one.days, one.exam_days) == ("s", "A", "exact", 1, 1)


@pytest.mark.parametrize(
    ("method", "exam"),
    [
        ("without-act", {"acts": ()}),
        ("without-act", {"acts": ("ACQN001",)}),
        ("without-month", {"month": 9}),
        ("without-place", {"finess": THERE}),
    ],
)
def test_a_criterion_less_wants_two_days(world: World, tmp_path: Path, method: str, exam: dict[str, Any]) -> None:
    world.person("A").claim("A", 0).claim("A", 30).exam("s", 0, **exam).exam("s", 30, **exam)
    world.person("B", year=1960).claim("B", 0).exam("t", 0, year=1960, **exam)
    assert found(world, tmp_path) == {"s": ("A", method)}


def test_days_may_be_off_by_one_twice_but_not_by_two(world: World, tmp_path: Path) -> None:
    world.person("A").claim("A", 0).claim("A", 30).exam("s", 1).exam("s", 29)
    world.person("B", year=1960).claim("B", 0).claim("B", 30).exam("t", 2, year=1960).exam("t", 32, year=1960)
    assert found(world, tmp_path) == {"s": ("A", "day-off")}


def test_two_exams_of_one_day_are_one_agreement(world: World, tmp_path: Path) -> None:
    world.person("A").claim("A", 0).claim("A", 0, code="ZBQH001")
    world.exam("s", 0, finess=THERE).exam("s", 0, finess=THERE, acts=("ZBQH001",))
    assert found(world, tmp_path) == {}


@pytest.mark.parametrize("other", [{"sex": 2}, {"year": 1951}])
def test_sex_and_year_of_birth_always_agree(world: World, tmp_path: Path, other: dict[str, Any]) -> None:
    world.person("A").claim("A", 0).claim("A", 30).exam("s", 0, **other).exam("s", 30, **other)
    assert found(world, tmp_path) == {}


def test_two_persons_for_one_subject_are_discarded_and_no_later_step_decides_between_them(
    world: World, tmp_path: Path
) -> None:
    world.person("A").claim("A", 0).claim("A", 30)
    world.person("B").claim("B", 0)
    world.exam("s", 0).exam("s", 31)
    outcome = searched(world, tmp_path)
    assert outcome.found == ()
    assert outcome.discarded == {"s": "several-persons"}


def test_two_subjects_for_one_person_are_discarded(world: World, tmp_path: Path) -> None:
    world.person("A").claim("A", 0).claim("A", 30).exam("s", 0).exam("t", 30)
    assert searched(world, tmp_path).discarded == {"s": "several-subjects", "t": "several-subjects"}


def test_a_person_who_was_found_is_nobody_elses_at_a_later_step(world: World, tmp_path: Path) -> None:
    world.person("A").claim("A", 0).claim("A", 10).claim("A", 20)
    world.exam("s", 0).exam("t", 10, finess=THERE).exam("t", 20, finess=THERE)
    outcome = searched(world, tmp_path)
    assert [(one.sid, one.method) for one in outcome.found] == [("s", "exact")]
    assert outcome.discarded == {"t": "several-subjects"}


def test_a_subject_most_of_whose_exams_disagree_is_discarded(world: World, tmp_path: Path) -> None:
    world.person("A").claim("A", 0).exam("s", 0).exam("s", 50).exam("s", 90)
    assert searched(world, tmp_path).discarded == {"s": "few-exams-agree"}


def test_exams_outside_what_was_extracted_do_not_speak_against(world: World, tmp_path: Path) -> None:
    world.person("A").claim("A", 0).exam("s", 0).exam("s", 900).exam("s", 950)
    assert found(world, tmp_path) == {"s": ("A", "exact")}


def test_people_who_share_a_psa_are_never_candidates(world: World, tmp_path: Path) -> None:
    world.person("A", shares_psa=True).claim("A", 0).claim("A", 30).exam("s", 0).exam("s", 30)
    assert found(world, tmp_path) == {}


def test_the_dead_have_no_exams(world: World, tmp_path: Path) -> None:
    world.person("A", death_date=DAY + timedelta(days=5)).claim("A", 0).exam("s", 0).exam("s", 60)
    assert found(world, tmp_path) == {}


def test_a_cohort_can_ask_for_every_method_and_for_no_other() -> None:
    assert get_args(LinkMethod) == ("ins", *METHODS, REVIEWED)


def test_only_imaging_acts_are_exams(world: World, tmp_path: Path) -> None:
    world.person("A").claim("A", 0, code="HHFA001").claim("A", 30, code="HHFA001").exam("s", 0, acts=("HHFA001",))
    assert found(world, tmp_path) == {}
