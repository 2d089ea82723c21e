"""PS3.15 Table E.3.4-1, row by row: the treatment of a content item of each concept, under each option."""

from __future__ import annotations

from pathlib import Path

import pytest
from an_instance import (
    PSEUDONYMS,
    SEQUENCE,
    an_instance,
    codes_of,
    delivered,
    engine,
    first_item,
    sequence,
    text,
    value_at,
    written,
)

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.standard_tables import ContentItemRow
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element

ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
CONTENT, ACQUISITION_CONTEXT, PREPARATION, STEPS = 0x0040A730, 0x00400555, 0x00400610, 0x00400612
MODIFIERS, PROTOCOL_CONTEXT = 0x00400441, 0x00400440
VALUE = {
    "TEXT": 0x0040A160, "PNAME": 0x0040A123, "DATE": 0x0040A121, "TIME": 0x0040A122, "DATETIME": 0x0040A120,
    "UIDREF": 0x0040A124, "CODE": 0x0040A168, "NUM": 0x0040A300, "IMAGE": 0x00081199, "COMPOSITE": 0x00081199,
    "WAVEFORM": 0x00081199, "CONTAINER": 0x0040A050,
}  # fmt: skip
UID = "1.2.250.1.999.77.1"
UNDATED = text(0x00080020, "DA", "")
ROWS = list(standard_tables.content_items().values())
ROW_OPTIONS = [(row, option) for row in ROWS for option in row.options]


def row_id(row: ContentItemRow) -> str:
    return f"{row.meaning} {row.value_type}"


def code(value: str, scheme: str, meaning: str) -> Dataset:
    return [text(0x00080100, "SH", value), text(0x00080102, "SH", scheme), text(0x00080104, "LO", meaning)]


def value_of(value_type: str) -> Element:
    """A telling value: of text, clinical words and one that nobody knows."""
    tag = VALUE[value_type]
    references = sequence(tag, [text(0x00081150, "UI", "1.2.840.10008.5.1.4.1.1.2"), text(0x00081155, "UI", UID)])
    number = sequence(tag, [sequence(0x004008EA, code("a", "UCUM", "year")), text(0x0040A30A, "DS", "67")])
    return {
        "TEXT": text(tag, "UT", "Nodule Zebulon 8 mm"),
        "PNAME": text(tag, "PN", "ZEBULON^MARCEL"),
        "DATE": text(tag, "DA", "20231205"),
        "TIME": text(tag, "TM", "101112"),
        "DATETIME": text(tag, "DT", "20231205101112.5+0100"),
        "UIDREF": text(tag, "UI", UID),
        "CODE": sequence(tag, code("M", "DCM", "Male")),
        "NUM": number,
        "CONTAINER": text(tag, "CS", "SEPARATE"),
    }.get(value_type, references)


def item_of(row: ContentItemRow, *children: Dataset, value_type: str = "") -> Dataset:
    """A content item of the row's concept."""
    kind = value_type or row.value_type
    scheme = "DCM" if row.scheme == "" else row.scheme
    elements = [
        text(0x0040A010, "CS", "CONTAINS"),
        text(0x0040A040, "CS", kind),
        sequence(0x0040A043, code(row.code, scheme, row.meaning)),
        value_of(kind),
    ]
    if children:
        elements.append(sequence(CONTENT, *children))
    return sorted(elements, key=lambda element: element.tag)


def container(*children: Dataset) -> Dataset:
    """A heading that the table does not name."""
    return [
        text(0x0040A010, "CS", "CONTAINS"),
        text(0x0040A040, "CS", "CONTAINER"),
        sequence(0x0040A043, code("121070", "DCM", "Findings")),
        sequence(CONTENT, *children),
    ]


def finding() -> Dataset:
    """An item below, with nothing to hide."""
    return [
        text(0x0040A040, "CS", "CODE"),
        sequence(0x0040A043, code("121071", "DCM", "Finding")),
        sequence(VALUE["CODE"], code("27925004", "SCT", "Nodule")),
    ]


def report(by: Deidentifier, *items: Dataset) -> Dataset:
    source = an_instance(UNDATED, sequence(CONTENT, *items), sop_class=ENHANCED_SR, modality="SR")
    return delivered(by.deidentify(source, PSEUDONYMS))


def cleaned(by: Deidentifier, item: Dataset, *, nested: bool) -> tuple[Dataset | None, Dataset]:
    """The output of an item, None if it is gone; and the whole report."""
    dataset = report(by, *([container(finding(), container(item))] if nested else [finding(), item]))
    items = values.items(dataset, CONTENT)
    if nested:
        items = values.items(items[0], CONTENT)
        items = [items[0], *values.items(items[1], CONTENT)]
    return (items[1] if len(items) == 2 else None), dataset


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deidentifier]:
    """Clean Structured Content alone, and with each other option."""
    folder = tmp_path_factory.mktemp("profiles")
    chosen: dict[str, Path] = {
        option: written(folder, f"options: [clean-structured-content, {option}]", name=option)
        for option in standard_tables.OPTIONS
        if option != "clean-structured-content"
    }
    chosen["basic"] = written(folder, "options: [clean-structured-content]", name="alone")
    return {option: engine(path) for option, path in chosen.items()}


