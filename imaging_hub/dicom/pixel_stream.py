"""Pixel data that pass by, too large to be kept: whether they are whole, and the end of their dataset.

Only what native pixel data and their fragments (PS3.5 §A.4) say of their own lengths is looked at.
"""

from __future__ import annotations

from struct import Struct
from typing import Self

from imaging_hub.dicom import tags
from imaging_hub.dicom.elements import Buffer
from imaging_hub.dicom.transfer_syntax import TransferSyntax
from imaging_hub.dicom.walk import UNDEFINED, WalkLimits

_HEADER = Struct("<HHL")
_LENGTH = Struct("<L")
_MOST_FRAGMENTS = WalkLimits().elements // 2


class PixelStream:
    """Follows pixel data through the pieces in which they come."""

    def __init__(self, length: int) -> None:
        """`length` is what their element says: `UNDEFINED` for fragments."""
        self._left = 0 if length == UNDEFINED else length
        self._in_fragments = length == UNDEFINED
        self._fragments = 0
        self._header = b""
        self._broken = False

    @classmethod
    def at(cls, position: int, start: Buffer, syntax: TransferSyntax) -> Self | None:
        """The pixel data at `position` of a little endian dataset that begins so; None where others or none are there.

        Raises `struct.error` where the beginning ends in their header.
        """
        group, number, length = _HEADER.unpack_from(start, position)
        if group << 16 | number != tags.PixelData:
            return None
        value = position + 8
        if not syntax.implicit:
            if start[position + 4 : value] not in (b"OB\0\0", b"OW\0\0"):
                return None
            (length,) = _LENGTH.unpack_from(start, value)
            value += _LENGTH.size
        if length == UNDEFINED and not syntax.encapsulated:
            return None
        stream = cls(length)
        stream.take(start[value:])
        return stream

    def take(self, piece: Buffer) -> None:
        """The next piece of the dataset."""
        position, end = 0, len(piece)
        while position < end and not self._broken:
            if self._left:
                step = min(self._left, end - position)
                self._left -= step
                position += step
            elif self._in_fragments:
                more = bytes(piece[position : position + _HEADER.size - len(self._header)])
                self._header += more
                position += len(more)
                if len(self._header) == _HEADER.size:
                    self._begin_fragment()
            else:
                self._broken = True  # something follows

    def ends_after(self, more: int) -> bool:
        """Whether they end `more` bytes after what was taken; False also where that cannot be told yet."""
        return not self._broken and not self._in_fragments and self._left == more

    def _begin_fragment(self) -> None:
        group, number, length = _HEADER.unpack(self._header)
        tag = group << 16 | number
        self._header = b""
        self._fragments += 1
        if tag == tags.SequenceDelimitationItem and length == 0:
            self._in_fragments = False
        elif tag == tags.Item and self._fragments <= _MOST_FRAGMENTS:
            self._left = length
        else:
            self._broken = True
