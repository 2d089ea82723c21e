"""The data dictionary (PS3.6) as the walk needs it: a tag's Value Representation in one look-up."""

from __future__ import annotations

from functools import lru_cache

from pydicom import datadict

# Where the dictionary leaves a choice, the VR that fits the same bytes in little endian:
# nothing but the two letters depends on it, and implicit VR does not write them.
_CHOICE = {
    "US or SS": "US",
    "OB or OW": "OW",
    "US or OW": "OW",
    "US or SS or OW": "OW",
}

PUBLIC: dict[int, str] = {
    tag: _CHOICE.get(entry[0], entry[0]) for tag, entry in datadict.DicomDictionary.items() if entry[0] != "NONE"
}
"""Tag to VR for every public attribute that is not of a repeating group."""


@lru_cache(maxsize=4096)
def _repeating(tag: int) -> str:
    """VR of an attribute of a repeating group (50xx, 60xx …); UN if there is none."""
    mask = datadict.mask_match(tag)
    if mask is None:
        return "UN"
    vr: str = datadict.RepeatersDictionary[mask][0]
    return _CHOICE.get(vr, vr)


def vr(tag: int) -> str:
    """Look up the VR of `tag`: private creators are LO, other private and unknown attributes UN."""
    known = PUBLIC.get(tag)
    if known is not None:
        return known
    if tag & 0x10000:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    if tag & 0xFFFF == 0:
        return "UL"
    return _repeating(tag)


@lru_cache(maxsize=4096)
def private_vr(group: int, creator: str, element: int) -> str:
    """Look up the VR of an element of a private block by its creator; UN where pydicom's dictionary has none."""
    entry = datadict.private_dictionaries.get(creator, {}).get(f"{group:04X}xx{element:02X}")
    vr = entry[0].replace("_", " or ") if entry else "UN"
    return _CHOICE.get(vr, vr)


def keyword(tag: int) -> str:
    """Look up the keyword of a public attribute (`PatientName`), empty when there is none."""
    word: str = datadict.keyword_for_tag(tag)
    return word


def tag(keyword: str) -> int:
    """Look up the tag of a keyword; raises KeyError when the dictionary has no such keyword."""
    number = datadict.tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    return int(number)
