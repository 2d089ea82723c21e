"""The structure of items without anything they say: where a sequence must stay and its content must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imaging_hub.deidentification.attribute import attribute_name
from imaging_hub.deidentification.engine import dummy
from imaging_hub.deidentification.engine.decision import Handling
from imaging_hub.deidentification.engine.scope import Scope
from imaging_hub.dicom.elements import Dataset, Element

if TYPE_CHECKING:
    from imaging_hub.deidentification.engine.actions import InstanceActions

_PRIVATE = 0x10000
# Handlings by which dates and UIDs stay what they are to each other.
_DATED = frozenset((Handling.SHIFT, Handling.TIME))
_AGREEING = {"DA": _DATED, "DT": _DATED, "UI": frozenset((Handling.REMAP, Handling.RETAIN))}


def items(actions: InstanceActions, dataset: list[Dataset], scope: Scope, name: str) -> list[Dataset]:
    """The items of a sequence called `name`, at `scope`, blank."""
    return [_blank(actions, item, scope, f"{name}[{place}].") for place, item in enumerate(dataset)]


def _blank(actions: InstanceActions, item: Dataset, scope: Scope, path: str) -> Dataset:
    """One item; its dates and UIDs agree with those around it."""
    blank: Dataset = []
    for element in item:
        tag, vr, value = element.tag, element.vr, element.value
        if tag & _PRIVATE:
            continue
        decision = scope.decide(tag, vr) if vr in _AGREEING else None
        if isinstance(value, list):
            blank.append(Element(tag, vr, items(actions, value, scope.child(tag), path + attribute_name(tag))))
        elif decision is not None and decision.handling in _AGREEING[vr]:
            kept = actions.handle(element, decision, scope, path)
            blank.append(kept or Element(tag, vr, b""))
        elif vr == "UI":
            blank.append(actions.remapped(element))
        elif vr == "CS" and actions.patient.is_vocabulary(value):
            blank.append(element)
        else:
            blank.append(Element(tag, vr, dummy.value(vr, tag) if len(value) else b""))
    return blank
