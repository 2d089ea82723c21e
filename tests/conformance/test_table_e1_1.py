"""PS3.15 Table E.1-1, row by row: the Basic Profile and each option hold on generated instances, at the top level and
in a sequence; and so does any combination of options, where cleaning goes before keeping."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest
from an_instance import (
    CT_IMAGE,
    PSEUDONYMS,
    SEQUENCE,
    an_instance,
    codes_of,
    delivered,
    first_item,
    sequence,
    text,
    value_at,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import TEXT_VRS, vr_of
from imaging_hub.deidentification.engine import public_dates
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import compile as compile_plan
from imaging_hub.deidentification.profile.profile import load
from imaging_hub.deidentification.source_and_outcome import Quarantined, SourceInstance
from imaging_hub.deidentification.standard_tables import FULL_DATES, MODIFIED_DATES, RETAIN_UIDS, AttributeRow
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
ROWS = standard_tables.rows()
OPTIONS = standard_tables.OPTIONS


def row_id(row: AttributeRow) -> str:
    return f"{row.pattern} {row.name}"


def place_of(row: AttributeRow) -> tuple[int, str]:
    """A tag and a VR of the row."""
    if row.pattern in REPEATING:
        return REPEATING[row.pattern]
    if row.pattern == "private":
        return 0x00331001, "LO"
    assert row.tag is not None
    vr = vr_of(row.tag)
    return row.tag, vr


def element_of(row: AttributeRow) -> Element:
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


def instance_of(row: AttributeRow, *, nested: bool) -> SourceInstance:
    element = element_of(row)
    added = [element]
    if row.pattern == "private":
        added = [text(0x00330010, "LO", "CHU RIS 1.0"), element]
    return an_instance(sequence(SEQUENCE, added)) if nested else an_instance(*added)


@cache
def engine_of(options: frozenset[str]) -> Deidentifier:
    """The Basic Profile with these options, made once."""
    return Deidentifier(compile_plan(replace(load("basic"), options=options)))


def in_dataset(row: AttributeRow) -> bool:
    """Commands and file meta information are not of a dataset: one that holds them is not read at all."""
    return place_of(row)[0] >> 16 not in (0x0000, 0x0002)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_a_row_is_treated_as_the_table_says_without_option_and_with_every_other_option_s(
    row: AttributeRow, nested: bool
) -> None:
    """The options that the row does not name change nothing."""
    tag, _ = place_of(row)
    source = instance_of(row, nested=nested)
    kind = standard_tables.type_of(CT_IMAGE, (SEQUENCE, tag) if nested else (tag,))
    for option in ("", *(option for option in OPTIONS if option not in row.options)):
        outcome = engine_of(frozenset((option,)) if option else frozenset()).deidentify(source, PSEUDONYMS)
        if not in_dataset(row):
            assert isinstance(outcome, Quarantined)
        elif tag == 0x00420011 and not nested:
            assert outcome == Quarantined("encapsulated-document", "EncapsulatedDocument", "documents")
        else:
            dataset = delivered(outcome)
            items = first_item(dataset, SEQUENCE) if nested else dataset
            holds(expected(row.basic, kind), element_of(row), values.find(items, tag))
            assert not canary_left(dataset), option


@pytest.mark.parametrize("retained", [False, True], ids=["remapped", "retained"])
def test_the_media_storage_uid_is_that_of_the_instance(retained: bool) -> None:
    """Row (0002,0003): file meta information is made anew."""
    outcome = engine_of(frozenset((RETAIN_UIDS,) if retained else ())).deidentify(an_instance(), PSEUDONYMS)
    delivered(outcome)
    whole = b"".join(outcome.part10)  # type: ignore[union-attr]
    assert whole.count(outcome.sop_instance_uid.encode()) == 2  # type: ignore[union-attr]
    assert whole.count(b"1.2.250.1.999.1.3") == (2 if retained else 0)
    assert whole[:128] == bytes(128)


OPTION_ROWS = [
    (option, row)
    for option in OPTIONS
    for row in ROWS
    if option in row.options and row.pattern != "private" and in_dataset(row)
]
OPTION_IDS = [f"{option} {row_id(row)}" for option, row in OPTION_ROWS]


def treated(row: AttributeRow, options: frozenset[str], nested: bool, result: Element | None) -> None:
    """Assert that a clean element of the row came out as these options say; cleaning goes before keeping."""
    tag, vr = place_of(row)
    source = kept_element(tag, vr)
    actions = set(chosen(row, options).values())
    cannot_be_cleaned = vr == "OB" or row.pattern in REPEATING
    if not actions or ("C" in actions and cannot_be_cleaned):
        # Nobody can clean bytes, nor move a date in them, nor one that others know: the Basic Profile's action stands.
        kind = standard_tables.type_of(CT_IMAGE, (SEQUENCE, tag) if nested else (tag,))
        holds(expected(row.basic, kind), source, result)
        return
    assert result is not None
    if vr == "SQ":
        assert [value_at(item, 0x00080104) for item in result.value] == ["Thorax"]  # type: ignore[arg-type]
        return
    kept = bytes(result.value).rstrip(b" \0")  # type: ignore[arg-type]
    if "C" in actions and vr in ("DA", "DT"):
        assert kept == b"20230827" + bytes(source.value)[8:]  # type: ignore[arg-type]
    else:
        assert kept == bytes(source.value).rstrip(b" \0")  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "row"), OPTION_ROWS, ids=OPTION_IDS)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_an_option_does_to_a_row_what_the_table_says(option: str, row: AttributeRow, nested: bool) -> None:
    tag, vr = place_of(row)
    source = kept_element(tag, vr)
    added = sequence(SEQUENCE, [source]) if nested else source
    options = frozenset((option,))
    dataset = delivered(engine_of(options).deidentify(an_instance(added), PSEUDONYMS))
    treated(row, options, nested, values.find(first_item(dataset, SEQUENCE) if nested else dataset, tag))


CLEANED_TEXT = [
    (option, row)
    for option, row in OPTION_ROWS
    if row.options[option] == "C" and place_of(row)[1] in TEXT_VRS - {"CS"} and row.pattern not in REPEATING
    and not option.startswith("retain-longitudinal")
]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "row"), CLEANED_TEXT, ids=[f"{option} {row_id(row)}" for option, row in CLEANED_TEXT]
)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_what_an_option_cleans_loses_the_words_that_could_name_somebody(
    option: str, row: AttributeRow, nested: bool
) -> None:
    tag, vr = place_of(row)
    source = text(tag, vr, "Thorax Zebulon")
    added = sequence(SEQUENCE, [source]) if nested else source
    dataset = delivered(engine_of(frozenset((option,))).deidentify(an_instance(added), PSEUDONYMS))
    assert value_at(first_item(dataset, SEQUENCE) if nested else dataset, tag) == "Thorax"


@st.composite
def combinations(draw: st.DrawFn) -> frozenset[str]:
    """Options in any combination but full dates with modified dates, which contradict each other."""
    chosen = draw(st.sets(st.sampled_from(OPTIONS)))
    if {FULL_DATES, MODIFIED_DATES} <= chosen:
        chosen.remove(draw(st.sampled_from([FULL_DATES, MODIFIED_DATES])))
    return frozenset(chosen)


MIXED_ROWS = [
    row for row in ROWS
    if in_dataset(row) and row.pattern not in (*REPEATING, "private") and row.tag not in (*OWN, 0x00420011, 0x00081115)
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    combinations(),
    st.lists(st.sampled_from(MIXED_ROWS), min_size=1, max_size=40, unique_by=lambda row: row.tag),
    st.booleans(),
)
def test_options_hold_together_in_any_combination(
    options: frozenset[str], rows: list[AttributeRow], nested: bool
) -> None:
    """On instances that hold many rows at once; and the codes of CID 7050 are of the options that decided on one."""
    sources = sorted((kept_element(*place_of(row)) for row in rows), key=lambda element: element.tag)
    undated = () if nested is False and 0x00080020 in {row.tag for row in rows} else (text(0x00080020, "DA", ""),)
    source = an_instance(*undated, sequence(SEQUENCE, sources)) if nested else an_instance(*undated, *sources)
    dataset = delivered(engine_of(options).deidentify(source, PSEUDONYMS))
    items = first_item(dataset, SEQUENCE) if nested else dataset
    for row in rows:
        treated(row, options, nested, values.find(items, place_of(row)[0]))
    decided = {option for row in rows for option in deciding(row, options)}
    assert codes_of(dataset) == {standard_tables.BASIC} | decided | (options & {RETAIN_UIDS})


def deciding(row: AttributeRow, options: frozenset[str]) -> set[str]:
    """The options chosen that decide on a row: those that clean it, or else those that keep it."""
    by_option = chosen(row, options)
    cleaning = {option for option, action in by_option.items() if action == "C"}
    if place_of(row)[1] == "OB" or row.pattern in REPEATING:
        # Bytes, overlays and curves cannot be cleaned, so no option did.
        cleaning = set()
    return cleaning or {option for option, action in by_option.items() if action == "K"}


def chosen(row: AttributeRow, options: frozenset[str]) -> dict[str, str]:
    """Action of each option that the row names; none for a date that would tell by how much all are moved."""
    if MODIFIED_DATES in options and row.tag in public_dates.tags():
        return {}
    return {option: action for option, action in row.options.items() if option in options}


def kept_element(tag: int, vr: str) -> Element:
    """An element whose value is clean, so that an option that cleans keeps it."""
    if vr == "SQ":
        return sequence(tag, [text(0x00080104, "LO", "Thorax")])
    if tag in OWN:
        return text(tag, vr, OWN[tag])
    if vr == "UI":
        return text(tag, vr, f"1.2.250.1.999.4.{tag}")
    clean = {"CS": b"THORAX", "UR": b"thorax/portal", "OB": b"\1\2\3\4", "OW": b"\1\2\3\4", "AE": b"CTROOM"}
    temporal = {0x00080201: b"+0100", 0x00080107: b"20231205", 0x00080106: b"20231205101500"}
    return Element(tag, vr, temporal.get(tag) or clean.get(vr) or VALUES.get(vr) or b"THORAX PORTAL 5")
