"""Clean Structured Content (PS3.15 §E.3.4): the treatment of each content item of a report, by its concept.

The concept name decides on the item and on its own value (Table E.3.4-1); everything else in it, and every item whose
concept the table does not name, is treated as anywhere by Table E.1-1: codes and numbers stay, text is cleaned as
free text, person names are replaced, dates and UIDs go their way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import attribute_name, vr_of
from imaging_hub.deidentification.engine.decision import BY_NO_OPTION, AttributeDecision, Handling, action_of
from imaging_hub.deidentification.engine.decision_scope import DecisionScope
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.deidentification.source_and_outcome import AttributeChange
from imaging_hub.dicom import tags, values
from imaging_hub.dicom.elements import Dataset, Element

_CODES = (tags.CodeValue, tags.LongCodeValue, tags.URNCodeValue)

_SUBJECT_AGE = ("121033", "DCM", "NUM")
"""Code, scheme and Value Type of the content item that holds the age of a report's subject (PS3.16 TID 1007)."""
_UCUM_IN_A_YEAR = {"a": 1.0, "mo": 12.0, "wk": 52.0, "d": 365.0}

# The attribute that holds the value of an item, by Value Type (PS3.3 §C.17.3); references are UIDs of Table E.1-1.
_VALUE = {
    "TEXT": tags.TextValue, "PNAME": tags.PersonName, "DATE": tags.Date, "TIME": tags.Time, "DATETIME": tags.DateTime,
    "UIDREF": tags.UID, "CODE": tags.ConceptCodeSequence, "NUM": tags.MeasuredValueSequence,
}  # fmt: skip
# How a value is treated where the treatment is not that of its attribute by Table E.1-1.
_KEPT = {"TEXT": Handling.SCAN, "UIDREF": Handling.RETAIN, "CODE": Handling.RECURSE, "NUM": Handling.RECURSE}
_CLEANED = {"TEXT": Handling.CLEAN}
_REPLACED = dict.fromkeys(("TEXT", "PNAME", "DATE", "TIME", "DATETIME", "CODE"), Handling.DUMMY) | {
    # Measured Value Sequence is Type 2: a number that must not be known is not there.
    "NUM": Handling.EMPTY
}


@dataclass(frozen=True, slots=True)
class ContentTreatment:
    """Treatment of the content items of one concept and Value Type."""

    removed: bool
    """With everything below it."""
    rule: str
    value: AttributeDecision | None = None
    """For the item's own value; None where Table E.1-1 decides."""


ConceptCode = tuple[str, str, str]
"""Code, coding scheme and Value Type of a content item."""


@cache
def treatment(concept: ConceptCode, options: frozenset[str]) -> ContentTreatment:
    """Choose the treatment of the content items that a row of Table E.3.4-1 is for."""
    row = standard_tables.content_items()[concept]
    action, by = action_of(row, options)
    rule = f"E.3.4-1 {row.meaning}"
    if action == "X":
        return ContentTreatment(True, rule)
    # X/D is D: nobody knows whether the template needs the item.
    handling = {"K": _KEPT, "C": _CLEANED}.get(action, _REPLACED).get(row.value_type)
    return ContentTreatment(False, rule, _value(row.value_type, action, handling, rule, frozenset(by)))


def _replacement(value_type: str, rule: str) -> ContentTreatment:
    """The treatment of an item that must go and is needed in its place."""
    return ContentTreatment(False, rule, _value(value_type, "D", _REPLACED.get(value_type), rule, BY_NO_OPTION))


def _value(
    value_type: str, action: str, handling: Handling | None, rule: str, options: frozenset[str]
) -> AttributeDecision | None:
    if handling is None:
        return None
    tag = _VALUE[value_type]
    emptied = handling is Handling.EMPTY
    change = AttributeChange(attribute_name(tag), "Z" if emptied else action.removeprefix("X/"), rule)
    return AttributeDecision(vr_of(tag), handling, handling if emptied else Handling.DUMMY, change, options=options)


