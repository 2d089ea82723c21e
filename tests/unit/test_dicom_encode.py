"""Writing: everything anew, and what was written reads back the same."""

from __future__ import annotations

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
    item,
)
from hypothesis import given
from hypothesis import strategies as st

from imaging_hub.dicom import dictionary
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.dicom.encode import output_syntax, write
from imaging_hub.dicom.value_representation import LONG_VRS, SHORT_VRS
from imaging_hub.dicom.walk import read
from imaging_hub.errors import MalformedDataset


def _bytes(dataset: Dataset, syntax: str = EXPLICIT) -> bytes:
    return b"".join(write(dataset, syntax))


def test_sequences_are_written_with_defined_length() -> None:
    code = element(0x00080100, "SH", b"T1")
    source = element(0x00081032, "SQ", item(code, UNDEFINED) + ITEM_END + SEQUENCE_END, UNDEFINED)
    assert _bytes(read(source, EXPLICIT)) == element(0x00081032, "SQ", item(code))


@pytest.mark.parametrize(("vr", "padded"), [("LO", b"abc "), ("UI", b"abc\0"), ("OB", b"abc\0"), ("UN", b"abc\0")])
def test_an_odd_value_is_padded_as_its_vr_wants(vr: str, padded: bytes) -> None:
    assert _bytes([Element(0x00091001, vr, b"abc")]) == element(0x00091001, vr, padded)


def test_a_value_too_long_for_its_vr_is_written_as_un_and_gets_its_vr_back() -> None:
    dataset = [Element(0x00104000, "LT", b"x" * 70_000)]
    written = _bytes(dataset)
    assert written == element(0x00104000, "UN", b"x" * 70_000)
    assert read(written, EXPLICIT) == dataset


def test_the_longest_value_of_a_short_vr_stays_what_it_is() -> None:
    assert _bytes([Element(0x00104000, "LT", b"x" * 65_533)])[4:8] == b"LT\xfe\xff"


def test_encapsulated_pixel_data_get_their_delimiter() -> None:
    fragments = item() + item(b"\xff\xd8")
    dataset = [Element(0x7FE00010, "OB", fragments, encapsulated=True)]
    assert _bytes(dataset, JPEG_BASELINE) == element(0x7FE00010, "OB", fragments + SEQUENCE_END, UNDEFINED)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_encapsulated_pixel_data_have_no_place_in_a_native_syntax(syntax: str) -> None:
    with pytest.raises(MalformedDataset):
        write([Element(0x7FE00010, "OB", b"", encapsulated=True)], syntax)


def test_pixel_data_are_handed_on_uncopied() -> None:
    pixels = memoryview(bytes(100_000))
    assert any(buffer is pixels for buffer in write([Element(0x7FE00010, "OW", pixels)], EXPLICIT))


def test_a_private_sequence_in_implicit_vr_stays_a_sequence() -> None:
    dataset: Dataset = [Element(0x00091010, "SQ", [[Element(0x00100010, "PN", b"A^B ")]])]
    assert read(_bytes(dataset, IMPLICIT), IMPLICIT) == dataset


@pytest.mark.parametrize(
    ("came", "goes"), [(BIG, EXPLICIT), (DEFLATED, EXPLICIT), (IMPLICIT, IMPLICIT), (JPEG_BASELINE, JPEG_BASELINE)]
)
def test_what_is_written_is_little_endian_and_not_deflated(came: str, goes: str) -> None:
    assert output_syntax(came) == goes


@pytest.mark.parametrize("syntax", [BIG, DEFLATED, "1.2.3"])
def test_no_other_syntax_is_written(syntax: str) -> None:
    with pytest.raises(MalformedDataset) as fault:
        write([], syntax)
    assert fault.value.code == "unsupported-transfer-syntax"


_VALUES = st.binary(max_size=40).map(lambda value: value[: len(value) // 2 * 2])
_PRIVATE = st.integers(0x1000, 0xFFFF).map(lambda number: 0x00090000 | number)
_PUBLIC = st.sampled_from(sorted(tag for tag, vr in dictionary.PUBLIC.items() if tag > 0x0007FFFF and vr != "SQ"))
_SEQUENCES = st.sampled_from(sorted(tag for tag, vr in dictionary.PUBLIC.items() if vr == "SQ"))


def _sorted(elements: list[Element]) -> Dataset:
    """One element of each tag, in order, without those that the walk drops."""
    kept = {e.tag: e for e in elements if e.tag & 0xFFFF and e.tag != 0xFFFCFFFC}
    return [kept[tag] for tag in sorted(kept)]


def _datasets(leaf: st.SearchStrategy[Element]) -> st.SearchStrategy[Dataset]:
    flat = st.lists(leaf, max_size=8).map(_sorted)
    return st.recursive(
        flat,
        lambda inner: st.lists(
            st.one_of(leaf, st.builds(Element, _SEQUENCES, st.just("SQ"), st.lists(inner, max_size=3))), max_size=6
        ).map(_sorted),
        max_leaves=12,
    )


_public_leaf = st.builds(lambda tag, value: Element(tag, dictionary.vr(tag), value), _PUBLIC, _VALUES)
_private_vrs = st.sampled_from(sorted({*SHORT_VRS, *LONG_VRS} - {"SQ"}))


@given(_datasets(st.one_of(_public_leaf, st.builds(Element, _PRIVATE, _private_vrs, _VALUES))))
def test_explicit_vr_reads_back_what_was_written(dataset: Dataset) -> None:
    assert read(_bytes(dataset), EXPLICIT) == dataset


@given(_datasets(st.one_of(_public_leaf, st.builds(Element, _PRIVATE, st.just("UN"), _VALUES))))
def test_implicit_vr_reads_back_what_was_written(dataset: Dataset) -> None:
    assert read(_bytes(dataset, IMPLICIT), IMPLICIT) == dataset
