"""Care pathways of a few diseases, from which claims and images are both generated."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib import resources

import numpy as np

from imaging_hub.synthetic.people import END, HOSPITALS, START, Hospital, Person

ELSEWHERE = (
    Hospital("ELSEWHERE-PUBLIC", "990000432", "public", "", ""),
    Hospital("ELSEWHERE-PRIVATE", "990000549", "private", "", ""),
)
CHEST_CT, CHEST_CT_CONTRAST, CHEST_XRAY = "ZBQK001", "ZBQH001", "ZBQK002"
BRAIN_CT, BRAIN_MR, BRAIN_MR_CONTRAST, MAMMOGRAPHY = "ACQK001", "ACQN001", "ACQJ002", "QEQK004"


@dataclass(slots=True)
class Stay:
    """A stay in a public hospital."""

    person: Person
    finess: str
    entry: date
    nights: int
    principal: str
    ghm: str
    related: str = ""
    associated: tuple[str, ...] = ()
    acts: list[tuple[str, int]] = field(default_factory=list)
    """CCAM code and days from entry."""

    @property
    def exit(self) -> date:
        """Last day of the stay."""
        return self.entry + timedelta(days=self.nights)


@dataclass(slots=True)
class Exam:
    """An imaging act, with images when the hospital is in `people.HOSPITALS`."""

    person: Person
    hospital: Hospital
    day: date
    ccam: str
    inpatient: Stay | None = None
    claimed: bool = True


@dataclass(slots=True)
class Drug:
    """Boxes of a drug dispensed by a pharmacy."""

    person: Person
    day: date
    atc: str
    boxes: int


@dataclass(slots=True)
class LongTermDisease:
    """An ALD (*affection de longue durée*)."""

    person: Person
    number: int
    icd10: str
    start: date
    end: date | None


Care = Stay | Exam | Drug | LongTermDisease


@cache
def cip13_by_atc() -> dict[str, int]:
    """Return the CIP13 by ATC class; the CIP13 are invented, from a range that is not in use."""
    table = resources.files(__package__).joinpath("drugs.csv").read_text("utf-8").splitlines()
    return {line["atc"]: int(line["cip13"]) for line in csv.DictReader(table)}


def make_pathway(person: Person, rng: np.random.Generator) -> list[Care]:
    """Return one person's care between `START` and `END` or the day of death."""
    care = [*_DISEASES[person.disease](person, rng), *_everyday_drugs(person, rng)]
    last = min(END, person.death_date or END)
    items = [item for item in care if _first_day(item) <= last]
    for item in items:
        if isinstance(item, Exam) and item.inpatient is not None:
            item.inpatient.acts.append((item.ccam, (item.day - item.inpatient.entry).days))
    return items


def _lung(person: Person, rng: np.random.Generator) -> Iterator[Care]:
    diagnosed = _random_day(rng, 400, 1300)
    code = str(rng.choice(["C340", "C341", "C342", "C343", "C349"]))
    place = _choose_hospital(rng, share=0.9)
    stay = Stay(person, HOSPITALS[0].finess, diagnosed, int(rng.integers(2, 9)), code, "04M092", associated=("F171",))
    if rng.random() < 0.25:  # chemotherapy sessions are coded with the tumour as related diagnosis
        stay.principal, stay.related, stay.ghm, stay.nights = "Z511", code, "28Z07Z", 0
    yield stay
    yield LongTermDisease(person, 30, code, diagnosed + timedelta(days=int(rng.integers(5, 40))), None)
    yield Exam(
        person, place, diagnosed - timedelta(days=int(rng.integers(3, 80))), _choose(rng, CHEST_CT_CONTRAST, CHEST_CT)
    )
    if rng.random() < 0.3:
        yield Exam(person, place, diagnosed + timedelta(days=int(rng.integers(80, 200))), CHEST_CT_CONTRAST)
    if rng.random() < 0.2:
        yield Exam(person, place, stay.entry, CHEST_XRAY, inpatient=stay)
    if rng.random() < 0.8:
        tki = str(rng.choice(["L01EB01", "L01EB02", "L01EB03", "L01EB04"]))
        start = diagnosed + timedelta(days=int(rng.integers(20, 90)))
        for box in range(int(rng.integers(1, 7))):
            yield Drug(person, start + timedelta(days=30 * box), tki, 1)
    if rng.random() < 0.1:
        yield from _breast(person, rng, before=diagnosed) if person.sex == "2" else ()
    if rng.random() < 0.35:
        person.death_date = diagnosed + timedelta(days=int(rng.integers(120, 900)))


