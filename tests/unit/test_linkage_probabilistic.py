"""Subjects whom no rule finds, case by case: whom the model finds, and whom it must not."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from imaging_hub.snds import exam_claim_concordance, probabilistic_linkage
from imaging_hub.snds.probabilistic_linkage import MIN_KNOWN_PAIRS
from tests.exams_and_claims import ACTS, DAY, THERE, World

Known = dict[str, str]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def known(world: World) -> Known:
    return world.known(MIN_KNOWN_PAIRS + 50, random.Random(7))


def found(world: World, known: Known, folder: Path) -> dict[str, tuple[str, str]]:
    exams = world.written(folder)
    met = exam_claim_concordance.search(exams, folder, ACTS)
    probably = probabilistic_linkage.search(exams, folder, ACTS, known=known, cascade=met)
    assert not {one.sid for one in probably} & ({one.sid for one in met.found} | set(met.discarded))
    return {one.sid: (one.person, one.method) for one in probably}


def seen(world: World, sid: str, *days: int, **mistaken: Any) -> None:
    for day in days:
        world.exam(sid, day, **mistaken)


def a_patient(world: World, person: str = "A", *days: int, **about: Any) -> World:
    world.person(person, **about)
    for day in days or (0, 40, 90):
        world.claim(person, day)
    return world


@pytest.mark.parametrize(
    ("mistaken", "method"),
    [
        ({"year": 1951}, "probabilistic"),
        ({"year": 1905}, "probabilistic"),
        ({"sex": 2}, "probabilistic"),
        ({"month": 9, "acts": ()}, "probable"),
    ],
)
def test_a_mistake_in_the_header_costs_evidence_and_not_the_link(
    world: World, known: Known, tmp_path: Path, mistaken: dict[str, Any], method: str
) -> None:
    a_patient(world)
    seen(world, "s", 0, 40, 90, **mistaken)
    assert found(world, known, tmp_path) == {"s": ("A", method)}


def test_one_exam_and_a_wrong_year_are_not_enough(world: World, known: Known, tmp_path: Path) -> None:
    a_patient(world, "A", 0)
    seen(world, "s", 0, year=1905)
    assert found(world, known, tmp_path) == {}


def test_nobody_decides_between_two_persons_or_two_subjects(world: World, known: Known, tmp_path: Path) -> None:
    for person in ("A", "B"):
        a_patient(world, person)
    seen(world, "s", 0, 40, 90, year=1951)
    a_patient(world, "C", 10, 50, 100)
    for sid in ("t", "u"):
        seen(world, sid, 10, 50, 100, year=1951)
    assert found(world, known, tmp_path) == {}


def test_twins_and_the_dead_are_never_found(world: World, known: Known, tmp_path: Path) -> None:
    a_patient(world, "A", shares_psa=True)
    seen(world, "s", 0, 40, 90, year=1951)
    a_patient(world, "B", 10, 50, 100, death_date=DAY)
    seen(world, "t", 10, 50, 100, year=1951)
    assert found(world, known, tmp_path) == {}


def test_exams_that_are_mostly_nobodys_speak_against_it(world: World, known: Known, tmp_path: Path) -> None:
    a_patient(world)
    seen(world, "s", 0, 40, 90, 110, 120, 130, 140, year=1951)
    assert found(world, known, tmp_path) == {}


def test_a_person_whom_the_rules_found_is_given_nobody_else(world: World, known: Known, tmp_path: Path) -> None:
    a_patient(world)
    seen(world, "s", 0, 40, 90)
    seen(world, "t", 0, 40, 90, year=1951, finess=THERE)
    assert found(world, known, tmp_path) == {}


def test_too_few_known_pairs_teach_nothing(world: World, known: Known, tmp_path: Path) -> None:
    a_patient(world)
    seen(world, "s", 0, 40, 90, year=1951)
    few = dict(list(known.items())[: MIN_KNOWN_PAIRS - 1])
    assert found(world, few, tmp_path) == {}
    assert found(world, known, tmp_path / "again") == {"s": ("A", "probabilistic")}
