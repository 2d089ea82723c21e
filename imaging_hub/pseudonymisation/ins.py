"""The INS (*identité nationale de santé*) in DICOM headers, and whether it may be used.

An INS is the patient's own NIR, 13 characters and a 2-digit key, under an issuer OID of the ANS. It is in an item of
Other Patient IDs Sequence, or in Patient ID (KOS of the DRIMbox). Only a *qualified* INS is used for linkage; any
other is refused with a reason code and never repaired, because a wrong key does not say which digit is wrong.

DICOM has no attribute for the reliability of an identity (HL7 PID-32). Sites that send it use Identifier Type Code
(0040,0035) in place of `INS`; any other code is therefore an identity that was not validated.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib import resources
from typing import Literal

from stdnum.fr import nir

from imaging_hub.dicom import tags, values
from imaging_hub.dicom.elements import Dataset
from imaging_hub.pseudonymisation import traits
from imaging_hub.pseudonymisation.traits import Sex, ascii_value

Environment = Literal["production", "demonstration"]


# stdnum removes separators before it validates; in an INS a separator is a fault.
_PATTERN = re.compile(r"[0-9]{5}(?:[0-9]{2}|2[AB])[0-9]{8}")


@dataclass(frozen=True, slots=True)
class QualifiedIns:
    """An INS that may be used, with the traits that the pseudonym chain needs."""

    ins: str = field(repr=False)
    """15 characters: NIR and key."""
    birth_date: date = field(repr=False)
    sex: Sex = field(repr=False)
    """`1` male, `2` female, as coded in the SNDS."""

    @property
    def nir13(self) -> str:
        """The NIR without its key."""
        return self.ins[:13]


@dataclass(frozen=True, slots=True)
class UnqualifiedIns:
    """A missing INS, or one that may not be used."""

    reason: str
    """`no-ins`, `ins-nia`, `ins-retired`, `ins-test-issuer`, `ins-malformed`, `ins-key`, `ins-provisional`,
    `ins-not-validated`, `ins-conflict`, `birth-date-missing`, `sex-missing`, `sex-mismatch`."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    value: str = field(repr=False)
    kind: str
    environment: str
    type_code: str


def read(dataset: Dataset, environment: Environment) -> QualifiedIns | UnqualifiedIns:
    """Return the INS of a header; refused when there are several, or one of them is faulty."""
    candidates = _find_candidates(dataset)
    numbers = [c for c in candidates if c.kind == "INS-NIR"]
    if not numbers:
        kinds = {c.kind for c in candidates}
        return UnqualifiedIns("ins-nia" if "INS-NIA" in kinds else "ins-retired" if kinds else "no-ins")
    for candidate in numbers:
        if reason := _candidate_fault(candidate, environment):
            return UnqualifiedIns(reason)
    distinct = {c.value for c in numbers}
    if len(distinct) > 1:
        return UnqualifiedIns("ins-conflict")
    return _qualify(distinct.pop(), dataset)


def number_fault(number: str) -> str:
    """Return why this is no INS: `ins-malformed`, `ins-key` or `ins-provisional`; empty for an INS."""
    if not _PATTERN.fullmatch(number):
        return "ins-malformed"
    if not nir.is_valid(number):
        return "ins-key"
    if number[0] not in "12":
        return "ins-provisional"
    return ""


def _qualify(ins: str, dataset: Dataset) -> QualifiedIns | UnqualifiedIns:
    birth_date = traits.patient_birth_date(dataset)
    if birth_date is None:
        return UnqualifiedIns("birth-date-missing")
    sex = traits.patient_sex(dataset)
    if sex is None:
        return UnqualifiedIns("sex-missing")
    if sex != ins[0]:
        return UnqualifiedIns("sex-mismatch")
    return QualifiedIns(ins, birth_date, sex)


def _candidate_fault(candidate: _Candidate, environment: Environment) -> str:
    if environment == "production" and candidate.environment != "production":
        return "ins-test-issuer"
    if candidate.type_code not in ("", "INS"):
        return "ins-not-validated"
    return number_fault(candidate.value)


def _find_candidates(dataset: Dataset) -> list[_Candidate]:
    """Return every identifier under an issuer OID of the INS."""
    candidates = []
    for holder in (dataset, *_items(dataset, tags.OtherPatientIDsSequence)):
        for issuer in _items(holder, tags.IssuerOfPatientIDQualifiersSequence):
            known = _load_issuers().get(ascii_value(issuer, tags.UniversalEntityID))
            if known is not None:
                value, code = ascii_value(holder, tags.PatientID), ascii_value(issuer, tags.IdentifierTypeCode)
                candidates.append(_Candidate(value, known["kind"], known["environment"], code))
    return candidates


@cache
def _load_issuers() -> dict[str, dict[str, str]]:
    table = resources.files(__package__).joinpath("ins_identifiers.json").read_text("utf-8")
    issuers: dict[str, dict[str, str]] = json.loads(table)["issuers"]
    return issuers


def _items(dataset: Dataset, tag: int) -> list[Dataset]:
    element = values.find(dataset, tag)
    return element.value if element is not None and isinstance(element.value, list) else []
