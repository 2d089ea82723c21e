"""The strict walk: what it reads, and what it accepts of what PS3.5 does not allow."""

from __future__ import annotations

import zlib
from struct import pack

import pytest
from dataset_bytes import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ITEM_END,
    JPEG_BASELINE,
    SEQUENCE_END,
    UNDEFINED,
    element,
    implicit,
    item,
    nested,
)

from imaging_hub.dicom.elements import Element
from imaging_hub.dicom.walk import WalkLimits, read
from imaging_hub.errors import MalformedDataset


def test_elements_come_out_in_order_with_their_bytes() -> None:
    data = element(0x00080060, "CS", b"CT") + element(0x00280010, "US", pack("<H", 512))
    assert read(data, EXPLICIT) == [Element(0x00080060, "CS", b"CT"), Element(0x00280010, "US", b"\0\x02")]


def test_values_are_views_into_the_source() -> None:
    data = element(0x7FE00010, "OW", bytes(1000))
    (pixels,) = read(data, EXPLICIT)
    assert isinstance(pixels.value, memoryview)
    assert pixels.value.obj is data


def test_implicit_vr_is_resolved_by_the_dictionary() -> None:
    data = (
        implicit(0x00080060, b"CT")
        + implicit(0x00090010, b"ACME")
        + implicit(0x00091001, b"\1\2")
        + implicit(0x00280107, b"\1\2")
        + implicit(0x60003000, b"\1\2")
    )
    assert [e.vr for e in read(data, IMPLICIT)] == ["CS", "LO", "UN", "US", "OW"]


@pytest.mark.parametrize("sequence_length", [None, UNDEFINED])
@pytest.mark.parametrize("item_length", [None, UNDEFINED])
def test_sequences_of_defined_and_undefined_length_read_alike(
    sequence_length: int | None, item_length: int | None
) -> None:
    first = item(element(0x00080100, "SH", b"T-1 "), item_length) + (ITEM_END if item_length else b"")
    content = first + item()
    data = element(0x00081032, "SQ", content + (SEQUENCE_END if sequence_length else b""), sequence_length)
    assert read(data, EXPLICIT) == [Element(0x00081032, "SQ", [[Element(0x00080100, "SH", b"T-1 ")], []])]


def test_un_of_undefined_length_is_a_sequence_in_implicit_vr() -> None:
    data = element(0x00091010, "UN", item(implicit(0x00100010, b"A^B ")) + SEQUENCE_END, UNDEFINED)
    assert read(data, EXPLICIT) == [Element(0x00091010, "SQ", [[Element(0x00100010, "PN", b"A^B ")]])]


def test_un_of_a_public_attribute_gets_its_vr_back() -> None:
    data = element(0x00081032, "UN", item(implicit(0x00080100, b"T-1 "))) + element(0x00100010, "UN", b"A^B ")
    assert read(data, EXPLICIT) == [
        Element(0x00081032, "SQ", [[Element(0x00080100, "SH", b"T-1 ")]]),
        Element(0x00100010, "PN", b"A^B "),
    ]


def test_un_of_a_private_attribute_stays_unknown() -> None:
    assert read(element(0x00091010, "UN", b"\1\2\3\4"), EXPLICIT)[0].vr == "UN"


def test_encapsulated_pixel_data_are_one_value_up_to_the_delimiter() -> None:
    fragments = item() + item(b"\xff\xd8\xff\xd9")
    data = element(0x7FE00010, "OB", fragments + SEQUENCE_END, UNDEFINED) + element(0xFFFCFFFC, "OB", b"\0\0")
    assert read(data, JPEG_BASELINE) == [Element(0x7FE00010, "OB", fragments, encapsulated=True)]


