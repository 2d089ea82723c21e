"""Frames as numbers and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dataset_bytes import EXPLICIT, element
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file

from imaging_hub.dicom.part10 import file_meta
from imaging_hub.errors import HubError
from imaging_hub.pixels import decoding
from imaging_hub.pixels.decoding import DecodedFrame, FrameDecoders, decode, render

_COMPRESSED = [
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_app14_dcmd.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_small_odd.dcm",
    "liver_1frame.dcm",
]


def _us(tag: int, value: int) -> bytes:
    return element(tag, "US", value.to_bytes(2, "little"))


def an_image(rows: int = 2, columns: int = 3, frames_text: bytes = b"", pixels: bytes = bytes(12)) -> bytes:
    """A file with a 16-bit image of these sizes, whatever its pixel data."""
    return file_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", EXPLICIT) + b"".join(
        (
            _us(0x00280002, 1),
            element(0x00280004, "CS", b"MONOCHROME2 "),
            element(0x00280008, "IS", frames_text),
            _us(0x00280010, rows),
            _us(0x00280011, columns),
            _us(0x00280100, 16),
            _us(0x00280101, 12),
            _us(0x00280102, 11),
            _us(0x00280103, 0),
            element(0x7FE00010, "OW", pixels),
        )
    )


def _shown(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(png)))


@pytest.mark.parametrize("name", _COMPRESSED)
def test_a_frame_is_what_another_library_decodes(name: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not among the files that come with pydicom")
    expected = pydicom.pixels.pixel_array(pydicom.dcmread(path), index=0)
    np.testing.assert_array_equal(decode(Path(path), 0).pixels, expected)


def test_any_frame_of_a_file_in_memory_can_be_asked_for() -> None:
    pixels = np.arange(12, dtype="<u2")
    data = an_image(frames_text=b"2 ", pixels=pixels.tobytes())
    assert decode(data, 1).pixels.tolist() == [[6, 7, 8], [9, 10, 11]]


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        pytest.param(an_image(), 1, id="no such frame"),
        pytest.param(an_image(), -1, id="negative frame"),
        pytest.param(an_image(rows=65535, columns=65535), 0, id="size far beyond the data"),
        pytest.param(an_image(frames_text=b"999999999 "), 0, id="frames beyond the data"),
        pytest.param(an_image(frames_text=b"1A"), 0, id="frames that are no number"),
        pytest.param(an_image(rows=0), 0, id="no rows"),
        pytest.param(b"", 0, id="empty"),
        pytest.param(b"\xff" * 1000, 0, id="not DICOM"),
    ],
)
def test_what_cannot_be_decoded_is_a_named_fault(data: bytes, frame: int) -> None:
    with pytest.raises(HubError) as fault:
        decode(data, frame)
    assert fault.value.code == "undecodable-pixels"
    assert decode(an_image(), 0).pixels.shape == (2, 3)


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
def test_a_stream_of_another_shape_than_the_header_says_is_a_named_fault(name: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not among the files that come with pydicom")
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.Columns = dataset.Rows // 2, dataset.Columns * 2
    file = BytesIO()
    dataset.save_as(file)
    with pytest.raises(HubError) as fault:
        decode(file.getvalue(), 0)
    assert fault.value.code == "undecodable-pixels"


@pytest.fixture
def decoders() -> Iterator[FrameDecoders]:
    pool = FrameDecoders(size=1, wall_seconds=20)
    yield pool
    pool.close()


def test_a_decoder_that_is_killed_costs_one_frame(decoders: FrameDecoders, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoders.decode(an_image(), 0).pixels.shape == (2, 3)
    decoder = decoders._idle.queue[0]
    assert decoder is not None
    decoder._process.kill()
    decoder._process.wait()
    with pytest.raises(HubError) as fault:
        decoders.decode(an_image(), 0)
    assert fault.value.code == "undecodable-pixels"
    assert decoders.decode(an_image(), 0).pixels.shape == (2, 3)


def test_a_decoder_that_hangs_is_given_up() -> None:
    pool = FrameDecoders(size=1, wall_seconds=0.001)
    with pytest.raises(HubError) as fault:
        pool.decode(an_image(), 0)
    assert fault.value.code == "undecodable-pixels"
    pool.close()


def test_the_decoding_process_has_no_environment_to_lose(
    decoders: FrameDecoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGING_HUB_DATABASE_URL", "postgresql://secret")
    decoders.decode(an_image(), 0)
    decoder = decoders._idle.queue[0]
    assert decoder is not None
    assert b"secret" not in Path(f"/proc/{decoder._process.pid}/environ").read_bytes()


def test_a_given_window_is_used() -> None:
    frame = DecodedFrame(np.array([[0, 50, 100]], "<u2"), center=0, width=1)
    assert _shown(render(frame, center=50.5, width=101)).tolist() == [[0, 127, 255]]


def test_the_headers_window_is_used_when_none_is_given() -> None:
    frame = DecodedFrame(np.array([[0, 50, 100]], "<u2"), slope=2, intercept=-100, center=0.5, width=201)
    assert _shown(render(frame)).tolist() == [[0, 127, 255]]


def test_without_any_window_the_values_fill_the_range() -> None:
    shown = _shown(render(DecodedFrame(np.arange(1000, dtype="<i2").reshape(10, 100))))
    assert shown.min() == 0
    assert shown.max() == 255


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_is_no_fault(value: int) -> None:
    assert _shown(render(DecodedFrame(np.full((2, 2), value, "<u2")))).shape == (2, 2)


def test_monochrome1_is_inverted() -> None:
    pixels = np.array([[0, 100]], "<u2")
    assert _shown(render(DecodedFrame(pixels, center=50.5, width=101, inverted=True))).tolist() == [[255, 0]]


def test_colour_is_shown_as_it_is_and_16_bits_are_halved() -> None:
    pixels = np.array([[[1, 2, 3]]], np.uint8)
    assert _shown(render(DecodedFrame(pixels))).tolist() == [[[1, 2, 3]]]
    assert _shown(render(DecodedFrame(pixels.astype("<u2") << 8))).tolist() == [[[1, 2, 3]]]


def test_a_palette_becomes_colour() -> None:
    path = get_testdata_file("examples_palette.dcm", download=False)
    if path is None:
        pytest.skip("examples_palette.dcm is not among the files that come with pydicom")
    dataset = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_color_lut(dataset.pixel_array, dataset) >> 8
    np.testing.assert_array_equal(decode(Path(path), 0).pixels, expected)


def test_the_shared_decoders_are_made_once() -> None:
    assert decoding._shared_decoders() is decoding._shared_decoders()