def _stroke(person: Person, rng: np.random.Generator) -> Iterator[Care]:
    entry = _random_day(rng, 100, 1500)
    stay = Stay(
        person,
        HOSPITALS[0].finess,
        entry,
        int(rng.integers(4, 15)),
        str(rng.choice(["I633", "I634", "I639"])),
        "01M302",
        associated=("I10", "E785"),
    )
    yield stay
    yield Exam(person, HOSPITALS[0], entry, BRAIN_CT, inpatient=stay)
    if rng.random() < 0.6:
        yield Exam(person, HOSPITALS[0], entry + timedelta(days=2), BRAIN_MR, inpatient=stay)
    if rng.random() < 0.3:
        yield Exam(
            person, _choose_hospital(rng, share=0.6), entry + timedelta(days=int(rng.integers(60, 300))), BRAIN_MR
        )
    for month in range(int(rng.integers(2, 6))):
        yield Drug(person, stay.exit + timedelta(days=2 + 30 * month), str(rng.choice(["B01AC06", "C10AA05"])), 1)
    if rng.random() < 0.15:
        person.death_date = stay.exit + timedelta(days=int(rng.integers(0, 400)))


def _multiple_sclerosis(person: Person, rng: np.random.Generator) -> Iterator[Care]:
    diagnosed = _random_day(rng, 60, 900)
    yield LongTermDisease(person, 25, "G35", diagnosed, diagnosed + timedelta(days=3650))
    if rng.random() < 0.5:
        yield Stay(person, HOSPITALS[0].finess, diagnosed, 1, "G35", "01M13T")
    place = _choose_hospital(rng, share=0.9)
    for year in range(int(rng.integers(1, 4))):
        day = diagnosed + timedelta(days=360 * year + int(rng.integers(-20, 20)))
        yield Exam(person, place, max(START, day), _choose(rng, BRAIN_MR_CONTRAST, BRAIN_MR))
    for month in range(int(rng.integers(2, 6))):
        drug = str(rng.choice(["L03AB07", "L04AE01"]))
        yield Drug(person, diagnosed + timedelta(days=40 + 30 * month), drug, 1)


def _copd(person: Person, rng: np.random.Generator) -> Iterator[Care]:
    first = _random_day(rng, 30, 1400)
    if rng.random() < 0.7:
        yield Stay(person, HOSPITALS[0].finess, first, int(rng.integers(3, 10)), "J441", "04M083", associated=("F171",))
    yield LongTermDisease(person, 14, "J449", first, None)
    yield Exam(person, _choose_hospital(rng, share=0.9), first + timedelta(days=int(rng.integers(1, 30))), CHEST_XRAY)
    if rng.random() < 0.3:
        yield Exam(
            person, _choose_hospital(rng, share=0.7), first + timedelta(days=int(rng.integers(40, 200))), CHEST_CT
        )
    for month in range(int(rng.integers(2, 7))):
        yield Drug(person, first + timedelta(days=30 * month), str(rng.choice(["R03AC02", "R03BB04", "R03AK07"])), 2)


def _breast(person: Person, rng: np.random.Generator, before: date = END) -> Iterator[Care]:
    diagnosed = max(START, min(_random_day(rng, 60, 1400), before - timedelta(days=200)))
    yield Exam(person, ELSEWHERE[1], max(START, diagnosed - timedelta(days=20)), MAMMOGRAPHY)
    yield Stay(person, ELSEWHERE[0].finess, diagnosed, 2, str(rng.choice(["C504", "C509"])), "09C041")
    yield LongTermDisease(person, 30, "C509", diagnosed, None)
    for month in range(3):
        yield Drug(person, diagnosed + timedelta(days=60 + 30 * month), "L02BA01", 1)


def _healthy(person: Person, rng: np.random.Generator) -> Iterator[Care]:
    if rng.random() < 0.4 or person.twin:
        yield Exam(person, _choose_hospital(rng, share=0.0), _random_day(rng, 30, 1500), CHEST_XRAY)
    if rng.random() < 0.2 or person.twin:
        yield Stay(person, ELSEWHERE[0].finess, _random_day(rng, 30, 1500), 1, "K359", "06C091")


def _everyday_drugs(person: Person, rng: np.random.Generator) -> Iterator[Care]:
    for _ in range(int(rng.integers(1, 5))):
        yield Drug(person, _random_day(rng, 0, 1700), str(rng.choice(["N02BE01", "A02BC01", "J01CA04", "C09AA05"])), 1)


_DISEASES = {
    "lung": _lung,
    "stroke": _stroke,
    "ms": _multiple_sclerosis,
    "copd": _copd,
    "breast": _breast,
    "healthy": _healthy,
}


def _first_day(item: Care) -> date:
    match item:
        case Stay():
            return item.entry
        case LongTermDisease():
            return item.start
        case _:
            return item.day


def _random_day(rng: np.random.Generator, earliest: int, latest: int) -> date:
    return START + timedelta(days=int(rng.integers(earliest, latest)))


def _choose(rng: np.random.Generator, usual: str, other: str) -> str:
    return usual if rng.random() < 0.65 else other


def _choose_hospital(rng: np.random.Generator, share: float) -> Hospital:
    if rng.random() < share:
        return HOSPITALS[int(rng.choice(len(HOSPITALS), p=[0.5, 0.3, 0.2]))]
    return ELSEWHERE[int(rng.random() < 0.35)]
