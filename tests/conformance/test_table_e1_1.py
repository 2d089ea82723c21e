"""PS3.15 Table E.1-1, row by row: each action holds on a generated instance, at the top level and in a sequence."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from an_instance import (
    CT_IMAGE,
    PSEUDONYMS,
    SEQUENCE,
    an_instance,
    delivered,
    engine,
    first_item,
    sequence,
    text,
    written,
)

from imaging_hub.deidentification import standard
from imaging_hub.deidentification.attribute import vr_of
from imaging_hub.deidentification.engine import Engine
from imaging_hub.deidentification.instance import Quarantined, SourceInstance
from imaging_hub.deidentification.standard import Row
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element

CANARY = "Zebulon"
VALUES = {
    "AE": b"ZEBULONAE", "AS": b"067Y", "CS": b"ZEBULON", "DA": b"20231205", "DT": b"20231205101500", "DS": b"7.125",
    "IS": b"71", "TM": b"101112", "UI": b"1.2.250.1.999.4.7", "UR": b"https://zebulon.example/1",
    "PN": b"Zebulon^Marcel", "FL": b"\x01\x02\x03\x04", "FD": b"\x01\x02\x03\x04\x05\x06\x07\x08",
    "UL": b"\x01\x02\x03\x04", "US": b"\x01\x02", "SL": b"\x01\x02\x03\x04", "SS": b"\x01\x02",
    "AT": b"\x10\x00\x20\x00", "OF": b"\x01\x02\x03\x04", "OD": b"\x01\x02\x03\x04\x05\x06\x07\x08",
    "OL": b"\x01\x02\x03\x04", "OW": b"Zebulon!", "OB": b"Zebulon!", "UN": b"Zebulon!",
}  # fmt: skip
REPEATING = {"50XXXXXX": (0x50023000, "OW"), "60XX3000": (0x60023000, "OW"), "60XX4000": (0x60024000, "LT")}
# Replaced in every instance, so not to be replaced twice by a test.
OWN = {0x00080018: "1.2.250.1.999.1.3", 0x0020000D: "1.2.250.1.999.1.1", 0x0020000E: "1.2.250.1.999.1.2"}
ROWS = standard.rows()
OPTIONS = [option for option in standard.OPTIONS if option != "clean-graphics"]


def row_id(row: Row) -> str:
    return f"{row.pattern} {row.name}"


def place_of(row: Row) -> tuple[int, str]:
    """A tag and a VR of the row."""
    if row.pattern in REPEATING:
        return REPEATING[row.pattern]
    if row.pattern == "private":
        return 0x00331001, "LO"
    assert row.tag is not None
    vr = vr_of(row.tag)
    return row.tag, vr


def element_of(row: Row) -> Element:
    """An element of the row with a telling value."""
    tag, vr = place_of(row)
    if vr == "SQ":
        return sequence(tag, [text(0x00080104, "LO", CANARY), text(0x0040A123, "PN", "Zebulon^Marcel")])
    return Element(tag, vr, OWN[tag].encode() if tag in OWN else VALUES.get(vr, CANARY.encode()))


def expected(action: str, kind: str) -> str:
    """The action that the Type of the attribute leaves of a conditional one (PS3.15 §E.1.2)."""
    by_type = {
        "X/Z": {"1": "D", "2": "Z", "3": "X"},
        "X/D": {"1": "D", "2": "Z", "3": "X"},
        "X/Z/D": {"1": "D", "2": "Z", "3": "X"},
        "X/Z/U*": {"1": "U", "2": "Z", "3": "X"},
        "Z/D": {"1": "D", "2": "Z", "3": "Z"},
    }
    return by_type.get(action, {}).get(kind, action)


def holds(action: str, source: Element, result: Element | None) -> None:
    """Assert that an action was carried out."""
    if action == "X":
        assert result is None
        return
    assert result is not None
    assert result.vr == source.vr
    if action == "Z":
        assert result.value != source.value
    elif action == "D":
        assert len(result.value) > 0
        assert result.value != source.value
    elif action == "U":
        assert result.value != source.value
        assert re.fullmatch(rb"2\.25\.[1-9]\d{0,38}\0?", bytes(result.value))  # type: ignore[arg-type]


def canary_left(dataset: Dataset) -> bool:
    return any(
        canary_left([inner for item in element.value for inner in item])
        if isinstance(element.value, list)
        else CANARY.encode().upper() in bytes(element.value).upper()
        for element in dataset
    )


@cache
def basic() -> Engine:
    return engine("basic")


def instance_of(row: Row, *, nested: bool) -> SourceInstance:
    element = element_of(row)
    added = [element]
    if row.pattern == "private":
        added = [text(0x00330010, "LO", "CHU RIS 1.0"), element]
    return an_instance(sequence(SEQUENCE, added)) if nested else an_instance(*added)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_the_basic_profile_does_to_a_row_what_the_table_says(row: Row, nested: bool) -> None:
    tag, _ = place_of(row)
    outcome = basic().deidentify(instance_of(row, nested=nested), PSEUDONYMS)
    if tag >> 16 in (0x0000, 0x0002):
        # Commands and file meta information are not of a dataset: one that holds them is not read at all.
        assert isinstance(outcome, Quarantined)
        return
    if tag == 0x00420011 and not nested:
        assert outcome == Quarantined("encapsulated-document", "EncapsulatedDocument")
        return
    dataset = delivered(outcome)
    if nested:
        dataset = first_item(dataset, SEQUENCE)
    kind = standard.type_of(CT_IMAGE, (SEQUENCE, tag) if nested else (tag,))
    holds(expected(row.basic, kind), element_of(row), values.find(dataset, tag))
    assert not canary_left(dataset)


def test_the_media_storage_uid_is_the_new_instance_uid() -> None:
    """Row (0002,0003): file meta information is made anew."""
    outcome = basic().deidentify(an_instance(), PSEUDONYMS)
    delivered(outcome)
    whole = b"".join(outcome.part10)  # type: ignore[union-attr]
    assert whole.count(outcome.sop_instance_uid.encode()) == 2  # type: ignore[union-attr]
    assert b"1.2.250.1.999.1.3" not in whole
    assert whole[:128] == bytes(128)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    """An engine for each option alone."""
    folder = tmp_path_factory.mktemp("profiles")
    made: dict[str, Path] = {option: written(folder, f"options: [{option}]", name=option) for option in OPTIONS}
    return {option: engine(path) for option, path in made.items()}


OPTION_ROWS = [
    (option, row) for option in OPTIONS for row in ROWS if option in row.options and row.pattern not in REPEATING
]


@pytest.mark.parametrize(("option", "row"), OPTION_ROWS, ids=[f"{option} {row_id(row)}" for option, row in OPTION_ROWS])
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_an_option_does_to_a_row_what_the_table_says(
    engines: dict[str, Engine], option: str, row: Row, nested: bool
) -> None:
    tag, vr = place_of(row)
    if tag >> 16 in (0x0000, 0x0002) or row.pattern == "private":
        pytest.skip("not of a dataset, or a test of its own")
    source = kept_element(tag, vr)
    added = sequence(SEQUENCE, [source]) if nested else source
    dataset = delivered(engines[option].deidentify(an_instance(added), PSEUDONYMS))
    result = values.find(first_item(dataset, SEQUENCE) if nested else dataset, tag)
    if row.options[option] == "C" and vr == "OB":
        # Nobody can clean bytes, nor move a date in them: the Basic Profile's action stands.
        holds(row.basic, source, result)
        return
    assert result is not None
    if vr == "SQ":
        assert len(result.value) == 1
        return
    kept = bytes(result.value).rstrip(b" \0")  # type: ignore[arg-type]
    if row.options[option] == "C" and vr in ("DA", "DT"):
        assert kept[:8] == b"20230827"
        assert kept[8:] == bytes(source.value)[8:]  # type: ignore[arg-type]
    else:
        assert kept == bytes(source.value).rstrip(b" \0")  # type: ignore[arg-type]


def kept_element(tag: int, vr: str) -> Element:
    """An element whose value is clean, so that an option that cleans keeps it."""
    if vr == "SQ":
        return sequence(tag, [text(0x00080104, "LO", "Thorax")])
    if tag in OWN:
        return text(tag, vr, OWN[tag])
    clean = {"CS": b"THORAX", "PN": b"", "UR": b"", "OB": b"Zebulon!", "AE": b"CTROOM"}
    temporal = {0x00080201: b"+0100", 0x00080107: b"20231205", 0x00080106: b"20231205101500"}
    return Element(tag, vr, temporal.get(tag) or clean.get(vr) or VALUES.get(vr) or b"THORAX PORTAL 5")
