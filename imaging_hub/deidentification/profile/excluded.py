"""Attributes that go whatever the table and the options say of them; a rule may keep those that are not rebuilt."""

from __future__ import annotations

from imaging_hub.deidentification.attribute import is_known

UNKNOWN = "unknown to the Standard"
REBUILT = "rebuilt"
"""Written by the engine, or below the dataset: no rule keeps what the source says."""

# Written by the engine itself, whatever the source says (PS3.15 §E.1.1, PS3.3 §C.12.1).
_OWN = frozenset((0x00120062, 0x00120063, 0x00120064, 0x00280303))
# Opaque, so nobody can say what they hold: encrypted attributes, signatures, keys of other systems, drawings.
_OPAQUE = frozenset(
    (0x04000120, 0x04000500, 0x04000510, 0x04000520, 0x0008041B, 0x0008041C, 0x0040A074, 0x0040A089, 0x4FFE0001)
) | {0x00686300}


def why_excluded(tag: int) -> str:
    """Why an attribute goes whatever the table says of it; empty where the table decides."""
    group = tag >> 16
    if group in (0x0000, 0x0002) or tag in _OWN:
        return REBUILT
    if group & 0xFF00 in (0x5000, 0x6000):
        # An overlay or a curve goes whole: the rest of its group means nothing without its data.
        return "E.1-1 Basic"
    if tag in _OPAQUE or (group & 0xFF00 == 0x7F00 and group != 0x7FE0):
        return "cannot be examined"
    return "" if is_known(tag) else UNKNOWN
