"""The strict walk and the frame decoder against pydicom, over the shared corpus."""

from __future__ import annotations

import csv
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dcmtk import tool
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset as PydicomDataset

from imaging_hub.dicom import encode, part10, tags
from imaging_hub.dicom.elements import Dataset
from imaging_hub.dicom.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN
from imaging_hub.dicom.value_representation import TEXT_VRS
from imaging_hub.dicom.walk import read
from imaging_hub.errors import MalformedDataset
from imaging_hub.pixels import decoding

pytestmark = pytest.mark.corpus

# What of the corpus the strict walk refuses, and why. A file that leaves or joins this list is a decision.
_REFUSED = {
    "CT/Tools-for-Health-Data-Anonymization/privateTag.dcm": "out-of-order-element",
    "NOMOD/pydicom/winter.dcm": "duplicate-element",
    "OT/pydicom/SC_rgb_jpeg.dcm": "bad-vr",
    "RTDOSE/dicom-test-files/rtdose_expb.dcm": "unsupported-transfer-syntax",
    "RTDOSE/dicom-test-files/rtdose_expb_1frame.dcm": "unsupported-transfer-syntax",
    "odd/dcm4che/no_preamble_dicm_in_data": "no-transfer-syntax",
    "odd/dicom-test-files/MR_truncated.dcm": "truncated",
    "odd/dicom-test-files/meta_missing_tsyntax.dcm": "no-transfer-syntax",
    "odd/dicom-test-files/nested_priv_SQ.dcm": "out-of-order-element",
    "odd/dicom-test-files/rtplan_truncated.dcm": "truncated",
    "odd/fo-dicom/FreezePattern.dcm": "unexpected-delimiter",
    "odd/fo-dicom/GH626.dcm": "trailing-bytes",
    "odd/pydicom-data-1.0.0/emri_small_jpeg_2k_lossless_too_short.dcm": "truncated",
    "odd/pydicom/DICOMDIR-nooffset": "truncated",
}

# UN of undefined length in a big endian dataset is implicit VR little endian (PS3.5 §6.2.2);
# pydicom 3.0 reads on in big endian.
_ONLY_WE_READ = {"GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm"}


# GDCM reads no JPEG of 12 bits; DCMTK does.
_TWELVE_BITS = {
    "CT/dicom-test-files/SC1_JPLY",
    "MR/dicom-test-files/MR1_JPLY",
    "MR/dicom-test-files/MR4_JPLY",
    "NM/dicom-test-files/NM1_JPLY",
    "NM/pydicom/JPGExtended.dcm",
}
# JPEG-LS of 7 bits, which neither of the two reads.
_ONLY_WE_DECODE = {"NOMOD/pydicom-data/JLSL_08_07_0_1F.dcm"}


def _files(corpus: Path) -> list[Path]:
    with (corpus / "catalogue.csv").open() as file:
        return [corpus / row["path"] for row in csv.DictReader(file)]


def _walked(path: Path) -> tuple[Dataset, str]:
    meta, encoded = part10.split(path.read_bytes())
    return read(encoded, meta.transfer_syntax_uid), meta.transfer_syntax_uid


def test_the_walk_refuses_what_is_listed_and_nothing_else(corpus: Path) -> None:
    refused = {}
    for path in _files(corpus):
        try:
            _walked(path)
        except MalformedDataset as fault:
            refused[str(path.relative_to(corpus))] = fault.code
    files_without_prefix = {name for name, code in refused.items() if code == "not-dicom"}
    assert {name: code for name, code in refused.items() if name not in files_without_prefix} == _REFUSED
    assert all((corpus / name).read_bytes()[128:132] != b"DICM" for name in files_without_prefix)


def _as_pydicom_reads(dataset: PydicomDataset) -> list[tuple[int, object]]:
    """Tags with value bytes; with items for a sequence; with None where pydicom has already decoded the value."""
    raw = {int(tag): dataset.get_item(tag) for tag in dataset.keys()}  # noqa: SIM118 - iterating decodes
    read: list[tuple[int, object]] = []
    for tag in sorted(raw):
        element = raw[tag]
        if tag & 0xFFFF == 0 or tag == tags.DataSetTrailingPadding:
            continue
        if dataset[tag].VR == "SQ":
            read.append((tag, [_as_pydicom_reads(item) for item in dataset[tag].value or []]))
        elif isinstance(element, RawDataElement):
            read.append((tag, bytes(element.value or b"")))
        else:
            read.append((tag, None))
    return read


