"""A strict, bounded reading of an encoded dataset (PS3.5 §7), before anything is believed or acknowledged.

Every length, delimiter, VR and tag is checked against what encloses it; values are not decoded and not
copied. Accepted, because harmless and unambiguous: values of odd length, group lengths and Data Set
Trailing Padding (both dropped), zeros after the last element, a fitting gzip trailer after a deflated
stream, a VR other than the dictionary's of the same nature. What else PS3.5 does not allow has a code:

`truncated` · `bad-vr` · `bad-length` · `nested-too-deep` · `too-many-elements` · `duplicate-element` ·
`out-of-order-element` · `trailing-bytes` · `unexpected-delimiter` · `unsupported-transfer-syntax` · `deflate-bomb`
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import Struct, error

from imaging_hub.dicom import dictionary, tags
from imaging_hub.dicom.big_endian import put_into_little_endian
from imaging_hub.dicom.elements import Buffer, Dataset, Element
from imaging_hub.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN, KNOWN, TransferSyntax
from imaging_hub.dicom.value_representation import LONG_VRS, NATURE, SHORT_VRS
from imaging_hub.errors import MalformedDataset

UNDEFINED = 0xFFFFFFFF

_SHORT = {vr.encode(): vr for vr in SHORT_VRS}
_LONG = {vr.encode(): vr for vr in LONG_VRS}
# Groups 0000-0003 are of commands and file meta information, never of a dataset (PS3.5 §7.1).
_BEFORE_FIRST = 0x0003FFFF
_AFTER_LAST = 1 << 32
_IMPLICIT = Struct("<HHL").unpack_from


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """What a dataset may cost at most."""

    depth: int = 32
    """Sequences within sequences."""
    elements: int = 200_000
    """Elements and items, at all depths together."""
    inflated: int = 1 << 29
    """Bytes of a deflated dataset when inflated."""


def read(data: Buffer, transfer_syntax_uid: str, limits: WalkLimits | None = None) -> Dataset:
    """Read the elements of a whole encoded dataset, in order.

    Raises `MalformedDataset` with one of the codes above, and nothing else.
    """
    syntax = KNOWN.get(transfer_syntax_uid)
    if syntax is None:
        raise MalformedDataset("The transfer syntax is not one the hub reads.", code="unsupported-transfer-syntax")
    limits = limits or WalkLimits()
    view = memoryview(data)
    if syntax.deflated:
        view = memoryview(_inflated(view, limits.inflated))
    walk = DatasetWalk(view, syntax, limits)
    try:
        dataset, position = walk.dataset(0, len(view), False, 0, syntax.implicit)
    except error:
        raise MalformedDataset("The data end inside an element's header.", code="truncated") from None
    if position != len(view) and view[position:].tobytes().strip(b"\0"):
        raise MalformedDataset("Bytes follow the end of the dataset.", code="trailing-bytes")
    return dataset


def read_items(value: Buffer) -> list[Dataset]:
    """Read a value whose VR is unknown as the items of a sequence, in implicit VR (PS3.5 §6.2.2, note 2).

    Raises `MalformedDataset` where it is none.
    """
    view = memoryview(value)
    walk = DatasetWalk(view, KNOWN[IMPLICIT_VR_LITTLE_ENDIAN], WalkLimits())
    try:
        return walk.items(0, len(view))
    except error:
        raise MalformedDataset("The data end inside an element's header.", code="truncated") from None


def _inflated(data: memoryview, limit: int) -> bytes:
    """A deflated dataset (PS3.5 §A.5), as far as `limit` bytes and no further."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(data, limit)
    except zlib.error:
        raise MalformedDataset("The deflated stream is broken.", code="truncated") from None
    if stream.unconsumed_tail:
        raise MalformedDataset("The dataset inflates beyond the limit.", code="deflate-bomb")
    if not stream.eof:
        raise MalformedDataset("The deflated stream has no end.", code="truncated")
    # Some writers leave the gzip trailer (RFC 1952 §2.3.1) where PS3.5 §A.5 wants nothing.
    trailer = Struct("<LL").pack(zlib.crc32(inflated), len(inflated))
    if stream.unused_data.strip(b"\0") and stream.unused_data != trailer:
        raise MalformedDataset("Bytes follow the deflated stream.", code="trailing-bytes")
    return inflated


