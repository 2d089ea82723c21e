"""Reading values and writing text."""

from __future__ import annotations

from struct import pack

import pytest

from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Element
from imaging_hub.errors import MalformedDataset

_NAME = 0x00100010


def _charset(terms: bytes) -> values.Charset:
    return values.charset_of([Element(0x00080005, "CS", terms)])


def test_an_attribute_is_found_among_many() -> None:
    dataset = [Element(tag, "LO", b"%d" % tag) for tag in range(0x00100010, 0x00100200, 2)]
    assert values.find(dataset, 0x00100020) is dataset[8]
    assert values.find(dataset, 0x00100021) is None
    assert values.find([], 0x00100021) is None


@pytest.mark.parametrize(
    ("terms", "encoded", "text"),
    [
        (b"ISO_IR 100", "Zoé^Hélène".encode("latin-1"), "Zoé^Hélène"),
        (b"ISO_IR 192 ", "Zoé^Hélène".encode(), "Zoé^Hélène"),
        (b"ISO-IR 100", b"Zo\xe9", "Zoé"),
        (b"iso ir 100", b"Zo\xe9", "Zoé"),
        (b"", b"Zo\xe9", "Zoé"),
        (b"NOBODY KNOWS", b"Zo\xe9", "Zoé"),
        (b"ISO_IR 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
        (b"\\ISO 2022 IR 58", b"Wang^Xiao=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1", "Wang^Xiao=王^小"),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
    ],
)
def test_text_is_decoded_by_its_character_set(terms: bytes, encoded: bytes, text: str) -> None:
    assert values.text(Element(_NAME, "PN", encoded), _charset(terms)) == text


def test_undecodable_text_is_no_fault() -> None:
    assert values.text(Element(_NAME, "PN", b"Zo\xe9"), ("utf-8",)) == "Zo\ufffd"


def test_padding_is_removed_and_values_are_parted() -> None:
    assert values.texts(Element(0x00080008, "CS", b"ORIGINAL\\PRIMARY \\AXIAL ")) == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert values.texts(Element(0x00080018, "UI", b"1.2.3\0")) == ["1.2.3"]
    assert values.texts(Element(0x00080018, "UI", b"")) == []


def test_a_backslash_in_long_text_parts_nothing() -> None:
    assert values.texts(Element(0x00104000, "LT", b"a\\b")) == ["a\\b"]


@pytest.mark.parametrize(
    ("vr", "value", "numbers"),
    [
        ("US", pack("<HH", 1, 65535), [1, 65535]),
        ("SS", pack("<h", -1), [-1]),
        ("FD", pack("<d", 0.5), [0.5]),
        ("IS", b"12\\-3 ", [12, -3]),
        ("IS", b"1.0 ", [1]),
        ("DS", b"1.5\\-2e1 ", [1.5, -20.0]),
        ("DS", b"", []),
    ],
)
def test_numbers_are_read(vr: str, value: bytes, numbers: list[float]) -> None:
    assert values.numbers(Element(0x00280010, vr, value)) == numbers


@pytest.mark.parametrize(
    ("vr", "value"), [("US", b"\1\2\3"), ("IS", b"1A"), ("DS", b"x"), ("LO", b"1"), ("IS", b"inf")]
)
def test_what_is_no_number_is_refused_by_name(vr: str, value: bytes) -> None:
    with pytest.raises(MalformedDataset) as fault:
        values.numbers(Element(0x00280010, vr, value))
    assert fault.value.code == "bad-value"
    assert values.number([Element(0x00280010, vr, value)], 0x00280010) is None


def test_text_goes_back_into_its_character_set() -> None:
    assert values.encode("Zoé", "LO", ("latin-1",)) == b"Zo\xe9"
    assert values.encode("Zoé", "LO", ("utf-8",)) == b"Zo\xc3\xa9"
    assert values.encode("Zoé", "CS", ("utf-8",)) == b"Zo?"


def test_keywords_and_tags_lead_to_each_other() -> None:
    assert values.tag("PatientName") == _NAME
    assert values.keyword(_NAME) == "PatientName"
    assert values.keyword(0x00091010) == ""
    assert values.vr(0x00091010) == "UN"
    assert values.vr(0x60120010) == "US"
    with pytest.raises(KeyError):
        values.tag("NoSuchKeyword")