def instance_of(item: Dataset) -> str | None:
    return value_at(values.items(item, 0x00081199)[0], 0x00081155)


def is_replaced(value_type: str, item: Dataset) -> bool:
    """Whether the value of an item is one that means nothing."""
    if value_type in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        return (instance_of(item) or "").startswith("2.25.")
    if value_type == "CODE":
        return value_at(first_item(item, VALUE["CODE"]), 0x00080102) == "99REMOVED"
    if value_type == "NUM":
        return values.items(item, VALUE["NUM"]) == []
    if value_type == "CONTAINER":
        return True
    dummies = {"DATE": "19000101", "TIME": "000000", "DATETIME": "19000101000000"}
    value = value_at(item, VALUE[value_type]) or ""
    return value.startswith("2.25.") if value_type == "UIDREF" else value == dummies.get(value_type, "REMOVED")


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_an_item_is_removed_or_replaced_as_the_table_says(
    engines: dict[str, Deidentifier], row: ContentItemRow, nested: bool
) -> None:
    item, dataset = cleaned(engines["basic"], item_of(row, finding()), nested=nested)
    assert codes_of(dataset) == {"basic", "clean-structured-content"}
    if row.basic == "X":
        assert item is None
        return
    assert item is not None
    assert is_replaced(row.value_type, item)
    assert value_at(first_item(item, 0x0040A043), 0x00080104) == row.meaning
    assert value_at(first_item(first_item(item, CONTENT), VALUE["CODE"]), 0x00080104) == "Nodule"


@pytest.mark.parametrize(
    ("row", "option"), ROW_OPTIONS, ids=lambda part: part if isinstance(part, str) else row_id(part)
)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_an_option_keeps_or_cleans_an_item_as_the_table_says(
    engines: dict[str, Deidentifier], row: ContentItemRow, option: str, nested: bool
) -> None:
    item, dataset = cleaned(engines[option], item_of(row, finding()), nested=nested)
    assert item is not None
    kept, source = values.find(item, VALUE[row.value_type]), value_of(row.value_type)
    assert kept is not None
    if row.value_type in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        assert instance_of(item) == UID
    elif row.value_type == "NUM":
        assert value_at(first_item(item, VALUE["NUM"]), 0x0040A30A) == "67"
    elif row.value_type == "CODE":
        assert value_at(first_item(item, VALUE["CODE"]), 0x00080104) == "Male"
    elif row.options[option] == "K" or row.value_type == "TIME":
        assert bytes(kept.value).rstrip(b" \0") == source.value  # type: ignore[arg-type]
    elif row.value_type == "TEXT":
        assert kept.value == b"Nodule 8 mm "
    else:
        assert bytes(kept.value).rstrip() == b"20230827" + bytes(source.value)[8:]  # type: ignore[arg-type]
    if row.value_type != "CONTAINER":
        assert option in codes_of(dataset)


@pytest.mark.parametrize("row", [row for row in ROWS if row.basic == "X"], ids=row_id)
def test_an_item_that_others_refer_to_by_its_place_stays_there_without_its_value(
    engines: dict[str, Deidentifier], row: ContentItemRow
) -> None:
    reference = [text(0x0040A010, "CS", "INFERRED FROM"), Element(0x0040DB73, "UL", b"\1\0\0\0\2\0\0\0")]
    below = [
        text(0x0040A040, "CS", "TEXT"),
        sequence(0x0040A043, code("X", "99LOCAL", "Whatever")),
        text(VALUE["TEXT"], "UT", "Nodule"),
    ]
    dataset = report(engines[standard_tables.MODIFIED_DATES], finding(), item_of(row, below), reference, finding())
    items = values.items(dataset, CONTENT)
    assert len(items) == 4
    if standard_tables.MODIFIED_DATES in row.options:
        return
    assert is_replaced(row.value_type, items[1])
    assert value_at(first_item(items[1], CONTENT), VALUE["TEXT"]) == "REMOVED"
    for other in (items[0], items[3]):
        assert value_at(first_item(other, VALUE["CODE"]), 0x00080104) == "Nodule"


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in ROWS
        if row.value_type == "PNAME" and (row.code, row.scheme, "TEXT") not in standard_tables.content_items()
    ],
    ids=row_id,
)
def test_a_row_is_of_its_value_type_and_others_of_the_concept_are_cleaned(
    engines: dict[str, Deidentifier], row: ContentItemRow
) -> None:
    item, _ = cleaned(engines["basic"], item_of(row, value_type="TEXT"), nested=False)
    assert item is not None
    assert value_at(item, VALUE["TEXT"]) == "Nodule 8 mm"


