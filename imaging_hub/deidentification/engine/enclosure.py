"""Attributes that an option covers because of the sequence around them, whatever Table E.1-1 says of them elsewhere.

The text of an annotation is Unformatted Text Value, which the table gives to Clean Descriptors; drawn on an image
it is of Clean Graphics (PS3.15 §E.3.3), beside a waveform of Clean Structured Content. The latter also covers
content items that stand in sequences which the table does not name (§E.3.4).
"""

from __future__ import annotations

from imaging_hub.deidentification.engine.decision import Handling
from imaging_hub.deidentification.standard import CLEAN_GRAPHICS, CLEAN_STRUCTURED_CONTENT
from imaging_hub.dicom import tags

_ANYWHERE = 0

_COVERED = {
    (tags.UnformattedTextValue, tags.GraphicAnnotationSequence): (CLEAN_GRAPHICS, Handling.CLEAN),
    (tags.TickLabel, tags.GraphicAnnotationSequence): (CLEAN_GRAPHICS, Handling.CLEAN),
    (tags.UnformattedTextValue, tags.WaveformAnnotationSequence): (CLEAN_STRUCTURED_CONTENT, Handling.CLEAN),
    (tags.SpecimenPreparationStepContentItemSequence, _ANYWHERE): (CLEAN_STRUCTURED_CONTENT, Handling.CONTENT),
    (tags.ProtocolContextSequence, _ANYWHERE): (CLEAN_STRUCTURED_CONTENT, Handling.CONTENT),
    (tags.ContentItemModifierSequence, _ANYWHERE): (CLEAN_STRUCTURED_CONTENT, Handling.CONTENT),
}


def covered(tag: int, path: tuple[int, ...], options: frozenset[str]) -> tuple[str, Handling] | None:
    """The option chosen that covers an attribute inside these sequences, and how; None where the table decides."""
    for around in (_ANYWHERE, *path):
        found = _COVERED.get((tag, around))
        if found is not None and found[0] in options:
            return found
    return None
