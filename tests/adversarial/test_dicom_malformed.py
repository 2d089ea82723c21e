"""Bytes that are not the DICOM they claim to be: each has a name, and nothing but `MalformedDataset` comes of it."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
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
from pydicom.data import get_testdata_file

from imaging_hub.dicom import encode, part10, uid, values, walk
from imaging_hub.dicom.walk import WalkLimits, read
from imaging_hub.errors import MalformedDataset

_NAME = element(0x00100010, "PN", b"A^B ")
_MODALITY = element(0x00080060, "CS", b"CT")
_CODE = element(0x00080100, "SH", b"T1")


def _deflated(data: bytes, end: int = zlib.Z_FINISH) -> bytes:
    stream = zlib.compressobj(9, wbits=-15)
    return stream.compress(data) + stream.flush(end)


@cache
def _bomb() -> bytes:
    stream = zlib.compressobj(9, wbits=-15)
    return b"".join([*(stream.compress(bytes(1 << 20)) for _ in range(513)), stream.flush()])


_ATTACKS = [
    pytest.param(_NAME[:-1], EXPLICIT, "truncated", id="value cut short"),
    pytest.param(_MODALITY + _NAME[:5], EXPLICIT, "truncated", id="header cut short"),
    pytest.param(element(0x7FE00010, "OW", bytes(100), 0xFFFFFFF0), EXPLICIT, "truncated", id="length 0xFFFFFFF0"),
    pytest.param(implicit(0x7FE00010, bytes(100), 0xFFFFFFF0), IMPLICIT, "truncated", id="the same in implicit VR"),
    pytest.param(element(0x00081032, "SQ", b"", 0xFFFFFFF0), EXPLICIT, "truncated", id="sequence of 0xFFFFFFF0"),
    pytest.param(element(0x00081032, "SQ", item(b"", 0xFFFFFFF0)), EXPLICIT, "truncated", id="item of 0xFFFFFFF0"),
    pytest.param(
        element(0x00081032, "SQ", item(_CODE, UNDEFINED), UNDEFINED), EXPLICIT, "truncated", id="no delimiter"
    ),
    pytest.param(
        element(0x7FE00010, "OB", item() + item(bytes(8), 0xFFFFFFF0), UNDEFINED),
        JPEG_BASELINE,
        "truncated",
        id="fragment of 0xFFFFFFF0",
    ),
    pytest.param(element(0x7FE00010, "OB", item(), UNDEFINED), JPEG_BASELINE, "truncated", id="fragments without end"),
    pytest.param(_deflated(_NAME)[:-3], DEFLATED, "truncated", id="deflated stream cut short"),
    pytest.param(_deflated(_NAME, end=zlib.Z_SYNC_FLUSH), DEFLATED, "truncated", id="deflated stream without end"),
    pytest.param(b"\xff" * 64, DEFLATED, "truncated", id="no deflated stream"),
    pytest.param(
        element(0x00081032, "SQ", item(element(0x0040A730, "SQ", item(), 16)) + item()),
        EXPLICIT,
        "bad-length",
        id="sequence past item",
    ),
    pytest.param(
        element(0x00081032, "SQ", item(_CODE, UNDEFINED) + ITEM_END, 8 + len(_CODE) + 4) + _NAME,
        EXPLICIT,
        "bad-length",
        id="delimiter past sequence",
    ),
    pytest.param(
        element(0x00081032, "SQ", item(_CODE, len(_CODE) + 8)) + _NAME, EXPLICIT, "bad-length", id="item past sequence"
    ),
    pytest.param(
        element(0x00081032, "SQ", item(element(0x00080100, "SH", b"T1", 20))) + _NAME * 3,
        EXPLICIT,
        "bad-length",
        id="value past item",
    ),
    pytest.param(element(0x7FE00010, "OW", SEQUENCE_END, UNDEFINED), EXPLICIT, "bad-length", id="native, undefined"),
    pytest.param(
        element(0x00420011, "OB", SEQUENCE_END, UNDEFINED), JPEG_BASELINE, "bad-length", id="document, undefined"
    ),
    pytest.param(implicit(0x00100010, SEQUENCE_END, UNDEFINED), IMPLICIT, "bad-length", id="name, undefined"),
    pytest.param(element(0x00280010, "US", b"\1", order=">"), BIG, "bad-length", id="half a big endian word"),
    pytest.param(element(0x00100010, "ZZ", b"A^B "), EXPLICIT, "bad-vr", id="no such VR"),
    pytest.param(element(0x00100010, "pn", b"A^B "), EXPLICIT, "bad-vr", id="VR in small letters"),
    pytest.param(element(0x00100010, "OB", b"A^B "), EXPLICIT, "bad-vr", id="a name as bytes"),
    pytest.param(element(0x00081032, "OB", item(_CODE)), EXPLICIT, "bad-vr", id="a sequence as bytes"),
    pytest.param(element(0x00081032, "UT", item(_CODE)), EXPLICIT, "bad-vr", id="a sequence as text"),
    pytest.param(element(0x00100010, "SQ", item(_CODE)), EXPLICIT, "bad-vr", id="a name as sequence"),
    pytest.param(
        implicit(0x00080060, b"CT") + implicit(0x00100010, b"A^B "), EXPLICIT, "bad-vr", id="implicit as explicit"
    ),
    pytest.param(_MODALITY + _NAME, IMPLICIT, "truncated", id="explicit as implicit"),
    pytest.param(_MODALITY + _NAME, BIG, "truncated", id="little endian as big endian"),
    pytest.param(_NAME + _NAME, EXPLICIT, "duplicate-element", id="a name twice"),
    pytest.param(_MODALITY + _NAME + _MODALITY, EXPLICIT, "duplicate-element", id="an attribute again, later"),
    pytest.param(element(0x00081032, "SQ", item(_CODE * 2)), EXPLICIT, "duplicate-element", id="twice in an item"),
    pytest.param(_NAME + _MODALITY, EXPLICIT, "out-of-order-element", id="descending tags"),
    pytest.param(element(0x00020010, "UI", b"1.2\0") + _NAME, EXPLICIT, "out-of-order-element", id="file meta within"),
    pytest.param(implicit(0x00000100, b"\1\0") + _NAME, IMPLICIT, "out-of-order-element", id="a command within"),
    pytest.param(_NAME + bytes(8) + b"DUPONT", EXPLICIT, "trailing-bytes", id="text after zeros"),
    pytest.param(_deflated(_NAME) + b"DUPONT^JEAN", DEFLATED, "trailing-bytes", id="text after the stream"),
    pytest.param(_MODALITY + ITEM_END, EXPLICIT, "unexpected-delimiter", id="item delimiter outside"),
    pytest.param(_MODALITY + SEQUENCE_END, EXPLICIT, "unexpected-delimiter", id="sequence delimiter outside"),
    pytest.param(
        element(0x00081032, "SQ", item(ITEM_END)), EXPLICIT, "unexpected-delimiter", id="delimiter in defined item"
    ),
    pytest.param(element(0x00081032, "SQ", _CODE), EXPLICIT, "unexpected-delimiter", id="element for item"),
    pytest.param(
        element(0x00081032, "SQ", SEQUENCE_END), EXPLICIT, "unexpected-delimiter", id="delimiter in defined sequence"
    ),
    pytest.param(
        element(0x7FE00010, "OB", _CODE + SEQUENCE_END, UNDEFINED),
        JPEG_BASELINE,
        "unexpected-delimiter",
        id="element for fragment",
    ),
    pytest.param(nested(200), EXPLICIT, "nested-too-deep", id="200 deep"),
    pytest.param(nested(2_000), EXPLICIT, "nested-too-deep", id="2,000 deep"),
    pytest.param(element(0x00081032, "SQ", item() * 200_000), EXPLICIT, "too-many-elements", id="200,000 empty items"),
    pytest.param(
        element(0x7FE00010, "OB", item() * 200_001 + SEQUENCE_END, UNDEFINED),
        JPEG_BASELINE,
        "too-many-elements",
        id="200,001 empty fragments",
    ),
    pytest.param(
        b"".join(element(tag, "LO") for tag in range(0x00091000, 0x00091000 + 250_000) if tag & 0xFFFF),
        EXPLICIT,
        "too-many-elements",
        id="250,000 elements",
    ),
    pytest.param(_bomb(), DEFLATED, "deflate-bomb", id="deflate bomb"),
    pytest.param(_NAME, "1.2.840.10008.1.2.4.94", "unsupported-transfer-syntax", id="JPIP"),
    pytest.param(_NAME, "../../etc/passwd", "unsupported-transfer-syntax", id="no transfer syntax"),
    pytest.param(_NAME, "", "unsupported-transfer-syntax", id="empty transfer syntax"),
]


@pytest.mark.parametrize(("data", "syntax", "code"), _ATTACKS)
def test_an_attack_has_a_name_that_holds_nothing_of_the_data(data: bytes, syntax: str, code: str) -> None:
    with pytest.raises(MalformedDataset) as fault:
        read(data, syntax)
    assert fault.value.code == code
    assert not any(word in f"{fault.value} {fault.value.hint}" for word in ("A^B", "DUPONT", "passwd", "0x"))


def test_a_bomb_costs_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self, wbits: int) -> None:
            self._stream = real(wbits)

        def decompress(self, data: memoryview, limit: int) -> bytes:
            inflated = self._stream.decompress(data, limit)
            sizes.append(len(inflated))
            return inflated

        def __getattr__(self, name: str) -> object:
            return getattr(self._stream, name)

    monkeypatch.setattr(walk.zlib, "decompressobj", Watched)
    with pytest.raises(MalformedDataset):
        read(_bomb(), DEFLATED, WalkLimits(inflated=1 << 20))
    assert sizes == [1 << 20]


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "/etc/passwd", "1.2\0.3", "1.2\n", "1." + "3" * 63, "1.2.03"])
def test_a_hostile_uid_is_read_as_it_stands_and_is_not_valid(text: str) -> None:
    data = part10.file_meta("1.2", text, EXPLICIT) + element(0x00080018, "UI", text.encode())
    meta, dataset = part10.split(data)
    (found,) = read(dataset, EXPLICIT)
    assert not uid.is_valid(values.text(found))
    assert not uid.is_valid(meta.sop_instance_uid)


@pytest.mark.parametrize("data", [b"", b"\0" * 131, b"%PDF-1.7" * 40, b"MZ" + bytes(500), b"\x89PNG\r\n" * 99])
def test_other_files_are_no_dicom(data: bytes) -> None:
    with pytest.raises(MalformedDataset) as fault:
        part10.split(data)
    assert fault.value.code == "not-dicom"


_SAMPLES = ("CT_small.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "image_dfl.dcm", "JPEG2000.dcm", "test-SR.dcm")


def mutants(original: bytes, random_: random.Random) -> Iterator[bytes]:
    """Endless damaged copies: bits, words, lengths, cuts, repetitions."""
    while True:
        data = bytearray(original)
        for _ in range(random_.choice((1, 1, 2, 8))):
            place = (
                random_.randrange(132, max(len(data), 133)) if random_.random() < 0.5 else random_.randrange(132, 1500)
            )
            place = min(place, len(data) - 1)
            match random_.randrange(6):
                case 0:
                    data[place] ^= 1 << random_.randrange(8)
                case 1:
                    data[place : place + 4] = pack("<L", random_.choice((0, 1, 0xFFFFFFFF, 0xFFFFFFF0, 0x7FFFFFFF)))
                case 2:
                    del data[place:]
                case 3:
                    data[place:place] = data[place : place + random_.randrange(1, 400)]
                case 4:
                    data[place : place + 8] = random_.choice(
                        (ITEM_END, SEQUENCE_END, item(), b"SQ\0\0\xff\xff\xff\xff")
                    )
                case _:
                    del data[place : place + random_.randrange(1, 40)]
            if len(data) < 200:
                break
        yield bytes(data)


def examine(data: bytes) -> str:
    """The code of a fault, or `ok`: then it can be written, and reads back as a dataset."""
    try:
        meta, encoded = part10.split(data)
        dataset = read(encoded, meta.transfer_syntax_uid)
        syntax = encode.output_syntax(meta.transfer_syntax_uid)
        written = b"".join(encode.write(dataset, syntax))
    except MalformedDataset as fault:
        return fault.code
    again = read(written, syntax)
    assert b"".join(encode.write(again, syntax)) == written
    return "ok"


@pytest.mark.parametrize("name", _SAMPLES)
def test_a_damaged_file_raises_nothing_else(name: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not among the files that come with pydicom")
    damaged = mutants(Path(path).read_bytes(), random.Random(name))
    outcomes = {examine(next(damaged)) for _ in range(200)}
    assert len(outcomes) > 3
