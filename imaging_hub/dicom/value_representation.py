"""Value Representations (PS3.5 §6.2, §7.1.2): how each is encoded, and what a reader takes it for."""

from __future__ import annotations

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
