"""Reading in runs gives what the plain reading gives, whatever came before."""

from __future__ import annotations

import pytest
from an_instance import EXPLICIT
from dataset_bytes import DEFLATED, IMPLICIT, JPEG_BASELINE, element, implicit, item, nested
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_hub.dicom import tags, walk
from imaging_hub.dicom.element_runs import ElementRun, ElementRunReader
from imaging_hub.dicom.elements import Dataset
from imaging_hub.errors import MalformedDataset

_CUTS = (0x00080018, 0x00080019, 0x00200013, 0x00200014, 0x7FE00008)
_LIMITS = walk.WalkLimits(depth=4, elements=40)

# Small pools, so that successive datasets share elements, differ in them, lack them and repeat their creators.
_ELEMENTS = {
    0x00080000: [element(0x00080000, "UL", b"\0\0\0\0")],
    0x00080005: [element(0x00080005, "CS", b"ISO_IR 100"), element(0x00080005, "CS", b"ISO_IR 192")],
    0x00080018: [element(0x00080018, "UI", b"1.2.%d\0" % number) for number in range(3)],
    0x00080060: [element(0x00080060, "CS", b"CT"), element(0x00080060, "ZZ", b"CT"), element(0x00080060, "SQ")],
    0x00090010: [element(0x00090010, "LO", b"ONE "), element(0x00090010, "LO", b"TWO ")],
    0x00091001: [element(0x00091001, "LO", b"value "), element(0x00091001, "LO", b"other ")],
    0x00091002: [element(0x00091002, "LO", b"appended")],
    0x00081140: [
        element(0x00081140, "SQ", item(element(0x00081155, "UI", b"1.2 "))),
        element(0x00081140, "SQ", item(element(0x00081155, "UI", b"1.2 ")) * 12),
        nested(3).replace(b"\x40\x00\x30\xa7", b"\x08\x00\x40\x11", 1),
    ],
    0x00200013: [element(0x00200013, "IS", b"%d " % number) for number in range(3)],
    0x00280010: [element(0x00280010, "US", b"\2\0"), element(0x00280010, "US", b"\2\0", length=900)],
    0x7FE00010: [element(0x7FE00010, "OW", bytes(range(8))), element(0x7FE00010, "OW", bytes(8))],
    0xFFFCFFFC: [element(0xFFFCFFFC, "OB", bytes(4))],
}
_ENDS = st.sampled_from((b"", b"", b"", b"\0\0", bytes(16), b"rubbish", b"\x08\0"))


@st.composite
def _dataset(draw: st.DrawFn) -> bytes:
    tags = draw(st.lists(st.sampled_from(sorted(_ELEMENTS)), unique=True, max_size=len(_ELEMENTS)))
    if draw(st.integers(0, 9)):
        tags.sort()
    parts = []
    for tag in tags:
        # Mostly the first of each, so that most runs repeat.
        place = 0 if draw(st.integers(0, 3)) else draw(st.integers(0, len(_ELEMENTS[tag]) - 1))
        parts.append(_ELEMENTS[tag][place])
    return b"".join(parts) + draw(_ENDS)


def _plain(data: bytes, syntax: str = EXPLICIT) -> Dataset | str:
    try:
        return walk.read(data, syntax, _LIMITS)
    except MalformedDataset as fault:
        return fault.code


def _in_runs(reader: ElementRunReader, data: bytes, syntax: str = EXPLICIT) -> Dataset | str:
    try:
        runs = reader.read(data, syntax)
    except MalformedDataset as fault:
        return fault.code
    assert [run.stop for run in runs] == sorted({run.stop for run in runs})
    assert all(run.elements[-1].tag < run.stop for run in runs if run.elements)
    return [found for run in runs for found in run.elements]


@settings(max_examples=600, deadline=None)
@given(st.lists(_dataset(), min_size=2, max_size=6))
def test_every_dataset_of_a_series_reads_as_if_it_came_alone(series: list[bytes]) -> None:
    reader = ElementRunReader(_CUTS, _LIMITS)
    for data in series:
        assert _in_runs(reader, data) == _plain(data)


@settings(max_examples=300, deadline=None)
@given(_dataset(), st.data())
def test_a_damaged_copy_of_the_dataset_before_reads_as_if_it_came_alone(dataset: bytes, data: st.DataObject) -> None:
    reader = ElementRunReader(_CUTS, _LIMITS)
    for _ in range(3):
        damaged = bytearray(dataset)
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        assert _in_runs(reader, dataset) == _plain(dataset)
        assert _in_runs(reader, bytes(damaged)) == _plain(bytes(damaged))


@settings(max_examples=600, deadline=None)
@given(st.lists(_dataset(), min_size=1, max_size=6), st.data())
def test_the_beginning_of_a_dataset_tells_all_but_its_pixels_or_nothing(
    series: list[bytes], data: st.DataObject
) -> None:
    reader = ElementRunReader(_CUTS, _LIMITS)
    for whole in series:
        start = whole[: data.draw(st.integers(0, len(whole)))]
        runs = reader.read_start(start, len(whole), EXPLICIT)
        if runs is not None:
            elements = [found for run in runs for found in run.elements]
            assert [one for one in _plain(whole) if one.tag != tags.PixelData] == elements  # type: ignore[union-attr]
        if data.draw(st.booleans()):
            assert _in_runs(reader, whole) == _plain(whole)


