"""A synthetic population linked by the real commands' functions, and how right the links are.

Headers are written and read as files have them; only pixels are left out, the de-identified index gets the rows that
linkage reads, and the third party's vault is asked without the port between.
"""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from fresh_databases import copied
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import Connection, text
from third_parties import Near, a_vault

from imaging_hub.archive import index
from imaging_hub.database import VAULT_SCHEMA, Database, DatabaseRole
from imaging_hub.dicom import walk
from imaging_hub.dicom.elements import Dataset
from imaging_hub.keys.keyring import create_missing, gateway_keys
from imaging_hub.pseudonymisation import identity, ins, snds_delivery, traits
from imaging_hub.pseudonymisation.identity import PatientIdentity
from imaging_hub.snds import indirect_linkage, loading
from imaging_hub.snds.direct_linkage import LinkReport, import_return
from imaging_hub.snds.indirect_linkage import IndirectReport
from imaging_hub.snds.linkage_quality import Proportion
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.synthetic import snds_operator
from imaging_hub.synthetic.dicom_header import CT_MACHINES, study_header
from imaging_hub.synthetic.generator import Population, populate, write_snds
from imaging_hub.synthetic.patients import HospitalPatient, HospitalStudy
from imaging_hub.trust.vault import Vault


@dataclass(frozen=True)
class Link:
    """A link that was made, and the patients of its subject."""

    method: str
    person: str
    patients: tuple[HospitalPatient, ...]

    @property
    def right(self) -> bool:
        """Whether it is the person of every patient."""
        return {patient.person.snds_person for patient in self.patients} == {self.person}


@dataclass(frozen=True)
class Linked:
    """A population after linkage, beside the truth."""

    population: Population
    direct: LinkReport
    indirect: IndirectReport
    links: tuple[Link, ...]
    proposals: tuple[Link, ...]
    """What waits for people."""
    vault: Vault

    def precision(self, chosen: Callable[[Link], bool]) -> Proportion:
        """Of the links that are chosen, how many are right."""
        links = [link for link in self.links if chosen(link)]
        return Proportion(len(links), sum(link.right for link in links))

    def recall(self, chosen: Callable[[HospitalPatient], bool] = lambda _: True) -> Proportion:
        """Of the linkable persons with a patient that is chosen, how many have a right link."""
        persons = {p.person.snds_person for p in self.population.patients if linkable(p) and chosen(p)}
        reached = {link.person for link in self.links if link.right}
        return Proportion(len(persons), len(persons & reached))


def linkable(patient: HospitalPatient) -> bool:
    """Whether the SNDS holds anything under this person's own name."""
    policies = patient.person.policies
    known = any(policy.ano_known for policy in policies)
    return policies[0].cdi in ("00", "03", "04") and (known or not patient.person.twin)


def link_population(database: Database, folder: Path, persons: int, seed: int, tables: Path | None = None) -> Linked:
    """Make a population, let the hub receive and link it; its tables are loaded into `tables`, or FOLDER/tables."""
    tables = tables or folder / "tables"
    made = populate(persons, seed, rng := np.random.default_rng(seed))
    write_snds(made, folder / "made")
    loading.load(folder / "made" / "snds", tables)
    create_missing(folder / "keys")
    vault = Near(a_vault(database, folder / "trust-keys"))
    with database.begin(DatabaseRole.WORKER) as connection:
        subjects = _received(connection, vault, folder / "keys", made.studies, rng)
    direct = _by_ins(database, vault, folder)
    vault.database.dispose()
    with database.begin(DatabaseRole.WORKER) as connection:
        report = indirect_linkage.link(connection, tables, codes=ProcedureCodes({}), actor="test")
        rows = connection.execute(text("SELECT sid, method, snds_person FROM hub.link")).all()
        waiting = connection.execute(text("SELECT sid, method, snds_person FROM hub.link_proposal")).all()
    links, proposals = (
        tuple(Link(method, person, tuple(subjects[sid])) for sid, method, person in some) for some in (rows, waiting)
    )
    return Linked(made, direct, report, links, proposals, vault)


@dataclass(frozen=True)
class _Kept:
    """What is copied for each test."""

    linked: Linked
    hub: Database
    folder: Path


_kept: dict[tuple[str, int], _Kept] = {}
"""By server and number of persons."""