def test_big_endian_values_come_out_in_little_endian() -> None:
    data = (
        element(0x00080060, "CS", b"CT", order=">")
        + element(0x00081032, "SQ", item(element(0x00280010, "US", b"\2\0", order=">"), order=">"), order=">")
        + element(0x00189087, "FD", pack(">d", 1.5), order=">")
        + element(0x00280009, "AT", pack(">HH", 0x18, 0x1063), order=">")
        + element(0x00291010, "UN", b"\1\2\3\4", order=">")
        + element(0x7FE00010, "OW", b"\1\2\3\4", order=">")
    )
    assert read(data, BIG) == [
        Element(0x00080060, "CS", b"CT"),
        Element(0x00081032, "SQ", [[Element(0x00280010, "US", b"\0\2")]]),
        Element(0x00189087, "FD", pack("<d", 1.5)),
        Element(0x00280009, "AT", pack("<HH", 0x18, 0x1063)),
        Element(0x00291010, "UN", b"\1\2\3\4"),
        Element(0x7FE00010, "OW", b"\2\1\4\3"),
    ]


def test_big_endian_pixels_of_32_bits_are_refused_since_writers_differ() -> None:
    data = element(0x00280100, "US", pack(">H", 32), order=">") + element(0x7FE00010, "OW", bytes(4), order=">")
    with pytest.raises(MalformedDataset) as fault:
        read(data, BIG)
    assert fault.value.code == "unsupported-transfer-syntax"


def _deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize("gzip_trailer", [False, True])
def test_a_deflated_dataset_is_inflated(gzip_trailer: bool) -> None:
    data = element(0x00080060, "CS", b"CT")
    trailer = pack("<LL", zlib.crc32(data), len(data)) if gzip_trailer else b""
    assert read(_deflated(data) + trailer, DEFLATED) == [Element(0x00080060, "CS", b"CT")]


def test_group_lengths_and_padding_are_dropped() -> None:
    data = (
        element(0x00080000, "UL", pack("<L", 10))
        + element(0x00080060, "CS", b"CT")
        + element(0xFFFCFFFC, "OB", bytes(6))
        + bytes(512)
    )
    assert read(data, EXPLICIT) == [Element(0x00080060, "CS", b"CT")]


def test_a_value_of_odd_length_is_accepted_as_it_stands() -> None:
    assert read(element(0x00080060, "CS", b"CTX"), EXPLICIT) == [Element(0x00080060, "CS", b"CTX")]


def test_another_vr_of_the_same_nature_is_accepted() -> None:
    data = element(0x00280106, "SS", b"\0\0") + element(0x7FE00010, "OB", b"\0\0")
    assert [e.vr for e in read(data, EXPLICIT)] == ["SS", "OB"]


def test_no_elements_are_an_empty_dataset() -> None:
    assert read(b"", EXPLICIT) == []


@pytest.mark.parametrize(("depth", "refused"), [(32, False), (33, True)])
def test_the_depth_limit_is_exact(depth: int, refused: bool) -> None:
    if not refused:
        assert len(read(nested(depth), EXPLICIT)) == 1
        return
    with pytest.raises(MalformedDataset) as fault:
        read(nested(depth), EXPLICIT)
    assert fault.value.code == "nested-too-deep"


@pytest.mark.parametrize(("limit", "refused"), [(4, False), (3, True)])
def test_the_limit_of_elements_counts_items_and_all_depths(limit: int, refused: bool) -> None:
    inner = element(0x00080100, "SH", b"T1") + element(0x00080104, "LO", b"ok")
    data = element(0x00081032, "SQ", item(inner))
    if not refused:
        assert len(read(data, EXPLICIT, WalkLimits(elements=limit))) == 1
        return
    with pytest.raises(MalformedDataset) as fault:
        read(data, EXPLICIT, WalkLimits(elements=limit))
    assert fault.value.code == "too-many-elements"


def test_dropped_elements_count_too() -> None:
    data = element(0x00080000, "UL", bytes(4)) + b"".join(element(tag, "LO") for tag in range(0x00091001, 0x00091005))
    with pytest.raises(MalformedDataset) as fault:
        read(data, EXPLICIT, WalkLimits(elements=3))
    assert fault.value.code == "too-many-elements"
