"""Attributes that go whatever the table and the options say of them; a rule may keep those that are not rebuilt."""

from __future__ import annotations

from imaging_hub.deidentification.attribute import is_known
from imaging_hub.dicom import tags

UNKNOWN = "unknown to the Standard"
REBUILT = "rebuilt"
"""Written by the engine, or below the dataset: no rule keeps what the source says."""

# Written by the engine itself, whatever the source says (PS3.15 §E.1.1, PS3.3 §C.12.1).
_OWN = frozenset(
    (
        tags.PatientIdentityRemoved,
        tags.DeidentificationMethod,
        tags.DeidentificationMethodCodeSequence,
        tags.LongitudinalTemporalInformationModified,
    )
)
# Opaque, so nobody can say what they hold: encrypted attributes, signatures, keys of other systems, drawings.
_OPAQUE = frozenset(
    (
        tags.Signature,
        tags.EncryptedAttributesSequence,
        tags.EncryptedContentTransferSyntaxUID,
        tags.EncryptedContent,
        tags.RecordKey,
        tags.PriorRecordKey,
        tags.ObjectBinaryIdentifierTrial,
        tags.ObjectDirectoryBinaryIdentifierTrial,
        tags.MACParametersSequence,
    )
) | {tags.HPGLDocument}


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
