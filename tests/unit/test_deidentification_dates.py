"""Longitudinal temporal information (PS3.15 §E.3.6): one offset per patient, intervals exact, nothing unmoved."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import pytest
from an_instance import (
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
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Pseudonyms
from imaging_hub.dicom.elements import Dataset, Element

RESEARCH = "research-longitudinal"
STUDY_DATE, STUDY_TIME, SERIES_DATE, BIRTH_DATE, AGE = 0x00080020, 0x00080030, 0x00080021, 0x00100030, 0x00101010
ACQUISITION = 0x0008002A
UNNAMED = 0x0018A002
"""Contribution DateTime, and as much a date as any other."""
BY_RULE = "rules: [{attribute: PatientBirthDate, action: shift}]"


@cache
def research() -> Deidentifier:
    return engine(RESEARCH)


def shifted(*elements: Element, days: int = -100, by: Deidentifier | None = None) -> Dataset:
    """An instance with these elements, its dates moved by `days`."""
    keys = Pseudonyms("S-TEST-0000-0000-0001", bytes(range(32)), days)
    return delivered((by or research()).deidentify(an_instance(*elements), keys))


def read(value: str) -> datetime:
    """A DT value, by another way than the engine's."""
    body, zone = value, ""
    for sign in "+-":
        if sign in value:
            body, zone = value.split(sign)[0], sign + value.split(sign)[1]
    whole, _, fraction = body.partition(".")
    formats = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    moment = datetime.strptime(whole, formats[len(whole)])
    moment += timedelta(microseconds=int(fraction.ljust(6, "0"))) if fraction else timedelta()
    if zone:
        minutes = int(zone[1:3]) * 60 + int(zone[3:])
        return moment.replace(tzinfo=timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes)))
    return moment.replace(tzinfo=UTC)


DAYS = st.dates(date(1895, 1, 1), date(2099, 12, 31))
OFFSETS = st.integers(-3650, 3650).filter(bool)
EDGES = st.sampled_from([date(2024, 2, 29), date(2000, 2, 29), date(1999, 12, 31), date(2023, 1, 1), date(1900, 3, 1)])


@st.composite
def date_times(draw: st.DrawFn) -> str:
    """DT of every precision that names a day, with and without fraction and offset from UTC."""
    moment = datetime.combine(draw(DAYS | EDGES), draw(st.times()))
    written = moment.strftime("%Y%m%d%H%M%S").rjust(14, "0")[: draw(st.sampled_from([8, 10, 12, 14]))]
    if len(written) == 14 and draw(st.booleans()):
        written += f".{moment.microsecond:06}"[: draw(st.integers(2, 7))]
    return written + draw(st.sampled_from(["", "+0000", "-0800", "+0530", "+1400", "-1200"]))


@settings(max_examples=300, deadline=None)
@given(st.lists(date_times(), min_size=2, max_size=2), OFFSETS)
def test_an_interval_between_two_moments_is_the_same_after_at_whatever_depth(moments: list[str], days: int) -> None:
    first, second = moments
    dataset = shifted(text(ACQUISITION, "DT", first), sequence(SEQUENCE, [text(UNNAMED, "DT", second)]), days=days)
    after = [value_at(dataset, ACQUISITION) or "", value_at(first_item(dataset, SEQUENCE), UNNAMED) or ""]
    assert read(after[1]) - read(after[0]) == read(second) - read(first)
    assert [read(new) - read(old) for new, old in zip(after, moments, strict=True)] == [timedelta(days=days)] * 2
    assert [new[8:] for new in after] == [old[8:] for old in moments]


@settings(max_examples=200, deadline=None)
@given(DAYS | EDGES, DAYS | EDGES, OFFSETS)
def test_an_interval_between_two_days_is_the_same_after(study: date, series: date, days: int) -> None:
    dataset = shifted(
        text(STUDY_DATE, "DA", f"{study:%Y%m%d}"), text(SERIES_DATE, "DA", f"{series:%Y.%m.%d}"), days=days
    )
    moved = read(value_at(dataset, STUDY_DATE) or ""), read((value_at(dataset, SERIES_DATE) or "").replace(".", ""))
    assert moved[1] - moved[0] == series - study
    assert moved[0].date() == study + timedelta(days=days)


@pytest.mark.parametrize(
    ("partial", "days", "moved"),
    [
        ("2023", -100, "2023"),
        ("2023", -200, "2022"),
        ("202312", -100, "202309"),
        ("202301", -20, "202212"),
        ("2023+0100", -200, "2022+0100"),
        ("202402-0500", 366, "202502-0500"),
    ],
)
def test_a_partial_date_moves_as_its_middle_would_and_keeps_its_precision(partial: str, days: int, moved: str) -> None:
    keys = Pseudonyms("S-TEST-0000-0000-0001", bytes(range(32)), days)
    outcome = research().deidentify(an_instance(text(ACQUISITION, "DT", partial)), keys)
    assert value_at(delivered(outcome), ACQUISITION) == moved
    assert isinstance(outcome, DeidentifiedInstance)
    rules = [change.rule for change in outcome.changes if change.path == "AcquisitionDateTime"]
    assert rules == ["E.1-1 Retain Longitudinal Modified Dates: partial date"]


