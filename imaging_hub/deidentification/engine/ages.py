"""Ages, and the age above which a profile lets none be known (`age_cap_years`): the very old are few."""

from __future__ import annotations

from imaging_hub.deidentification.engine.dates import day_of
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element

BIRTH_DATE = 0x00100030
_AGE = 0x00101010
_DAYS = (0x00080020, 0x00080021, 0x00080022, 0x00080023)
"""Study, Series, Acquisition and Content Date."""
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


def is_above(dataset: Dataset, cap: int) -> bool:
    """Whether a patient is above an age, by Patient's Age or by the birth date; also if nobody can say."""
    known = [age for age in (_told(dataset), _reckoned(dataset)) if age is not None]
    return not known or max(known) > cap


def _told(dataset: Dataset) -> int | None:
    text = values.text_at(dataset, _AGE)
    return years(text.encode("latin-1")) if text else None


def _reckoned(dataset: Dataset) -> int | None:
    """Age on the last of an instance's days."""
    birthday = day_of(values.text_at(dataset, BIRTH_DATE))
    days = [day for tag in _DAYS if (day := day_of(values.text_at(dataset, tag))) is not None]
    if birthday is None or not days:
        return None
    last = max(days)
    return last.year - birthday.year - ((last.month, last.day) < (birthday.month, birthday.day))


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