class DatasetWalk:
    """One walk over one buffer; recursion goes no deeper than `Limits.depth`."""

    __slots__ = ("_deepest", "_encapsulated", "_explicit", "_item", "_long", "_swap", "_view", "budget")

    def __init__(self, view: memoryview, syntax: TransferSyntax, limits: WalkLimits) -> None:
        order = ">" if syntax.big_endian else "<"
        self._view = view
        self._explicit = Struct(f"{order}HH2sH").unpack_from
        self._item = Struct(f"{order}HHL").unpack_from
        self._long = Struct(f"{order}L").unpack_from
        self._swap = syntax.big_endian
        self._encapsulated = syntax.encapsulated
        self.budget = limits.elements
        """Elements and items that may still come."""
        self._deepest = limits.depth

    def items(self, position: int, end: int) -> list[Dataset]:
        """Read the items from `position` to `end`, in implicit VR; raises as `dataset` does."""
        items, _ = self._sequence(position, end - position, end, 1, True)
        return items

    def dataset(  # noqa: PLR0917
        self, position: int, end: int, delimited: bool, depth: int, implicit: bool, stop: int = _AFTER_LAST
    ) -> tuple[Dataset, int]:
        """Read elements from `position` to `end`, an item delimiter or the tag `stop`; and the position after them.

        Raises `MalformedDataset`, and `struct.error` where the data end inside an element's header.
        """
        read = self._read_implicit if implicit else self._read_explicit
        elements, position = read(position, end, delimited, depth, stop)
        self._spend(len(elements))
        if elements and elements[-1].tag == tags.DataSetTrailingPadding:
            elements.pop()
        if self._swap and not implicit:
            put_into_little_endian(elements)
        return elements, position

    def _read_explicit(self, position: int, end: int, delimited: bool, depth: int, stop: int) -> tuple[Dataset, int]:
        view, header, short, public = self._view, self._explicit, _SHORT.get, dictionary.PUBLIC.get
        elements: Dataset = []
        append = elements.append
        previous = _BEFORE_FIRST
        for _ in range(self.budget + 1):
            if position >= end:
                break
            group, number, code, length = header(view, position)
            tag = group << 16 | number
            if not previous < tag < stop:
                if tag > previous or (tag == 0 and depth == 0):
                    return elements, position
                raise _order_fault(elements, tag)
            previous = tag
            vr = short(code)
            start = position + 8
            if vr is None:
                if group == 0xFFFE:
                    return elements, _item_end(tag, start, delimited and length == 0 and code == b"\0\0")
                vr = _LONG.get(code)
                if vr is None:
                    raise MalformedDataset("A Value Representation is not one of the Standard.", code="bad-vr")
                (length,) = self._long(view, start)
                start += 4
                if vr in ("UN", "SQ") or length == UNDEFINED:
                    element, position = self._special(tag, vr, start, length, end, depth, False)
                    append(element)
                    continue
            if public(tag, vr) != vr:
                _same_nature(tag, vr)
            position = start + length
            if position > end:
                raise self._beyond(position)
            if number:
                append(Element(tag, vr, view[start:position]))
        else:
            raise _too_many()
        return elements, self._undelimited(position, delimited)

    def _read_implicit(self, position: int, end: int, delimited: bool, depth: int, stop: int) -> tuple[Dataset, int]:
        view, public = self._view, dictionary.PUBLIC.get
        elements: Dataset = []
        append = elements.append
        previous = _BEFORE_FIRST
        for _ in range(self.budget + 1):
            if position >= end:
                break
            group, number, length = _IMPLICIT(view, position)
            tag = group << 16 | number
            if not previous < tag < stop:
                if tag > previous or (tag == 0 and depth == 0):
                    return elements, position
                raise _order_fault(elements, tag)
            previous = tag
            start = position + 8
            if group == 0xFFFE:
                return elements, _item_end(tag, start, delimited and length == 0)
            vr = public(tag) or dictionary.vr(tag)
            if vr == "SQ" or length == UNDEFINED:
                element, position = self._special(tag, vr, start, length, end, depth, True)
                append(element)
                continue
            position = start + length
            if position > end:
                raise self._beyond(position)
            if number:
                append(Element(tag, vr, view[start:position]))
        else:
            raise _too_many()
        return elements, self._undelimited(position, delimited)

    def _special(  # noqa: PLR0917
        self, tag: int, vr: str, start: int, length: int, end: int, depth: int, implicit: bool
    ) -> tuple[Element, int]:
        """A sequence, a value of unknown VR, or pixel data in fragments; and the position after it."""
        if vr == "UN":
            # Whoever wrote UN wrote implicit VR little endian (PS3.5 §6.2.2); an undefined length is a sequence.
            implicit = True
            vr = "SQ" if length == UNDEFINED else dictionary.vr(tag)
        _same_nature(tag, vr)
        if vr == "SQ":
            items, position = self._sequence(start, length, end, depth + 1, implicit)
            return Element(tag, "SQ", items), position
        if length == UNDEFINED:
            if tag != tags.PixelData or not self._encapsulated or vr not in ("OB", "OW"):
                raise MalformedDataset("An undefined length stands where PS3.5 allows none.", code="bad-length")
            position = self._fragments(start, end)
            return Element(tag, vr, self._view[start : position - 8], encapsulated=True), position
        position = start + length
        if position > end:
            raise self._beyond(position)
        return Element(tag, vr, self._view[start:position]), position

    def _sequence(self, position: int, length: int, end: int, depth: int, implicit: bool) -> tuple[list[Dataset], int]:
        """The items of a sequence of defined or undefined length (PS3.5 §7.5); and the position after it."""
        if depth > self._deepest:
            raise MalformedDataset("Sequences are nested beyond the limit.", code="nested-too-deep")
        header = _IMPLICIT if implicit else self._item
        delimited = length == UNDEFINED
        stop = end if delimited else position + length
        if stop > end:
            raise self._beyond(stop)
        items: list[Dataset] = []
        while position < stop:
            group, number, size = header(self._view, position)
            tag = group << 16 | number
            position += 8
            if delimited and tag == tags.SequenceDelimitationItem and size == 0 and position <= stop:
                return items, position
            if tag != tags.Item:
                raise _unexpected()
            self._spend(1)
            item_end = stop if size == UNDEFINED else position + size
            if item_end > stop:
                raise self._beyond(item_end)
            item, position = self.dataset(position, item_end, size == UNDEFINED, depth, implicit)
            items.append(item)
        if position > stop:
            raise self._beyond(position)
        return items, self._undelimited(position, delimited)

    def _fragments(self, position: int, end: int) -> int:
        """Step over the fragments of encapsulated pixel data (PS3.5 §A.4); the position after the delimiter."""
        while position < end:
            group, number, size = _IMPLICIT(self._view, position)
            tag = group << 16 | number
            position += 8
            if tag == tags.SequenceDelimitationItem and size == 0 and position <= end:
                return position
            if tag != tags.Item:
                raise _unexpected()
            position += size
            self._spend(1)
        raise self._beyond(position + 1)

    def _spend(self, count: int) -> None:
        self.budget -= count
        if self.budget < 0:
            raise _too_many()

    def _undelimited(self, position: int, delimited: bool) -> int:
        """`position` again, unless a delimiter should have come before it."""
        if delimited:
            raise self._beyond(position + 1)
        return position

    def _beyond(self, position: int) -> MalformedDataset:
        """The fault of something that ends at `position`, past what encloses it."""
        if position > len(self._view):
            return MalformedDataset("The data end before what they announce.", code="truncated")
        return MalformedDataset("A length reaches beyond what encloses it.", code="bad-length")