def _header_of(pixels: bytes, syntax: str = EXPLICIT, more: int = 0) -> list[int] | None:
    """The tags that the beginning of a dataset tells, whose pixel data are not in it."""
    header = _two()
    runs = ElementRunReader(_CUTS).read_start(header + pixels[:12], len(header + pixels) + more, syntax)
    return runs and [found.tag for run in runs for found in run.elements]


def test_native_pixels_at_the_end_need_not_be_there() -> None:
    assert _header_of(element(0x7FE00010, "OW", bytes(64))) == [0x00080060, 0x00090010, 0x00091001, 0x00100020]
    start = implicit(0x00080060, b"CT") + implicit(0x7FE00010, bytes(64))
    runs = ElementRunReader(_CUTS).read_start(start[:20], len(start), IMPLICIT)
    assert runs is not None
    assert [found.tag for run in runs for found in run.elements] == [0x00080060]


def test_a_header_of_a_thousand_frames_is_read_from_the_beginning_too() -> None:
    frames = element(0x52009230, "SQ", item(element(0x00081155, "UI", b"1.2 ")) * 20_000)
    pixels = element(0x7FE00010, "OW", bytes(64))
    reader = ElementRunReader(_CUTS)
    for header in (_two() + frames, _two(), _two() + frames):
        start = header + pixels[:20]
        runs = reader.read_start(start, len(header + pixels), EXPLICIT)
        assert runs is not None
        assert [found for run in runs for found in run.elements] == walk.read(header, EXPLICIT)


@pytest.mark.parametrize(
    ("pixels", "syntax", "more"),
    [
        (element(0x7FE00010, "OW", bytes(64)), EXPLICIT, 8),
        (element(0x7FE00010, "OW", bytes(64)), EXPLICIT, -8),
        (element(0x7FE00010, "OB", bytes(64), length=0xFFFFFFFF), JPEG_BASELINE, 0),
        (element(0x7FE00010, "OW", bytes(64), length=0xFFFFFFFF), EXPLICIT, 0),
        (element(0x7FE00010, "UN", bytes(64)), EXPLICIT, 0),
        (element(0x7FE00008, "OF", bytes(64)), EXPLICIT, 0),
        (element(0xFFFAFFFA, "OB", bytes(64)), EXPLICIT, 0),
    ],
    ids=[
        "more follows",
        "cut short",
        "in fragments",
        "native without a length",
        "of an unknown VR",
        "floats",
        "no pixels",
    ],
)
def test_where_the_beginning_does_not_tell_the_whole_is_wanted(pixels: bytes, syntax: str, more: int) -> None:
    assert _header_of(pixels, syntax, more) is None


def _two(creator: bytes = b"ONE ", last: bytes = b"") -> bytes:
    return b"".join(
        (
            element(0x00080060, "CS", b"CT"),
            element(0x00090010, "LO", creator),
            element(0x00091001, "LO", b"value "),
            last,
            element(0x00100020, "LO", b"ID"),
        )
    )


def _taken_over(reader: ElementRunReader, first: bytes, second: bytes) -> list[bool]:
    before: set[ElementRun] = set(reader.read(first, EXPLICIT))
    return [run in before for run in reader.read(second, EXPLICIT)]


def test_what_is_the_same_is_taken_over_and_what_differs_is_not() -> None:
    assert _taken_over(ElementRunReader(_CUTS), _two(), _two()) == [True, True, True]
    assert _taken_over(ElementRunReader(_CUTS), _two(), _two(b"TWO ")) == [True, False, True]


def test_a_group_to_which_an_element_was_added_is_read_anew() -> None:
    added = element(0x00091002, "LO", b"more")
    assert _taken_over(ElementRunReader(_CUTS), _two(), _two(last=added)) == [True, False, True]


@pytest.mark.parametrize("syntax", [IMPLICIT, DEFLATED, EXPLICIT])
def test_nothing_is_taken_over_from_another_transfer_syntax(syntax: str) -> None:
    plain = element(0x00080060, "CS", b"CT"), implicit(0x00080060, b"CT")
    reader = ElementRunReader(_CUTS, _LIMITS)
    assert _in_runs(reader, plain[0], EXPLICIT) == _plain(plain[0], EXPLICIT)
    for data in plain:
        assert _in_runs(reader, data, syntax) == _plain(data, syntax)


def test_what_is_remembered_is_a_copy() -> None:
    """A file that was mapped or a buffer that is filled again must not be held, nor trusted."""
    buffer = bytearray(_two())
    reader = ElementRunReader(_CUTS)
    (first, *_) = reader.read(buffer, EXPLICIT)
    buffer.clear()
    assert bytes(first.elements[0].value) == b"CT"  # type: ignore[arg-type]


def test_the_limit_of_elements_is_that_of_the_whole_dataset() -> None:
    groups = [[element(group << 16 | 0x1001 + number, "LO") for number in range(20)] for group in (9, 11, 13)]
    reader = ElementRunReader(_CUTS, _LIMITS)
    for data in (b"".join(groups[0]), b"".join((*groups[0], *groups[1], *groups[2]))):
        assert _in_runs(reader, data) == _plain(data)
    assert _plain(data) == "too-many-elements"
