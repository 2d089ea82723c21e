"""Ages, and the age above which a profile lets none be known (`age_cap_years`): the very old are few."""

from __future__ import annotations

from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element

SUBJECT_AGE = ("121033", "DCM", "NUM")
"""The content item of a report that holds the age of its subject (PS3.16 TID 1007)."""

_MEASURED, _UNITS, _NUMBER, _CODE = 0x0040A300, 0x004008EA, 0x0040A30A, 0x00080100
_IN_A_YEAR = {b"D": 365, b"W": 52, b"M": 12, b"Y": 1}
_UCUM_IN_A_YEAR = {"a": 1.0, "mo": 12.0, "wk": 52.0, "d": 365.0}


def years(age: bytes) -> int | None:
    """Whole years of an Age String, 0 of an empty one; None when it is no age."""
    if not age:
        return 0
    in_a_year = _IN_A_YEAR.get(age[-1:])
    if in_a_year is None or not age[:-1].isdigit() or len(age) > 4:
        return None
    return int(age[:-1]) // in_a_year


def capped(item: Dataset, cap: int) -> Dataset:
    """A numeric content item whose age is at most the year after `cap`; without its number when that is no age."""
    measured = values.items(item, _MEASURED)
    if not measured:
        return item
    age = _measured_years(measured)
    if age is not None and age < cap + 1:
        return item
    held = [] if age is None else [_in_years(cap + 1)]
    return [Element(_MEASURED, "SQ", held) if element.tag == _MEASURED else element for element in item]


def _measured_years(measured: list[Dataset]) -> float | None:
    units = [values.text_at(unit, _CODE) for unit in values.items(measured[0], _UNITS)]
    in_a_year = _UCUM_IN_A_YEAR.get(units[0]) if len(measured) == len(units) == 1 else None
    number = values.number(measured[0], _NUMBER)
    return None if in_a_year is None or number is None else number / in_a_year


def _in_years(number: int) -> Dataset:
    year = [
        Element(_CODE, "SH", b"a"),
        Element(0x00080102, "SH", b"UCUM"),
        Element(0x00080104, "LO", b"year"),
    ]
    return [Element(_UNITS, "SQ", [year]), Element(_NUMBER, "DS", str(number).encode())]
