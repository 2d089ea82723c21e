"""Values read out of a dataset, and text put back into bytes (PS3.5 §6)."""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from operator import attrgetter
from typing import TypeAlias

from pydicom import charset as character_sets

from imaging_hub.dicom import tags
from imaging_hub.dicom.dictionary import keyword, tag, vr
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.errors import MalformedDataset

__all__ = [
    "LATIN_1",
    "Charset",
    "charset_of",
    "decoded",
    "encode",
    "find",
    "is_charset_known",
    "items",
    "keyword",
    "number",
    "numbers",
    "tag",
    "text",
    "text_at",
    "texts",
    "vr",
]

Charset: TypeAlias = "tuple[str, ...]"
"""Python codecs for the values of Specific Character Set (0008,0005), the first for text without escapes."""

LATIN_1: Charset = ("latin-1",)
"""For datasets that name no character set: a superset of the default repertoire that decodes any byte."""

_by_tag = attrgetter("tag")
# VRs that Specific Character Set governs (PS3.5 §6.1.2.2); the others are ASCII.
_CHARSET_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UN", "UT"))
_ONE_VALUE = frozenset(("LT", "ST", "UR", "UT"))
_ASCII = frozenset(("", "ISO_IR 6", "ISO 2022 IR 6"))
_ESCAPE = b"\x1b"
_ESCAPE_SEQUENCE = re.compile("\x1b[(-/$]{1,2}[@-Z]")
_DELIMITERS = {ord(character) for character in "\\^=\r\n\t\f"}
_NUMBERS = {
    "AT": "H", "FD": "d", "FL": "f", "OB": "B", "OD": "d", "OF": "f", "OL": "L", "OV": "Q", "OW": "H",
    "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q",
}  # fmt: skip
_WORDS = {vr: struct.Struct(f"<{word}") for vr, word in _NUMBERS.items()}


def find(dataset: Dataset, tag: int) -> Element | None:
    """The element of `tag` in this dataset, not in its sequences."""
    place = bisect_left(dataset, tag, key=_by_tag)
    if place < len(dataset) and dataset[place].tag == tag:
        return dataset[place]
    return None


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """The items of a sequence; none when it is absent or not a sequence."""
    element = find(dataset, tag)
    return element.value if element is not None and isinstance(element.value, list) else []


def charset_of(dataset: Dataset, inherited: Charset = LATIN_1) -> Charset:
    """The character set of a dataset or item; `inherited` from what encloses it when it names none.

    A defined term that nobody knows counts as Latin-1, in which every byte is some letter, so that
    text is never lost from sight.
    """
    element = find(dataset, tags.SpecificCharacterSet)
    if element is None or isinstance(element.value, list) or not bytes(element.value).strip(b" \0"):
        return inherited
    terms = str(element.value, "latin-1").strip(" \0").split("\\")
    return tuple(_codec(term) for term in terms)


def is_charset_known(dataset: Dataset) -> bool:
    """Whether every defined term of the character set is one of the Standard, or there is no letter beyond ASCII."""
    element = find(dataset, tags.SpecificCharacterSet)
    if element is None or isinstance(element.value, list):
        return True
    terms = [_term(term) for term in str(element.value, "latin-1").split("\\")]
    return all(term in _ASCII or term in character_sets.python_encoding for term in terms) or _is_ascii(dataset)


def _is_ascii(dataset: Dataset) -> bool:
    return all(
        all(map(_is_ascii, element.value))
        if isinstance(element.value, list)
        else element.vr == "UN" or element.vr not in _CHARSET_VRS or bytes(element.value).isascii()
        for element in dataset
    )


def _term(text: str) -> str:
    """A defined term as it should be: `ISO IR 100`, `ISO-IR 100` … are met in practice."""
    return text.strip(" \0").upper().replace("-", "_").replace("ISO IR", "ISO_IR").replace("ISO_2022", "ISO 2022")


def _codec(text: str) -> str:
    """The Python codec of a defined term."""
    term = _term(text)
    return "latin-1" if term in _ASCII else str(character_sets.python_encoding.get(term, "latin-1"))


def text(element: Element, charset: Charset = LATIN_1) -> str:
    """The whole value as text without its padding; `\\` between values. Never fails: what cannot be decoded is `�`."""
    if isinstance(element.value, list):
        return ""
    value = bytes(element.value)
    return decoded(value, charset if element.vr in _CHARSET_VRS else LATIN_1)


def decoded(value: bytes, charset: Charset) -> str:
    """Bytes as text in a character set, whatever their VR, without padding; what cannot be decoded is `�`."""
    if _ESCAPE in value:
        # Python decodes ISO 2022 IR 58 and leaves its escape sequences, glued to the words behind them.
        text: str = _ESCAPE_SEQUENCE.sub("", character_sets.decode_bytes(value, list(charset), _DELIMITERS))
    else:
        text = value.decode(charset[0], errors="replace")
    return text.rstrip(" \0")


def texts(element: Element, charset: Charset = LATIN_1) -> list[str]:
    """The values as text, each without padding; the empty list for an empty value."""
    whole = text(element, charset)
    if not whole:
        return []
    if element.vr in _ONE_VALUE:
        return [whole]
    return [value.strip(" \0") for value in whole.split("\\")]


def text_at(dataset: Dataset, tag: int, charset: Charset = LATIN_1) -> str:
    """The first value of an attribute as text, empty when it is absent or empty."""
    element = find(dataset, tag)
    values = [] if element is None else texts(element, charset)
    return values[0] if values else ""


def numbers(element: Element) -> list[int | float]:
    """The values as numbers: binary ones, IS and DS; raises `MalformedDataset` `bad-value` if they are none."""
    if isinstance(element.value, list):
        raise _not_numbers()
    word = _WORDS.get(element.vr)
    try:
        if word is not None:
            return [value for (value,) in word.iter_unpack(element.value)]
        if element.vr == "IS":
            # Some devices write integers as `1.0`.
            return [int(value) if value.lstrip("+-").isdigit() else int(float(value)) for value in texts(element)]
        if element.vr == "DS":
            return [float(value) for value in texts(element)]
    except (ValueError, OverflowError, struct.error):
        raise _not_numbers() from None
    raise _not_numbers()


def number(dataset: Dataset, tag: int) -> int | float | None:
    """The first value of an attribute as a number; None when it is absent, empty or no number."""
    element = find(dataset, tag)
    if element is None:
        return None
    try:
        values = numbers(element)
    except MalformedDataset:
        return None
    return values[0] if values else None


def encode(value: str, vr: str, charset: Charset = LATIN_1) -> bytes:
    """Text as the bytes of a value, unpadded; a letter the character set lacks becomes `?`."""
    if vr not in _CHARSET_VRS:
        return value.encode("ascii", errors="replace")
    # Only what needs no escape sequence: text that the hub writes itself is Latin.
    return value.encode(charset[0], errors="replace")


def _not_numbers() -> MalformedDataset:
    return MalformedDataset("A value is not the number its VR promises.", code="bad-value")
