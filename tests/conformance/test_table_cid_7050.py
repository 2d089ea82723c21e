"""PS3.16 CID 7050: an instance names the methods that ran on it, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from an_instance import (
    CT_IMAGE,
    PSEUDONYMS,
    SEQUENCE,
    an_instance,
    codes_of,
    delivered,
    engine,
    sequence,
    text,
    value_at,
    written,
)
from test_table_e1_1 import ROWS, deciding, in_dataset, kept_element, place_of, row_id

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.standard_tables import (
    FULL_DATES,
    MODIFIED_DATES,
    RETAIN_UIDS,
    SAFE_PRIVATE,
    AttributeRow,
)
from imaging_hub.dicom.elements import Element

UNDATED = text(0x00080020, "DA", "")
"""In place of the study date that every instance has: nothing that an option could keep."""
LONGITUDINAL = 0x00280303


def every_option_but(left_out: str) -> str:
    return f"options: [{', '.join(option for option in standard_tables.OPTIONS if option != left_out)}]"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deidentifier]:
    """All options that go together, with modified dates and with full dates."""
    folder = tmp_path_factory.mktemp("profiles")
    profiles: dict[str, Path] = {
        MODIFIED_DATES: written(folder, every_option_but(FULL_DATES), name="modified"),
        FULL_DATES: written(folder, every_option_but(MODIFIED_DATES), name="full"),
    }
    return {dates: engine(profile) for dates, profile in profiles.items()}


ROWS_OF_A_DATASET = [row for row in ROWS if in_dataset(row) and row.tag != 0x00420011]


@pytest.mark.parametrize("dates", [MODIFIED_DATES, FULL_DATES], ids=["modified", "full"])
@pytest.mark.parametrize("row", ROWS_OF_A_DATASET, ids=row_id)
def test_the_codes_are_of_the_options_that_decided_on_the_row(
    engines: dict[str, Deidentifier], row: AttributeRow, dates: str
) -> None:
    element = kept_element(*place_of(row))
    source = an_instance(*{UNDATED.tag: UNDATED, element.tag: element}.values())
    codes = codes_of(delivered(engines[dates].deidentify(source, PSEUDONYMS)))
    # SOP, Study and Series Instance UID are in every instance.
    chosen = frozenset(standard_tables.OPTIONS) - {FULL_DATES if dates == MODIFIED_DATES else MODIFIED_DATES}
    assert codes == {standard_tables.BASIC, RETAIN_UIDS} | (
        set() if row.pattern == "private" else deciding(row, chosen)
    )


def test_an_option_that_found_nothing_to_do_is_not_named(engines: dict[str, Deidentifier]) -> None:
    empty = (text(0x00081030, "LO", ""), text(0x00101010, "AS", ""), text(0x00080080, "LO", ""), sequence(0x00400275))
    dataset = delivered(engines[MODIFIED_DATES].deidentify(an_instance(UNDATED, *empty), PSEUDONYMS))
    assert codes_of(dataset) == {standard_tables.BASIC, RETAIN_UIDS}
    assert value_at(dataset, LONGITUDINAL) == "REMOVED"


@pytest.mark.parametrize(
    ("element", "failed"),
    [
        (text(0x00080020, "DA", "yesterday"), MODIFIED_DATES),
        (text(0x00080030, "TM", "noon"), MODIFIED_DATES),
        (text(0x00101010, "AS", "old"), "retain-patient-characteristics"),
        (text(0x00101030, "DS", "heavy"), "retain-patient-characteristics"),
        (Element(0x00081030, "LO", b"caf\xe9"), "clean-descriptors"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.tag:08X}",
)
def test_an_option_that_could_not_keep_the_value_is_not_named(
    engines: dict[str, Deidentifier], element: Element, failed: str
) -> None:
    source = an_instance(text(0x00080005, "CS", "ISO_IR 192"), *{UNDATED.tag: UNDATED, element.tag: element}.values())
    assert failed not in codes_of(delivered(engines[MODIFIED_DATES].deidentify(source, PSEUDONYMS)))


def test_an_option_that_ran_only_inside_a_sequence_is_named(engines: dict[str, Deidentifier]) -> None:
    item = sequence(SEQUENCE, [text(0x00080022, "DA", "20230120"), text(0x00081030, "LO", "Thorax")])
    source = an_instance(UNDATED, sequence(SEQUENCE, [item]))
    codes = codes_of(delivered(engines[MODIFIED_DATES].deidentify(source, PSEUDONYMS)))
    assert codes == {standard_tables.BASIC, RETAIN_UIDS, "clean-descriptors", MODIFIED_DATES}


@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_safe_private_is_named_when_a_private_attribute_stays(engines: dict[str, Deidentifier], nested: bool) -> None:
    speed = [text(0x00190010, "LO", "GEMS_ACQU_01"), text(0x00191023, "DS", "1.5")]
    foreign = [text(0x00190010, "LO", "CHU RIS 1.0"), text(0x00191023, "DS", "1.5")]
    named = []
    for private in (speed, foreign):
        added = [sequence(SEQUENCE, private)] if nested else private
        outcome = engines[MODIFIED_DATES].deidentify(an_instance(UNDATED, *added), PSEUDONYMS)
        named.append(SAFE_PRIVATE in codes_of(delivered(outcome)))
    assert named == [True, False]


def test_private_attributes_that_a_rule_keeps_are_not_the_option_s(tmp_path: Path) -> None:
    keeps = "rules: [{private: {creator: GEMS_ACQU_01, element: 0x23}, action: K}]"
    source = an_instance(UNDATED, text(0x00190010, "LO", "GEMS_ACQU_01"), text(0x00191023, "DS", "1.5"))
    dataset = delivered(engine(written(tmp_path, keeps)).deidentify(source, PSEUDONYMS))
    assert value_at(dataset, 0x00191023) == "1.5"
    assert codes_of(dataset) == {standard_tables.BASIC}


@pytest.mark.parametrize(
    ("body", "date", "said"),
    [
        ("", "20230114", "REMOVED"),
        ("options: [retain-longitudinal-full-dates]", "20230114", "UNMODIFIED"),
        ("options: [retain-longitudinal-full-dates]", "", "REMOVED"),
        ("options: [retain-longitudinal-modified-dates]", "20230114", "MODIFIED"),
        ("options: [retain-longitudinal-modified-dates]", "", "REMOVED"),
        ("rules: [{attribute: StudyDate, action: shift}]", "20230114", "MODIFIED"),
        (
            "options: [retain-longitudinal-full-dates]\nrules: [{attribute: StudyDate, action: shift}]",
            "20230114",
            "MODIFIED",
        ),
        ("options: [retain-device-identity]", "20230114", "REMOVED"),
    ],
)
def test_longitudinal_temporal_information_says_what_happened(tmp_path: Path, body: str, date: str, said: str) -> None:
    dataset = delivered(
        engine(written(tmp_path, body)).deidentify(an_instance(text(0x00080020, "DA", date)), PSEUDONYMS)
    )
    assert value_at(dataset, LONGITUDINAL) == said


def test_every_code_has_its_meaning_and_scheme(engines: dict[str, Deidentifier]) -> None:
    source = an_instance(text(0x00081030, "LO", "Thorax"), text(0x00080016, "UI", CT_IMAGE))
    items = next(e for e in delivered(engines[MODIFIED_DATES].deidentify(source, PSEUDONYMS)) if e.tag == 0x00120064)
    for item in items.value:
        code, meaning = value_at(item, 0x00080100), value_at(item, 0x00080104)  # type: ignore[arg-type]
        assert value_at(item, 0x00080102) == "DCM"  # type: ignore[arg-type]
        assert (code, meaning) in {(method.code, method.meaning) for method in standard_tables.methods().values()}
