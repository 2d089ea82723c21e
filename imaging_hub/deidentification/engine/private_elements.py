"""Private attributes (PS3.5 §7.8): kept only when their creator and place are known to be safe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imaging_hub.deidentification.engine.decision import AttributeDecision, Handling
from imaging_hub.deidentification.engine.decision_scope import DecisionScope
from imaging_hub.deidentification.source_and_outcome import AttributeChange
from imaging_hub.dicom.elements import Dataset, Element


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
