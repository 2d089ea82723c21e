"""Pixel data followed as they pass by: what ends well there is what the plain reading accepts."""

from __future__ import annotations

from itertools import pairwise
from struct import pack

import pytest
from dataset_bytes import EXPLICIT, IMPLICIT, JPEG_BASELINE, SEQUENCE_END, UNDEFINED, element, implicit, item
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_hub.dicom import tags, walk
from imaging_hub.dicom.pixel_stream import PixelStream
from imaging_hub.dicom.transfer_syntax import KNOWN
from imaging_hub.errors import MalformedDataset

HEADER = element(0x00080060, "CS", b"CT")
FRAGMENTS = st.lists(
    st.one_of(
        st.binary(max_size=9).map(item),
        st.sampled_from((SEQUENCE_END, item(b"", UNDEFINED), item(b"abc", 40), pack("<HHL", 0xFFFE, 0xE00D, 0), b"\0")),
    ),
    max_size=5,
).map(b"".join)


def followed(data: bytes, syntax: str, cuts: list[int], start: int) -> bool:
    """Whether pixel data end with `data`, seen up to `start` and then in pieces."""
    stream = PixelStream.at(len(HEADER), data[:start], KNOWN[syntax])
    if stream is None:
        return False
    edges = [start, *sorted(cut for cut in cuts if cut > start), len(data)]
    for begin, end in pairwise(edges):
        stream.take(memoryview(data)[begin:end])
    return stream.ends_after(0)


def accepted(data: bytes, syntax: str) -> bool:
    """Whether the plain reading takes the whole, and pixel data are its end."""
    try:
        last = walk.read(data, syntax)[-1]
    except MalformedDataset:
        return False
    assert isinstance(last.value, memoryview)
    delimiter = len(SEQUENCE_END) if last.encapsulated else 0
    return last.tag == tags.PixelData and data.endswith(bytes(last.value) + SEQUENCE_END[:delimiter])


@settings(max_examples=600, deadline=None)
@given(FRAGMENTS, st.sampled_from((SEQUENCE_END, SEQUENCE_END, b"", SEQUENCE_END + b"\0\0")), st.data())
def test_fragments_that_end_well_are_those_the_plain_reading_accepts(
    fragments: bytes, end: bytes, data: st.DataObject
) -> None:
    whole = HEADER + element(0x7FE00010, "OB", fragments + end, UNDEFINED)
    start = data.draw(st.integers(len(HEADER) + 12, len(whole)))
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6))
    assert followed(whole, JPEG_BASELINE, cuts, start) == accepted(whole, JPEG_BASELINE)


@pytest.mark.parametrize("more", [-3, -1, 0, 1, 8])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_native_pixels_end_with_the_last_of_their_bytes(syntax: str, more: int) -> None:
    if syntax == EXPLICIT:
        header, pixels = HEADER, element(0x7FE00010, "OW", bytes(50))
    else:
        header, pixels = implicit(0x00080060, b"CT"), implicit(0x7FE00010, bytes(50))
    stream = PixelStream.at(len(header), header + pixels[:20], KNOWN[syntax])
    assert stream is not None
    assert stream.ends_after(len(pixels) - 20)
    rest = (pixels + bytes(8))[20 : len(pixels) + more]
    stream.take(rest[:7])
    stream.take(rest[7:])
    assert stream.ends_after(0) == (more == 0)
    assert stream.ends_after(-more) == (more <= 0)


@pytest.mark.parametrize(
    ("pixels", "syntax"),
    [
        (element(0x7FE00010, "OW", bytes(8), UNDEFINED), EXPLICIT),
        (element(0x7FE00010, "UN", bytes(8)), EXPLICIT),
        (element(0x7FE00008, "OF", bytes(8)), EXPLICIT),
        (element(0xFFFAFFFA, "OB", bytes(8)), EXPLICIT),
    ],
    ids=["native without a length", "of an unknown VR", "floats", "no pixels"],
)
def test_what_is_out_of_the_ordinary_is_not_followed(pixels: bytes, syntax: str) -> None:
    assert PixelStream.at(len(HEADER), HEADER + pixels, KNOWN[syntax]) is None


def test_more_fragments_than_a_dataset_may_have_do_not_end_well() -> None:
    stream = PixelStream.at(len(HEADER), HEADER + element(0x7FE00010, "OB", b"", UNDEFINED), KNOWN[JPEG_BASELINE])
    assert stream is not None
    stream.take(item() * walk.WalkLimits().elements + SEQUENCE_END)
    assert not stream.ends_after(0)
