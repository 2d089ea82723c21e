"""Patients and studies of the hospitals: an IPP in each, and an INS that is present, missing or wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from imaging_hub.synthetic.pathways import Care, Exam
from imaging_hub.synthetic.people import HOSPITALS, LARGE_POPULATION, Hospital, Person

INS_STATES = {"qualified": 0.85, "none": 0.10, "wrong-key": 0.015, "not-validated": 0.02, "nia": 0.015}
_HOSTILE_NAMES = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'; DROP TABLE hub.study; --")


@dataclass(slots=True)
class HospitalPatient:
    """A person under a hospital's own number."""

    person: Person
    hospital: Hospital
    ipp: str
    ins_state: str
    hostile_name: str = ""
    ins_of: Person | None = None
    """The person whose INS the hospital has by mistake."""
    birth_date_typed: date | None = None
    """The hospital's wrong birth date."""

    @property
    def ins(self) -> str:
        """The INS in the hospital's records, sent or not according to `ins_state`."""
        return (self.ins_of or self.person).ins

    @property
    def birth_date(self) -> date:
        """The birth date in the hospital's records."""
        return self.birth_date_typed or self.person.birth_date

    @property
    def pn(self) -> str:
        """Patient's Name in the hospital's PACS."""
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
    """The date in the images, one day off the claim in 2 %."""

    @property
    def accession(self) -> str:
        """The accession number."""
        return f"{self.patient.hospital.name[:3]}{self.day:%y}{self.number:06d}"


def make_studies(care: list[Care], rng: np.random.Generator) -> tuple[list[HospitalPatient], list[HospitalStudy]]:
    """Return the patients and studies of all exams in `HOSPITALS`; of outpatients 5 % are not billed, 2 % a day off."""
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
    _diverge_from_claims([study for study in studies if study.exam.inpatient is None], rng)
    _assign_ins_states(list(patients.values()), rng)
    if len(patients) >= LARGE_POPULATION:
        _add_identity_errors(list(patients.values()), rng)
    return list(patients.values()), studies


def _diverge_from_claims(outpatients: list[HospitalStudy], rng: np.random.Generator) -> None:
    order = [outpatients[int(place)] for place in rng.permutation(len(outpatients))]
    a_day_off, unbilled = max(1, len(order) // 50), max(1, len(order) // 20)
    for study in order[:a_day_off]:
        study.day += timedelta(days=int(rng.choice([-1, 1])))
    for study in order[a_day_off : a_day_off + unbilled]:
        study.exam.claimed = False


def _assign_ins_states(patients: list[HospitalPatient], rng: np.random.Generator) -> None:
    """Assign the shares of `INS_STATES`, at least one of each, and a few hostile names among the qualified."""
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
    for patient, name in zip(qualified[3::7], _HOSTILE_NAMES, strict=False):
        patient.hostile_name = name


def _add_identity_errors(patients: list[HospitalPatient], rng: np.random.Generator) -> None:
    """Give 1 % another person's INS, half of them of the same sex, and 1 % a wrong month of birth."""
    order = [patients[int(place)] for place in rng.permutation(len(patients))]
    share = len(patients) // 100
    qualified = [patient for patient in order if patient.ins_state == "qualified"]
    for place, patient in enumerate(qualified[:share]):
        strangers = [
            other for other in qualified[share:] if (other.person.sex == patient.person.sex) == (place % 2 == 0)
        ]
        patient.ins_of, patient.ins_state = strangers[place].person, "another's"
    for patient in order[-share:]:
        patient.birth_date_typed = patient.person.birth_date - timedelta(days=int(rng.integers(28, 60)))
