"""What a header says of a patient beside names: day of birth and sex.

Month of birth and sex are the traits with which a subject without a usable INS is looked for among the exams of the
SNDS (`snds.indirect`). They leave the identifying zone; the day of birth does not.
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
    """As coarse as the SNDS has them."""

    birth_month: date
    """Its first day."""
    sex: Sex
    """`1` male, `2` female, as the SNDS codes it."""


def read(dataset: Dataset) -> PatientTraits | None:
    """The traits of a header; None where one is missing or cannot be read."""
    born, sex = birth_date(dataset), sex_of(dataset)
    return None if born is None or sex is None else PatientTraits(born.replace(day=1), sex)


def birth_date(dataset: Dataset) -> date | None:
    """Patient's Birth Date, None where it is no day."""
    return day(ascii_at(dataset, tags.PatientBirthDate))


def sex_of(dataset: Dataset) -> Sex | None:
    """Patient's Sex; `O` is neither."""
    return _SEX.get(ascii_at(dataset, tags.PatientSex))


def ascii_at(dataset: Dataset, tag: int) -> str:
    """Value without padding; empty when absent, and `?` in place of what is not ASCII, which no rule accepts."""
    element = values.find(dataset, tag)
    if element is None or isinstance(element.value, list):
        return ""
    return bytes(element.value).decode("ascii", "replace").replace("\ufffd", "?").strip(" \0")


def day(digits: str) -> date | None:
    """The day that eight digits name (DICOM DA), None where there is none."""
    if not re.fullmatch(r"[0-9]{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
