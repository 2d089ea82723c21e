"""Validation of codes: CIM-10 diagnoses and CCAM imaging acts by lists, other nomenclatures by form.

A code that does not exist would select nobody, so it is refused. Sensitive codes are refused too, also when a prefix
covers one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from imaging_hub.snds.tables import imaging_acts

_CCAM = re.compile(r"[A-Z]{4}[0-9]{3}\Z")
_ATC = re.compile(r"[ABCDGHJLMNPRSV]([0-9]{2}([A-Z]([A-Z]([0-9]{2})?)?)?)?\Z")
_ALD = re.compile(r"([1-9]|[12][0-9]|3[0-2])\Z")
_GHM = re.compile(r"[0-9]{2}[CHKMZ][0-9]{2}[0-9A-Z]\Z")
_GHM_PREFIX = re.compile(r"[0-9]{2}([CHKMZ][0-9]{0,2})?\Z")
_NABM = re.compile(r"[0-9]{4}\Z|[0-9]{1,3}\*\Z")
_UCD = re.compile(r"([0-9]{7}|[0-9]{13})\Z|[0-9]{3,12}\*\Z")
_CIP13 = re.compile(r"[0-9]{13}\Z|[0-9]{5,12}\*\Z")
_LPP = re.compile(r"[0-9]{7}\Z|[0-9]{2,6}\*\Z")
_SUPPLEMENT = "YYYY"  # supplements billed with an exam
_ATC_SUBSTANCE_LENGTH = 7
_ICD10 = re.compile(r"[A-Z][0-9A-Z]{0,5}\Z")

SENSITIVE_ICD10 = ("O04", "O05", "O06", "O07", *(f"A{number}" for number in range(50, 65)))
"""Terminations of pregnancy and sexually transmitted infections, often recorded under a fictive NIR."""
SENSITIVE_GHM = ("14Z08",)
"""Stays for a termination of pregnancy."""
SENSITIVE_CCAM = frozenset({"JNJD002", "JNJP001"})
"""Acts of a termination of pregnancy."""


@dataclass(frozen=True, order=True)
class CodeMatch:
    """Codes that match: those in `exact`, and those that begin with one of `prefixes`."""

    exact: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def from_patterns(cls, patterns: Iterable[str]) -> CodeMatch:
        """Return the match of codes as people write them: `C34.9`, `c34*`."""
        codes = {pattern.upper().replace(".", "") for pattern in patterns}
        return cls(
            tuple(sorted(code for code in codes if not code.endswith("*"))),
            tuple(sorted(code[:-1] for code in codes if code.endswith("*"))),
        )


@cache
def icd10_codes() -> tuple[str, ...]:
    """Return all codes of the CIM-10, sorted."""
    return tuple(resources.files(__package__).joinpath("nomenclatures/cim10.txt").read_text("ascii").split())


def imaging_act_codes(modality: str, region: str | None, contrast: str) -> CodeMatch:
    """Return the codes of imaging acts with these attributes; `contrast` is `yes`, `no` or `any`."""
    return CodeMatch.from_patterns(
        act.code
        for act in imaging_acts().values()
        if act.modality == modality
        and region in (None, *act.regions)
        and contrast in ("any", act.contrast)
        and not act.code.startswith(_SUPPLEMENT)
    )


def icd10_fault(pattern: str) -> str | None:
    """Return the fault of a CIM-10 code or prefix with its remedy, or None."""
    code = pattern.upper().replace(".", "")
    prefix = code.removesuffix("*")
    if not _ICD10.match(prefix):
        return f"`{pattern}` is not a CIM-10 code; write a letter and digits, `C34*` for all below C34"
    if any(prefix.startswith(refused) or refused.startswith(prefix) for refused in SENSITIVE_ICD10):
        return f"`{pattern}` covers a sensitive diagnosis, which no cohort may ask for; narrow it"
    first_code = _next_code(prefix)
    if not first_code.startswith(prefix):
        return f"`{pattern}` is not in the CIM-10 (IR_CIM_V 2017); check it against the nomenclature"
    if not code.endswith("*") and _next_code(prefix + "0").startswith(prefix):
        return f"`{pattern}` has subdivisions; write `{prefix}*` for all of them"
    return None


def ccam_fault(code: str) -> str | None:
    """Return the fault of a CCAM code with its remedy, or None."""
    code = code.upper()
    if not _CCAM.match(code):
        return f"`{code}` is not a CCAM code; write four letters and three digits, as in ZBQK001"
    if code in SENSITIVE_CCAM:
        return f"`{code}` is a sensitive act, which no cohort may ask for; remove it"
    # Third letter `Q` is an examination, the fourth its technique: all such codes are in the list of imaging acts.
    if code[2] == "Q" and code[3] in "HJKLMN" and code not in imaging_acts():
        return f"`{code}` is no imaging act of the CCAM; check it, or use modality and region"
    return None


def atc_fault(pattern: str) -> str | None:
    """Return the fault of an ATC code or prefix with its remedy, or None."""
    code = pattern.upper()
    if not _ATC.match(code.removesuffix("*")):
        return f"`{pattern}` is not an ATC code; write it as in `L01EB02` or `L01EB*`"
    if not code.endswith("*") and len(code) < _ATC_SUBSTANCE_LENGTH:
        return f"`{pattern}` is a group; write `{code}*` for all of it"
    return None


def ald_fault(code: str) -> str | None:
    """Return the fault of an ALD number with its remedy, or None."""
    if not _ALD.match(code):
        return f"`{code}` is no number of an ALD; write 1 to 32, as `30` for cancer"
    return None


def ghm_fault(pattern: str) -> str | None:
    """Return the fault of a GHM or prefix with its remedy, or None."""
    code = pattern.upper()
    prefix = code.removesuffix("*")
    if any(prefix.startswith(refused) or refused.startswith(prefix) for refused in SENSITIVE_GHM):
        return f"`{pattern}` covers a sensitive stay, which no cohort may ask for; narrow it"
    if not (_GHM.match(code) or (code.endswith("*") and _GHM_PREFIX.match(prefix))):
        return f"`{pattern}` is not a GHM; write it as in `04M092` or `04M09*`"
    return None


def nabm_fault(pattern: str) -> str | None:
    """Return the fault of an NABM code or prefix with its remedy, or None."""
    if not _NABM.match(pattern):
        return f'`{pattern}` is no code of the NABM; write four digits in quotes, as `"1104"` or `"11*"`'
    return None


def ucd_fault(pattern: str) -> str | None:
    """Return the fault of a UCD code or prefix with its remedy, or None."""
    if not _UCD.match(pattern):
        return f"`{pattern}` is no UCD code; write its 7 or 13 digits in quotes, as the extraction has them"
    return None


def cip13_fault(pattern: str) -> str | None:
    """Return the fault of a CIP13 or prefix with its remedy, or None."""
    if not _CIP13.match(pattern):
        return f"`{pattern}` is no CIP13; write its 13 digits in quotes, or at least five and `*`"
    return None


def lpp_fault(pattern: str) -> str | None:
    """Return the fault of an LPP code or prefix with its remedy, or None."""
    if not _LPP.match(pattern):
        return f"`{pattern}` is no code of the LPP; write seven digits in quotes, or some and `*`"
    return None


def _next_code(prefix: str) -> str:
    """Return the first CIM-10 code that is `prefix` or sorted after it; empty when there is none."""
    codes = icd10_codes()
    place = bisect_left(codes, prefix)
    return codes[place] if place < len(codes) else ""
