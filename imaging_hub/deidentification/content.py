"""Clean Structured Content (PS3.15 §E.3.4): what becomes of a content item of a report, by its concept."""

from __future__ import annotations

from enum import Enum, auto

from imaging_hub.deidentification import standard
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset

_VALUE_TYPE = 0x0040A040
_CONCEPT = 0x0040A043
_CODES = (0x00080100, 0x00080119, 0x00080120)
_SCHEME = 0x00080102
BY_REFERENCE = 0x0040DB73
"""Referenced Content Item Identifier: items are then told apart by their place, and none may be taken out."""


class Verdict(Enum):
    """What becomes of a content item."""

    REMOVE = auto()
    """With everything below it."""
    REPLACE = auto()
    """Its text, by a dummy; other values by the actions of Table E.1-1."""
    CLEAN = auto()
    """By the actions of Table E.1-1, text as free text."""


def verdict(item: Dataset, options: frozenset[str], may_remove: bool) -> tuple[Verdict, str]:
    """The verdict on an item, and the rule it follows from."""
    concepts = values.items(item, _CONCEPT)
    value_type = values.text_at(item, _VALUE_TYPE)
    row = None
    if concepts:
        code = next((found for tag in _CODES if (found := values.text_at(concepts[0], tag))), "")
        row = standard.content_items().get((code, values.text_at(concepts[0], _SCHEME), value_type))
    if row is None:
        return Verdict.CLEAN, "not in E.3.4-1: values cleaned"
    if any(option in options for option in row.options):
        return Verdict.CLEAN, f"E.3.4-1 {row.meaning}"
    if row.basic == "X" and may_remove:
        return Verdict.REMOVE, f"E.3.4-1 {row.meaning}"
    return Verdict.REPLACE, f"E.3.4-1 {row.meaning}"


def holds_references(dataset: Dataset) -> bool:
    """Whether items refer to each other by place, anywhere below."""
    for element in dataset:
        if element.tag == BY_REFERENCE:
            return True
        if isinstance(element.value, list) and any(holds_references(item) for item in element.value):
            return True
    return False
