"""The file around the dataset."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from dataset_bytes import EXPLICIT, element

from imaging_hub.dicom.part10 import FileMeta, file_meta, split
from imaging_hub.errors import MalformedDataset

_DATASET = element(0x00080060, "CS", b"CT")
_META = FileMeta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", EXPLICIT)
_WHOLE = file_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", EXPLICIT) + _DATASET


def test_what_is_put_before_a_dataset_is_split_off_again() -> None:
    meta, dataset = split(_WHOLE)
    assert meta == _META
    assert dataset == _DATASET


def test_another_library_reads_the_file() -> None:
    read = pydicom.dcmread(BytesIO(_WHOLE))
    assert read.Modality == "CT"
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert read.file_meta.FileMetaInformationGroupLength == len(_WHOLE) - len(_DATASET) - 144


def test_the_preamble_is_zero_and_no_sender_is_named() -> None:
    assert _WHOLE[:128] == bytes(128)
    names = {e.keyword for e in pydicom.dcmread(BytesIO(_WHOLE)).file_meta}
    assert "SourceApplicationEntityTitle" not in names
    assert "PrivateInformation" not in names


def test_a_lying_group_length_is_not_believed() -> None:
    start = b"".join((bytes(128), b"DICM", element(0x00020000, "UL", b"\xff\xff\xff\x7f")))
    meta, dataset = split(start + element(0x00020010, "UI", EXPLICIT.encode() + b"\0") + _DATASET)
    assert meta == FileMeta("", "", EXPLICIT)
    assert dataset == _DATASET


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-dicom"),
        (b"%PDF-1.7" + bytes(200), "not-dicom"),
        (_WHOLE[:140], "truncated"),
        (_WHOLE[:200], "truncated"),
        (bytes(128) + b"DICM" + _DATASET, "no-transfer-syntax"),
        (bytes(128) + b"DICM" + element(0x00020010, "UI", b"1.2\0") * 2, "duplicate-element"),
    ],
)
def test_a_wrong_file_is_refused_by_name(data: bytes, code: str) -> None:
    with pytest.raises(MalformedDataset) as fault:
        split(data)
    assert fault.value.code == code