NO_DATES = [
    "yesterday", "20230230", "20231301", "00000101", "99991231", "2023-01-14", "14.01.2023", "202301141", "20230114T10",
    "20230114246000", "20230114101161.5", "20230114101112.1234567", "20230114+1500", "20230114101112+2360", "2023014",
    "GAELDOURT 20230114", "20230114-20230115", "²023٠114",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_DATES)
@pytest.mark.parametrize("vr", ["DA", "DT"])
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_a_date_that_is_none_does_not_pass(value: str, vr: str, nested: bool) -> None:
    """`99991231` is a date, but moved forward it is none any more."""
    tag = {"DA": SERIES_DATE, "DT": ACQUISITION}[vr]
    element = Element(tag, vr, value.encode("utf-8"))
    dataset = shifted(sequence(SEQUENCE, [element]) if nested else element, days=100)
    result = value_at(first_item(dataset, SEQUENCE) if nested else dataset, tag)
    assert result in (None, "", "19000101", "19000101000000")


@pytest.mark.parametrize("value", ["20230114\\yesterday", "\\20230114\\20231301"])
def test_one_value_that_is_no_date_takes_the_others_with_it(value: str) -> None:
    assert value_at(shifted(text(0x00720061, "DA", value)), 0x00720061) in (None, "")


def test_every_value_of_several_moves() -> None:
    dataset = shifted(text(0x00720061, "DA", "20230114\\20230115"), days=1)
    assert value_at(dataset, 0x00720061) == "20230115\\20230116"


@pytest.mark.parametrize("value", ["20230114", "20230114101112", "101160.5.1", "2460", "24", "10:61", "GAELDOURT", "1"])
@pytest.mark.parametrize("option", ["modified", "full"])
def test_what_is_no_time_does_not_pass_as_one(tmp_path: Path, value: str, option: str) -> None:
    """A date in Study Time would pass unmoved."""
    by = engine(written(tmp_path, f"options: [retain-longitudinal-{option}-dates]"))
    assert value_at(shifted(text(STUDY_TIME, "TM", value), by=by), STUDY_TIME) == ""


@pytest.mark.parametrize("value", ["10", "1011", "101112", "101112.5", "101112.123456", "10:11:12", "235960"])
@pytest.mark.parametrize("option", ["modified", "full"])
def test_times_of_day_stay(tmp_path: Path, value: str, option: str) -> None:
    by = engine(written(tmp_path, f"options: [retain-longitudinal-{option}-dates]"))
    assert value_at(shifted(text(STUDY_TIME, "TM", value), by=by), STUDY_TIME) == value


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Deidentifier:
    return engine(written(tmp_path_factory.mktemp("profiles"), "options: [retain-longitudinal-full-dates]"))


@settings(max_examples=100, deadline=None)
@given(moment=date_times() | st.sampled_from(["2023", "202312"]))
def test_full_dates_stay_as_they_are(full: Deidentifier, moment: str) -> None:
    dataset = shifted(text(ACQUISITION, "DT", moment), text(UNNAMED, "DT", moment), by=full)
    assert value_at(dataset, ACQUISITION) == value_at(dataset, UNNAMED) == moment
    assert value_at(dataset, STUDY_DATE) == "20230114"


@pytest.mark.parametrize("value", [value for value in NO_DATES if value != "99991231"])
def test_what_is_no_date_does_not_pass_as_one_under_full_dates(full: Deidentifier, value: str) -> None:
    dataset = shifted(Element(ACQUISITION, "DT", value.encode("utf-8")), by=full)
    assert value_at(dataset, ACQUISITION) is None


@pytest.mark.parametrize(("option", "kept"), [("modified", "20221012"), ("full", "20230120")])
def test_dates_go_by_the_option_also_in_the_dummy_of_a_sequence(tmp_path: Path, option: str, kept: str) -> None:
    """An annotation's items must stay (Type 1), without what they say."""
    option = f"retain-longitudinal-{option}-dates"
    item = [
        text(0x00080012, "DA", "20230120"),
        text(0x00080023, "DA", "soon"),
        text(BIRTH_DATE, "DA", "19500102"),
        text(0x00700006, "ST", "Nodule"),
    ]
    by = engine(written(tmp_path, f"options: [{option}]"))
    dataset = shifted(text(STUDY_DATE, "DA", ""), sequence(0x00700001, item), by=by)
    blank = first_item(dataset, 0x00700001)
    assert [value_at(blank, tag) for tag in (0x00080012, 0x00080023)] == [kept, "19000101"]
    assert [value_at(blank, tag) for tag in (BIRTH_DATE, 0x00700006)] == ["19000101", "REMOVED"]
    assert codes_of(dataset) == {"basic", option}


@pytest.fixture(scope="module")
def with_birth_dates(tmp_path_factory: pytest.TempPathFactory) -> Deidentifier:
    return engine(written(tmp_path_factory.mktemp("profiles"), BY_RULE, extends=RESEARCH))


