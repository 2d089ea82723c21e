"""PS3.15 Table E.3.10-1, row by row: safe private attributes stay, and only they, and only without identifiers."""

from __future__ import annotations

from functools import cache

import pytest
from an_instance import PSEUDONYMS, an_instance, delivered, engine, sequence, text

from imaging_hub.deidentification import standard
from imaging_hub.deidentification.engine import Engine
from imaging_hub.deidentification.standard import SafePrivate
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element

VALUES = {
    "CS": b"STANDARD", "LO": b"STANDARD", "SH": b"STANDARD", "ST": b"STANDARD", "LT": b"STANDARD", "DS": b"1.5",
    "IS": b"3", "UI": b"1.2.840.10008.1.1", "AT": b"\x10\x00\x20\x00", "US": b"\x01\x02", "SS": b"\x01\x02",
    "FL": b"\x01\x02\x03\x04", "UL": b"\x01\x02\x03\x04", "SL": b"\x01\x02\x03\x04",
    "FD": b"\x01\x02\x03\x04\x05\x06\x07\x08", "OB": b"\x01\x02", "OW": b"\x01\x02",
}  # fmt: skip
ROWS = list(standard.safe_private().values())
TEXT_ROWS = [row for row in ROWS if row.vr in ("CS", "LO", "SH", "ST", "LT")]


def row_id(row: SafePrivate) -> str:
    return f"{row.group:04X}-{row.creator}-{row.element:02X}"


@cache
def research() -> Engine:
    return engine("research-longitudinal")


def element_of(row: SafePrivate, value: bytes | None = None) -> Element:
    """The row's element in the block that its creator reserves with 10."""
    tag = row.group << 16 | 0x1000 | row.element
    if row.vr == "SQ":
        return sequence(tag, [text(0x00080104, "LO", "Thorax")])
    return Element(tag, row.vr or "DS", value or VALUES[row.vr or "DS"])


def outcome_of(row: SafePrivate, creator: str, value: bytes | None = None) -> Dataset:
    source = an_instance(text(row.group << 16 | 0x10, "LO", creator), element_of(row, value))
    return delivered(research().deidentify(source, PSEUDONYMS))


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_a_safe_private_attribute_stays_with_its_creator(row: SafePrivate) -> None:
    dataset = outcome_of(row, row.creator)
    source = element_of(row)
    kept = values.find(dataset, source.tag)
    creator = values.find(dataset, row.group << 16 | 0x10)
    assert kept is not None
    assert creator is not None
    assert values.text(creator) == row.creator
    if row.vr != "SQ":
        assert bytes(kept.value).rstrip(b" \0") == bytes(source.value).rstrip(b" \0")  # type: ignore[arg-type]


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_the_same_attribute_of_another_creator_goes(row: SafePrivate) -> None:
    dataset = outcome_of(row, "GAELDOURT RIS")
    assert not [element for element in dataset if element.tag & 0x10000]


@pytest.mark.parametrize("row", TEXT_ROWS, ids=row_id)
def test_a_safe_private_attribute_goes_when_it_names_the_patient(row: SafePrivate) -> None:
    dataset = outcome_of(row, row.creator, b"GAELDOURT")
    assert values.find(dataset, element_of(row).tag) is None


def test_a_creator_that_lies_about_the_value_representation_is_not_believed() -> None:
    number = next(row for row in ROWS if row.vr == "FL")
    tag = number.group << 16 | 0x1000 | number.element
    source = an_instance(
        text(number.group << 16 | 0x10, "LO", number.creator), text(tag, "LT", "A letter about Legrand")
    )
    dataset = delivered(research().deidentify(source, PSEUDONYMS))
    assert not [element for element in dataset if element.tag & 0x10000]


def test_the_basic_profile_keeps_no_private_attribute() -> None:
    row = ROWS[0]
    source = an_instance(text(row.group << 16 | 0x10, "LO", row.creator), element_of(row))
    dataset = delivered(engine("basic").deidentify(source, PSEUDONYMS))
    assert not [element for element in dataset if element.tag & 0x10000]
