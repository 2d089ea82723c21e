"""A dataset written out anew, element by element (PS3.5 §7); nothing of the source's layout survives.

Sequences and items get a defined length, values an even one. The one exception: a private or unknown
sequence in implicit VR keeps an undefined length, since no reader could otherwise know it for a sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from imaging_hub.dicom import dictionary
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.dicom.transfer_syntax import KNOWN, output_syntax
from imaging_hub.dicom.value_representation import LONG_VRS, SHORT_VRS, TEXT_VRS
from imaging_hub.dicom.walk import UNDEFINED
from imaging_hub.errors import MalformedDataset

__all__ = ["output_syntax", "write"]

_SHORT_CODE = {vr: vr.encode() for vr in SHORT_VRS}
_LONG_CODE = {vr: vr.encode() for vr in LONG_VRS}
_SHORT_HEADER = Struct("<HH2sH").pack
_LONG_HEADER = Struct("<HH2sHL").pack
_IMPLICIT_HEADER = Struct("<HHL").pack
_SEQUENCE_END = _IMPLICIT_HEADER(0xFFFE, 0xE0DD, 0)
# Larger values stand alone in the result, so that pixel data are never copied.
_JOIN_BELOW = 4096

_WriteDataset = Callable[[Dataset, list[Buffer], bool], int]


def write(dataset: Dataset, transfer_syntax_uid: str) -> list[Buffer]:
    """Encode a dataset, as buffers to be written one after the other.

    For every transfer syntax that is `output_syntax` of itself; raises `MalformedDataset`
    with `unsupported-transfer-syntax` for others, and for encapsulated pixel data in a native syntax.
    """
    syntax = KNOWN.get(transfer_syntax_uid)
    if syntax is None or output_syntax(transfer_syntax_uid) != transfer_syntax_uid:
        raise _unsupported()
    parts: list[Buffer] = []
    encode = _implicit if syntax.implicit else _explicit
    encode(dataset, parts, syntax.encapsulated)
    return _joined(parts)


def _explicit(dataset: Dataset, parts: list[Buffer], encapsulated: bool) -> int:
    """Append the encoding of `dataset` to `parts`; its length."""
    total = 0
    append = parts.append
    for element in dataset:
        tag, vr, value = element.tag, element.vr, element.value
        if isinstance(value, list):
            children: list[Buffer] = []
            length = sum(_item(_explicit, item, children, encapsulated) for item in value)
            append(_LONG_HEADER(tag >> 16, tag & 0xFFFF, b"SQ", 0, length))
            parts += children
            total += 12 + length
            continue
        length = len(value)
        if element.encapsulated:
            if not encapsulated:
                raise _unsupported()
            append(_LONG_HEADER(tag >> 16, tag & 0xFFFF, _LONG_CODE[vr], 0, UNDEFINED))
            parts += (value, _SEQUENCE_END)
            total += 20 + length
            continue
        odd = length & 1
        code = _SHORT_CODE.get(vr)
        if code is not None and length < 0xFFFF:
            append(_SHORT_HEADER(tag >> 16, tag & 0xFFFF, code, length + odd))
            total += 8
        else:
            # A value too long for its VR is written as UN (PS3.5 §6.2.2).
            append(_LONG_HEADER(tag >> 16, tag & 0xFFFF, _LONG_CODE.get(vr, b"UN"), 0, length + odd))
            total += 12
        append(value)
        if odd:
            append(_padding(vr))
        total += length + odd
    return total


def _implicit(dataset: Dataset, parts: list[Buffer], encapsulated: bool) -> int:
    """Append the encoding of `dataset` in implicit VR to `parts`; its length."""
    total = 0
    append = parts.append
    for element in dataset:
        tag, value = element.tag, element.value
        if element.encapsulated:
            raise _unsupported()
        if isinstance(value, list):
            children: list[Buffer] = []
            length = sum(_item(_implicit, item, children, encapsulated) for item in value)
            total += 8 + length
            if dictionary.vr(tag) == "SQ":
                append(_IMPLICIT_HEADER(tag >> 16, tag & 0xFFFF, length))
            else:
                append(_IMPLICIT_HEADER(tag >> 16, tag & 0xFFFF, UNDEFINED))
                children.append(_SEQUENCE_END)
                total += 8
            parts += children
            continue
        length = len(value)
        odd = length & 1
        append(_IMPLICIT_HEADER(tag >> 16, tag & 0xFFFF, length + odd))
        append(value)
        if odd:
            append(_padding(element.vr))
        total += 8 + length + odd
    return total


def _item(write_dataset: _WriteDataset, item: Dataset, parts: list[Buffer], encapsulated: bool) -> int:
    """Append one item with its header; its length with that header."""
    place = len(parts)
    length = write_dataset(item, parts, encapsulated)
    parts.insert(place, _IMPLICIT_HEADER(0xFFFE, 0xE000, length))
    return 8 + length


def _padding(vr: str) -> bytes:
    """Text is padded with a space, a UID and bytes of any kind with a null (PS3.5 §6.2)."""
    return b" " if vr in TEXT_VRS and vr != "UI" else b"\0"


def _joined(parts: list[Buffer]) -> list[Buffer]:
    """The same bytes in few buffers: small parts together, large ones as they are."""
    joined: list[Buffer] = []
    run: list[Buffer] = []
    for part in parts:
        if len(part) < _JOIN_BELOW:
            run.append(part)
            continue
        if run:
            joined.append(b"".join(run))
            run = []
        joined.append(part)
    if run:
        joined.append(b"".join(run))
    return joined


def _unsupported() -> MalformedDataset:
    return MalformedDataset(
        "The dataset cannot be written in this transfer syntax.", code="unsupported-transfer-syntax"
    )
