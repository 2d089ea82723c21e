"""Writes OUT/snds, OUT/dicom, OUT/operator and OUT/truth.json."""

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
from imaging_hub.synthetic.claims import Claims, TrueEvent, beneficiaries, claim, tests_and_causes
from imaging_hub.synthetic.pathways import Care, Exam, drugs, pathway
from imaging_hub.synthetic.patients import HospitalPatient, HospitalStudy, studies_of
from imaging_hub.synthetic.people import HOSPITALS, MANY, Person, make_people
from imaging_hub.synthetic.snds_operator import SndsOperator
from imaging_hub.synthetic.studies import write_study
from imaging_hub.synthetic.traps import write_traps


@dataclass(frozen=True, slots=True)
class SyntheticReport:
    """What was written."""

    persons: int
    patients: int
    studies: int
    instances: int
    events: int


@dataclass(frozen=True)
class Population:
    """People, their care as claims, and as exams of hospitals."""

    operator: SndsOperator
    people: list[Person]
    patients: list[HospitalPatient]
    studies: list[HospitalStudy]
    claims: Claims


def populate(persons: int, seed: int, rng: np.random.Generator) -> Population:
    """Make everything but the files; from `people.MANY` people on, twins come to their exams together."""
    operator = SndsOperator.of_seed(seed)
    people = make_people(persons, operator, rng)
    care = [item for person in people for item in pathway(person, rng)]
    if persons >= MANY:
        care += _twins_together(people, care)
    patients, studies = studies_of(care, rng)
    return Population(operator, people, patients, studies, _claims(people, care, rng))


def write_snds(made: Population, out: Path) -> None:
    """Write OUT/snds and OUT/operator."""
    _write_tables(made.claims, out / "snds")
    known = {p.nir_ano for p in made.people if any(policy.ano_known for policy in p.policies)}
    made.operator.save(out / "operator", known)


def synthesize(out: Path, persons: int = 200, seed: int = 1) -> SyntheticReport:
    """Write everything under `out`, which must be new or empty."""
    if out.exists() and any(out.iterdir()):
        raise LinkageError("the folder to write is not empty", code="not-empty", hint="name a new folder")
    rng = np.random.default_rng(seed)
    made = populate(persons, seed, rng)
    people, patients, studies, claims = made.people, made.patients, made.studies, made.claims
    write_snds(made, out)
    written = [write_study(study, out / "dicom", rng) for study in studies]
    truth = {
        "format": "imaging-hub-truth-1",
        "seed": seed,
        "hospitals": [_hospital(place) for place in range(len(HOSPITALS))],
        "persons": [_person(person) for person in people],
        "patients": [_patient(patient) for patient in patients],
        "studies": written,
        "events": _summed(claims.events),
        "excluded_events": _summed(claims.excluded),
        "traps": dict(sorted(claims.traps.items())),
    }
    (out / "truth.json").write_text(json.dumps(truth, default=date.isoformat, ensure_ascii=False, indent=1), "utf-8")
    instances = sum(one["instances"] for study in written for one in study["series"])  # type: ignore[attr-defined]
    return SyntheticReport(len(people), len(patients), len(studies), instances, len(truth["events"]))  # type: ignore[arg-type]


def _twins_together(people: list[Person], care: list[Care]) -> list[Care]:
    """Every third pair: the second has the exams of the first, on the same days and in the same places."""
    by_id = {person.id: person for person in people}
    first = {person.id: by_id[person.twin] for person in people if person.twin > person.id}
    chosen = set(list(first)[::3])
    return [
        replace(item, person=first[item.person.id])
        for item in care
        if isinstance(item, Exam) and item.inpatient is None and item.person.id in chosen
    ]


def _claims(people: list[Person], care: list[Care], rng: np.random.Generator) -> Claims:
    claims = Claims(rng)
    for person in people:
        beneficiaries(claims, person)
    for item in care:
        claim(claims, item)
    write_traps(claims, people, care, rng)
    late = replace(claims, rng=np.random.default_rng(len(people)))  # the rest of a seed's world stays as it was
    of: dict[str, list[Care]] = {}
    for item in care:
        of.setdefault(item.person.id, []).append(item)
    for person in people:
        tests_and_causes(late, person, of.get(person.id, []))
    for atc, cip13 in drugs().items():
        claims.add("IR_PHA_R", "", PHA_CIP_C13=cip13, PHA_ATC_CLA=atc)
    return claims


def _write_tables(claims: Claims, folder: Path) -> None:
    """One file for each table and part: `T_MCO19B.parquet`, `ER_PRS_F_201903.parquet`."""
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


def _summed(events: list[TrueEvent]) -> list[TrueEvent]:
    """Lines of one day in DCIR are one event with their quantities summed, as a load makes it."""
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


def _hospital(place: int) -> dict[str, object]:
    hospital = HOSPITALS[place]
    return {
        "name": hospital.name,
        "finess": hospital.finess,
        "sector": hospital.sector,
        "ae_title": hospital.ae_title,
        "institution": hospital.institution,
        "folder": f"dicom/{hospital.name}",
    }


def _person(person: Person) -> dict[str, object]:
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


def _patient(patient: HospitalPatient) -> dict[str, object]:
    return {
        "person": patient.person.id,
        "hospital": patient.hospital.name,
        "ipp": patient.ipp,
        "patient_name": patient.pn,
        "ins_state": patient.ins_state,
        "linkable": patient.ins_state == "qualified",
    }
