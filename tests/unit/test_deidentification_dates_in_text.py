"""Dates in free text go, however they are written and whatever follows; measures, levels and fractions stay."""

from __future__ import annotations

import re
from itertools import product

import pytest

from imaging_hub.deidentification.identifiers.collector import IdentifierParts
from imaging_hub.deidentification.identifiers.text_cleaning import TextCleaner

CLEANER = TextCleaner(IdentifierParts.of(()))
FORMS = {
    "14.01.2023", "14/01/2023", "14-01-2023", "14.01.23", "14/01/23", "3/2/23", "3.2.2023", "01/14/2023",
    "14 / 01 / 2023", "2023-01-14", "2023/01/14", "2023.01.14", "2023-01-14T10:15:00", "20230114", "14012023", "140123",
    "14 01 2023", "14 01 23", "2023 01 14", "17/02", "01/2023", "14 janvier 2023", "14 janv. 2023",
    "14 JANVIER 2023", "1er mars 2023", "14 janvier", "1er mars", "14 février 23", "14 fevrier 2023", "14-janv-2023",
    "14-Jan-2023", "14 Jan 23", "14JAN2023", "14Jan23", "January 14, 2023", "January 14th, 2023", "January 14",
    "Jan 14 2023",
    "14th January 2023", "14th of January 2023", "August 3rd", "3 août 2022", "3 aout 2022", "mars 2023", "Sept. 2022",
    "décembre 2021", "December 2021", "Dec-2021", "14.I.2023", "14 / I / 2023",
}  # fmt: skip
AFTER = ("", ".", ",", ";", ":", "!", "?", ")", " .", "...", "\r\n", " suite", "\u00a0", "/", "-")
BEFORE = ("", "Controle du ", "Vu le ", "(", "thorax ", "le\u00a0")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_date_goes_whatever_stands_around_it(form: str) -> None:
    numbers = set(re.findall(r"\d+", form)) | set(re.findall(r"[^\W\d_]{4,}", form))
    left = {}
    for before, after in product(BEFORE, AFTER):
        cleaned = CLEANER.clean(f"{before}{form}{after}")
        if any(number in cleaned for number in numbers):
            left[before, after] = cleaned
    assert left == {}


@pytest.mark.parametrize(
    "text",
    ["T1 1.5 mm", "thorax 2/3", "coupe 12/40", "L4/L5", "C5-C6", "5.0 x 1.25 mm", "120 kV 250 mA", "TE 2.46 TR 1800",
     "b 0 50 800", "FA 12", "1.2.3", "3D 0.5x0.5", "40 % 5 min"],
)  # fmt: skip
def test_measures_levels_and_fractions_stay(text: str) -> None:
    assert CLEANER.clean(text) == text
