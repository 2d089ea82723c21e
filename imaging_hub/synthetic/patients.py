"""The same people as two hospitals know them: an IPP in each, and an INS that is there, missing or wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from imaging_hub.synthetic.pathways import Care, Exam
from imaging_hub.synthetic.people import HOSPITALS, MANY, Hospital, Person

INS_STATES = {"qualified": 0.85, "none": 0.10, "wrong-key": 0.015, "not-validated": 0.02, "nia": 0.015}
_HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'; DROP TABLE hub.study; --")


@dataclass(slots=True)
class HospitalPatient:
    """A person under a hospital's own number."""

    person: Person
    hospital: Hospital
    ipp: str
    ins_state: str
    hostile_name: str = ""
    ins_of: Person | None = None
    """Whose INS the hospital has, when it is a stranger's."""
    birth_date_typed: date | None = None
    """When the hospital has a wrong one."""

    @property
    def ins(self) -> str:
        """The INS that the hospital has, when it has one."""
        return (self.ins_of or self.person).ins

    @property
    def birth_date(self) -> date:
        """As the hospital has it."""
        return self.birth_date_typed or self.person.birth_date

    @property
    def pn(self) -> str:
        """Patient's Name as the hospital's PACS has it."""
        if self.hostile_name:
            return f"{self.hostile_name}^{self.person.first_name}"
        title = "Mme" if self.person.sex == "2" else "M."
        return f"{self.person.family_name}^{self.person.first_name}^^{title}"


@dataclass(slots=True)
class HospitalStudy:
    """An exam whose images the hospital holds."""

    patient: HospitalPatient
    exam: Exam
    number: int
    day: date
    """As the modality wrote it; a day off the claim for 2 %."""

    @property
    def accession(self) -> str:
        """The RIS's number."""
        return f"{self.patient.hospital.name[:3]}{self.day:%y}{self.number:06d}"


def studies_of(care: list[Care], rng: np.random.Generator) -> tuple[list[HospitalPatient], list[HospitalStudy]]:
    """Every exam of our hospitals has images; of outpatients' 5 % were never billed, 2 % are dated a day off."""
    exams = sorted(
        (item for item in care if isinstance(item, Exam) and item.hospital in HOSPITALS),
        key=lambda exam: (exam.person.id, exam.day, exam.ccam),
    )
    patients: dict[tuple[str, str], HospitalPatient] = {}
    studies = []
    for number, exam in enumerate(exams, start=1):
        key = (exam.person.id, exam.hospital.name)
        if key not in patients:
            ipp = f"{int(rng.integers(10**7, 10**8))}{len(patients):03d}"
            patients[key] = HospitalPatient(exam.person, exam.hospital, ipp, "")
        studies.append(HospitalStudy(patients[key], exam, number, exam.day))
    _part_from_claims([study for study in studies if study.exam.inpatient is None], rng)
    _give_ins(list(patients.values()), rng)
    if len(patients) >= MANY:
        _mistake(list(patients.values()), rng)
    return list(patients.values()), studies


def _part_from_claims(outpatients: list[HospitalStudy], rng: np.random.Generator) -> None:
    order = [outpatients[int(place)] for place in rng.permutation(len(outpatients))]
    a_day_off, unbilled = max(1, len(order) // 50), max(1, len(order) // 20)
    for study in order[:a_day_off]:
        study.day += timedelta(days=int(rng.choice([-1, 1])))
    for study in order[a_day_off : a_day_off + unbilled]:
        study.exam.claimed = False


def _give_ins(patients: list[HospitalPatient], rng: np.random.Generator) -> None:
    """Shares as `INS_STATES` has them, at least one of each, and a few hostile names among the qualified."""
    count = len(patients)
    states = [
        state
        for state, share in INS_STATES.items()
        if state != "qualified"
        for _ in range(max(1, round(share * count)))
    ]
    states += ["qualified"] * max(0, count - len(states))
    for patient, place in zip(patients, rng.permutation(count), strict=True):
        patient.ins_state = states[int(place)]
    qualified = [patient for patient in patients if patient.ins_state == "qualified"]
    for patient, name in zip(qualified[3::7], _HOSTILE, strict=False):
        patient.hostile_name = name


def _mistake(patients: list[HospitalPatient], rng: np.random.Generator) -> None:
    """What identity vigilance lets through: 1 % have a stranger's INS (half of them of their own sex), 1 % a wrong
    month of birth."""
    order = [patients[int(place)] for place in rng.permutation(len(patients))]
    share = len(patients) // 100
    qualified = [patient for patient in order if patient.ins_state == "qualified"]
    for place, patient in enumerate(qualified[:share]):
        alike = [one for one in qualified[share:] if (one.person.sex == patient.person.sex) == (place % 2 == 0)]
        patient.ins_of, patient.ins_state = alike[place].person, "another's"
    for patient in order[-share:]:
        patient.birth_date_typed = patient.person.birth_date - timedelta(days=int(rng.integers(28, 60)))
