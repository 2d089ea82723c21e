"""Attributes that an option covers because of the sequence around them, whatever Table E.1-1 says of them elsewhere.

The text of an annotation is Unformatted Text Value, which the table gives to Clean Descriptors; drawn on an image
it is of Clean Graphics (PS3.15 §E.3.3), beside a waveform of Clean Structured Content. The latter also covers
content items that stand in sequences which the table does not name (§E.3.4).
"""

from __future__ import annotations

from imaging_hub.deidentification.engine.decision import Handling
from imaging_hub.deidentification.standard import CLEAN_GRAPHICS, CLEAN_STRUCTURED_CONTENT

_ANYWHERE = 0
_GRAPHIC_ANNOTATIONS, _WAVEFORM_ANNOTATIONS = 0x00700001, 0x0040B020
_TEXT, _TICK_LABEL = 0x00700006, 0x00700289
_PREPARATION_STEPS, _PROTOCOL_CONTEXT, _MODIFIERS = 0x00400612, 0x00400440, 0x00400441

_COVERED = {
    (_TEXT, _GRAPHIC_ANNOTATIONS): (CLEAN_GRAPHICS, Handling.CLEAN),
    (_TICK_LABEL, _GRAPHIC_ANNOTATIONS): (CLEAN_GRAPHICS, Handling.CLEAN),
    (_TEXT, _WAVEFORM_ANNOTATIONS): (CLEAN_STRUCTURED_CONTENT, Handling.CLEAN),
    (_PREPARATION_STEPS, _ANYWHERE): (CLEAN_STRUCTURED_CONTENT, Handling.CONTENT),
    (_PROTOCOL_CONTEXT, _ANYWHERE): (CLEAN_STRUCTURED_CONTENT, Handling.CONTENT),
    (_MODIFIERS, _ANYWHERE): (CLEAN_STRUCTURED_CONTENT, Handling.CONTENT),
}


def covered(tag: int, path: tuple[int, ...], options: frozenset[str]) -> tuple[str, Handling] | None:
    """The option chosen that covers an attribute inside these sequences, and how; None where the table decides."""
    for around in (_ANYWHERE, *path):
        found = _COVERED.get((tag, around))
        if found is not None and found[0] in options:
            return found
    return None
