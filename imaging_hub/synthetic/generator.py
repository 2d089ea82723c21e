"""Generator of the synthetic files: OUT/snds, OUT/dicom, OUT/operator and OUT/truth.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imaging_hub.errors import LinkageError
from imaging_hub.snds.tables import SndsColumn, table_schemas
from imaging_hub.synthetic.claims import Claims, TrueEvent, write_beneficiary, write_care, write_tests_and_causes
from imaging_hub.synthetic.pathways import Care, Exam, cip13_by_atc, make_pathway
from imaging_hub.synthetic.patients import HospitalPatient, HospitalStudy, make_studies
from imaging_hub.synthetic.people import HOSPITALS, LARGE_POPULATION, Person, make_people
from imaging_hub.synthetic.snds_operator import SndsOperator
from imaging_hub.synthetic.studies import write_study
from imaging_hub.synthetic.traps import write_traps


@dataclass(frozen=True, slots=True)
class SyntheticReport:
    """Numbers of what was generated."""

    persons: int
    patients: int
    studies: int
    instances: int
    events: int


@dataclass(frozen=True)
class Population:
    """Generated people, with their care as claims and as studies of hospitals."""

    operator: SndsOperator
    people: list[Person]
    patients: list[HospitalPatient]
    studies: list[HospitalStudy]
    claims: Claims


def populate(persons: int, seed: int, rng: np.random.Generator) -> Population:
    """Generate a population without files; in a large one (`people.LARGE_POPULATION`), some twins share their exams."""
    operator = SndsOperator.from_seed(seed)
    people = make_people(persons, operator, rng)
    care = [item for person in people for item in make_pathway(person, rng)]
    if persons >= LARGE_POPULATION:
        care += _copy_exams_to_twins(people, care)
    patients, studies = make_studies(care, rng)
    return Population(operator, people, patients, studies, _make_claims(people, care, rng))


def write_snds(population: Population, out: Path) -> None:
    """Write OUT/snds and OUT/operator."""
    _write_tables(population.claims, out / "snds")
    known_persons = {p.nir_ano for p in population.people if any(policy.ano_known for policy in p.policies)}
    population.operator.save(out / "operator", known_persons)


def synthesize(out: Path, persons: int = 200, seed: int = 1) -> SyntheticReport:
    """Generate a population and write all files under `out`; raises `LinkageError` `not-empty`."""
    if out.exists() and any(out.iterdir()):
        raise LinkageError("the folder to write is not empty", code="not-empty", hint="name a new folder")
    rng = np.random.default_rng(seed)
    population = populate(persons, seed, rng)
    people, patients, studies, claims = population.people, population.patients, population.studies, population.claims
    write_snds(population, out)
    written = [write_study(study, out / "dicom", rng) for study in studies]
    truth = {
        "format": "imaging-hub-truth-1",
        "seed": seed,
        "hospitals": [_hospital_truth(place) for place in range(len(HOSPITALS))],
        "persons": [_person_truth(person) for person in people],
        "patients": [_patient_truth(patient) for patient in patients],
        "studies": written,
        "events": _sum_lines(claims.events),
        "excluded_events": _sum_lines(claims.excluded),
        "traps": dict(sorted(claims.traps.items())),
    }
    (out / "truth.json").write_text(json.dumps(truth, default=date.isoformat, ensure_ascii=False, indent=1), "utf-8")
    instances = sum(each["instances"] for study in written for each in study["series"])  # type: ignore[attr-defined]
    return SyntheticReport(len(people), len(patients), len(studies), instances, len(truth["events"]))  # type: ignore[arg-type]


def _copy_exams_to_twins(people: list[Person], care: list[Care]) -> list[Care]:
    """Return copies of the exams of every third pair's one twin, for the other twin."""
    by_id = {person.id: person for person in people}
    twin_of_second = {person.id: by_id[person.twin] for person in people if person.twin > person.id}
    second_twins = set(list(twin_of_second)[::3])
    return [
        replace(item, person=twin_of_second[item.person.id])
        for item in care
        if isinstance(item, Exam) and item.inpatient is None and item.person.id in second_twins
    ]


def _make_claims(people: list[Person], care: list[Care], rng: np.random.Generator) -> Claims:
    claims = Claims(rng)
    for person in people:
        write_beneficiary(claims, person)
    for item in care:
        write_care(claims, item)
    write_traps(claims, people, care, rng)
    later_tables = replace(claims, rng=np.random.default_rng(len(people)))  # the rest stays as it was for a seed
    care_by_person: dict[str, list[Care]] = {}
    for item in care:
        care_by_person.setdefault(item.person.id, []).append(item)
    for person in people:
        write_tests_and_causes(later_tables, person, care_by_person.get(person.id, []))
    for atc, cip13 in cip13_by_atc().items():
        claims.add("IR_PHA_R", "", PHA_CIP_C13=cip13, PHA_ATC_CLA=atc)
    return claims


def _write_tables(claims: Claims, folder: Path) -> None:
    """Write a file for each table and part: `T_MCO19B.parquet`, `ER_PRS_F_201903.parquet`."""
    folder.mkdir(parents=True)
    schemas = {
        table: pa.schema([(c.name, _arrow_type(c)) for c in columns]) for table, columns in table_schemas().items()
    }
    for (table, part), rows in claims.rows.items():
        name = table.replace("aa", part) if "aa" in table else f"{table}_{part}".rstrip("_")
        columns = {c.name: [row[c.name] for row in rows] for c in table_schemas()[table]}
        pq.write_table(pa.Table.from_pydict(columns, schema=schemas[table]), folder / f"{name}.parquet")


def _arrow_type(column: SndsColumn) -> pa.DataType:
    if column.format or column.type == "string":
        return pa.string()
    return {"integer": pa.int64(), "number": pa.float64(), "date": pa.date32()}[column.type]


def _sum_lines(events: list[TrueEvent]) -> list[TrueEvent]:
    """Sum the quantities of equal lines of DCIR to one event, as a load does."""
    kept: list[TrueEvent] = []
    lines: dict[tuple[object, ...], TrueEvent] = {}
    for event in events:
        if not str(event["source_table"]).startswith("ER_"):
            kept.append(event)
            continue
        key = tuple(value for name, value in event.items() if name != "qty")
        if key in lines:
            lines[key]["qty"] += event["qty"]  # type: ignore[operator]
        else:
            lines[key] = dict(event)
            kept.append(lines[key])
    return kept


def _hospital_truth(place: int) -> dict[str, object]:
    hospital = HOSPITALS[place]
    return {
        "name": hospital.name,
        "finess": hospital.finess,
        "sector": hospital.sector,
        "ae_title": hospital.ae_title,
        "institution": hospital.institution,
        "folder": f"dicom/{hospital.name}",
    }


def _person_truth(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "ins": person.ins,
        "sex": person.sex,
        "birth_date": person.birth_date,
        "death_date": person.death_date,
        "family_name": person.family_name,
        "first_name": person.first_name,
        "birth_name": person.birth_name,
        "disease": person.disease,
        "snds_person": person.snds_person,
        "psa": sorted({policy.psa for policy in person.policies}),
        "cdi": person.policies[0].cdi,
        "twin": person.twin or None,
    }


def _patient_truth(patient: HospitalPatient) -> dict[str, object]:
    return {
        "person": patient.person.id,
        "hospital": patient.hospital.name,
        "ipp": patient.ipp,
        "patient_name": patient.pn,
        "ins_state": patient.ins_state,
        "linkable": patient.ins_state == "qualified",
    }
