"""A dataset read in passages, so that what an instance has in common with the one before is not read again.

Slices of a series differ in a dozen attributes and repeat a hundred, byte for byte. A passage is what one group has
at the top level between two cuts; it is recognised by its bytes, all of them, and by nothing else.
What is read is what `walk.read` reads, and it refuses what `walk.read` refuses.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, groupby
from struct import Struct, error

from imaging_hub.dicom import tags, walk
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.dicom.pixel_stream import PixelStream
from imaging_hub.dicom.transfer_syntax import KNOWN, TransferSyntax
from imaging_hub.errors import MalformedDataset

_TAG = Struct("<HH").unpack_from
_FIRST = 0x00040000
_PIXELS = 0x7FE00000
# What is remembered of an instance is within its first bytes, and is a copy: the rest may be gigabytes.
_HEAD = 1 << 17


def around(first: int, last: int = 0) -> tuple[int, int]:
    """The cuts before the first and behind the last of neighbouring attributes, or around one."""
    return first, (last or first) + 1


VARYING = (
    *around(tags.InstanceCreationDate, tags.InstanceCreationTime),
    *around(tags.SOPInstanceUID),
    *around(tags.AcquisitionDate, tags.ContentDate),
    *around(tags.AcquisitionDateTime, tags.ContentTime),
    *around(tags.TriggerTime),
    *around(tags.ExposureTime, tags.Exposure),
    *around(tags.AcquisitionNumber, tags.InstanceNumber),
    *around(tags.ImagePositionPatient),
    *around(tags.PositionReferenceIndicator, tags.SliceLocation),
    *around(tags.SmallestImagePixelValue, tags.LargestImagePixelValue),
    *around(tags.WindowCenter, tags.WindowCenterWidthExplanation),
)
"""Cuts around what differs from slice to slice; only speed depends on them."""


@dataclass(frozen=True, slots=True, eq=False)
class ElementRun:
    """Neighbouring elements of one group. The same object stands for the same bytes in the same place."""

    elements: Dataset
    """Not to be changed: later instances may have them too."""
    stop: int
    """The tag before which it ends: nothing below belongs to the next."""
    encoded: bytes
    """As the source has it; empty when it is not remembered."""
    cost: int = 0
    """Elements and items in it, at all depths."""


def elements_of(passages: Iterable[ElementRun]) -> Dataset:
    """The dataset that passages make up."""
    return list(chain.from_iterable(passage.elements for passage in passages))


class ElementRunReader:
    """Reads one instance after the other, of whatever patients and series. Remembers the last one only."""

    def __init__(self, cuts: Iterable[int] = VARYING, limits: walk.WalkLimits | None = None) -> None:
        """`cuts` are tags before which a passage ends; one always ends with its group."""
        self._cuts = sorted(cuts)
        self._limits = limits or walk.WalkLimits()
        self._known: dict[int, ElementRun] = {}
        self._syntax = ""

    def read(self, data: Buffer, transfer_syntax_uid: str) -> list[ElementRun]:
        """The passages of a whole encoded dataset, in order.

        Raises `MalformedDataset` as `walk.read` does.
        """
        syntax = _ordinary(transfer_syntax_uid)
        known = self._known if transfer_syntax_uid == self._syntax else {}
        self._known = {}
        self._syntax = transfer_syntax_uid
        passages = None
        if syntax is not None:
            try:
                passages = self._compared(memoryview(data), syntax, known)
            except (MalformedDataset, error):
                passages = None
        if passages is None:
            # Anything out of the ordinary: the plain reading finds out what, or that all is well.
            return self._apart(walk.read(data, transfer_syntax_uid, self._limits))
        self._known = {passage.stop: passage for passage in passages if passage.encoded}
        return passages

    def read_start(self, start: Buffer, size: int, transfer_syntax_uid: str) -> list[ElementRun] | None:
        """The passages of a dataset of `size` bytes that begins so, without the pixel data that are its end.

        None where the beginning does not tell that nothing else follows, or that all is well: read the whole then.
        """
        found = self.read_header(start, transfer_syntax_uid)
        if found is None:
            return None
        passages, pixels = found
        return passages if pixels.ends_after(size - len(start)) else None

    def read_header(self, start: Buffer, transfer_syntax_uid: str) -> tuple[list[ElementRun], PixelStream] | None:
        """The passages before the pixel data of a dataset that begins so, and as much of the pixel data as is there.

        None where the beginning does not reach so far, or something is out of the ordinary.
        """
        syntax = _ordinary(transfer_syntax_uid)
        if syntax is None:
            return None
        known = self._known if transfer_syntax_uid == self._syntax else {}
        found = self._header(memoryview(start), syntax, known, _HEAD)
        if found is not None:
            self._syntax = transfer_syntax_uid
            self._known = {passage.stop: passage for passage in found[0]}
        elif len(start) > _HEAD:
            found = self._header(memoryview(start), syntax, {}, len(start))
        return found

    def _header(
        self, start: memoryview, syntax: TransferSyntax, known: dict[int, ElementRun], reach: int
    ) -> tuple[list[ElementRun], PixelStream] | None:
        """What `read_header` gives, when the header is no longer than `reach`."""
        try:
            found = self._before_pixels(start, syntax, known, reach)
            if found is None:
                return None
            passages, position = found
            # Without any, nothing may follow either.
            pixels = PixelStream.at(position, start, syntax) if position < len(start) else PixelStream(0)
        except (MalformedDataset, error):
            return None
        return None if pixels is None else (passages, pixels)

    def _compared(
        self, view: memoryview, syntax: TransferSyntax, known: dict[int, ElementRun]
    ) -> list[ElementRun] | None:
        """The passages of a dataset, those known taken over; None when something is out of the ordinary."""
        found = self._before_pixels(view, syntax, known)
        if found is None:
            return None
        passages, position = found
        behind = walk.DatasetWalk(view, syntax, self._limits)
        elements, position = behind.dataset(position, len(view), False, 0, syntax.implicit)
        return None if position != len(view) else passages + self._apart(elements)

    def _before_pixels(
        self, view: memoryview, syntax: TransferSyntax, known: dict[int, ElementRun], reach: int = _HEAD
    ) -> tuple[list[ElementRun], int] | None:
        """The passages before group 7FE0, and where they end; None when something is out of the ordinary."""
        end = len(view)
        head = bytes(view[:reach])
        walked = walk.DatasetWalk(memoryview(head), syntax, self._limits)
        passages: list[ElementRun] = []
        position, least, cost = 0, _FIRST, 0
        while position < end:
            tag = _tag(head, position)
            if tag < least:
                return None
            if tag >= _PIXELS:
                break
            least = self._stop(tag)
            passage = known.get(least)
            if passage is not None and head.startswith(passage.encoded, position):
                after = position + len(passage.encoded)
                if after == end or _tag(head, after) >= least:
                    passages.append(passage)
                    position = after
                    cost += passage.cost
                    continue
            budget = walked.budget
            elements, after = walked.dataset(position, len(head), False, 0, syntax.implicit, least)
            passage = ElementRun(elements, least, head[position:after], budget - walked.budget)
            passages.append(passage)
            position = after
            cost += passage.cost
        return None if cost > self._limits.elements // 2 else (passages, position)

    def _stop(self, tag: int) -> int:
        """The tag before which a passage that holds `tag` ends."""
        place = bisect_right(self._cuts, tag)
        group_end = (tag & 0xFFFF0000) + 0x10000
        return min(self._cuts[place], group_end) if place < len(self._cuts) else group_end

    def _apart(self, dataset: Dataset) -> list[ElementRun]:
        """Passages of elements that are not remembered."""
        groups = groupby(dataset, lambda element: self._stop(element.tag))
        return [ElementRun(list(elements), stop, b"") for stop, elements in groups]


def _ordinary(transfer_syntax_uid: str) -> TransferSyntax | None:
    """The transfer syntax, if datasets in it are little endian and not deflated."""
    syntax = KNOWN.get(transfer_syntax_uid)
    return None if syntax is None or syntax.deflated or syntax.big_endian else syntax


def _tag(head: Buffer, position: int) -> int:
    group, number = _TAG(head, position)
    tag: int = group << 16 | number
    return tag
