"""Ages, and the age above which a profile lets none be known (`age_cap_years`): the very old are few."""

from __future__ import annotations

from imaging_hub.deidentification.engine.dates import day_of
from imaging_hub.dicom import tags, values
from imaging_hub.dicom.elements import Dataset, Element

_DAYS = (tags.StudyDate, tags.SeriesDate, tags.AcquisitionDate, tags.ContentDate)
"""Study, Series, Acquisition and Content Date."""
SUBJECT_AGE = ("121033", "DCM", "NUM")
"""The content item of a report that holds the age of its subject (PS3.16 TID 1007)."""

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
    text = values.text_at(dataset, tags.PatientAge)
    return years(text.encode("latin-1")) if text else None


def _reckoned(dataset: Dataset) -> int | None:
    """Age on the last of an instance's days."""
    birthday = day_of(values.text_at(dataset, tags.PatientBirthDate))
    days = [day for tag in _DAYS if (day := day_of(values.text_at(dataset, tag))) is not None]
    if birthday is None or not days:
        return None
    last = max(days)
    return last.year - birthday.year - ((last.month, last.day) < (birthday.month, birthday.day))


def capped(item: Dataset, cap: int) -> Dataset:
    """A numeric content item whose age is at most the year after `cap`; without its number when that is no age."""
    measured = values.items(item, tags.MeasuredValueSequence)
    if not measured:
        return item
    age = _measured_years(measured)
    if age is not None and age < cap + 1:
        return item
    held = [] if age is None else [_in_years(cap + 1)]
    return [
        Element(tags.MeasuredValueSequence, "SQ", held) if element.tag == tags.MeasuredValueSequence else element
        for element in item
    ]


def _measured_years(measured: list[Dataset]) -> float | None:
    units = [
        values.text_at(unit, tags.CodeValue) for unit in values.items(measured[0], tags.MeasurementUnitsCodeSequence)
    ]
    in_a_year = _UCUM_IN_A_YEAR.get(units[0]) if len(measured) == len(units) == 1 else None
    number = values.number(measured[0], tags.NumericValue)
    return None if in_a_year is None or number is None else number / in_a_year


def _in_years(number: int) -> Dataset:
    year = [
        Element(tags.CodeValue, "SH", b"a"),
        Element(tags.CodingSchemeDesignator, "SH", b"UCUM"),
        Element(tags.CodeMeaning, "LO", b"year"),
    ]
    return [
        Element(tags.MeasurementUnitsCodeSequence, "SQ", [year]),
        Element(tags.NumericValue, "DS", str(number).encode()),
    ]