def _same_nature(tag: int, vr: str) -> None:
    """Refuse a sequence, text or bytes where the dictionary has another of the three."""
    if NATURE[dictionary.PUBLIC.get(tag, vr)] != NATURE[vr]:
        raise MalformedDataset("An attribute comes with a Value Representation it cannot have.", code="bad-vr")


def _item_end(tag: int, position: int, expected: bool) -> int:
    """The position after an item delimiter, if one may stand here."""
    if tag != tags.ItemDelimitationItem or not expected:
        raise _unexpected()
    return position


def _order_fault(elements: Dataset, tag: int) -> MalformedDataset:
    """Why a tag that is not above the one before it is wrong."""
    if any(element.tag == tag for element in elements):
        return MalformedDataset("An attribute occurs twice.", code="duplicate-element")
    if tag <= _BEFORE_FIRST:
        return MalformedDataset("An element of a command or of file meta stands here.", code="out-of-order-element")
    return MalformedDataset("Attributes are not in ascending order.", code="out-of-order-element")


def _unexpected() -> MalformedDataset:
    return MalformedDataset("An item or delimiter is missing, or stands where none may.", code="unexpected-delimiter")


def _too_many() -> MalformedDataset:
    return MalformedDataset("The dataset has more elements and items than the limit.", code="too-many-elements")
