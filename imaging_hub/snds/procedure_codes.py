"""Mapping of hospitals' own procedure codes (Procedure Code Sequence) to CCAM acts."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.errors import LinkageError
from imaging_hub.snds.tables import imaging_acts

COLUMNS = ("finess", "scheme", "code", "ccam")
_CCAM_LENGTH = 7  # activity and phase follow
_FINESS_LENGTH = 8  # without check digit, as in DCIR


@dataclass(frozen=True, slots=True)
class ProcedureCodes:
    """CCAM acts by FINESS (8 characters), coding scheme and code."""

    ccam: dict[tuple[str, str, str], str]

    @classmethod
    def read(cls, path: Path | None) -> ProcedureCodes:
        """Read a CSV file with `;` and the columns `COLUMNS`; an empty mapping for None.

        Raises `LinkageError` `procedure-codes` that names the faulty line.
        """
        ccam_by_code: dict[tuple[str, str, str], str] = {}
        if path is None:
            return cls(ccam_by_code)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file, delimiter=";", strict=True)
                if tuple(reader.fieldnames or ()) != COLUMNS:
                    hint = "columns finess;scheme;code;ccam, names in the first line"
                    raise LinkageError("this is no table of procedure codes", code="procedure-codes", hint=hint)
                for number, line in enumerate(reader, start=2):
                    key, ccam = _parse_line(line, number)
                    if ccam_by_code.setdefault(key, ccam) != ccam:
                        message = f"line {number} of the procedure codes contradicts an earlier one"
                        raise LinkageError(message, code="procedure-codes", hint="a code of a place has one CCAM act")
        except (OSError, UnicodeDecodeError, csv.Error) as fault:
            raise LinkageError(
                "the procedure codes cannot be read", code="procedure-codes", hint="UTF-8 CSV"
            ) from fault
        return cls(ccam_by_code)

    def acts(self, finess: str, procedures: list[str]) -> list[str]:
        """Return the CCAM acts of a study, whose `procedures` are `code|scheme`; scheme `CCAM` needs no mapping."""
        acts = set()
        for procedure in procedures:
            code, _, scheme = procedure.partition("|")
            mapped = self.ccam.get((finess[:_FINESS_LENGTH], scheme, code))
            if mapped or scheme.upper() == "CCAM":
                acts.add(mapped or code[:_CCAM_LENGTH])
        return sorted(acts)


def _parse_line(line: dict[str, str | None], number: int) -> tuple[tuple[str, str, str], str]:
    values = [(line.get(name) or "").strip() for name in COLUMNS]
    if not all(values) or None in line:
        message = f"line {number} of the procedure codes lacks a value"
        raise LinkageError(message, code="procedure-codes", hint="four values a line")
    finess, scheme, code, ccam = values
    if ccam not in imaging_acts():
        message = f"line {number} of the procedure codes names no imaging act of the CCAM"
        raise LinkageError(message, code="procedure-codes", hint="check the code against the nomenclature")
    return (finess[:_FINESS_LENGTH], scheme, code), ccam