@settings(max_examples=100, deadline=None)
@given(DAYS, st.integers(0, 89 * 365), OFFSETS)
def test_the_age_at_study_is_the_same_after(with_birth_dates: Deidentifier, birth: date, lived: int, days: int) -> None:
    """A birth date that a profile keeps moves with the others; Patient's Age stays as it is."""
    study = birth + timedelta(days=lived)
    header = (
        text(BIRTH_DATE, "DA", f"{birth:%Y%m%d}"),
        text(STUDY_DATE, "DA", f"{study:%Y%m%d}"),
        text(AGE, "AS", f"{lived // 365:03}Y"),
    )
    dataset = shifted(*header, days=days, by=with_birth_dates)
    after = [read(value_at(dataset, tag) or "") for tag in (BIRTH_DATE, STUDY_DATE)]
    assert after[1] - after[0] == study - birth
    assert after[0].date() == birth + timedelta(days=days)
    assert value_at(dataset, AGE) == f"{lived // 365:03}Y"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({STUDY_DATE: "20230114", BIRTH_DATE: "19330114"}, False),
        ({STUDY_DATE: "20230114", BIRTH_DATE: "19330115"}, True),
        ({STUDY_DATE: "", SERIES_DATE: "20230114", BIRTH_DATE: "19330115"}, True),
        ({STUDY_DATE: "20220114", SERIES_DATE: "20240114", BIRTH_DATE: "19330115"}, False),
        ({STUDY_DATE: "", BIRTH_DATE: "19700101"}, False),
        ({STUDY_DATE: "20230114", BIRTH_DATE: "19700101", AGE: "091Y"}, False),
        ({STUDY_DATE: "20230114", BIRTH_DATE: "19700101", AGE: "053Y"}, True),
        ({STUDY_DATE: "20230114", BIRTH_DATE: "19700101", AGE: "old"}, True),
    ],
)
def test_a_birth_date_does_not_tell_an_age_above_the_cap(
    with_birth_dates: Deidentifier, header: dict[int, str], told: bool
) -> None:
    """Of a patient above 89, or whose age at study nobody can say."""
    elements = [text(tag, "AS" if tag == AGE else "DA", value) for tag, value in header.items()]
    inner = sequence(SEQUENCE, [text(BIRTH_DATE, "DA", header[BIRTH_DATE])])
    dataset = shifted(*elements, inner, by=with_birth_dates)
    assert bool(value_at(dataset, BIRTH_DATE)) == told
    assert (value_at(first_item(dataset, SEQUENCE), BIRTH_DATE) != "19000101") == told


def test_a_birth_date_in_an_item_alone_does_not_tell_an_age_that_nobody_knows(with_birth_dates: Deidentifier) -> None:
    inner = sequence(SEQUENCE, [text(BIRTH_DATE, "DA", "19330115")])
    for age, told in (("", False), ("089Y", True)):
        dataset = shifted(text(AGE, "AS", age), inner, by=with_birth_dates)
        assert (value_at(first_item(dataset, SEQUENCE), BIRTH_DATE) != "19000101") == told


def test_a_date_that_a_rule_removes_is_not_in_the_dummy_of_a_sequence_either(tmp_path: Path) -> None:
    rule = "rules: [{attribute: InstanceCreationDate, action: X}]"
    by = engine(written(tmp_path, rule, extends=RESEARCH))
    dataset = shifted(sequence(0x00700001, [text(0x00080012, "DA", "20230120")]), by=by)
    assert value_at(first_item(dataset, 0x00700001), 0x00080012) == "19000101"


def test_one_offset_holds_for_all_studies_of_a_patient() -> None:
    dates = ["20190228", "20200229", "20240301"]
    after = [value_at(shifted(text(STUDY_DATE, "DA", day), days=-1234), STUDY_DATE) or "" for day in dates]
    assert {read(old) - read(new) for old, new in zip(dates, after, strict=True)} == {timedelta(days=1234)}


@pytest.mark.parametrize(
    ("vr", "value", "moved"),
    [("DT", "20230114101112.5", "20221006101112.5"), ("DA", "20230114", "20221006"), ("DT", "unknown", None)],
)
def test_a_private_date_that_a_rule_keeps_moves_too(tmp_path: Path, vr: str, value: str, moved: str | None) -> None:
    """Scan date and time of a GE PET scanner: not in Table E.3.10-1, so only a rule can keep it."""
    private = [text(0x00090010, "LO", "GEMS_PETD_01"), text(0x0009100D, vr, value)]
    rule = "rules: [{private: {creator: GEMS_PETD_01, element: 0x0D}, action: K}]"
    by = engine(written(tmp_path, rule, extends=RESEARCH))
    assert value_at(shifted(*private, by=by), 0x0009100D) == moved
    assert value_at(first_item(shifted(sequence(SEQUENCE, private), by=by), SEQUENCE), 0x0009100D) == moved
    assert value_at(shifted(*private), 0x0009100D) is None
