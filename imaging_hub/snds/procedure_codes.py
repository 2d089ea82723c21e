"""Hospitals' own procedure codes as CCAM acts: what a RIS writes in Procedure Code Sequence, place by place."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.errors import LinkageError
from imaging_hub.snds.tables import imaging_acts

COLUMNS = ("finess", "scheme", "code", "ccam")
_CCAM_LENGTH = 7  # what follows is activity and phase
_FINESS_LENGTH = 8  # without check digit, as in DCIR


@dataclass(frozen=True, slots=True)
class ProcedureCodes:
    """CCAM by FINESS (8 characters), scheme and code."""

    ccam: dict[tuple[str, str, str], str]

    @classmethod
    def read(cls, path: Path | None) -> ProcedureCodes:
        """From a CSV file with `;` and the columns `COLUMNS`, none without; raises `LinkageError` naming the line."""
        found: dict[tuple[str, str, str], str] = {}
        if path is None:
            return cls(found)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file, delimiter=";", strict=True)
                if tuple(reader.fieldnames or ()) != COLUMNS:
                    hint = "columns finess;scheme;code;ccam, names in the first line"
                    raise LinkageError("this is no table of procedure codes", code="procedure-codes", hint=hint)
                for number, line in enumerate(reader, start=2):
                    key, ccam = _mapping(line, number)
                    if found.setdefault(key, ccam) != ccam:
                        what = f"line {number} of the procedure codes contradicts an earlier one"
                        raise LinkageError(what, code="procedure-codes", hint="a code of a place has one CCAM act")
        except (OSError, UnicodeDecodeError, csv.Error) as fault:
            raise LinkageError(
                "the procedure codes cannot be read", code="procedure-codes", hint="UTF-8 CSV"
            ) from fault
        return cls(found)

    def acts(self, finess: str, procedures: list[str]) -> list[str]:
        """The CCAM acts of a study, whose `procedures` are `code|scheme`; CCAM itself needs no table."""
        acts = set()
        for procedure in procedures:
            code, _, scheme = procedure.partition("|")
            own = self.ccam.get((finess[:_FINESS_LENGTH], scheme, code))
            if own or scheme.upper() == "CCAM":
                acts.add(own or code[:_CCAM_LENGTH])
        return sorted(acts)


def _mapping(line: dict[str, str | None], number: int) -> tuple[tuple[str, str, str], str]:
    values = [(line.get(name) or "").strip() for name in COLUMNS]
    if not all(values) or None in line:
        what = f"line {number} of the procedure codes lacks a value"
        raise LinkageError(what, code="procedure-codes", hint="four values a line")
    finess, scheme, code, ccam = values
    if ccam not in imaging_acts():
        what = f"line {number} of the procedure codes names no imaging act of the CCAM"
        raise LinkageError(what, code="procedure-codes", hint="check the code against the nomenclature")
    return (finess[:_FINESS_LENGTH], scheme, code), ccam