class ContentItems:
    """The content items of an instance, at every depth."""

    __slots__ = ("_apply", "_blanking", "_in_place", "_note", "_profile")

    def __init__(
        self,
        profile: Profile,
        apply: Callable[[Dataset, DecisionScope, str], Dataset],
        note: Callable[[AttributeChange, str], None],
    ) -> None:
        """`apply` treats the elements of an item, `note` puts a change on record."""
        self._profile = profile
        self._apply = apply
        self._note = note
        self._in_place: bool | None = None
        """Whether items must stay in their places; None outside of content."""
        self._blanking = False

    def clean(self, items: list[Dataset], scope: DecisionScope, name: str) -> list[Dataset]:
        """Treat the items of a sequence called `name` at `scope`."""
        outer = self._in_place
        if outer is None:
            self._in_place = any(holds_references(item) for item in items)
        try:
            cleaned = (self._cleaned(item, scope, f"{name}[{place}]") for place, item in enumerate(items))
            return [item for item in cleaned if item is not None]
        finally:
            self._in_place = outer

    def _cleaned(self, item: Dataset, scope: DecisionScope, name: str) -> Dataset | None:
        concept = concept_of(item)
        treated = None
        if concept in standard_tables.content_items():
            treated = treatment(concept, self._profile.options)
        outer = self._blanking
        if outer or (treated is not None and treated.removed):
            rule = "E.3.4-1 below an item that goes" if treated is None else treated.rule
            if not self._in_place:
                self._note(AttributeChange(name, "X", rule), "")
                return None
            # Everything below goes with it, and stays in its place like it.
            self._blanking = True
            treated = _replacement(concept[2], rule)
        try:
            value = None if treated is None else treated.value
            cleaned = self._apply(item, scope if value is None else scope.item(value), f"{name}.")
        finally:
            self._blanking = outer
        return self._of_age(cleaned, name) if concept == _SUBJECT_AGE else cleaned

    def _of_age(self, item: Dataset, name: str) -> Dataset:
        """A Subject Age, not above the age that the profile lets be known."""
        cap = self._profile.age_cap_years
        capped = item if cap is None else _capped(item, cap)
        if capped is not item:
            self._note(AttributeChange(f"{name}.MeasuredValueSequence", "C", "E.3.4-1 Subject Age"), "")
        return capped


def concept_of(item: Dataset) -> ConceptCode:
    """Read the concept name of an item and its Value Type, by which Table E.3.4-1 knows it."""
    concept = next(iter(values.items(item, tags.ConceptNameCodeSequence)), [])
    code = next((found for tag in _CODES if (found := values.text_at(concept, tag))), "")
    return code, values.text_at(concept, tags.CodingSchemeDesignator), values.text_at(item, tags.ValueType)


def holds_references(dataset: Dataset) -> bool:
    """Whether items refer to each other by place, anywhere below."""
    for element in dataset:
        if element.tag == tags.ReferencedContentItemIdentifier:
            return True
        if isinstance(element.value, list) and any(holds_references(item) for item in element.value):
            return True
    return False


def _capped(item: Dataset, cap: int) -> Dataset:
    """A numeric content item whose age is at most the year after `cap`; without its number when that is no age."""
    measured = values.items(item, tags.MeasuredValueSequence)
    if not measured:
        return item
    age = _measured_years(measured)
    if age is not None and age < cap + 1:
        return item
    capped = [] if age is None else [_in_years(cap + 1)]
    return [
        Element(tags.MeasuredValueSequence, "SQ", capped) if element.tag == tags.MeasuredValueSequence else element
        for element in item
    ]


def _measured_years(measured: list[Dataset]) -> float | None:
    units = [
        values.text_at(unit, tags.CodeValue) for unit in values.items(measured[0], tags.MeasurementUnitsCodeSequence)
    ]
    in_a_year = _UCUM_IN_A_YEAR.get(units[0]) if len(measured) == len(units) == 1 else None
    number = values.number(measured[0], tags.NumericValue)
    return None if in_a_year is None or number is None else number / in_a_year


def _in_years(number: int) -> Dataset:
    year = [
        Element(tags.CodeValue, "SH", b"a"),
        Element(tags.CodingSchemeDesignator, "SH", b"UCUM"),
        Element(tags.CodeMeaning, "LO", b"year"),
    ]
    return [
        Element(tags.MeasurementUnitsCodeSequence, "SQ", [year]),
        Element(tags.NumericValue, "DS", str(number).encode()),
    ]
