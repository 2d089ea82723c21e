"""Patient, study and equipment modules of synthetic images, with identifiers wherever real PACS have them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging_hub.synthetic.patients import HospitalPatient, HospitalStudy
from imaging_hub.synthetic.people import french_names

_OID_TEST, _OID_NIA = "1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.9"
_LABELS = {
    "ZBQK001": "SCANNER THORACIQUE SANS INJECTION", "ZBQH001": "SCANNER THORACIQUE AVEC INJECTION",
    "ZBQK002": "RADIOGRAPHIE DU THORAX", "ACQK001": "SCANNER CÉRÉBRAL", "ACQN001": "IRM CÉRÉBRALE",
    "ACQJ002": "IRM CÉRÉBRALE AVEC GADOLINIUM",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImagingMachine:
    """An imaging device, with its private block."""

    manufacturer: str
    model: str
    kernel: str
    private_group: int
    private_creator: str


CT_MACHINES = (
    ImagingMachine("SIEMENS", "SOMATOM Definition AS+", "Br64d", 0x0029, "SIEMENS CSA HEADER"),
    ImagingMachine("GE MEDICAL SYSTEMS", "Revolution CT", "LUNG", 0x0009, "GEMS_IDEN_01"),
    ImagingMachine("CANON", "Aquilion ONE", "FC52", 0x7005, "TOSHIBA_MEC_CT3"),
)
MR_MACHINES = (
    ImagingMachine("SIEMENS", "MAGNETOM Skyra", "", 0x0029, "SIEMENS MEDCOM HEADER"),
    ImagingMachine("Philips", "Ingenia", "", 0x2001, "Philips Imaging DD 001"),
)
DX_MACHINES = (ImagingMachine("FUJIFILM", "FDR D-EVO II", "", 0x0021, "FUJI PHOTO FILM Co., ltd."),)


def new_uid(rng: np.random.Generator) -> str:
    """Return a UUID-derived UID (PS3.5 §B.2) from the random generator."""
    return f"2.25.{int.from_bytes(rng.bytes(16), 'big')}"


def study_header(study: HospitalStudy, machine: ImagingMachine, rng: np.random.Generator) -> Dataset:
    """Return the patient, study and equipment modules of a study."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192" if study.number % 3 == 0 else "ISO_IR 100"
    _add_patient(ds, study.patient)
    _add_study(ds, study, rng)
    _add_equipment(ds, study, machine)
    return ds


def _add_patient(ds: Dataset, patient: HospitalPatient) -> None:
    person = patient.person
    ds.PatientName, ds.PatientID = patient.pn, patient.ipp
    ds.IssuerOfPatientID = patient.hospital.institution
    ds.PatientBirthDate = f"{patient.birth_date:%Y%m%d}"
    ds.PatientSex = "M" if person.sex == "1" else "F"
    ds.PatientBirthName = f"{person.birth_name}^{person.first_name}"
    ds.PatientMotherBirthName = f"{person.birth_name}^Marie"
    names = french_names()
    street = names["street"][int(patient.ipp) % len(names["street"])]
    town = names["town"][int(patient.ipp) % len(names["town"])]
    ds.PatientAddress = f"{int(patient.ipp) % 90 + 1} {street}, {person.department}{person.commune} {town}"
    ds.PatientTelephoneNumbers = f"06 39 98 {int(patient.ipp) % 90 + 10} {int(patient.ipp) % 89 + 11}"
    ds.OtherPatientIDsSequence = Sequence(_other_ids(patient))
    if not ds.OtherPatientIDsSequence:
        del ds.OtherPatientIDsSequence


def _other_ids(patient: HospitalPatient) -> list[Dataset]:
    """Return the INS as the DRIMbox writes it; Identifier Type Code says when the identity is provisional."""
    if patient.ins_state == "none":
        return []
    ins = patient.ins
    if patient.ins_state == "wrong-key":
        ins = f"{ins[:13]}{int(ins[13:]) % 97 + 1:02d}"
    issuer = Dataset()
    issuer.UniversalEntityID = _OID_NIA if patient.ins_state == "nia" else _OID_TEST
    issuer.UniversalEntityIDType = "ISO"
    issuer.IdentifierTypeCode = "PROV" if patient.ins_state == "not-validated" else "INS"
    item = Dataset()
    item.PatientID, item.TypeOfPatientID = ins, "TEXT"
    item.IssuerOfPatientID = "ASIP-SANTE-INS-NIR"
    item.IssuerOfPatientIDQualifiersSequence = Sequence([issuer])
    return [item]


def _add_study(ds: Dataset, study: HospitalStudy, rng: np.random.Generator) -> None:
    exam, person = study.exam, study.patient.person
    names = french_names()
    doctor = f"{names['family'][study.number % 60]}^{names['female'][study.number % 30]}^^Dr"
    ds.StudyInstanceUID, ds.StudyID = new_uid(rng), str(study.number)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = f"{study.day:%Y%m%d}"
    ds.StudyTime = ds.SeriesTime = f"{8 + study.number % 11:02d}{study.number % 60:02d}12"
    ds.AcquisitionTime = ds.ContentTime = f"{8 + study.number % 11:02d}{study.number % 60:02d}47"
    ds.AccessionNumber = study.accession
    ds.ReferringPhysicianName = doctor
    ds.PhysiciansOfRecord = doctor
    ds.OperatorsName = f"{names['family'][(study.number * 7) % 60]}^{names['male'][study.number % 30]}"
    label = _LABELS[exam.ccam]
    if study.number % 4 == 0:  # a name typed into the description
        label = f"{label} - {study.patient.person.family_name.upper()} {person.first_name}"
    ds.StudyDescription = label[:64]
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = exam.ccam, "CCAM", _LABELS[exam.ccam]
    ds.ProcedureCodeSequence = Sequence([code])
    ds.PatientAge = f"{_age(person.birth_date, study.day):03d}Y"
    ds.PatientWeight = str(50 + study.number % 45)
    if study.number % 6 == 0:
        ds.AdditionalPatientHistory = (
            f"{label}. {study.patient.pn.replace('^', ' ')}, suivi au CHU, IPP {study.patient.ipp}"
        )


def _add_equipment(ds: Dataset, study: HospitalStudy, machine: ImagingMachine) -> None:
    ds.Manufacturer, ds.ManufacturerModelName = machine.manufacturer, machine.model
    ds.InstitutionName = study.patient.hospital.institution
    ds.InstitutionAddress = "1 avenue de l'Hôpital, Valmont"
    ds.InstitutionalDepartmentName = "Imagerie"
    ds.StationName = f"{study.patient.hospital.name[:3]}{study.number % 3}"
    ds.DeviceSerialNumber = f"{100000 + study.number % 7}"
    ds.SoftwareVersions = "syngo VA48A"
    block = ds.private_block(machine.private_group, machine.private_creator, create=True)
    block.add_new(0xF0, "LO", f"{study.patient.person.family_name} {study.patient.ipp}")
    block.add_new(0xF1, "OB", b"\0\1" * 32)


def _age(birth: date, day: date) -> int:
    return (day - birth) // timedelta(days=365.25)
