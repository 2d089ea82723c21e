"""Attributes by keyword, tag and VR, as a profile speaks of them."""

from __future__ import annotations

import re
from functools import cache

from imaging_hub.deidentification import standard_tables
from imaging_hub.dicom import dictionary, tags

TEXT_VRS = frozenset(("CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""VRs whose values are words."""
ONE_VALUE_VRS = frozenset(("LT", "ST", "UR", "UT"))
"""VRs in which a backslash is a letter like others (PS3.5 §6.2)."""

WRITTEN_BY_ENGINE = frozenset(
    (
        tags.PatientIdentityRemoved,
        tags.DeidentificationMethod,
        tags.DeidentificationMethodCodeSequence,
        tags.LongitudinalTemporalInformationModified,
    )
)
"""Attributes in which an instance says how it was de-identified (PS3.15 §E.1.1, PS3.3 §C.7.1.1, §C.12.1)."""

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?\s*([0-9A-Fa-f]{4})\)?\Z")


@cache
def vr_of(tag: int) -> str:
    """Look up the VR of an attribute, `UN` when neither the dictionary nor Table E.1-1 knows it."""
    vr = dictionary.vr(tag)
    return tags.NEWER.get(tag, "UN") if vr == "UN" else vr


@cache
def is_known(tag: int) -> bool:
    """Whether the Standard names this public attribute: what it does not name is not kept."""
    return bool(dictionary.keyword(tag)) or tag in standard_tables.by_tag()


def is_rebuilt(tag: int) -> bool:
    """Whether the engine writes an attribute anew, or no dataset has it (groups 0000 and 0002): no rule keeps it."""
    return tag in WRITTEN_BY_ENGINE or tag >> 16 in (0x0000, 0x0002)


@cache
def attribute_name(tag: int) -> str:
    """Look up the keyword of an attribute, or its name in Table E.1-1; its tag `(gggg,eeee)` where it has neither."""
    row = standard_tables.by_tag().get(tag)
    word = dictionary.keyword(tag)
    if not word and row is not None:
        word = re.sub(r"[^A-Za-z0-9]", "", row.name.replace("'s", "s"))
    return word or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def parse_attribute(text: str) -> int | None:
    """Read a keyword, or a tag written `(0010,4000)` or `00104000`; None when it is neither."""
    match = _TAG.match(text.strip())
    if match is not None:
        tag = int(match[1] + match[2], 16)
        return tag if is_known(tag) else None
    try:
        return dictionary.tag(text.strip())
    except KeyError:
        return next((tag for tag in standard_tables.by_tag() if attribute_name(tag) == text.strip()), None)
