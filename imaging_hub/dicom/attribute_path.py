"""Attributes by the path people read (`RequestAttributesSequence[0].AccessionNumber`), values as they see them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.dicom.values import LATIN_1, Charset
from imaging_hub.errors import MalformedDataset

LONGEST = 200
"""Characters of a value that are shown."""

_CREATOR = re.compile(r'\(([0-9A-F]{4}),".*?",([0-9A-F]{2})\)')
_MOST_NUMBERS = 8
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_BINARY_NUMBERS = frozenset(("AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"))


def readable(dataset: Dataset, prefix: str = "", charset: Charset = LATIN_1) -> Iterator[tuple[str, str]]:
    """Yield path and value of every attribute at every depth, in the order of the dataset."""
    charset = values.charset_of(dataset, charset)
    creators: dict[tuple[int, int], str] = {}
    for element in dataset:
        group, number = element.tag >> 16, element.tag & 0xFFFF
        if group % 2 and 0x10 <= number <= 0xFF:
            creators[group, number] = values.text(element, charset)
        path = prefix + _name(element.tag, creators.get((group, number >> 8), ""))
        yield path, shown(element, charset)
        if isinstance(element.value, list):
            for place, item in enumerate(element.value):
                yield from readable(item, f"{path}[{place}].", charset)


def without_creator(path: str) -> str:
    """Write a path without the private creators it names, since a creator's text could identify."""
    return _CREATOR.sub(r"(\1,private,\2)", path)


def shown(element: Element, charset: Charset = LATIN_1) -> str:
    """Write a value for the eye: printable, at most `LONGEST` characters, binary by its size only."""
    if isinstance(element.value, list):
        return f"{len(element.value)} item{'' if len(element.value) == 1 else 's'}"
    if element.encapsulated or element.vr in _BINARY:
        return f"{memoryview(element.value).nbytes} bytes"
    if element.vr in _BINARY_NUMBERS:
        try:
            numbers = values.numbers(element)
        except MalformedDataset:
            return f"{memoryview(element.value).nbytes} bytes"
        more = " …" if len(numbers) > _MOST_NUMBERS else ""
        return " \\ ".join(f"{number:g}" for number in numbers[:_MOST_NUMBERS]) + more
    text = "".join(letter if letter.isprintable() else " " for letter in values.text(element, charset)).strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _name(tag: int, creator: str) -> str:
    group, number = tag >> 16, tag & 0xFFFF
    if group % 2 == 0:
        return values.keyword(tag) or f"({group:04X},{number:04X})"
    if number > 0xFF:
        return f'({group:04X},"{creator}",{number & 0xFF:02X})'
    return f"({group:04X},{number:04X})"
