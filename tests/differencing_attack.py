"""Somebody who counts cohort after cohort, each a little unlike the last, to learn how many few people are.

The attacker knows everything but the data: the rule, the definitions, and arithmetic. The truth is kept beside:
whatever the counts that were told could be added up to is a union of the parts into which they divide people, and no
part may be small.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from imaging_hub.cohorts.flowchart import Flowchart
from tests.cohort_oracle import World, indexed_series
from tests.dense_tables import a_day, write_load

PEOPLE = 900
_DRUGS = ("L01EB02", "L01XC02", "N02BE01")


@dataclass(frozen=True)
class Subject:
    """One of the people, as the attacker's definitions see them."""

    sid: str
    age: int
    sex: str
    drug: str
    pictured: bool


@dataclass(frozen=True)
class Asked:
    """A definition of the attack: whom each of its counts holds is known from it."""

    ages: tuple[int, int]
    sex: str
    without: str
    name: str

    def text(self) -> str:
        """The definition."""
        dropped = (
            f'exclusion: [{{name: {self.name}, domain: drug, set: {{atc: ["{self.without}"]}},'
            " window: {before: [0, 90], after: [0, 90]}}]\n"
            if self.without
            else ""
        )
        return (
            f'cohort: {self.name}\nversion: 1\nsets: {{cancer: {{icd10: ["C*"]}}}}\n'
            "index: {event: {domain: diagnosis, set: cancer}}\n"
            f"demographics: {{age_at_index: [{self.ages[0]}, {self.ages[1]}], sex: {self.sex}}}\n{dropped}"
            "imaging: [{name: ct, modality: CT, window: {before: [0, 90], after: [0, 90]}}]\n"
        )

    def counted(self, people: list[Subject]) -> list[tuple[tuple[object, ...], frozenset[str]]]:
        """What each count after the first asks, and whom it holds."""
        tests: list[tuple[object, Callable[[Subject], bool]]] = [
            ("index", lambda _: True),
            (self.ages, lambda one: self.ages[0] <= one.age <= self.ages[1]),
        ]
        if self.sex != "any":
            tests.append((self.sex, lambda one: one.sex == self.sex))
        if self.without:
            tests.append((f"no {self.without}", lambda one: one.drug != self.without))
        tests.append(("pictured", lambda one: one.pictured))
        found, left, question = [], people, ()
        for what, holds in tests:
            question = (*question, what)
            left = [one for one in left if holds(one)]
            found.append((question, frozenset(one.sid for one in left)))
        return found


@dataclass(frozen=True)
class Findings:
    """What the attack could be told, against the truth."""

    queries: int
    told: int
    """Different counts that were told."""
    withheld: int
    smallest_part: int
    """People in the smallest part that sums and differences of told counts could single out."""
    smallest_difference: int
    """People by which two told counts of different questions differ at least, zero included."""
    changed: int
    """Questions that were answered anew with another number, though nothing had changed."""


def a_world(folder: Path, chance: random.Random, people: int = PEOPLE) -> tuple[World, list[Subject]]:
    """People of all ages with one diagnosis, one drug and mostly one CT; single years of age are few."""
    subjects, persons, events, series = [], [], [], []
    for number in range(people):
        day, born = a_day(chance), 1930 + int(60 * chance.betavariate(2, 3))
        one = Subject(
            f"sid-{number:04d}",
            2020 - born,
            chance.choice(("male", "female")),
            chance.choices(_DRUGS, (80, 19, 1))[0],
            chance.random() < 0.97,
        )
        subjects.append(one)
        person = f"person-{number:04d}"
        persons.append(
            {
                "snds_person": person,
                "sex": "1" if one.sex == "male" else "2",
                "birth_date": f"{born}-01-01",
                "death_date": None,
            }
        )
        at = {"person": person, "start": day.isoformat(), "position": None}
        events += [
            {**at, "domain": "diagnosis", "code": "C349", "position": "DP"},
            {**at, "domain": "drug", "code": one.drug},
            {**at, "domain": "act", "code": "ZBQK001"},
        ]
        about = {
            "series_instance_uid": f"2.{number}", "modality": "CT" if one.pictured else "MR", "body_part": "CHEST",
            "contrast": True, "manufacturer": "CANON", "kernel": "FC52", "slice_thickness_mm": 1.0,
            "instances": 9, "scout": False,
        }  # fmt: skip
        series.append(indexed_series({"study_instance_uid": f"1.{number}"}, about, one.sid, day, chance))
    write_load(folder, persons, events)
    links = {one.sid: f"person-{number:04d}" for number, one in enumerate(subjects)}
    return World({"persons": persons, "events": events}, folder, series, links), subjects


def questions(chance: random.Random) -> Iterator[Asked]:
    """Neighbours, for ever: an age more or less, one drug less, both sexes apart, other words for the same."""
    lowest, number = 25, 0
    while True:
        number += 1
        highest = chance.randrange(lowest + 1, 92)
        base = Asked((lowest, highest), chance.choice(("any", "male", "female")), "", f"q{number}")
        yield base
        yield Asked((lowest, highest - 1), base.sex, "", f"q{number}a")
        yield Asked(base.ages, base.sex, chance.choice(_DRUGS), f"q{number}b")
        yield Asked(base.ages, base.sex, base.without, f"q{number}c")
        yield Asked(base.ages, "male", "", f"q{number}d")
        yield Asked(base.ages, "female", "", f"q{number}e")
        lowest = chance.randrange(25, 80)


def attack(count: Callable[[str], Flowchart], people: list[Subject], queries: int, chance: random.Random) -> Findings:
    """Ask `queries` definitions and see what the answers give away."""
    told: dict[tuple[object, ...], tuple[frozenset[str], str]] = {}
    withheld = changed = 0
    for _, asked in zip(range(queries), questions(chance), strict=False):
        chart = count(asked.text())
        for (question, whom), step in zip(asked.counted(people), chart.steps[1:], strict=True):
            if not step.subjects.isdigit():
                withheld += 1
                continue
            assert int(step.subjects) == len(whom) - len(whom) % 10, "the attack must know whom it counts"
            changed += question in told and told[question][1] != step.subjects
            told[question] = (whom, step.subjects)
    sets = [whom for whom, _ in told.values()]
    parts = Counter(tuple(one.sid in whom for whom in sets) for one in people)
    return Findings(
        queries,
        len(told),
        withheld,
        min(parts.values()),
        min((len(first ^ second) for first, second in combinations(sets, 2)), default=0),
        changed,
    )
