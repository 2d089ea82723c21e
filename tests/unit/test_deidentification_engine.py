"""The engine as others see it: what it delivers, what it refuses, and what stays true of its output."""

from __future__ import annotations

from datetime import date

import pytest
from an_instance import (
    CT_IMAGE,
    EXPLICIT,
    PSEUDONYMS,
    SEQUENCE,
    an_instance,
    codes_of,
    delivered,
    engine,
    first_item,
    leaves,
    sequence,
    text,
    value_at,
    written,
)

from imaging_hub.deidentification.identifiers.collector import collect
from imaging_hub.deidentification.source_and_outcome import (
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.dicom import part10, values, walk
from imaging_hub.dicom.elements import Dataset, Element

RESEARCH = "research-longitudinal"
PIXELS = (
    Element(0x00280002, "US", b"\x01\x00"),
    Element(0x00280010, "US", b"\x02\x00"),
    Element(0x00280011, "US", b"\x02\x00"),
    Element(0x7FE00010, "OW", bytes(range(8))),
)
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"


def code(value: str, scheme: str, meaning: str) -> Dataset:
    return [text(0x00080100, "SH", value), text(0x00080102, "SH", scheme), text(0x00080104, "LO", meaning)]


def content(value_type: str, concept: Dataset, *value: Element) -> Dataset:
    return [text(0x0040A040, "CS", value_type), sequence(0x0040A043, concept), *value]


def test_the_same_source_gives_the_same_bytes() -> None:
    source = an_instance(text(0x00104000, "LT", "Allergie iode"))
    first, second = (engine(RESEARCH).deidentify(source, PSEUDONYMS) for _ in range(2))
    assert isinstance(first, DeidentifiedInstance)
    assert isinstance(second, DeidentifiedInstance)
    assert b"".join(first.part10) == b"".join(second.part10)


def test_a_second_pass_changes_only_uids_and_dates() -> None:
    research = engine(RESEARCH)
    first = research.deidentify(an_instance(text(0x00081030, "LO", "CT THORAX - M. GAELDOURT")), PSEUDONYMS)
    assert isinstance(first, DeidentifiedInstance)
    _, encoded = part10.split(b"".join(first.part10))
    again = delivered(research.deidentify(SourceInstance(encoded, EXPLICIT), PSEUDONYMS))
    for one, other in zip(leaves(delivered(first)), leaves(again), strict=True):
        assert one.tag == other.tag
        if one.vr not in ("UI", "DA", "DT"):
            assert bytes(one.value) == bytes(other.value)  # type: ignore[arg-type]


def test_different_keys_give_outputs_that_cannot_be_joined() -> None:
    source = an_instance(text(0x00080090, "PN", "FERRANDIERES^PAUL"), text(0x0040A124, "UI", "1.2.250.1.7"))
    keys = (PSEUDONYMS, Pseudonyms("S-OTHER", bytes(32), -77))
    one, other = ({bytes(e.value) for e in leaves(delivered(engine(RESEARCH).deidentify(source, key)))} for key in keys)
    shared = {value.strip(b" \0") for value in one & other}
    assert not any(value.startswith(b"2.25.") or (value[:4].isdigit() and len(value) == 8) for value in shared)


def test_a_uid_is_the_same_wherever_it_is_referred_to() -> None:
    series = "1.2.250.1.999.1.2"
    source = an_instance(sequence(SEQUENCE, [text(0x0020000E, "UI", series)]))
    dataset = delivered(engine(RESEARCH).deidentify(source, PSEUDONYMS))
    assert value_at(dataset, 0x0020000E) == value_at(first_item(dataset, SEQUENCE), 0x0020000E) != series


def test_no_uid_is_remapped_when_uids_are_retained(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Wherever it stands: named by the table or not, private, or in the dummy of a sequence that goes."""
    reference = [text(0x00081150, "UI", CT_IMAGE), text(0x00081155, "UI", "1.2.250.1.999.5.1")]
    source = an_instance(
        text(0x00081160, "IS", "1"),
        text(0x00190010, "LO", "SIEMENS MED PT"),
        text(0x00209161, "UI", "1.2.250.1.999.5.3"),
        text(0x00209312, "UI", "1.2.250.1.999.5.4"),
        sequence(0x00081140, reference),
        sequence(SEQUENCE, [sequence(0x00081140, reference), text(0x00200052, "UI", "1.2.250.1.999.5.2")]),
        sequence(0x00700001, [sequence(0x00081140, reference), text(0x00700002, "CS", "LAYER")]),
        text(0x71110010, "LO", "SITE"),
        text(0x71111001, "UI", "1.2.250.1.999.5.5"),
        text(0x00189758, "UI", "1.2.250.1.999.5.6"),
    )
    rule = "rules: [{private: {creator: SITE, element: 0x01}, action: K}]"
    outcome = engine(written(tmp_path, f"options: [retain-uids]\n{rule}")).deidentify(source, PSEUDONYMS)
    before, after = (
        [bytes(leaf.value).strip(b"\0") for leaf in leaves(dataset) if leaf.vr == "UI"]  # type: ignore[arg-type]
        for dataset in (walk.read(source.dataset, EXPLICIT), delivered(outcome))
    )
    assert sorted(after) == sorted(before)
    assert "retain-uids" in codes_of(delivered(outcome))


def test_uids_of_the_standard_stay_and_strangers_under_its_root_do_not() -> None:
    hidden = "1.2.840.10008.184127510102345"
    source = an_instance(sequence(SEQUENCE, [text(0x00081150, "UI", CT_IMAGE), text(0x00081155, "UI", hidden)]))
    item = first_item(delivered(engine("basic").deidentify(source, PSEUDONYMS)), SEQUENCE)
    assert value_at(item, 0x00081150) == CT_IMAGE
    assert value_at(item, 0x00081155) != hidden


def test_dates_move_together_at_every_depth_and_the_true_study_day_stays_inside() -> None:
    item = [text(0x00080022, "DA", "20230120"), text(0x0008002A, "DT", "20230120101500.5")]
    outcome = engine(RESEARCH).deidentify(an_instance(sequence(SEQUENCE, item)), PSEUDONYMS)
    dataset = delivered(outcome)
    assert value_at(dataset, 0x00080020) == "20221006"
    inner = first_item(dataset, SEQUENCE)
    assert (value_at(inner, 0x00080022), value_at(inner, 0x0008002A)) == ("20221012", "20221012101500.5")
    assert outcome.study_date == date(2023, 1, 14)  # type: ignore[union-attr]
    assert b"20230114" not in b"".join(outcome.part10)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("profile", "codes", "dates"),
    [
        ("basic", ["113100"], "REMOVED"),
        (RESEARCH, ["113100", "113104", "113105", "113107", "113108", "113111"], "MODIFIED"),
    ],
)
def test_the_instance_says_what_was_done_to_it(profile: str, codes: list[str], dates: str) -> None:
    source = an_instance(
        text(0x00081030, "LO", "Thorax"),
        text(0x00101010, "AS", "067Y"),
        sequence(0x00120064, code("113101", "DCM", "Clean Pixel Data Option")),
        text(0x00190010, "LO", "GEMS_ACQU_01"),
        text(0x00191023, "DS", "1.5"),
        sequence(0x0040A730, content("TEXT", code("121071", "DCM", "Finding"), text(0x0040A160, "UT", "Nodule"))),
    )
    dataset = delivered(engine(profile).deidentify(source, PSEUDONYMS))
    found = [value_at(item, 0x00080100) for item in values.items(dataset, 0x00120064)]
    assert sorted(filter(None, found)) == codes
    assert value_at(dataset, 0x00120062) == "YES"
    assert value_at(dataset, 0x00280303) == dates
    assert profile in (value_at(dataset, 0x00120063) or "")


def test_patient_id_and_name_become_the_pseudonym_at_every_depth() -> None:
    inner = [text(0x00100010, "PN", "GAELDOURT^LOIC"), text(0x00100020, "LO", "80123456")]
    dataset = delivered(engine(RESEARCH).deidentify(an_instance(sequence(SEQUENCE, inner)), PSEUDONYMS))
    for items in (dataset, first_item(dataset, SEQUENCE)):
        assert value_at(items, 0x00100010) == value_at(items, 0x00100020) == PSEUDONYMS.patient


def test_pixel_data_are_the_source_itself_and_never_a_copy() -> None:
    source = an_instance(*PIXELS)
    outcome = engine("basic").deidentify(source, PSEUDONYMS)
    large = an_instance(*PIXELS[:3], Element(0x7FE00010, "OW", bytes(1 << 16)))
    whole = engine("basic").deidentify(large, PSEUDONYMS)
    assert isinstance(outcome, DeidentifiedInstance)
    assert isinstance(whole, DeidentifiedInstance)
    assert bytes(range(8)) in b"".join(outcome.part10)
    assert bytes(range(8)) not in outcome.header
    assert any(isinstance(part, memoryview) and part.obj is large.dataset for part in whole.part10)


@pytest.mark.parametrize(
    ("changed", "attribute"),
    [
        ({"modality": "US"}, "Modality"),
        ({"modality": "DX"}, "Modality"),
        ({"modality": ""}, "Modality"),
        ({"modality": "ZZ"}, "Modality"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7"}, "SOPClassUID"),
    ],
)
def test_a_modality_that_may_hold_burned_in_text_is_quarantined(changed: dict[str, str], attribute: str) -> None:
    for profile in ("basic", RESEARCH):
        outcome = engine(profile).deidentify(an_instance(*PIXELS, **changed), PSEUDONYMS)
        assert isinstance(outcome, Quarantined)
        assert (outcome.reason, outcome.attribute) == ("burned-in-text-possible", attribute)


@pytest.mark.parametrize(
    ("element", "attribute"),
    [
        (text(0x00280301, "CS", "YES"), "BurnedInAnnotation"),
        (text(0x00280302, "CS", "YES"), "RecognizableVisualFeatures"),
        (text(0x00480010, "CS", "YES"), "SpecimenLabelInImage"),
        (text(0x00080008, "CS", "DERIVED\\SECONDARY\\SCREEN SAVE"), "ImageType"),
        (text(0x00080008, "CS", "ORIGINAL\\SECONDARY\\OTHER\\CT_SOM5 PROT"), "ImageType"),
        (text(0x00080008, "CS", "ORIGINAL\\PRIMARY\\LABEL\\NONE"), "ImageType"),
        (Element(0x00280002, "US", b"\x03\x00"), "SamplesPerPixel"),
        (Element(0x60000102, "US", b"\x0c\x00"), "OverlayBitPosition"),
    ],
)
def test_an_attribute_that_speaks_of_text_in_the_pixels_is_believed(element: Element, attribute: str) -> None:
    outcome = engine(RESEARCH).deidentify(an_instance(*PIXELS, element), PSEUDONYMS)
    assert isinstance(outcome, Quarantined)
    assert (outcome.reason, outcome.attribute) == ("burned-in-text-possible", attribute)


def test_the_demonstration_trusts_radiographs_and_asks_for_review() -> None:
    source = an_instance(*PIXELS, modality="DX", sop_class="1.2.840.10008.5.1.4.1.1.1.1")
    outcome = engine("snds-demo").deidentify(source, PSEUDONYMS)
    assert isinstance(outcome, DeidentifiedInstance)
    assert outcome.needs_review


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (an_instance(sop_class="1.3.46.670589.5.0.1.1"), "unknown-sop-class"),
        (an_instance(sop_class="1.2.840.10008.1.3.10"), "media-directory"),
        (an_instance(text(0x00080018, "UI", "")), "missing-uid"),
        (an_instance(Element(0x00420011, "OB", b"%PDF")), "encapsulated-document"),
        (an_instance(sop_class="1.2.840.10008.5.1.4.1.1.9.4.1", modality="AU"), "recorded-voice-possible"),
        (SourceInstance(b"\x08\x00\x16\x00UI\xff\xff", EXPLICIT), "malformed-truncated"),
        (SourceInstance(b"", "1.2.3"), "malformed-unsupported-transfer-syntax"),
    ],
)
def test_what_cannot_be_examined_is_quarantined_with_its_reason(source: SourceInstance, reason: str) -> None:
    outcome = engine(RESEARCH).deidentify(source, PSEUDONYMS)
    assert isinstance(outcome, Quarantined)
    assert outcome.reason == reason


def test_an_engine_without_a_date_shift_delivers_nothing() -> None:
    outcome = engine(RESEARCH).deidentify(an_instance(), Pseudonyms("S-1", bytes(32), 0))
    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "no-date-shift"


def test_overlays_curves_icons_and_unknown_attributes_go() -> None:
    gone = (
        text(0x50000022, "LO", "Curve"),
        text(0x60000022, "LO", "Annot."),
        Element(0x60003000, "OW", b"\1\2"),
        sequence(0x00880200, [Element(0x00280010, "US", b"\1\0")]),
        text(0x00190099, "LO", "CREATOR"),
        text(0x001C0099, "LO", "unknown to everybody"),
        sequence(0x04000500, [Element(0x04000520, "OB", b"secret..")]),
    )
    dataset = delivered(engine(RESEARCH).deidentify(an_instance(*gone), PSEUDONYMS))
    assert not {element.tag for element in dataset} & {element.tag for element in gone}


def test_a_number_that_is_none_does_not_carry_a_name() -> None:
    source = an_instance(text(0x00180050, "DS", "GAELDOURT"), text(0x00181151, "IS", "Jean"), name="X^Y")
    dataset = delivered(engine(RESEARCH).deidentify(source, PSEUDONYMS))
    assert value_at(dataset, 0x00181151) == value_at(dataset, 0x00180050) == ""


def test_an_age_above_the_cap_is_written_as_the_cap() -> None:
    for age, kept in (("067Y", "067Y"), ("089Y", "089Y"), ("094Y", "090Y"), ("012M", "012M"), ("OLD", None)):
        dataset = delivered(engine(RESEARCH).deidentify(an_instance(text(0x00101010, "AS", age)), PSEUDONYMS))
        assert value_at(dataset, 0x00101010) == kept


def test_content_items_of_a_report_are_cleaned_by_their_concept() -> None:
    source = an_instance(
        sequence(
            0x0040A730,
            content("TEXT", code("121071", "DCM", "Finding"), text(0x0040A160, "UT", "Nodule de 8 mm pat. GAELDOURT")),
            content("TEXT", code("121022", "DCM", "Accession Number"), text(0x0040A160, "UT", "ACC1")),
            content("PNAME", code("121008", "DCM", "Person Observer Name"), text(0x0040A123, "PN", "FERRANDIERES^P")),
            content("TEXT", code("X", "99LOCAL", "Whatever"), text(0x0040A160, "UT", "foie normal, vu par Legrand")),
            content("NUM", code("M", "99LOCAL", "Measure"), sequence(0x0040A300, [text(0x0040A30A, "DS", "8")])),
        ),
        sop_class=ENHANCED_SR,
        modality="SR",
    )
    items = values.items(delivered(engine(RESEARCH).deidentify(source, PSEUDONYMS)), 0x0040A730)
    assert [value_at(item, 0x0040A160) for item in items] == ["Nodule de 8 mm", None, "foie normal, vu", None]
    assert value_at(items[1], 0x0040A123) == "REMOVED"
    assert value_at(first_item(items[3], 0x0040A300), 0x0040A30A) == "8"


def test_the_basic_profile_leaves_one_sentence_of_a_report() -> None:
    item = content("TEXT", code("121071", "DCM", "Finding"), text(0x0040A160, "UT", "Nodule de 8 mm"))
    source = an_instance(sequence(0x0040A730, item, item), sop_class=ENHANCED_SR, modality="SR")
    items = values.items(delivered(engine("basic").deidentify(source, PSEUDONYMS)), 0x0040A730)
    assert [value_at(item, 0x0040A160) for item in items] == ["REMOVED"]


@pytest.mark.parametrize(
    ("term", "codec"),
    [
        ("ISO_IR 100", "latin-1"),
        ("ISO_IR 192", "utf-8"),
        ("ISO_IR 144", "iso8859-5"),
        ("\\ISO 2022 IR 87", "iso2022_jp"),
    ],
)
def test_cleaned_text_stays_in_its_character_set(term: str, codec: str) -> None:
    letters = {"iso8859-5": "Иванов", "iso2022_jp": "山田"}.get(codec, "Évrardourt")
    source = an_instance(
        text(0x00080005, "CS", term),
        Element(0x00100010, "PN", f"X^Y={letters}".encode(codec)),
        Element(0x00104000, "LT", f"thorax {letters} 5 mm".encode(codec)),
    )
    dataset = delivered(engine(RESEARCH).deidentify(source, PSEUDONYMS))
    assert value_at(dataset, 0x00104000) == "thorax 5 mm"
    assert value_at(dataset, 0x00080005) == term


def test_text_that_is_none_in_its_character_set_is_removed_or_quarantined() -> None:
    utf_8 = text(0x00080005, "CS", "ISO_IR 192")
    removed = an_instance(utf_8, Element(0x00104000, "LT", b"caf\xe9 thorax"))
    assert value_at(delivered(engine(RESEARCH).deidentify(removed, PSEUDONYMS)), 0x00104000) is None
    needed = an_instance(utf_8, Element(0x00080070, "LO", b"caf\xe9"))
    outcome = engine(RESEARCH).deidentify(needed, PSEUDONYMS)
    assert isinstance(outcome, Quarantined)
    assert (outcome.reason, outcome.attribute) == ("undecodable-text", "Manufacturer")


def test_identifiers_are_collected_at_every_depth_and_roles_are_not_names() -> None:
    source = an_instance(
        text(0x00081070, "PN", "RADIOLOGUE"),
        text(0x00081010, "SH", "CHUSAINT42"),
        sequence(SEQUENCE, [text(0x00080090, "PN", "PETIT^PAUL"), text(0x00100020, "LO", "184127510102345")]),
    )
    found = collect(walk.read(source.dataset, source.transfer_syntax_uid))
    assert found == {"GAELDOURT^LOIC", "80123456", "CHUSAINT42", "184127510102345", "PETIT^PAUL"}


def test_changes_name_attributes_and_rules_and_never_a_value() -> None:
    source = an_instance(
        sequence(0x00400275, [text(0x00080050, "SH", "ACC0017")]), text(0x00330010, "LO", "GAELDOURT RIS"),
        text(0x00331001, "LO", "x"),
    )  # fmt: skip
    outcome = engine(RESEARCH).deidentify(source, PSEUDONYMS)
    assert isinstance(outcome, DeidentifiedInstance)
    changes = {(change.path, change.action, change.rule) for change in outcome.changes}
    assert ("RequestAttributesSequence[0].AccessionNumber", "Z", "E.1-1 Basic") in changes
    assert ("(0033,private,01)", "X", "E.1-1 Basic") in changes
    assert not any("GAELDOURT" in repr(change) or "ACC0017" in repr(change) for change in outcome.changes)


def test_device_and_institution_stay_when_their_options_are_chosen(tmp_path) -> None:  # type: ignore[no-untyped-def]
    options = "options: [retain-device-identity, retain-institution-identity]"
    source = an_instance(text(0x00080080, "LO", "CHU Evrarquercy"), text(0x00181000, "LO", "SN1234567"))
    dataset = delivered(engine(written(tmp_path, options)).deidentify(source, PSEUDONYMS))
    assert value_at(dataset, 0x00080080) == "CHU Evrarquercy"
    assert value_at(dataset, 0x00181000) == "SN1234567"


def test_no_rule_keeps_what_a_source_says_of_its_own_de_identification(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A rule for their VR neither: the attributes would be there twice, and one of them would lie."""
    rules = "rules: [{vr: CS, action: K}, {vr: SQ, action: K}]"
    before = text(0x00120062, "CS", "NO"), text(0x00120063, "LO", "by hand"), text(0x00280303, "CS", "UNMODIFIED")
    dataset = delivered(engine(written(tmp_path, rules)).deidentify(an_instance(*before), PSEUDONYMS))
    assert (value_at(dataset, 0x00120062), value_at(dataset, 0x00280303)) == ("YES", "REMOVED")
    assert "by hand" not in (value_at(dataset, 0x00120063) or "")
