"""Private attributes (PS3.5 §7.8): kept only when their creator and place are known to be safe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from imaging_hub.deidentification.engine.decision import UNREADABLE, AttributeDecision, Handling
from imaging_hub.deidentification.engine.decision_scope import DecisionScope
from imaging_hub.deidentification.source_and_outcome import AttributeChange
from imaging_hub.dicom import walk
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.errors import MalformedDataset

_ITEM = b"\xfe\xff\x00\xe0"
"""How an item begins, in little endian (PS3.5 §7.5)."""
_SIZES = {
    **dict.fromkeys(("OW", "SS", "US"), 2),
    **dict.fromkeys(("AT", "FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""Bytes of one value (PS3.5 §6.2)."""


@dataclass(slots=True)
class _Block:
    """A block of private elements, as its creator reserved it (PS3.5 §7.8.1)."""

    creator: Element
    name: str
    decisions: dict[int, AttributeDecision]
    written: bool = False


class PrivateElements:
    """The private elements of one dataset or item, in their order."""

    __slots__ = ("_blocks", "_note", "_scope")

    def __init__(self, scope: DecisionScope, note: Callable[[AttributeChange], None]) -> None:
        """`note` is called with the removal of each element that is left out."""
        self._scope = scope
        self._note = note
        self._blocks: dict[int, _Block] = {}

    def decide(self, element: Element) -> AttributeDecision | None:
        """Decide how an element is treated; None where it is left out, or reserves a block for others."""
        tag = element.tag
        block = self._blocks.get(tag & 0xFFFFFF00)
        if block is None:
            if 0x10 <= tag & 0xFFFF <= 0xFF:
                self._reserve(element)
            else:
                # An unknown creator could itself be somebody's name: it is neither kept nor put on record.
                self._note(self._scope.unknown_private(tag))
            return None
        decision = block.decisions.get(tag & 0xFF)
        if decision is None or decision.vr != element.vr:
            decision = self._scope.private(tag >> 16, block.name, tag & 0xFF, element.vr)
        if decision.handling is Handling.REMOVE:
            self._note(decision.change)
            return None
        return decision

    def readable(self, element: Element, decision: AttributeDecision) -> tuple[Element, AttributeDecision] | None:
        """Read an element that stays as what it is; None where it is not what it claims to be, and is left out.

        In implicit VR, and where UN is written, a value says nothing of itself: its VR is the one of its creator's
        dictionary. Whatever begins like an item is a sequence: what is nested in it is treated as anywhere.
        """
        value = element.value
        if isinstance(value, list):
            return element, decision
        vr = decision.writes
        if vr == "SQ" or value[:4] == _ITEM:
            try:
                sequence = Element(element.tag, "SQ", walk.read_items(value))
            except MalformedDataset:
                self._note(replace(decision.change, action="X", rule=UNREADABLE))
                return None
            opened = decision if vr == "SQ" else self.decide(sequence)
            return None if opened is None else (sequence, opened)
        if len(value) % _SIZES.get(vr, 1):
            self._note(replace(decision.change, action="X", rule=UNREADABLE))
            return None
        return element if vr == element.vr else Element(element.tag, vr, value), decision

    def write(self, element: Element, result: Dataset) -> None:
        """Append an element that stays; the first of a block has its creator written before it."""
        block = self._blocks[element.tag & 0xFFFFFF00]
        if not block.written:
            # The creator goes before what is already there of its group.
            block.written = True
            place = len(result)
            while place and result[place - 1].tag > block.creator.tag:
                place -= 1
            result.insert(place, block.creator)
        result.append(element)

    def _reserve(self, element: Element) -> None:
        if isinstance(element.value, list):
            return
        name = str(element.value, "latin-1").strip(" \0")
        decisions = self._scope.block(element.tag >> 16, name)
        if decisions is not None:
            first = element.tag & 0xFFFF0000 | (element.tag & 0xFF) << 8
            self._blocks[first] = _Block(element, name, decisions)