def few_linked(database: Database, folder: Path, tables: Path | None = None, persons: int = 300) -> Linked:
    """Too few persons to prove a method, as `link_population` leaves them; that is done once on each server."""
    key = str(database.owner_url.set(database=None)), persons
    if key not in _kept:
        first = Path(mkdtemp(prefix="linked-population-"))
        atexit.register(shutil.rmtree, first, ignore_errors=True)
        linked = link_population(database, first, persons, seed=5)
        _kept[key] = _Kept(linked, copied(database), first)
    kept = _kept[key]
    copied(kept.hub, into=database)
    shutil.copytree(kept.folder, folder, dirs_exist_ok=True, ignore=lambda *_: ["tables"] if tables else [])
    if tables is not None:
        shutil.copytree(kept.folder / "tables", tables, dirs_exist_ok=True)
    vault = Near(Vault(copied(kept.linked.vault.database, VAULT_SCHEMA), folder / "trust-keys"))
    return replace(kept.linked, vault=vault)


def _received(
    connection: Connection, vault: Vault, keys: Path, studies: Iterable[HospitalStudy], rng: np.random.Generator
) -> dict[str, list[HospitalPatient]]:
    """The patients of each subject."""
    subjects: dict[str, list[HospitalPatient]] = {}
    for study in studies:
        header = study_header(study, CT_MACHINES[0], rng)
        dataset = _as_read(header)
        who = identity.register(
            connection, gateway_keys(keys), vault, hospital=study.patient.hospital.name,
            patient_id=study.patient.ipp, reading=ins.read(dataset, "demonstration"),
        )  # fmt: skip
        assert isinstance(who, PatientIdentity)
        patients = subjects.setdefault(who.sid, [])
        if study.patient not in patients:
            patients.append(study.patient)
        code = header.ProcedureCodeSequence[0]
        connection.execute(
            text("INSERT INTO hub.subject (sid, pseudonym) VALUES (:sid, :sid) ON CONFLICT DO NOTHING"),
            {"sid": who.sid},
        )
        connection.execute(
            text(
                "INSERT INTO hub.study (study_instance_uid, sid, finess, study_date, state, procedures)"
                " VALUES (:uid, :sid, :finess, :day, 'RELEASABLE', :procedures)"
            ),
            {
                "uid": str(header.StudyInstanceUID), "sid": who.sid, "finess": study.patient.hospital.finess,
                "day": study.day, "procedures": [f"{code.CodeValue}|{code.CodingSchemeDesignator}"],
            },
        )  # fmt: skip
        said = traits.read(dataset)
        index.store_traits(connection, who.sid, [(said.birth_month, int(said.sex))] if said else [])
    return subjects


def _as_read(header: object) -> Dataset:
    encoded = DicomBytesIO()
    encoded.is_little_endian, encoded.is_implicit_VR = True, False
    write_dataset(encoded, header, header.SpecificCharacterSet)
    return walk.read(bytes(encoded.getvalue()), ExplicitVRLittleEndian)


def _by_ins(database: Database, vault: Vault, folder: Path) -> LinkReport:
    outgoing, answer = folder / "out.csv", folder / "return.csv"
    with database.begin(DatabaseRole.GATEWAY) as connection:
        sent = snds_delivery.export(connection, vault, outgoing, actor="test")
    snds_operator.answer_delivery(outgoing, folder / "made" / "operator", answer)
    with database.begin(DatabaseRole.WORKER) as connection:
        return import_return(
            connection, answer, delivery=sent.id, resolve=lambda some: vault.resolve(sent.id, some), actor="test"
        )


def wrong_of_the_hard(linked: Linked) -> dict[str, int]:
    """Wrong links, by what makes their patients hard."""
    hard: dict[str, Callable[[HospitalPatient], bool]] = {
        "twins": lambda patient: bool(patient.person.twin),
        "fictive NIR": lambda patient: patient.person.policies[0].cdi not in ("00", "03", "04"),
        "another's INS": lambda patient: patient.ins_of is not None,
        "wrong birth date": lambda patient: patient.birth_date_typed is not None,
    }
    return {
        name: sum(not link.right for link in linked.links if any(map(is_so, link.patients)))
        for name, is_so in hard.items()
    }
