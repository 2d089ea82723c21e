"""Private attributes (PS3.5 §7.8): kept only when their creator and place are known to be safe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imaging_hub.deidentification.engine.decision import AttributeDecision, Handling
from imaging_hub.deidentification.engine.scope import Scope
from imaging_hub.dicom.elements import Dataset, Element

if TYPE_CHECKING:
    from imaging_hub.deidentification.engine.actions import InstanceActions


@dataclass(slots=True)
class _Block:
    """A block of private elements, as its creator reserved it (PS3.5 §7.8.1)."""

    creator: Element
    name: str
    decisions: dict[int, AttributeDecision]
    written: bool = False


class PrivateElements:
    """The private elements of one dataset or item."""

    __slots__ = ("_actions", "_blocks", "_note", "_path", "_result", "_scope")

    def __init__(self, actions: InstanceActions, scope: Scope, path: str, result: Dataset) -> None:
        self._actions = actions
        self._scope = scope
        self._path = path
        self._result = result
        self._blocks: dict[int, _Block] = {}
        # Vendors write hundreds of private elements at the top level.
        self._note = partial(actions.note, path=path) if path else actions.changes.append

    def take(self, element: Element) -> None:
        """Write an element to the result, with its creator before it, or leave it out."""
        tag = element.tag
        block = self._blocks.get(tag & 0xFFFFFF00)
        if block is None:
            if 0x10 <= tag & 0xFFFF <= 0xFF:
                self._reserve(element)
            else:
                # An unknown creator could itself be somebody's name: it is neither kept nor put on record.
                self._note(self._scope.unknown_private(tag))
            return
        decision = block.decisions.get(tag & 0xFF)
        if decision is None or decision.vr != element.vr:
            decision = self._scope.private(tag >> 16, block.name, tag & 0xFF, element.vr)
        if decision.handling is Handling.REMOVE:
            self._note(decision.change)
            return
        if decision.writes != element.vr and element.vr == "UN":
            element = Element(tag, decision.writes, element.value)
        kept = self._actions.handle(element, decision, self._scope, self._path)
        if kept is not None:
            self._write(kept, block)

    def _reserve(self, element: Element) -> None:
        if isinstance(element.value, list):
            return
        name = str(element.value, "latin-1").strip(" \0")
        if self._actions.plan.knows(name):
            first = element.tag & 0xFFFF0000 | (element.tag & 0xFF) << 8
            self._blocks[first] = _Block(element, name, self._scope.block(element.tag >> 16, name))

    def _write(self, element: Element, block: _Block) -> None:
        result = self._result
        if not block.written:
            # The creator goes before what is already there of its group.
            block.written = True
            place = len(result)
            while place and result[place - 1].tag > block.creator.tag:
                place -= 1
            result.insert(place, block.creator)
        result.append(element)