def _differences(walked: Dataset, other: list[tuple[int, object]], *, only_text: bool) -> Iterator[int]:
    """Tags at which the two readings differ; encapsulated pixel data are compared without their item tags."""
    if [e.tag for e in walked] != [tag for tag, _ in other]:
        yield from sorted({e.tag for e in walked} ^ {tag for tag, _ in other})
        return
    for element, (tag, value) in zip(walked, other, strict=True):
        if isinstance(element.value, list):
            if not isinstance(value, list) or len(value) != len(element.value):
                yield tag
                continue
            for item, other_item in zip(element.value, value, strict=True):
                yield from _differences(item, other_item, only_text=only_text)
        elif element.vr == "UN" and isinstance(value, list):
            # A private sequence of defined length in implicit VR: pydicom knows some by its private dictionary.
            continue
        elif value is not None and not (only_text and element.vr not in TEXT_VRS) and bytes(element.value) != value:
            yield tag


def test_the_walk_reads_what_pydicom_reads(corpus: Path) -> None:
    compared, different = 0, {}
    for path in _files(corpus):
        try:
            walked, syntax = _walked(path)
        except MalformedDataset:
            continue
        if path.name in _ONLY_WE_READ:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = _as_pydicom_reads(pydicom.dcmread(path))
        # pydicom hands out big endian values as they came; text is the same in both.
        found = list(_differences(walked, other, only_text=syntax == EXPLICIT_VR_BIG_ENDIAN))
        compared += 1
        if found:
            different[str(path.relative_to(corpus))] = [f"{tag:08X}" for tag in found]
    assert different == {}
    assert compared >= 700


def test_what_is_written_reads_back_over_the_corpus(corpus: Path) -> None:
    for path in _files(corpus):
        try:
            walked, syntax = _walked(path)
        except MalformedDataset:
            continue
        target = encode.output_syntax(syntax)
        written = b"".join(encode.write(walked, target))
        again = read(written, target)
        assert b"".join(encode.write(again, target)) == written, path.name


@pytest.mark.parametrize(
    "wanted",
    [
        "JPEG Baseline",
        "JPEG Extended",
        "JPEG Lossless",
        "JPEG-LS",
        "JPEG 2000",
        "High-Throughput",
        "RLE",
        "Big Endian",
        "Deflated",
    ],
)
def test_frames_are_what_pydicom_decodes(corpus: Path, wanted: str) -> None:
    """Here pydicom has GDCM for JPEG, whose decoders are not ours."""
    rows = [
        row
        for row in _readable_images(corpus)
        if wanted in row["transfer_syntax"]
        and row["pixels_decode"] == "yes"
        and row["path"] not in _TWELVE_BITS | _ONLY_WE_DECODE
    ]
    for row in rows[:20]:
        path = corpus / row["path"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = pydicom.pixels.pixel_array(pydicom.dcmread(path), index=0)
        np.testing.assert_array_equal(decoding.decode(path, 0).pixels, expected, err_msg=path.name)
    assert rows


@pytest.mark.peer
@pytest.mark.parametrize("name", sorted(_TWELVE_BITS))
def test_jpeg_of_12_bits_is_what_dcmtk_decodes(corpus: Path, tmp_path: Path, name: str) -> None:
    command = tool("dcmdjpeg")
    if command is None:
        pytest.skip("DCMTK is not installed")
    decoded = tmp_path / "decoded.dcm"
    subprocess.run([command, corpus / name, decoded], check=True, timeout=60)
    expected = pydicom.pixels.pixel_array(pydicom.dcmread(decoded), index=0)
    np.testing.assert_array_equal(decoding.decode(corpus / name, 0).pixels, expected)


def _readable_images(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "catalogue.csv").open() as file:
        return [
            row
            for row in csv.DictReader(file)
            if row["photometric"] not in ("", "PALETTE COLOR")
            and row["path"] not in _REFUSED
            and row["readable_by_pydicom"] == "yes"
        ]
