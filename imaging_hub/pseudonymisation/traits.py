"""Traits of a patient in a header: date of birth and sex.

Month of birth and sex are used to link a subject without a usable INS to the SNDS (`snds.indirect_linkage`). They leave
the identifying zone; the day of birth does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from imaging_hub.dicom import tags, values
from imaging_hub.dicom.elements import Dataset

Sex = Literal["1", "2"]

_SEX: dict[str, Sex] = {"M": "1", "F": "2"}


@dataclass(frozen=True, slots=True)
class PatientTraits:
    """Month of birth and sex, as precise as in the SNDS."""

    birth_month: date
    """First day of the month."""
    sex: Sex
    """`1` male, `2` female, as coded in the SNDS."""


def read(dataset: Dataset) -> PatientTraits | None:
    """Return the traits of a header, or None when one is missing or malformed."""
    birth_date, sex = patient_birth_date(dataset), patient_sex(dataset)
    return None if birth_date is None or sex is None else PatientTraits(birth_date.replace(day=1), sex)


def patient_birth_date(dataset: Dataset) -> date | None:
    """Return Patient's Birth Date, or None when it is no date."""
    return parse_date(ascii_value(dataset, tags.PatientBirthDate))


def patient_sex(dataset: Dataset) -> Sex | None:
    """Return Patient's Sex as coded in the SNDS, or None for `O` and other values."""
    return _SEX.get(ascii_value(dataset, tags.PatientSex))


def ascii_value(dataset: Dataset, tag: int) -> str:
    """Return a value without padding, empty when absent, with `?` for characters that are not ASCII."""
    element = values.find(dataset, tag)
    if element is None or isinstance(element.value, list):
        return ""
    return bytes(element.value).decode("ascii", "replace").replace("\ufffd", "?").strip(" \0")


def parse_date(digits: str) -> date | None:
    """Return the date of eight digits (VR DA, PS3.5 §6.2), or None when they are no date."""
    if not re.fullmatch(r"[0-9]{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