@pytest.mark.parametrize("outer", [ACQUISITION_CONTEXT, PREPARATION, MODIFIERS, PROTOCOL_CONTEXT])
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_content_items_outside_of_reports_are_treated_alike(
    engines: dict[str, Deidentifier], outer: int, nested: bool
) -> None:
    row = standard_tables.content_items()["121022", "DCM", "TEXT"]
    items = [item_of(row), finding()]
    holder = sequence(outer, [sequence(STEPS, *items)]) if outer == PREPARATION else sequence(outer, *items)
    source = an_instance(sequence(SEQUENCE, [holder]) if nested else holder)
    dataset = delivered(engines["basic"].deidentify(source, PSEUDONYMS))
    if nested:
        dataset = first_item(dataset, SEQUENCE)
    left = values.items(dataset, outer)
    left = values.items(left[0], STEPS) if outer == PREPARATION else left
    assert [value_at(first_item(item, VALUE["CODE"]), 0x00080104) for item in left] == ["Nodule"]


def test_references_in_one_sequence_do_not_keep_items_of_another(engines: dict[str, Deidentifier]) -> None:
    row = standard_tables.content_items()["121022", "DCM", "TEXT"]
    reference = [Element(0x0040DB73, "UL", b"\1\0\0\0")]
    source = an_instance(
        sequence(ACQUISITION_CONTEXT, item_of(row), finding()),
        sequence(CONTENT, item_of(row), reference),
        sequence(SEQUENCE, [sequence(ACQUISITION_CONTEXT, item_of(row))]),
        sop_class=ENHANCED_SR,
        modality="SR",
    )
    dataset = delivered(engines["basic"].deidentify(source, PSEUDONYMS))
    assert len(values.items(dataset, ACQUISITION_CONTEXT)) == 1
    assert len(values.items(dataset, CONTENT)) == 2
    emptied = values.find(first_item(dataset, SEQUENCE), ACQUISITION_CONTEXT)
    assert emptied is not None, "Type 2: empty, not absent"
    assert emptied.value == []


def test_a_sequence_below_of_which_nothing_is_left_is_left_out(engines: dict[str, Deidentifier]) -> None:
    row = standard_tables.content_items()["121022", "DCM", "TEXT"]
    heading = first_item(report(engines["basic"], container(item_of(row))), CONTENT)
    assert values.find(heading, CONTENT) is None


@pytest.mark.parametrize(
    ("number", "unit", "left", "exact"),
    [
        ("67", "a", ("67", "a"), True),
        ("89.5", "a", ("89.5", "a"), True),
        ("90", "a", ("90", "a"), False),
        ("94", "a", ("90", "a"), False),
        ("1200", "mo", ("90", "a"), False),
        ("1000", "mo", ("1000", "mo"), True),
        ("94", "1", None, False),
        ("", "a", None, False),
    ],
)
def test_a_subject_age_above_the_cap_is_written_as_the_cap(
    tmp_path: Path, number: str, unit: str, left: tuple[str, str] | None, exact: bool
) -> None:
    options = "options: [clean-structured-content, retain-patient-characteristics]\nage_cap_years: 89"
    item = item_of(standard_tables.content_items()["121033", "DCM", "NUM"])
    measured = [
        sequence(0x004008EA, code(unit, "UCUM", "unit")),
        Element(0x0040A161, "FD", b"\0\0\0\0\0\x80W@"),
        text(0x0040A30A, "DS", number),
    ]
    item = [sequence(VALUE["NUM"], sorted(measured, key=lambda e: e.tag)) if e.tag == VALUE["NUM"] else e for e in item]
    kept = first_item(report(engine(written(tmp_path, options)), item), CONTENT)
    found = values.items(kept, VALUE["NUM"])
    if left is None:
        assert found == []
        return
    assert (value_at(found[0], 0x0040A30A), value_at(first_item(found[0], 0x004008EA), 0x00080100)) == left
    assert (values.find(found[0], 0x0040A161) is not None) == exact


def test_text_of_a_waveform_annotation_is_cleaned(engines: dict[str, Deidentifier]) -> None:
    annotation = [sequence(0x0040A043, code("X", "99LOCAL", "Whatever")), text(0x00700006, "ST", "Nodule Zebulon")]
    source = an_instance(sequence(0x0040B020, annotation))
    item = first_item(delivered(engines["basic"].deidentify(source, PSEUDONYMS)), 0x0040B020)
    assert value_at(item, 0x00700006) == "Nodule"
