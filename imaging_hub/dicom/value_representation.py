"""Value Representations (PS3.5 §6.2, §7.1.2): how each is encoded, and what a reader takes it for."""

from __future__ import annotations

from array import array

from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import MalformedDataset

SHORT_VRS = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
    *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
)
"""Explicit VR with a length of 16 bits (table 7.1-2)."""

LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
"""Explicit VR with two reserved bytes and a length of 32 bits (table 7.1-1)."""

TEXT_VRS = frozenset(
    (
        *("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH"),
        *("ST", "TM", "UC", "UI", "UR", "UT"),
    )
)
"""Values are characters."""

NATURE = dict.fromkeys((*SHORT_VRS, *LONG_VRS), "binary") | dict.fromkeys(TEXT_VRS, "text") | {"SQ": "sequence"}
"""What a reader takes a value for: an attribute that the dictionary knows as text or as a sequence
must not come as bytes, where nobody would look for a name."""

# VR to the array type of one word: what changes with byte order (PS3.5 §7.3).
_WORDS = {"H": "AT OW SS US", "I": "FL OF OL SL UL", "Q": "FD OD OV SV UV"}
_WORD_OF = {vr: word for word, vrs in _WORDS.items() for vr in vrs.split()}


def little_endian(vr: str, value: Buffer) -> Buffer:
    """A big endian value in little endian; text, OB and UN are the same in both.

    Raises `MalformedDataset` `bad-length` when the value is not made of whole words.
    """
    word = _WORD_OF.get(vr)
    if word is None:
        return value
    words = array(word)
    if len(value) % words.itemsize:
        raise MalformedDataset("A value is not made of whole words of its VR.", code="bad-length")
    words.frombytes(value)
    words.byteswap()
    return words.tobytes()
