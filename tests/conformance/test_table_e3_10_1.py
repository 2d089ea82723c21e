"""PS3.15 Table E.3.10-1, row by row: safe private attributes stay, and only they, and only without identifiers."""

from __future__ import annotations

from functools import cache

import pytest
from an_instance import (
    PSEUDONYMS,
    SEQUENCE,
    an_instance,
    delivered,
    engine,
    first_item,
    sequence,
    text,
    value_at,
)

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.standard_tables import SafePrivateRow
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element

VALUES = {
    "CS": b"STANDARD", "LO": b"STANDARD", "SH": b"STANDARD", "ST": b"STANDARD", "LT": b"STANDARD", "DS": b"1.5",
    "IS": b"3", "UI": b"1.2.840.10008.1.1", "AT": b"\x10\x00\x20\x00", "US": b"\x01\x02", "SS": b"\x01\x02",
    "FL": b"\x01\x02\x03\x04", "UL": b"\x01\x02\x03\x04", "SL": b"\x01\x02\x03\x04",
    "FD": b"\x01\x02\x03\x04\x05\x06\x07\x08", "OB": b"\x01\x02", "OW": b"\x01\x02",
}  # fmt: skip
ROWS = list(standard_tables.safe_private().values())
PLACES = pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
TEXT_ROWS = [row for row in ROWS if row.vr in ("CS", "LO", "SH", "ST", "LT")]


def row_id(row: SafePrivateRow) -> str:
    return f"{row.group:04X}-{row.creator}-{row.element:02X}"


@cache
def research() -> Deidentifier:
    return engine("research-longitudinal")


def element_of(row: SafePrivateRow, value: bytes | None = None) -> Element:
    """The row's element in the block that its creator reserves with 10."""
    tag = row.group << 16 | 0x1000 | row.element
    if row.vr == "SQ":
        return sequence(tag, [text(0x00080104, "LO", "Thorax")])
    return Element(tag, row.vr or "DS", value or VALUES[row.vr or "DS"])


def outcome_of(row: SafePrivateRow, creator: str, value: bytes | None = None, *, nested: bool = False) -> Dataset:
    """The dataset or item that held the row's element in a block of `creator`, de-identified."""
    block = [text(row.group << 16 | 0x10, "LO", creator), element_of(row, value)]
    source = an_instance(sequence(SEQUENCE, block)) if nested else an_instance(*block)
    dataset = delivered(research().deidentify(source, PSEUDONYMS))
    return first_item(dataset, SEQUENCE) if nested else dataset


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@PLACES
def test_a_safe_private_attribute_stays_with_its_creator(row: SafePrivateRow, nested: bool) -> None:
    dataset = outcome_of(row, row.creator, nested=nested)
    source = element_of(row)
    kept = values.find(dataset, source.tag)
    creator = values.find(dataset, row.group << 16 | 0x10)
    assert kept is not None
    assert creator is not None
    assert values.text(creator) == row.creator
    if row.vr == "SQ":
        assert [value_at(item, 0x00080104) for item in kept.value] == ["Thorax"]  # type: ignore[arg-type]
    else:
        assert bytes(kept.value).rstrip(b" \0") == bytes(source.value).rstrip(b" \0")  # type: ignore[arg-type]


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@PLACES
def test_the_same_attribute_of_another_creator_goes(row: SafePrivateRow, nested: bool) -> None:
    dataset = outcome_of(row, "GAELDOURT RIS", nested=nested)
    assert not [element for element in dataset if element.tag & 0x10000]


@pytest.mark.parametrize("row", TEXT_ROWS, ids=row_id)
@PLACES
def test_a_safe_private_attribute_goes_when_it_names_the_patient(row: SafePrivateRow, nested: bool) -> None:
    dataset = outcome_of(row, row.creator, b"GAELDOURT", nested=nested)
    assert values.find(dataset, element_of(row).tag) is None


@pytest.mark.parametrize("row", [row for row in ROWS if row.vr in ("DS", "IS", "")], ids=row_id)
@PLACES
def test_a_safe_private_number_goes_when_it_is_none(row: SafePrivateRow, nested: bool) -> None:
    dataset = outcome_of(row, row.creator, b"Legrand", nested=nested)
    assert values.find(dataset, element_of(row).tag) is None


@pytest.mark.parametrize("row", [row for row in ROWS if row.vr == "UI"], ids=row_id)
@PLACES
def test_a_safe_private_uid_is_remapped_with_the_others(row: SafePrivateRow, nested: bool) -> None:
    dataset = outcome_of(row, row.creator, b"1.2.250.1.999.1.2", nested=nested)
    series = value_at(delivered(research().deidentify(an_instance(), PSEUDONYMS)), 0x0020000E)
    assert value_at(dataset, element_of(row).tag) == series


@pytest.mark.parametrize("row", [row for row in ROWS if row.vr == "SQ"], ids=row_id)
def test_what_stands_in_a_safe_private_sequence_is_treated_like_anything(row: SafePrivateRow) -> None:
    items = [text(0x00080104, "LO", "Thorax GAELDOURT"), text(0x00100020, "LO", "80123456")]
    block = [text(row.group << 16 | 0x10, "LO", row.creator), sequence(element_of(row).tag, items)]
    item = first_item(delivered(research().deidentify(an_instance(*block), PSEUDONYMS)), element_of(row).tag)
    assert (value_at(item, 0x00080104), value_at(item, 0x00100020)) == ("Thorax", PSEUDONYMS.patient)


def test_no_safe_private_attribute_is_a_date() -> None:
    """One that a later edition brings is moved by its VR; one in text would need a rule of its own here."""
    assert {row.vr for row in ROWS} & {"DA", "DT", "TM"} == set()
    assert not [row for row in TEXT_ROWS if "date" in row.meaning.lower()]


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
