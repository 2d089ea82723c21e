"""Encoded elements, built by hand so that a test can also build wrong ones."""

from __future__ import annotations

from struct import pack

UNDEFINED = 0xFFFFFFFF
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
IMPLICIT, EXPLICIT, DEFLATED, BIG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def element(tag: int, vr: str, value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    """An element in explicit VR, with another `length` than its value's if so told."""
    length = len(value) if length is None else length
    head = pack(f"{order}HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (pack(f"{order}HL", 0, length) if vr in LONG else pack(f"{order}H", length)) + value


def implicit(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    """An element in implicit VR."""
    return pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(content: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    """An item of defined length, or of the `length` told."""
    return pack(f"{order}HHL", 0xFFFE, 0xE000, len(content) if length is None else length) + content


ITEM_END = pack("<HHL", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = pack("<HHL", 0xFFFE, 0xE0DD, 0)


def fragments(*pieces: bytes) -> bytes:
    """Encapsulated pixel data: an empty offset table, and these fragments."""
    return element(0x7FE00010, "OB", b"".join((item(), *map(item, pieces), SEQUENCE_END)), UNDEFINED)


def nested(depth: int) -> bytes:
    """Sequences of undefined length in each other, `depth` of them."""
    content = element(0x00100020, "LO", b"ID")
    for _ in range(depth):
        content = element(0x0040A730, "SQ", item(content, UNDEFINED) + ITEM_END + SEQUENCE_END, UNDEFINED)
    return content
