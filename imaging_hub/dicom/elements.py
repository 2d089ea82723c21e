"""A dataset as the Standard encodes it: data elements in order, values as bytes until somebody needs them.

Values are little endian whatever came in, and are not decoded: what a profile keeps is copied as
it stands, and pixel data is never copied at all (`memoryview` into the source).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Buffer: TypeAlias = bytes | memoryview
Dataset: TypeAlias = "list[Element]"


@dataclass(slots=True)
class Element:
    """One data element (PS3.5 §7.1)."""

    tag: int
    """Group << 16 | element."""
    vr: str
    """Value Representation, two letters; for implicit VR from the dictionary, `UN` when unknown."""
    value: Buffer | list[Dataset]
    """Encoded value without padding added or removed; the items of a sequence (`SQ`); for encapsulated
    pixel data the whole chain of fragments from the first item tag to before the delimiter."""
    encapsulated: bool = False
    """True for pixel data of undefined length (PS3.5 §A.4)."""
